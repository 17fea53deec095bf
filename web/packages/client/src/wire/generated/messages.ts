// Generated from contract/wire.schema.json by web/tools/generate.mjs.

export type ClientMessage =
  | Hello
  | Join
  | SnapshotApplied
  | Leave
  | Operation
  | Chain
  | TreeOperation
  | SetPresence
  | Resend
  | GetChecksum
  | Save
  | Ping;
export type ServerMessage =
  | Welcome
  | Snapshot
  | Committed
  | TreeSnapshot
  | TreeCommitted
  | TreeResent
  | TreeNotes
  | Live
  | Ack
  | Resent
  | Presence
  | Left
  | Checksum
  | Saved
  | Moved
  | Rejoin
  | RoleChanged
  | Error
  | Goodbye
  | Pong;

/**
 * The first message: who is there, and which protocol versions it speaks. Never a token in a URL.
 */
export interface Hello {
  type: "hello";
  /**
   * the protocol versions that the client speaks, in any order
   */
  protocol: number[];
  /**
   * what proves who it is; from `coscribe token USER`, or a one-time ticket
   */
  token: string;
  /**
   * name and version of the client, for the server's logs
   */
  client?: string;
}
/**
 * Open a file, or, by the workspace's id, the tree of a workspace. `have`: what is left from before, for a tail
 * instead of a snapshot. `inFlight`: the ids of operations that were sent and never acknowledged; the answer names
 * the fate of each. `lastCursor`: `live` is to say where my caret was when I last had the file open.
 */
export interface Join {
  type: "join";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * what is left from before; without it the answer is a snapshot
   */
  have?: Have | null;
  /**
   * the ids that were sent and never acknowledged; the answer names the fate of each
   */
  inFlight?: string[];
  /**
   * whether `live` is to say where my caret was when I last had the file open
   */
  lastCursor?: boolean;
}
/**
 * What a reconnecting client has of a file: the lineage of the last operation it saw, and that version.
 */
export interface Have {
  /**
   * which log it is; another one after a restore from a backup
   */
  incarnation: string;
  /**
   * the last sequence that the replica has
   */
  serverSequenceId: number;
  /**
   * the digest of the log's entry at that sequence, in hex; 64 zeros at sequence 0
   */
  chainHash: string;
  /**
   * the version of the replica's text
   */
  documentVersion: number;
}
/**
 * The snapshot is in place: send what came after it.
 */
export interface SnapshotApplied {
  type: "snapshotApplied";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * the sequence that the snapshot shows
   */
  snapshotSequenceId: number;
}
/**
 * Close a file; nothing more of it is sent.
 */
export interface Leave {
  type: "leave";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
}
/**
 * One edit. `position`/`payload` by `operationType`:
 *
 * - insert: put the string `payload` at `position`
 * - delete: drop `payload` (a number) code points from `position` on
 * - replace: drop and insert at `position` atomically, see Replacement
 * - batch: `position` is 0, `payload` is a list of edits against one text, left to right
 *
 * `operationId` is unique for ever; `<series>:<counter>` with a growing counter is the form that costs least.
 * Until it is acknowledged a message is resent only exactly as it was. `restores` names the sequences that an undo
 * or a restore brings back. `origin` is kept in the log: where what it inserts is from, as far as its author says.
 */
export interface Operation {
  type: "operation";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * unique for ever: 1 to 128 printable ASCII characters without blanks
   */
  operationId: string;
  /**
   * who: the one of the welcome message
   */
  userId: string;
  /**
   * the version of the text that the edit was made on; one that the server has sent
   */
  baseVersion: number;
  /**
   * which form `position` and `payload` have
   */
  operationType: "batch" | "delete" | "insert" | "replace";
  /**
   * where, in code points
   */
  position: number;
  /**
   * what, by operationType
   */
  payload: string | number | [number, number, string][] | Replacement;
  /**
   * the sequences that an undo or a restore brings back
   */
  restores?: number[];
  /**
   * where what it inserts is from, as its author says; kept in the log
   */
  origin?: "paste";
}
/**
 * The payload of a replace: drop `delete` code points, put `insert` in their place; one atomic edit.
 */
