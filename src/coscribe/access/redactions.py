"""Redactions: a text that must not be known is taken out of everything that a server has, while it goes on serving.

    withheld           from now on nobody brings it in, or back                      documents/withheld.py
    the present        by operations like any other, so that every replica follows   here
    the past           with the workspace out of memory, in one transaction          persistence/redacting.py
    the disk           what lies beside the working tree                             working_tree/redacting.py
    what is free       SQLite's file is written anew, its write-ahead log emptied; PostgreSQL's are its operator's

One redaction at a time, one workspace after the other; whoever has one open joins it again and gets a snapshot. Each
step can be done again: where one fails, what was done is done, and the whole is asked for once more.

Where no server runs, the command opens the folder as one does and asks for the same.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, insert, select, true, update

from coscribe.access.caller import Caller
from coscribe.access.events import Event, by, record
from coscribe.access.ids import new_id, now
from coscribe.access.retention import held_among
from coscribe.access.sessions import Changed
from coscribe.cluster.part import ALONE, Part
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import NodeState, Tree
from coscribe.documents.blobs import Blobs
from coscribe.documents.collaboration import ITSELF, Collaboration, Planned
from coscribe.documents.ports import AccessChange, BlobStore, Identity, PathRights, StorageError
from coscribe.documents.proofs import REDACTION_FORMAT, Redaction
from coscribe.documents.redaction import ByteFinder, Pattern, fill_bytes, filled, renamed
from coscribe.model import Workspace
from coscribe.persistence.database import Database
from coscribe.persistence.redacting import Found, Prepared, prepare, search, write
from coscribe.persistence.schema import (
    access_events,
    access_requests,
    idempotent_answers,
    named_versions,
    path_rules,
    project_rules,
    redactions,
    workspaces,
)
from coscribe.persistence.signing import SigningKey
from coscribe.persistence.sqlite import connect
from coscribe.persistence.stored import StoredLog, reading
from coscribe.protocol import messages
from coscribe.working_tree.threads import in_thread, to_the_end
from coscribe.working_tree.trees import WorkingTrees

EDITS = 1_000
"""Edits of one operation that takes it out of a present text."""

ENTRIES = 10_000
"""Entries that one redaction speaks of; more are several."""

EVENTS = 1_000
"""Access events that are read at a time."""

EMPTYING_TRIES = 50
EMPTYING_SECONDS = 0.1
"""How often, and how far apart, it is tried to empty the write-ahead log: somebody may be reading."""


class Order(NamedTuple):
    """What is to be taken out, of which workspaces (None: all), and why."""

    pattern: Pattern
    workspaces: Sequence[str] | None
    reason: str


REDACT = "redact"
"""The errand: to take something out of one workspace."""


class _Errand(NamedTuple):
    caller: Caller
    expression: str
    reason: str
    workspace_id: str


class FoundPlace(msgspec.Struct, rename="camel"):
    """An operation that brought it in, as it is shown. ``version`` 0: a name in the tree, or a content that is no text.
    ``kind``: ``text``, ``name``, ``content``, ``checkpoint``."""

    workspace: str
    file: str
    kind: str
    version: int
    sequence: int
    author: str
    time: int


class Redacted(msgspec.Struct, rename="camel"):
    """What was found, and what was done with it. ``present``: how often it was in present texts, names and contents;
    ``names``: those of documents and versions; ``contents`` that are no text. ``more`` places are only counted.
    ``events``: access events that have it in their details; they are chained as they are, and stay. ``files``: below
    working trees, that have it still, for they are no part of the workspace. ``emptied``: whether nothing of it is left
    in free parts of the database; else somebody was reading it all the while, or it is a PostgreSQL."""

    done: bool
    places: list[FoundPlace]
    more: int
    present: int
    entries: int = 0
    snapshots: int = 0
    names: int = 0
    contents: int = 0
    workspaces: int = 0
    events: int = 0
    files: list[str] = []
    emptied: bool = True

    def add(self, other: Redacted) -> None:
        """What was done elsewhere."""
        self.entries += other.entries
        self.snapshots += other.snapshots
        self.contents += other.contents
        self.workspaces += other.workspaces
        self.files = [*self.files, *other.files]


class _Found(NamedTuple):
    """Where it is in one workspace. ``contents``: by hash the spans; ``uses``: the ids of the files that have, or had
    them."""

    workspace: Workspace
    log: Found
    contents: dict[str, list[tuple[int, int]]]
    uses: dict[str, list[str]]

    @property
    def is_clean(self) -> bool:
        return self.log.is_clean and not self.contents


Progress = Callable[[int], None]


async def find(
    database: Path | str, store: BlobStore, order: Order, progress: Progress = lambda _: None
) -> tuple[list[_Found], int]:
    """Where it is, as of one moment, and how many access events have it. A server may run meanwhile.

    Errors: ``file_not_found``: there is no such workspace; ``file_damaged``."""

    def job() -> tuple[list[tuple[Workspace, Found, dict[str, list[str]]]], int]:
        with reading(database) as log:
            found = [
                (workspace, search(log, workspace, order.pattern, progress), _uses(log, workspace))
                for workspace in _chosen(log, order.workspaces)
            ]
            return found, _events_with(log.connection, order, found)

    with damage_as_refusal():
        found, events = await asyncio.to_thread(job)
    known: dict[str, list[tuple[int, int]]] = {}
    for digest in dict.fromkeys(digest for _, _, uses in found for digest in uses):
        known[digest] = await _spans(store, digest, order.pattern)
    return [
        _Found(workspace, log, {digest: known[digest] for digest in uses if known[digest]}, uses)
        for workspace, log, uses in found
    ], events


def shown(found: Sequence[_Found], events: int) -> Redacted:
    """What was found, for people."""
    places: list[FoundPlace] = []
    more = present = 0
    for workspace, log, contents, uses in found:
        ids = {file.key: file.file_id for file in workspace.files}
        name = workspace.workspace_id
        for place in log.places:
            where = ids.get(place.file_key, "")
            fields = place.kind, place.version, place.sequence, place.author, place.time
            places.append(FoundPlace(name, where, *fields))
        if log.begun:
            places.append(FoundPlace(name, "", "checkpoint", 0, 0, "", 0))
        places += [FoundPlace(name, file, "content", 0, 0, "", 0) for digest in contents for file in uses[digest]]
        more += log.total - len(log.places)
        present += log.present + sum(
            file.node is not None and file.node.kind == "binary" and file.node.content in contents
            for file in workspace.files
        )
    return Redacted(False, places, more, present, events=events)


class Redactions:
    """``place``: where the database is, see `stored.reading`; ``turn``: of whoever writes to it; ``key`` signs;
    ``part``: which workspaces are this instance's. Of all others their owners take it out."""

    def __init__(
        self,
        place: Path | str,
        turn: threading.Lock,
        database: Database,
        collaboration: Collaboration,
        blobs: Blobs,
        trees: WorkingTrees,
        changed: Changed,
        forget: Callable[[int], None],
        key: Callable[[], SigningKey],
        part: Part = ALONE,
    ) -> None:
        self._part = part
        self._place = place
        self._turn = turn
        self._database = database
        self._collaboration = collaboration
        self._blobs = blobs
        self._trees = trees
        self._changed = changed
        self._forget = forget
        self._key = key
        self._working = asyncio.Lock()
        self._working_for_others = asyncio.Lock()

    async def look(self, order: Order) -> Redacted:
        """Where it is; nothing changes. Errors: ``file_not_found``, ``file_damaged``, ``storage_unavailable``."""
        async with self._working:
            return shown(*await find(self._place, self._blobs.store, order))

    async def redact(self, caller: Caller, order: Order) -> Redacted:
        """Takes it out of all that there is, and of what comes. Whether the caller may has been asked.

        Errors: ``legal_hold``: nothing has changed, but that it was tried; ``file_not_found``, ``file_damaged``,
        ``conflict``: it is still there, ask again; ``storage_unavailable``; ``owner_unavailable``: of some workspaces
        nothing was taken out."""
        async with self._working:
            found, events = await find(self._place, self._blobs.store, order)
            concerned = [each.workspace.workspace_id for each in found if not each.is_clean]
            await self._refuse_held(caller, concerned)
            done = Redacted(True, [], 0, 0)
            await self._redact_all(caller, order, found, done)
            chosen = None if order.workspaces is None else [each.workspace for each in found]
            done.names = await self._database.write(lambda connection: _out_of_names(connection, order.pattern, chosen))
            done.emptied = await self._give_back()
        before = shown(found, events)
        done.places, done.more, done.present, done.events = before.places, before.more, before.present, events
        return done

    async def redact_for_another(self, asked: bytes) -> bytes:
        """The errand. Who asks waits for it, so it must not wait for what is asked of others here."""
        errand = msgspec.msgpack.decode(asked, type=_Errand)
        order = Order(Pattern(errand.expression), [errand.workspace_id], errand.reason)
        async with self._working_for_others:
            found, _ = await find(self._place, self._blobs.store, order)
            done = Redacted(True, [], 0, 0)
            self._withhold(order, found)
            for each in found:
                await self._redact(errand.caller, order, each, done)
        return msgspec.msgpack.encode(done)

    async def _redact_all(self, caller: Caller, order: Order, found: Sequence[_Found], done: Redacted) -> None:
        errands = self._part.errands
        mine = {each.workspace.workspace_id for each in found if self._part.owns(each.workspace.workspace_id)}
        self._withhold(order, [each for each in found if each.workspace.workspace_id in mine])
        for each in found:
            workspace_id = each.workspace.workspace_id
            if errands is None or workspace_id in mine:
                await self._redact(caller, order, each, done)
            elif not each.is_clean or self._trees.exists(workspace_id):
                errand = _Errand(caller, order.pattern.expression, order.reason, workspace_id)
                answer = await errands.run(workspace_id, REDACT, msgspec.msgpack.encode(errand))
                done.add(msgspec.msgpack.decode(answer, type=Redacted))

    def _withhold(self, order: Order, found: Sequence[_Found]) -> None:
        for each in found:
            if not each.is_clean:
                self._collaboration.router.withhold(each.workspace.workspace_id, order.pattern)

    async def _refuse_held(self, caller: Caller, concerned: Sequence[str]) -> None:
        """Errors: ``legal_hold``; that it was tried is recorded."""
        code = Code.LEGAL_HOLD.value.code

        def job(connection: Connection) -> list[str]:
            held = held_among(connection, concerned)
            record(connection, *(by(caller, "log.redacted", workspace_id=each, outcome=code) for each in held))
            return held

        held = await self._database.write(job)
        if held:
            raise CoscribeError(Code.LEGAL_HOLD, f"{', '.join(held)}: nothing of it may be deleted", file_id=held[0])

    # ---- one workspace

    async def _redact(self, caller: Caller, order: Order, found: _Found, done: Redacted) -> None:
        workspace_id = found.workspace.workspace_id
        async with self._on_disk(workspace_id) as has_files, self._filled(order.pattern, found) as blobs:
            if not found.is_clean:
                await self._out_of_the_present(caller, found, order.pattern, blobs)
                await self._collaboration.save(None, workspace_id)
            if has_files or not found.is_clean:
                async with self._collaboration.alone(workspace_id):
                    await self._out_of_the_past(caller, order, workspace_id, blobs, done)
                    if has_files:
                        done.files += [
                            f"{workspace_id}/{path}" for path in await self._trees.take_out(workspace_id, order.pattern)
                        ]
        for digest in blobs:
            await self._blobs.remove_unused(digest)
        done.contents += len(blobs)

    @asynccontextmanager
    async def _on_disk(self, workspace_id: str) -> AsyncIterator[bool]:
        """Whether there are files of it. They follow the workspace within, also where nobody keeps them just now."""
        if not self._trees.exists(workspace_id):
            yield False
            return
        was_open = self._trees.is_open(workspace_id)
        await self._trees.open(workspace_id)
        try:
            await self._collaboration.save(None, workspace_id)
            yield True
        finally:
            if not was_open:
                await self._trees.close(workspace_id)

    @asynccontextmanager
    async def _filled(self, pattern: Pattern, found: _Found) -> AsyncIterator[dict[str, str]]:
        """The contents that take the place of others, in the store, by the hash of those."""
        made: dict[str, str] = {}
        try:
            for digest, spans in found.contents.items():
                async with self._blobs.draft() as draft:
                    at = 0
                    async for piece in self._blobs.store.pieces(digest):
                        await draft.write(fill_bytes(pattern, piece, spans, at))
                        at += len(piece)
                    made[digest] = (await self._blobs.keep_draft(draft)).digest
            yield made
        finally:
            self._blobs.let_go(list(made.values()))

    async def _out_of_the_present(
        self, caller: Caller, found: _Found, pattern: Pattern, blobs: Mapping[str, str]
    ) -> None:
        """By operations like any other, so that everybody's replica follows."""
        workspace = found.workspace
        author = Identity(caller.author or caller.kind, "Redaction", "#868e96", "owner", credential=ITSELF)
        self._collaboration.router.withhold(workspace.workspace_id, pattern).add_contents(blobs)
        if workspace.root is not None:
            await self._change_tree(author, workspace, pattern, blobs)
        for file in workspace.files:
            if pattern.search(found.log.texts.get(file.key, "")):
                await self._edit(author, file.file_id, pattern)

    async def _edit(self, author: Identity, file_id: str, pattern: Pattern) -> None:
        series, number = new_id("redaction"), 0
        while True:
            try:
                at = await self._collaboration.text(author, file_id)
            except CoscribeError as error:
                if error.code in (Code.NOT_A_TEXT, Code.FILE_NOT_FOUND):
                    return
                raise
            places = pattern.spans(at.text)[:EDITS]
            if not places:
                return
            number += 1
            edits = [(begin, end - begin, filled(pattern, at.text[begin:end])) for begin, end in places]
            message = messages.Operation(file_id, f"{series}:{number}", author.user_id, at.version, "batch", 0, edits)
            await self._collaboration.edit(author, message)

    async def _change_tree(
        self, author: Identity, workspace: Workspace, pattern: Pattern, blobs: Mapping[str, str]
    ) -> None:
        """Names, targets of links, and contents that are no text."""
        workspace_id = workspace.workspace_id
        states = (await self._collaboration.look(author, workspace_id, _states)).seen
        names = renamed(pattern, dict.fromkeys(text for state in states.values() for text in _names(state)))
        if not names and not any(_is_among(state, blobs) for state in states.values()):
            return
        sizes = {digest: await self._blobs.store.size(digest) or 0 for digest in blobs.values()}

        def plan(tree: Tree, _: PathRights) -> Planned:
            edits: list[messages.TreeEdit] = []
            for file_id, state in states.items():
                if file_id not in tree:
                    continue
                if state.name in names:
                    edits.append(messages.MoveNode(file_id, name=names[state.name]))
                if state.kind == "symlink" and state.content in names:
                    edits.append(messages.PutContent(file_id, "symlink", names[state.content]))
                if _is_among(state, blobs):
                    edits.append(messages.PutContent(file_id, "binary", blobs[state.content]))
            return Planned(edits, blobs=sizes)

        followed = await self._database.write(lambda connection: _double_rules(connection, workspace.key, names))
        await self._changed(AccessChange(workspace_id=workspace_id))
        await self._collaboration.edit_tree(author, workspace_id, new_id("redaction"), plan)
        await self._database.write(lambda connection: _drop_rules(connection, followed))
        await self._changed(AccessChange(workspace_id=workspace_id))

    async def _out_of_the_past(
        self, caller: Caller, order: Order, workspace_id: str, blobs: Mapping[str, str], done: Redacted
    ) -> None:
        """While nobody has the workspace: what is worked out is what is there when it is written."""
        key = self._key()

        def work_out() -> tuple[Workspace, Prepared]:
            with reading(self._place) as log:
                (workspace,) = _chosen(log, [workspace_id])
                found = search(log, workspace, order.pattern)
                if _is_present(workspace, found, order.pattern):
                    raise CoscribeError(Code.CONFLICT, f"{workspace_id}: it came back meanwhile; ask again")
                return workspace, prepare(log, workspace, order.pattern, found, blobs)

        def put(connection: Connection) -> int:
            if held_among(connection, [workspace_id]):
                raise CoscribeError(Code.LEGAL_HOLD, "nothing of it may be deleted", file_id=workspace_id)
            with _zeroing(connection):
                snapshots = write(StoredLog(connection), workspace.key, prepared, lambda: key)
            _say(connection, caller, workspace, order.reason, prepared.seals, key)
            return snapshots

        with damage_as_refusal():
            workspace, prepared = await in_thread(work_out)
            try:  # cancelled or not: nobody has it meanwhile, and what was known of it is not true any more
                done.snapshots += await to_the_end(self._database.write(put))
            finally:
                self._collaboration.router.withhold(workspace_id, order.pattern).through = workspace.last_sequence
                self._forget(workspace.key)
        done.entries += len(prepared.seals)
        done.workspaces += 1

    async def _give_back(self) -> bool:
        """Writes the database anew, without what is free in it, and empties the write-ahead log; whether it could.
        A PostgreSQL's is for its operator: it would hold up everybody, and replicas and archives have it, too."""
        path = self._place
        if not isinstance(path, Path):
            return False

        def job() -> None:
            with self._turn, closing(connect(path)) as db:
                db.execute("VACUUM")

        def empty() -> bool:
            with self._turn, closing(connect(path)) as db:
                db.execute("PRAGMA busy_timeout = 0")
                ((busy, _, _),) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                return not busy

        with damage_as_refusal():
            await asyncio.to_thread(job)
            for _ in range(EMPTYING_TRIES):
                if await asyncio.to_thread(empty):
                    return True
                await asyncio.sleep(EMPTYING_SECONDS)
        return False


