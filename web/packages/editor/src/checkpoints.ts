/**
 * What this browser has kept of what the server signed about its documents: the newest audit checkpoint of each. A server
 * that has rewritten a history can make everything fit but what others have kept, and this is one of them.
 */

import { listCheckpoints } from "./api/documents";
import type { Checkpoint } from "./api/models";

/** The server does not stand by a checkpoint that was kept here. */
export interface Parted {
  kept: Checkpoint;
  detail: string;
}

type Pages = (
  documentId: string,
  cursor: string,
  limit: number,
) => Promise<{ items: Checkpoint[]; nextCursor: string }>;

const PREFIX = "coscribe-checkpoint:";
const MAX_KEPT = 1_000;
/** Further back than so many it is not followed: what is kept stays, and is compared another time. */
const MAX_READ = 2_000;
const PAGE = 100;

/** Keeps the newest checkpoint, unless the server has parted from the one that is kept, which then stays. */
export async function holdToCheckpoint(
  documentId: string,
  storage: Storage = localStorage,
  pages: Pages = listCheckpoints,
): Promise<Parted | null> {
  const kept = read(storage, documentId);
  let newest: Checkpoint | null = null;
  let after: Checkpoint | null = null;
  let [cursor, limit, count] = ["", 1, 0];
  do {
    const page = await pages(documentId, cursor, limit);
    for (const one of page.items) {
      newest ??= one;
      if (kept === null) return keep(storage, documentId, newest);
      if (after !== null && !(await hangsOn(after, one))) {
        return { kept, detail: `Checkpoint ${after.number} does not hang on number ${one.number}.` };
      }
      if (one.number <= kept.number) {
        const same = statement(one) === statement(kept) && one.signature === kept.signature;
        if (!same) return { kept, detail: `Checkpoint ${kept.number} is another one than was kept.` };
        return keep(storage, documentId, newest);
      }
      after = one;
      count += 1;
    }
    cursor = page.nextCursor;
    limit = PAGE;
  } while (cursor !== "" && count < MAX_READ);
  if (kept === null || cursor !== "") return null;
  return { kept, detail: `There is no checkpoint ${kept.number} any more.` };
}

/** What is kept, as `coscribe verify --checkpoint FILE` reads it. */
export function asFile(kept: Checkpoint): Blob {
  return new Blob([`${JSON.stringify(kept)}\n`], { type: "application/json" });
}

/** What was signed: all fields but the signature, in their order. */
function statement({
  format,
  workspaceId,
  incarnation,
  number,
  sequence,
  chainHash,
  event,
  eventDigest,
  ownEvents,
  ownDigest,
  madeAt,
  previous,
  keyId,
}: Checkpoint): string {
  const log = { format, workspaceId, incarnation, number, sequence, chainHash };
  return JSON.stringify({ ...log, event, eventDigest, ownEvents, ownDigest, madeAt, previous, keyId });
}

/** Without TLS browsers have no SHA-256: then only the numbers can be compared. */
async function hangsOn(after: Checkpoint, before: Checkpoint): Promise<boolean> {
  if (after.number !== before.number + 1) return false;
  if (globalThis.crypto?.subtle === undefined) return true;
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(statement(before)));
  return after.previous === Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function read(storage: Storage, documentId: string): Checkpoint | null {
  try {
    return JSON.parse(storage.getItem(PREFIX + documentId) ?? "null");
  } catch {
    return null; // somebody has written over it
  }
}

/** Of very many, the one that was signed longest ago goes. */
function keep(storage: Storage, documentId: string, newest: Checkpoint): null {
  const known = Object.keys(storage).filter((name) => name.startsWith(PREFIX));
  if (known.length >= MAX_KEPT && !known.includes(PREFIX + documentId)) {
    const age = (name: string) => read(storage, name.slice(PREFIX.length))?.madeAt ?? 0;
    storage.removeItem(known.reduce((oldest, name) => (age(name) < age(oldest) ? name : oldest)));
  }
  try {
    storage.setItem(PREFIX + documentId, JSON.stringify(newest));
  } catch {
    // No room, or none is given: it is kept elsewhere, or not at all.
  }
  return null;
}
