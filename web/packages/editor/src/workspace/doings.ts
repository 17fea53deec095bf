/**
 * What others have done to the files that are open here: moved, deleted, brought back. Somebody who types in a file wants
 * to know, and by whom, and one click that puts it back.
 */

import type { Workspace } from "@coscribe/client";
import { folderIn, nameIn } from "./address";

export interface Doing {
  readonly what: "moved" | "deleted" | "restored";
  /** Whose operation it was; "": that is not known, it was done while we were away. */
  readonly by: string;
  /** The path before, and now. */
  readonly from: string;
  readonly to: string;
}

/** What a doing is worked out from. */
export type DoingSource = Pick<Workspace, "path" | "isTrashed" | "onChange">;

interface Place {
  readonly path: string | null;
  readonly isTrashed: boolean;
}

export class Doings {
  readonly #source: DoingSource;
  readonly #places = new Map<string, Place>();
  readonly #listeners = new Set<() => void>();
  #doings: ReadonlyMap<string, Doing> = new Map();

  constructor(source: DoingSource) {
    this.#source = source;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** The last of each file; another map after each change. */
  readonly all = (): ReadonlyMap<string, Doing> => this.#doings;

  /** Which files are looked at from now on. */
  watch(fileIds: readonly string[]): void {
    for (const fileId of fileIds) if (!this.#places.has(fileId)) this.#places.set(fileId, this.#place(fileId));
    for (const fileId of [...this.#places.keys()]) {
      if (fileIds.includes(fileId)) continue;
      this.#places.delete(fileId);
      this.#set(fileId, null);
    }
  }

  /** Follows the tree until the returned function is called. `told` gets each doing of others. */
  follow(told: (doing: Doing, fileId: string) => void): () => void {
    return this.#source.onChange(({ changes, authors }) => {
      const isOurs = changes !== null && authors.length === 0;
      for (const [fileId, before] of this.#places) {
        const now = this.#place(fileId);
        this.#places.set(fileId, now);
        const doing = doingOf(before, now, authors.at(-1) ?? "");
        if (doing === null) continue;
        this.#set(fileId, isOurs ? null : doing);
        if (!isOurs) told(doing, fileId);
      }
    });
  }

  dismiss(fileId: string): void {
    this.#set(fileId, null);
  }

  #place(fileId: string): Place {
    return { path: this.#source.path(fileId), isTrashed: this.#source.isTrashed(fileId) };
  }

  #set(fileId: string, doing: Doing | null): void {
    if (doing === null && !this.#doings.has(fileId)) return;
    const next = new Map(this.#doings);
    if (doing === null) next.delete(fileId);
    else next.set(fileId, doing);
    this.#doings = next;
    for (const listener of [...this.#listeners]) listener();
  }
}

/** Null: nothing that anybody has to be told of; also where the file was not known before, or is not any more. */
function doingOf(before: Place, now: Place, by: string): Doing | null {
  if (before.path === null || now.path === null) return null;
  const paths = { by, from: before.path, to: now.path };
  if (now.isTrashed && !before.isTrashed) return { what: "deleted", ...paths };
  if (!now.isTrashed && before.isTrashed) return { what: "restored", ...paths };
  return before.path === now.path ? null : { what: "moved", ...paths };
}

/** In a sentence. `who`: the name of whoever did it. */
export function doingText({ what, from, to }: Doing, who: string): string {
  const subject = `${who.charAt(0).toUpperCase()}${who.slice(1)}`;
  const before = nameIn(from);
  if (what === "restored") return `${subject} has put “${before}” back.`;
  if (what === "deleted") return `${subject} has deleted “${before}”.`;
  const isRenamed = before !== nameIn(to);
  if (isRenamed && folderIn(from) === folderIn(to)) return `${subject} has renamed “${before}” to “${nameIn(to)}”.`;
  return `${subject} has moved “${from}” to “${to}”.`;
}

/** What brings a file back out of the trash: the folders above it that are in there first. */
export function wayBack(workspace: Pick<Workspace, "node">, fileId: string): string[] {
  const trashed: string[] = [];
  let at = fileId;
  for (let node = workspace.node(at); node !== null; node = workspace.node(at)) {
    if (node.trashed) trashed.unshift(at);
    if (node.parentId === "") break;
    at = node.parentId;
  }
  return trashed;
}
