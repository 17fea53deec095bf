"""Coscribe inside a FastAPI service of your own: uvicorn examples.embed_fastapi:app

The engine is mounted under /collab (its socket is /collab/ws); its life is part of the service's. Identity comes from
the host through the `Authenticator` port: here a table of keys, as a stand-in for your own sessions.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from coscribe.app import Coscribe
from coscribe.config import Settings
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import Identity

KEYS = {
    "key-of-ann": Identity("ann", "Ann", "#1864ab", "editor"),
    "key-of-bob": Identity("bob", "Bob", "#2b8a3e", "viewer"),
}


class HostSessions:
    """`Authenticator`: asks the host who a token belongs to."""

    async def authenticate(self, token: str) -> Identity:
        if token not in KEYS:
            raise CoscribeError(Code.AUTHENTICATION_FAILED, "unknown key")
        return KEYS[token]

    async def is_valid(self, identity: Identity) -> bool:
        """Asked when rights have changed (`Gateway.access_changed`): keys are never withdrawn here."""
        return identity in KEYS.values()


def make_app(folder: Path) -> FastAPI:
    coscribe = Coscribe(Settings(folder=folder), authenticator=HostSessions())

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        async with coscribe.running():
            yield

    host = FastAPI(lifespan=life)
    host.mount("/collab", coscribe.asgi)

    @host.get("/hello")
    async def hello() -> dict[str, str]:
        return {"socket": "/collab/ws"}

    return host


def __getattr__(name: str) -> FastAPI:
    """``app`` is made when a server asks for it, so that importing this module opens no folder."""
    if name == "app":
        return make_app(Path(os.environ.get("COSCRIBE_FOLDER", ".coscribe-embedded")))
    raise AttributeError(name)
