"""Documents as people see them: a name, a place in a list, archive and trash. What is in them is the engine's.

A document is a workspace of kind ``document`` with one file. Its row begins with the rights of whoever makes it; its
text begins as the first operation in its log, by the same way as every other.

    active <--> archived        archived: everybody reads, nobody writes
       \\         /
        trashed --> deleted     trashed: only owners see it; deleted: its rows are purged, the id is never used again
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, NamedTuple, cast

import structlog
from sqlalchemy import Column, Connection, Select, Table, and_, case, delete, func, insert, or_, select, tuple_, update

from coscribe.access.caller import Caller
from coscribe.access.events import by, record
from coscribe.access.ids import MADE_OF_A_KEY, WorkspaceIds, now
from coscribe.access.paging import Page, cursor_of, key_of
from coscribe.access.policy import RANK, Action, lower
from coscribe.access.project_people import Source, insert_project, purge_project
from coscribe.access.retention import check_not_held, is_held
from coscribe.access.rights import Document, Rights, authorise, file_path, link_is_open
from coscribe.access.sessions import Changed
from coscribe.cluster.everywhere import PURGE
from coscribe.cluster.part import ALONE, Part
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import AccessChange, StorageError
from coscribe.model import GENESIS, file_key
from coscribe.persistence.database import Database, inserted_key
from coscribe.persistence.schema import (
    access_requests,
    api_tokens,
    audit_checkpoints,
    bans,
    file_operation_log,
    file_snapshots,
    files,
    group_members,
    heads,
    invitations,
    last_cursors,
    link_visitors,
    log_segments,
    named_versions,
    operation_runs,
    operation_series,
    path_rules,
    project_members,
    redactions,
    retention,
    share_links,
    visits,
    workspace_members,
    workspaces,
)
from coscribe.protocol.messages import Role

log = structlog.get_logger(__name__)

Which = Literal["all", "mine", "shared", "recent"]
Status = Literal["active", "archived", "trashed"]
Kind = Literal["document", "workspace", "all"]

MAX_EXPORTED = 1_000
MAX_EXPORTED_BYTES = 500_000_000
"""Documents in one export, and about how long their texts may be together."""

PURGE_ROWS = 5_000
"""Log rows, or runs of ids, that one transaction deletes: typing elsewhere goes on in between."""

PURGE_SEGMENTS = 8
"""Segments of a log that one transaction deletes, of some hundred pages each."""


class Listed(NamedTuple):
    """A document in somebody's list. Times are microseconds since 1970."""

    document_id: str
    kind: str
    name: str
    status: str
    role: Role | None
    revision: int
    created_at: int
    edited_at: int
    visited_at: int | None
    trashed_at: int | None


class Exported(NamedTuple):
    """A document that is to be exported. ``edited_at`` in microseconds since 1970."""

    document_id: str
    name: str
    edited_at: int


