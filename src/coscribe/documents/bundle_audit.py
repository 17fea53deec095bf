"""The audit of a bundle by somebody who has nothing but that, a public key and what they have kept.

    lines --check, order--> head, keys --> ring of keys --signatures--> audit checkpoints, end
                            events     --chain, fold--> == checkpoints
                            entries    --Audit-->  chain, texts, tree   == states, the last checkpoint, what was kept

Lines come in one at a time, findings go out; nothing is read, and only the texts themselves are kept. A line that was
changed is named; if it can still be read it is used, so that what hangs on it does not seem to be wrong as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import NamedTuple

from coscribe.core.errors import CoscribeError
from coscribe.documents.audit import MAX_FINDINGS, Audit, Claim
from coscribe.documents.bundle import (
    FORMAT,
    Begin,
    CheckpointLine,
    End,
    Entry,
    Event,
    Head,
    KeyLine,
    Line,
    RedactionLine,
    State,
    begin_of,
    end_statement,
    entry_of,
    read_line,
)
from coscribe.documents.checkpoints import Checkpoint
from coscribe.documents.proofs import (
    CHECKPOINT_FORMAT,
    AuditCheckpoint,
    Held,
    KeyChange,
    Redaction,
    Ring,
    Verifier,
    break_between,
    fold,
    link_event,
    seals_of,
)
from coscribe.model import GENESIS, File, FileSnapshot, Workspace

_ORDER: tuple[type[Line], ...] = (Head, KeyLine, Begin, RedactionLine, CheckpointLine, Event, Entry, End)
_PLACE = {kind: place for place, kind in enumerate(_ORDER)} | {State: _ORDER.index(Entry)}


class Wrong(NamedTuple):
    """Something is not as it must be: in a line (0: at none), about an entry or not (None)."""

    line: int
    sequence: int | None
    detail: str


class BundleReport(NamedTuple):
    """What a bundle holds, and what is wrong with it: ``total`` findings, of which at most `MAX_FINDINGS` are kept."""

    workspace_id: str
    lines: int
    entries: int
    sequence: int
    pruned: int
    files: int
    states: int
    events: int
    checkpoints: int
    redacted: int
    findings: list[Wrong]
    total: int

    @property
    def clean(self) -> bool:
        return not self.total


class BundleAudit:
    """One audit on its way. ``kept``: the public key that was kept. What else was is held before the first line."""

    def __init__(self, kept: bytes, verifier: Verifier) -> None:
        self._kept = kept
        self._verifier = verifier
        self._outside: list[tuple[AuditCheckpoint, str]] = []
        self._held, self._inside = Held(), Held()
        self._hash, self._lines, self._place = sha256(), 0, -1
        self._head: Head | None = None
        self._changes: list[KeyChange] = []
        self._ring: Ring | None = None
        self._redactions: list[Redaction] = []
        self._checkpoints: list[AuditCheckpoint] = []
        self._begin: Checkpoint | None = None
        self._keys: dict[str, int] = {}
        self._audit: Audit | None = None
        self._told = 0
        self._events = _Events()
        self._sequence = self._states = 0
        self._ended = False
        self.findings: list[Wrong] = []
        self._total = 0

    def hold(self, checkpoint: AuditCheckpoint, source: str) -> None:
        """An audit checkpoint that was kept, and what it is called."""
        self._outside.append((checkpoint, source))
        self._held.hold(checkpoint.sequence, checkpoint.chain_hash, source)

    def hold_entries(self, digests: Mapping[int, str], source: str) -> None:
        """Digests of entries of a bundle that was kept."""
        for sequence, digest in digests.items():
            self._held.hold(sequence, digest, source)

    def take(self, written: bytes) -> None:
        """The next line."""
        self._lines += 1
        line, wrong = read_line(written)
        if wrong:
            self._find(_sequence_of(line), wrong + _named(line))
        if self._ended:
            self._find(None, "it comes behind the end")
        if line is not None:
            self._see(line)
        if not isinstance(line, End):
            self._hash.update(written)

    def finish(self) -> BundleReport:
        """Compares the end with what was promised, and gives the report."""
        line, self._lines = self._lines, 0  # from here on findings are about no line
        head = self._head
        if head is None:
            self._find(None, "it has no head: it is no audit bundle, or its beginning is missing")
            return BundleReport("", line, 0, 0, 0, 0, 0, 0, 0, 0, self.findings, self._total)
        if not self._ended:
            self._find(None, "it ends early: its end is missing")
        self._finish_checkpoints(head)
        entries = files = 0
        if self._audit is not None:
            report = self._audit.finish(rows=False)
            self._tell(self._audit)
            entries, files = report.entries, len(report.files)
        elif self._checkpoints and self._checkpoints[-1].sequence:
            self._find(None, "it has no entries")
        for wrong in self._events.finish():
            self._find(None, wrong)
        for held in (self._inside, self._held):
            parting = held.finish(self._sequence)
            if parting is not None:
                self._find(parting.sequence, parting.detail)
        return BundleReport(
            head.workspace_id,
            line,
            entries,
            self._sequence,
            0 if self._begin is None else self._begin.sequence,
            files,
            self._states,
            self._events.count,
            len(self._checkpoints),
            0 if self._audit is None else self._audit.redacted,
            self.findings,
            self._total,
        )

    # ---- one kind of line each

    def _see(self, line: Line) -> None:
        place = _PLACE[type(line)]
        if self._head is None and not isinstance(line, Head):
            return  # the end says so
        if place < self._place or (self._head is not None and isinstance(line, Head)):
            self._find(_sequence_of(line), "a line of this kind does not belong here")
            return
        self._place = place
        try:
            self._dispatch(line)
        except (ValueError, KeyError, CoscribeError) as error:
            self._find(_sequence_of(line), f"a field is not of the kind it must be: {error}")

    def _dispatch(self, line: Line) -> None:
        if isinstance(line, Head):
            self._see_head(line)
        elif isinstance(line, KeyLine):
            self._changes.append(line.change)
        elif isinstance(line, Begin):
            self._see_begin(line)
        elif isinstance(line, RedactionLine):
            self._see_redaction(line.redaction)
        elif isinstance(line, CheckpointLine):
            self._see_checkpoint(line.checkpoint)
        elif isinstance(line, Event):
            for wrong in self._events.see(line, self._id):
                self._find(None, wrong)
        elif isinstance(line, Entry):
            self._see_entry(line)
        elif isinstance(line, State):
            self._see_state(line)
        else:
            self._see_end(line)

    def _see_head(self, line: Head) -> None:
        self._head = line
        if line.format != FORMAT:
            self._find(None, f"its format is {line.format!r}, this knows {FORMAT!r}")
        for checkpoint, source in self._outside:
            if checkpoint.workspace_id != line.workspace_id:
                self._find(None, f"{source} is about {checkpoint.workspace_id}, the bundle about {line.workspace_id}")

    def _see_begin(self, line: Begin) -> None:
        if self._begin is not None:
            self._find(None, "it begins twice")
            return
        for file in line.files:
            self._key(file.file_id)
        self._begin = begin = begin_of(line, self._id, self._keys)
        wrong = self._trusted.refute(begin.key_id, begin.statement(), begin.signature)
        if wrong:
            self._find(None, f"the checkpoint that the log begins with: {wrong}")
        self._sequence = begin.sequence
        for held in (self._inside, self._held):
            held.pruned(begin.sequence)
            held.entry(begin.sequence, begin.chain_hash)

    def _see_redaction(self, redaction: Redaction) -> None:
        wrong = self._trusted.refute_redaction(redaction)
        if not wrong and redaction.workspace_id != self._id:
            wrong = f"it is about {redaction.workspace_id}"
        if wrong:
            self._find(None, f"the redaction {redaction.redaction_id}: {wrong}")
        else:
            self._redactions.append(redaction)

    def _see_checkpoint(self, checkpoint: AuditCheckpoint) -> None:
        before = self._checkpoints[-1] if self._checkpoints else None
        which = f"audit checkpoint {checkpoint.number}"
        for wrong in (
            break_between(before, checkpoint),
            self._trusted.refute_checkpoint(checkpoint),
            "" if checkpoint.format == CHECKPOINT_FORMAT else f"its format is {checkpoint.format!r}",
            "" if checkpoint.workspace_id == self._id else f"it is about {checkpoint.workspace_id}",
        ):
            if wrong:
                self._find(checkpoint.sequence, f"{which}: {wrong}")
        self._checkpoints.append(checkpoint)
        self._events.expect(checkpoint)
        if self._begin is None or checkpoint.sequence >= self._begin.sequence:
            self._inside.hold(checkpoint.sequence, checkpoint.chain_hash, which)
            if self._begin is not None and checkpoint.sequence == self._begin.sequence:
                self._inside.entry(checkpoint.sequence, self._begin.chain_hash)

    def _see_entry(self, line: Entry) -> None:
        audit, head = self._auditing(), self._head
        if head is not None and head.kind == "document" and line.file_id != head.workspace_id:
            self._find(line.sequence, f"it is about {line.file_id}, but a document has one file")
        entry = entry_of(line, self._key(line.file_id))
        audit.know(File(entry.file_key, line.file_id, ""))
        audit.entry(entry)
        self._tell(audit)
        self._sequence = line.sequence
        for held in (self._inside, self._held):
            held.entry(line.sequence, entry.digest)

    def _see_state(self, line: State) -> None:
        audit = self._auditing()
        key = self._key(line.file_id)
        audit.know(File(key, line.file_id, ""))
        self._states += 1
        snapshot = FileSnapshot(key, line.version, line.sequence, line.content, bytes.fromhex(line.content_hash))
        if line.sequence != self._sequence:
            self._find(line.sequence, "it is about a sequence that the log is not at")
            return
        audit.claim(Claim("state", snapshot))
        self._tell(audit)

    def _see_end(self, line: End) -> None:
        self._ended = True
        if line.lines != self._lines - 1 or line.digest != self._hash.hexdigest():
            self._find(None, "the lines before it are not those that were signed")
        statement = end_statement(self._id, line.lines, line.digest)
        wrong = self._trusted.refute(line.key_id, statement, bytes.fromhex(line.signature))
        if wrong:
            self._find(None, wrong)

    # ---- parts

    @property
    def _id(self) -> str:
        return "" if self._head is None else self._head.workspace_id

    @property
    def _trusted(self) -> Ring:
        if self._ring is None:
            self._ring = Ring(self._kept, self._changes, self._verifier)
            for checkpoint, source in self._outside:
                wrong = self._ring.refute_checkpoint(checkpoint)
                if wrong:
                    self._find(checkpoint.sequence, f"{source}: {wrong}")
        return self._ring

    def _auditing(self) -> Audit:
        """The audit of the log, which begins with its first line."""
        if self._audit is None:
            head, upto = self._head, self._checkpoints[-1] if self._checkpoints else None
            assert head is not None
            root = File(self._key(head.workspace_id), head.workspace_id, "")
            at_begin = () if self._begin is None else self._begin.files
            files = {file.file_key: File(file.file_key, file.file_id, "") for file in at_begin} | {root.key: root}
            last, digest = (0, GENESIS) if upto is None else (upto.sequence, bytes.fromhex(upto.chain_hash))
            workspace = Workspace(
                0, head.workspace_id, "", b"", 0, last, digest, tuple(files.values()), kind=head.kind
            )._replace(folds_case=head.folds_case)
            self._audit = Audit(workspace, begin=self._begin, seals=seals_of(self._redactions))
        return self._audit

    def _key(self, file_id: str) -> int:
        """Files are numbered as they come."""
        return self._keys.setdefault(file_id, len(self._keys) + 1)

    def _finish_checkpoints(self, head: Head) -> None:
        numbered = {checkpoint.number: checkpoint for checkpoint in self._checkpoints}
        for checkpoint, source in self._outside:
            mine = numbered.get(checkpoint.number)
            if mine is not None and mine.digest != checkpoint.digest:
                self._find(None, f"{source}: the bundle has another one of that number: its past was changed")
        upto = self._checkpoints[-1] if self._checkpoints else None
        if upto is None:
            self._find(None, "it has no audit checkpoint")
        elif (head.checkpoint, head.sequence) != (upto.number, upto.sequence):
            self._find(None, f"it should go up to audit checkpoint {head.checkpoint}, and goes up to {upto.number}")
        if self._begin is not None and head.sequence < self._begin.sequence:
            self._find(None, "its log begins behind its last audit checkpoint")

    def _tell(self, audit: Audit) -> None:
        """Findings of the audit of the log that are new."""
        for found in audit.findings[self._told :]:
            self._find(found.sequence, f"{found.detail} ({found.kind})")
        self._told = len(audit.findings)

    def _find(self, sequence: int | None, detail: str) -> None:
        self._total += 1
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Wrong(self._lines, sequence, detail))


class _Events:
    """The access events, held to what the checkpoints say of them."""

    def __init__(self) -> None:
        self.count = 0
        self._fold = GENESIS
        self._last = 0
        self._digest = GENESIS
        self._expected: list[AuditCheckpoint] = []

    def expect(self, checkpoint: AuditCheckpoint) -> None:
        self._expected.append(checkpoint)

    def see(self, line: Event, workspace_id: str) -> Iterator[str]:
        """The next event; what is wrong."""
        yield from self._meet(line.event_id)
        previous, digest = bytes.fromhex(line.previous), bytes.fromhex(line.digest)
        if line.event_id <= self._last:
            yield f"access event {line.event_id} comes behind {self._last}"
        if line.workspace_id != workspace_id:
            yield f"access event {line.event_id} is about {line.workspace_id}"
        if link_event(previous, line.stored()) != digest or (
            line.event_id == self._last + 1 and previous != self._digest
        ):
            yield f"access event {line.event_id} does not fit its digest: it is not what was recorded"
        self.count += 1
        self._fold = fold(self._fold, [digest])
        self._last, self._digest = line.event_id, digest

    def finish(self) -> Iterator[str]:
        return self._meet(2**63)

    def _meet(self, event_id: int) -> Iterator[str]:
        """Compares with the checkpoints before an event."""
        while self._expected and self._expected[0].event < event_id:
            checkpoint = self._expected.pop(0)
            same = (checkpoint.own_events, checkpoint.own_digest) == (self.count, self._fold.hex())
            if not same or (checkpoint.event == self._last and checkpoint.event_digest != self._digest.hex()):
                yield f"audit checkpoint {checkpoint.number}: the access events before it are others than it says"


def audit_bundle(audit: BundleAudit, lines: Iterable[bytes]) -> BundleReport:
    """A whole bundle."""
    for line in lines:
        audit.take(line)
    return audit.finish()


def digests_of(lines: Iterable[bytes]) -> tuple[list[AuditCheckpoint], dict[int, str]]:
    """The audit checkpoints of a bundle that was kept, and the digests of its entries by sequence."""
    checkpoints: list[AuditCheckpoint] = []
    digests: dict[int, str] = {}
    for written in lines:
        line, _ = read_line(written)
        if isinstance(line, CheckpointLine):
            checkpoints.append(line.checkpoint)
        elif isinstance(line, Entry):
            digests[line.sequence] = line.digest
    return checkpoints, digests


def _sequence_of(line: Line | None) -> int | None:
    return line.sequence if isinstance(line, Entry | State) else None


def _named(line: Line | None) -> str:
    """What a line is about, where that is not an entry."""
    if isinstance(line, Event):
        return f" (access event {line.event_id})"
    return f" (audit checkpoint {line.checkpoint.number})" if isinstance(line, CheckpointLine) else ""