# ---- steps


async def _spans(store: BlobStore, digest: str, pattern: Pattern) -> list[tuple[int, int]]:
    """Where a content has it. One that is missing has it nowhere; one that is damaged is what it is: evidence."""
    finder = ByteFinder(pattern)
    try:
        async for piece in store.pieces(digest):
            await asyncio.to_thread(finder.take, piece)
    except CoscribeError:
        if await store.size(digest) is None:
            return []
        raise
    return await asyncio.to_thread(finder.spans)


def _chosen(log: StoredLog, names: Sequence[str] | None) -> list[Workspace]:
    """Errors: ``file_not_found``."""
    stored = log.workspaces()
    if names is None:
        return stored
    of = {file.file_id: workspace for workspace in stored for file in workspace.files}
    for name in names:
        if name not in of:
            raise CoscribeError(Code.FILE_NOT_FOUND, f"there is no file {name!r}", file_id=name)
    return list({of[name].key: of[name] for name in names}.values())


def _is_present(workspace: Workspace, found: Found, pattern: Pattern) -> bool:
    """Whether it is in a text or a name that there is. (Of a file that was purged, or is no text any more, the last
    text is a part of the past.)"""
    is_tree = workspace.root is not None
    texts = (
        found.texts.get(file.key, "")
        for file in workspace.files
        if not is_tree or (file.node is not None and file.node.kind == "text")
    )
    names = (text for file in workspace.files if file.node is not None for text in _names(file.node))
    return any(pattern.search(text) for text in (*texts, *names))


