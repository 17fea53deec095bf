"""A fresh database in no time: migrated once per process, then copied."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from coscribe.persistence.migrate import migrate


@cache
def _template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="coscribe-migrated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    migrate(folder / "template.db")
    return folder / "template.db"


def fresh_database(path: Path) -> Path:
    """Makes the file ``path``, with the present schema and nothing in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_template(), path)
    return path