class Documents:
    """The catalogue. ``changed`` returns when open sockets have felt what was changed, ``forget`` when a document is
    not in memory any more. ``most``: documents one person may have made and not deleted. ``part``: which of them are
    this instance's, as those are that are made here."""

    def __init__(
        self,
        database: Database,
        changed: Changed,
        forget: Callable[[str], Awaitable[None]],
        most: int,
        part: Part = ALONE,
    ) -> None:
        self.ids = WorkspaceIds(part.owns, 1 if part.is_alone else MADE_OF_A_KEY)
        self._part = part
        self._database = database
        self._most = most
        self._changed = changed
        self._forget = forget

    async def create(self, caller: Caller, name: str, key: str | None = None) -> Listed:
        """An empty document that the caller owns. Errors: ``quota_exceeded``, ``owner_unavailable``.

        ``key``: the same when the request comes again; then the document that was made the first time is the answer.
        """
        return await self._create(caller, self._ids("doc", caller, key), _New("document", name))

    async def create_tree(
        self,
        caller: Caller,
        name: str,
        key: str | None = None,
        *,
        workspace_id: str = "",
        folds_case: bool = False,
        forked_from: tuple[str, int] | None = None,
        source: Source | None = None,
    ) -> Listed:
        """Likewise a workspace with an empty tree. ``workspace_id``: one of `ids`. ``forked_from``: the workspace that
        it is to hold what was in, and the sequence at which that was; it is kept among the events. ``source``: that of
        a project, which is made with it; the caller owns the project then, and by that the workspace."""
        ids = [workspace_id] if workspace_id else self._ids("wsp", caller, key)
        return await self._create(caller, ids, _New("workspace", name, folds_case, forked_from, source))

    def _ids(self, kind: str, caller: Caller, key: str | None) -> Sequence[str]:
        return [self.ids.fresh(kind)] if key is None else self.ids.of_key(kind, caller.author, key)

    async def _create(self, caller: Caller, ids: Sequence[str], new: _New) -> Listed:
        """What was made already has one of the ids; else it gets one."""
        account, at, column = caller.need_account(), now(), workspaces.c

        def job(connection: Connection) -> Listed:
            known = select(column.workspace_id, column.status).where(column.workspace_id.in_(ids))
            mine = connection.execute(known.where(column.created_by == account)).first()
            if mine is not None and mine.status == "deleted":
                raise CoscribeError(Code.CONFLICT, "it was made, and deleted since")
            if mine is not None:
                rights = authorise(connection, caller, Action.SEE_DOCUMENT, mine.workspace_id)
                return _listed(connection, caller, rights)
            document_id = self.ids.first_owned(ids)
            made = select(func.count()).where(workspaces.c.created_by == account, workspaces.c.status != "deleted")
            if (connection.execute(made).scalar() or 0) >= self._most:
                raise CoscribeError(Code.QUOTA_EXCEEDED, f"{self._most} documents; delete one first")
            _insert(connection, document_id, new, account, at)
            source: dict[str, Any] = (
                {} if new.forked_from is None else {"forkedFrom": new.forked_from[0], "at": new.forked_from[1]}
            )
            record(connection, by(caller, "document.made", workspace_id=document_id, **source))
            return _listed(connection, caller, authorise(connection, caller, Action.SEE_DOCUMENT, document_id))

        return await self._database.write(job)

    async def get(self, caller: Caller, document_id: str) -> Listed:
        """Errors: ``file_not_found``."""
        return await self._database.read(
            lambda connection: _listed(
                connection, caller, authorise(connection, caller, Action.SEE_DOCUMENT, document_id)
            )
        )

    async def check(self, caller: Caller, action: Action, document_id: str) -> None:
        """Errors: see `authorise`."""
        await self._database.read(lambda connection: authorise(connection, caller, action, document_id))

    async def list(
        self,
        caller: Caller,
        which: Which,
        status: Status,
        query: str,
        cursor: str,
        limit: int,
        kind: Kind = "document",
    ) -> Page[Listed]:
        """``mine``: where I am an owner; ``shared``: where I am not; ``recent``: by my last visit, else by creation."""
        account = caller.need_account()
        return await self._database.read(
            lambda connection: _list(connection, caller, account, which, status, kind, query, cursor, limit)
        )

    async def exportable(self, caller: Caller, document_ids: Sequence[str] | None) -> Sequence[Exported]:
        """Those of the documents (None: of all) that the caller may read and that are not in the trash, oldest first.

        Errors: ``export_too_large``; ``file_not_found`` for one that is named and cannot be read.
        """

        def job(connection: Connection) -> Sequence[Exported]:
            wanted = None if document_ids is None else _readable(connection, caller, document_ids)
            rows = _exportable(connection, caller, wanted)
            if len(rows) > MAX_EXPORTED:
                raise CoscribeError(Code.EXPORT_TOO_LARGE, f"more than {MAX_EXPORTED} documents")
            size = 0
            for row in rows:
                size += _text_bytes(connection, row.workspace_key)
                if size > MAX_EXPORTED_BYTES:
                    raise CoscribeError(Code.EXPORT_TOO_LARGE, f"more than about {MAX_EXPORTED_BYTES} bytes")
            return [Exported(row.workspace_id, row.name or row.workspace_id, row.edited_at) for row in rows]

        return await self._database.read(job)

    async def everything(self, query: str, cursor: str, limit: int) -> Page[Listed]:
        """All documents, for administrators: names and states, no text."""
        return await self._database.read(lambda connection: _everything(connection, query, cursor, limit))

    async def rename(self, caller: Caller, document_id: str, name: str, revision: int) -> Listed:
        """Errors: ``precondition_failed``, ``file_not_found``, ``permission_denied``."""

        def job(connection: Connection) -> Listed:
            rights = authorise(connection, caller, Action.RENAME_DOCUMENT, document_id)
            _advance(connection, rights.document, revision, name=name)
            record(connection, by(caller, "document.renamed", workspace_id=document_id))
            return _listed(connection, caller, authorise(connection, caller, Action.SEE_DOCUMENT, document_id))

        return await self._database.write(job)

    async def set_status(self, caller: Caller, document_id: str, status: Status) -> Listed:
        """Archives, trashes, brings back; whoever has it open feels it at once. Errors: see `authorise`."""

        def job(connection: Connection) -> Listed:
            rights = authorise(connection, caller, Action.MANAGE_DOCUMENT, document_id)
            if rights.document.status != status:
                trashed_at = now() if status == "trashed" else None
                _advance(connection, rights.document, None, status=status, trashed_at=trashed_at)
                record(connection, by(caller, f"document.{status}", workspace_id=document_id))
            return _listed(connection, caller, authorise(connection, caller, Action.SEE_DOCUMENT, document_id))

        listed = await self._database.write(job)
        await self._changed(AccessChange(workspace_id=document_id))
        return listed

    async def delete(self, caller: Caller, document_id: str) -> None:
        """For good, out of the trash: nobody sees it any more; `purge` frees the room. Errors: ``conflict``,
        ``legal_hold``."""

        def job(connection: Connection) -> None:
            rights = authorise(connection, caller, Action.MANAGE_DOCUMENT, document_id)
            if rights.document.status != "trashed":
                raise CoscribeError(Code.CONFLICT, "only a document in the trash can be deleted for good")
            check_not_held(connection, rights.document.key, document_id)
            _advance(connection, rights.document, None, status="deleted", name="")
            record(connection, by(caller, "document.deleted", workspace_id=document_id))

        await self._database.write(job)
        await self._changed(AccessChange(workspace_id=document_id))

    async def discard(self, caller: Caller, document_id: str) -> None:
        """Deletes a document that has just been made and could not be filled. Errors: ``legal_hold``."""

        def job(connection: Connection) -> None:
            rights = authorise(connection, caller, Action.MANAGE_DOCUMENT, document_id)
            check_not_held(connection, rights.document.key, document_id)
            _advance(connection, rights.document, None, status="deleted", name="")
            record(connection, by(caller, "document.discarded", workspace_id=document_id))

        await self._database.write(job)

    async def purge(self) -> int:
        """Deletes the rows of documents that were deleted for good; returns how many there were. What is another
        instance's goes there; if that cannot be reached, whoever owns it next does it."""
        deleted = await self._database.read(_deleted)
        for document_id, key in deleted.items():
            if self._part.errands is None or self._part.owns(document_id):
                await self._purge(document_id, key)
                continue
            try:
                await self._part.errands.run(document_id, PURGE, document_id.encode())
            except (CoscribeError, StorageError) as error:
                log.warning("not_purged", document=document_id, error=str(error))
        return len(deleted)

    async def purge_own(self) -> None:
        """Likewise of those that are this instance's."""
        for document_id, key in (await self._database.read(_deleted)).items():
            if self._part.owns(document_id):
                await self._purge(document_id, key)

    async def purge_one(self, document_id: str) -> None:
        """Likewise of one, if it was deleted."""
        for key in (await self._database.read(lambda connection: _deleted(connection, document_id))).values():
            await self._purge(document_id, key)

    async def _purge(self, document_id: str, key: int) -> None:
        await self._forget(document_id)
        while await self._database.write(lambda connection: _purge_log(connection, key)):
            pass
        await self._database.write(lambda connection: _purge_rest(connection, key))


