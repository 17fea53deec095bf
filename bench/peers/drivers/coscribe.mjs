// Coscribe through its own client, from its source: Node leaves the types out.

import { webSocketTransport } from "../../../web/packages/client/src/browser/index.ts";
import { Client } from "../../../web/packages/client/src/index.ts";

export const acknowledges = true;
/** What is typed while an operation is in flight is composed. One at a time: each keystroke is an operation. */
export const inFlight = 1;

export async function open({ url, tokens }, name, user) {
  const connection = new Client({ transport: webSocketTransport(url), credential: async () => tokens[user] });
  const document = connection.open(name);
  await document.live();
  let sent = 0;
  const seen = new Map();
  const client = {
    onAcknowledged() {},
    onSeen() {},
    insert(position, text) {
      sent += 1;
      document.edit([{ from: position, to: position, insert: text }]);
    },
    replace(position, deleted, inserted) {
      sent += 1;
      document.edit([{ from: position, to: position + deleted, insert: inserted }]);
    },
    length: () => document.length,
    text: () => document.text,
    close: () => connection.close(),
  };
  document.onStatus(({ unsent }) => client.onAcknowledged(sent - unsent));
  document.onChange(({ edits, origin, author }) => {
    if (edits === null) throw new Error("the text was replaced");
    if (origin !== "remote") return;
    const inserted = edits.reduce((sum, edit) => sum + edit.insert.length, 0);
    const count = (seen.get(author) ?? 0) + inserted;
    seen.set(author, count);
    client.onSeen(Number(author.slice("user-".length)), count);
  });
  return client;
}
