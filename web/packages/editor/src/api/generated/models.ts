// Generated from contract/openapi.json by web/tools/generate.mjs.

export interface AcceptedRow {
  documentId: string;
  documentName: string;
}
export interface AccessEvent {
  eventId: number;
  time: string;
  /**
   * a user, user+token for a bot, guest+link, or the name in a token of the folder's key
   */
  actor: string;
  action: string;
  /**
   * done, or the code of the refusal
   */
  outcome: string;
  documentId: string | null;
  /**
   * whom or what it was done to
   */
  subject: string;
  address: string;
  requestId: string;
  detail: {
    [k: string]: unknown;
  };
  /**
   * SHA-256 over the digest before and this event, in hex
   */
  digest: string;
}
export interface AccessRequest {
  requestId: string;
  person: UserRow;
  message: string;
  askedAt: string;
  expiresAt: string;
}
/**
 * What everybody may know of a person.
 */
export interface UserRow {
  userId: string;
  handle: string;
  displayName: string;
  color: string;
}
export interface AccessRequestList {
  items: AccessRequest[];
  nextCursor: string;
}
export interface AccessToken {
  accessToken: string;
  expiresIn: number;
}
export interface Account {
  userId: string;
  handle: string;
  displayName: string;
  color: string;
  /**
   * verified
   */
  email: string | null;
  /**
   * matches no invitation and no search until it is verified
   */
  unverifiedEmail: string | null;
  hasPassword: boolean;
  administrator: boolean;
  /**
   * whether others can find one by searching
   */
  discoverable: boolean;
  createdAt: string;
}
export interface AdminUser {
  userId: string;
  handle: string;
  displayName: string;
  email: string | null;
  administrator: boolean;
  status: "active" | "locked";
  createdAt: string;
}
export interface AdminUserList {
  items: AdminUser[];
  nextCursor: string;
}
/**
 * Done, or nothing to do: the answer does not say which.
 */
export interface Asked {
  detail: string;
}
export interface Asking {
  /**
   * for the owners
   */
  message?: string;
}
export interface AtPath {
  path: string;
}
export interface AtPathOrTop {
  /**
   * empty: everything
   */
  path?: string;
}
/**
 * The public key that signs checkpoints now, and the ones before it.
 */
export interface AuditKey {
  keyId: string;
  publicKey: string;
  changes: ChangeOfKey[];
}
/**
 * A key that took the place of another; both have signed that.
 */
export interface ChangeOfKey {
  format: string;
  before: string;
  after: string;
  madeAt: number;
  signature: string;
  counterSignature: string;
}
export interface BanList {
  items: BanRow[];
  /**
   * empty: nothing follows
   */
  nextCursor: string;
}
export interface BanRow {
  user: UserRow;
  bannedBy: string | null;
  bannedAt: string;
}
/**
 * A session has begun. With a cookie: ``csrfToken``; else the tokens.
 */
export interface Begun {
  sessionId: string;
  userId: string;
  csrfToken?: string | null;
  accessToken?: string | null;
  refreshToken?: string | null;
  /**
   * seconds that the access token lasts
   */
  expiresIn?: number | null;
}
/**
 * The text at `version` from left to right; the lengths add up to it.
 */
export interface BlameOfText {
  version: number;
  runs: BlameRun[];
  authors: HistoryAuthor[];
}
/**
 * What one author wrote side by side, with pauses under five minutes.
 */
export interface BlameRun {
  /**
   * code points
   */
  length: number;
  /**
   * a `userId` of `authors`
   */
  authorId: string;
  /**
   * made by the newest operation in it
   */
  version: number;
  /**
   * of that operation, in milliseconds since 1970
   */
  at: number;
  /**
   * `human`: typed, as far as the author's client has said; `paste`: pasted or dropped, as it has said; `agent`: a bot with a token; `disk`: a program that wrote to the working tree
   */
  kind: "human" | "agent" | "disk" | "paste";
}
/**
 * Who signed operations, as they are called today. `erased-7` stands for an account that is gone.
 */
export interface HistoryAuthor {
  /**
   * a user, or user+token for a bot
   */
  userId: string;
  displayName: string;
  color: string;
}
/**
 * What was signed, field by field; keep it whole, elsewhere.
 */
