/** Invitations to a document, and those that one has oneself. */

import type { Accepted, Invitation, InvitedEntry, Page, Role } from "./models";
import { change, get, getAll, newKey, path } from "./request";

export const listInvitations = (documentId: string) => getAll<Invitation>(path("documents", documentId, "invitations"));

/** @param who an id, a handle or an e-mail address */
export const invite = (documentId: string, who: string, role: Role) =>
  change<Invitation>("POST", path("documents", documentId, "invitations"), { who, role }, { once: newKey() });

/** @param people a pasted list: handles and addresses between commas or lines, at most 500 */
export const inviteMany = async (documentId: string, people: string, role: Role) =>
  (
    await change<{ items: InvitedEntry[] }>(
      "POST",
      path("documents", documentId, "invitations", "list"),
      { people, role },
      { once: newKey() },
    )
  ).items;

export const withdraw = (documentId: string, invitationId: string) =>
  change("DELETE", path("documents", documentId, "invitations", invitationId));

export const inbox = async () => (await get<Page<Invitation>>("/invitations")).items;
export const accept = (invitationId: string) => change<Accepted>("POST", path("invitations", invitationId, "accept"));
export const decline = (invitationId: string) => change("POST", path("invitations", invitationId, "decline"));
export const acceptSecret = (secret: string) => change<Accepted>("POST", "/invitations/open", { secret });
