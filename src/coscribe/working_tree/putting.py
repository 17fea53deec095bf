"""Putting: the tree of the engine onto the disk.

    the tree as it is --compared with the record--> folders and files to be removed, moved, made
                                                     contents to be put

Nothing is overwritten. What is in the way of a new file stays, and is found by the next scan. What a content takes the
place of is displaced and looked at: if it is not what the record says, somebody has written to it since it was looked
at last, and that is taken in as any other late write (`taking`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import ROOT, NodeState
from coscribe.documents.encoding import encode
from coscribe.documents.past import TextAt
from coscribe.model import content_hash
from coscribe.working_tree.disk import Gone, Names, Seen, Signature, Taken
from coscribe.working_tree.record import Displaced, Node, Putting
from coscribe.working_tree.states import State, followed, kept
from coscribe.working_tree.threads import in_thread
from coscribe.working_tree.workplace import (
    FOLDER_MODE,
    WATCHED_SECONDS,
    Notice,
    Workplace,
    digest_of,
    disk_name,
    is_unread,
    mode_of,
    shown,
)

BATCH = 500
"""Contents that are put with one commit of the record."""

BATCH_BYTES = 16_000_000

MANY = 20
"""Texts from which on they are read together."""

FEW = 8
"""Contents that are synced each by itself: to sync the file system waits for what others have written, too."""

LONG = 100_000
"""Code points; a shorter text is encoded sooner than a thread is asked to do it."""

STUCK_SECONDS = 5.0
"""After so long it is told that something does not get to its place: what is ignored is in the way, or it is not
permitted. It is tried again with each look at everything."""

_NO_SIGNATURE = Signature(0, 0, 0, 0)


class _Content(NamedTuple):
    """What is to be put. ``state``: of a text what the disk will show."""

    node: Node
    content: bytes
    state: State | None


class Putter:
    """``left``: files that could not be brought to what they are to be this time; ``stuck``: those of them for which
    that has been so for long, and was told, with their paths; ``waiting``: for the next time, as they were too many;
    ``displaced``: what was taken out of the tree this time."""

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self.left: set[str] = set()
        self.waiting: set[str] = set()
        self.displaced: list[str] = []
        self.stuck: dict[str, str] = {}
        self._left_since: dict[str, float] = {}

    async def recover(self) -> None:
        """Finds out what became of what was announced when the process died."""
        await in_thread(self._recover)

    async def put(
        self, nodes: Mapping[str, NodeState], due: Collection[str], texts: Collection[str], first: Collection[str]
    ) -> None:
        """Makes the disk what the tree is. ``nodes``: all that is live; ``due``: those of which the disk may not show
        what they are, ``texts``: those that may have another version than it shows. Of many contents there is a batch
        at a time, what is in ``first`` first; unless the disk has nothing yet."""
        record, self.left, self.waiting, self.displaced = self._place.record, set(), set(), []
        is_new = not record.nodes
        if due:
            await in_thread(self._arrange, nodes, due)
        wanted = [
            file_id
            for file_id in (nodes if len(due) + len(texts) > MANY else {*due, *texts} & nodes.keys())
            if (file_id in texts or (file_id in due and not _is_alike(record.nodes.get(file_id), nodes[file_id])))
            and nodes[file_id].kind != "directory"
        ]
        wanted.sort(key=lambda file_id: file_id not in first)
        for start in range(0, len(wanted), BATCH):
            if start and not is_new:
                self.waiting = set(wanted[start:])
                break
            await self._put_some([_wanted(each, nodes[each]) for each in wanted[start : start + BATCH]])

    async def _put_some(self, wanted: Sequence[Node]) -> None:
        """As many as are asked for at once, in pieces of `BATCH_BYTES`."""
        batch: list[_Content] = []
        size = 0
        async for content in self._contents(wanted):
            batch.append(content)
            size += len(content.content)
            if size >= BATCH_BYTES:
                await in_thread(self._put, batch)
                batch, size = [], 0
        if batch:
            await in_thread(self._put, batch)

    def tell_stuck(self, nodes: Mapping[str, NodeState]) -> None:
        """Of what was left again and again, while there was nothing to be taken in that it may wait for."""
        place, now = self._place, self._place.clock()
        known = place.record.nodes
        left = [
            each for each in self.left if each in nodes and not (each in known and is_unread(known[each].signature))
        ]
        waiting = self._left_since.keys() & self.waiting
        self._left_since = {file_id: self._left_since.get(file_id, now) for file_id in (*left, *waiting)}
        before, self.stuck = self.stuck, {}
        for file_id in [each for each, since in self._left_since.items() if now - since >= STUCK_SECONDS]:
            path: Names = (disk_name(nodes[file_id]),)
            above = file_id
            while (above := nodes[above].parent_id) != ROOT:
                path = (disk_name(nodes[above]), *path)
            self.stuck[file_id] = shown(path)
            if file_id not in before:
                why = "something is in the way on the disk, or it is not permitted"
                place.tell(Notice(shown(path), "not_put", why))

    async def _contents(self, wanted: Sequence[Node]) -> AsyncIterator[_Content]:
        """What is gone by now is left: the next look at the tree says so."""
        texts = {node.file_id: node for node in wanted if node.kind == "text"}
        others = [node for node in wanted if node.kind != "text"]
        self.left.update(texts)
        async for file_id, at in self._texts(list(texts)):
            is_long = len(at.text) >= LONG
            node = texts[file_id]
            self.left.discard(file_id)
            yield await in_thread(_of_text, node, at) if is_long else _of_text(node, at)
        for node in others:
            content = await self._place.engine.blob(node.content) if node.kind == "binary" else node.content.encode()
            yield _Content(node._replace(digest=digest_of(content)), content, None)

    async def _texts(self, file_ids: Sequence[str]) -> AsyncIterator[tuple[str, TextAt]]:
        """Many are read together; a few are opened, as whoever types in them does."""
        engine = self._place.engine
        if len(file_ids) >= MANY:
            async for file_id, at in engine.texts(file_ids):
                yield file_id, at
            return
        for file_id in file_ids:
            try:
                yield file_id, await engine.text(file_id)
            except CoscribeError as error:
                if error.code not in (Code.FILE_NOT_FOUND, Code.NOT_A_TEXT):
                    raise

    # ---- the shape of the tree

    def _arrange(self, nodes: Mapping[str, NodeState], due: Collection[str]) -> None:
        """Folders made and removed, everything where it belongs; no content."""
        record = self._place.record
        gone = [file_id for file_id in due if file_id in record.nodes and file_id not in nodes]
        files = [file_id for file_id in gone if record.nodes[file_id].kind != "directory"]
        for start in range(0, len(files), BATCH):
            self._remove(files[start : start + BATCH])
        self._remove_folders(gone)
        here = [file_id for file_id in due if file_id in nodes]
        moving = [each for each in here if each in record.nodes and not self._is_there(each, nodes[each])]
        new = [each for each in here if each not in record.nodes and nodes[each].kind == "directory"]
        if new or moving:
            with record.writing():
                for file_id in sorted((*new, *moving), key=lambda each: _depth(nodes, each)):
                    if file_id in record.nodes:
                        self._move(file_id, nodes[file_id])
                    else:
                        self._make_folder(file_id, nodes[file_id])
                self._untangle([each for each in moving if not self._is_there(each, nodes[each])], nodes)
            self._remove_folders(gone)

    def _is_there(self, file_id: str, state: NodeState) -> bool:
        known = self._place.record.nodes.get(file_id)
        return known is not None and (known.parent_id, known.name) == (state.parent_id, disk_name(state))

    def _untangle(self, waiting: Sequence[str], nodes: Mapping[str, NodeState]) -> None:
        """What stands in each other's way: all of it is set aside, and goes to its place from there."""
        for _ in range(len(waiting)):
            before = len(waiting)
            for file_id in waiting:
                self._move(file_id, nodes[file_id])
            waiting = [file_id for file_id in waiting if not self._is_there(file_id, nodes[file_id])]
            if not waiting or len(waiting) == before:
                break
        for file_id in waiting:
            self._set_aside(file_id, nodes[file_id])
        for file_id in waiting:
            self._move(file_id, nodes[file_id])
        self.left.update(file_id for file_id in waiting if not self._is_there(file_id, nodes[file_id]))

    def _set_aside(self, file_id: str, state: NodeState) -> None:
        """To a name in its folder that nobody else has."""
        record = self._place.record
        node = record.nodes[file_id]
        aside = b".coscribe-" + file_id.encode()
        try:
            self._place.disk.move(record.path(file_id), (*record.path(node.parent_id), aside))
        except (Taken, Gone):
            return
        record.put(node._replace(name=aside))

    def _move(self, file_id: str, state: NodeState) -> None:
        place = self._place
        record, node = place.record, place.record.nodes.get(file_id)
        if node is None or (state.parent_id != ROOT and state.parent_id not in record.nodes):
            return
        source, target = record.path(file_id), (*record.path(state.parent_id), disk_name(state))
        if source == target or target[: len(source)] == source:
            return
        try:
            place.disk.move(source, target)
        except (Taken, Gone):
            return
        seen = place.disk.look(target)
        moved = node._replace(parent_id=state.parent_id, name=disk_name(state))
        if seen is not None and (node.kind == "directory" or seen.signature.is_same(node.signature)):
            moved = place.known(moved, seen)
        record.put(moved)

    def _make_folder(self, file_id: str, state: NodeState) -> None:
        place = self._place
        record = place.record
        if state.parent_id != ROOT and state.parent_id not in record.nodes:
            self.left.add(file_id)
            return
        path = (*record.path(state.parent_id), disk_name(state))
        try:
            seen = place.disk.make_folder(path, FOLDER_MODE)
        except Taken:
            there = place.disk.look(path)
            if there is None or there.kind != "directory" or path[-1] in record.inside.get(state.parent_id, {}):
                self.left.add(file_id)
                return
            seen = there  # somebody has made it on the disk, too: it is the same folder
        except Gone:
            self.left.add(file_id)
            return
        record.put(Node(file_id, state.parent_id, path[-1], "directory", seen.signature, seen.mode))

    def _remove(self, file_ids: Sequence[str]) -> None:
        """Files that are not in the tree any more; what they are by now is watched for a while."""
        place = self._place
        record = place.record
        displaced = {file_id: f"{place.series()}-{file_id}" for file_id in file_ids}
        self.displaced += displaced.values()
        with record.writing():
            for file_id, name in displaced.items():
                record.watch(self._displaced(name, record.nodes[file_id]))
        for file_id, name in displaced.items():
            with suppress(Gone, Taken):
                place.disk.displace(record.path(file_id), name)
        with record.writing():
            for file_id in file_ids:
                record.remove(file_id)

    def _remove_folders(self, gone: Sequence[str]) -> None:
        """Those of which nothing is left that is known; what is not known keeps its folder."""
        record = self._place.record
        folders = [each for each in gone if each in record.nodes and record.nodes[each].kind == "directory"]
        if not folders:
            return
        with record.writing():
            for file_id in sorted(folders, key=lambda each: len(record.path(each)), reverse=True):
                if record.inside.get(file_id):
                    self.left.add(file_id)
                    continue
                with suppress(Gone):
                    self._place.disk.remove_folder(record.path(file_id))
                record.remove(file_id)

    # ---- contents

    def _put(self, batch: Sequence[_Content]) -> None:
        """Stages a batch, announces it, and puts it into the tree."""
        place = self._place
        record = place.record
        announced: list[tuple[Putting, Names]] = []
        is_few = len(batch) <= FEW and all(content.node.kind != "symlink" for content in batch)
        for content in batch:
            intent, path = self._stage(content, durable=is_few)
            if intent is not None:
                announced.append((intent, path))
        if not announced:
            return
        if not is_few:
            place.disk.sync()
        with record.writing():
            for intent, _ in announced:
                record.announce_putting(intent)
                if intent.displaced:
                    record.watch(self._displaced(intent.displaced, record.nodes[intent.node.file_id]))
        self.displaced += [intent.displaced for intent, _ in announced if intent.displaced]
        new = [(intent, path) for intent, path in announced if not intent.displaced]
        placed = place.disk.place([(intent.staged, path) for intent, path in new])
        done = [(intent, seen) for (intent, _), seen in zip(new, placed, strict=True)]
        done += [(intent, self._exchange(intent, path)) for intent, path in announced if intent.displaced]
        with record.writing():
            for intent, seen in done:
                self._finish(intent, seen)

    def _stage(self, wanted: _Content, *, durable: bool) -> tuple[Putting | None, Names]:
        """None: it is there already, or cannot be put now."""
        place = self._place
        record, disk, node = place.record, place.disk, wanted.node
        known = record.nodes.get(node.file_id)
        parent_id = node.parent_id
        if (parent_id != ROOT and parent_id not in record.nodes) or (
            known is not None and (known.parent_id, known.name) != (parent_id, node.name)
        ):
            self.left.add(node.file_id)
            return None, ()
        path = (*record.path(parent_id), node.name)
        is_likely_new = known is None and node.file_id not in self._left_since  # if it is not so, placing it says so
        seen = None if is_likely_new else disk.look(path)
        if (known is None) != (seen is None) or (known is not None and seen is not None and not _is_known(known, seen)):
            self.left.add(node.file_id)  # it is for the next scan to see what happened there
            return None, ()
        if known is not None and known.digest == node.digest and known.kind == node.kind and seen is not None:
            self._same(known, wanted, path, seen)
            return None, ()
        staged = f"{place.series()}-{node.file_id}"
        if node.kind == "symlink":
            signature = disk.stage_link(staged, wanted.content)
        else:
            mode = mode_of(node.properties, None if seen is None else seen.mode)
            signature = disk.stage(staged, wanted.content, mode, durable=durable)
        displaced = "" if known is None else f"{staged}-before"
        return Putting(staged, node._replace(signature=signature), displaced, wanted.state), path

    def _same(self, known: Node, wanted: _Content, path: Names, seen: Seen) -> None:
        """Only what the disk shows is a newer version now, or may be run."""
        place = self._place
        node = wanted.node
        mode = mode_of(node.properties, seen.mode)
        if node.kind != "symlink" and mode != seen.mode:
            seen = place.disk.set_mode(path, mode)
        after = place.known(known._replace(content=node.content, properties=node.properties), seen)
        states = place.record.states.get(node.file_id)
        if after._replace(restless=known.restless) == known and (not states or _shows(states[-1], wanted.state)):
            return
        with place.record.writing():
            place.record.put(after)
            if wanted.state is not None:
                self._show(node.file_id, wanted.state)

    def _exchange(self, intent: Putting, path: Names) -> Seen | None:
        """None: it could not be done."""
        try:
            return self._place.disk.exchange(intent.staged, path, intent.displaced)
        except (Taken, Gone):
            return None

    def _finish(self, intent: Putting, seen: Seen | None) -> None:
        place = self._place
        place.record.finish_putting(intent.staged)
        if seen is None:
            place.disk.forget_staged(intent.staged)
            self.left.add(intent.node.file_id)
            if intent.displaced and place.disk.look_displaced(intent.displaced) is None:
                place.record.watch_no_longer(intent.displaced)
            return
        known = place.known(intent.node, seen)
        if not seen.signature.is_same(intent.node.signature):
            known = known._replace(signature=intent.node.signature)  # it was written to already: the next scan sees it
        place.record.put(known)
        if intent.state is not None:
            self._show(intent.node.file_id, intent.state)

    def _show(self, file_id: str, state: State) -> None:
        """The disk shows another state of a text from now on."""
        record, now = self._place.record, self._place.clock()
        states = record.states.get(file_id, [])
        if states and _shows(states[-1], state):
            return
        record.show(file_id, followed(states, state, now))

    def _displaced(self, name: str, node: Node) -> Displaced:
        until = self._place.clock() + WATCHED_SECONDS
        states = kept(self._place.record.states.get(node.file_id, []), self._place.clock())
        return Displaced(name, node.file_id, node.signature, node.digest, states, until, node.restless)

    # ---- after a crash

    def _recover(self) -> None:
        place = self._place
        record, disk = place.record, place.disk
        done: list[tuple[Putting, Seen | None]] = []
        for intent in record.puttings():
            staged = disk.look_staged(intent.staged)
            path = (*record.path(intent.node.parent_id), intent.node.name) if self._has_place(intent) else ()
            there = disk.look(path) if path else None
            if staged is not None and staged.signature.inode != intent.node.signature.inode and intent.displaced:
                disk.displace_staged(intent.staged, intent.displaced)  # it was exchanged, and not put away yet
            elif staged is not None:
                disk.forget_staged(intent.staged)
            went = there is not None and there.signature.inode == intent.node.signature.inode
            done.append((intent, there if went else None))
        with record.writing():
            for intent, seen in done:
                self._finish(intent, seen)
        for name in disk.staged():
            disk.forget_staged(name)  # what was never announced
        for name in set(disk.displaced()) - record.displaced.keys():
            disk.forget_displaced(name)  # watched to the end

    def _has_place(self, intent: Putting) -> bool:
        record, parent_id = self._place.record, intent.node.parent_id
        return parent_id == ROOT or parent_id in record.nodes


def _is_known(known: Node, seen: Seen) -> bool:
    return seen.signature == known.signature


def _is_alike(known: Node | None, state: NodeState) -> bool:
    """Whether the disk shows what the tree says, the text of a text apart."""
    return (
        known is not None
        and known.kind == state.kind
        and known.content == state.content
        and known.properties == state.properties
    )


def _depth(nodes: Mapping[str, NodeState], file_id: str) -> int:
    depth = 0
    while (file_id := nodes[file_id].parent_id) != ROOT:
        depth += 1
    return depth


def _of_text(node: Node, at: TextAt) -> _Content:
    content = encode(at.text, dict(node.properties))
    return _Content(node._replace(digest=digest_of(content)), content, State(at.version, content_hash(at.text).hex()))


def _wanted(file_id: str, state: NodeState) -> Node:
    """A node of the tree as it is to be on the disk."""
    return Node(
        file_id,
        state.parent_id,
        disk_name(state),
        state.kind,
        _NO_SIGNATURE,
        content=state.content,
        properties=state.properties,
    )


def _shows(now: State, wanted: State | None) -> bool:
    """Whether the disk shows a state of a text already."""
    return wanted is not None and (now.digest, now.version, now.bridge) == (wanted.digest, wanted.version, ())