export interface Checkpoint {
  format: string;
  workspaceId: string;
  incarnation: string;
  /**
   * of this workspace: 1, 2, 3 ...
   */
  number: number;
  sequence: number;
  /**
   * of the log at that sequence
   */
  chainHash: string;
  /**
   * number of the server's last access event
   */
  event: number;
  eventDigest: string;
  /**
   * how many were about this workspace
   */
  ownEvents: number;
  /**
   * over the digests of those
   */
  ownDigest: string;
  /**
   * microseconds since 1970
   */
  madeAt: number;
  /**
   * SHA-256 of what was signed before, 64 zeros at first
   */
  previous: string;
  keyId: string;
  /**
   * Ed25519, over the other fields as JSON without spaces, in this order
   */
  signature: string;
}
export interface CheckpointList {
  items: Checkpoint[];
  nextCursor: string;
}
export interface Committing {
  message: string;
  /**
   * left out: all
   */
  paths?: string[] | null;
  /**
   * conflicts without markers that are as they are to be
   */
  solved?: string[] | null;
  author?: Identity | null;
}
export interface Identity {
  name: string;
  email: string;
}
export interface Confirmation {
  currentPassword?: string | null;
}
export interface Content {
  text: string;
  /**
   * the version this text has; what a later edit is based on
   */
  documentVersion: number;
  serverSequenceId: number;
}
/**
 * A token for https, or a key for ssh with the known hosts.
 */
export interface Credential {
  user?: string;
  token?: string;
  key?: string;
  knownHosts?: string;
}
export interface DifferenceList {
  items: Differing[];
  /**
   * so many are not named
   */
  more: number;
}
export interface Differing {
  fileId: string;
  /**
   * moved: or renamed
   */
  kind: "added" | "removed" | "moved" | "changed";
  node: "directory" | "text" | "binary" | "symlink";
  /**
   * before; empty: it was not there
   */
  path: string;
  /**
   * after; empty: it was not there any more
   */
  newPath: string;
  changedContent: boolean;
}
export interface Document {
  documentId: string;
  /**
   * a workspace has a tree of files, a document one text
   */
  kind: "document" | "workspace";
  name: string;
  status: "active" | "archived" | "trashed";
  /**
   * one's own; none for an administrator who is no member
   */
  role: ("owner" | "editor" | "viewer") | null;
  createdAt: string;
  editedAt: string;
  visitedAt: string | null;
  trashedAt: string | null;
}
export interface DocumentList {
  items: Document[];
  /**
   * empty: nothing follows
   */
  nextCursor: string;
}
export interface DoneToTree {
  serverSequenceId: number;
  fileId: string;
  verb: "created" | "purged" | "deleted" | "restored" | "moved" | "renamed" | "replaced" | "changed";
  path: string;
  /**
   * where it was afterwards, if that was elsewhere
   */
  newPath: string;
}
/**
 * One edit, as on the WebSocket (docs/protocol.md, operation).
 */
export interface Edit {
  operationId: string;
  operationType: "insert" | "delete" | "replace" | "batch";
  /**
   * in Unicode code points
   */
  position: number;
  payload: string | number | Replacement | [number, number, string][];
  restores?: number[];
  /**
   * where what it inserts is from; kept in the log
   */
  origin?: "paste" | null;
}
export interface Replacement {
  delete: number;
  insert: string;
}
/**
 * One operation, or a chain of them, each based on the one before it and committed as a unit.
 */
export interface Edits {
  /**
   * the version that the first one was made for
   */
  baseVersion: number;
  operations: Edit[];
}
export interface Elsewhere {
  /**
   * its name in addresses
   */
  name: string;
  /**
   * its name for people
   */
  label: string;
}
export interface EmailChange {
  email: string;
  currentPassword?: string;
}
export interface Entry {
  /**
   * stays the same, whatever the path
   */
  fileId: string;
  path: string;
  name: string;
  kind: "directory" | "text" | "binary" | "symlink";
  /**
   * of a binary file the SHA-256, of a link its target
   */
  content: string;
  /**
   * `mode`, `eol`, `bom`, `encoding`, where they are not the usual
   */
  properties: {
    [k: string]: string;
  };
}
export interface EntryRow {
  /**
   * as it was written
   */
  text: string;
  /**
   * an address is `invited` whether or not it has an account
   */
  outcome: "invited" | "already_member" | "not_found" | "invalid" | "banned" | "too_many";
}
export interface EventList {
  items: AccessEvent[];
  nextCursor: string;
}
export interface ExternalBegin {
  /**
   * of an invitation; counts if a new account is made
   */
  invitation?: string | null;
}
export interface ExternalBegun {
  /**
   * where to send the browser now
   */
  url: string;
}
export interface Fetching {
  /**
   * empty: the upstream's, or the only one there is
   */
  remote?: string;
  /**
   * left out: the one that is stored, if there is one
   */
  credential?: Credential | null;
}
/**
 * ``text`` is missing where it is none.
 */
