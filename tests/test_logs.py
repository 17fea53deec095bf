"""No text of a document gets into a log: not when all is well, not when it is refused, not when something breaks."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from coscribe.client import Client
from coscribe.documents.collaboration import Collaboration
from coscribe.gateway.socket import GatewayLimits
from coscribe.persistence.database import Database
from coscribe.persistence.migrate import migrate
from coscribe.persistence.sqlite import SqliteStorage
from tests.gateway.site import PATIENCE, Site, hello, live, open_site, said, token

SECRETS = ("Geheimnis", "gehe\u0131m\u0307", "秘密", "\U0001f92b\U0001f510", "%s%(secret)d{secret}", "\x1b[31msecret")
"""What somebody writes; the last ones are for loggers that format what they are given."""


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """All that is logged, as the server prints it."""
    written = io.StringIO()
    before = structlog.get_config()
    handler = logging.StreamHandler(written)
    root = logging.getLogger()
    level = root.level
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(written),
        processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)],
    )
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # the test's own client says what it asks for
    try:
        yield written
    finally:
        root.removeHandler(handler)
        logging.getLogger("httpx").setLevel(logging.NOTSET)
        root.setLevel(level)
        structlog.configure(**before)


def assert_secret(logged: io.StringIO) -> None:
    written = logged.getvalue()
    forms = {form for secret in SECRETS for form in (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1])}
    assert [form for form in forms if form in written] == []


def operation(number: int, payload: str, **other: Any) -> dict[str, Any]:
    place: dict[str, Any] = {"baseVersion": 0, "operationType": "insert", "position": 0, "payload": payload}
    return {"type": "operation", "fileId": "notes", "operationId": f"op:{number}", "userId": "ann", **place, **other}


async def typed(site: Site) -> None:
    """One writes every secret, undoes and deletes; and puts them by HTTP."""
    async with Client(f"ws://{site.address}/ws", token("ann")) as client:
        ann = await client.open("notes")
        for secret in SECRETS:
            ann.insert(0, secret)
        await ann.synced()
        ann.undo()
        ann.delete(0, 3)
        await ann.synced()
    async with httpx.AsyncClient(base_url=f"http://{site.address}/api") as http:
        http.headers["Authorization"] = f"Bearer {token('ann')}"
        for content in (*SECRETS, "\0".join(SECRETS)):
            match = {"If-Match": '"v1"', "Content-Type": "text/plain"}
            await http.put("/documents/notes/content", content=content, headers=match)
        await http.get(f"/documents/{SECRETS[0]}/content/nowhere?text={SECRETS[2]}")


async def refused(site: Site) -> None:
    """Sends the secrets in all the wrong ways."""
    for number, secret in enumerate(SECRETS):
        async with site.connect() as socket:
            await live(socket, "ann", "notes")
            for other in ({"position": 10**6}, {"baseVersion": 10**9}, {"operationType": secret}):
                await said(socket, **operation(number, secret, **other))
            await said(socket, type=secret, text=secret)
            await socket.send(secret)
        async with site.connect() as socket:
            await socket.send(json.dumps({"type": "hello", "protocol": [1], "token": secret}))
            await socket.recv()
        async with site.connect() as socket:
            await hello(socket, "ann")
            await socket.send(secret.encode())
            await socket.recv()


@pytest.mark.slow
async def test_nothing_of_a_session_is_logged(tmp_path: Path, logged: io.StringIO) -> None:
    async with asyncio.timeout(PATIENCE), open_site(tmp_path, GatewayLimits()) as site:
        await typed(site)
        await refused(site)
    assert_secret(logged)


async def test_nothing_is_logged_where_a_turn_breaks(
    tmp_path: Path, logged: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Collaboration, member: object, message: object, *_: object, **__: object) -> None:
        raise RuntimeError("a turn is broken")

    async with asyncio.timeout(PATIENCE), open_site(tmp_path, GatewayLimits()) as site:
        monkeypatch.setattr(Collaboration, "submit", broken)
        async with site.connect() as socket:
            await live(socket, "ann", "notes")
            for number, secret in enumerate(SECRETS):
                await said(socket, **operation(number, secret))
            await socket.close()
    assert "a turn is broken" in logged.getvalue()
    assert_secret(logged)


async def test_nothing_is_logged_where_the_disk_breaks(
    tmp_path: Path, logged: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: object, appends: object) -> None:
        raise RuntimeError("the disk is broken")

    monkeypatch.setattr(SqliteStorage, "append", broken)
    async with asyncio.timeout(PATIENCE), open_site(tmp_path, GatewayLimits()) as site, site.connect() as socket:
        await live(socket, "ann", "notes")
        await said(socket, **operation(1, SECRETS[0]))
        await socket.recv()
    assert "the disk is broken" in logged.getvalue()
    assert_secret(logged)


async def test_an_error_of_the_database_does_not_tell_what_was_to_be_stored(tmp_path: Path) -> None:
    migrate(tmp_path / "coscribe.db")
    database = Database(tmp_path / "coscribe.db")
    try:
        with pytest.raises(IntegrityError) as caught:
            await database.write(
                lambda db: db.execute(text("INSERT INTO users (user_id) VALUES (:text)"), {"text": SECRETS[0]})
            )
        assert SECRETS[0] not in str(caught.value)
    finally:
        await database.close()
