"""What the pipeline needs from outside: storage, somebody to deliver to, and who may do what."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import AbstractAsyncContextManager
from enum import Enum
from math import inf
from typing import NamedTuple, Protocol

from coscribe.core.dedup import Record
from coscribe.core.errors import CoscribeError
from coscribe.documents.checkpoints import Checkpoint
from coscribe.model import File, FileSnapshot, LogEntry, Pruned, Workspace
from coscribe.protocol.messages import Role


class Blob(NamedTuple):
    """A content that is kept whole: the SHA-256 in hex, and how many bytes it has."""

    digest: str
    size: int


class BlobUse(NamedTuple):
    """That a blob is the content of a file, or was: the log says so."""

    file_key: int
    file_id: str
    blob: Blob


class Append(NamedTuple):
    """What one workspace adds to the log in a commit group. The fence: the head must be at (epoch, previous).

    ``files``: those of a tree that are other ones now, or new: as the last of the entries leaves them. ``blobs`` that
    have become the content of some of them.
    """

    workspace_key: int
    epoch: int
    previous_sequence: int
    chain_hash: bytes
    entries: Sequence[LogEntry]
    files: Sequence[File] = ()
    blobs: Sequence[BlobUse] = ()


class AppendResult(Enum):
    """COMMITTED: on disk. REFUSED: the fence or a uniqueness rule said no, nothing of this workspace was written."""

    COMMITTED = "committed"
    REFUSED = "refused"


class Home(NamedTuple):
    """The workspace that a file is in. ``is_tree``: it has a tree, and is no document."""

    workspace_id: str
    is_tree: bool


class SegmentSize(NamedTuple):
    """What goes into one segment of the log: at most ``entries``, no further one behind so many ``bytes`` of payload,
    and nothing below ``least`` entries unless they have so many bytes."""

    entries: int
    bytes: int
    least: int


class Segment(NamedTuple):
    """Part of a log that is compressed now. Bytes: about what its rows took, and what it takes itself."""

    first_sequence: int
    last_sequence: int
    entries: int
    bytes_before: int
    bytes_after: int


class Retained(NamedTuple):
    """How long the history of a document is kept. ``days`` None: as the server's settings say; 0: for ever.
    ``held``: a legal hold is on it, nothing is pruned."""

    days: int | None = None
    held: bool = False


class Prunable(NamedTuple):
    """A log that may be pruned, and the retention that says so. Nobody has acquired the workspace for this."""

    workspace: Workspace
    retained: Retained


class StorageError(Exception):
    """Storage failed. After an append the outcome is unknown: it must not be retried, only read back."""


class OpLog(Protocol):
    """The operation log. Adapters pass tests/contracts/op_log.py."""

    async def create(self, workspace_id: str, file_id: str, path: str, time: int) -> None:
        """Makes a workspace of kind ``document`` with one empty file, unless it is there already."""
        ...

    async def create_tree(self, workspace_id: str, time: int, *, folds_case: bool = False) -> None:
        """Makes a workspace of kind ``workspace`` with an empty tree, unless it is there already. ``folds_case``: names
        that differ in case are the same."""
        ...

    async def locate(self, file_id: str) -> Home | None:
        """Where a file is; None: there is no such file, or it was purged."""
        ...

    async def keys(self, workspace_key: int) -> dict[str, int]:
        """The keys of all files that a workspace ever had, by id; those that were purged, too."""
        ...

    async def acquire(self, workspace_id: str) -> Workspace | None:
        """Becomes the owner: raises the epoch, durably, and only then reads the head. None: no such workspace."""
        ...

    async def append(self, appends: Sequence[Append]) -> list[AppendResult]:
        """One durable transaction for all; a refused workspace does not hold up the others.

        Raises StorageError where the outcome is not known.
        """
        ...

    async def read(
        self, workspace_key: int, after: int, *, through: int, limit: int, file_key: int | None = None
    ) -> list[LogEntry]:
        """Entries with after < sequence <= through, oldest first, at most ``limit``.

        Errors: ``history_pruned``: some behind ``after`` were. Never fewer than there have been.
        """
        ...

    async def read_versions(self, file_key: int, after_version: int, through: int, limit: int) -> list[LogEntry]:
        """The entries of a file whose version is above ``after_version``, up to sequence ``through``, oldest first.

        Errors: ``history_pruned``: some behind ``after_version`` were.
        """
        ...

    async def find(self, workspace_key: int, operation_id: str) -> Record | None:
        """What the registry keeps of an id."""
        ...

    async def highest(self, workspace_key: int, series: str) -> int:
        """The highest counter of a series; -1 where there is none."""
        ...

    async def author(self, user_id: str) -> int:
        """The opaque reference that stands for a user in the log; made at first use."""
        ...

    async def workspaces(self) -> list[str]:
        """All workspace ids, in order."""
        ...

    async def closed(self, workspace_key: int) -> int:
        """The last sequence that loading the workspace leaves unread: what lies before every file's newest snapshot; of
        a tree what is covered."""
        ...

    async def cover(self, workspace_key: int, sequence: int) -> None:
        """Notes that every file has a snapshot that holds all of it up to a sequence. It never goes back."""
        ...

    async def compact(self, workspace_key: int, through: int, size: SegmentSize) -> Segment | None:
        """Puts the oldest part of a log that is not compressed yet, up to ``through``, into one segment.

        Whatever is asked of the log has the same answer afterwards. None: there is not enough, or the adapter does not
        compress. The newest entry stays as it is. Raises StorageError; where the entries do not fit their hash chain
        they are left as they are.
        """
        ...

    async def blobs(self, workspace_key: int, digests: Sequence[str]) -> list[BlobUse]:
        """Which files of a workspace have some blobs as their content, or had, as its log says."""
        ...

    async def is_used(self, digest: str) -> bool:
        """Whether any log at all refers to a blob."""
        ...

    async def pruned(self, workspace_key: int) -> Pruned:
        """How much of a log was pruned; `NOTHING_PRUNED` where it is whole."""
        ...

    async def checkpoint(self, workspace_key: int) -> Checkpoint | None:
        """What a pruned log begins with; None: it is whole."""
        ...

    async def prunable(self, default_days: int, after_key: int, limit: int) -> list[Prunable]:
        """Logs of documents whose retention is not for ever and that are not held, by key, behind ``after_key``.
        ``default_days``: where one has no retention of its own. The logs of trees are kept whole."""
        ...

    async def segments(self, workspace_key: int) -> list[int]:
        """Where a log may be pruned: the last sequences of its closed parts that were not pruned yet, in order."""
        ...

    async def prune(self, checkpoint: Checkpoint, retained: Retained, *, forget_ids: bool = False) -> bool:
        """Puts a checkpoint in the place of all entries up to its sequence, which is one of `segments` or that of the
        checkpoint before; in one transaction. Snapshots of what was before go, too.

        Ids stay known, with author, request and place, unless ``forget_ids``: then those up to the checkpoint go.
        False: the retention or the log is another one by now, and nothing was done. Raises StorageError.
        """
        ...

    async def close(self) -> None: ...


class Owning(Protocol):
    """Which workspaces are this instance's, where there are several. Cheap: it is asked for every message."""

    def owns(self, workspace_id: str) -> bool:
        """Whether it may be loaded and somebody let in, at this very moment."""
        ...

    def holds(self, workspace_id: str) -> bool:
        """Whether what was loaded may be shown: while it is owned, and while it is handed over."""
        ...


