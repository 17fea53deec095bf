/** The open files: links, so that each has an address. A middle click or Delete closes one. */

import type { Document, Workspace } from "@coscribe/client";
import { ActionIcon } from "@mantine/core";
import { IconX } from "@tabler/icons-react";
import { useEffect, useRef } from "react";
import { Link } from "react-router";
import { statusText, type Tone } from "../editor/status_text";
import { useStatusOf } from "../editor/use_document";
import { addressOfWorkspace, folderIn, nameIn } from "./address";
import { useTree } from "./use_workspace";

interface Props {
  readonly workspace: Workspace;
  readonly files: readonly string[];
  readonly shownId: string;
  readonly texts: ReadonlyMap<string, Document>;
  readonly nameOf: (fileId: string) => string;
  /** A text is about to come to the front. */
  readonly onChoose: (fileId: string) => void;
  readonly onClose: (fileId: string) => void;
}

export function TabBar({ workspace, files, shownId, texts, nameOf, onChoose, onClose }: Props) {
  const list = useRef<HTMLUListElement>(null);
  const paths = useTree(workspace, () => JSON.stringify(files.map((fileId) => workspace.path(fileId) ?? "")));
  const known: string[] = JSON.parse(paths);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the file that is shown, and one that was just added, are to be seen
  useEffect(() => {
    list.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [shownId, files.length]);
  if (files.length === 0) return null;
  const names = known.map((path, index) => nameIn(path) || nameOf(files[index] ?? ""));
  return (
    <nav className="co-tabs" aria-label="Open files">
      <ul ref={list}>
        {files.map((fileId, index) => {
          const name = names[index] ?? "";
          const isAlone = names.filter((each) => each === name).length === 1;
          const document = texts.get(fileId);
          const close = () => onClose(fileId);
          return (
            <li key={fileId} data-shown={fileId === shownId || undefined}>
              <Link
                to={addressOfWorkspace(workspace.workspaceId, fileId)}
                aria-current={fileId === shownId ? "page" : undefined}
                title={known[index]}
                onClick={(event) => {
                  const isElsewhere = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
                  if (document !== undefined && !isElsewhere) onChoose(fileId);
                }}
                onMouseDown={(event) => event.button === 1 && event.preventDefault()}
                onAuxClick={(event) => {
                  if (event.button !== 1) return;
                  event.preventDefault();
                  close();
                }}
                onKeyDown={(event) => event.key === "Delete" && close()}
              >
                {document && <TabState document={document} />}
                <TabName workspace={workspace} fileId={fileId} name={name} />
                {!isAlone && <span className="co-tab-folder">{folderIn(known[index] ?? "") || "/"}</span>}
              </Link>
              <ActionIcon variant="subtle" color="gray" size="sm" aria-label={`Close ${name}`} onClick={close}>
                <IconX size={14} aria-hidden />
              </ActionIcon>
            </li>
          );
        })}
      </ul>
    </nav>
  );
}

function TabName({ workspace, fileId, name }: { workspace: Workspace; fileId: string; name: string }) {
  const isTrashed = useTree(workspace, () => workspace.isTrashed(fileId));
  if (!isTrashed) return <bdi className="co-tab-name">{name}</bdi>;
  return (
    <>
      <s className="co-tab-name">
        <bdi>{name}</bdi>
      </s>
      <span className="co-hidden"> (deleted)</span>
    </>
  );
}

/** Seen only where there is something to know: all is saved in the others. */
function TabState({ document }: { readonly document: Document }) {
  const seen = useStatusOf(document, (status) => {
    const { tone, label } = statusText(status, true);
    return `${status.patches.length > 0 ? "bad" : tone} ${status.patches.length > 0 ? "Edits could not be applied" : label}`;
  });
  const tone = seen.slice(0, seen.indexOf(" ")) as Tone;
  const label = seen.slice(tone.length + 1);
  if (tone === "good" || tone === "quiet") return null;
  return (
    <>
      <span className="co-tab-state" data-tone={tone} title={label} />
      <span className="co-hidden">{label}: </span>
    </>
  );
}
