"""Writes a migration: the difference between the tables as migrations leave them and the metadata."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic import command

from coscribe.persistence.migrate import configuration, head, migrate


def main(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scratch.db"
        config = configuration(f"sqlite:///{path}")
        number = f"{int(head() or 0) + 1:04d}"
        if head():
            migrate(path)
        command.revision(config, message=name, autogenerate=True, rev_id=number)


if __name__ == "__main__":
    main(sys.argv[1])
