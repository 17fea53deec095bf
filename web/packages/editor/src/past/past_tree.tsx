/** The files as they were. Only folders that are open are asked for, and only rows in sight are drawn. */

import { IconChevronDown, IconChevronRight, IconFile, IconFolder } from "@tabler/icons-react";
import { keepPreviousData, useQueries } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { textOf } from "../api/problem";
import { ROW_HEIGHT, useSight } from "../workspace/sight";
import { type EntryList, listFolder, pastKeys } from "./api";

interface Props {
  readonly workspaceId: string;
  readonly at: number;
  readonly shownId: string;
  /** Where the file that is shown was; "": that is not known. */
  readonly shownPath: string;
  readonly onShow: (fileId: string) => void;
  /** A folder was opened, or closed. */
  readonly onFolder: (path: string) => void;
}

/** A file or folder, or what there is to say of a folder. */
export type PastRow =
  | { readonly level: number; readonly entry: EntryList["items"][number]; readonly isOpen: boolean }
  | { readonly level: number; readonly folder: string; readonly said: string };

/** What is known of a folder: its entries, or why it has none to show; undefined: it is on its way. */
export type KnownFolder = EntryList["items"] | string | undefined;

export function PastTree({ workspaceId, at, shownId, shownPath, onShow, onFolder }: Props) {
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const place = useRef<HTMLElement>(null);
  useEffect(() => setOpen((before) => new Set([...before, ...foldersAbove(shownPath)])), [shownPath]);
  const folders = ["", ...open];
  const found = useQueries({
    queries: folders.map((folder) => ({
      queryKey: pastKeys.folder(workspaceId, folder, at),
      queryFn: ({ signal }: { signal: AbortSignal }) => listFolder(workspaceId, folder, at, signal),
      staleTime: Number.POSITIVE_INFINITY,
      gcTime: 60_000,
      placeholderData: keepPreviousData<EntryList>,
    })),
  });
  const known = new Map<string, KnownFolder>(
    found.map(({ data, error }, index) => [folders[index] ?? "", error === null ? data?.items : textOf(error)]),
  );
  const seen = found.map(({ dataUpdatedAt, errorUpdatedAt }) => `${dataUpdatedAt} ${errorUpdatedAt}`).join();
  // biome-ignore lint/correctness/useExhaustiveDependencies: they are others when something has come
  const rows = useMemo(() => rowsOf(known, open), [seen, open, at]);
  const sight = useSight(place, rows.length);
  const toggle = (folder: string) => {
    const next = new Set(open);
    if (!next.delete(folder)) next.add(folder);
    setOpen(next);
    onFolder(folder);
  };
  return (
    <nav ref={place} className="co-past-tree" aria-label="Files, as they were" onScroll={sight.look}>
      <ul className="co-past-rows" style={{ height: rows.length * ROW_HEIGHT }}>
        {rows.slice(sight.from, sight.to).map((row, index) => {
          const style = { top: (sight.from + index) * ROW_HEIGHT, paddingLeft: `${(row.level - 1) * 0.85}rem` };
          if ("said" in row) {
            return (
              <li key={`said ${row.folder}`} className="co-past-none" style={style}>
                {row.said}
              </li>
            );
          }
          const { entry, isOpen } = row;
          const isFolder = entry.kind === "directory";
          const Twist = isOpen ? IconChevronDown : IconChevronRight;
          const Icon = isFolder ? IconFolder : IconFile;
          return (
            <li key={entry.fileId} style={style}>
              <button
                type="button"
                title={entry.name}
                aria-expanded={isFolder ? isOpen : undefined}
                aria-current={entry.fileId === shownId}
                onClick={() => (isFolder ? toggle(entry.path) : onShow(entry.fileId))}
              >
                {isFolder ? (
                  <Twist className="co-past-twist" size={14} aria-hidden />
                ) : (
                  <span className="co-past-twist" />
                )}
                <Icon size={16} aria-hidden />
                <bdi>{entry.name}</bdi>
              </button>
            </li>
          );
        })}
      </ul>
    </nav>
  );
}

/** Folders first, what is in an open one behind it. */
export function rowsOf(known: ReadonlyMap<string, KnownFolder>, open: ReadonlySet<string>): PastRow[] {
  const rows: PastRow[] = [];
  const add = (folder: string, level: number) => {
    const items = known.get(folder);
    if (items === undefined) return;
    if (typeof items === "string" || items.length === 0) {
      rows.push({ level, folder, said: typeof items === "string" ? items : "Nothing was in here." });
      return;
    }
    for (const isFolder of [true, false]) {
      for (const entry of items) {
        if ((entry.kind === "directory") !== isFolder) continue;
        const isOpen = isFolder && open.has(entry.path);
        rows.push({ level, entry, isOpen });
        if (isOpen) add(entry.path, level + 1);
      }
    }
  };
  add("", 1);
  return rows;
}

function foldersAbove(path: string): string[] {
  const names = path.split("/");
  return names.slice(0, -1).map((_, index) => names.slice(0, index + 1).join("/"));
}