class _New(NamedTuple):
    """A document or a workspace that is to be made."""

    kind: str
    name: str
    folds_case: bool = False
    forked_from: tuple[str, int] | None = None
    source: Source | None = None


def _insert(connection: Connection, document_id: str, new: _New, account: str, at: int) -> None:
    project_key = None if new.source is None else insert_project(connection, document_id, new.source, account, at)
    made = connection.execute(
        insert(workspaces).values(
            workspace_id=document_id,
            project_key=project_key,
            kind=new.kind,
            incarnation=secrets.token_hex(8),
            secret=secrets.token_bytes(16),
            created_at=at,
            name=new.name,
            created_by=account,
            folds_case=new.folds_case,
        )
    )
    key, is_tree = inserted_key(made), new.kind == "workspace"
    head = {"epoch": 0, "last_sequence": 0, "chain_hash": GENESIS, "covered_sequence": 0 if is_tree else None}
    connection.execute(insert(heads).values(workspace_key=key, **head))
    file = {"file_key": file_key(key, 0), "workspace_key": key, "file_id": document_id}
    more = {"path": "" if is_tree else document_id, "kind": "directory" if is_tree else "text"}
    connection.execute(insert(files).values(**file, **more))
    if project_key is not None:
        return
    connection.execute(
        insert(workspace_members).values(
            workspace_key=key, member_kind="user", member_id=account, role="owner", added_by=account, added_at=at
        )
    )


