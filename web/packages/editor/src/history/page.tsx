/** The history of a document: who edited it when, its text at any version, played like a film, compared, brought back. */

import "../editor/editor.css";
import "./history.css";
import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "react-router";
import { seeDocument } from "../api/documents";
import { keys } from "../api/keys";
import { Problem } from "../api/problem";
import { Failed } from "../states/failed";
import { NoAccess } from "../states/no_access";
import { Opening } from "../states/opening";
import { State } from "../states/state";
import { Trashed } from "../states/trashed";
import { historyKeys, seePresent } from "./api";
import { History } from "./history";

/** What hides a document from somebody: it is not said whether it is there. */
const HIDDEN = ["document_not_found", "file_not_found", "invalid_file_id"];

export default function HistoryPage() {
  const { documentId = "" } = useParams();
  const item = useQuery({
    queryKey: keys.document(documentId),
    queryFn: ({ signal }) => seeDocument(documentId, signal),
  });
  const isReader = item.data?.role === "viewer";
  const present = useQuery({
    queryKey: historyKeys.present(documentId),
    queryFn: ({ signal }) => seePresent(documentId, signal),
    enabled: item.data?.status !== "trashed" && item.data !== undefined && !isReader,
    // The film ends where it was opened: what comes later shows when it is opened again.
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });
  const failed = item.isError ? item : present;
  if (failed.isError && failed.data === undefined) {
    const code = failed.error instanceof Problem ? failed.error.code : "";
    if (HIDDEN.includes(code)) return <NoAccess documentId={documentId} />;
    if (code === "permission_denied") return <ForEditors documentId={documentId} />;
    return (
      <State title="The history did not open" text="Nothing of it is lost: it is kept on the server.">
        <Failed error={failed.error} again={() => void failed.refetch()} />
      </State>
    );
  }
  if (item.data?.status === "trashed") return <Trashed item={item.data} />;
  if (isReader) return <ForEditors documentId={documentId} />;
  if (item.data === undefined || present.data === undefined) return <Opening />;
  if (present.data.documentVersion === 0) return <NothingYet documentId={documentId} name={item.data.name} />;
  return <History key={documentId} item={item.data} present={present.data} />;
}

function ForEditors({ documentId }: { documentId: string }) {
  return (
    <State
      title="The history is for editors"
      text="It shows what was deleted, too, so only those who may edit the document see it. Ask one of its owners to make you an editor."
    >
      <BackToDocument documentId={documentId} />
    </State>
  );
}

function NothingYet({ documentId, name }: { documentId: string; name: string }) {
  return (
    <State title="Nothing has been written yet" text={`“${name}” has no history: it begins with the first edit.`}>
      <BackToDocument documentId={documentId} />
    </State>
  );
}

function BackToDocument({ documentId }: { documentId: string }) {
  return (
    <Button component={Link} variant="default" to={`/d/${encodeURIComponent(documentId)}`}>
      To the document
    </Button>
  );
}