class Latest(NamedTuple):
    """Of one file: its newest kept snapshot, None: there is none; and what `SnapshotRepo.saved` says of it."""

    snapshot: FileSnapshot | None
    saved: int


class SnapshotRepo(Protocol):
    """Snapshots of files. Adapters pass tests/contracts/snapshot_repo.py."""

    async def save(self, snapshot: FileSnapshot, *, keep: int) -> None:
        """Stores a snapshot and drops all but the newest ``keep`` of that file, in one transaction."""
        ...

    async def newest(self, file_key: int, *, skip: int = 0) -> FileSnapshot | None:
        """The newest kept snapshot, or the one ``skip`` before it. Whether it is damaged is for the reader to see."""
        ...

    async def saved(self, file_key: int) -> int:
        """The sequence of the newest snapshot that there ever was of a file, kept or not; 0: there was none."""
        ...

    async def latest(self, file_keys: Sequence[int], most: int) -> dict[int, Latest]:
        """The newest snapshots of many files at one moment: of all of them, or of as many, at least one, as come to
        ``most`` bytes."""
        ...


class LastCursor(NamedTuple):
    """Where the caret of an author was in a file: a selection in the text of ``version``. ``moved_at``: microseconds
    since 1970."""

    file_key: int
    author_ref: int
    version: int
    anchor: int
    head: int
    moved_at: int


