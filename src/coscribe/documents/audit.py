"""The audit of a workspace: is its log whole and unchanged, and does it lead to every text that somebody was shown?

    log entries, in order --link--> chain hash, entry by entry        == digest of each entry, head of the workspace
                          --core--> text and version of every file    == snapshots, live texts (`Claim`)

Nothing is read or printed here: entries and claims come in, findings go out. After an entry that cannot be replayed
the text of its file is unknown, so what claims say after it is left open, and counted as not checked.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from coscribe.core.op_window import Committed
from coscribe.core.operation import reach
from coscribe.core.text_buffer import TextBuffer
from coscribe.model import GENESIS, File, FileSnapshot, LogEntry, Workspace, committed_from, content_hash, link

MAX_FINDINGS = 50
"""Findings of one workspace that are kept; the rest is only counted."""

PROGRESS_EVERY = 1_024
"""Entries between two calls of ``progress``."""


class Claim(NamedTuple):
    """Somebody says that a file had this content at this version and sequence. ``source``: who, for people to read."""

    source: str
    snapshot: FileSnapshot


class Finding(NamedTuple):
    """Something is not as it must be. ``kind`` is stable; ``sequence`` says where, None: not at any one entry.

    Kinds: ``gap``, ``chain``, ``duplicate_id``, ``unknown_file``, ``malformed``, ``payload``, ``position``,
    ``deleted_text``, ``version``, ``base_version``, ``claim``, ``head``.
    """

    kind: str
    sequence: int | None
    detail: str


class Report(NamedTuple):
    """What an audit found. ``versions``: the version each file came to, by its key. ``claims`` were compared.

    ``total`` is the number of findings; at most `MAX_FINDINGS` of them are in ``findings``.
    """

    entries: int
    versions: dict[int, int]
    claims: int
    findings: list[Finding]
    total: int

    @property
    def clean(self) -> bool:
        return not self.total


class _Unreplayable(Exception):
    """An entry does not fit the text that the entries before it lead to: kind and detail of the finding."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail


class _FileReplay:
    """One file on its way through the log. ``known``: whether its text is still certain."""

    def __init__(self, file: File) -> None:
        self.file_id = file.file_id
        self.file_id_bytes = file.file_id.encode()
        self.text = TextBuffer()
        self.version = 0
        self.known = True

    def step(self, entry: LogEntry) -> None:
        """Applies an entry. Raises _Unreplayable."""
        try:
            committed: Committed = committed_from(entry)
        except ValueError as error:
            raise _Unreplayable("payload", f"the payload cannot be read: {error}") from None
        expected = self.version + committed.changed
        if entry.version != expected:
            raise _Unreplayable("version", f"version {entry.version}, but the text is at version {expected} after it")
        if not 0 <= entry.base_version <= self.version:
            raise _Unreplayable(
                "base_version", f"made on version {entry.base_version}, but the file was at {self.version}"
            )
        if committed.changed:
            beyond = reach(committed.operation) - len(self.text)
            if beyond > 0:
                raise _Unreplayable("position", f"reaches {beyond} code points past the end of the text")
            if self.text.apply(committed.operation) != committed.removed:
                raise _Unreplayable("deleted_text", "the text it says it deleted is not the text that was there")
        self.version = entry.version

    def refute(self, claim: Claim) -> str:
        """What a claim about this very moment has wrong; empty if it is right."""
        snapshot = claim.snapshot
        if snapshot.version != self.version:
            return f"says version {snapshot.version}, the log says {self.version}"
        text = str(self.text)
        if snapshot.content != text:
            return f"holds another text than the log leads to ({_first_difference(snapshot.content, text)})"
        return ""


