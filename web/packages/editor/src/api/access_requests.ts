/** Asking for access to a document, and answering those who ask. */

import type { AccessRequest, LinkRole } from "./models";
import { change, getAll, path } from "./request";

export const listAccessRequests = (documentId: string) =>
  getAll<AccessRequest>(path("documents", documentId, "access-requests"));

/** The answer is the same whether or not there is such a document. */
export const askForAccess = (documentId: string, message: string) =>
  change("POST", path("documents", documentId, "access-requests"), { message });

export const grant = (documentId: string, requestId: string, role: LinkRole) =>
  change("POST", path("documents", documentId, "access-requests", requestId, "grant"), { role });

export const decline = (documentId: string, requestId: string) =>
  change("POST", path("documents", documentId, "access-requests", requestId, "decline"));
