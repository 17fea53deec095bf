// What the clients of the three Yjs servers share: the document.

import * as Y from "yjs";

/** How many of its own updates may be under way while a history is typed. */
export const inFlight = 64;

/** A document whose ids tell the user: the number of characters by a user is in its state vector. */
export function makeDocument(user) {
  const document = new Y.Doc();
  document.clientID = user + 1;
  return document;
}

/** Call it when the document is in sync. `sent` is called for each of our own updates. */
export function makeClient(document, close) {
  const text = document.getText("text");
  const client = {
    sent: 0,
    onAcknowledged() {},
    onSeen() {},
    insert(position, inserted) {
      client.sent += 1;
      text.insert(position, inserted);
    },
    replace(position, deleted, inserted) {
      client.sent += 1;
      document.transact(() => {
        if (deleted > 0) text.delete(position, deleted);
        if (inserted !== "") text.insert(position, inserted);
      });
    },
    length: () => text.length,
    text: () => text.toString(),
    close,
  };
  document.on("update", (_update, _origin, _document, transaction) => {
    if (transaction.local) return;
    for (const [id, clock] of transaction.afterState) {
      if (transaction.beforeState.get(id) !== clock) client.onSeen(id - 1, clock);
    }
  });
  return client;
}
