"""Audits of all that is stored: the logs, their snapshots and, where asked for, what a server shows of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from sqlalchemy import func, select

from coscribe.access.auditing import changes_of, is_recorded, redactions_of, refute_events, stored
from coscribe.access.events import check
from coscribe.cli.common import err, fail, token_for
from coscribe.cli.keeping import KeptAll, read_key
from coscribe.cli.store import Store, find, reading
from coscribe.config import Settings
from coscribe.core.errors import CoscribeError
from coscribe.documents.audit import Claim, FileReport, Finding, Report, audit
from coscribe.documents.blame import Attribution, Ledger
from coscribe.documents.checkpoints import Checkpoint
from coscribe.documents.ports import StorageError
from coscribe.documents.proofs import AuditCheckpoint, Held, Redaction, Ring, break_between, seals_of
from coscribe.model import FileSnapshot, LogEntry, Workspace, content_hash
from coscribe.persistence.blobs import State, state_of
from coscribe.persistence.postgres_blobs import state_in
from coscribe.persistence.schema import access_events
from coscribe.persistence.segments import unpack
from coscribe.persistence.signing import has_signed, public_key
from coscribe.persistence.stored import StoredLog

MAX_BROKEN = 20
"""Broken places that are named."""

UNSIGNED = "there is no key to check its signature with; give --key, or put checkpoint.key back"

SNAPSHOT = "snapshot"
LIVE = "live text"
"""The sources of claims."""


class Place(msgspec.Struct):
    """A finding as it is shown; ``kind`` and ``sequence`` are those of `Finding`, or ``segment``: which files one holds
    is kept wrongly; or ``storage``: the database gave up."""

    kind: str
    sequence: int | None
    detail: str


class Verdict(msgspec.Struct, rename="camel"):
    """What is to say about one file. ``snapshots`` that were compared, ``live``: whether the live text was too.

    ``history_pruned``: so many entries are not there any more, a checkpoint is in their place. ``checkpoints``: audit
    checkpoints that its log was compared with, stored and kept ones. ``redacted``: entries of the workspace that have
    another text than was committed.

    ``more`` findings in its workspace are only counted. ``file`` is empty where not even the files could be read.
    """

    workspace: str
    file: str
    clean: bool
    entries: int
    version: int
    snapshots: int
    live: bool
    findings: list[Place]
    more: int
    history_pruned: int = 0
    checkpoints: int = 0
    redacted: int = 0


class Events(msgspec.Struct):
    """What is to say about the access events: ``broken`` are the first ids at which the chain does not fit,
    ``unreadable`` is why they could not be read."""

    clean: bool
    count: int
    broken: list[int]
    unreadable: str = ""


def verify_events(store: Store) -> Events:
    """Recomputes the chain of access events. Ends with advice where the store cannot be read."""
    try:
        with reading(store) as log:
            count = log.connection.execute(select(func.count()).select_from(access_events)).scalar_one()
            broken = list(islice(check(log.connection), MAX_BROKEN))
    except StorageError as error:
        return Events(False, 0, [], str(error))
    return Events(not broken, count, broken)


def verify_store(
    store: Store,
    names: Sequence[str] = (),
    server: str = "",
    token: str = "",
    key: str = "",
    kept: KeptAll | None = None,
    lacking: Collection[str] = (),
) -> list[Verdict]:
    """Audits the workspaces of the named files (none: all; with ``kept`` those that it is about). ``key``: the public
    one that checkpoints are signed with, see `read_key`; "": the folder's. ``kept``: audit checkpoints that the logs
    are held to. ``lacking``: blobs that are known to be missing, which is not told again. Ends with advice where
    something cannot be reached."""
    public = _public_key(store.folder, key)
    kept = kept or KeptAll([], [])
    names = names or [item.checkpoint.workspace_id for item in kept.checkpoints]
    live: dict[str, FileSnapshot] = {}
    try:
        if server:
            # Asked before the log is read: whatever a server shows is on disk by then.
            with reading(store) as log:
                wanted = [file.file_id for workspace in _chosen(log, names) for file in workspace.files]
            live = asyncio.run(_live_texts(server, token_for(store.folder, token, "viewer"), wanted))
        with reading(store) as log:
            workspaces = _chosen(log, names)
            blobs = Blobs(_states(store, log), lacking)
            ring = None if public is None else Ring(public, changes_of(log.connection), has_signed)
            with _progress() as progress:
                task = progress.add_task("verifying", total=sum(workspace.last_sequence for workspace in workspaces))
                told = lambda done: progress.advance(task, done)  # noqa: E731
                audited = [_audit(log, at, live, ring, kept, blobs, told) for at in workspaces]
                gone = [at.pruned.sequence for at in workspaces]
    except StorageError as error:
        finding = Place("storage", None, f"the database cannot be read: {error}")
        return [Verdict(str(store), "", False, 0, 0, 0, False, [finding], 0)]
    return [
        _verdict(workspace, report, file, pruned, checkpoints)
        for workspace, (report, checkpoints), pruned in zip(workspaces, audited, gone, strict=True)
        for file in report.files
    ]


def _verdict(workspace: Workspace, report: Report, file: FileReport, pruned: int, checkpoints: int) -> Verdict:
    """Findings about the workspace as a whole are findings about each of its files."""
    findings = [
        Place(found.kind, found.sequence, found.detail)
        for found in report.findings
        if found.file_key in (None, file.file.key)
    ]
    more = report.total - len(report.findings)
    snapshots, live = file.compared.get(SNAPSHOT, 0), LIVE in file.compared
    return Verdict(
        workspace.workspace_id,
        file.file.file_id,
        not findings and not more,
        file.entries,
        file.version,
        snapshots,
        live,
        findings,
        more,
        pruned,
        checkpoints,
        report.redacted,
    )


def _chosen(log: StoredLog, names: Sequence[str]) -> list[Workspace]:
    stored = log.workspaces()
    if not names:
        return stored
    return list({workspace.key: workspace for workspace, _ in (find(stored, name) for name in names)}.values())


def _audit(
    log: StoredLog,
    workspace: Workspace,
    live: dict[str, FileSnapshot],
    ring: Ring | None,
    kept: KeptAll,
    blobs: Blobs,
    progress: Callable[[int], None],
) -> tuple[Report, int]:
    """What is found in a log, and how many audit checkpoints it was held to."""
    claims = [Claim(SNAPSHOT, found) for file in workspace.files for found in log.snapshots(file.key)]
    for file in workspace.files:
        if file.file_id in live:
            claims.append(Claim(LIVE, live[file.file_id]._replace(file_key=file.key)))
    begin = log.checkpoint(workspace.key)
    try:
        wrong = _wrong_with(log, workspace, begin, ring) if begin is not None else []
    except (TypeError, ValueError, CoscribeError) as error:
        wrong = [f"it cannot be read: {error}"]
    findings = [Finding("checkpoint", None, None, f"the checkpoint: {what}") for what in wrong]
    findings += [
        Finding("segment", first, None, "its segment holds other files than is kept of it")
        for first in log.wrongly_listed(workspace.key)
    ]
    # Apart: that the log agrees with what is stored beside it does not narrow down where it left what was kept.
    inside, outside = Held(), Held()
    signed, count = _hold(log, workspace, ring, kept, inside, outside)
    findings += signed
    if begin is not None:
        for held in (inside, outside):
            held.pruned(begin.sequence)
            held.entry(begin.sequence, begin.chain_hash)
    redacted, unsaid = _redactions(log, workspace, ring)
    findings += unsaid
    entries = _compared(log.entries(workspace.key), inside, outside)
    report = audit(workspace, entries, claims, progress, begin, seals_of(redacted))
    for held in (inside, outside):
        parting = held.finish(workspace.last_sequence)
        if parting is not None:
            findings.append(Finding("fork", parting.sequence, None, parting.detail))
    findings += _wrong_blobs(log, workspace, report, blobs)
    return report._replace(findings=findings + report.findings, total=len(findings) + report.total), count


def _compared(entries: Iterator[LogEntry], *all_held: Held) -> Iterator[LogEntry]:
    for entry in entries:
        for held in all_held:
            held.entry(entry.sequence, entry.digest)
        yield entry


def _hold(
    log: StoredLog,
    workspace: Workspace,
    ring: Ring | None,
    kept: KeptAll,
    inside: Held,
    outside: Held,
) -> tuple[list[Finding], int]:
    """Holds a log to its audit checkpoints, those stored ``inside`` and those that were kept ``outside``. What is wrong
    with those themselves and with what they say of the access events, and how many there are."""
    findings: list[Finding] = []

    def find(checkpoint: AuditCheckpoint, which: str, wrong: str) -> None:
        if wrong:
            findings.append(Finding("audit_checkpoint", checkpoint.sequence, None, f"{which}: {wrong}"))

    connection = log.connection
    try:
        mine = stored(connection, workspace.key)
    except CoscribeError as error:
        return [Finding("audit_checkpoint", None, None, error.detail)], 0
    all_of_them: list[tuple[AuditCheckpoint, str]] = []
    for before, checkpoint in zip([None, *mine], mine, strict=False):
        which = f"audit checkpoint {checkpoint.number}"
        find(checkpoint, which, break_between(before, checkpoint))
        all_of_them.append((checkpoint, which))
    numbered = {checkpoint.number: checkpoint.digest for checkpoint in mine}
    for item in kept.checkpoints:
        checkpoint, which = item.checkpoint, item.name
        if checkpoint.workspace_id != workspace.workspace_id:
            continue
        if numbered.get(checkpoint.number) != checkpoint.digest:
            other = "no such one" if checkpoint.number not in numbered else "another one of that number"
            find(checkpoint, which, f"the database has {other}: its past was changed")
        all_of_them.append((checkpoint, which))
    for source, workspace_id, digests in kept.entries:
        if workspace_id == workspace.workspace_id:
            for sequence, digest in digests.items():
                outside.hold(sequence, digest, source)
    names = {id(checkpoint): which for checkpoint, which in all_of_them}
    for at, (checkpoint, which) in enumerate(all_of_them):
        held = inside if at < len(mine) else outside
        find(checkpoint, which, UNSIGNED if ring is None else ring.refute_checkpoint(checkpoint))
        held.hold(checkpoint.sequence, checkpoint.chain_hash, which)
    by_event = sorted((checkpoint for checkpoint, _ in all_of_them), key=lambda found: found.event)
    for checkpoint, wrong in refute_events(connection, workspace.workspace_id, by_event):
        find(checkpoint, names[id(checkpoint)], wrong)
    return findings, len(all_of_them)


def _redactions(log: StoredLog, workspace: Workspace, ring: Ring | None) -> tuple[list[Redaction], list[Finding]]:
    """The redactions of a log that count, and what is wrong with the others."""
    connection = log.connection
    try:
        found = redactions_of(connection, workspace.key)
    except CoscribeError as error:
        return [], [Finding("redaction", None, None, error.detail)]
    good: list[Redaction] = []
    findings: list[Finding] = []
    for redaction in found:
        wrong = UNSIGNED if ring is None else ring.refute_redaction(redaction)
        if not wrong and redaction.workspace_id != workspace.workspace_id:
            wrong = f"it is about {redaction.workspace_id}"
        if not wrong and not is_recorded(connection, redaction):
            wrong = "it is not among the access events"
        if wrong:
            findings.append(Finding("redaction", None, None, f"the redaction {redaction.redaction_id}: {wrong}"))
        else:
            good.append(redaction)
    return good, findings


def _wrong_blobs(log: StoredLog, workspace: Workspace, report: Report, blobs: Blobs) -> Iterator[Finding]:
    """Contents that the log refers to and that are not there whole, or of which the rows do not know."""
    keys = {file.file_id: file.key for file in workspace.files}
    rows = {(use.file_id, use.blob.digest) for use in log.uses(workspace.key)}
    for (file_id, digest), sequence in report.blobs.items():
        state = blobs.state(digest)
        if state != "good":
            yield Finding("blob", sequence, keys.get(file_id), f"the content {digest} is {state}")
        if (file_id, digest) not in rows:
            yield Finding("blob", sequence, keys.get(file_id), f"the rows do not know of the content {digest}")
    for file_id, digest in sorted(rows - report.blobs.keys()):
        yield Finding("blob", None, keys[file_id], f"the rows know of a content that the log does not: {digest}")


def _states(store: Store, log: StoredLog) -> Callable[[str], State]:
    """How a blob is, wherever they are."""
    if store.url:
        return partial(state_in, log.connection)
    return partial(state_of, Settings(folder=store.folder).blobs)


class Blobs:
    """Each read once, by ``state_of``. ``lacking``: those of which it is known that they are not whole."""

    def __init__(self, state_of: Callable[[str], State], lacking: Collection[str]) -> None:
        self._state_of = state_of
        self._states: dict[str, State] = dict.fromkeys(lacking, "good")

    def state(self, digest: str) -> State:
        if digest not in self._states:
            self._states[digest] = self._state_of(digest)
        return self._states[digest]


def _wrong_with(log: StoredLog, workspace: Workspace, begin: Checkpoint, ring: Ring | None) -> list[str]:
    """What is wrong with the checkpoint of a log that was pruned, and with the ids that are kept of what is gone."""
    wrong: list[str] = []
    if ring is None:
        wrong.append(UNSIGNED)
    elif unsigned := ring.refute(begin.key_id, begin.statement(), begin.signature):
        wrong.append(unsigned)
    if {file.file_key for file in begin.files} != {file.key for file in workspace.files}:
        wrong.append("it is about other files")
    for file in begin.files:
        if Attribution.load(file.attribution, file.version, begin.sequence, Ledger()).length != len(file.content):
            wrong.append("who wrote its text does not fit the text")
    # Where ids were forgotten, those of versions from the horizon on are known.
    last = None if any(file.horizon for file in begin.files) else 0
    for packed in log.remembered(workspace.key):
        ids = unpack(packed)
        if last not in (None, ids[0].sequence - 1):
            wrong.append(f"ids before sequence {ids[0].sequence} are missing")
        last = ids[-1].sequence
    if last != begin.sequence and (last is not None or any(file.horizon <= file.version for file in begin.files)):
        wrong.append("the ids of what was pruned are missing")
    return wrong


def _public_key(folder: Path, key: str) -> bytes | None:
    if key:
        return read_key(key)
    try:
        found = public_key(folder)
    except (OSError, ValueError) as error:
        fail(f"the key of the checkpoints cannot be read: {error}", "`coscribe audit key` prints it: 64 hex digits.")
    return None if found is None else bytes.fromhex(found.hex)


async def _live_texts(server: str, token: str, file_ids: Sequence[str]) -> dict[str, FileSnapshot]:
    """What the server shows of each file; the key of the file is not known to it."""
    from coscribe.cli.live import connected, open_live

    texts: dict[str, FileSnapshot] = {}
    async with connected(server, token) as client:
        for file_id in file_ids:
            document = await open_live(client, file_id, server)
            text = document.text
            texts[file_id] = FileSnapshot(0, document.version, document.sequence, text, content_hash(text))
            await document.close()
    return texts


def _progress() -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
