"""People who use a server over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from argon2 import PasswordHasher

from coscribe.access.mail import Mail
from coscribe.app import Coscribe
from coscribe.config import Settings
from coscribe.gateway.auth import make_token
from coscribe.git.remotes import Policy, public
from coscribe.protocol.messages import Role
from tests.migrated import new_database

SECRET = "not a secret at all, only a test's"
PASSWORD = "correct horse battery staple"
BASE = "http://127.0.0.1:8777"

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""Real argon2, as cheap as it gets: what a hash costs is tested in tests/access."""


class Person:
    """A client with somebody's credentials; ``id`` is the account."""

    def __init__(self, town: Town, client: httpx.AsyncClient, user_id: str = "", handle: str = "") -> None:
        self.town = town
        self.client = client
        self.id = user_id
        self.handle = handle
        self.session_id = ""
        self.access_token = ""
        self.refresh_token = ""

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request below /api; ``json``, ``headers``, ``content`` as in httpx."""
        return await self.client.request(method, f"/api{path}", **options)

    async def get(self, path: str, status: int = 200, **options: Any) -> Any:
        return await self.done("GET", path, status, **{"headers": {"Accept": "application/json"}, **options})

    async def post(self, path: str, json: Any = None, status: int = 200, **options: Any) -> Any:
        return await self.done("POST", path, status, json=json, **options)

    async def done(self, method: str, path: str, status: int, **options: Any) -> Any:
        """The body of an answer that must have this status."""
        answer = await self.ask(method, path, **options)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content and "json" in answer.headers.get("content-type", "") else answer.text

    async def refused(self, method: str, path: str, code: str, **options: Any) -> httpx.Response:
        """A request that must be refused with this code."""
        answer = await self.ask(method, path, **options)
        assert answer.headers["content-type"] == "application/problem+json", answer.text[:500]
        assert answer.json()["code"] == code, f"{method} {path}: {answer.json()}"
        return answer

    async def document(self, name: str = "Notes", text: str = "") -> str:
        """Makes a document; returns its id."""
        made = await self.post("/documents", {"name": name, "text": text}, 201)
        return str(made["documentId"])

    async def workspace(self, name: str = "Project", **texts: str) -> str:
        """Makes a workspace with some files at its top; returns its id."""
        made = await self.post("/workspaces", {"name": name}, 201)
        workspace_id = str(made["documentId"])
        for path, text in texts.items():
            await self.write(workspace_id, path, text)
        return workspace_id

    async def write(self, workspace_id: str, path: str, text: str, version: int | None = None) -> Any:
        """A new file, or another text of one that was read at a version."""
        headers = {"If-None-Match": "*"}
        if version is not None:
            stat = await self.get(f"/workspace/{workspace_id}/fs/stat", params={"path": path})
            headers = {"If-Match": f'"{stat["fileId"]}:{version}"'}
        options: dict[str, Any] = {"params": {"path": path}, "content": text.encode(), "headers": headers}
        return await self.done("PUT", f"/workspace/{workspace_id}/fs/write", 200, **options)

    def use(self, begun: dict[str, Any]) -> None:
        """Goes on with the tokens of an answer that began a session."""
        self.id, self.session_id = begun["userId"], begun["sessionId"]
        self.access_token, self.refresh_token = begun["accessToken"], begun["refreshToken"]
        self.client.headers["Authorization"] = f"Bearer {self.access_token}"


class KeepingMailer:
    """Sends nothing; keeps what it was given."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.came = asyncio.Event()

    async def send(self, mail: Mail) -> None:
        self.mails.append(mail)
        self.came.set()

    async def to(self, address: str, count: int = 1) -> Mail:
        """The newest mail to somebody, once there are so many."""
        while len(mine := [mail for mail in self.mails if mail.to == address]) < count:
            self.came.clear()
            await self.came.wait()
        return mine[-1]


class Town:
    """A running server and the people on it."""

    def __init__(self, coscribe: Coscribe, mailer: KeepingMailer) -> None:
        self.coscribe = coscribe
        self.mailer = mailer
        self.clients: list[httpx.AsyncClient] = []
        self.ada = self.nobody()

    def nobody(self, address: str = "127.0.0.1") -> Person:
        """Somebody without credentials."""
        transport = httpx.ASGITransport(self.coscribe.asgi, client=(address, 40_000), raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url=BASE)
        self.clients.append(client)
        return Person(self, client)

    async def person(self, handle: str, **more: Any) -> Person:
        """Signs somebody up; with their tokens."""
        person = self.nobody()
        person.handle = handle
        account = {"handle": handle, "displayName": handle.title(), "password": PASSWORD, **more}
        person.use(await person.post("/accounts", account, 201))
        return person

    async def verified(self, handle: str, email: str) -> Person:
        """Signs somebody up who has verified an address."""
        person = await self.person(handle, email=email)
        await person.post("/account/email/verify", {"secret": await self.secret_in_mail(email)}, 204)
        return person

    def with_token(self, token: str) -> Person:
        """Somebody with a bearer token of any kind."""
        person = self.nobody()
        person.client.headers["Authorization"] = f"Bearer {token}"
        return person

    def of_folder(self, name: str = "operator", role: Role = "owner") -> Person:
        """Whoever holds the folder's key."""
        return self.with_token(make_token(SECRET.encode(), name, role, 3_600))

    async def secret_in_mail(self, address: str, count: int = 1) -> str:
        """The secret in the newest mail to somebody, once there are so many."""
        text = (await self.mailer.to(address, count)).text
        return text.partition("/#")[2].split()[0].partition("=")[2]


@asynccontextmanager
async def open_town(folder: Path, *, remotes: Policy = public, **settings: Any) -> AsyncIterator[Town]:
    """A server with ``ada`` as its administrator."""
    options = {"token_secret": SECRET, "public_url": BASE, "rate_factor": 100.0, **settings}
    where = new_database(Settings(folder=folder).database)
    if isinstance(where, str):
        options["database_url"] = where
    mailer = KeepingMailer()
    coscribe = Coscribe(Settings(folder=folder, **options), mailer=mailer, hasher=CHEAP, remotes=remotes)
    town = Town(coscribe, mailer)
    async with coscribe.running():
        link = await coscribe.setup_link()
        assert link is not None
        account = {"handle": "ada", "displayName": "Ada", "password": PASSWORD, "secret": link.partition("#setup=")[2]}
        town.ada.use(await town.ada.post("/setup", account, 201))
        town.ada.handle = "ada"
        yield town
        for client in town.clients:
            await client.aclose()