def _uses(log: StoredLog, workspace: Workspace) -> dict[str, list[str]]:
    uses: dict[str, list[str]] = {}
    for use in log.uses(workspace.key):
        uses.setdefault(use.blob.digest, []).append(use.file_id)
    return uses


def _events_with(
    connection: Connection, order: Order, found: Sequence[tuple[Workspace, Found, dict[str, list[str]]]]
) -> int:
    """How many access events have it; of an order for some workspaces only those about them, for what happened
    elsewhere is not for whoever may redact these."""
    chosen = None if order.workspaces is None else {workspace.workspace_id for workspace, _, _ in found}
    count = 0
    event = access_events.c
    rows = select(event.workspace_id, event.detail).where(event.detail != "{}")
    for workspace_id, detail in connection.execute(rows, execution_options={"yield_per": EVENTS}):
        if chosen is None or workspace_id in chosen:
            texts = (each for each in json.loads(detail).values() if isinstance(each, str))
            count += any(map(order.pattern.search, texts))
    return count


def _states(tree: Tree, _: PathRights) -> dict[str, NodeState]:
    return {file_id: tree.state(file_id) for file_id in tree.below("")}


def _names(state: NodeState) -> tuple[str, ...]:
    return (state.name, state.content) if state.kind == "symlink" else (state.name,)


