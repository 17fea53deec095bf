"""Every message of the wire. This file is the one source of truth.

The JSON schema (`contract/wire.schema.json`), the reference page (`docs/protocol.md`) and the message types of other
languages are generated from it. A message is one JSON object in one WebSocket text frame; ``type`` says which one.
Field names are camelCase on the wire. Positions, lengths and counts of text are Unicode code points.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

WEBSOCKET_PATH = "/ws"
"""Where the gateway's socket is on a server of our own."""

PROTOCOL_VERSIONS = (2, 1)
"""The protocol versions this build speaks, best first.

2: rejoin says how long to wait. In 1 the client decides that by the reason.
"""

Natural = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
FileId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
OperationId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
OperationType = Literal["insert", "delete", "replace", "batch"]
Origin = Literal["paste"]
Fate = Literal["committed", "notCommitted", "unknowable"]
Role = Literal["owner", "editor", "viewer"]
Kind = Literal["directory", "text", "binary", "symlink"]
Why = Literal["numbered", "trashed_folder", "cycle", "too_deep", "already", "moved_up", "kept"]


class Message(msgspec.Struct, rename="camel", gc=False, tag_field="type", tag=lambda name: name[0].lower() + name[1:]):
    """Base of all messages."""


class Part(msgspec.Struct, rename="camel", gc=False, omit_defaults=True):
    """Base of what messages are made of."""


# ---- parts


class Replacement(Part):
    """The payload of a replace: drop ``delete`` code points, put ``insert`` in their place; one atomic edit."""

    delete: Natural
    insert: str


Edit = tuple[Natural, Natural, str]
"""One edit of a batch: position, number deleted, text inserted. All edits of a batch refer to the same text."""

Payload = str | Natural | Replacement | list[Edit]


class Lineage(Part):
    """What a replica has: the log's incarnation, a sequence in it, and the chain hash at that sequence."""

    incarnation: str
    server_sequence_id: Natural
    chain_hash: str


class Have(Lineage):
    """What a reconnecting client has of a file: the lineage of the last operation it saw, and that version."""

    document_version: Natural


class ChainElement(Part):
    """One operation of a chain. Its base is the text that the element before it leaves."""

    operation_id: OperationId
    operation_type: OperationType
    position: Natural
    payload: Payload
    restores: list[Natural] = []
    origin: Origin | msgspec.UnsetType = msgspec.UNSET


class CommittedOperation(Part):
    """An operation as it was committed (transformed), with its place in the order.

    ``documentVersion`` is the version after it. An operation that came to nothing (a batch of no edits) has a
    sequence of its own and leaves the version as it was.
    """

    operation_id: str
    user_id: str
    server_sequence_id: int
    document_version: int
    operation_type: OperationType
    position: int
    payload: Payload
    restores: list[int] = []


class CreateNode(Part, tag_field="verb", tag="create"):
    """A new file or folder. Its id is `node_id` of the workspace, the operation and the place in it. ``content``: of a
    binary file the SHA-256 of its bytes in hex, of a link its target. ``exact``: refuse it rather than number it."""

    parent_id: FileId
    name: str
    kind: Kind
    content: str = ""
    properties: dict[str, str] = {}
    exact: bool = False


class MoveNode(Part, tag_field="verb", tag="move"):
    """To another folder, under another name, or both. ``replaces``: what has that name, and goes into the trash."""

    file_id: FileId
    parent_id: FileId | None = None
    name: str | None = None
    replaces: str = ""
    exact: bool = False


class DeleteNode(Part, tag_field="verb", tag="delete"):
    """Into the trash, with all that is below."""

    file_id: FileId


class RestoreNode(Part, tag_field="verb", tag="restore"):
    """Out of the trash, with all that went there with it; to another folder or under another name, if that is said."""

    file_id: FileId
    parent_id: FileId | None = None
    name: str | None = None


class PutContent(Part, tag_field="verb", tag="put"):
    """Another content of a binary file or a link as a whole, or another kind of file."""

    file_id: FileId
    kind: Kind
    content: str = ""


class SetProperty(Part, tag_field="verb", tag="set"):
    """One property of a file; an empty value takes it away."""

    file_id: FileId
    key: str
    value: str


class PurgeNodes(Part, tag_field="verb", tag="purge"):
    """Out of the trash for good, these very ones; for owners."""

    file_ids: list[FileId]


TreeEdit = CreateNode | MoveNode | DeleteNode | RestoreNode | PutContent | SetProperty | PurgeNodes


class TreeNode(Part):
    """A file or folder. ``parentId``: the folder that it is in; of what is at the top the id of the workspace.
    ``trashed``: itself, whatever the folders above are. ``properties``: only those that are not the usual."""

    parent_id: str
    name: str
    kind: Kind
    trashed: bool = False
    content: str = ""
    properties: dict[str, str] = {}


class PlacedNode(TreeNode):
    """A node of a snapshot, with its id."""

    file_id: str = ""