export interface Replacement {
  /**
   * how many code points to drop
   */
  delete: number;
  /**
   * the text to put in their place
   */
  insert: string;
}
/**
 * Several operations, each with its own id, each based on the one before it; committed as a unit.
 */
export interface Chain {
  type: "chain";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * who: the one of the welcome message
   */
  userId: string;
  /**
   * the version of the text that the edit was made on; one that the server has sent
   */
  baseVersion: number;
  /**
   * the elements, in order
   */
  operations: ChainElement[];
}
/**
 * One operation of a chain. Its base is the text that the element before it leaves.
 */
export interface ChainElement {
  /**
   * unique for ever: 1 to 128 printable ASCII characters without blanks
   */
  operationId: string;
  /**
   * which form `position` and `payload` have
   */
  operationType: "batch" | "delete" | "insert" | "replace";
  /**
   * where, in code points
   */
  position: number;
  /**
   * what, by operationType
   */
  payload: string | number | [number, number, string][] | Replacement;
  /**
   * the sequences that an undo or a restore brings back
   */
  restores?: number[];
  /**
   * where what it inserts is from, as its author says; kept in the log
   */
  origin?: "paste";
}
/**
 * Operations on the tree of the workspace `fileId`, one after the other, all of them or none: one operation with
 * one id and one place in the order. They name files by id and say what is to be, whatever was: there is no base, and
 * nothing is rebased. What comes of it is in `treeCommitted`, which may be other than was asked: see `treeNotes`.
 */
export interface TreeOperation {
  type: "treeOperation";
  /**
   * the workspace
   */
  fileId: string;
  /**
   * unique for ever: 1 to 128 printable ASCII characters without blanks
   */
  operationId: string;
  /**
   * who: the one of the welcome message
   */
  userId: string;
  /**
   * the operations, in order
   */
  operations: (CreateNode | MoveNode | DeleteNode | RestoreNode | PutContent | SetProperty | PurgeNodes)[];
  /**
   * the sequences that an undo or a restore brings back
   */
  restores?: number[];
}
/**
 * A new file or folder. Its id is `node_id` of the workspace, the operation and the place in it. `content`: of a
 * binary file the SHA-256 of its bytes in hex, of a link its target. `exact`: refuse it rather than number it.
 */
export interface CreateNode {
  /**
   * what is to be done
   */
  verb: "create";
  /**
   * the folder; the workspace's own id is the top
   */
  parentId: string;
  /**
   * the name in its folder, of at most 255 bytes, without a slash
   */
  name: string;
  /**
   * what sort of file it is
   */
  kind: "binary" | "directory" | "symlink" | "text";
  /**
   * of a binary file the SHA-256 in hex, of a link the target
   */
  content?: string;
  /**
   * `mode`, `eol`, `bom`, `encoding`, `diskName`, where they are not the usual
   */
  properties?: {
    [k: string]: string;
  };
  /**
   * whether it is refused, `conflict`, where the name is taken; else it is numbered
   */
  exact?: boolean;
}
/**
 * To another folder, under another name, or both. `replaces`: what has that name, and goes into the trash.
 */
export interface MoveNode {
  /**
   * what is to be done
   */
  verb: "move";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * the folder to move it to; none: it stays in its own
   */
  parentId?: string | null;
  /**
   * the new name; none: it keeps its own
   */
  name?: string | null;
  /**
   * the file that has the name, and goes into the trash for it
   */
  replaces?: string;
  /**
   * whether it is refused, `conflict`, where the name is taken; else it is numbered
   */
  exact?: boolean;
}
/**
 * Into the trash, with all that is below.
 */
export interface DeleteNode {
  /**
   * what is to be done
   */
  verb: "delete";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
}
/**
 * Out of the trash, with all that went there with it; to another folder or under another name, if that is said.
 */
export interface RestoreNode {
  /**
   * what is to be done
   */
  verb: "restore";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * the folder to restore it to; none: the one that it was in
   */
  parentId?: string | null;
  /**
   * the new name; none: it keeps its own
   */
  name?: string | null;
}
/**
 * Another content of a binary file or a link as a whole, or another kind of file.
 */
