"""After the week: is the past still what it was? An ordinary server on the folder, compared with the journal."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from coscribe.app import Coscribe
from coscribe.cli.store import Store
from coscribe.cli.vacuuming import Vacuumed, vacuum_folder
from coscribe.cli.verifying import verify_store
from coscribe.documents.history import History
from coscribe.model import Workspace
from coscribe.persistence.closed_log import last_closed
from coscribe.persistence.sqlite import connect
from coscribe.persistence.stored import stored_in
from coscribe.protocol import codec, messages
from tests.documents.test_recovery import server
from tests.soak.journal import Journal, Moment, line_of, past_of, some
from tests.soak.office import identity_of
from tests.soak.people import require

MOMENTS = 4
"""Versions of each file at which text and authors are asked for, beside the present one."""

AUDITOR = identity_of("auditor")


class Past(NamedTuple):
    """What was compared, and found equal. ``resent_closed``: those of the resent that lie in segments."""

    entries: int
    closed_entries: int
    seen: int
    texts: int
    blamed: int
    resent: int
    resent_closed: int
    restored: int


class Known(NamedTuple):
    """What the oracle knows of a file."""

    workspace: Workspace
    closed: int
    moments: dict[int, Moment]
    present: int


async def look_back(folder: Path, journal: Journal, seed: int) -> Past:
    """Raises Broken."""
    rng = random.Random(seed)
    entries = _same_logs(folder, journal)
    seen = journal.texts()
    with closing(connect(folder / "coscribe.db", read_only=True)) as db:
        known = [_known(db, journal, workspace, seen.get(workspace.workspace_id, {}), rng) for workspace in _all(db)]
    async with server(folder) as coscribe:
        texts = blamed = 0
        for file in known:
            texts += await _texts(coscribe, file)
            blamed += await _blame(coscribe, file)
        resent, resent_closed = await _resend(coscribe, journal, known)
        restored = 0
        for file in known[:5]:
            restored += await _restore(coscribe, file)
    closed = sum(file.closed for file in known)
    return Past(entries, closed, sum(map(len, seen.values())), texts, blamed, resent, resent_closed, restored)


def verified(folder: Path) -> int:
    """How many files `coscribe verify` finds clean. Raises Broken."""
    verdicts = verify_store(Store(folder))
    for verdict in verdicts:
        require(verdict.clean, f"{verdict.file}: {verdict.findings[:3]}")
    return len(verdicts)


def vacuumed(folder: Path) -> Vacuumed:
    """`coscribe vacuum`, and nobody can tell by the log. Raises Broken."""
    before = _digest(folder)
    done = vacuum_folder(folder)
    require(not done.left, f"not everything could be compressed: {done.left}")
    require(_digest(folder) == before, "the log is another one after coscribe vacuum")
    return done


def _all(db: sqlite3.Connection) -> list[Workspace]:
    return stored_in(db).workspaces()


def _same_logs(folder: Path, journal: Journal) -> int:
    """Every entry is what was handed to the disk, byte for byte."""
    count = 0
    with closing(connect(folder / "coscribe.db", read_only=True)) as db:
        for workspace in _all(db):
            with journal.log(workspace.key).open("rb") as lines:
                for number, (line, entry) in enumerate(zip_longest(lines, stored_in(db).entries(workspace.key)), 1):
                    same = line is not None and entry is not None and line_of(entry) == line
                    require(same, f"{workspace.workspace_id}: entry {number} is not what was written")
                    count += 1
    return count


def _digest(folder: Path) -> bytes:
    digest = sha256()
    with closing(connect(folder / "coscribe.db", read_only=True)) as db:
        for workspace in _all(db):
            for entry in stored_in(db).entries(workspace.key):
                digest.update(line_of(entry))
    return digest.digest()


def _known(
    db: sqlite3.Connection, journal: Journal, workspace: Workspace, seen: dict[int, str], rng: random.Random
) -> Known:
    """Plays the whole past; what was seen must have been there."""
    wanted = set(some(rng, sorted(seen), MOMENTS))
    moments: dict[int, Moment] = {}
    present = 0
    for version, moment in past_of(journal.entries(workspace.key), set(seen)):
        if version in seen:
            require(moment.text == seen[version], f"{workspace.workspace_id}: another text was seen at {version}")
        if version in wanted:
            moments[version] = moment
        present = version
    moments[present] = moment
    return Known(workspace, stored_in(db).run(last_closed(workspace.key)), moments, present)


async def _texts(coscribe: Coscribe, file: Known) -> int:
    name = file.workspace.workspace_id
    for version, moment in file.moments.items():
        shown = await coscribe.collaboration.text(AUDITOR, name, version)
        require((shown.text, shown.version) == (moment.text, version), f"{name} was another text at {version}")
    return len(file.moments)


async def _blame(coscribe: Coscribe, file: Known) -> int:
    name = file.workspace.workspace_id
    history = History(coscribe.collaboration, coscribe.storage)
    for version, moment in file.moments.items():
        blame = await history.blame(AUDITOR, name, version)
        authors = [run.author_ref for run in blame.runs for _ in range(run.length)]
        require(authors == moment.authors, f"{name} was written by others at {version}")
    return len(file.moments)


async def _resend(coscribe: Coscribe, journal: Journal, known: list[Known]) -> tuple[int, int]:
    """Messages of the whole week again: each has its places of then, and nothing is written."""
    closed = {file.workspace.workspace_id: file.closed for file in known}
    sent = [(who, codec.decode_client(message)) for who, message in journal.messages()]
    wanted = {place for _, message in sent for place in _ids(message)}
    places = {
        entry.operation_id: messages.Place(entry.operation_id, entry.sequence, entry.version)
        for file in known
        for entry in journal.entries(file.workspace.key)
        if entry.operation_id in wanted
    }
    resent = resent_closed = 0
    for who, message in sent:
        if not isinstance(message, messages.Operation | messages.Chain) or _ids(message)[0] not in places:
            continue
        acknowledged = await coscribe.collaboration.edit(identity_of(who), message)
        require(acknowledged == [places[name] for name in _ids(message)], f"{_ids(message)} has another place now")
        resent += 1
        resent_closed += acknowledged[-1].server_sequence_id <= closed[message.file_id]
    for file in known:
        at = await coscribe.collaboration.durable(AUDITOR, file.workspace.workspace_id)
        require(at.sequence == file.workspace.last_sequence, "something was committed twice")
    return resent, resent_closed


async def _restore(coscribe: Coscribe, file: Known) -> int:
    """An old text becomes the present one, and what was before that is undone with it."""
    name, version = file.workspace.workspace_id, min(file.moments)
    await coscribe.collaboration.restore(AUDITOR, name, version, f"audit-{name}:1")
    shown = await coscribe.collaboration.text(AUDITOR, name)
    require(shown.text == file.moments[version].text, f"{name} was not restored to {version}")
    return 1


def _ids(message: messages.ClientMessage) -> list[str]:
    if isinstance(message, messages.Operation):
        return [message.operation_id]
    return [element.operation_id for element in message.operations] if isinstance(message, messages.Chain) else []
