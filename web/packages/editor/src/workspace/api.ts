/** Workspaces beyond what the client does: searching in their files, and bytes in and out. */

import type { FoundFile, FoundList, FoundPlace } from "../api/generated/models";
import { get, path, query, send } from "../api/request";

export type { FoundFile, FoundList, FoundPlace };

export interface Wanted {
  readonly text: string;
  readonly isRegex: boolean;
  readonly keepsCase: boolean;
  readonly isWord: boolean;
  /** With commas between them, as in .gitignore each. */
  readonly globs: string;
}

/** A page, behind a path. */
export function searchFiles(
  workspaceId: string,
  wanted: Wanted,
  after: string,
  signal?: AbortSignal,
): Promise<FoundList> {
  const asked = new URLSearchParams({ q: wanted.text });
  if (wanted.isRegex) asked.set("regex", "true");
  if (wanted.keepsCase) asked.set("case", "true");
  if (wanted.isWord) asked.set("word", "true");
  for (const glob of wanted.globs.split(",")) if (glob.trim() !== "") asked.append("glob", glob.trim());
  if (after !== "") asked.set("after", after);
  return get(`${path("workspace", workspaceId, "search")}?${asked}`, signal);
}

const fileAddress = (workspaceId: string, file: string) =>
  `${path("workspace", workspaceId, "fs", "read")}${query({ path: file })}`;

/** Streamed to where the person keeps downloads; no script holds it. */
export const downloadAddress = (workspaceId: string, file: string) => `/api${fileAddress(workspaceId, file)}`;

/** A folder, or with "" everything, as it is now. For those who may see the history. */
export const folderArchiveAddress = (workspaceId: string, folder: string) =>
  `/api${path("workspace", workspaceId, "history", "archive")}${query({ path: folder, format: "zip" })}`;

/** The bytes as they are. The body can be given up by the signal. */
export const readBytes = (workspaceId: string, file: string, signal: AbortSignal) =>
  send("GET", fileAddress(workspaceId, file), { signal });

/** What a file is at, to write over it. */
export async function tagOf(workspaceId: string, file: string, signal: AbortSignal): Promise<string> {
  const answer = await send("GET", fileAddress(workspaceId, file), { headers: { Accept: "application/json" }, signal });
  return answer.headers.get("ETag") ?? "";
}

export interface Putting {
  /** What it is written over; null: it is new. */
  readonly base: string | null;
  readonly once: string;
  readonly sent: (bytes: number) => void;
  readonly signal: AbortSignal;
}

/** A file as it should be, whatever is in it. */
export async function putFile(workspaceId: string, file: string, content: Blob, how: Putting): Promise<void> {
  const where = `${path("workspace", workspaceId, "fs", "write")}${query({ path: file })}`;
  const { base, once, sent, signal } = how;
  const condition: Record<string, string> = base === null ? { "If-None-Match": "*" } : { "If-Match": base };
  await send("PUT", where, { bytes: content, headers: condition, once, sent, signal });
}