export interface PutContent {
  /**
   * what is to be done
   */
  verb: "put";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * what sort of file it is
   */
  kind: "binary" | "directory" | "symlink" | "text";
  /**
   * of a binary file the SHA-256 in hex, of a link the target
   */
  content?: string;
}
/**
 * One property of a file; an empty value takes it away.
 */
export interface SetProperty {
  /**
   * what is to be done
   */
  verb: "set";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * which property
   */
  key: string;
  /**
   * the property's value; empty takes it away
   */
  value: string;
}
/**
 * Out of the trash for good, these very ones; for owners.
 */
export interface PurgeNodes {
  /**
   * what is to be done
   */
  verb: "purge";
  /**
   * what goes; a folder only with all that is in it
   */
  fileIds: string[];
}
/**
 * Where my caret is, as of `documentVersion`. Advisory: receivers carry it over what has come since.
 */
export interface SetPresence {
  type: "setPresence";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * the version that the cursor refers to
   */
  documentVersion: number;
  /**
   * the selection; none: nothing is shown
   */
  cursor?: Cursor | null;
}
/**
 * A selection: `head` is the caret, `anchor` the other end.
 */
export interface Cursor {
  /**
   * the fixed end of the selection
   */
  anchor: number;
  /**
   * the caret
   */
  head: number;
}
/**
 * Ask for the operations behind `have`, up to and including `throughSequenceId`; the answer may need several
 * rounds (`more`).
 */
export interface Resend {
  type: "resend";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  have: Lineage;
  /**
   * up to and including which sequence
   */
  throughSequenceId: number;
}
/**
 * What a replica has: the log's incarnation, a sequence in it, and the chain hash at that sequence.
 */
export interface Lineage {
  /**
   * which log it is; another one after a restore from a backup
   */
  incarnation: string;
  /**
   * the last sequence that the replica has
   */
  serverSequenceId: number;
  /**
   * the digest of the log's entry at that sequence, in hex; 64 zeros at sequence 0
   */
  chainHash: string;
}
/**
 * Ask for the hash of the text, to compare a replica with.
 */
export interface GetChecksum {
  type: "getChecksum";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
}
/**
 * A barrier: the answer comes when what the file has come to by now is kept outside of the log, too. By the
 * workspace's id all of its files and its tree are meant; so they are without an id, where all that is open here is
 * of one workspace. For those who may edit. Nothing waits for it; asked for again before it has begun it is answered
 * once.
 */
export interface Save {
  type: "save";
  /**
   * the file, or the workspace; none: the workspace of what is open here
   */
  fileId?: string | null;
}
/**
 * Is anybody there? Answered at once by pong.
 */
export interface Ping {
  type: "ping";
  /**
   * any number; comes back
   */
  nonce?: number;
}
/**
 * The answer to hello: the protocol version that is spoken from here on, and who you are.
 */
export interface Welcome {
  type: "welcome";
  /**
   * the version that is spoken from here on
   */
  protocol: number;
  /**
   * who one is, by the token
   */
  userId: string;
  /**
   * tells two windows of one person apart
   */
  connectionId: string;
  limits: ServerLimits;
  /**
   * name and version of the server
   */
  server: string;
}
/**
 * Bounds a client should keep to. Bytes of a message; code points of an operation and of a file; counts.
 */
export interface ServerLimits {
  /**
   * bytes of one message
   */
  messageBytes: number;
  /**
   * code points that one operation inserts
   */
  operationLength: number;
  /**
   * code points of a file
   */
  fileLength: number;
  /**
   * operations of one chain
   */
  chainOperations: number;
  /**
   * files that are open on one connection
   */
  filesPerConnection: number;
}
/**
 * The text at a version and a sequence. `lineageLost`: the log no longer knows what the client had.
 */
export interface Snapshot {
  type: "snapshot";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * the version that the snapshot shows
   */
  snapshotVersion: number;
  /**
   * the sequence that the snapshot shows
   */
  snapshotSequenceId: number;
  /**
   * which log it is; another one after a restore from a backup
   */
  incarnation: string;
  /**
   * the digest of the log's entry at that sequence, in hex; 64 zeros at sequence 0
   */
  chainHash: string;
  /**
   * what one may do with the file
   */
  role: "editor" | "owner" | "viewer";
  /**
   * what became of each id in flight
   */
  fates: OperationFate[];
  /**
   * whether the log does not know what the client had
   */
  lineageLost: boolean;
  /**
   * the text
   */
  content: string;
}
/**
 * What became of an operation that was in flight. Sequence and version only where it was committed.
 */
