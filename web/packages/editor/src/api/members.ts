/** Who has access to a document, in which role; and who is kept out. */

import type { Ban, Group, Member, Removal, Role } from "./models";
import { change, getAll, path } from "./request";

export const listMembers = (documentId: string) => getAll<Member>(path("documents", documentId, "members"));

export const setRole = (documentId: string, memberId: string, role: Role) =>
  change<Member>("PUT", path("documents", documentId, "members", memberId), { role });

export const removeMember = (documentId: string, memberId: string) =>
  change<Removal>("DELETE", path("documents", documentId, "members", memberId));

/** Makes a member the owner; whoever gives it becomes an editor. */
export const transfer = (documentId: string, to: string) =>
  change("POST", path("documents", documentId, "transfer"), { to, role: "editor" });

export const listBans = (documentId: string) => getAll<Ban>(path("documents", documentId, "bans"));
export const ban = (documentId: string, userId: string) =>
  change<Ban>("PUT", path("documents", documentId, "bans", userId));
export const liftBan = (documentId: string, userId: string) =>
  change("DELETE", path("documents", documentId, "bans", userId));

export const listGroups = () => getAll<Group>("/groups");
