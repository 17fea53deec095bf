/**
 * What is kept of documents on this device, and what was typed here that has not reached the server: asked for before
 * somebody signs out, and shown where there is no connection. The client that keeps it is loaded only when it is asked.
 */

import { keptName, keptWorkspace } from "./editor/names";
import { addressOfWorkspace } from "./workspace/address";

export interface KeptDocument {
  documentId: string;
  name: string;
  /** How many edits wait to be sent. */
  edits: number;
}

export interface OnDevice extends KeptDocument {
  /** Where it opens. */
  address: string;
}

/** The unsent edits of one account, in this browser. */
export interface UnsentEdits {
  /** Documents with edits that wait. */
  list(): Promise<KeptDocument[]>;
  /** Resolves when everything was acknowledged; raises if that does not happen in `SEND_SECONDS`. */
  send(): Promise<void>;
  /** What those edits would have written, in one file. */
  download(): Promise<Blob>;
  discard(): Promise<void>;
}

/** Finds the edits of an account; `credential` gives a fresh access token. */
export type FindUnsentEdits = (userId: string, credential: () => Promise<string>) => Promise<UnsentEdits>;

const SEND_SECONDS = 20;
const LOOK_MS = 250;

/** Those that the client keeps. */
export const unsentEdits: FindUnsentEdits = async (userId, credential) => {
  const { clientOf } = await import("./editor/connection");
  const client = clientOf(userId, credential);
  const list = async () =>
    (await client.unsent()).map(({ fileId, edits }) => ({ documentId: fileId, name: named(fileId).name, edits }));
  return {
    list,
    send: async () => {
      // Trees first: a file that was made here is there before its text is sent.
      const waiting = await client.unsent();
      for (const { fileId, changes } of waiting) if (changes.length > 0) client.openWorkspace(fileId);
      for (const { fileId, changes } of waiting) if (changes.length === 0) client.open(fileId);
      client.networkChanged();
      const until = Date.now() + SEND_SECONDS * 1_000;
      while ((await list()).length > 0) {
        if (Date.now() > until) throw new Error("the server has not taken everything yet; it goes on trying");
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      }
    },
    download: async () => {
      const waiting = await client.unsent();
      return new Blob(
        waiting.map(({ fileId, patch, changes }) => {
          const said = changes.length > 0 ? JSON.stringify(changes, null, 2) : patch.text;
          return `# ${named(fileId).name}\n\n${said}\n\n`;
        }),
      );
    },
    discard: () => client.discardUnsent(),
  };
};

/** What can be opened without a connection, the newest first. */
export async function documentsOnDevice(userId: string): Promise<OnDevice[]> {
  const { IndexedDbStore } = await import("@coscribe/client/browser");
  const records = await new IndexedDbStore().list(userId);
  const kept = new Map<string, OnDevice>();
  for (const { fileId, inFlight, queue, tree } of [...records].sort((one, other) => other.savedAt - one.savedAt)) {
    const before = kept.get(fileId)?.edits ?? 0;
    const changes = tree === undefined ? 0 : tree.queue.length + (tree.inFlight === null ? 0 : 1);
    const edits = [...inFlight, ...queue].reduce((sum, each) => sum + each.edits, before + changes);
    kept.set(fileId, { ...named(fileId), edits });
  }
  return [...kept.values()];
}

function named(documentId: string): Omit<OnDevice, "edits"> {
  const workspaceId = keptWorkspace(documentId);
  const fileId = workspaceId === documentId ? "" : documentId;
  const address = workspaceId === "" ? `/d/${encodeURIComponent(documentId)}` : addressOfWorkspace(workspaceId, fileId);
  return { documentId, name: keptName(documentId) ?? documentId, address };
}