export interface FileContent {
  entry: Entry;
  text: string | null;
  /**
   * the version this text has; what a later edit is based on
   */
  documentVersion: number | null;
}
/**
 * What makes the text at the later moment of the one before.
 */
export interface FileDifference {
  entry: Entry;
  fromVersion: number;
  toVersion: number;
  /**
   * position, deleted text, inserted text: from left to right, all against the text before
   */
  edits: [number, string, string][];
}
export interface FileEdited {
  fileId: string;
  /**
   * behind the last edit
   */
  path: string;
  fromVersion: number;
  toVersion: number;
  operations: number;
  /**
   * code points
   */
  inserted: number;
  /**
   * code points
   */
  deleted: number;
}
/**
 * Consecutive operations of one author in a file, with pauses under five minutes.
 */
export interface FileSession {
  author: HistoryAuthor;
  fromVersion: number;
  toVersion: number;
  begunAt: string;
  endedAt: string;
  operations: number;
  /**
   * code points
   */
  inserted: number;
  /**
   * code points
   */
  deleted: number;
  isCut: boolean;
}
export interface FileSessionList {
  fileId: string;
  items: FileSession[];
  /**
   * the version to ask before for what was earlier; none: nothing was
   */
  nextBefore: number | null;
}
/**
 * ``text`` is missing where it was none.
 */
export interface FileThen {
  entry: Entry;
  text: string | null;
  documentVersion: number | null;
}
export interface Forking {
  name: string;
  sequence: number;
}
export interface FoundFile {
  fileId: string;
  path: string;
  /**
   * its name fits
   */
  inName: boolean;
  places: FoundPlace[];
  /**
   * there are more places than are told
   */
  hasMore: boolean;
}
export interface FoundPlace {
  /**
   * from 1
   */
  line: number;
  /**
   * code points in the line before it
   */
  column: number;
  /**
   * code points; it ends with its line
   */
  length: number;
  /**
   * what is before it in the line, as far as it is shown
   */
  before: string;
  text: string;
  behind: string;
}
/**
 * ``cut`` says why the page ends before everything was looked at.
 */
export interface FoundList {
  files: FoundFile[];
  /**
   * files
   */
  lookedAt: number;
  /**
   * the workspace as it was then
   */
  sequence: number;
  /**
   * the path to ask behind for more; none: that is all
   */
  nextAfter: string | null;
  cut: ("places" | "text" | "time") | null;
}
export interface FromTo {
  source: string;
  target: string;
}
export interface GitBranch {
  name: string;
  commitId: string;
  /**
   * empty: one of our own
   */
  remote: string;
  upstream: string;
  isCurrent: boolean;
}
export interface GitBranches {
  items: GitBranch[];
}
/**
 * A path that is not as it is in the last commit.
 */
export interface GitChange {
  path: string;
  change: "added" | "changed" | "deleted" | "type changed" | "untracked" | "conflicted";
  /**
   * of a conflict: of which kind
   */
  conflict: string;
}
export interface GitCommit {
  commitId: string;
  parents: string[];
  author: GitPerson;
  at: string;
  subject: string;
  /**
   * it has all up to this entry of the workspace's log
   */
  serverSequenceId: number | null;
  workspaceId: string | null;
}
export interface GitPerson {
  name: string;
  email: string;
}
export interface GitCommitted {
  commitId: string;
  serverSequenceId: number;
  /**
   * who else has written what is in it, by the log
   */
  coAuthors: GitPerson[];
  paths: string[];
  /**
   * not committed, as they are not yours to write
   */
  left: string[];
}
/**
 * What a file was, and what either side has made of it; null: it is not there, or no text.
 */
export interface GitConflict {
  path: string;
  base: string | null;
  ours: string | null;
  theirs: string | null;
}
/**
 * That one is stored. What it is is never shown.
 */
