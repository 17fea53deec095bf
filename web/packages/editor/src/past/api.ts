/** The past of a workspace: who worked when, the tree and the texts at a sequence, and the way back. */

import type {
  Coscribe_Api_Workspaces__EntryList as EntryList,
  FileContent,
  RestoredPast,
  Work,
  WorkList,
} from "../api/generated/models";
import type { DocumentRow, Page } from "../api/models";
import { change, get, newKey, path, query, send } from "../api/request";

export type { EntryList, FileContent, Work };

/** The names under which answers are kept; the past does not change. */
export const pastKeys = {
  present: (workspaceId: string) => ["past", workspaceId, "present"],
  work: (workspaceId: string) => ["past", workspaceId, "work"],
  folder: (workspaceId: string, folder: string, at: number) => ["past", workspaceId, "folder", folder, at],
  file: (workspaceId: string, file: string, at: number) => ["past", workspaceId, "file", file, at],
} as const;

const below = (workspaceId: string, ...parts: string[]) => path("workspace", workspaceId, ...parts);

/** The sequence that the workspace is at. */
export async function seePresent(workspaceId: string, signal?: AbortSignal): Promise<number> {
  return (await get<EntryList>(below(workspaceId, "fs", "list"), signal)).serverSequenceId;
}

export const listFolder = (workspaceId: string, folder: string, at: number, signal?: AbortSignal) =>
  get<EntryList>(`${below(workspaceId, "fs", "list")}${query({ path: folder, at })}`, signal);

/** What there is to say about a file, and its text if it is one. */
export async function readFile(
  workspaceId: string,
  file: string,
  at: number,
  signal: AbortSignal,
): Promise<FileContent> {
  const where = `${below(workspaceId, "fs", "read")}${query({ path: file, at })}`;
  return (await send("GET", where, { headers: { Accept: "application/json" }, signal })).json();
}

/** The newest first; the cursor is a sequence. */
export async function listWork(workspaceId: string, cursor: string, signal?: AbortSignal): Promise<Page<Work>> {
  const where = `${below(workspaceId, "history", "timeline")}${query({ before: cursor, limit: 50 })}`;
  const { items, nextBefore } = await get<WorkList>(where, signal);
  return { items, nextCursor: nextBefore === null ? "" : String(nextBefore) };
}

/** What is at a path ("" everything) becomes what it was, by new operations. */
export const restorePast = (workspaceId: string, file: string, sequence: number) =>
  change<RestoredPast>("POST", below(workspaceId, "history", "restore"), { path: file, sequence }, { once: newKey() });

/** A workspace of one's own that begins with what this one was. */
export const forkPast = (workspaceId: string, name: string, sequence: number) =>
  change<DocumentRow>("POST", below(workspaceId, "history", "fork"), { name, sequence }, { once: newKey() });

/** It is streamed, so no script holds it. */
export const archiveAddress = (workspaceId: string, sequence: number) =>
  `/api${below(workspaceId, "history", "archive")}${query({ at: sequence, format: "zip" })}`;
