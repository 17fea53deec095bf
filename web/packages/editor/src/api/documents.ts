/** Documents and workspaces: make, find, rename, duplicate, import, export, archive, trash, delete. */

import type { Checkpoint, DocumentRow, Page, Removal } from "./models";
import { change, get, newKey, path, query, send } from "./request";

export interface Listing {
  which?: "all" | "mine" | "shared" | "recent";
  status?: "active" | "archived" | "trashed";
}

/** A file that came as an answer. */
export interface Download {
  blob: Blob;
  name: string;
}

export const listDocuments = (listing: Listing, search: string, cursor: string, signal?: AbortSignal) =>
  get<Page<DocumentRow>>(`/documents${query({ ...listing, kind: "all", query: search, cursor })}`, signal);

export const seeDocument = (documentId: string, signal?: AbortSignal) =>
  get<DocumentRow>(path("documents", documentId), signal);

export const createDocument = (name: string) => change<DocumentRow>("POST", "/documents", { name }, { once: newKey() });

/** An empty tree of files. */
export const createWorkspace = (name: string) =>
  change<DocumentRow>("POST", "/workspaces", { name }, { once: newKey() });

export const duplicateDocument = (documentId: string) =>
  change<DocumentRow>("POST", path("documents", documentId, "duplicate"), undefined, { once: newKey() });

/** A document from a text in UTF-8. The same key makes one document, however often it is sent. */
export const importDocument = async (name: string, text: BodyInit, key: string): Promise<DocumentRow> =>
  (await send("POST", `/documents/import${query({ name: shortened(name) })}`, { text, once: key })).json();

/** Renames it as it is at this moment. */
export async function renameDocument(documentId: string, name: string): Promise<DocumentRow> {
  const present = await send("GET", path("documents", documentId));
  const headers = { "If-Match": present.headers.get("ETag") ?? "" };
  return change<DocumentRow>("PATCH", path("documents", documentId), { name }, { headers });
}

export const setStatus = (documentId: string, what: "archive" | "trash" | "restore") =>
  change<DocumentRow>("POST", path("documents", documentId, what));

export const deleteForGood = (documentId: string) => change("DELETE", path("documents", documentId));
export const leaveDocument = (documentId: string) => change<Removal>("POST", path("documents", documentId, "leave"));

/** What the server has signed of its history, the newest first. */
export const listCheckpoints = (documentId: string, cursor: string, limit: number) =>
  get<Page<Checkpoint>>(`${path("documents", documentId, "checkpoints")}${query({ cursor, limit })}`);

/** The text of a document as a file. */
export const exportDocument = async (documentId: string) =>
  downloaded(
    await send("GET", path("documents", documentId, "content"), { headers: { Accept: "text/plain" } }),
    "document.txt",
  );

/** Every document of one's own in one zip. */
export const exportDocuments = async () => downloaded(await send("GET", "/documents/export"), "documents.zip");

async function downloaded(response: Response, otherwise: string): Promise<Download> {
  const disposition = response.headers.get("Content-Disposition") ?? "";
  const [, encoded] = /filename\*=UTF-8''(\S+)/.exec(disposition) ?? [];
  const [, plain] = /filename="([^"]+)"/.exec(disposition) ?? [];
  return { blob: await response.blob(), name: encoded ? decodeURIComponent(encoded) : (plain ?? otherwise) };
}

/** A name of at most 256 characters, whole ones. */
function shortened(name: string): string {
  return [...name].slice(0, 256).join("");
}