export interface GitCredential {
  host: string;
  kind: "https" | "ssh";
  savedAt: string;
}
export interface GitCredentials {
  items: GitCredential[];
}
export interface GitLog {
  items: GitCommit[];
}
export interface GitPulled {
  head: string;
  /**
   * with any the merge is not finished: markers are in the files; solve them and commit, or abort
   */
  conflicts: GitChange[];
}
export interface GitStatus {
  /**
   * empty: HEAD is a commit, no branch
   */
  branch: string;
  /**
   * empty: there is no commit yet
   */
  head: string;
  upstream: string;
  ahead: number | null;
  behind: number | null;
  isMerging: boolean;
  changes: GitChange[];
  /**
   * changes that are not named
   */
  more: number;
  remotes: string[];
}
export interface Granting {
  role: "owner" | "editor" | "viewer";
}
export interface GroupIn {
  name: string;
}
export interface GroupList {
  items: GroupRow[];
  /**
   * empty: nothing follows
   */
  nextCursor: string;
}
export interface GroupRow {
  groupId: string;
  name: string;
  owner: UserRow;
  /**
   * how many
   */
  members: number;
  createdAt: string;
}
export interface GroupMemberList {
  items: UserRow[];
  /**
   * empty: nothing follows
   */
  nextCursor: string;
}
export interface Hold {
  reason: string;
  heldBy: string;
  heldAt: string;
}
export interface IdentityList {
  items: IdentityRow[];
}
export interface IdentityRow {
  /**
   * none: this server does not offer it any more
   */
  provider: string | null;
  issuer: string;
  linkedAt: string;
}
/**
 * Until it is `ready` nobody sees any of the files; what has `failed` stays so.
 */
export interface ImportShown {
  state: "pending" | "running" | "failed" | "ready";
  /**
   * files and folders that are made
   */
  done: number;
  /**
   * how many there are, once that is known
   */
  total: number | null;
  /**
   * of the error that ended it; empty: none did
   */
  code: string;
  /**
   * what the error is about: which entry, and why
   */
  detail: string;
}
export interface InvitationList {
  items: InvitationRow[];
  /**
   * empty: nothing follows
   */
  nextCursor: string;
}
export interface InvitationRow {
  invitationId: string;
  /**
   * null: to make an account here
   */
  documentId: string | null;
  documentName: string | null;
  role: ("owner" | "editor" | "viewer") | null;
  /**
   * who is invited, if by id or handle
   */
  user: UserRow | null;
  /**
   * or by address
   */
  email: string | null;
  inviter: string;
  createdAt: string;
  expiresAt: string;
}
export interface InvitationSecret {
  secret: string;
}
export interface Key {
  keyId: string;
}
export interface LinkList {
  items: LinkRow[];
}
export interface LinkRow {
  linkId: string;
  role: "editor" | "viewer";
  createdBy: string | null;
  createdAt: string;
  expiresAt: string | null;
  /**
   * accounts that came by it
   */
  visitors: number;
}
export interface LinkSecret {
  secret: string;
}
export interface Linking {
  path: string;
  target: string;
}
/**
 * A file or folder that was made.
 */
export interface MadeFile {
  fileId: string;
  operation: Placed;
}
/**
 * Where an operation is in the order.
 */
export interface Placed {
  operationId: string;
  serverSequenceId: number;
  documentVersion: number;
}
export interface MadeLink {
  linkId: string;
  role: "editor" | "viewer";
  createdBy: string | null;
  createdAt: string;
  expiresAt: string | null;
  /**
   * accounts that came by it
   */
  visitors: number;
  /**
   * shown this once
   */
  url: string;
}
export interface MadeToken {
  tokenId: string;
  name: string;
  /**
   * how the secret begins
   */
  prefix: string;
  scope: string;
  documentId: string | null;
  createdAt: string;
  expiresAt: string;
  usedAt: string | null;
  revokedAt: string | null;
  /**
   * shown this once
   */
  secret: string;
}
export interface MakingBranch {
  name: string;
  start?: string;
}
export interface MakingRepository {
  remote?: string;
  /**
   * https or ssh, to a public address
   */
  url?: string;
}
export interface MemberList {
  items: MemberRow[];
  /**
   * empty: nothing follows
   */
  nextCursor: string;
}
export interface MemberRow {
  /**
   * a visitor came by a link and is no member
   */
  kind: "user" | "group" | "visitor";
  memberId: string;
  name: string;
  /**
   * of a person
   */
  handle: string | null;
  /**
   * of a person
   */
  color: string | null;
  role: "owner" | "editor" | "viewer";
  addedAt: string;
}
/**
 * Whether a workspace is kept as files on the server's disk.
 */
export interface MountState {
  status: "active" | "stopped";
  /**
   * the folder on the server
   */
  mountPath: string;
  /**
   * the files are the workspace as it was then, or later
   */
  serverSequenceId: number | null;
  /**
   * the newest last
   */
  notTaken: NotTaken[];
}
/**
 * A write to the files that was not taken in.
 */
