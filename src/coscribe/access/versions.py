"""Named versions: what people call a version of a text, so that they find it again. One name a version."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, update

from coscribe.access.caller import Caller
from coscribe.access.events import by, record
from coscribe.access.ids import now
from coscribe.access.policy import Action
from coscribe.access.rights import authorise
from coscribe.core.errors import Code, CoscribeError
from coscribe.persistence.database import Database
from coscribe.persistence.schema import named_versions

MAX_NAMED = 1_000
"""Named versions of a document."""


class NamedVersion(NamedTuple):
    """``named_by`` None: by an account that is gone. ``named_at`` in microseconds since 1970."""

    version: int
    name: str
    named_by: str | None
    named_at: int


class NamedVersions:
    """The names of a document's versions. Whether there is such a version is for the caller to know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, caller: Caller, document_id: str) -> list[NamedVersion]:
        """All of them, by version. Errors: see `authorise`."""

        def job(connection: Connection) -> list[NamedVersion]:
            key = authorise(connection, caller, Action.READ_HISTORY, document_id).document.key
            rows = connection.execute(_NAMED.where(_named.workspace_key == key).order_by(_named.version))
            return [NamedVersion(*row) for row in rows]

        return await self._database.read(job)

    async def give(self, caller: Caller, document_id: str, version: int, name: str) -> NamedVersion:
        """Errors: ``conflict``: the version has a name; ``quota_exceeded``; see `authorise`."""
        given = NamedVersion(version, name, caller.author, now())

        def job(connection: Connection) -> NamedVersion:
            key = authorise(connection, caller, Action.EDIT_CONTENT, document_id).document.key
            if _found(connection, key, version) is not None:
                raise CoscribeError(Code.CONFLICT, f"version {version} has a name; change that")
            of_document = select(func.count()).where(_named.workspace_key == key)
            if (connection.execute(of_document).scalar() or 0) >= MAX_NAMED:
                raise CoscribeError(Code.QUOTA_EXCEEDED, f"{MAX_NAMED} named versions")
            connection.execute(insert(named_versions).values(workspace_key=key, **given._asdict()))
            record(connection, by(caller, "version.named", workspace_id=document_id, subject=str(version), name=name))
            return given

        return await self._database.write(job)

    async def rename(self, caller: Caller, document_id: str, version: int, name: str) -> NamedVersion:
        """Errors: ``not_found``, see `authorise`."""

        def job(connection: Connection) -> NamedVersion:
            key = authorise(connection, caller, Action.EDIT_CONTENT, document_id).document.key
            before = _existing(connection, key, version)
            connection.execute(update(named_versions).where(_is(key, version)).values(name=name))
            detail = {"name": name, "before": before.name}
            record(connection, by(caller, "version.renamed", workspace_id=document_id, subject=str(version), **detail))
            return before._replace(name=name)

        return await self._database.write(job)

    async def remove(self, caller: Caller, document_id: str, version: int) -> None:
        """Takes the name away; the version stays. Errors: ``not_found``, see `authorise`."""

        def job(connection: Connection) -> None:
            key = authorise(connection, caller, Action.EDIT_CONTENT, document_id).document.key
            before = _existing(connection, key, version)
            connection.execute(delete(named_versions).where(_is(key, version)))
            event = by(caller, "version.unnamed", workspace_id=document_id, subject=str(version), before=before.name)
            record(connection, event)

        await self._database.write(job)


_named = named_versions.c
_NAMED = select(_named.version, _named.name, _named.named_by, _named.named_at)


def _is(key: int, version: int) -> ColumnElement[bool]:
    return and_(_named.workspace_key == key, _named.version == version)


def _found(connection: Connection, key: int, version: int) -> NamedVersion | None:
    row = connection.execute(_NAMED.where(_is(key, version))).first()
    return None if row is None else NamedVersion(*row)


def _existing(connection: Connection, key: int, version: int) -> NamedVersion:
    found = _found(connection, key, version)
    if found is None:
        raise CoscribeError(Code.NOT_FOUND, f"version {version} has no name")
    return found
