/** What requests and answers are made of, under the names that the pages use; generated from the contract. */

import type { NewLink, SignUp, TokenRow } from "./generated/models";

export type {
  AcceptedRow as Accepted,
  AccessEvent,
  AccessRequest,
  Account,
  AdminUser,
  BanRow as Ban,
  Begun,
  Checkpoint,
  Document as DocumentRow,
  Elsewhere as Provider,
  EntryRow as InvitedEntry,
  GroupRow as Group,
  IdentityRow as Identity,
  InvitationRow as Invitation,
  LinkRow as Link,
  MadeLink,
  MadeToken,
  MemberRow as Member,
  OpenedLink,
  Removal,
  Server,
  ServerInvitation,
  SessionRow,
  TokenRow as Token,
  UserRow as User,
  Who,
} from "./generated/models";

/** A moment in UTC as RFC 3339: `2026-03-01T12:00:00.000Z`. */
export type Moment = TokenRow["createdAt"];
export type LinkRole = NewLink["role"];
export type Role = "owner" | LinkRole;
export type TokenScope = "read" | "edit" | "manage";
export type NewAccount = Pick<SignUp, "handle" | "displayName" | "password"> & { email: string | null };

export interface Page<Item> {
  items: Item[];
  /** Empty: nothing follows. */
  nextCursor: string;
}
