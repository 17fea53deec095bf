"""People with accounts on a server process, over real HTTP."""

from __future__ import annotations

from typing import Any, Protocol

import httpx

from coscribe.protocol.messages import Role

PASSWORD = "correct horse battery staple"


class Served(Protocol):
    """A server that people can go to: where, and tokens that it believes."""

    @property
    def http(self) -> str: ...

    def token(self, user_id: str, role: Role = "editor") -> str: ...


class Account:
    """Somebody who has signed up; ``token`` is an access token."""

    def __init__(self, client: httpx.AsyncClient, begun: dict[str, Any], handle: str) -> None:
        self.id = str(begun["userId"])
        self.handle = handle
        self.token = str(begun["accessToken"])
        self.session_id = str(begun["sessionId"])
        self._client = client

    async def ask(
        self, method: str, path: str, json: Any = None, *, text: str | None = None, **headers: str
    ) -> httpx.Response:
        """A request below /api, with JSON or a text."""
        headers["Authorization"] = f"Bearer {self.token}"
        if text is not None:
            headers["Content-Type"] = "text/plain; charset=utf-8"
        return await self._client.request(method, f"/api{path}", json=json, content=text, headers=headers)

    async def sign_in(self) -> None:
        """Another session: an access token is good for minutes."""
        answer = await self._client.post("/api/session", json={"name": self.handle, "password": PASSWORD})
        assert answer.is_success, answer.text
        self.token, self.session_id = str(answer.json()["accessToken"]), str(answer.json()["sessionId"])

    async def done(self, method: str, path: str, json: Any = None) -> Any:
        """The same; it must be allowed."""
        answer = await self.ask(method, path, json)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None


class People:
    """Everybody on one server. The first one is its administrator."""

    def __init__(self, server: Served) -> None:
        # The server lets go of an idle connection after five seconds; a request must not meet that.
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=200, keepalive_expiry=2.0)
        self.client = httpx.AsyncClient(base_url=server.http, timeout=60, limits=limits)
        self._server = server

    async def administrator(self, handle: str = "ada") -> Account:
        """Makes the first administrator, with the link of whoever holds the folder's key."""
        operator = {"Authorization": f"Bearer {self._server.token('operator', 'owner')}"}
        answer = await self.client.post("/api/admin/setup-link", headers=operator)
        assert answer.status_code == 201, answer.text
        secret = answer.json()["url"].partition("#setup=")[2]
        return await self._begin("/api/setup", handle, secret=secret)

    async def sign_up(self, handle: str) -> Account:
        return await self._begin("/api/accounts", handle)

    async def close(self) -> None:
        await self.client.aclose()

    async def _begin(self, path: str, handle: str, **more: str) -> Account:
        body = {"handle": handle, "displayName": handle.title(), "password": PASSWORD, **more}
        answer = await self.client.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return Account(self.client, answer.json(), handle)