export interface NotTaken {
  path: string;
  /**
   * of the error, as everywhere
   */
  code: string;
  detail: string;
  /**
   * where the content is kept on the server; empty: it is still where it was written
   */
  kept: string;
}
export interface NewDocument {
  name: string;
  /**
   * what it begins with; larger ones go through import
   */
  text?: string;
}
export interface NewGroupMember {
  /**
   * an id or a handle
   */
  who: string;
}
export interface NewHold {
  reason: string;
}
export interface NewInvitation {
  /**
   * an id, a handle or an e-mail address
   */
  who: string;
  /**
   * an owner only by id or handle
   */
  role: "owner" | "editor" | "viewer";
}
export interface NewInvitations {
  /**
   * a pasted list: handles, ids, addresses, `Name <address>`, between commas, semicolons or lines
   */
  people: string;
  role: "owner" | "editor" | "viewer";
}
export interface NewLink {
  /**
   * editing needs an account all the same
   */
  role: "editor" | "viewer";
  /**
   * seconds; left out: until it is switched off
   */
  expiresIn?: number | null;
}
export interface NewProject {
  name: string;
  /**
   * whether names that differ in case are the same
   */
  foldsCase?: boolean;
  /**
   * of a git repository to begin with: https://host/path, ssh://user@host/path, user@host:path; empty: nothing
   */
  address?: string;
  /**
   * for a repository not open to everybody; it is not stored
   */
  token?: string;
  /**
   * by ssh: a private key without a passphrase. It is stored, sealed, as one's credential for the host, unless the request comes with an API token; left out: the one that is stored
   */
  key?: string;
  /**
   * the lines of the host's own keys
   */
  knownHosts?: string;
  /**
   * in place of them: SHA256:... Without either the refusal says which keys the host says it has
   */
  hostFingerprint?: string;
}
/**
 * What is left out stays as it is.
 */
export interface NewQuota {
  /**
   * none: no bound of its own
   */
  bytes?: number | null;
  /**
   * files and folders that are not in the trash
   */
  files?: number | null;
}
/**
 * With `dryRun` nothing changes: the answer says where it is.
 */
export interface NewRedaction {
  /**
   * what is to go
   */
  text?: string;
  /**
   * for whoever looks later; not the text itself: this stays
   */
  reason?: string;
  dryRun?: boolean;
}
export interface NewRedactionOfAll {
  /**
   * what is to go
   */
  text?: string;
  /**
   * for whoever looks later; not the text itself: this stays
   */
  reason?: string;
  dryRun?: boolean;
  /**
   * in place of `text`: a regular expression (Python's)
   */
  pattern?: string;
  /**
   * documents, workspaces, or files in them; none: all there are
   */
  documentIds?: string[] | null;
}
export interface NewRetention {
  /**
   * what is older may be deleted; 0: nothing is, none: as the server's settings say
   */
  days: number | null;
}
export interface NewRole {
  role: "owner" | "editor" | "viewer";
}
export interface NewServerInvitation {
  /**
   * where the link goes; left out: it is in the answer
   */
  email?: string | null;
}
export interface NewToken {
  name: string;
  scope: "read" | "edit" | "manage";
  /**
   * how long it lasts
   */
  days?: number;
  /**
   * the only document it is for; left out: all
   */
  documentId?: string | null;
}
export interface NewVersionName {
  version: number;
  name: string;
}
export interface NewWorkspace {
  name: string;
  /**
   * whether names that differ in case are the same
   */
  foldsCase?: boolean;
}
export interface OneTimeLink {
  /**
   * works once; it replaces the links before
   */
  url: string;
}
/**
 * A guest reads with the access token, and posts the secret again when it has expired.
 */
export interface OpenedLink {
  documentId: string;
  documentName: string;
  role: "owner" | "editor" | "viewer";
  /**
   * what the link gives to people with an account
   */
  linkRole: "editor" | "viewer";
  guest: boolean;
  /**
   * for guests
   */
  accessToken: string | null;
  /**
   * seconds that the access token lasts
   */
  expiresIn: number | null;
}
export interface OtherVersionName {
  name: string;
}
export interface PasswordChange {
  cookie?: boolean;
  currentPassword?: string;
  /**
   * not a common one
   */
  newPassword: string;
}
export interface PlacedList {
  operations: Placed[];
}
export interface PlayedOperation {
  /**
   * of the text after it
   */
  version: number;
  sequence: number;
  /**
   * a `userId` of `authors`
   */
  author: string;
  /**
   * milliseconds since 1970
   */
  at: number;
  /**
   * position, deleted text, inserted text: from left to right, all against the text before, in code points. Forwards they are done from right to left; backwards from left to right, with the two texts exchanged.
   */
  edits: [number, string, string][];
}
/**
 * Operations without a gap, the oldest first; there are more while the last one's version is below `version`.
 */
export interface PlayedOperations {
  operations: PlayedOperation[];
  authors: HistoryAuthor[];
  /**
   * the present one
   */
  version: number;
}
/**
 * What is left out stays as it is.
 */
