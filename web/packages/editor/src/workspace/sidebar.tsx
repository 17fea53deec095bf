/** Beside the text: the files, what can be made, and the trash. */

import type { Workspace } from "@coscribe/client";
import { ActionIcon, Button } from "@mantine/core";
import { IconDots, IconFilePlus, IconFolderPlus, IconSearch, IconTrash, IconUpload } from "@tabler/icons-react";
import { lazy, Suspense, useEffect, useRef, useState, useSyncExternalStore } from "react";
import type { Spot } from "../editor/spot";
import { attempt } from "../parts/dialogs";
import { say } from "../shell/say";
import { act, askWhere, download, folderFor, remove, rename, wordsOf } from "./acts";
import { type Gathered, gatherChosen } from "./gathering";
import { type Outline, TOP } from "./outline";
import type { RowMenuItem } from "./row_menu";
import { SearchPanel } from "./search";
import { Trash } from "./trash";
import { type Naming, TreeView } from "./tree_view";
import { UploadPanel } from "./upload_panel";
import type { Uploads } from "./uploads";
import { useTree, useTreeStatus } from "./use_workspace";

const RowMenuAt = lazy(() => import("./row_menu"));

interface Props {
  readonly workspace: Workspace;
  readonly outline: Outline;
  readonly uploads: Uploads;
  readonly shownId: string;
  readonly onOpen: (fileId: string, spot?: Spot) => void;
}

interface MenuAt {
  /** null: what can be uploaded. */
  readonly fileId: string | null;
  readonly at: { readonly x: number; readonly y: number };
}

export function Sidebar({ workspace, outline, uploads, shownId, onOpen }: Props) {
  const rows = useSyncExternalStore(outline.subscribe, outline.rows);
  const canEdit = useTreeStatus(workspace, (status) => status.canEdit);
  const inTrash = useTree(workspace, () => workspace.trashed().length);
  const [wantedId, setActive] = useState(shownId);
  const [naming, setNaming] = useState<Naming | null>(null);
  const [menu, setMenu] = useState<MenuAt | null>(null);
  const [isTrash, setTrash] = useState(false);
  const fileInput = useRef<HTMLInputElement>(null);
  const folderInput = useRef<HTMLInputElement>(null);
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
      rename(workspace, done.fileId, name);
      return;
    }
    const made = act(() => workspace.create(name, done.folderId, { kind: done.kind }));
    if (made === undefined) return;
    setActive(made);
    if (done.kind === "text") onOpen(made);
  };
  const take = async (folderId: string, gathering: Gathered | Promise<Gathered>) => {
    if (workspace.status.state !== "live") return say("Files can be uploaded when the server can be reached.");
    if (uploads.state()?.isOver === false) return say("One upload at a time: this one is still under way.");
    try {
      const gathered = await gathering;
      if (gathered.files.length + gathered.folders.length + gathered.refused.length === 0) return undefined;
      if (folderId !== TOP) outline.setOpen(folderId, true);
      await uploads.begin(folderId, gathered);
    } catch (error) {
      say(wordsOf(error));
    }
    return undefined;
  };
  const input = (place: React.RefObject<HTMLInputElement | null>, isFolder: boolean) => (
    <input
      ref={place}
      type="file"
      hidden
      multiple
      // @ts-expect-error React does not know it
      webkitdirectory={isFolder ? "" : undefined}
      onChange={(event) => {
        const files = [...(event.currentTarget.files ?? [])];
        event.currentTarget.value = "";
        void take(folderFor(workspace, chosenId), gatherChosen(files));
      }}
    />
  );

  type Press = (event: React.MouseEvent<HTMLElement>) => void;
  const button = (label: string, Icon: typeof IconDots, action: Press, popup?: "menu") => (
    <ActionIcon
      variant="subtle"
      color="gray"
      size="lg"
      aria-label={label}
      title={label}
      aria-haspopup={popup}
      onClick={action}
    >
      <Icon size={18} aria-hidden />
    </ActionIcon>
  );
  const itemsOf = (fileId: string | null): RowMenuItem[] => {
    if (fileId === null) {
      return [
        { text: "Upload files…", action: () => fileInput.current?.click() },
        { text: "Upload a folder…", action: () => folderInput.current?.click() },
      ];
    }
    const isFolder = workspace.node(fileId)?.kind === "directory";
    const path = workspace.path(fileId) ?? "";
    const looking: RowMenuItem[] = [
      ...(isFolder ? [] : [{ text: "Open", keys: "Enter", action: () => onOpen(fileId) }]),
      { text: "Copy its path", action: () => void attempt(() => copy(path)) },
      ...(isFolder && !canEdit
        ? []
        : [{ text: isFolder ? "Download as a zip file" : "Download", action: () => download(workspace, fileId) }]),
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
            {button("Upload", IconUpload, (event) => setMenu({ fileId: null, at: below(event.currentTarget) }), "menu")}
            {input(fileInput, false)}
            {input(folderInput, true)}
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
        {activeId !== TOP &&
          !isSearching &&
          button(
            "Actions for the chosen file",
            IconDots,
            (event) => setMenu({ fileId: activeId, at: below(event.currentTarget) }),
            "menu",
          )}
      </div>
      {isSearching && <SearchPanel workspaceId={workspace.workspaceId} onOpen={onOpen} />}
      {!isSearching && rows.length === 0 && naming === null && (
        <p className="co-side-empty">
          {canEdit ? "No files yet. Make the first one, or drop files and folders here." : "No files yet."}
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
          onDropped={(folderId, gathered) => void take(folderId, gathered)}
        />
      )}
      <UploadPanel uploads={uploads} />
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
            label={menu.fileId === null ? "Upload" : `Actions for ${workspace.path(menu.fileId)}`}
            at={menu.at}
            items={itemsOf(menu.fileId)}
            onClose={() => setMenu(null)}
          />
        )}
      </Suspense>
    </nav>
  );
}

/** Where a menu of a button begins. */
function below(button: HTMLElement): { x: number; y: number } {
  const { left, bottom } = button.getBoundingClientRect();
  return { x: left, y: bottom };
}

async function copy(path: string): Promise<void> {
  await navigator.clipboard.writeText(path);
  say("Copied.");
}
