/** Workspaces beyond what the client does: searching in their files. */

import type { FoundFile, FoundList, FoundPlace } from "../api/generated/models";
import { get, path } from "../api/request";

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