export interface ProfileChange {
  handle?: string | null;
  displayName?: string | null;
  color?: string | null;
  discoverable?: boolean | null;
}
export interface ProjectList {
  items: ProjectShown[];
  /**
   * empty: nothing follows
   */
  nextCursor: string;
}
export interface ProjectShown {
  workspace: Document;
  source: "blank" | "upload" | "repository";
  /**
   * of a repository
   */
  address: string;
  imported: ImportShown;
}
/**
 * All up to `sequence` was deleted; the history begins with `version`.
 */
export interface PrunedHistory {
  sequence: number;
  version: number;
  /**
   * of the last operation that was deleted
   */
  lastTime: string;
}
export interface Pulling {
  /**
   * empty: the upstream's, or the only one there is
   */
  remote?: string;
  /**
   * left out: the one that is stored, if there is one
   */
  credential?: Credential | null;
  fastForwardOnly?: boolean;
  /**
   * what becomes of changes that are not committed: it is refused, they are taken along, or committed
   */
  uncommitted?: "refuse" | "carry" | "commit";
  message?: string;
}
export interface Pushing {
  /**
   * empty: the upstream's, or the only one there is
   */
  remote?: string;
  /**
   * left out: the one that is stored, if there is one
   */
  credential?: Credential | null;
  /**
   * empty: the present one
   */
  branch?: string;
}
/**
 * What the project grants, or less, where its workspace says so.
 */
export interface QuotaShown {
  /**
   * of texts, and of contents that are no text, old ones too; none: no bound
   */
  bytes: number | null;
  files: number | null;
  /**
   * about
   */
  usedBytes: number;
  usedFiles: number;
}
export interface Reauthentication {
  /**
   * needed where the account has one
   */
  currentPassword?: string | null;
}
export interface RedactedAll {
  done: boolean;
  places: RedactedPlace[];
  /**
   * places that are only counted
   */
  more: number;
  /**
   * how often it was in present texts, names and contents
   */
  present: number;
  entries: number;
  snapshots: number;
  /**
   * of documents and versions
   */
  names: number;
  /**
   * that are no text
   */
  contents: number;
  workspaces: number;
  /**
   * access events that have it in their details; they are chained, and stay
   */
  events: number;
  /**
   * files below working trees that have it still, as they are no part of the workspace
   */
  files: string[];
  /**
   * whether nothing of it is left in free parts of the database; else ask again when nobody reads it
   */
  emptied: boolean;
}
/**
 * An operation by which it came to be there.
 */
export interface RedactedPlace {
  workspace: string;
  file: string;
  /**
   * `content`: one that is no text; `checkpoint`: what a pruned log begins with
   */
  kind: "text" | "name" | "content" | "checkpoint";
  version: number;
  sequence: number;
  author: string;
  time: string;
}
export interface Refresh {
  refreshToken: string;
}
export interface Removal {
  /**
   * the role that groups still give
   */
  remaining: ("owner" | "editor" | "viewer") | null;
  /**
   * the role that a link, opened again, would give; a ban ends it
   */
  byLink: ("owner" | "editor" | "viewer") | null;
}
export interface Rename {
  name: string;
}
export interface Renaming {
  source: string;
  target: string;
  /**
   * what is at the target goes into the trash
   */
  overwrite?: boolean;
}
export interface Renewed {
  accessToken: string;
  refreshToken: string;
  expiresIn: number;
}
/**
 * ``operation`` is missing where the text was that already.
 */
export interface Replaced {
  documentVersion: number;
  operation: Placed | null;
}
export interface Reset {
  secret: string;
  /**
   * not a common one
   */
  newPassword: string;
}
export interface ResetRequest {
  email: string;
}
/**
 * ``sequence``: as the workspace was right before; restored to that it is as if nothing had been done.
 */
export interface RestoredPast {
  sequence: number;
  treeOperations: number;
  texts: number;
}
export interface Restoring {
  fileId: string;
  /**
   * where to; else to where it was
   */
  target?: string | null;
}
export interface RestoringPast {
  /**
   * empty: everything
   */
  path?: string;
  sequence: number;
}
export interface Retention {
  /**
   * that history is kept; 0: for ever
   */
  days: number;
  /**
   * whether the document says so, or the server's settings
   */
  own: boolean;
  /**
   * while there is one, nothing of the document is deleted
   */
  hold: Hold | null;
  pruned: PrunedHistory | null;
}
export interface RuleIn {
  memberKind: "everyone" | "role" | "user" | "group";
  /**
   * a user's or group's id, editor or viewer; empty for everyone
   */
  memberId?: string;
  /**
   * `*` stays in one folder, `**` does not; what is in a folder that fits, fits
   */
  pattern: string;
  access: "none" | "read" | "write";
}
export interface RuleList {
  rules: RuleRow[];
}
export interface RuleRow {
  memberKind: string;
  memberId: string;
  pattern: string;
  access: string;
}
/**
 * In the order in which they are asked: the last one that fits decides. Owners are above the rules.
 */
