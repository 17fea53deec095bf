"""Workspace: the tree of files of a workspace that a client has open, and the way to the texts in it.

What one does to the tree is done at once, by the rules of `core.tree`, and reaches the server when it can; what came of
it there may be something else (another number behind a name), and then that is what is shown. A new file has its id at
once. Its text can be opened and typed into before the server has heard of the file: the text is joined when the file is
there, so the one always goes before the other, over however many connections and, with a pending folder, processes.
(A file that was made and never sent is opened by its workspace: by itself it is not there yet.)

What the server refuses is taken out of the tree and handed back (`Workspace.patches`), with what of the queue hangs on
it when its turn comes. A text in the trash goes on by its id; `restore` brings it back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from coscribe.client.document import Document
from coscribe.client.opened import Opened, State
from coscribe.client.pending import ids_in
from coscribe.client.replica import Gap
from coscribe.client.tree_replica import PendingChange, TreeReplica
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import ROOT, Change, NodeState, Note, Tree
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import Kind, TreeEdit

if TYPE_CHECKING:
    from coscribe.client.client import Client


class TreeChanged(NamedTuple):
    """Something happened to the tree that is shown: nodes before and after, one change for each. ``authors``: whose
    operations it came from; none where it was ourselves, now. ``changes`` None: it is another tree now; read it whole.
    """

    changes: tuple[Change, ...] | None
    authors: tuple[str, ...] = ()


class TreePatch(NamedTuple):
    """What was asked of the tree and cannot be done, for its author to use otherwise; and why."""

    code: str
    detail: str
    edits: list[TreeEdit]
    operation_id: str


class TreeEnded(CoscribeError):
    """There is no access to the workspace, or not any more. ``patches``: what was asked for and is not done."""

    def __init__(self, error: CoscribeError, patches: list[TreePatch]) -> None:
        super().__init__(error.code, error.detail, file_id=error.file_id)
        self.patches = patches


class Workspace(Opened[TreeReplica]):
    """Made by `Client.open_workspace`. A folder is named by its id; "" and the workspace's own id are the top.

    Whatever changes the tree raises, and changes nothing, where the server would refuse it as things are here, and
    ValueError where the tree is not known yet: `live` waits for it.
    """

    def __init__(self, client: Client, replica: TreeReplica) -> None:
        super().__init__(client, replica)
        self._listeners: list[Callable[[TreeChanged], None]] = []
        self.patches: list[TreePatch] = []
        self.on_notes: Callable[[list[Note]], None] = lambda _: None
        """Told of what the server has made of our changes other than was asked."""

    # ---- looking

    @property
    def workspace_id(self) -> str:
        return self.file_id

    @property
    def tree(self) -> Tree:
        """The tree with our own pending changes in it, to look at. Raises ValueError: it is not known yet."""
        if self._replica.tree is None:
            raise ValueError("the tree of the workspace is not known yet")
        return self._replica.tree

    @property
    def pending(self) -> int:
        """How many of our changes are not acknowledged."""
        return len(self._replica.pending)

    def children(self, folder_id: str = ROOT) -> list[tuple[str, str]]:
        """(name, id) of what is in a folder and not in the trash, by name. Errors: ``file_not_found``."""
        return self.tree.children(self._inside(folder_id))

    def find(self, path: str) -> str | None:
        """The id of what is at a path; None: nothing is."""
        return self.tree.find(path)

    def path(self, file_id: str) -> str:
        """Also of what is in the trash. Errors: ``file_not_found``."""
        return self.tree.path(self._inside(file_id))

    def node(self, file_id: str) -> NodeState:
        """Errors: ``file_not_found``."""
        return self.tree.state(file_id)

    def is_trashed(self, file_id: str) -> bool:
        """Whether it or a folder above it is in the trash. Errors: ``file_not_found``."""
        return not self.tree.is_live(file_id)

    def listen(self, listener: Callable[[TreeChanged], None]) -> Callable[[], None]:
        """Calls ``listener`` after every change; the returned function ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # ---- changing

    def create(
        self,
        name: str,
        folder_id: str = ROOT,
        *,
        kind: Kind = "text",
        content: str = "",
        properties: dict[str, str] | None = None,
        exact: bool = False,
    ) -> str:
        """A new file; its id. ``exact``: refuse it where the name is taken, rather than number it."""
        where = self._outside(folder_id)
        (made,) = self.change([messages.CreateNode(where, name, kind, content, properties or {}, exact)])
        return made

    def mkdir(self, name: str, folder_id: str = ROOT, *, exact: bool = False) -> str:
        """A new folder; its id."""
        return self.create(name, folder_id, kind="directory", exact=exact)

    def move(
        self,
        file_id: str,
        folder_id: str | None = None,
        name: str | None = None,
        *,
        replaces: str = "",
        exact: bool = False,
    ) -> None:
        """To another folder, under another name, or both."""
        where = None if folder_id is None else self._outside(folder_id)
        self.change([messages.MoveNode(file_id, where, name, replaces, exact)])

    def delete(self, file_id: str) -> None:
        """Into the trash, with all that is below."""
        self.change([messages.DeleteNode(file_id)])

    def restore(self, file_id: str, folder_id: str | None = None, name: str | None = None) -> None:
        """Out of the trash, with all that went there with it."""
        where = None if folder_id is None else self._outside(folder_id)
        self.change([messages.RestoreNode(file_id, where, name)])

    def set(self, file_id: str, key: str, value: str) -> None:
        """One property; "" takes it away."""
        self.change([messages.SetProperty(file_id, key, value)])

    def change(self, edits: Sequence[TreeEdit]) -> list[str]:
        """Several operations as one: all of them or none. The ids of what they make.

        On the wire the top is the workspace's own id. Errors: as the server would refuse them, and why access has
        ended, if it has.
        """
        self._check_open()
        change = self._replica.change(edits)
        self._done(change)
        return change.made(self.file_id)

    @property
    def latest(self) -> str:
        """What our latest change that can be taken back is called; "": there is none."""
        return self._replica.latest

    def undo(self, change: str = "") -> bool:
        """Takes back our own latest change, or one that was the `latest` once, whatever others have done since. False:
        there is none. Errors: those of `change`, where others have made it impossible; then it is passed over from here
        on."""
        self._check_open()
        return self._done(self._replica.undo(change))

    def redo(self) -> bool:
        self._check_open()
        return self._done(self._replica.redo())

    # ---- texts

    async def open(self, file_id: str) -> Document:
        """Opens a text and returns once it is live. Errors: those of `Client.open`."""
        return await self._client.open(file_id)

    async def open_path(self, path: str) -> Document:
        """Likewise by its path. Errors: ``file_not_found``."""
        file_id = self.find(path)
        if not file_id:
            raise CoscribeError(Code.FILE_NOT_FOUND, f"there is no file {path!r}")
        return await self.open(file_id)

    def open_offline(self, file_id: str) -> Document:
        """Opens a text without waiting for the server. One that was made here can be typed into at once."""
        document = self._client.open_offline(file_id)
        if self.holds(file_id) and self._replica.incarnation:
            document.begin_empty(self._replica.incarnation)
        return document

    async def save(self) -> int:
        """Returns when the server has saved all of the workspace, with what we have done to the tree and typed in texts
        of it that are open here: the sequence up to which. Errors: those of `Opened.save`."""
        reached = [0]
        for document in self._documents():
            await document.synced()
            reached.append(document.sequence)
        await self.synced()
        return await self.save_through(max(*reached, self.sequence))

    def _documents(self) -> list[Document]:
        """The open texts that are in the tree."""
        tree = self._replica.tree
        return [document for document in self._client.documents() if tree is not None and document.file_id in tree]

    # ---- for the client

    def holds(self, file_id: str) -> bool:
        """Whether a file is of our making, and the server has not said yet that it is there."""
        return any(file_id in change.made(self.file_id) for change in self._replica.pending)

    # ---- states of the protocol

    def _have(self) -> messages.Have | None:
        replica = self._replica
        return replica.lineage() if replica.tree is not None and replica.incarnation else None

    def _lineage(self) -> messages.Lineage:
        have = self._replica.lineage()
        return messages.Lineage(have.incarnation, have.server_sequence_id, have.chain_hash)

    def _take(self, message: messages.ServerMessage) -> None:
        if isinstance(message, messages.TreeSnapshot):
            self._adopt(message)
        elif isinstance(message, messages.TreeResent):
            self._advance(message.entries, message.previous_sequence_id, message.chain_hash)
            self._gap_filled(more=message.more)
        elif isinstance(message, messages.Snapshot):
            self._client.send(codec.encode(messages.Leave(self.file_id)))
            self.fail(CoscribeError(Code.FILE_NOT_FOUND, "a document has that id, and no workspace"))
        elif isinstance(message, messages.Ack):
            for place in message.operations:
                self._acknowledged(place.operation_id, place.server_sequence_id)
            self._go_on()
        elif isinstance(message, messages.TreeNotes):
            self.on_notes([Note(self._inside(note.file_id), note.why) for note in message.notes])

    def _follow(self, message: messages.Committed | messages.TreeCommitted) -> None:
        if isinstance(message, messages.TreeCommitted):
            self._advance(message.entries, message.previous_sequence_id, message.chain_hash)

    def _advance(self, entries: Sequence[messages.TreeEntry], previous: int, chain_hash: str) -> None:
        replica = self._replica
        behind, was_pending = replica.sequence, replica.in_flight
        changes = replica.receive(entries, previous, chain_hash)
        authors = dict.fromkeys(entry.user_id for entry in entries if entry.server_sequence_id > behind)
        if changes:
            self._tell(TreeChanged(changes, tuple(authors)))
        if was_pending is not None and replica.in_flight is None:
            self._go_on()

    def _adopt(self, snapshot: messages.TreeSnapshot) -> None:
        """The server's tree, with what is pending on top. What is in flight may be in it, or may be lost."""
        replica = self._replica
        self.role = snapshot.role
        if replica.incarnation and replica.incarnation != snapshot.incarnation:
            self._saved = 0
            replica.forget_undo()
        self._know_fates(snapshot.fates)
        replica.adopt(snapshot)
        self._afresh = False
        self._tell(TreeChanged(None))
        self._client.send(codec.encode(messages.SnapshotApplied(self.file_id, snapshot.snapshot_sequence_id)))

    def _be_live(self, message: messages.Live) -> None:
        replica = self._replica
        self._know_fates(message.fates)
        if replica.is_view and message.server_sequence_id > replica.sequence:
            replica.sequence = message.server_sequence_id
        if message.server_sequence_id != replica.sequence:
            raise Gap
        replica.incarnation = message.incarnation

    def _go_live(self, message: messages.Live) -> None:
        super()._go_live(message)
        self._client.released()

    def _know_fates(self, fates: Sequence[messages.OperationFate]) -> None:
        for fate in fates:
            if fate.fate == "committed" and fate.server_sequence_id is not None:
                self._acknowledged(fate.operation_id, fate.server_sequence_id)
            elif fate.fate == "unknowable":
                self._take_out(fate.operation_id, Code.HISTORY_UNAVAILABLE, "the server's history is another one now")

    def _acknowledged(self, operation_id: str, sequence: int) -> None:
        changes = self._replica.acknowledged(operation_id, sequence)
        if changes:
            self._tell(TreeChanged(changes))

    # ---- sending

    def _check_open(self) -> None:
        if self._state is State.ENDED and self._failed is not None:
            raise self._failed

    def _done(self, change: PendingChange | None) -> bool:
        if change is None:
            return False
        if self._state is State.LIVE:
            self._send_next()
        else:
            self._save()
        self._tell(TreeChanged(change.effect.changes))
        return True

    def _sent(self) -> bytes:
        return self._replica.message

    def _go_on(self) -> None:
        """What was in flight is not any more: the next may go, and what waited for it."""
        if self._state is State.LIVE:
            self._send_next()
        else:
            self._save()
        self._client.released()

    def _send_next(self) -> None:
        limits = self._client.limits
        assert limits is not None
        message = self._replica.outgoing()
        if message is not None and len(message) > limits.message_bytes:
            detail = f"{len(message)} bytes, the server takes {limits.message_bytes}"
            self._give_up(Code.MESSAGE_TOO_LARGE, detail)
            return
        self._save()
        if message is not None:
            self._client.send(message)

    # ---- refusals

    def _is_mine(self, operation_id: str) -> bool:
        return operation_id in ids_in(self._replica.message)

    def _give_up(self, code: Code, detail: str) -> None:
        for operation_id in self._replica.ids_in_flight():
            self._take_out(operation_id, code, detail)
        self._go_on()

    def _take_out(self, operation_id: str, code: Code, detail: str) -> None:
        refused = self._replica.refused(operation_id)
        if refused is not None:
            change, changes = refused
            self.patches.append(TreePatch(code.value.code, detail, change.edits, operation_id))
            self._tell(TreeChanged(changes))

    def _hand_back(self, code: Code, detail: str, committed: Collection[str] = ()) -> None:
        pending, changes = self._replica.give_up()
        for change in pending:
            if change.operation_id not in committed:
                self.patches.append(TreePatch(code.value.code, detail, change.edits, change.operation_id))
        self._save()
        self._tell(TreeChanged(changes))
        self._client.released()

    def _ended(self, error: CoscribeError) -> CoscribeError:
        return TreeEnded(error, self.patches)

    # ---- names and telling

    def _outside(self, file_id: str) -> str:
        """On the wire the top has the workspace's id."""
        return file_id or self.file_id

    def _inside(self, file_id: str) -> str:
        return ROOT if file_id == self.file_id else file_id

    def _tell(self, changed: TreeChanged) -> None:
        if changed.changes is None or changed.changes:
            for listener in tuple(self._listeners):
                listener(changed)