class CursorRepo(Protocol):
    """Last cursors. Adapters pass tests/contracts/cursor_repo.py."""

    async def keep_cursors(self, cursors: Sequence[LastCursor], *, per_person: int, per_file: int) -> None:
        """Stores cursors, each in the place of the one before of that author in that file, in one transaction. Of these
        authors, and of these files, those that moved longest ago are forgotten beyond so many. A file that is not there
        any more, and an author whose account is gone, are passed over."""
        ...

    async def last_cursor(self, file_key: int, author_ref: int) -> LastCursor | None:
        """The one that is stored."""
        ...


class BlobDraft(Protocol):
    """A blob that is being written."""

    @property
    def size(self) -> int:
        """Bytes that were written so far."""
        ...

    @property
    def digest(self) -> str:
        """Of what was written so far: the hash of the blob, if it is kept now."""
        ...

    async def content(self, most: int = -1) -> bytes:
        """What was written so far; at most so many bytes of it. Raises StorageError."""
        ...

    async def write(self, piece: bytes) -> None:
        """Raises StorageError."""
        ...

    async def keep(self) -> Blob:
        """It is durable when this returns. Raises StorageError."""
        ...


class BlobStore(Protocol):
    """Contents that are kept whole, by their hash. Adapters pass tests/contracts/blob_store.py.

    It knows nothing of files and rights: whoever asks it for a blob answers for that.
    """

    async def put(self, contents: Sequence[bytes]) -> list[Blob]:
        """All of them are durable when it returns. What is there already is written anew. Raises StorageError; some of
        them may be there then."""
        ...

    def draft(self) -> AbstractAsyncContextManager[BlobDraft]:
        """For what comes in pieces; what was not kept when the block ends is gone. Raises StorageError."""
        ...

    async def size(self, digest: str) -> int | None:
        """None: there is none. Raises StorageError."""
        ...

    async def read(self, digest: str) -> bytes:
        """Errors: ``file_damaged``: it is not there, or not what it was. Raises StorageError."""
        ...

    def pieces(self, digest: str) -> AsyncIterator[bytes]:
        """Likewise, a piece at a time: where it is damaged the last one is missing when that is told."""
        ...

    async def remove(self, digest: str) -> None:
        """Only for what no log refers to. Raises StorageError."""
        ...


class Subscriber(Protocol):
    """Somebody who has a file open."""

    def deliver(self, frame: bytes, position: int | None = None) -> None:
        """A message of its own. ``position``: the file's sequence that the subscriber is at afterwards."""
        ...

    def broadcast(self, frame: bytes, last_sequence: int) -> None:
        """Operations up to ``last_sequence``. A subscriber that cannot take them now catches up later."""
        ...

    def hint(self, frame: bytes) -> None:
        """Something advisory, that may be dropped."""
        ...

    def evict(self, error: CoscribeError) -> None:
        """The state behind this subscription is gone; the file has to be joined again."""
        ...