def _is_among(state: NodeState, blobs: Mapping[str, str]) -> bool:
    return state.kind == "binary" and state.content in blobs


def _double_rules(connection: Connection, workspace_key: int, names: Mapping[str, str]) -> list[str]:
    """Path rules say what they say of the new names as well: at no moment is something open that was closed. Returns
    the ids of those about the old names."""
    project = select(workspaces.c.project_key).where(workspaces.c.workspace_key == workspace_key).scalar_subquery()
    old: list[str] = []
    for table, mine in (
        (path_rules, path_rules.c.workspace_key == workspace_key),
        (project_rules, project_rules.c.project_key == project),
    ):
        for row in connection.execute(select(table).where(mine)).mappings().all():
            other = "/".join(names.get(name, name) for name in row["pattern"].split("/"))
            if other != row["pattern"]:
                connection.execute(insert(table).values({**row, "rule_id": new_id("rul"), "pattern": other}))
                old.append(row["rule_id"])
    return old


def _drop_rules(connection: Connection, rule_ids: Sequence[str]) -> None:
    for table in (path_rules, project_rules):
        connection.execute(table.delete().where(table.c.rule_id.in_(rule_ids)))


def _say(
    connection: Connection,
    caller: Caller,
    workspace: Workspace,
    reason: str,
    seals: Sequence[tuple[int, str]],
    key: SigningKey,
) -> None:
    """The redactions, signed, and that they were done among the access events."""
    for start in range(0, max(len(seals), 1), ENTRIES):
        made = Redaction(
            REDACTION_FORMAT,
            new_id("red"),
            workspace.workspace_id,
            caller.author or caller.kind,
            now(),
            reason,
            list(seals[start : start + ENTRIES]),
            key.key_id,
        )
        made = msgspec.structs.replace(made, signature=key.sign(made.statement()).hex())
        connection.execute(
            insert(redactions).values(
                redaction_id=made.redaction_id,
                workspace_key=workspace.key,
                made_at=made.made_at,
                content=msgspec.json.encode(made).decode(),
            )
        )
        detail = {"entries": len(made.entries), "reason": reason, "digest": made.digest}
        about = workspace.workspace_id, made.redaction_id
        record(connection, Event("log.redacted", made.actor, *about, origin=caller.origin, detail=detail))


