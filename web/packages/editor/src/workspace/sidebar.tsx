/** Beside the text: the files, what can be made, and the trash. */

import type { Workspace } from "@coscribe/client";
import { ActionIcon, Button, FileButton } from "@mantine/core";
import { IconDots, IconFilePlus, IconFolderPlus, IconSearch, IconTrash, IconUpload } from "@tabler/icons-react";
import { lazy, Suspense, useEffect, useState, useSyncExternalStore } from "react";
import type { Spot } from "../editor/spot";
import { attempt } from "../parts/dialogs";
import { say } from "../shell/say";
import { act, askWhere, folderFor, remove, uploadInto } from "./acts";
import { type Outline, TOP } from "./outline";
import type { RowMenuItem } from "./row_menu";
import { SearchPanel } from "./search";
import { Trash } from "./trash";
import { type Naming, TreeView } from "./tree_view";
import { useTree, useTreeStatus } from "./use_workspace";

const RowMenuAt = lazy(() => import("./row_menu"));

interface Props {
  readonly workspace: Workspace;
  readonly outline: Outline;
  readonly shownId: string;
  readonly onOpen: (fileId: string, spot?: Spot) => void;
  readonly isShown: (fileId: string) => boolean;
}

interface MenuAt {
  readonly fileId: string;
  readonly at: { readonly x: number; readonly y: number };
}

export function Sidebar({ workspace, outline, shownId, onOpen, isShown }: Props) {
  const rows = useSyncExternalStore(outline.subscribe, outline.rows);
  const canEdit = useTreeStatus(workspace, (status) => status.canEdit);
  const inTrash = useTree(workspace, () => workspace.trashed().length);
  const [wantedId, setActive] = useState(shownId);
  const [naming, setNaming] = useState<Naming | null>(null);
  const [menu, setMenu] = useState<MenuAt | null>(null);
  const [isTrash, setTrash] = useState(false);
  const [isSearching, setSearching] = useState(false);
  const chosenId = rows.some((row) => row.fileId === wantedId) ? wantedId : TOP;
  const activeId = chosenId === TOP ? (rows[0]?.fileId ?? TOP) : chosenId;

  useEffect(() => {
    if (shownId === "") return;
    outline.reveal(shownId);
    setActive(shownId);
  }, [shownId, outline]);

  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (!((event.ctrlKey || event.metaKey) && event.shiftKey && event.key.toLowerCase() === "f")) return;
      event.preventDefault();
      setSearching(true);
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);

  const make = (kind: "text" | "directory", nearId = chosenId) => {
    const folderId = folderFor(workspace, nearId);
    if (folderId !== TOP) outline.setOpen(folderId, true);
    setNaming({ what: "new", kind, folderId });
  };
  const named = (done: Naming, name: string) => {
    if (done.what === "rename") {
      act(() => workspace.move(done.fileId, { name }));
      return;
    }
    const made = act(() => workspace.create(name, done.folderId, { kind: done.kind }));
    if (made === undefined) return;
    setActive(made);
    if (done.kind === "text") onOpen(made);
  };
  const take = (folderId: string, files: readonly File[]) => {
    if (folderId !== TOP) outline.setOpen(folderId, true);
    void uploadInto(workspace, folderId, files, isShown);
  };

  const button = (label: string, Icon: typeof IconDots, action: () => void) => (
    <ActionIcon variant="subtle" color="gray" size="lg" aria-label={label} title={label} onClick={action}>
      <Icon size={18} aria-hidden />
    </ActionIcon>
  );
  const itemsOf = (fileId: string): RowMenuItem[] => {
    const isFolder = workspace.node(fileId)?.kind === "directory";
    const path = workspace.path(fileId) ?? "";
    const looking: RowMenuItem[] = [
      ...(isFolder ? [] : [{ text: "Open", keys: "Enter", action: () => onOpen(fileId) }]),
      { text: "Copy its path", action: () => void attempt(() => copy(path)) },
    ];
    if (!canEdit) return looking;
    return [
      ...looking,
      { text: "New file", action: () => make("text", fileId) },
      { text: "New folder", action: () => make("directory", fileId) },
      { text: "Rename", keys: "F2", action: () => setNaming({ what: "rename", fileId }) },
      { text: "Move…", action: () => void askWhere(workspace, fileId) },
      { text: "Delete", keys: "Del", isDangerous: true, action: () => remove(workspace, fileId) },
    ];
  };

  return (
    <nav className="co-side" aria-label="Files of the workspace">
      <div className="co-side-bar">
        {canEdit && !isSearching && (
          <>
            {button("New file", IconFilePlus, () => make("text"))}
            {button("New folder", IconFolderPlus, () => make("directory"))}
            <FileButton multiple onChange={(files) => take(folderFor(workspace, chosenId), files)}>
              {({ onClick }) => button("Upload text files", IconUpload, onClick)}
            </FileButton>
          </>
        )}
        <span className="co-side-gap">{isSearching && "Search in files"}</span>
        <ActionIcon
          variant={isSearching ? "filled" : "subtle"}
          color={isSearching ? "indigo" : "gray"}
          size="lg"
          aria-label="Search in files"
          title="Search in files (Ctrl Shift F)"
          aria-pressed={isSearching}
          onClick={() => setSearching(!isSearching)}
        >
          <IconSearch size={18} aria-hidden />
        </ActionIcon>
        {activeId !== TOP && !isSearching && (
          <ActionIcon
            variant="subtle"
            color="gray"
            size="lg"
            aria-label="Actions for the chosen file"
            title="Actions for the chosen file"
            aria-haspopup="menu"
            onClick={(event) => {
              const { left, bottom } = event.currentTarget.getBoundingClientRect();
              setMenu({ fileId: activeId, at: { x: left, y: bottom } });
            }}
          >
            <IconDots size={18} aria-hidden />
          </ActionIcon>
        )}
      </div>
      {isSearching && <SearchPanel workspaceId={workspace.workspaceId} onOpen={onOpen} />}
      {!isSearching && rows.length === 0 && naming === null && (
        <p className="co-side-empty">
          {canEdit ? "No files yet. Make the first one, or drop text files here." : "No files yet."}
        </p>
      )}
      {!isSearching && (
        <TreeView
          workspace={workspace}
          outline={outline}
          rows={rows}
          activeId={activeId}
          shownId={shownId}
          canEdit={canEdit}
          naming={naming}
          onActive={setActive}
          onOpen={onOpen}
          onNaming={setNaming}
          onNamed={named}
          onMenu={(fileId, at) => setMenu({ fileId, at })}
          onFiles={take}
        />
      )}
      <div className="co-side-foot">
        <Button
          size="compact-sm"
          variant="subtle"
          color="gray"
          aria-expanded={isTrash}
          leftSection={<IconTrash size={16} aria-hidden />}
          onClick={() => setTrash(!isTrash)}
        >
          Trash{inTrash > 0 && ` (${inTrash})`}
        </Button>
        {isTrash && <Trash workspace={workspace} canEdit={canEdit} />}
      </div>
      <Suspense>
        {menu !== null && (
          <RowMenuAt
            key={`${menu.fileId} ${menu.at.x} ${menu.at.y}`}
            label={`Actions for ${workspace.path(menu.fileId)}`}
            at={menu.at}
            items={itemsOf(menu.fileId)}
            onClose={() => setMenu(null)}
          />
        )}
      </Suspense>
    </nav>
  );
}

async function copy(path: string): Promise<void> {
  await navigator.clipboard.writeText(path);
  say("Copied.");
}