class Identity(NamedTuple):
    """Who somebody is, as far as it matters here. ``role`` is the most that the credential allows.

    ``account`` says whose rights count: a user's id, "" for guests and for tokens that the folder's key has signed.
    ``credential`` is what a revocation names: ``session:ID``, ``token:ID``, ``link:ID``. It is good until
    ``expires_at``, in seconds since 1970. ``workspace`` is the only one that it is for; "": any.
    """

    user_id: str
    display_name: str
    color: str
    role: Role
    account: str = ""
    credential: str = ""
    expires_at: float = inf
    workspace: str = ""


class AccessChange(NamedTuple):
    """Rights have changed, durably; open sockets must follow within a second. An empty field stands for any.

    One that names an account or a credential and no workspace may mean that a credential is good no longer.
    """

    workspace_id: str = ""
    account: str = ""
    credential: str = ""

    def concerns(self, identity: Identity) -> bool:
        """Whether it can matter to somebody, in some workspace."""
        return (not self.account or self.account == identity.account) and (
            not self.credential or self.credential == identity.credential
        )


class PathRights(Protocol):
    """What somebody may do with the paths of a workspace, as of when it was asked for."""

    @property
    def role(self) -> Role:
        """In the workspace as a whole."""
        ...

    @property
    def is_uniform(self) -> bool:
        """Whether no rule tells paths apart for them: `on` is ``role`` everywhere."""
        ...

    def on(self, path: str) -> Role | None:
        """The role on a path. None: there is nothing, as far as they are to know."""
        ...

    def alike(self, source: str, target: str) -> bool:
        """Whether the rules, for whomever they are, say the same of both paths: moving a file opens it to nobody."""
        ...

    def shows(self, path: str, *, is_folder: bool) -> bool:
        """Whether it is in the tree that they see: what they may read, and folders that lead to what a rule opens."""
        ...

    @property
    def view(self) -> Hashable:
        """What is the same for everybody who sees the same tree."""
        ...

    @property
    def recalls_any(self) -> bool:
        """Whether they may see the past at all: editors, whatever the credential allows them to change."""
        ...

    def recalls(self, path: str) -> bool:
        """Whether they may see the past of a file: what was deleted from it is in there."""
        ...


class Uniform(NamedTuple):
    """The same role on every path."""

    role: Role
    is_uniform: bool = True

    def on(self, path: str) -> Role | None:
        return self.role

    def alike(self, source: str, target: str) -> bool:
        return True

    def shows(self, path: str, *, is_folder: bool) -> bool:
        return True

    @property
    def view(self) -> Hashable:
        return None

    @property
    def recalls_any(self) -> bool:
        return self.role != "viewer"

    def recalls(self, path: str) -> bool:
        return self.recalls_any


class Access(Protocol):
    """Who may do what. Never how a document changes.

    An answer holds until `Gateway.access_changed` is told of a change; then it is asked for again.
    """

    async def role(self, identity: Identity, file_id: str) -> Role | None:
        """The role in a document, or at the top of a workspace, when everything is taken into account. None: no access
        at all."""
        ...

    async def rights(self, identity: Identity, workspace_id: str) -> PathRights | None:
        """The rights in the tree of a workspace. None: no access at all."""
        ...

    async def may_create(self, identity: Identity, file_id: str) -> bool: ...

    def opened(self, identity: Identity, file_id: str) -> None:
        """Somebody has opened the file, for whoever keeps a record of that."""
        ...

    def refused(self, identity: Identity, file_id: str) -> None:
        """Somebody was not let in."""
        ...


class Authenticator(Protocol):
    """Who a token belongs to."""

    async def authenticate(self, token: str) -> Identity:
        """Errors: ``authentication_failed``."""
        ...

    async def is_valid(self, identity: Identity) -> bool:
        """Whether the credential of somebody who was authenticated is still good."""
        ...
