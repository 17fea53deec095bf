/** The past of a workspace: who worked when, the tree and the texts at a sequence, and the way back. */

import type {
  DifferenceList,
  Differing,
  Coscribe_Api_Workspaces__EntryList as EntryList,
  FileThen,
  RestoredPast,
  Work,
  WorkList,
} from "../api/generated/models";
import type { DocumentRow, Page } from "../api/models";
import { change, get, newKey, path, query } from "../api/request";
import type { Blame } from "../history/api";

export type { DifferenceList, Differing, EntryList, FileThen, Work };

/** The names under which answers are kept; the past does not change. */
export const pastKeys = {
  present: (workspaceId: string) => ["past", workspaceId, "present"],
  work: (workspaceId: string) => ["past", workspaceId, "work"],
  folder: (workspaceId: string, folder: string, at: number) => ["past", workspaceId, "folder", folder, at],
  file: (workspaceId: string, fileId: string, at: number) => ["past", workspaceId, "file", fileId, at],
  blame: (workspaceId: string, fileId: string, at: number) => ["past", workspaceId, "blame", fileId, at],
  differing: (workspaceId: string, from: number, to: number) => ["past", workspaceId, "differing", from, to],
} as const;

const below = (workspaceId: string, ...parts: string[]) => path("workspace", workspaceId, ...parts);

/** The sequence that the workspace is at. */
export async function seePresent(workspaceId: string, signal?: AbortSignal): Promise<number> {
  return (await get<EntryList>(below(workspaceId, "fs", "list"), signal)).serverSequenceId;
}

export const listFolder = (workspaceId: string, folder: string, at: number, signal?: AbortSignal) =>
  get<EntryList>(`${below(workspaceId, "fs", "list")}${query({ path: folder, at })}`, signal);

/** A file as it was, by its id, wherever it was: its path, and its text if it is one. */
export const readFile = (workspaceId: string, fileId: string, at: number, signal?: AbortSignal) =>
  get<FileThen>(`${below(workspaceId, "history", "file")}${query({ fileId, at })}`, signal);

/** Of a text, by the path that it had at that moment. */
export const seeBlame = (workspaceId: string, file: string, at: number, signal?: AbortSignal) =>
  get<Blame>(`${below(workspaceId, "history", "blame")}${query({ path: file, at })}`, signal);

/** Which files are others at the later of two moments. */
export const listDiffering = (workspaceId: string, from: number, to: number, signal?: AbortSignal) =>
  get<DifferenceList>(`${below(workspaceId, "history", "differences")}${query({ from, to })}`, signal);

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
