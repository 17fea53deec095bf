/**
 * The files as a tree, by the ARIA pattern: one stop of the Tab key, arrow keys within. The focus stays on the tree, which
 * says what row is meant (`aria-activedescendant`), so that only the rows in sight have to be in the page.
 */

import type { Workspace } from "@coscribe/client";
import { IconChevronDown, IconChevronRight, IconFile, IconFileDigit, IconFolder, IconLink } from "@tabler/icons-react";
import { type DragEvent, type KeyboardEvent, useEffect, useLayoutEffect, useRef, useState } from "react";
import { doAgain, folderFor, moveInto, remove, takeBack } from "./acts";
import { type Gathered, gatherDropped } from "./gathering";
import { type Outline, type Row, stepOf, TOP, typedAhead } from "./outline";
import { ROW_HEIGHT, useSight } from "./sight";

/** Letters that follow each other sooner (milliseconds) are one name's beginning. */
const TYPING_PAUSE = 700;
/** A closed folder opens when something is held over it for so long. */
const OPENS_AFTER = 700;

const MINE = "application/x-coscribe-file";

/** A name that is being typed: of something new in a folder, or another one of what is there. */
export type Naming =
  | { readonly what: "new"; readonly kind: "text" | "directory"; readonly folderId: string }
  | { readonly what: "rename"; readonly fileId: string };

interface Props {
  readonly workspace: Workspace;
  readonly outline: Outline;
  readonly rows: readonly Row[];
  /** The row that keys are about. */
  readonly activeId: string;
  /** The file that is shown. */
  readonly shownId: string;
  readonly canEdit: boolean;
  readonly naming: Naming | null;
  readonly onActive: (fileId: string) => void;
  readonly onOpen: (fileId: string) => void;
  readonly onNaming: (naming: Naming | null) => void;
  readonly onNamed: (naming: Naming, name: string) => void;
  readonly onMenu: (fileId: string, at: { x: number; y: number }) => void;
  readonly onDropped: (folderId: string, gathered: Promise<Gathered>) => void;
}

type Line = Row | Extract<Naming, { what: "new" }>;

