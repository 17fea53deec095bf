// Hocuspocus through its own client, a socket for each document.

import { HocuspocusProvider } from "@hocuspocus/provider";
import { makeClient, makeDocument } from "./yjs.mjs";

/** The server says when it has applied an update to its document in memory. */
export const acknowledges = true;
export { inFlight } from "./yjs.mjs";

export async function open({ url }, name, user) {
  const document = makeDocument(user);
  let onSynced;
  const synced = new Promise((resolve) => {
    onSynced = resolve;
  });
  const provider = new HocuspocusProvider({ url, name, document, onSynced });
  await synced;
  const client = makeClient(document, () => provider.destroy());
  provider.on("unsyncedChanges", ({ number }) => client.onAcknowledged(client.sent - number));
  return client;
}