class TreeChange(Part):
    """A node before and after; null: it was not there, it is not there any more."""

    file_id: str
    before: TreeNode | None
    after: TreeNode | None


class TreeEntry(Part):
    """What an operation on the tree came to, with its place in the order. No changes: it came to nothing."""

    operation_id: str
    user_id: str
    server_sequence_id: int
    changes: list[TreeChange]
    restores: list[int] = []


class TreeNote(Part):
    """Something came out other than it was asked."""

    file_id: str
    why: Why


class Place(Part):
    """Where an operation is in the order."""

    operation_id: str
    server_sequence_id: int
    document_version: int


class OperationFate(Part):
    """What became of an operation that was in flight. Sequence and version only where it was committed."""

    operation_id: str
    fate: Fate
    server_sequence_id: int | None = None
    document_version: int | None = None


class Cursor(Part):
    """A selection: ``head`` is the caret, ``anchor`` the other end."""

    anchor: Natural
    head: Natural


class Participant(Part):
    """Somebody who has the file open. ``connectionId`` tells two windows of one person apart."""

    connection_id: str
    user_id: str
    display_name: str
    color: str
    role: Role
    document_version: int = 0
    cursor: Cursor | None = None


class ServerLimits(Part):
    """Bounds a client should keep to. Bytes of a message; code points of an operation and of a file; counts."""

    message_bytes: int
    operation_length: int
    file_length: int
    chain_operations: int
    files_per_connection: int


# ---- client to server


class Hello(Message):
    """The first message: who is there, and which protocol versions it speaks. Never a token in a URL."""

    protocol: list[int]
    token: str
    client: str = ""


class Join(Message):
    """Open a file, or, by the workspace's id, the tree of a workspace. ``have``: what is left from before, for a tail
    instead of a snapshot. ``inFlight``: the ids of operations that were sent and never acknowledged; the answer names
    the fate of each. ``lastCursor``: `live` is to say where my caret was when I last had the file open."""

    file_id: FileId
    have: Have | None = None
    in_flight: list[OperationId] = []
    last_cursor: bool = False


class SnapshotApplied(Message):
    """The snapshot is in place: send what came after it."""

    file_id: FileId
    snapshot_sequence_id: Natural


class Leave(Message):
    """Close a file; nothing more of it is sent."""

    file_id: FileId


class Operation(Message):
    """One edit. ``position``/``payload`` by ``operationType``:

    - insert: put the string ``payload`` at ``position``
    - delete: drop ``payload`` (a number) code points from ``position`` on
    - replace: drop and insert at ``position`` atomically, see Replacement
    - batch: ``position`` is 0, ``payload`` is a list of edits against one text, left to right

    ``operationId`` is unique for ever; ``<series>:<counter>`` with a growing counter is the form that costs least.
    Until it is acknowledged a message is resent only exactly as it was. ``restores`` names the sequences that an undo
    or a restore brings back. ``origin`` is kept in the log: where what it inserts is from, as far as its author says.
    """

    file_id: FileId
    operation_id: OperationId
    user_id: str
    base_version: Natural
    operation_type: OperationType
    position: Natural
    payload: Payload
    restores: list[Natural] = []
    origin: Origin | msgspec.UnsetType = msgspec.UNSET


class Chain(Message):
    """Several operations, each with its own id, each based on the one before it; committed as a unit."""

    file_id: FileId
    user_id: str
    base_version: Natural
    operations: Annotated[list[ChainElement], msgspec.Meta(min_length=1)]


class TreeOperation(Message):
    """Operations on the tree of the workspace ``fileId``, one after the other, all of them or none: one operation with
    one id and one place in the order. They name files by id and say what is to be, whatever was: there is no base, and
    nothing is rebased. What comes of it is in `treeCommitted`, which may be other than was asked: see `treeNotes`."""

    file_id: FileId
    operation_id: OperationId
    user_id: str
    operations: Annotated[list[TreeEdit], msgspec.Meta(min_length=1)]
    restores: list[Natural] = []


class SetPresence(Message):
    """Where my caret is, as of ``documentVersion``. Advisory: receivers carry it over what has come since."""

    file_id: FileId
    document_version: Natural
    cursor: Cursor | None = None


class Resend(Message):
    """Ask for the operations behind ``have``, up to and including ``throughSequenceId``; the answer may need several
    rounds (``more``)."""

    file_id: FileId
    have: Lineage
    through_sequence_id: Natural


class GetChecksum(Message):
    """Ask for the hash of the text, to compare a replica with."""

    file_id: FileId


class Save(Message):
    """A barrier: the answer comes when what the file has come to by now is kept outside of the log, too. By the
    workspace's id all of its files and its tree are meant; so they are without an id, where all that is open here is
    of one workspace. For those who may edit. Nothing waits for it; asked for again before it has begun it is answered
    once."""

    file_id: FileId | None = None