def _out_of_names(connection: Connection, pattern: Pattern, chosen: Sequence[Workspace] | None) -> int:
    """Of documents and of versions, and out of what else is said of them; ``chosen`` None: of all there are."""
    count, of = 0, workspaces.c
    mine = true() if chosen is None else of.workspace_key.in_([each.key for each in chosen])
    keys, projects = select(of.workspace_key).where(mine), select(of.project_key).where(mine)
    for column, where in (
        (of.name, mine),
        (named_versions.c.name, named_versions.c.workspace_key.in_(keys)),
        (access_requests.c.message, access_requests.c.workspace_key.in_(keys)),
        (path_rules.c.pattern, path_rules.c.workspace_key.in_(keys)),
        (project_rules.c.pattern, project_rules.c.project_key.in_(projects)),
    ):
        for name in connection.execute(select(column).where(where).distinct()).scalars().all():
            if pattern.search(name):
                this = update(column.table).where(where, column == name)
                count += connection.execute(this.values({column: filled(pattern, name)})).rowcount
    _empty_answers(connection, pattern, chosen)
    return count


def _empty_answers(connection: Connection, pattern: Pattern, chosen: Sequence[Workspace] | None) -> None:
    """Of those that are kept for requests that come again only that they were given is left: nothing is done twice for
    it. Of some workspaces those that name them, and those that name none."""
    answer = idempotent_answers.c
    for row in connection.execute(select(answer.actor, answer.key, answer.body)).all():
        named = chosen is None or b'"documentId"' not in row.body
        named = named or any(each.workspace_id.encode() in row.body for each in chosen or ())
        if named and pattern.search(row.body.decode(errors="replace")):
            this = update(idempotent_answers).where(answer.actor == row.actor, answer.key == row.key)
            connection.execute(this.values(status=0, body=b""))


@contextmanager
def _zeroing(connection: Connection) -> Iterator[None]:
    """In SQLite what is written over is zero."""
    is_file = connection.dialect.name == "sqlite"
    if is_file:
        connection.exec_driver_sql("PRAGMA secure_delete = ON")
    try:
        yield
    finally:
        if is_file:
            connection.exec_driver_sql("PRAGMA secure_delete = OFF")


@contextmanager
def damage_as_refusal() -> Iterator[None]:
    """Turns what is wrong with the files into the error that whoever asked is told."""
    try:
        yield
    except ValueError as error:
        raise CoscribeError(Code.FILE_DAMAGED, str(error)) from error
    except (sqlite3.Error, StorageError, OSError) as error:
        raise CoscribeError(Code.STORAGE_UNAVAILABLE, str(error)) from error