def _advance(connection: Connection, document: Document, revision: int | None, **values: Any) -> None:
    if revision is not None and revision != document.revision:
        raise CoscribeError(Code.PRECONDITION_FAILED, f"it is at revision {document.revision}")
    connection.execute(
        update(workspaces)
        .where(workspaces.c.workspace_key == document.key)
        .values(revision=document.revision + 1, **values)
    )


_EDITED = (
    select(func.max(file_operation_log.c.time))
    .where(
        file_operation_log.c.workspace_key == workspaces.c.workspace_key,
        file_operation_log.c.sequence == heads.c.last_sequence,
    )
    .correlate(workspaces, heads)
    .scalar_subquery()
)


def _rows(account: str) -> Select[Any]:
    column = workspaces.c
    return (
        select(
            column.workspace_key,
            column.workspace_id,
            column.kind,
            column.name,
            column.status,
            column.revision,
            column.created_at,
            func.coalesce(_EDITED, column.created_at).label("edited_at"),
            visits.c.visited_at,
            column.trashed_at,
        )
        .join(heads, heads.c.workspace_key == column.workspace_key)
        .outerjoin(visits, and_(visits.c.workspace_key == column.workspace_key, visits.c.user_id == account))
    )


def _from_row(row: Any, role: Role | None) -> Listed:
    return Listed(
        row.workspace_id,
        row.kind,
        row.name or row.workspace_id,
        row.status,
        role,
        row.revision,
        row.created_at,
        row.edited_at,
        row.visited_at,
        row.trashed_at,
    )


def _listed(connection: Connection, caller: Caller, rights: Rights) -> Listed:
    row = connection.execute(_rows(caller.account).where(workspaces.c.workspace_key == rights.document.key)).one()
    return _from_row(row, rights.role)


_ROLE_RANK = {rank: cast(Role, role) for role, rank in RANK.items()}


