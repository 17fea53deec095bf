/** One's documents: find, make, import, export; and the invitations that wait. */

import { Button, FileButton, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { IconPlus, IconSearch } from "@tabler/icons-react";
import { type DragEvent, useEffect, useRef, useState } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";
import { exportDocuments, listDocuments } from "../api/documents";
import { keys } from "../api/keys";
import type { DocumentRow } from "../api/models";
import { Problem } from "../api/problem";
import { attempt } from "../parts/dialogs";
import { download } from "../parts/download";
import { PagedList } from "../parts/more";
import { Page } from "../parts/page";
import { RowMenu } from "../parts/row_menu";
import { useSession } from "../session";
import { OfflineNotice } from "../states/offline";
import { makeDocument, makeWorkspace } from "./actions";
import { ImportDialog } from "./import_dialog";
import { Inbox } from "./inbox";
import { isListName, LISTS, type ListName } from "./lists";
import { OnDevice } from "./on_device";
import { addressOfDocument, addressOfItem, moveAmongRows, Row } from "./row";
import { welcome } from "./welcome";

export default function DocumentsPage() {
  const { account, status } = useSession();
  const [parameters] = useSearchParams();
  const [search, setSearch] = useState("");
  const [searched] = useDebouncedValue(search.trim(), 200);
  const [files, setFiles] = useState<readonly File[]>([]);
  const searchInput = useRef<HTMLInputElement>(null);
  const navigate = useNavigate();
  const dropping = useDrop(setFiles);
  const named = parameters.get("list");
  const name: ListName = isListName(named) ? named : "all";
  const list = LISTS[name];
  const isOffline = status === "offline";
  const userId = account?.userId ?? "";
  const open = (made: DocumentRow) => navigate(addressOfItem(made));

  useWelcome(isOffline ? "" : userId);
  useSlash(searchInput);

  return (
    <div className="whole" {...dropping.handlers}>
      <Page
        title="Documents"
        actions={
          !isOffline && (
            <>
              <FileButton multiple accept="text/*,.md,.txt,.csv,.json,.tex,.py,.js,.ts,.yaml,.toml" onChange={setFiles}>
                {(props) => (
                  <Button variant="default" {...props}>
                    Import
                  </Button>
                )}
              </FileButton>
              <Button variant="default" onClick={() => attempt(() => makeWorkspace(open))}>
                New workspace
              </Button>
              <Button
                leftSection={<IconPlus size={16} aria-hidden />}
                onClick={() => attempt(() => makeDocument(open))}
              >
                New document
              </Button>
              <RowMenu label="More" actions={[{ text: "Export all as a zip file", action: exportAll }]} />
            </>
          )
        }
      >
        {isOffline ? (
          <>
            <OfflineNotice>What you have opened on this device can be read and edited; it is sent later.</OfflineNotice>
            <OnDevice userId={userId} />
          </>
        ) : (
          <>
            <Inbox />
            <div className="bar">
              <nav className="tabs" aria-label="Which documents">
                {Object.entries(LISTS).map(([key, { text }]) => (
                  <Link
                    key={key}
                    to={key === "all" ? "/" : `/?list=${key}`}
                    aria-current={key === name ? "page" : undefined}
                  >
                    {text}
                  </Link>
                ))}
              </nav>
              <TextInput
                className="search"
                type="search"
                ref={searchInput}
                aria-label="Find by name"
                placeholder="Find by name"
                leftSection={<IconSearch size={16} aria-hidden />}
                value={search}
                onChange={(event) => setSearch(event.currentTarget.value)}
              />
            </div>
            {/* biome-ignore lint/a11y/noStaticElementInteractions: arrow keys only help those who are on a link in it */}
            <div onKeyDown={moveAmongRows}>
              <PagedList
                name={keys.list(name, searched)}
                page={(cursor, signal) => listDocuments(list.listing, searched, cursor, signal)}
                idOf={(item) => item.documentId}
                row={(item) => <Row item={item} />}
                label={`Documents: ${list.text}`}
                failed={(error) =>
                  error instanceof Problem && error.isUnreachable ? (
                    <>
                      <OfflineNotice />
                      <OnDevice userId={userId} />
                    </>
                  ) : null
                }
                empty={
                  <div className="empty">
                    <p role="status">{searched ? `No document has “${searched}” in its name.` : list.empty}</p>
                    {!searched && (name === "all" || name === "mine") && (
                      <div className="actions">
                        <Button variant="default" onClick={() => attempt(() => makeDocument(open))}>
                          Create a document
                        </Button>
                      </div>
                    )}
                  </div>
                }
              />
            </div>
          </>
        )}
      </Page>
      {dropping.isOver && <div className="drop">Drop text files to import them</div>}
      <ImportDialog files={files} onClose={() => setFiles([])} />
    </div>
  );
}

async function exportAll(): Promise<void> {
  const { blob, name } = await exportDocuments();
  download(blob, name);
}

/** Files that are dragged over the page and dropped. */
function useDrop(take: (files: File[]) => void) {
  const [isOver, setOver] = useState(false);
  const hasFiles = (event: DragEvent) => event.dataTransfer.types.includes("Files");
  const handlers = {
    onDragOver: (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setOver(true);
    },
    onDragLeave: (event: DragEvent) => {
      if (event.relatedTarget === null) setOver(false);
    },
    onDrop: (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setOver(false);
      take([...event.dataTransfer.files]);
    },
  };
  return { isOver, handlers };
}

/** Only a courtesy: where it does not work out, the list is there all the same. */
function useWelcome(userId: string): void {
  const navigate = useNavigate();
  useEffect(() => {
    if (!userId) return;
    let isOver = false;
    welcome(userId).then(
      (documentId) => {
        if (documentId !== null && !isOver) navigate(addressOfDocument(documentId));
      },
      () => {},
    );
    return () => {
      isOver = true;
    };
  }, [userId, navigate]);
}

/** A slash goes to the search, as in other lists. */
function useSlash(input: React.RefObject<HTMLInputElement | null>): void {
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const inText = event.target instanceof HTMLElement && event.target.matches("input, textarea, select");
      if (event.key !== "/" || inText || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      input.current?.focus();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [input]);
}
