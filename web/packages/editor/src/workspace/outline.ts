/**
 * Outline: a tree as the rows that are seen of it, one for each node in a folder that is open.
 *
 * What is in a closed folder is never looked at, and what is in an open one is sorted again only when something in that
 * very folder has changed: a workspace of 10,000 files costs what is seen of it.
 */

import type { Entry, Kind, NodeChange, Workspace } from "@coscribe/client";

export interface Row {
  readonly fileId: string;
  readonly name: string;
  readonly kind: Kind;
  readonly parentId: string;
  /** At the top it is 1. */
  readonly level: number;
  /** In its folder, from 1, and how many are in there. */
  readonly position: number;
  readonly size: number;
  readonly isOpen: boolean;
}

/** What an outline asks of a tree. */
export type TreeSource = Pick<Workspace, "children" | "node" | "onChange">;

/** The id of what is no node: everything is in it. */
export const TOP = "";

const byName = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

export class Outline {
  readonly #source: TreeSource;
  readonly #open = new Set<string>();
  readonly #sorted = new Map<string, readonly Entry[]>();
  readonly #listeners = new Set<() => void>();
  #rows: readonly Row[] | null = null;

  constructor(source: TreeSource, open: Iterable<string> = []) {
    this.#source = source;
    for (const folderId of open) this.#open.add(folderId);
  }

  /** Follows the tree until the returned function is called. */
  follow(): () => void {
    return this.#source.onChange(({ changes }) => this.#treeChanged(changes));
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** The same list for as long as nothing in it changes. */
  readonly rows = (): readonly Row[] => {
    this.#rows ??= [...this.#below(TOP, 1)];
    return this.#rows;
  };

  get open(): readonly string[] {
    return [...this.#open];
  }

  setOpen(folderId: string, isOpen: boolean): void {
    if (isOpen === this.#open.has(folderId)) return;
    if (isOpen) this.#open.add(folderId);
    else this.#open.delete(folderId);
    this.#changed();
  }

  /** Opens every folder that something is in. */
  reveal(fileId: string): void {
    let node = this.#source.node(fileId);
    const before = this.#open.size;
    while (node !== null && node.parentId !== TOP) {
      this.#open.add(node.parentId);
      node = this.#source.node(node.parentId);
    }
    if (this.#open.size !== before) this.#changed();
  }

  *#below(folderId: string, level: number): Generator<Row> {
    const entries = this.#entries(folderId);
    for (const [index, { fileId, name, kind }] of entries.entries()) {
      const isOpen = kind === "directory" && this.#open.has(fileId);
      const place = { parentId: folderId, level, position: index + 1, size: entries.length };
      yield { fileId, name, kind, ...place, isOpen };
      if (isOpen) yield* this.#below(fileId, level + 1);
    }
  }

  /** Folders first. */
  #entries(folderId: string): readonly Entry[] {
    let entries = this.#sorted.get(folderId);
    if (entries === undefined) {
      const rank = ({ kind }: Entry) => (kind === "directory" ? 0 : 1);
      const found = this.#source.children(folderId);
      entries = [...found].sort((one, other) => rank(one) - rank(other) || byName.compare(one.name, other.name));
      this.#sorted.set(folderId, entries);
    }
    return entries;
  }

  #treeChanged(changes: readonly NodeChange[] | null): void {
    if (changes === null) this.#sorted.clear();
    for (const { fileId, before, after } of changes ?? []) {
      for (const node of [before, after]) if (node !== null) this.#sorted.delete(node.parentId);
      if (after === null) this.#sorted.delete(fileId);
    }
    this.#changed();
  }

  #changed(): void {
    this.#rows = null;
    for (const listener of [...this.#listeners]) listener();
  }
}

/** What a key does in a tree (the pattern of the ARIA guide): another row, or a folder that opens or closes. */
export interface Step {
  readonly to?: number;
  readonly open?: boolean;
}

/** Null: the key means nothing here. `page`: how many rows are in sight. */
export function stepOf(key: string, rows: readonly Row[], at: number, page: number): Step | null {
  const row = rows[at];
  const last = rows.length - 1;
  if (row === undefined) return null;
  const isFolder = row.kind === "directory";
  switch (key) {
    case "ArrowDown":
      return { to: Math.min(last, at + 1) };
    case "ArrowUp":
      return { to: Math.max(0, at - 1) };
    case "PageDown":
      return { to: Math.min(last, at + page) };
    case "PageUp":
      return { to: Math.max(0, at - page) };
    case "Home":
      return { to: 0 };
    case "End":
      return { to: last };
    case "ArrowRight":
      if (!isFolder) return null;
      return row.isOpen ? { to: Math.min(last, at + 1) } : { open: true };
    case "ArrowLeft":
      if (isFolder && row.isOpen) return { open: false };
      return { to: Math.max(0, row.parentId === TOP ? at : rows.findIndex(({ fileId }) => fileId === row.parentId)) };
    default:
      return null;
  }
}

/** The next row whose name begins so, this one last; while several letters are typed, this one first. */
export function typedAhead(typed: string, rows: readonly Row[], at: number): number | null {
  const isOne = new Set(typed).size === 1;
  const wanted = (isOne ? (typed[0] ?? "") : typed).toLowerCase();
  const first = isOne ? at + 1 : at;
  for (let step = 0; step < rows.length; step += 1) {
    const index = (first + step) % rows.length;
    if (rows[index]?.name.toLowerCase().startsWith(wanted)) return index;
  }
  return null;
}