export interface OperationFate {
  /**
   * unique for ever: 1 to 128 printable ASCII characters without blanks
   */
  operationId: string;
  /**
   * `committed`, `notCommitted` (may be sent again) or `unknowable` (goes back to its author)
   */
  fate: "committed" | "notCommitted" | "unknowable";
  /**
   * its sequence, where it was committed
   */
  serverSequenceId?: number | null;
  /**
   * the version after it, where it was committed
   */
  documentVersion?: number | null;
}
/**
 * Operations of a file in their order, the same bytes for everybody, the author included: an author finds its
 * acknowledgement here by operationId. `previousSequenceId` is the file's sequence before the first of them: a
 * replica that is not there yet has a gap. `chainHash` belongs to the last of them.
 */
export interface Committed {
  type: "committed";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * the file's sequence before the first of them; above one's own there is a gap
   */
  previousSequenceId: number;
  /**
   * the digest of the last of these entries
   */
  chainHash: string;
  /**
   * the operations, in order
   */
  operations: CommittedOperation[];
}
/**
 * An operation as it was committed (transformed), with its place in the order.
 *
 * `documentVersion` is the version after it. An operation that came to nothing (a batch of no edits) has a
 * sequence of its own and leaves the version as it was.
 */
export interface CommittedOperation {
  /**
   * unique for ever: 1 to 128 printable ASCII characters without blanks
   */
  operationId: string;
  /**
   * who made it
   */
  userId: string;
  /**
   * a place in the order of the workspace
   */
  serverSequenceId: number;
  /**
   * the version after the operation
   */
  documentVersion: number;
  /**
   * which form `position` and `payload` have
   */
  operationType: "batch" | "delete" | "insert" | "replace";
  /**
   * where, in code points
   */
  position: number;
  /**
   * what, by operationType
   */
  payload: string | number | [number, number, string][] | Replacement;
  /**
   * the sequences that an undo or a restore brings back
   */
  restores?: number[];
}
/**
 * The tree of a workspace at a sequence: all its nodes, those in the trash too, each behind its folder.
 * `foldsCase`: names that differ in case, or in how their accents are written, are the same name.
 */
export interface TreeSnapshot {
  type: "treeSnapshot";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * the sequence that the snapshot shows
   */
  snapshotSequenceId: number;
  /**
   * which log it is; another one after a restore from a backup
   */
  incarnation: string;
  /**
   * the digest of the log's entry at that sequence; empty where one does not see all
   */
  chainHash: string;
  /**
   * what one may do with the file
   */
  role: "editor" | "owner" | "viewer";
  /**
   * what became of each id in flight
   */
  fates: OperationFate[];
  /**
   * whether the log does not know what the client had
   */
  lineageLost: boolean;
  /**
   * whether names that differ in case are the same
   */
  foldsCase: boolean;
  /**
   * all files and folders, each behind its folder
   */
  nodes: PlacedNode[];
}
/**
 * A node of a snapshot, with its id.
 */
export interface PlacedNode {
  /**
   * the folder; the workspace's own id is the top
   */
  parentId: string;
  /**
   * the name in its folder, of at most 255 bytes, without a slash
   */
  name: string;
  /**
   * what sort of file it is
   */
  kind: "binary" | "directory" | "symlink" | "text";
  /**
   * whether it was deleted itself; what is below it is in the trash, too
   */
  trashed?: boolean;
  /**
   * of a binary file the SHA-256 in hex, of a link the target
   */
  content?: string;
  /**
   * `mode`, `eol`, `bom`, `encoding`, `diskName`, where they are not the usual
   */
  properties?: {
    [k: string]: string;
  };
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId?: string;
}
/**
 * What became of a tree, in order, the author's own operations too; as `committed` is for a text.
 */
