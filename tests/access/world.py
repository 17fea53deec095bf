"""People, documents and the services about them, over a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, insert, select, update

from coscribe.access.caller import Caller
from coscribe.access.directory import Directory
from coscribe.access.groups import Groups
from coscribe.access.ids import new_id, now
from coscribe.access.invitations import Invitations
from coscribe.access.links import Links
from coscribe.access.mail import Mail
from coscribe.access.members import Members
from coscribe.access.policy import ceiling
from coscribe.access.rights import Rights, find_rights
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import AccessChange
from coscribe.persistence.database import Database
from coscribe.persistence.schema import access_events, files, users, workspace_members, workspaces
from coscribe.protocol.messages import Role
from tests.migrated import new_database

URL = "https://notes.example"

_T = TypeVar("_T")


class World:
    """``changes``: what open sockets were told; ``mails``: what was sent."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.changes: list[AccessChange] = []
        self.mails: list[Mail] = []
        self.members = Members(database, self._changed)
        self.groups = Groups(database, self._changed)
        self.links = Links(database, self._changed, public_url=URL)
        self.directory = Directory(database)
        self.invitations = Invitations(database, self._changed, self.mails.append, public_url=URL)

    async def _changed(self, change: AccessChange) -> None:
        self.changes.append(change)

    async def person(
        self,
        handle: str,
        name: str = "",
        *,
        email: str | None = None,
        unverified: str | None = None,
        administrator: bool = False,
        discoverable: bool = True,
        status: str = "active",
    ) -> Caller:
        """Somebody who is signed in."""
        user_id = new_id("usr")
        values: dict[str, Any] = {
            "user_id": user_id,
            "handle": handle,
            "display_name": name or handle.capitalize(),
            "color": "#123456",
            "email": email,
            "unverified_email": unverified,
            "is_admin": administrator,
            "discoverable": discoverable,
            "status": status,
            "created_at": now(),
        }
        await self.run(lambda connection: connection.execute(insert(users).values(**values)))
        return Caller("session", user_id, new_id("ses"), user_id, values["display_name"], administrator=administrator)

    async def document(self, owner: Caller, name: str = "Plan", **others: Caller) -> str:
        """A document; ``editor=`` and ``viewer=`` are members as well."""
        document_id = new_id("doc")

        def job(connection: Connection) -> None:
            row = {"workspace_id": document_id, "kind": "document", "name": name, "created_by": owner.account}
            made = connection.execute(
                insert(workspaces).values(**row, incarnation="1", secret=bytes(16), created_at=now())
            )
            key = made.inserted_primary_key[0]  # type: ignore[index]
            connection.execute(insert(files).values(workspace_key=key, file_id=document_id, path="plan.md"))

        await self.run(job)
        for role, caller in {"owner": owner, **others}.items():
            await self.make_member(document_id, caller, role)
        return document_id

    async def make_member(self, document_id: str, caller: Caller, role: str) -> None:
        def job(connection: Connection) -> None:
            key = connection.execute(
                select(workspaces.c.workspace_key).where(workspaces.c.workspace_id == document_id)
            ).scalar_one()
            values = {"workspace_key": key, "member_kind": "user", "member_id": caller.account}
            connection.execute(insert(workspace_members).values(**values, role=role, added_at=now()))

        await self.run(job)

    async def set(self, table: Any, where: Any, **values: Any) -> None:
        await self.run(lambda connection: connection.execute(update(table).where(where).values(**values)))

    async def run(self, job: Callable[[Connection], _T]) -> _T:
        return await self.database.write(job)

    async def rights(self, caller: Caller, document_id: str) -> Rights | None:
        return await self.database.read(lambda connection: find_rights(connection, caller, document_id))

    async def role(self, caller: Caller, document_id: str) -> Role | None:
        rights = await self.rights(caller, document_id)
        return rights.role if rights is not None else None

    async def events(self) -> list[tuple[str, str, str | None, str]]:
        """Action, actor, document and subject of what was recorded."""
        column = access_events.c
        statement = select(column.action, column.actor, column.workspace_id, column.subject)
        rows = await self.database.read(
            lambda connection: connection.execute(statement.order_by(column.event_id)).all()
        )
        return [(row.action, row.actor, row.workspace_id, row.subject) for row in rows]

    def secret(self) -> str:
        """The one in the last mail."""
        return secret_in(self.mails[-1].text)


def secret_in(text: str) -> str:
    """The secret of a link in a text."""
    return text.partition("#")[2].split()[0].partition("=")[2]


def bot(owner: Caller, scope: Any, workspace: str = "") -> Caller:
    """An API token of somebody's."""
    return owner._replace(
        kind="token", author=f"{owner.account}+tok", role=ceiling(scope), scope=scope, workspace=workspace
    )


def guest(link_id: str, document_id: str) -> Caller:
    return Caller("link", "", link_id, f"guest+{link_id}", "Guest", role="viewer", scope="read", workspace=document_id)


@asynccontextmanager
async def refused(code: Code, world: World | None = None) -> AsyncIterator[None]:
    """What is inside is refused with a code; nobody is told of a change."""
    told = len(world.changes) if world is not None else 0
    with pytest.raises(CoscribeError) as caught:
        yield
    assert caught.value.code is code, caught.value
    assert world is None or len(world.changes) == told


@asynccontextmanager
async def opened_world(path: Path) -> AsyncIterator[World]:
    database = Database(new_database(path))
    try:
        yield World(database)
    finally:
        await database.close()