export interface RulesIn {
  rules: RuleIn[];
}
export interface Saved {
  serverSequenceId: number;
}
/**
 * What a page needs to know before anybody has signed in.
 */
export interface Server {
  /**
   * there is no administrator yet: open the link that the server printed
   */
  needsSetup: boolean;
  /**
   * whether an account needs no invitation
   */
  openSignUp: boolean;
  /**
   * where else one can sign in
   */
  providers: Elsewhere[];
}
export interface ServerInvitation {
  invitationId: string;
  /**
   * null: to make an account here
   */
  documentId: string | null;
  documentName: string | null;
  role: ("owner" | "editor" | "viewer") | null;
  /**
   * who is invited, if by id or handle
   */
  user: UserRow | null;
  /**
   * or by address
   */
  email: string | null;
  inviter: string;
  createdAt: string;
  expiresAt: string;
  /**
   * shown this once; null: it went by mail
   */
  url: string | null;
}
/**
 * Consecutive operations of one author, with pauses under five minutes.
 */
export interface Session {
  author: HistoryAuthor;
  /**
   * of the text before
   */
  fromVersion: number;
  /**
   * of the text after
   */
  toVersion: number;
  begunAt: string;
  endedAt: string;
  operations: number;
  /**
   * code points
   */
  inserted: number;
  /**
   * code points
   */
  deleted: number;
  /**
   * a very long one: its beginning is the first of the next page
   */
  isCut: boolean;
  /**
   * of versions that were made in it
   */
  names: VersionNamed[];
}
export interface VersionNamed {
  version: number;
  name: string;
  /**
   * none: by an account that is gone
   */
  namedBy: string | null;
  namedAt: string;
}
export interface SessionRow {
  sessionId: string;
  kind: string;
  client: string;
  address: string;
  createdAt: string;
  usedAt: string;
  expiresAt: string;
  current?: boolean;
}
export interface SetUp {
  cookie?: boolean;
  secret: string;
  handle: string;
  displayName: string;
  /**
   * not a common one
   */
  password: string;
  email?: string | null;
}
export interface SignIn {
  cookie?: boolean;
  /**
   * handle or verified e-mail address
   */
  name: string;
  password: string;
}
export interface SignUp {
  cookie?: boolean;
  handle: string;
  displayName: string;
  /**
   * not a common one
   */
  password: string;
  email?: string | null;
  /**
   * the secret of an invitation, where one is needed
   */
  invitation?: string | null;
}
export interface Storing {
  user?: string;
  token?: string;
  key?: string;
  knownHosts?: string;
  host: string;
  kind?: "https" | "ssh";
}
export interface Switching {
  branch: string;
  /**
   * what becomes of changes that are not committed: it is refused, they are taken along, or committed
   */
  uncommitted?: "refuse" | "carry" | "commit";
  message?: string;
}
export interface TokenList {
  items: TokenRow[];
}
export interface TokenRow {
  tokenId: string;
  name: string;
  /**
   * how the secret begins
   */
  prefix: string;
  scope: string;
  documentId: string | null;
  createdAt: string;
  expiresAt: string;
  usedAt: string | null;
  revokedAt: string | null;
}
export interface Transfer {
  /**
   * the id of a person who is a member
   */
  to: string;
  /**
   * what whoever gives it becomes
   */
  role: "editor" | "viewer";
  /**
   * for administrators: which owner steps down, if not oneself
   */
  giver?: string;
}
export interface Transferred {
  owner: MemberRow;
  giver: MemberRow | null;
}
/**
 * What is left out stays as it is.
 */
export interface UserChange {
  /**
   * a locked account loses every session, token and socket at once
   */
  locked?: boolean | null;
  administrator?: boolean | null;
}
export interface UserList {
  items: UserRow[];
  /**
   * empty: nothing follows
   */
  nextCursor: string;
}
export interface VersionNames {
  items: VersionNamed[];
}
export interface WantedVersion {
  version: number;
}
/**
 * Who the request was made by.
 */
