/** The past of a document: who edited when, each operation, who wrote what, names of versions, and the way back. */

import type { Moment, Page } from "../api/models";
import { change, get, newKey, path, query } from "../api/request";
import type { PastOperation } from "./film";

export interface HistoryAuthor {
  /** A user, or `user+token` for a bot. */
  userId: string;
  displayName: string;
  color: string;
}

export interface VersionNamed {
  version: number;
  name: string;
  namedBy: string | null;
  namedAt: Moment;
}

/** Consecutive operations of one author, with short pauses. */
export interface EditingSession {
  author: HistoryAuthor;
  /** Of the text before. */
  fromVersion: number;
  toVersion: number;
  begunAt: Moment;
  endedAt: Moment;
  operations: number;
  /** Code points. */
  inserted: number;
  deleted: number;
  /** A very long one: its beginning is the first of the next page. */
  isCut: boolean;
  names: VersionNamed[];
}

export interface PastOperations {
  operations: PastOperation[];
  authors: HistoryAuthor[];
  /** The present one. */
  version: number;
}

/** What one author wrote side by side. */
export interface BlameRun {
  /** Code points. */
  length: number;
  authorId: string;
  /** Of the newest operation in it; `at` in milliseconds since 1970. */
  version: number;
  at: number;
  kind: "human" | "paste" | "agent" | "disk";
}

export interface Blame {
  version: number;
  runs: BlameRun[];
  authors: HistoryAuthor[];
}

export interface Content {
  text: string;
  documentVersion: number;
}

/** The present text, and where its history begins. */
export interface Present extends Content {
  oldestVersion: number;
}

export async function seePresent(documentId: string, signal: AbortSignal): Promise<Present> {
  const [content, oldest] = await Promise.all([
    seeContent(documentId, undefined, signal),
    oldestVersion(documentId, signal),
  ]);
  return { ...content, oldestVersion: oldest };
}

/** The names under which answers are kept. */
export const historyKeys = {
  present: (documentId: string) => ["history", documentId, "present"],
  sessions: (documentId: string) => ["history", documentId, "sessions"],
  names: (documentId: string) => ["history", documentId, "names"],
  blame: (documentId: string, version: number) => ["history", documentId, "blame", version],
  text: (documentId: string, version: number) => ["history", documentId, "text", version],
} as const;

const below = (documentId: string, ...parts: string[]) => path("documents", documentId, "history", ...parts);

/** The newest first; the cursor is a version. */
export async function listSessions(
  documentId: string,
  cursor: string,
  signal?: AbortSignal,
): Promise<Page<EditingSession>> {
  const where = `${below(documentId, "sessions")}${query({ before: cursor, limit: 50 })}`;
  const { items, nextBefore } = await get<{ items: EditingSession[]; nextBefore: number | null }>(where, signal);
  return { items, nextCursor: nextBefore === null ? "" : String(nextBefore) };
}

/** The version that the history begins with: 0, or more where its beginning was deleted because of its age. */
export async function oldestVersion(documentId: string, signal?: AbortSignal): Promise<number> {
  const where = `${below(documentId, "sessions")}${query({ limit: 1 })}`;
  return (await get<{ oldestVersion: number }>(where, signal)).oldestVersion;
}

export const listOperations = (documentId: string, after: number, limit: number, signal?: AbortSignal) =>
  get<PastOperations>(`${below(documentId, "operations")}${query({ after, limit })}`, signal);

export const seeBlame = (documentId: string, version: number, signal?: AbortSignal) =>
  get<Blame>(`${below(documentId, "blame")}${query({ version })}`, signal);

/** The text as it is, or as it was at a version. */
export const seeContent = (documentId: string, version?: number, signal?: AbortSignal) =>
  get<Content>(`${path("documents", documentId, "content")}${query({ version })}`, signal);

/** Makes the text of a version the present one, as a new operation. */
export const restoreVersion = (documentId: string, version: number) =>
  change<{ documentVersion: number }>("POST", below(documentId, "restore"), { version }, { once: newKey() });

/** The oldest first. */
export const listNames = (documentId: string, signal?: AbortSignal) =>
  get<{ items: VersionNamed[] }>(below(documentId, "names"), signal);

export const nameVersion = (documentId: string, version: number, name: string) =>
  change<VersionNamed>("POST", below(documentId, "names"), { version, name }, { once: newKey() });

export const renameVersion = (documentId: string, version: number, name: string) =>
  change<VersionNamed>("PATCH", below(documentId, "names", String(version)), { name });

export const removeName = (documentId: string, version: number) =>
  change("DELETE", below(documentId, "names", String(version)));

/** The address of the whole log, as a file to keep: it is streamed, so no script holds it. */
export const logAddress = (documentId: string) => `/api${below(documentId, "log")}`;