class Ping(Message):
    """Is anybody there? Answered at once by pong."""

    nonce: Natural = 0


ClientMessage = (
    Hello
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
    | Ping
)


# ---- server to client


class Welcome(Message):
    """The answer to hello: the protocol version that is spoken from here on, and who you are."""

    protocol: int
    user_id: str
    connection_id: str
    limits: ServerLimits
    server: str


class Snapshot(Message):
    """The text at a version and a sequence. ``lineageLost``: the log no longer knows what the client had."""

    file_id: str
    snapshot_version: int
    snapshot_sequence_id: int
    incarnation: str
    chain_hash: str
    role: Role
    fates: list[OperationFate]
    lineage_lost: bool
    content: str


class Committed(Message):
    """Operations of a file in their order, the same bytes for everybody, the author included: an author finds its
    acknowledgement here by operationId. ``previousSequenceId`` is the file's sequence before the first of them: a
    replica that is not there yet has a gap. ``chainHash`` belongs to the last of them."""

    file_id: str
    previous_sequence_id: int
    chain_hash: str
    operations: list[CommittedOperation]


class TreeSnapshot(Message):
    """The tree of a workspace at a sequence: all its nodes, those in the trash too, each behind its folder.
    ``foldsCase``: names that differ in case, or in how their accents are written, are the same name."""

    file_id: str
    snapshot_sequence_id: int
    incarnation: str
    chain_hash: str
    role: Role
    fates: list[OperationFate]
    lineage_lost: bool
    folds_case: bool
    nodes: list[PlacedNode]


class TreeCommitted(Message):
    """What became of a tree, in order, the author's own operations too; as `committed` is for a text."""

    file_id: str
    previous_sequence_id: int
    chain_hash: str
    entries: list[TreeEntry]


class TreeResent(Message):
    """The answer to a resend of a tree."""

    file_id: str
    previous_sequence_id: int
    chain_hash: str
    more: bool
    entries: list[TreeEntry]


class TreeNotes(Message):
    """To the author alone: what of an operation on the tree came out other than it was asked."""

    file_id: str
    operation_id: str
    notes: list[TreeNote]


class Live(Message):
    """The tail is through: from here on operations come as they are committed. ``lastCursor``: where my caret was when
    I last had the file open, on whatever device, in the text of ``documentVersion``; where it was asked for and is
    known. Nobody else is told."""

    file_id: str
    server_sequence_id: int
    document_version: int
    incarnation: str
    role: Role
    fates: list[OperationFate]
    participants: list[Participant]
    last_cursor: Cursor | msgspec.UnsetType = msgspec.UNSET


class Ack(Message):
    """A direct acknowledgement, for operations that are not (or no longer) broadcast to their author."""

    file_id: str
    operations: list[Place]


class Resent(Message):
    """The answer to resend. ``more``: the range goes on behind the last of these operations."""

    file_id: str
    previous_sequence_id: int
    chain_hash: str
    more: bool
    operations: list[CommittedOperation]


class Presence(Message):
    """Somebody came or moved."""

    file_id: str
    participant: Participant


class Left(Message):
    """Somebody went."""

    file_id: str
    connection_id: str


class Checksum(Message):
    """``contentHash`` is the SHA-256 of the UTF-8 text at ``documentVersion``, in hex."""

    file_id: str
    document_version: int
    server_sequence_id: int
    content_hash: str


class Saved(Message):
    """The answer to save: all of it up to this sequence is on the disk, and maybe more."""

    server_sequence_id: int
    file_id: str | None = None


class Moved(Message):
    """Where a file of a workspace is: before each live, and when it or a folder above it was renamed, moved, deleted or
    restored. For those who have the file open, with or without the tree, where they may see it there."""

    file_id: str
    path: str
    trashed: bool


class Rejoin(Message):
    """This file has to be joined again, ``retryAfter`` milliseconds from now (the reason is a code of the error table).

    ``retryAfter`` is always there from protocol version 2 on, and never before."""

    file_id: str
    reason: str
    retry_after: Natural | msgspec.UnsetType = msgspec.UNSET


class RoleChanged(Message):
    """What one may do with the file is something else from here on."""

    file_id: str
    role: Role


class Error(Message):
    """A refusal. The message it answers has changed nothing.

    ``fates`` comes with a join that is refused for want of access: an operation that is in the log is there, whatever
    has become of its author's rights."""

    code: str
    fault: Literal["client", "server"]
    retry: Literal["never", "same", "rejoin"]
    help: str
    detail: str
    file_id: str | None = None
    operation_id: str | None = None
    fates: list[OperationFate] | msgspec.UnsetType = msgspec.UNSET


class Goodbye(Message):
    """The server is going down; come back after so many milliseconds."""

    reason: str
    retry_after: int


class Pong(Message):
    """The answer to ping."""

    nonce: int


ServerMessage = (
    Welcome
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
    | Pong
)
