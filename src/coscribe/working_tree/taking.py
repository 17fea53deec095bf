"""Taking: what others have written to the disk becomes operations, as those of one more client that is late.

    found by the scan --what is which--> one operation on the tree: folders, new files, renames, what was deleted
                                         then for each content that is another one an edit of the state it was made of

What is refused is undone on the disk by the next putting; its content is kept, and somebody is told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, cast

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import ROOT, NodeState
from coscribe.documents.encoding import Decoded, decode, encode
from coscribe.model import content_hash
from coscribe.protocol import messages
from coscribe.working_tree.disk import Barred, Gone, Names, Seen, Signature, Unsteady
from coscribe.working_tree.engine import MAY_BE_LATER
from coscribe.working_tree.record import Displaced, Left, Node, Taking, TreeTaking
from coscribe.working_tree.scanning import Content, Found, moved, renamed
from coscribe.working_tree.states import State, is_alike
from coscribe.working_tree.texts import Texts, Written
from coscribe.working_tree.threads import in_thread
from coscribe.working_tree.workplace import (
    RESTLESS_NANOSECONDS,
    TEXT_PROPERTIES,
    Notice,
    Read,
    Workplace,
    digest_of,
    disk_name,
    is_executable,
    is_utf_8,
    mode_property,
    shown,
    to_be_read,
    tree_name,
)

GRACE_SECONDS = 0.3
"""For so long something may be missing before it is taken for deleted: editors put new files into the place of old."""

QUIET_SECONDS = 0.05
"""For so long nobody must have written to a file that is taken in; `EMPTY_SECONDS` where there is nothing in it."""

EMPTY_SECONDS = 0.5

BUSY_SECONDS = 2.0
"""After so long it is taken in all the same."""

MAX_TOLD = 1_000
"""Paths of which it is known that they were told of; of more, they are told of again."""

MAX_CONTENT = 64_000_000
"""Bytes of a file that is taken in."""

CHUNK = 1_000
"""New files and folders that become one operation."""

CHUNK_BYTES = 10_000_000

CONTENTS = 50
"""Contents of known files, or `CHUNK_BYTES` of them, that are taken in at a time: what people type meanwhile is not to
wait for a formatter that writes a thousand."""

TRIES = 50
"""Operations on the tree that are tried at a time, where they are refused."""


class _Unit(NamedTuple):
    """One operation on the tree, and what is recorded once it is done. ``contents``: what is other than it was of files
    that the tree has; ``made``: the ids of what has appeared, by path."""

    edits: list[messages.TreeEdit]
    texts: dict[int, str]
    taking: TreeTaking
    contents: list[tuple[str, Read]]
    made: dict[Names, str]


class Taker:
    """``waits``: whether something was found that is to be looked at again soon; ``has_more``: at once."""

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self._missing: dict[str, float] = {}
        self._busy: dict[Names, float] = {}
        self._refused: dict[Names, Signature] = {}
        self._told: set[Names] = set()
        self._of_git: set[str] = set()
        self._most = CHUNK
        self._texts = Texts(place)
        self.waits = self.has_more = False

    def take_stale(self) -> set[str]:
        """Texts of which the disk may not show what they are by now, through what was taken in; once."""
        stale, self._texts.stale = self._texts.stale, set()
        return stale

    # ---- after a crash

    async def recover(self) -> None:
        """Finds out what became of what was announced when the process died, or the engine did not answer."""
        place = self._place
        for of_tree in place.record.tree_takings():
            done = await place.engine.place_of(place.engine.workspace_id, f"{of_tree.series}:1")
            await in_thread(self._tree_taken if done else self._not_taken, of_tree)
        await self._texts.recover()

    # ---- the main path

    def note_git(self, found: Found) -> None:
        """What was found is what git has left behind, which had looked at what is there before it wrote."""
        self._of_git = set(found.touched)

    @property
    def left_by_git(self) -> int:
        """How many of the contents that git has left behind are still to be taken in."""
        return len(self._of_git)

    async def take(
        self,
        found: Found,
        nodes: Mapping[str, NodeState],
        due: Collection[str],
        first: Collection[str],
        *,
        by_git: bool,
    ) -> None:
        """Takes in what a scan has found. ``nodes``: what is live in the tree, by id; ``due``: those of which the disk
        may not show what they are. Of many contents there are some at a time, what is in ``first`` first."""
        self._tell_unseen(found.unseen)
        twins = self._twins(nodes, due)
        tries = 1
        while not await self._take_some(found, nodes, twins, first, by_git=by_git):
            found = found._replace(touched={})
            tries += 1
            if tries > TRIES:
                self.has_more = True
                break

    async def _take_some(
        self,
        found: Found,
        nodes: Mapping[str, NodeState],
        twins: Mapping[tuple[str, bytes], str],
        first: Collection[str],
        *,
        by_git: bool,
    ) -> bool:
        """False: what has changed of the tree was refused, and there is less of it to be tried next."""
        record = self._place.record
        vanished = [each for each in found.vanished if each in record.nodes]
        held = {} if by_git else self._put_away(vanished, found.appeared)
        put_away = set(held.values())
        vanished = [each for each in vanished if each not in put_away]
        appeared = {path: seen for path, seen in found.appeared.items() if path not in held}
        same = moved(record, vanished, appeared)
        appeared = {path: seen for path, seen in appeared.items() if path in same or not self._is_refused(path, seen)}
        is_one = self._most == 1
        fresh = {path: seen for path, seen in appeared.items() if path not in same}
        fresh = {} if is_one and same else self._first(fresh)
        reads = await in_thread(self._read_all, fresh, self._paths(found.touched, first))
        contents = {
            path: Content(read.content, read.digest, read.seen.signature.inode)
            for path, read in reads.items()
            if path in fresh
        }
        elsewhere = set(same.values())
        lost = [each for each in vanished if each not in elsewhere]
        same |= await in_thread(renamed, record, lost, contents, await self._texts_of(lost, contents))
        here = {path: seen for path, seen in appeared.items() if path in same or path in fresh}
        deleted = self._deleted(vanished, set(same.values()), here, grace=not by_git)
        if len(here) < len(appeared) or (is_one and here):  # what has vanished may be among what is still to come
            deleted = [each for each in deleted if record.path(each) in here]
            self.waits = True
        self.has_more |= len(deleted) > self._most
        if self._most < CHUNK:
            deleted = deleted[: self._most]
        unit = await self._unit(here, reads, same, deleted, nodes, twins, by_git=by_git)
        is_taken = await self._take_tree(unit)
        if is_taken:
            await self._take_contents(unit.contents, by_git=by_git)
        touched = [(self._known(path), read) for path, read in reads.items() if self._known(path) in found.touched]
        of_git = self._of_git if by_git else set()
        await self._take_contents([each for each in touched if each[0] in of_git], by_git=True)
        await self._take_contents([each for each in touched if each[0] not in of_git], by_git=False)
        self._of_git = of_git - {file_id for file_id, _ in touched}
        return is_taken is not None

    async def take_displaced(self, names: Collection[str] | None = None) -> None:
        """Looks at what was taken out of the tree, all or some of it: whoever had it open may have written to it."""
        now, known = self._place.clock(), self._place.record.displaced
        wanted = list(known.values()) if names is None else [known[name] for name in names if name in known]
        watched: list[Displaced] = []
        ended: list[str] = []
        for displaced, read in await in_thread(self._read_displaced, wanted, now):
            if read is not None and read.digest != displaced.digest:
                await self._take_late(displaced, read)
            elif read is None or now >= displaced.until:
                ended.append(displaced.name)
            else:
                watched.append(self._watched(displaced, read))
        if watched or ended:
            await in_thread(self._watch, watched, ended)

    def _read_displaced(self, wanted: Iterable[Displaced], now: float) -> list[tuple[Displaced, Read | None]]:
        """What does not look as it was, cannot be told to be, or has been watched for long enough. None: it is gone."""
        found: list[tuple[Displaced, Read | None]] = []
        for displaced in wanted:
            seen = self._place.disk.look_displaced(displaced.name)
            if seen is None:
                found.append((displaced, None))
            elif displaced.restless or now >= displaced.until or not seen.signature.is_same(displaced.signature):
                try:
                    content, seen = self._place.disk.read_displaced(displaced.name, MAX_CONTENT)
                except (Gone, Unsteady):
                    self.waits = True
                else:
                    found.append((displaced, Read(seen, content, digest_of(content))))
        return found

    # ---- what is which

    def _first(self, appeared: Mapping[Names, Seen]) -> dict[Names, Seen]:
        """As much as one operation takes; a folder comes before what is in it."""
        some: dict[Names, Seen] = {}
        size = 0
        for path, seen in appeared.items():
            size += seen.signature.size if seen.kind == "file" else 0
            if some and (len(some) >= self._most or size > CHUNK_BYTES):
                break
            some[path] = seen
        return some

    def _put_away(self, vanished: Sequence[str], appeared: Mapping[Names, Seen]) -> dict[Names, str]:
        """Files that were given another name in their folder only just: editors do that to what they are about to put
        a new file in the place of."""
        nodes, now = self._place.record.nodes, self._place.clock()
        files = {nodes[each].signature.inode: nodes[each] for each in vanished if nodes[each].kind != "directory"}
        held: dict[Names, str] = {}
        for path, seen in appeared.items():
            node = None if seen.kind == "directory" else files.get(seen.signature.inode)
            if node is None or not 0 <= now - seen.signature.changed / 1e9 < GRACE_SECONDS:
                continue
            folder = self._known(path[:-1])
            if folder == node.parent_id and bool(folder) == (len(path) > 1):
                held[path] = node.file_id
        self.waits |= bool(held)
        return held

    def _is_refused(self, path: Names, seen: Seen) -> bool:
        """Whether it was refused as it is, or a folder that it is in."""
        above = (path[:depth] for depth in range(1, len(path)))
        return self._refused.get(path) == seen.signature or any(each in self._refused for each in above)

    def _paths(self, touched: Mapping[str, Seen], first: Collection[str]) -> dict[Names, Seen]:
        record = self._place.record
        known = sorted((each for each in touched if each in record.nodes), key=lambda each: each not in first)
        return {record.path(file_id): touched[file_id] for file_id in known}

    def _read_all(self, fresh: Mapping[Names, Seen], touched: Mapping[Names, Seen]) -> dict[Names, Read]:
        """What can be read now, `CONTENTS` of what is known so far and has become another; what is being written to is
        for later."""
        found: dict[Names, Read] = {}
        busy, self._busy = self._busy, {}
        quiet: list[Names] = []
        for path, seen in (*fresh.items(), *touched.items()):
            if seen.kind not in ("file", "symlink"):
                continue
            if self._is_busy(path, seen, busy.get(path)):
                self.waits = True
                continue
            quiet.append(path)
        size = others = 0
        for path in quiet:
            if path in touched and (others >= CONTENTS or size > CHUNK_BYTES):
                self.has_more = True
                break
            try:
                content, now = self._place.disk.read(path, MAX_CONTENT)
            except Unsteady:
                self.waits = True
            except Barred:
                self._tell_unseen({path: "it is not permitted to read it"})
            except Gone:
                continue
            else:
                found[path] = Read(now, content, digest_of(content))
                if path in touched:
                    size += len(content)
                    others += found[path].digest != self._place.record.nodes[self._known(path)].digest
        return {path: read for path, read in found.items() if self._can_be_taken(path, read)}

    def _can_be_taken(self, path: Names, read: Read) -> bool:
        """What cannot be stays on the disk where it is new, and is undone where it was something else."""
        if len(read.content) > MAX_CONTENT:
            error = CoscribeError(Code.FILE_TOO_LARGE, f"more than {MAX_CONTENT} bytes")
        elif read.seen.kind == "symlink" and not is_utf_8(read.content):
            error = CoscribeError(Code.INVALID_TEXT, "a link to a name that is not UTF-8")
        else:
            return True
        file_id = self._known(path)
        if file_id:
            with suppress(Gone):
                self._refuse(self._place.record.nodes[file_id], read, error)
        else:
            self._refused[path] = read.seen.signature
            self._tell(path, error.code.value.code, str(error))
        return False

    def _is_busy(self, path: Names, seen: Seen, since: float | None) -> bool:
        """Whether it looks as if somebody were about to write more: to empty a file and then fill it is not to delete
        what was in it. Who never comes to an end is not waited for for ever."""
        if seen.kind != "file":
            return False
        now = self._place.clock()
        quiet = QUIET_SECONDS if seen.signature.size else EMPTY_SECONDS
        is_busy = 0 <= now - seen.signature.modified / 1e9 < quiet and now - (since or now) < BUSY_SECONDS
        if is_busy:
            self._busy[path] = since or now
        return is_busy

    async def _texts_of(self, lost: Sequence[str], contents: Mapping[Names, Content]) -> dict[str, str]:
        """The texts of what has vanished and may have appeared with another content."""
        record = self._place.record
        inodes = {content.inode for content in contents.values()}
        texts: dict[str, str] = {}
        for file_id in lost:
            states = record.states.get(file_id)
            if states and record.nodes[file_id].signature.inode in inodes:
                text = await self._texts.text_of(file_id, states[-1])
                if text is not None:
                    texts[file_id] = text
        return texts

    def _deleted(
        self, vanished: Sequence[str], elsewhere: set[str], appeared: Mapping[Names, Seen], *, grace: bool
    ) -> list[str]:
        """What has been missing for long enough, or has something of another kind in its place, and is not anywhere
        else; not what is in something deleted."""
        record, now = self._place.record, self._place.clock()
        self._missing = {each: self._missing.get(each, now) for each in vanished if each not in elsewhere}
        ripe = {
            each
            for each, since in self._missing.items()
            if not grace or now - since >= GRACE_SECONDS or record.path(each) in appeared
        }
        if len(ripe) < len(self._missing):
            self.waits = True
        return [each for each in self._missing if each in ripe and record.nodes[each].parent_id not in ripe]

    def _known(self, path: Names) -> str:
        """The id of what is recorded at a path; "": nothing, or the top."""
        file_id = ROOT
        for name in path:
            file_id = self._place.record.inside.get(file_id, {}).get(name, "")
            if not file_id:
                return ""
        return file_id

    def _above(self, file_id: str) -> Iterator[str]:
        nodes = self._place.record.nodes
        while file_id in nodes:
            file_id = nodes[file_id].parent_id
            yield file_id

    # ---- the tree

    async def _unit(
        self,
        appeared: Mapping[Names, Seen],
        reads: Mapping[Names, Read],
        same: Mapping[Names, str],
        deleted: Sequence[str],
        nodes: Mapping[str, NodeState],
        twins: Mapping[tuple[str, bytes], str],
        *,
        by_git: bool,
    ) -> _Unit:
        """One operation for all of it. What is deleted goes first, so that its name is free; unless something that was
        in it is somewhere else now."""
        unit = _Unit([], {}, TreeTaking(self._place.series(), [], {}, list(deleted)), [], {})
        elsewhere = set(same.values())
        emptied = {above for each in elsewhere for above in self._above(each)}
        unit.edits.extend(messages.DeleteNode(each) for each in deleted if each in nodes and each not in emptied)
        for path, seen in appeared.items():
            parent_id = unit.made.get(path[:-1], self._known(path[:-1]))
            read = reads.get(path)
            if path in same:
                self._rename(unit, same[path], parent_id, path, seen, read)
            elif self._is_taken(parent_id, path, elsewhere, deleted):
                self.waits = True
            elif (parent_id or len(path) == 1) and (seen.kind == "directory" or read is not None):
                await self._add(unit, parent_id, path, seen, read, nodes, twins, by_git=by_git)
        unit.edits.extend(messages.DeleteNode(each) for each in deleted if each in nodes and each in emptied)
        return unit

    def _is_taken(self, parent_id: str, path: Names, elsewhere: Collection[str], deleted: Sequence[str]) -> bool:
        """Whether something else is recorded at a path, and stays recorded there."""
        there = self._place.record.inside.get(parent_id, {}).get(path[-1])
        if there is None or there in elsewhere:
            return False
        return not any(each in deleted for each in (there, *self._above(there)))

    def _rename(self, unit: _Unit, file_id: str, parent_id: str, path: Names, seen: Seen, read: Read | None) -> None:
        """Something that is somewhere else now, or in a folder that is."""
        place = self._place
        node = place.record.nodes[file_id]
        unit.made[path] = file_id
        if (parent_id, path[-1]) != (node.parent_id, node.name):
            name, properties = tree_name(path[-1])
            unit.edits.append(messages.MoveNode(file_id, parent_id or place.engine.workspace_id, name))
            unit.edits.extend(messages.SetProperty(file_id, *pair) for pair in properties.items())
            kept_ones = [pair for pair in node.properties if pair[0] != "diskName"]
            node = node._replace(properties=tuple(sorted([*kept_ones, *properties.items()])))
        node = node._replace(parent_id=parent_id, name=path[-1])
        if read is not None and read.digest != node.digest:
            unit.taking.nodes.append(node._replace(signature=to_be_read(seen)))
            unit.contents.append((file_id, read))
        elif read is None:
            known = place.known(node, seen)
            unit.taking.nodes.append(known._replace(restless=known.restless or node.restless))
        else:
            unit.taking.nodes.append(place.known(node, read.seen))

    async def _add(
        self,
        unit: _Unit,
        parent_id: str,
        path: Names,
        seen: Seen,
        read: Read | None,
        nodes: Mapping[str, NodeState],
        twins: Mapping[tuple[str, bytes], str],
        *,
        by_git: bool,
    ) -> None:
        """Something new; or what was deleted and is back, or what the tree has just so."""
        place = self._place
        engine = place.engine
        name, properties = tree_name(path[-1])
        inside = parent_id or engine.workspace_id
        twin = twins.get((parent_id, path[-1]), "")
        if read is None:
            if twin and nodes[twin].kind == "directory":
                unit.made[path] = twin
                unit.taking.nodes.append(Node(twin, parent_id, path[-1], "directory", seen.signature, seen.mode))
                return
            file_id = unit.made[path] = engine.made(unit.taking.series, len(unit.edits))
            node = Node(file_id, parent_id, path[-1], "directory", seen.signature, seen.mode)
            unit.edits.append(messages.CreateNode(inside, name, "directory", properties=properties))
            unit.taking.nodes.append(node._replace(properties=tuple(sorted(properties.items()))))
            return
        if twin and (node_there := await self._adopted(unit, twin, nodes[twin], path, read)) is not None:
            unit.taking.nodes.append(node_there)
            return
        left = await self._come_back(path, read, nodes, by_git=by_git)
        if left is not None:
            unit.edits.append(messages.RestoreNode(left.file_id, inside, name))
            node = Node(left.file_id, parent_id, path[-1], left.kind, to_be_read(read.seen), read.seen.mode)
            unit.taking.nodes.append(node._replace(properties=left.properties))
            unit.taking.states[left.file_id] = left.states
            unit.contents.append((left.file_id, read))
            return
        kind, content, text = await self._form(read)
        if kind != "symlink":
            properties = {**properties, **mode_property(read.seen.mode), **(text.properties if text else {})}
        file_id = engine.made(unit.taking.series, len(unit.edits))
        if text is not None:
            unit.texts[len(unit.edits)] = text.text
            version, digest = engine.version_made(text.text), content_hash(text.text).hex()
            unit.taking.states[file_id] = [State(version, digest, by_disk=True)]
        unit.edits.append(messages.CreateNode(inside, name, kind, content, properties))
        pairs = tuple(sorted(properties.items()))
        node = Node(file_id, parent_id, path[-1], kind, read.seen.signature, 0, read.digest, content, pairs)
        unit.taking.nodes.append(place.known(node, read.seen))

    async def _come_back(self, path: Names, read: Read, nodes: Mapping[str, NodeState], *, by_git: bool) -> Left | None:
        """The deleted file that what has appeared is: it was there, and its text was much the same. After a checkout
        it need not be."""
        left = self._place.record.left.get(path)
        if left is None or not left.states or left.file_id in nodes or read.seen.kind != "file":
            return None
        text = await self._texts.text_of(left.file_id, left.states[-1])
        return (
            left
            if text is not None and (by_git or is_alike(text.encode().splitlines(), read.content.splitlines()))
            else None
        )

    async def _form(self, read: Read, eol: str | None = None) -> tuple[messages.Kind, str, Decoded | None]:
        """Kind and content of a file in the tree, and its text where it is one; ``eol`` as of `decode`."""
        if read.seen.kind == "symlink":
            return "symlink", read.content.decode(), None
        text = await in_thread(decode, read.content, eol)
        if text is not None:
            return "text", "", text
        return "binary", await self._place.engine.keep(read.content), None

    def _twins(self, nodes: Mapping[str, NodeState], due: Collection[str]) -> dict[tuple[str, bytes], str]:
        """What the tree has and the disk did not have, by folder and name. A folder that appears there is the same one,
        and a file with the same bytes; of two other files the second is numbered."""
        missing = [file_id for file_id in due if file_id in nodes and file_id not in self._place.record.nodes]
        return {(nodes[file_id].parent_id, disk_name(nodes[file_id])): file_id for file_id in missing}

    async def _adopted(self, unit: _Unit, file_id: str, state: NodeState, path: Names, read: Read) -> Node | None:
        """A file of the tree that is on the disk already; None: there is another one."""
        properties = dict(state.properties)
        if state.kind == "text" and read.seen.kind == "file":
            at = await self._place.engine.text(file_id)
            is_same = await in_thread(encode, at.text, properties) == read.content
            unit.taking.states.update({file_id: [State(at.version, content_hash(at.text).hex())]} if is_same else {})
        elif state.kind == "binary" and read.seen.kind == "file":
            is_same = state.content == read.digest
        else:
            is_same = state.kind == read.seen.kind and state.content.encode() == read.content
        if not is_same:
            return None
        properties.pop("mode", None)
        if state.kind != "symlink":
            properties |= mode_property(read.seen.mode)  # it is for putting to change it
        pairs = tuple(sorted(properties.items()))
        node = Node(
            file_id, state.parent_id, path[-1], state.kind, read.seen.signature, 0, read.digest, state.content, pairs
        )
        return self._place.known(node, read.seen)

    async def _take_tree(self, unit: _Unit) -> bool | None:
        """Whether it was done; None: it was refused. What is refused is tried by halves, so that one does not hold up
        the others."""
        place, taking = self._place, unit.taking
        if unit.edits:
            await in_thread(self._announce, taking)
            try:
                await place.engine.edit_tree(taking.series, unit.edits, unit.texts)
            except CoscribeError as error:
                self.waits = True
                if error.code in MAY_BE_LATER:  # it is found out before anything else is done
                    return False
                await in_thread(self._refuse_unit, unit, error)
                return None
            self._most = min(CHUNK, 2 * self._most)
        if taking.nodes or taking.gone:
            await in_thread(self._tree_taken, taking)
        return True

    def _refuse_unit(self, unit: _Unit, error: CoscribeError) -> None:
        """Nothing of it was done. What is new stays on the disk and is none of the workspace's until it changes; what
        was renamed or deleted is recorded to be so, and put back where it belongs."""
        record, taking = self._place.record, unit.taking
        if len(unit.edits) > 1 and self._most > 1:
            self._most = max(1, min(self._most, len(unit.edits)) // 2)
            self._not_taken(taking)
            return
        known = [node for node in taking.nodes if node.file_id in record.nodes]
        paths = [record.path(each) for each in taking.gone if each in record.nodes]
        for node in taking.nodes:
            path = (*record.path(node.parent_id), node.name) if node.parent_id in record.nodes else (node.name,)
            paths.append(path)
            if node.file_id not in record.nodes:
                self._refused[path] = node.signature
        self._tree_taken(TreeTaking(taking.series, known, {}, [each for each in taking.gone if each in record.nodes]))
        for path in paths:
            self._tell(path, error.code.value.code, str(error))

    def _announce(self, taking: TreeTaking) -> None:
        with self._place.record.writing():
            self._place.record.announce_tree_taking(taking)

    def _not_taken(self, taking: Taking | TreeTaking) -> None:
        with self._place.record.writing():
            self._place.record.finish_taking(taking.series)

    def _tree_taken(self, taking: TreeTaking) -> None:
        record = self._place.record
        with record.writing():
            record.finish_taking(taking.series)
            for file_id in taking.gone:
                self._missing.pop(file_id, None)
                if file_id in record.nodes:
                    record.remove(file_id)
            for node in taking.nodes:
                record.put(node)
                record.come_back(record.path(node.file_id))
            for file_id, states in taking.states.items():
                record.show(file_id, states)

    # ---- contents

    async def _take_contents(self, written: Sequence[tuple[str, Read]], *, by_git: bool) -> None:
        """What known files hold by now."""
        texts: list[Written] = []
        as_before: list[Node] = []
        for file_id, read in written:
            try:
                text = await self._take_kind(file_id, read, as_before)
            except CoscribeError as error:
                await self._refused_content(file_id, read, error)
                continue
            if text is not None:
                texts.append(Written(file_id, text, read))
        if as_before:
            await in_thread(self._note, as_before)
        for (refused_id, _, read, _), why in await self._texts.take(texts, by_git=by_git):
            await self._refused_content(refused_id, read, why)

    async def _take_kind(self, file_id: str, read: Read, as_before: list[Node]) -> str | None:
        """All but the text of a text, which is returned: where it is another one, perhaps. What is as it was is added
        to ``as_before``, as it is seen now."""
        place = self._place
        node = place.record.nodes[file_id]
        kind, content, text = cast(messages.Kind, node.kind), node.content, None
        if read.digest != node.digest or (read.seen.kind == "symlink") != (node.kind == "symlink"):
            eol = dict(node.properties).get("eol", "") if node.kind == "text" else None
            kind, content, text = await self._form(read, eol)
        edits, after = self._properties(node, kind, content, text, read)
        if edits:
            after = place.known(after, read.seen) if text is None else after
            taking = TreeTaking(place.series(), [after], {}, [])
            await in_thread(self._announce, taking)
            await place.engine.edit_tree(taking.series, edits)
            await in_thread(self._tree_taken, taking)
        elif text is None:
            as_before.append(place.known(after._replace(digest=read.digest), read.seen))
        return None if text is None else text.text

    async def _refused_content(self, file_id: str, read: Read, error: CoscribeError) -> None:
        if error.code in MAY_BE_LATER:
            self.waits = True
        else:
            await in_thread(self._refuse, self._place.record.nodes[file_id], read, error)

    def _properties(
        self, node: Node, kind: messages.Kind, content: str, text: Decoded | None, read: Read
    ) -> tuple[list[messages.TreeEdit], Node]:
        """What of a file is in the tree and is another by now; and the node as it is then, without its text."""
        edits: list[messages.TreeEdit] = []
        if (kind, content) != (node.kind, node.content):
            edits.append(messages.PutContent(node.file_id, kind, content))
        was = dict(node.properties)
        now = {key: value for key, value in was.items() if key not in ("mode", *TEXT_PROPERTIES)}
        if kind != "symlink":
            now |= mode_property(read.seen.mode)
        if text is not None:
            now |= text.properties
        elif kind == node.kind:
            now |= {key: value for key, value in was.items() if key in TEXT_PROPERTIES}
        if is_executable(was) == is_executable(now):
            now.pop("mode", None)
            now |= {key: value for key, value in was.items() if key == "mode"}
        for key in sorted({*was, *now}):
            if was.get(key) != now.get(key):
                edits.append(messages.SetProperty(node.file_id, key, now.get(key, "")))
        after = node._replace(kind=kind, content=content, properties=tuple(sorted(now.items())))
        return edits, after if text is not None else after._replace(digest=read.digest)

    def _note(self, nodes: Sequence[Node]) -> None:
        with self._place.record.writing():
            for node in nodes:
                self._place.record.put(node)

    # ---- what comes late

    async def _take_late(self, displaced: Displaced, read: Read) -> None:
        """Somebody has written to a file after it was taken out of the tree. A text is an edit like any other; of a
        content that is kept whole the tree has a newer one, and this one is kept beside it."""
        watched = self._watched(displaced, read)
        text = await in_thread(decode, read.content) if read.seen.kind == "file" else None
        try:
            if text is None or not displaced.states:
                raise CoscribeError(Code.CONFLICT, "it was written to when another content had taken its place")
            late = Written(displaced.file_id, text.text, read, watched)
            for _, refusal in await self._texts.take([late], by_git=False):
                raise refusal
        except CoscribeError as error:
            if error.code in MAY_BE_LATER:
                self.waits = True
                return
            kept_as = await in_thread(self._keep, displaced.name, read)
            self._tell((displaced.file_id.encode(),), error.code.value.code, str(error), kept_as)
            await in_thread(self._watch, [watched])

    def _watched(self, displaced: Displaced, read: Read) -> Displaced:
        now = int(self._place.clock() * 1e9)
        restless = read.seen.signature.changed > now - RESTLESS_NANOSECONDS
        return displaced._replace(signature=read.seen.signature, digest=read.digest, restless=restless)

    def _watch(self, watched: Sequence[Displaced], ended: Sequence[str] = ()) -> None:
        with self._place.record.writing():
            for displaced in watched:
                self._place.record.watch(displaced)
            for name in ended:
                self._place.record.watch_no_longer(name)
        for name in ended:
            self._place.disk.forget_displaced(name)

    # ---- what cannot be taken

    def _refuse(self, node: Node, read: Read, error: CoscribeError) -> None:
        """The content is kept, and the next putting undoes it on the disk."""
        place = self._place
        path = place.record.path(node.file_id)
        name, seen = f"{place.series()}-{node.file_id}", read.seen
        if len(read.content) > MAX_CONTENT:
            kept_as, seen = place.disk.keep_whole(name, path)
        else:
            kept_as = self._keep(name, read)
        with place.record.writing():
            place.record.put(place.known(node._replace(digest=read.digest), seen))
        self._texts.stale.add(node.file_id)
        self._tell(path, error.code.value.code, str(error), kept_as)

    def _keep(self, name: str, read: Read) -> str:
        """Where a content is kept that could not be taken in."""
        return self._place.disk.keep(name, self._place.engine.filled(read.content))

    def _tell_unseen(self, unseen: Mapping[Names, str]) -> None:
        """Once each."""
        for path, why in unseen.items():
            if path not in self._told:
                self._tell(path, "not_looked_at", why)
        self._told = (self._told | unseen.keys()) if len(self._told) < MAX_TOLD else set(unseen)

    def _tell(self, path: Names, code: str, detail: str, kept_as: str = "") -> None:
        self._place.tell(Notice(shown(path), code, detail, kept_as))