export interface Who {
  kind: "nobody" | "session" | "token" | "link" | "folder";
  userId: string;
  /**
   * how edits are signed
   */
  author: string;
  displayName: string;
  color: string;
  administrator: boolean;
  scope: ("read" | "edit" | "manage") | null;
  /**
   * the only document the credential is for
   */
  documentId: string | null;
  /**
   * to be sent as X-CSRF-Token with everything that changes something
   */
  csrfToken: string | null;
}
export interface WithSecret {
  secret: string;
}
/**
 * What one author did with pauses under five minutes, whatever others did meanwhile.
 */
export interface Work {
  author: HistoryAuthor;
  firstSequence: number;
  lastSequence: number;
  begunAt: string;
  endedAt: string;
  operations: number;
  files: FileEdited[];
  /**
   * the newest first
   */
  tree: DoneToTree[];
  /**
   * files and changes of the tree that are not named
   */
  more: number;
  /**
   * it began earlier, and goes on in the next page
   */
  isCut: boolean;
}
/**
 * Who ended last comes first.
 */
export interface WorkList {
  items: Work[];
  /**
   * pass it as `before` for what was earlier; none: nothing was
   */
  nextBefore: number | null;
}
/**
 * ``operation`` is missing where it was that already; ``version`` is in the ETag, too.
 */
export interface WrittenFile {
  fileId: string;
  operation: Placed | null;
  version: string;
}
/**
 * The newest first.
 */
export interface Coscribe_Api_History__SessionList {
  items: Session[];
  /**
   * pass it as `before` for what was earlier; none: nothing was
   */
  nextBefore: number | null;
  /**
   * the one that the history begins with: 0, or more where it was pruned
   */
  oldestVersion: number;
}
export interface Coscribe_Api_Invitations__EntryList {
  items: EntryRow[];
}
export interface Coscribe_Api_Session__SessionList {
  items: SessionRow[];
}
export interface Coscribe_Api_Workspaces__EntryList {
  items: Entry[];
  /**
   * the workspace as it was then
   */
  serverSequenceId: number;
}
/**
 * RFC 9457 problem details. `code` is one of the error table in docs/protocol.md and never changes.
 */
export interface Problem {
  type: string;
  title: string;
  status: number;
  /**
   * what exactly was wrong, for people; may change
   */
  detail: string;
  /**
   * names the request in the server's log
   */
  instance: string;
  code:
    | "access_removed"
    | "account_locked"
    | "already_joined"
    | "authentication_failed"
    | "banned"
    | "base_version_future"
    | "base_version_too_old"
    | "binary_frame"
    | "chain_mismatch"
    | "chain_too_long"
    | "conflict"
    | "csrf_failed"
    | "export_too_large"
    | "external_sign_in_failed"
    | "file_damaged"
    | "file_not_found"
    | "file_too_large"
    | "git_config_refused"
    | "git_failed"
    | "handle_taken"
    | "hello_expected"
    | "hello_repeated"
    | "hello_timeout"
    | "history_pruned"
    | "history_redacted"
    | "history_unavailable"
    | "idempotency_key_reused"
    | "import_refused"
    | "inbox_full"
    | "internal"
    | "invalid_file_id"
    | "invalid_message"
    | "invalid_operation_id"
    | "invalid_path"
    | "invalid_payload"
    | "invalid_request"
    | "invalid_text"
    | "last_owner"
    | "legal_hold"
    | "malformed_json"
    | "merge_unfinished"
    | "message_too_large"
    | "method_not_allowed"
    | "moved"
    | "not_a_repository"
    | "not_a_text"
    | "not_found"
    | "not_joined"
    | "operation_id_reused"
    | "operation_too_large"
    | "overloaded"
    | "owner_unavailable"
    | "password_refused"
    | "permission_denied"
    | "position_out_of_range"
    | "precondition_failed"
    | "precondition_required"
    | "provider_unavailable"
    | "push_rejected"
    | "quota_exceeded"
    | "rate_limited"
    | "reauthentication_required"
    | "remote_refused"
    | "request_too_large"
    | "rules_changed"
    | "secret_invalid"
    | "session_ended"
    | "setup_required"
    | "shutting_down"
    | "sign_in_required"
    | "sign_up_closed"
    | "slow_consumer"
    | "snapshot_not_sent"
    | "storage_unavailable"
    | "text_redacted"
    | "token_in_url"
    | "too_many_files"
    | "too_many_requests"
    | "uncommitted_changes"
    | "unknown_type"
    | "unsupported_media_type"
    | "unsupported_protocol"
    | "user_mismatch"
    | "wrong_credentials";
  fault: "client" | "server";
  retry: "never" | "same" | "rejoin";
  help: string;
  operationId?: string;
  errors?: {}[];
}
