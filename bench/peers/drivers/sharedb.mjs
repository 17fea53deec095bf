// ShareDB through its own client, with the type for plain text that its README names.

import { type } from "ot-text-unicode";
import ShareDB from "sharedb/lib/client/index.js";

ShareDB.types.register(type);

export const acknowledges = true;
export const inFlight = 64;

/** Who has which connection: an operation tells the id of the connection that it came from. */
const users = new Map();

export async function open({ url }, name, user) {
  const connection = new ShareDB.Connection(new WebSocket(url));
  const document = connection.get("documents", name);
  await new Promise((resolve, reject) => document.subscribe((error) => (error ? reject(error) : resolve())));
  if (document.type === null) {
    await new Promise((resolve, reject) =>
      document.create("", type.uri, (error) => (error ? reject(error) : resolve())),
    );
  }
  document.preventCompose = true;
  users.set(connection.id, user);
  let acknowledged = 0;
  const seen = new Map();
  const submit = (operation) =>
    document.submitOp(operation, (error) => {
      if (error) throw error;
      acknowledged += 1;
      client.onAcknowledged(acknowledged);
    });
  const client = {
    onAcknowledged() {},
    onSeen() {},
    insert: (position, text) => submit([position, text]),
    replace: (position, deleted, inserted) =>
      submit([position, inserted, { d: deleted }].filter((part) => part !== "")),
    length: () => document.data.length,
    text: () => document.data,
    close: () => connection.close(),
  };
  document.on("op", (operation, source, connectionId) => {
    if (source) return;
    const author = users.get(connectionId);
    const inserted = operation.reduce((sum, part) => sum + (typeof part === "string" ? part.length : 0), 0);
    const count = (seen.get(author) ?? 0) + inserted;
    seen.set(author, count);
    client.onSeen(author, count);
  });
  return client;
}