export interface TreeCommitted {
  type: "treeCommitted";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * the file's sequence before the first of them; above one's own there is a gap
   */
  previousSequenceId: number;
  /**
   * the digest of the last of these entries; empty where one does not see all
   */
  chainHash: string;
  /**
   * what became of the tree, in order
   */
  entries: TreeEntry[];
}
/**
 * What an operation on the tree came to, with its place in the order. No changes: it came to nothing.
 */
export interface TreeEntry {
  /**
   * unique for ever: 1 to 128 printable ASCII characters without blanks
   */
  operationId: string;
  /**
   * whose operation it was
   */
  userId: string;
  /**
   * a place in the order of the workspace
   */
  serverSequenceId: number;
  /**
   * the files that are other ones now, in order
   */
  changes: TreeChange[];
  /**
   * the sequences that an undo or a restore brings back
   */
  restores?: number[];
}
/**
 * A node before and after; null: it was not there, it is not there any more.
 */
export interface TreeChange {
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * what it was; none: it was not there
   */
  before: TreeNode | null;
  /**
   * what it is; none: it is not there any more
   */
  after: TreeNode | null;
}
/**
 * A file or folder. `parentId`: the folder that it is in; of what is at the top the id of the workspace.
 * `trashed`: itself, whatever the folders above are. `properties`: only those that are not the usual.
 */
export interface TreeNode {
  /**
   * the folder; the workspace's own id is the top
   */
  parentId: string;
  /**
   * the name in its folder, of at most 255 bytes, without a slash
   */
  name: string;
  /**
   * what sort of file it is
   */
  kind: "binary" | "directory" | "symlink" | "text";
  /**
   * whether it was deleted itself; what is below it is in the trash, too
   */
  trashed?: boolean;
  /**
   * of a binary file the SHA-256 in hex, of a link the target
   */
  content?: string;
  /**
   * `mode`, `eol`, `bom`, `encoding`, `diskName`, where they are not the usual
   */
  properties?: {
    [k: string]: string;
  };
}
/**
 * The answer to a resend of a tree.
 */
export interface TreeResent {
  type: "treeResent";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * the sequence that was asked from
   */
  previousSequenceId: number;
  /**
   * the digest of the last of these entries; of what one has where there are none
   */
  chainHash: string;
  /**
   * whether the range goes on behind the last of these
   */
  more: boolean;
  /**
   * what became of the tree, in order
   */
  entries: TreeEntry[];
}
/**
 * To the author alone: what of an operation on the tree came out other than it was asked.
 */
export interface TreeNotes {
  type: "treeNotes";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * unique for ever: 1 to 128 printable ASCII characters without blanks
   */
  operationId: string;
  /**
   * what came out other than it was asked
   */
  notes: TreeNote[];
}
/**
 * Something came out other than it was asked.
 */
export interface TreeNote {
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * why it did
   */
  why: "already" | "cycle" | "kept" | "moved_up" | "numbered" | "too_deep" | "trashed_folder";
}
/**
 * The tail is through: from here on operations come as they are committed. `lastCursor`: where my caret was when
 * I last had the file open, on whatever device, in the text of `documentVersion`; where it was asked for and is
 * known. Nobody else is told.
 */
export interface Live {
  type: "live";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * the file's last sequence
   */
  serverSequenceId: number;
  /**
   * the version of the file's text
   */
  documentVersion: number;
  /**
   * which log it is; another one after a restore from a backup
   */
  incarnation: string;
  /**
   * what one may do with the file
   */
  role: "editor" | "owner" | "viewer";
  /**
   * what became of each id in flight
   */
  fates: OperationFate[];
  /**
   * who has the file open, oneself included
   */
  participants: Participant[];
  lastCursor?: Cursor;
}
/**
 * Somebody who has the file open. `connectionId` tells two windows of one person apart.
 */
export interface Participant {
  /**
   * tells two windows of one person apart
   */
  connectionId: string;
  /**
   * who it is
   */
  userId: string;
  /**
   * how to show them
   */
  displayName: string;
  /**
   * `#rrggbb`; stays the same for a person
   */
  color: string;
  /**
   * what they may do with the file
   */
  role: "editor" | "owner" | "viewer";
  /**
   * the version that the cursor refers to
   */
  documentVersion?: number;
  /**
   * the selection; none: nothing is shown
   */
  cursor?: Cursor | null;
}
/**
 * A direct acknowledgement, for operations that are not (or no longer) broadcast to their author.
 */
