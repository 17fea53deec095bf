"""A data folder, and a PostgreSQL with the same in it: to damage, and to give to commands."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import text

from coscribe.cli.moving import move
from coscribe.cli.store import Store
from coscribe.persistence.stored import engine_for
from tests.servers import PostgresServer


class Kept:
    """``options`` of a command that is to look at it."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def options(self) -> list[str]:
        return ["--data", str(self.store.folder), *(["--database", self.store.url] if self.store.url else [])]

    @property
    def on_postgres(self) -> bool:
        return bool(self.store.url)

    def execute(self, statement: str, values: Mapping[str, Any] | None = None) -> int:
        """How many rows it concerned. Parameters are ``:named``."""
        engine = engine_for(self.store.database)
        with engine.connect() as connection:
            done = connection.execute(text(statement), dict(values or {})).rowcount
            connection.commit()
        return done

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        engine = engine_for(self.store.database)
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]


def moved(folder: Path, server: PostgresServer, scratch: Path) -> str:
    """The name of a database that holds what a folder does; the folder stays as it is."""
    url = server.empty()
    copy = Path(shutil.copytree(folder, scratch / "moved"))
    move(copy, url, lambda what, rows: lambda done: None)
    return url.rpartition("/")[2]
