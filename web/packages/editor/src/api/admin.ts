/** The server's administrators: accounts, invitations, all documents, all access events, signing keys. */

import type { AccessEvent, AdminUser, DocumentRow, Invitation, Page, ServerInvitation } from "./models";
import { change, get, getAll, newKey, path, query, send } from "./request";

export const listUsers = (search: string, cursor: string) =>
  get<Page<AdminUser>>(`/admin/users${query({ query: search, cursor })}`);

export const changeUser = (userId: string, changes: { locked?: boolean; administrator?: boolean }) =>
  change<AdminUser>("PATCH", path("admin", "users", userId), changes);

export const signOutUser = (userId: string) => change("POST", path("admin", "users", userId, "sign-out"));
export const makeResetLink = (userId: string) =>
  change<{ url: string }>("POST", path("admin", "users", userId, "reset-link"), undefined, { once: newKey() });

export const listServerInvitations = () => getAll<Invitation>("/admin/invitations");
export const inviteToServer = (email: string | null) =>
  change<ServerInvitation>("POST", "/admin/invitations", { email }, { once: newKey() });
export const withdrawFromServer = (invitationId: string) =>
  change("DELETE", path("admin", "invitations", invitationId));

export const listAllDocuments = (search: string, cursor: string) =>
  get<Page<DocumentRow>>(`/admin/documents${query({ query: search, cursor })}`);

export const listEvents = (cursor: string) => get<Page<AccessEvent>>(`/admin/events${query({ cursor })}`);
export const exportEvents = async () => (await send("GET", "/admin/events/export")).blob();
export const rotateSigningKey = () => change<{ keyId: string }>("POST", "/admin/signing-keys");
