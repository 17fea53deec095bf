/** The page of one document: its text, who is here, its state, and what can be done with it. */

import "./editor.css";
import type { Client, Document } from "@coscribe/client";
import { useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import { Navigate, useParams } from "react-router";
import { seeDocument } from "../api/documents";
import { keys } from "../api/keys";
import type { DocumentRow } from "../api/models";
import { Problem } from "../api/problem";
import { useSession } from "../session";
import { Failed } from "../states/failed";
import { NoAccess } from "../states/no_access";
import { NotOnThisDevice } from "../states/not_on_this_device";
import { Opening } from "../states/opening";
import { StorageRefused } from "../states/storage_refused";
import { Trashed } from "../states/trashed";
import { addressOfWorkspace } from "../workspace/address";
import { Bar } from "./bar";
import { clientOf } from "./connection";
import { TextEditor } from "./editor_view";
import { FollowedPerson } from "./followed_person";
import { keepName, keptName } from "./names";
import { Notices } from "./notices";
import { Patches } from "./patches";
import { Printed } from "./printed";
import { useStatusOf } from "./use_document";

/** Codes of a session that somebody else has ended: its page asks to sign in again. */
const SIGNED_OUT: ReadonlySet<string> = new Set(["session_ended", "sign_in_required", "account_locked"]);

/** Codes of a document that is not there for us. */
const GONE: ReadonlySet<string> = new Set(["file_not_found", "access_removed"]);

export default function EditorPage() {
  const { documentId = "" } = useParams();
  const { account, guest, accessToken } = useSession();
  const isGuest = account === null && guest?.documentId === documentId;
  const userId = account?.userId ?? null;
  const credential = useRef(accessToken);
  useEffect(() => {
    credential.current = accessToken;
  }, [accessToken]);
  const open = useCallback(() => clientOf(userId, () => credential.current()), [userId]);
  if (isGuest)
    return <OpenDocument key={documentId} documentId={documentId} open={open} item={null} name={guest.documentName} />;
  return <Described key={`${userId} ${documentId}`} documentId={documentId} open={open} />;
}

interface OpenProps {
  readonly documentId: string;
  readonly open: () => Client;
}

/** Name and role come by the API, the text by the client; neither waits for the other. */
function Described({ documentId, open }: OpenProps) {
  const item = useQuery({
    queryKey: keys.document(documentId),
    queryFn: ({ signal }) => seeDocument(documentId, signal),
  });
  const name = item.data?.name;
  useEffect(() => {
    if (name !== undefined) keepName(documentId, name);
  }, [documentId, name]);
  const problem = item.error instanceof Problem ? item.error : null;
  if (problem?.code === "file_not_found") return <NoAccess documentId={documentId} />;
  if (problem !== null && !problem.isUncertain) return <Failed error={problem} again={() => void item.refetch()} />;
  if (item.data?.status === "trashed") return <Trashed item={item.data} />;
  if (item.data?.kind === "workspace") return <Navigate to={addressOfWorkspace(documentId)} replace />;
  return (
    <OpenDocument
      documentId={documentId}
      open={open}
      item={item.data ?? null}
      name={name ?? keptName(documentId) ?? ""}
    />
  );
}

interface OpenDocumentProps extends OpenProps {
  /** null: a guest's, or not known while there is no connection. */
  readonly item: DocumentRow | null;
  readonly name: string;
}

function OpenDocument({ documentId, open, item, name }: OpenDocumentProps) {
  const [document, setDocument] = useState<Document | null>(null);
  useEffect(() => {
    const opened = open().open(documentId);
    setDocument(opened);
    return () => void opened.close();
  }, [documentId, open]);
  useEffect(() => {
    window.document.title = `${name || "Document"} · Coscribe`;
  }, [name]);
  return document === null ? null : <Shown document={document} item={item} name={name} />;
}

interface ShownProps {
  readonly document: Document;
  readonly item: DocumentRow | null;
  readonly name: string;
}

function Shown({ document, item, name }: ShownProps) {
  const state = useStatusOf(document, (status) => status.state);
  const error = useStatusOf(document, (status) => status.error);
  const hasText = useStatusOf(document, (status) => status.hasText);
  const isKept = useStatusOf(document, (status) => status.isKept);
  const [followed] = useState(() => new FollowedPerson());
  const giveBack = useCallback(
    (error: unknown, edits: readonly { insert: string }[]) => {
      const text = edits.map((edit) => edit.insert).join("\n");
      void document.takePatches([{ code: "not_taken", detail: `It was not taken in: ${error}.`, edits: [], text }]);
    },
    [document],
  );
  const { reload } = useSession();
  const isSignedOut = error !== null && SIGNED_OUT.has(error.code);
  useEffect(() => {
    if (isSignedOut) void reload();
  }, [isSignedOut, reload]);
  const title = name || "Document";
  if (error?.code === "not_a_text") return <Navigate to={addressOfWorkspace(document.fileId)} replace />;
  if (state === "ended") {
    const isGone = error !== null && GONE.has(error.code);
    return (
      <>
        <Patches document={document} name={title} />
        {isGone ? <NoAccess documentId={document.fileId} /> : <Failed error={error} again={() => location.reload()} />}
      </>
    );
  }
  return (
    <div className="co-page">
      <Bar document={document} item={item} name={title} followed={followed} />
      <Notices item={item} />
      {!isKept && item !== null && <StorageRefused />}
      <Patches document={document} name={title} />
      {hasText ? (
        <TextEditor document={document} name={title} followed={followed} onRefused={giveBack} />
      ) : state === "offline" ? (
        <NotOnThisDevice />
      ) : (
        <Opening />
      )}
      <Printed document={document} name={title} />
    </div>
  );
}
