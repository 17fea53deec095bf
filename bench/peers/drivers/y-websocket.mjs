// The y-websocket client: of @y/websocket-server and, as they speak the same protocol, of pycrdt-websocket.

import { WebsocketProvider } from "y-websocket";
import { makeClient, makeDocument } from "./yjs.mjs";

/** The protocol has no acknowledgements. */
export const acknowledges = false;
export { inFlight } from "./yjs.mjs";

export async function open({ url }, name, user) {
  const document = makeDocument(user);
  // Without the broadcast channel: through it the documents of one process would reach each other past the server.
  const provider = new WebsocketProvider(url, name, document, { disableBc: true });
  await new Promise((resolve) => provider.once("sync", resolve));
  return makeClient(document, () => provider.destroy());
}