export interface Ack {
  type: "ack";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * the operations, in order
   */
  operations: Place[];
}
/**
 * Where an operation is in the order.
 */
export interface Place {
  /**
   * unique for ever: 1 to 128 printable ASCII characters without blanks
   */
  operationId: string;
  /**
   * a place in the order of the workspace
   */
  serverSequenceId: number;
  /**
   * the version after the operation
   */
  documentVersion: number;
}
/**
 * The answer to resend. `more`: the range goes on behind the last of these operations.
 */
export interface Resent {
  type: "resent";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * the sequence that was asked from
   */
  previousSequenceId: number;
  /**
   * the digest of the last of these entries; of what one has where there are none
   */
  chainHash: string;
  /**
   * whether the range goes on behind the last of these
   */
  more: boolean;
  /**
   * the operations, in order
   */
  operations: CommittedOperation[];
}
/**
 * Somebody came or moved.
 */
export interface Presence {
  type: "presence";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  participant: Participant;
}
/**
 * Somebody went.
 */
export interface Left {
  type: "left";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * tells two windows of one person apart
   */
  connectionId: string;
}
/**
 * `contentHash` is the SHA-256 of the UTF-8 text at `documentVersion`, in hex.
 */
export interface Checksum {
  type: "checksum";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * the version of the file's text
   */
  documentVersion: number;
  /**
   * the file's last sequence
   */
  serverSequenceId: number;
  /**
   * SHA-256 of the UTF-8 text, in hex
   */
  contentHash: string;
}
/**
 * The answer to save: all of it up to this sequence is on the disk, and maybe more.
 */
export interface Saved {
  type: "saved";
  /**
   * everything up to here is on the disk
   */
  serverSequenceId: number;
  /**
   * as it was asked
   */
  fileId?: string | null;
}
/**
 * Where a file of a workspace is: before each live, and when it or a folder above it was renamed, moved, deleted or
 * restored. For those who have the file open, with or without the tree, where they may see it there.
 */
export interface Moved {
  type: "moved";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * the names from the top, with slashes between
   */
  path: string;
  /**
   * whether it, or a folder above it, is in the trash
   */
  trashed: boolean;
}
/**
 * This file has to be joined again, `retryAfter` milliseconds from now (the reason is a code of the error table).
 *
 * `retryAfter` is always there from protocol version 2 on, and never before.
 */
export interface Rejoin {
  type: "rejoin";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * a code of the error table
   */
  reason: string;
  /**
   * milliseconds after which to come back
   */
  retryAfter?: number;
}
/**
 * What one may do with the file is something else from here on.
 */
export interface RoleChanged {
  type: "roleChanged";
  /**
   * the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit
   */
  fileId: string;
  /**
   * what one may do with it from here on
   */
  role: "editor" | "owner" | "viewer";
}
/**
 * A refusal. The message it answers has changed nothing.
 *
 * `fates` comes with a join that is refused for want of access: an operation that is in the log is there, whatever
 * has become of its author's rights.
 */
export interface Error {
  type: "error";
  /**
   * a code of the error table; more may be added, none changes its meaning
   */
  code: string;
  /**
   * who has to change something
   */
  fault: "client" | "server";
  /**
   * what may be done with the same message: see the error table
   */
  retry: "never" | "rejoin" | "same";
  /**
   * what to do, for people
   */
  help: string;
  /**
   * what exactly was wrong, for people; may change
   */
  detail: string;
  /**
   * the file that it was about, if one is known
   */
  fileId?: string | null;
  /**
   * the operation that was refused, if one was
   */
  operationId?: string | null;
  /**
   * what became of each id in flight, where a join that named some is refused for want of access
   */
  fates?: OperationFate[];
}
/**
 * The server is going down; come back after so many milliseconds.
 */
export interface Goodbye {
  type: "goodbye";
  /**
   * a code of the error table
   */
  reason: string;
  /**
   * milliseconds after which to come back
   */
  retryAfter: number;
}
/**
 * The answer to ping.
 */
export interface Pong {
  type: "pong";
  /**
   * any number; comes back
   */
  nonce: number;
}
