/**
 * One client of the engine for a page: the connection that all documents of an account share, and what is kept on this
 * device. Made when the first document is opened; another one takes its place when somebody else signs in, or the same
 * person again.
 */

import { Client, CoscribeError } from "@coscribe/client";
import { IndexedDbStore, webLocks, webSocketTransport } from "@coscribe/client/browser";
import { Problem } from "../api/problem";

/** Gives a fresh token for every connection; raises `Problem`. */
export type Credential = () => Promise<string>;

let current: { readonly account: string | null; readonly client: Client } | null = null;
const store = new IndexedDbStore();

/**
 * The client of this account; null: of somebody without one, of whom nothing is kept on the device. `credential` is
 * asked before each connection.
 */
export function clientOf(account: string | null, credential: Credential): Client {
  if (current?.account !== account || current.client.status.state === "ended") {
    void current?.client.close();
    const kept = account === null ? {} : { account, store, locks: webLocks() };
    current = { account, client: new Client({ ...options(credential), ...kept }) };
  }
  return current.client;
}

function options(credential: Credential) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  return {
    transport: webSocketTransport(`${scheme}://${location.host}/ws`),
    name: `coscribe-web ${__APP_VERSION__}`,
    credential: () => credential().catch(asRefusal),
  };
}

/** A refusal that will be the same tomorrow ends the client; everything else is tried again. */
function asRefusal(error: unknown): never {
  if (error instanceof Problem && !error.isUncertain && error.status !== 429) {
    throw new CoscribeError(error.code, error.detail || error.message);
  }
  throw error;
}

for (const event of ["online", "offline"]) addEventListener(event, () => current?.client.networkChanged());
addEventListener("pagehide", () => void current?.client.flush());
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "hidden") void current?.client.flush();
  else current?.client.networkChanged();
});