class _Audit:
    """The state of one audit."""

    def __init__(self, workspace: Workspace, claims: Sequence[Claim]) -> None:
        self._workspace = workspace
        self._files = {file.key: _FileReplay(file) for file in workspace.files}
        self._claims: dict[int, list[Claim]] = {}
        self._ids: set[str] = set()
        self._findings: list[Finding] = []
        self._count = 0
        self._compared = 0
        self._entries = 0
        self._sequence = 0
        self._digest = GENESIS
        for claim in claims:
            self._take_claim(claim)
        self._compare_claims()

    def entry(self, entry: LogEntry) -> None:
        """The next entry of the log."""
        self._entries += 1
        try:
            self._check(entry)
        except (TypeError, AttributeError, OverflowError, struct.error) as error:
            # SQLite stores what it is given: somebody who edits rows by hand can leave a text where a number belongs.
            self._find("malformed", entry.sequence, f"a field is not of the kind it must be: {error}")
            self._lose_track()
        self._sequence = entry.sequence
        self._digest = entry.digest
        if self._sequence in self._claims:
            self._compare_claims()

    def finish(self) -> Report:
        """Compares the end of the log with the head, and gives the report."""
        workspace = self._workspace
        if workspace.last_sequence != self._sequence:
            self._find(
                "head", None, f"the head says sequence {workspace.last_sequence}, the log ends at {self._sequence}"
            )
        elif workspace.chain_hash != self._digest:
            self._find("head", None, "the head's chain hash is not that of the last entry")
        for sequence, claims in sorted(self._claims.items()):
            for claim in claims:
                self._find("claim", sequence, f"{claim.source}: the log has no such sequence")
        versions = {key: replay.version for key, replay in self._files.items()}
        return Report(self._entries, versions, self._compared, self._findings, self._count)

    def _take_claim(self, claim: Claim) -> None:
        snapshot = claim.snapshot
        if content_hash(snapshot.content) != snapshot.content_hash:
            self._find("claim", snapshot.sequence, f"{claim.source}: its content does not have its content hash")
        self._claims.setdefault(snapshot.sequence, []).append(claim)

    def _check(self, entry: LogEntry) -> None:
        follows = entry.sequence == self._sequence + 1
        if not follows:
            self._find("gap", entry.sequence, f"{_missing(self._sequence, entry.sequence)} before it")
            self._lose_track()
        if entry.operation_id in self._ids:
            self._find("duplicate_id", entry.sequence, f"the operation id {entry.operation_id} is in the log before")
        self._ids.add(entry.operation_id)
        file = self._files.get(entry.file_key)
        if file is None:
            self._find("unknown_file", entry.sequence, f"the workspace has no file with the key {entry.file_key}")
        else:
            self._check_chain(entry, file, follows)
            self._replay(entry, file)

    def _lose_track(self) -> None:
        """An entry is missing or means nothing: whichever file it was of, its text is not certain any more."""
        for replay in self._files.values():
            replay.known = False

    def _check_chain(self, entry: LogEntry, file: _FileReplay, follows: bool) -> None:
        digest = link(
            self._digest,
            entry.sequence,
            entry.version,
            entry.base_version,
            entry.author_ref,
            entry.time,
            file.file_id_bytes,
            entry.operation_id.encode(),
            entry.salt,
            entry.payload,
        )
        # Behind a gap the digest before it is not known, so this entry's cannot be recomputed.
        if follows and digest != entry.digest:
            self._find("chain", entry.sequence, "its hash does not fit what it says, or the entry before it")

    def _replay(self, entry: LogEntry, file: _FileReplay) -> None:
        if not file.known:
            return
        try:
            file.step(entry)
        except _Unreplayable as error:
            file.known = False
            self._find(error.kind, entry.sequence, error.detail)

    def _compare_claims(self) -> None:
        """The claims about the sequence that the log is at."""
        for claim in self._claims.pop(self._sequence, ()):
            file = self._files.get(claim.snapshot.file_key)
            if file is None:
                self._find("claim", self._sequence, f"{claim.source}: of a file that the workspace does not have")
            elif file.known:
                self._compared += 1
                wrong = file.refute(claim)
                if wrong:
                    self._find("claim", self._sequence, f"{claim.source}: {wrong}")

    def _find(self, kind: str, sequence: int | None, detail: str) -> None:
        self._count += 1
        if len(self._findings) < MAX_FINDINGS:
            self._findings.append(Finding(kind, sequence, detail))


def audit(
    workspace: Workspace,
    entries: Iterable[LogEntry],
    claims: Sequence[Claim] = (),
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Audits a whole log, from its first entry to the last. ``progress`` is told how many more entries are done.

    ``workspace`` is what its rows say; ``epoch``, ``incarnation`` and ``secret`` are not looked at.
    """
    state = _Audit(workspace, claims)
    told = 0
    for done, entry in enumerate(entries, 1):
        state.entry(entry)
        if progress is not None and not done % PROGRESS_EVERY:
            progress(done - told)
            told = done
    return state.finish()


def _missing(before: int, after: int) -> str:
    if after <= before:
        return f"sequence {before} comes"
    if after == before + 2:
        return f"the entry {before + 1} is missing"
    return f"the entries {before + 1} to {after - 1} are missing"


def _first_difference(claimed: str, replayed: str) -> str:
    """Where two texts part, for people."""
    pairs = enumerate(zip(claimed, replayed, strict=False))
    position = next((at for at, (one, other) in pairs if one != other), min(len(claimed), len(replayed)))
    return f"first at {position}; {len(claimed)} code points, not {len(replayed)}"
