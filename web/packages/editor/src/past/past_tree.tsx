/** The files as they were. Only folders that are open are asked for. */

import { IconChevronDown, IconChevronRight, IconFile, IconFolder } from "@tabler/icons-react";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { textOf } from "../api/problem";
import { listFolder, pastKeys } from "./api";

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

export function PastTree(props: Props) {
  const { shownPath, onFolder } = props;
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  useEffect(() => setOpen((before) => new Set([...before, ...foldersAbove(shownPath)])), [shownPath]);
  const toggle = (folder: string) => {
    const next = new Set(open);
    if (!next.delete(folder)) next.add(folder);
    setOpen(next);
    onFolder(folder);
  };
  return (
    <nav className="co-past-tree" aria-label="Files, as they were">
      <Folder {...props} folder="" open={open} onToggle={toggle} />
    </nav>
  );
}

interface FolderProps extends Props {
  readonly folder: string;
  readonly open: ReadonlySet<string>;
  readonly onToggle: (folder: string) => void;
}

function Folder(props: FolderProps) {
  const { workspaceId, folder, at, shownId, open, onShow, onToggle } = props;
  const found = useQuery({
    queryKey: pastKeys.folder(workspaceId, folder, at),
    queryFn: ({ signal }) => listFolder(workspaceId, folder, at, signal),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
    placeholderData: keepPreviousData,
  });
  if (found.isError) return <p className="co-past-said">{textOf(found.error)}</p>;
  const items = found.data?.items ?? [];
  if (items.length === 0) return found.isPending ? null : <p className="co-past-said">Nothing was in here.</p>;
  const rank = (kind: string) => (kind === "directory" ? 0 : 1);
  const sorted = [...items].sort((one, other) => rank(one.kind) - rank(other.kind));
  return (
    <ul aria-busy={found.isPlaceholderData}>
      {sorted.map(({ fileId, path, name, kind }) => {
        if (kind !== "directory") {
          return (
            <li key={fileId}>
              <button type="button" aria-current={fileId === shownId} onClick={() => onShow(fileId)}>
                <span className="co-past-twist" />
                <IconFile size={16} aria-hidden />
                <bdi>{name}</bdi>
              </button>
            </li>
          );
        }
        const isOpen = open.has(path);
        const Twist = isOpen ? IconChevronDown : IconChevronRight;
        return (
          <li key={fileId}>
            <button type="button" aria-expanded={isOpen} onClick={() => onToggle(path)}>
              <Twist className="co-past-twist" size={14} aria-hidden />
              <IconFolder size={16} aria-hidden />
              <bdi>{name}</bdi>
            </button>
            {isOpen && <Folder {...props} folder={path} />}
          </li>
        );
      })}
    </ul>
  );
}

function foldersAbove(path: string): string[] {
  const names = path.split("/");
  return names.slice(0, -1).map((_, index) => names.slice(0, index + 1).join("/"));
}