def _ranks(account: str) -> Any:
    """Every (document, rank of a role) somebody has: member, by a group, by an open link."""
    member, link, visitor, group = workspace_members.c, share_links.c, link_visitors.c, group_members.c

    def rank(role: Any) -> Any:
        return case(RANK, value=role)

    groups = select(group.group_id).where(group.user_id == account)
    as_member = select(member.workspace_key, rank(member.role).label("rank")).where(
        or_(
            and_(member.member_kind == "user", member.member_id == account),
            and_(member.member_kind == "group", member.member_id.in_(groups)),
        )
    )
    by_link = (
        select(link.workspace_key, rank(link.role).label("rank"))
        .join(link_visitors, visitor.link_id == link.link_id)
        .where(visitor.user_id == account, link_is_open())
    )
    banned = select(bans.c.workspace_key).where(bans.c.user_id == account)

    def best(held: Any, *where: Any) -> Any:
        found = select(held.c.workspace_key, func.max(held.c.rank).label("rank"))
        return found.where(held.c.workspace_key.not_in(banned), *where).group_by(held.c.workspace_key)

    in_project, workspace = project_members.c, workspaces.c
    by_project = (
        select(workspace.workspace_key, rank(in_project.role).label("rank"))
        .join(project_members, in_project.project_key == workspace.project_key)
        .where(
            or_(
                and_(in_project.member_kind == "user", in_project.member_id == account),
                and_(in_project.member_kind == "group", in_project.member_id.in_(groups)),
            )
        )
    )
    given, narrowed = best(by_project.subquery()).subquery(), best(as_member.subquery()).subquery()
    is_narrower = and_(given.c.rank < RANK["owner"], narrowed.c.rank < given.c.rank)
    lowest = case((is_narrower, narrowed.c.rank), else_=given.c.rank).label("rank")
    of_projects = select(given.c.workspace_key, lowest).outerjoin(
        narrowed, narrowed.c.workspace_key == given.c.workspace_key
    )
    own = as_member.union_all(by_link).subquery()
    of_some_project = select(workspace.workspace_key).where(workspace.project_key.is_not(None))
    alone = best(own, own.c.workspace_key.not_in(of_some_project))
    return alone.union_all(of_projects).subquery()


def _list(
    connection: Connection,
    caller: Caller,
    account: str,
    which: Which,
    status: Status,
    kind: Kind,
    query: str,
    cursor: str,
    limit: int,
) -> Page[Listed]:
    ranks = _ranks(account)
    rows = _rows(account).add_columns(ranks.c.rank).join(ranks, ranks.c.workspace_key == workspaces.c.workspace_key)
    rows = rows.where(workspaces.c.status == status)
    if kind != "all":
        rows = rows.where(workspaces.c.kind == kind)
    if status == "trashed" or which == "mine":
        rows = rows.where(ranks.c.rank == RANK["owner"])
    elif which == "shared":
        rows = rows.where(ranks.c.rank < RANK["owner"])
    elif which == "recent":
        rows = rows.where(visits.c.visited_at.is_not(None))
    if caller.workspace:
        rows = rows.where(workspaces.c.workspace_id == caller.workspace)
    if query:
        rows = rows.where(_named(query))
    order = visits.c.visited_at if which == "recent" else workspaces.c.workspace_key
    found, following = _paged(connection, rows, order, cursor, limit)
    return Page(tuple(_from_row(row, lower(_ROLE_RANK[row.rank], caller.role)) for row in found), following)


def _readable(connection: Connection, caller: Caller, document_ids: Sequence[str]) -> set[int]:
    """The keys of documents each of which the caller may read. Errors: ``file_not_found``, see `authorise`."""
    keys = set()
    for document_id in document_ids:
        rights = authorise(connection, caller, Action.READ_CONTENT, document_id)
        if rights.on(file_path(connection, rights.document)) is None:
            raise CoscribeError(Code.FILE_NOT_FOUND, f"there is no text of {document_id!r} for you")
        keys.add(rights.document.key)
    return keys


def _exportable(connection: Connection, caller: Caller, keys: set[int] | None) -> list[Any]:
    """One more than can be exported, at most."""
    account = caller.need_account()
    rows = _rows(account).where(workspaces.c.status.in_(("active", "archived")), workspaces.c.kind == "document")
    rows = rows.order_by(workspaces.c.workspace_key)
    if keys is None:
        ranks = _ranks(account)
        rows = rows.join(ranks, ranks.c.workspace_key == workspaces.c.workspace_key)
    else:
        rows = rows.where(workspaces.c.workspace_key.in_(keys))
    return list(connection.execute(rows.limit(MAX_EXPORTED + 1)))


def _text_bytes(connection: Connection, key: int) -> int:
    """About how long a document's text is, and hardly less: its newest snapshot and all that was written since."""
    snapshot, entry = file_snapshots.c, file_operation_log.c
    newest = connection.execute(
        select(snapshot.sequence, func.length(snapshot.content).label("size"))
        .join(files, files.c.file_key == snapshot.file_key)
        .where(files.c.workspace_key == key)
        .order_by(snapshot.sequence.desc())
        .limit(1)
    ).first()
    sequence, size = (0, 0) if newest is None else (newest.sequence, newest.size)
    since = select(func.coalesce(func.sum(func.length(entry.payload)), 0)).where(
        entry.workspace_key == key, entry.sequence > sequence
    )
    return int(size + connection.execute(since).scalar_one())


