/** The Coscribe client: open a file, edit it optimistically, lose nothing. See README.md. */

export { Client, type ClientOptions, type ClientStatus, type Unsent } from "./client.ts";
export { type Clock, systemClock } from "./clock.ts";
export { type AnyErrorCode, CoscribeError, ERRORS, type ErrorCode, isErrorCode } from "./core/errors.ts";
export { type CodePointEdit, fromEdits } from "./core/operation.ts";
export { lengthInCodePoints } from "./core/positions.ts";
export { TextBuffer } from "./core/text_buffer.ts";
export type { Change as NodeChange, Kind, NodeState, Note, Why } from "./core/tree.ts";
export {
  AccessEnded,
  type Change,
  type Diagnostics,
  type Document,
  type DocumentState,
  type DocumentStatus,
  HoldsRefused,
} from "./document.ts";
export { type Locks, MemoryLocks } from "./locks.ts";
export type { Patch } from "./patch.ts";
export type { Participant } from "./presence.ts";
export type { TextEdit } from "./replica.ts";
export {
  MemoryStore,
  type RecordKey,
  type Save,
  type Store,
  type StoredBase,
  type StoredChange,
  type StoredFile,
  type StoredPending,
  type StoredRecord,
  type StoredTree,
} from "./store.ts";
export type { TracedMessage } from "./trace.ts";
export type { Link, LinkHandlers, Transport } from "./transport.ts";
export type { CommittedOperation, Lineage, Role } from "./wire/codec.ts";
export type { TreeEdit } from "./wire/tree_codec.ts";
export {
  type Entry,
  type TreeChange,
  type TreePatch,
  type Workspace,
  WorkspaceEnded,
  type WorkspaceStatus,
} from "./workspace.ts";