export function TreeView(props: Props) {
  const { workspace, outline, rows, activeId, canEdit, naming } = props;
  const place = useRef<HTMLDivElement>(null);
  const typed = useRef({ text: "", at: 0 });
  const lines = withNew(rows, naming);
  const at = lines.findIndex((line) => "fileId" in line && line.fileId === activeId);
  const sight = useSight(place, lines.length);
  const drop = useDropping(props);

  // biome-ignore lint/correctness/useExhaustiveDependencies: the row that is meant comes in sight, also when another list is drawn
  useEffect(() => sight.show(at), [at, lines.length]);

  const go = (index: number) => {
    const row = rows[index];
    if (row !== undefined) props.onActive(row.fileId);
  };
  const press = (event: KeyboardEvent) => {
    const isMod = (event.ctrlKey || event.metaKey) && !event.altKey;
    const key = event.key.toLowerCase();
    if (isMod && canEdit && (key === "z" || key === "y")) {
      if (key === "y" || event.shiftKey) doAgain(workspace);
      else takeBack(workspace);
      event.preventDefault();
      return;
    }
    const index = Math.max(0, rows.indexOf(rows.find((row) => row.fileId === activeId) as Row));
    const row = rows[index];
    if (row === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    const isBegun = typed.current.text !== "";
    if (event.key.length > 1) typed.current = { text: "", at: 0 }; // what is typed behind another key begins anew
    const step = stepOf(event.key, rows, index, sight.page);
    if (step !== null) {
      if (step.to !== undefined) go(step.to);
      if (step.open !== undefined) outline.setOpen(row.fileId, step.open);
    } else if (event.key === "Enter" || (event.key === " " && !isBegun)) {
      openRow(row);
    } else if (event.key === "F2" && canEdit) props.onNaming({ what: "rename", fileId: row.fileId });
    else if (event.key === "Delete" && canEdit) {
      go(index + 1 < rows.length ? index + 1 : index - 1);
      remove(workspace, row.fileId);
    } else if (event.key === "ContextMenu" || (event.key === "F10" && event.shiftKey)) {
      const box = place.current?.querySelector(`#${rowId(row.fileId)}`)?.getBoundingClientRect();
      props.onMenu(row.fileId, { x: (box?.left ?? 0) + 24, y: box?.bottom ?? 0 });
    } else if (event.key.length === 1) typeAhead(event.key, index, event.timeStamp);
    else return;
    event.preventDefault();
  };
  const typeAhead = (letter: string, index: number, time: number) => {
    const goesOn = time - typed.current.at < TYPING_PAUSE;
    typed.current = { text: goesOn ? typed.current.text + letter : letter, at: time };
    const found = typedAhead(typed.current.text, rows, index);
    if (found !== null) go(found);
  };
  const openRow = (row: Row) => {
    props.onActive(row.fileId);
    if (row.kind === "directory") outline.setOpen(row.fileId, !row.isOpen);
    else props.onOpen(row.fileId);
  };

  const isActiveSeen = at >= sight.from && at < sight.to;
  return (
    <div
      ref={place}
      className="co-tree"
      role="tree"
      aria-label="Files"
      aria-activedescendant={isActiveSeen ? rowId(activeId) : undefined}
      tabIndex={0}
      data-drop={drop.over === TOP || undefined}
      onKeyDown={press}
      onScroll={sight.look}
      {...drop.on(TOP)}
    >
      <div className="co-tree-space" role="none" style={{ height: lines.length * ROW_HEIGHT }}>
        {lines.slice(sight.from, sight.to).map((line, index) => {
          const top = (sight.from + index) * ROW_HEIGHT;
          if (!("fileId" in line)) {
            return <NewLine key="new" {...props} naming={line} top={top} level={levelOf(rows, line.folderId) + 1} />;
          }
          return (
            // biome-ignore lint/a11y/useFocusableInteractive: the tree has the focus and names the row
            // biome-ignore lint/a11y/useKeyWithClickEvents: keys are pressed on the tree
            <div
              key={line.fileId}
              id={rowId(line.fileId)}
              className="co-row"
              role="treeitem"
              aria-level={line.level}
              aria-posinset={line.position}
              aria-setsize={line.size}
              aria-expanded={line.kind === "directory" ? line.isOpen : undefined}
              aria-selected={line.fileId === props.shownId}
              data-active={line.fileId === activeId || undefined}
              data-drop={drop.over === line.fileId || undefined}
              title={line.name}
              style={{ top, paddingLeft: indent(line.level) }}
              draggable={canEdit}
              onDragStart={(event) => {
                event.dataTransfer.setData(MINE, line.fileId);
                event.dataTransfer.effectAllowed = "move";
              }}
              onClick={() => openRow(line)}
              onContextMenu={(event) => {
                event.preventDefault();
                props.onActive(line.fileId);
                props.onMenu(line.fileId, { x: event.clientX, y: event.clientY });
              }}
              {...drop.on(folderFor(workspace, line.fileId), line)}
            >
              <RowIcon row={line} />
              {naming?.what === "rename" && naming.fileId === line.fileId ? (
                <NameInput {...props} label={`New name of ${line.name}`} value={line.name} naming={naming} />
              ) : (
                <bdi className="co-row-name">{line.name}</bdi>
              )}
            </div>
          );
        })}
      </div>
    </div>
  );
}

type NamingProps = Pick<Props, "onNaming" | "onNamed">;

function NewLine({
  naming,
  top,
  level,
  ...props
}: NamingProps & { naming: Extract<Naming, { what: "new" }>; top: number; level: number }) {
  const isFolder = naming.kind === "directory";
  const Icon = isFolder ? IconFolder : IconFile;
  return (
    // biome-ignore lint/a11y/useFocusableInteractive: its input has the focus
    <div
      className="co-row"
      role="treeitem"
      aria-level={level}
      aria-selected={false}
      style={{ top, paddingLeft: indent(level) }}
    >
      <span className="co-row-twist" />
      <Icon size={16} aria-hidden />
      <NameInput
        label={isFolder ? "Name of the new folder" : "Name of the new file"}
        value=""
        naming={naming}
        {...props}
      />
    </div>
  );
}

/** Enter and leaving it take the name, Escape does not. */
function NameInput({
  label,
  value,
  naming,
  onNaming,
  onNamed,
}: NamingProps & { label: string; value: string; naming: Naming }) {
  const input = useRef<HTMLInputElement>(null);
  const isOver = useRef(false);
  useLayoutEffect(() => {
    input.current?.focus();
    const dot = value.lastIndexOf(".");
    input.current?.setSelectionRange(0, dot > 0 ? dot : value.length);
  }, [value]);
  const end = (isTaken: boolean, hasFocus: boolean) => {
    if (isOver.current) return;
    isOver.current = true;
    const tree = input.current?.closest<HTMLElement>("[role=tree]");
    const name = input.current?.value.trim() ?? "";
    if (isTaken && name !== "" && name !== value) onNamed(naming, name);
    onNaming(null);
    if (hasFocus && document.activeElement === input.current) tree?.focus(); // a new file has it already
  };
  return (
    <input
      ref={input}
      className="co-row-input"
      aria-label={label}
      defaultValue={value}
      maxLength={255}
      autoComplete="off"
      spellCheck={false}
      onClick={(event) => event.stopPropagation()}
      onBlur={() => end(true, false)}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key === "Enter") {
          event.preventDefault(); // else the line break goes to whatever has the focus by then
          end(true, true);
        }
        if (event.key === "Escape") end(false, true);
      }}
    />
  );
}

