"""Planted bugs: a cluster with one thing wrong in it, which a short run has to notice: python -m tests.cluster --bugs

The instances run a copy of the package in which a piece of the source is another one.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.cluster.machine import SOURCE
from tests.cluster.outcome import Wanted
from tests.cluster.run import run


class Bug(NamedTuple):
    """``path``: of the module in the package. ``right`` is in it once, and is replaced by ``wrong``."""

    path: str
    right: str
    wrong: str


_APPEND = "return await self._appending.run(lambda connection: _append_all(connection, appends, self._ceilings))"

BUGS = {
    "acknowledged before it is written": Bug(
        "persistence/postgres.py",
        f"        {_APPEND}\n",
        "        async def late() -> None:\n"
        "            await asyncio.sleep(0.5)\n"
        "            await self._appending.run(lambda connection: _append_all(connection, appends, self._ceilings))\n\n"
        "        self.__dict__.setdefault('tasks', []).append(asyncio.ensure_future(late()))\n"
        "        return [AppendResult.COMMITTED for _ in appends]\n",
    ),
    "one in fifty appends is not written": Bug(
        "persistence/postgres.py",
        f"        {_APPEND}\n",
        "        self.__dict__['number'] = self.__dict__.get('number', 0) + 1\n"
        "        if appends and self.__dict__['number'] % 50 == 0:\n"
        "            return [AppendResult.COMMITTED for _ in appends]\n"
        f"        {_APPEND}\n",
    ),
    "snapshots lack their last character": Bug(
        "persistence/stepped.py",
        "        await self._write(logs.save(snapshot, keep))\n",
        "        from hashlib import sha256\n"
        "        less = snapshot.content[:-1]\n"
        "        wrong = snapshot._replace(content=less, content_hash=sha256(less.encode()).digest())\n"
        "        await self._write(logs.save(wrong, keep))\n",
    ),
}

SMALL = Wanted(
    documents=60,
    sockets=24,
    cores=2,
    gateways=1,
    workspaces=0,
    rate=100.0,
    visits=4.0,
    only=("core killed",),
    rounds=2,
    breath=1.0,
)


@contextmanager
def planted(bug: Bug) -> Iterator[Path]:
    """The folder of a copy of the package that has the bug."""
    with tempfile.TemporaryDirectory(prefix="coscribe-planted-") as place:
        source = Path(shutil.copytree(SOURCE, Path(place, "src"), ignore=shutil.ignore_patterns("__pycache__")))
        module = source / "coscribe" / bug.path
        text = module.read_text()
        assert text.count(bug.right) == 1, f"{bug.path} has changed: there is nothing to plant this bug in"
        module.write_text(text.replace(bug.right, bug.wrong))
        yield source


def look_for_bugs() -> int:
    """The exit code: 1 where one was not noticed."""
    missed = 0
    for name, bug in BUGS.items():
        with planted(bug) as source:
            outcome = run(SMALL, lambda _: None, source=source)
        missed += not outcome.violations
        print(f"{name:40} {outcome.violations[0][:110] if outcome.violations else 'NOT NOTICED'}", flush=True)
    print(f"cluster: {len(BUGS) - missed} of {len(BUGS)} planted bugs found")
    return 1 if missed else 0