def _everything(connection: Connection, query: str, cursor: str, limit: int) -> Page[Listed]:
    rows = _rows("").where(workspaces.c.status != "deleted")
    if query:
        rows = rows.where(_named(query))
    found, following = _paged(connection, rows, workspaces.c.workspace_key, cursor, limit)
    return Page(tuple(_from_row(row, None) for row in found), following)


def _named(query: str) -> Any:
    """Part of a name, or the id: what the operator has made has no other name."""
    return or_(workspaces.c.name.icontains(query, autoescape=True), workspaces.c.workspace_id == query)


def _paged(connection: Connection, rows: Select[Any], order: Any, cursor: str, limit: int) -> tuple[list[Any], str]:
    """A page of rows, the newest first, equal moments by key; and the cursor of the next page."""
    key = key_of(cursor, int, int)
    if key is not None:
        rows = rows.where(or_(order < key[0], and_(order == key[0], workspaces.c.workspace_key < key[1])))
    rows = rows.add_columns(order.label("moment")).order_by(order.desc(), workspaces.c.workspace_key.desc())
    found = list(connection.execute(rows.limit(limit + 1)))
    following = cursor_of(found[limit - 1].moment, found[limit - 1].workspace_key) if len(found) > limit else ""
    return found[:limit], following


def _deleted(connection: Connection, document_id: str = "") -> dict[str, int]:
    """Deleted documents that still have rows, or that one of them, with their keys: their head is the last thing to
    go."""
    statement = (
        select(workspaces.c.workspace_id, workspaces.c.workspace_key)
        .join(heads, heads.c.workspace_key == workspaces.c.workspace_key)
        .where(workspaces.c.status == "deleted", ~is_held())
    )
    if document_id:
        statement = statement.where(workspaces.c.workspace_id == document_id)
    return {row.workspace_id: row.workspace_key for row in connection.execute(statement)}


def _purge_log(connection: Connection, key: int) -> bool:
    """Deletes a piece of a log; whether there was one. Runs go before the segments that they say something about."""
    row, run, segment = file_operation_log.c, operation_runs.c, log_segments.c
    return (
        _purge_some(connection, file_operation_log, key, PURGE_ROWS, row.sequence)
        or _purge_some(connection, operation_runs, key, PURGE_ROWS, run.series, run.last_counter)
        or _purge_some(connection, log_segments, key, PURGE_SEGMENTS, segment.segment_key)
    )


def _purge_some(connection: Connection, table: Table, key: int, most: int, *columns: Column[Any]) -> bool:
    """Whether there were rows of a workspace, of which at most so many are deleted; ``columns`` tell them apart."""
    of_workspace = table.c.workspace_key == key
    some = select(*columns).where(of_workspace).limit(most)
    return connection.execute(delete(table).where(of_workspace, tuple_(*columns).in_(some))).rowcount > 0


def _purge_rest(connection: Connection, key: int) -> None:
    """The workspace's own row stays, without its name: its id must never come to mean something else."""
    links = select(share_links.c.link_id).where(share_links.c.workspace_key == key)
    of_file = select(files.c.file_key).where(files.c.workspace_key == key)
    connection.execute(delete(link_visitors).where(link_visitors.c.link_id.in_(links)))
    connection.execute(delete(file_snapshots).where(file_snapshots.c.file_key.in_(of_file)))
    connection.execute(delete(last_cursors).where(last_cursors.c.file_key.in_(of_file)))
    connection.execute(update(api_tokens).where(api_tokens.c.workspace_key == key).values(revoked_at=now()))
    purge_project(connection, key)
    for table in (
        share_links,
        invitations,
        access_requests,
        named_versions,
        path_rules,
        bans,
        visits,
        workspace_members,
        retention,
        audit_checkpoints,
        redactions,
        operation_series,
        files,
        heads,
    ):
        connection.execute(delete(table).where(table.c.workspace_key == key))