function RowIcon({ row }: { readonly row: Row }) {
  if (row.kind === "directory") {
    const Twist = row.isOpen ? IconChevronDown : IconChevronRight;
    return (
      <>
        <span className="co-row-twist">
          <Twist size={14} aria-hidden />
        </span>
        <IconFolder size={16} aria-hidden />
      </>
    );
  }
  const Icon = { text: IconFile, binary: IconFileDigit, symlink: IconLink }[row.kind];
  return (
    <>
      <span className="co-row-twist" />
      <Icon size={16} aria-hidden />
    </>
  );
}

/** Rows that are dragged to another folder, and files from elsewhere. */
function useDropping({ workspace, outline, canEdit, onDropped }: Props) {
  const [over, setOver] = useState<string | null>(null);
  const waiting = useRef(0);
  const leave = () => {
    clearTimeout(waiting.current);
    setOver(null);
  };
  const on = (folderId: string, row?: Row) => ({
    onDragOver: (event: DragEvent) => {
      const { types } = event.dataTransfer;
      if (!canEdit || !(types.includes(MINE) || types.includes("Files"))) return;
      event.preventDefault();
      event.stopPropagation();
      if (over === folderId) return;
      clearTimeout(waiting.current);
      setOver(folderId);
      if (row?.kind === "directory" && !row.isOpen) {
        waiting.current = window.setTimeout(() => outline.setOpen(row.fileId, true), OPENS_AFTER);
      }
    },
    onDragLeave: (event: DragEvent) => {
      if (!(event.relatedTarget instanceof Node && event.currentTarget.contains(event.relatedTarget))) leave();
    },
    onDrop: (event: DragEvent) => {
      if (!canEdit) return;
      event.preventDefault();
      event.stopPropagation();
      leave();
      const fileId = event.dataTransfer.getData(MINE);
      if (fileId !== "") moveInto(workspace, fileId, folderId);
      else onDropped(folderId, gatherDropped(event.dataTransfer));
    },
  });
  return { over, on };
}

/** With the line of what is to be made: the first in its folder. */
function withNew(rows: readonly Row[], naming: Naming | null): readonly Line[] {
  if (naming?.what !== "new") return rows;
  const at = naming.folderId === TOP ? 0 : rows.findIndex(({ fileId }) => fileId === naming.folderId) + 1;
  return [...rows.slice(0, at), naming, ...rows.slice(at)];
}

function levelOf(rows: readonly Row[], folderId: string): number {
  return rows.find(({ fileId }) => fileId === folderId)?.level ?? 0;
}

function indent(level: number): string {
  return `${0.25 + Math.min(level - 1, 12) * 0.85}rem`;
}

function rowId(fileId: string): string {
  return `row-${fileId}`;
}
