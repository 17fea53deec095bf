"""The audit of a workspace: is its log whole and unchanged, and does it lead to every text that somebody was shown?
A log that was pruned begins with its checkpoint; whether that is genuine is for the caller to know.

    log entries, in order --link--> chain hash, entry by entry        == digest of each entry, head of the workspace
                          --core--> text and version of every file    == snapshots, live texts (`Claim`)
                                    the tree                          == its snapshots, the rows of its files

Nothing is read or printed here: entries and claims come in, findings go out. After an entry that cannot be replayed
the text of its file is unknown, so what claims say after it is left open: they are not counted as compared.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from coscribe.core.errors import CoscribeError
from coscribe.core.operation import Delete
from coscribe.core.text_buffer import TextBuffer
from coscribe.core.tree import Tree
from coscribe.documents.checkpoints import Checkpoint, FileAtCheckpoint
from coscribe.model import (
    GENESIS,
    SEAL_BYTES,
    TOMBSTONE_BYTES,
    File,
    FileSnapshot,
    LogEntry,
    Workspace,
    content_hash,
    decode_effect,
    decode_payload,
    link,
    seal,
)

MAX_FINDINGS = 50
"""Findings of one workspace that are kept; the rest is only counted."""

PROGRESS_EVERY = 1_024
"""Entries between two calls of ``progress``."""


class Claim(NamedTuple):
    """Somebody says that a file had this content at this version and sequence. ``source``: who, for people to read."""

    source: str
    snapshot: FileSnapshot


class Finding(NamedTuple):
    """Something is not as it must be.

    ``kind`` is stable: ``gap``, ``chain``, ``duplicate_id``, ``unknown_file``, ``malformed``, ``payload``,
    ``position``, ``deleted_text``, ``version``, ``base_version``, ``tree``, ``blob``, ``redaction``, ``checkpoint``,
    ``claim`` or ``head``.
    ``sequence`` says where; None: at no one entry. ``file_key`` None: it concerns the workspace as a whole.
    """

    kind: str
    sequence: int | None
    file_key: int | None
    detail: str


class FileReport(NamedTuple):
    """How far a file came: its entries, the version they lead to, and how many claims were compared, by source."""

    file: File
    entries: int
    version: int
    compared: dict[str, int]


class Report(NamedTuple):
    """What an audit found. ``total`` is the number of findings; at most `MAX_FINDINGS` of them are kept.

    ``blobs``: the contents that the log refers to, by file and hash, with the sequence that did so first. Whether they
    are there is for whoever has them to say. ``redacted``: entries that have another text than was committed.
    """

    entries: int
    files: list[FileReport]
    findings: list[Finding]
    total: int
    blobs: Mapping[tuple[str, str], int] = {}
    redacted: int = 0

    @property
    def clean(self) -> bool:
        return not self.total


class _Unreplayable(Exception):
    """An entry does not fit the text that the entries before it lead to: kind and detail of the finding."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail


class _Replay:
    """One file on its way through the log. ``known``: whether its content is still certain."""

    what = "text"

    def __init__(self, file: File, version: int) -> None:
        self.file = file
        self.file_id_bytes = file.file_id.encode()
        self.version = version
        self.entries = 0
        self.known = True
        self.compared: Counter[str] = Counter()

    def step(self, entry: LogEntry) -> None:
        """Applies an entry. Raises _Unreplayable."""
        raise NotImplementedError

    def content(self) -> str:
        """As a snapshot has it."""
        raise NotImplementedError

    def refute(self, claim: Claim) -> str:
        """What a claim about this very moment has wrong; empty if it is right."""
        self.compared[claim.source] += 1
        snapshot = claim.snapshot
        if snapshot.version != self.version:
            return f"says version {snapshot.version}, the log says {self.version}"
        content = self.content()
        if snapshot.content != content:
            return f"holds another {self.what} than the log leads to ({_first_difference(snapshot.content, content)})"
        return ""


class _TextReplay(_Replay):
    def __init__(self, file: File, begin: FileAtCheckpoint | None) -> None:
        super().__init__(file, begin.version if begin is not None else 0)
        self.text = TextBuffer(begin.content if begin is not None else "")

    def content(self) -> str:
        return str(self.text)

    def step(self, entry: LogEntry) -> None:
        try:
            parts = decode_payload(entry.payload).components
        except ValueError as error:
            raise _Unreplayable("payload", f"the payload cannot be read: {error}") from None
        reach = 0
        removed = ""
        changed = False
        for part in parts:
            if isinstance(part, int):
                reach += part
                continue
            changed = True
            if isinstance(part, Delete):
                reach += part.size
                removed += part.text or ""
        expected = self.version + changed
        if entry.version != expected:
            raise _Unreplayable("version", f"version {entry.version}, but the text is at version {expected} after it")
        if not 0 <= entry.base_version <= self.version:
            detail = f"made on version {entry.base_version}, but the file was at version {self.version}"
            raise _Unreplayable("base_version", detail)
        if reach > len(self.text):
            raise _Unreplayable("position", f"reaches {reach - len(self.text)} code points past the end of the text")
        if changed and self.text.apply(parts) != removed:
            raise _Unreplayable("deleted_text", "the text it says it deleted is not the text that was there")
        self.version = expected


class _TreeReplay(_Replay):
    what = "tree"

    def __init__(self, file: File, begin: FileAtCheckpoint | None, *, folds_case: bool) -> None:
        super().__init__(file, 0)
        self.tree = Tree(folds_case=folds_case)
        self.blobs: dict[tuple[str, str], int] = {}
        if begin is not None and begin.content:
            try:
                self.tree = Tree.decode(begin.content.encode())
            except CoscribeError:
                self.known = False

    def content(self) -> str:
        return self.tree.encode().decode()

    def step(self, entry: LogEntry) -> None:
        if entry.version or entry.base_version:
            raise _Unreplayable("version", f"version {entry.version}, but a tree has none")
        try:
            effect, _ = decode_effect(entry.payload)
        except ValueError as error:
            raise _Unreplayable("payload", f"the payload cannot be read: {error}") from None
        try:
            self.tree.take_in(effect)
        except CoscribeError as error:
            raise _Unreplayable("tree", f"it does not fit the tree before it: {error.detail}") from None
        for change in effect.changes:
            if change.after is not None and change.after.kind == "binary":
                self.blobs.setdefault((change.file_id, change.after.content), entry.sequence)


class Audit:
    """One audit on its way: `audit` does a whole one. ``begin``: the checkpoint of a log that was pruned. ``seals``: of
    what redactions have put in place of payloads, see `proofs.seals_of`; None: not asked for."""

    def __init__(
        self,
        workspace: Workspace,
        claims: Sequence[Claim] = (),
        begin: Checkpoint | None = None,
        seals: Mapping[int, str] | None = None,
    ) -> None:
        self._workspace = workspace
        self._seals = seals
        self.redacted = 0
        at_begin = {file.file_key: file for file in begin.files} if begin is not None else {}
        self._files: dict[int, _Replay] = {
            file.key: _TextReplay(file, at_begin.get(file.key)) for file in workspace.files
        }
        self._tree: _TreeReplay | None = None
        root = workspace.root
        if root is not None:
            self._tree = _TreeReplay(root, at_begin.get(root.key), folds_case=workspace.folds_case)
            self._files[root.key] = self._tree
        self._claims: dict[int, list[Claim]] = {}
        self._ids: set[str] = set()
        self.findings: list[Finding] = []
        self._total = 0
        self._entries = 0
        self._sequence, self._digest = (begin.sequence, begin.chain_hash) if begin is not None else (0, GENESIS)
        for file in at_begin.values():
            if content_hash(file.content) != file.content_hash:
                self._find("checkpoint", None, file.file_key, "its text does not have its content hash")
        for claim in claims:
            self._take_claim(claim)
        self._compare_claims()

    def entry(self, entry: LogEntry) -> None:
        """The next entry of the log."""
        self._entries += 1
        try:
            self._check(entry)
        except (TypeError, AttributeError, OverflowError, struct.error) as error:
            # SQLite stores what it is given: whoever edits rows by hand can leave a text where a number belongs.
            self._find("malformed", entry.sequence, None, f"a field is not of the kind it must be: {error}")
            self._lose_track()
        self._sequence = entry.sequence
        self._digest = entry.digest
        if self._sequence in self._claims:
            self._compare_claims()

    def know(self, file: File) -> None:
        """A file of the workspace that was not named at the beginning."""
        if file.key not in self._files:
            self._files[file.key] = _TextReplay(file, None)

    def claim(self, claim: Claim) -> None:
        """A claim about the sequence that the log is at."""
        self._take_claim(claim)
        self._compare_claims()

    def reached(self, file_key: int) -> tuple[str, int]:
        """Content and version of a file as the entries so far have left it."""
        file = self._files[file_key]
        return file.content(), file.version

    def finish(self, *, rows: bool = True) -> Report:
        """Compares the end of the log with the head, and gives the report. ``rows``: whether the files of a tree are
        known to be all there are, as the rows of a database are."""
        workspace = self._workspace
        if workspace.last_sequence != self._sequence:
            detail = f"the head says sequence {workspace.last_sequence}, the log ends at {self._sequence}"
            self._find("head", None, None, detail)
        elif workspace.chain_hash != self._digest:
            self._find("head", None, None, "the head's chain hash is not that of the last entry")
        for claims in self._claims.values():
            for claim in claims:
                self._find_claim(claim, "the log has no such sequence")
        if rows:
            self._compare_rows()
        files = [FileReport(at.file, at.entries, at.version, dict(at.compared)) for at in self._files.values()]
        blobs = self._tree.blobs if self._tree is not None else {}
        return Report(self._entries, files, self.findings, self._total, blobs, self.redacted)

    def _compare_rows(self) -> None:
        """The rows of a tree's files say how it is."""
        tree = self._tree
        if tree is not None and tree.known:
            try:
                same = self._workspace.tree().encode() == tree.tree.encode()
                detail = "the files' rows are another tree than the log leads to"
            except CoscribeError as error:
                same, detail = False, f"the files' rows are no tree: {error.detail}"
            if not same:
                self._find("tree", None, tree.file.key, detail)

    def _take_claim(self, claim: Claim) -> None:
        snapshot = claim.snapshot
        if content_hash(snapshot.content) != snapshot.content_hash:
            self._find_claim(claim, "its content does not have its content hash")
        self._claims.setdefault(snapshot.sequence, []).append(claim)

    def _check(self, entry: LogEntry) -> None:
        follows = entry.sequence == self._sequence + 1
        if not follows:
            self._find("gap", entry.sequence, None, _gap(self._sequence, entry.sequence))
            self._lose_track()
        if entry.operation_id in self._ids:
            detail = f"the operation id {entry.operation_id} is in the log before"
            self._find("duplicate_id", entry.sequence, entry.file_key, detail)
        self._ids.add(entry.operation_id)
        file = self._files.get(entry.file_key)
        if file is None:
            detail = f"the workspace has no file with the key {entry.file_key}"
            self._find("unknown_file", entry.sequence, None, detail)
        else:
            file.entries += 1
            self._check_chain(entry, file, follows)
            self._replay(entry, file)

    def _lose_track(self) -> None:
        """An entry is missing or means nothing: whichever file it was of, its text is not certain any more."""
        for file in self._files.values():
            file.known = False

    def _check_chain(self, entry: LogEntry, file: _Replay, follows: bool) -> None:
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
            detail = "its hash does not fit: it, or the order of the entries, is not what was committed"
            self._find("chain", entry.sequence, entry.file_key, detail)
        if len(entry.salt) == TOMBSTONE_BYTES:
            self._check_tombstone(entry)

    def _check_tombstone(self, entry: LogEntry) -> None:
        """What was redacted is what somebody has signed for."""
        self.redacted += 1
        if self._seals is None:
            return
        signed = self._seals.get(entry.sequence)
        if signed is None:
            self._find("redaction", entry.sequence, entry.file_key, "its text was replaced, and no redaction says so")
        elif seal(entry.salt[SEAL_BYTES:], entry.payload).hex() != signed:
            detail = "its text was replaced by another one than the redaction says"
            self._find("redaction", entry.sequence, entry.file_key, detail)

    def _replay(self, entry: LogEntry, file: _Replay) -> None:
        tree = self._tree
        if tree is not None and tree.known and file is not tree and file.file.file_id not in tree.tree:
            self._find("tree", entry.sequence, entry.file_key, "the file is not in the tree at that moment")
        if not file.known:
            return
        try:
            file.step(entry)
        except _Unreplayable as error:
            file.known = False
            self._find(error.kind, entry.sequence, entry.file_key, error.detail)

    def _compare_claims(self) -> None:
        """The claims about the sequence that the log is at."""
        for claim in self._claims.pop(self._sequence, ()):
            file = self._files[claim.snapshot.file_key]
            if file.known:
                wrong = file.refute(claim)
                if wrong:
                    self._find_claim(claim, wrong)

    def _find_claim(self, claim: Claim, wrong: str) -> None:
        self._find("claim", claim.snapshot.sequence, claim.snapshot.file_key, f"the {claim.source}: {wrong}")

    def _find(self, kind: str, sequence: int | None, file_key: int | None, detail: str) -> None:
        self._total += 1
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(kind, sequence, file_key, detail))


def audit(
    workspace: Workspace,
    entries: Iterable[LogEntry],
    claims: Sequence[Claim] = (),
    progress: Callable[[int], None] | None = None,
    begin: Checkpoint | None = None,
    seals: Mapping[int, str] | None = None,
) -> Report:
    """Audits a whole log, from its first entry, or behind the checkpoint that it begins with, to the last. Claims are
    about files of the workspace.

    ``workspace`` is what its rows say; ``epoch``, ``incarnation`` and ``secret`` are not looked at. ``progress`` is
    told now and then how many entries are done since it was told last.
    """
    state = Audit(workspace, claims, begin, seals)
    for done, entry in enumerate(entries, 1):
        state.entry(entry)
        if progress is not None and not done % PROGRESS_EVERY:
            progress(PROGRESS_EVERY)
    return state.finish()


def _gap(before: int, after: int) -> str:
    if after <= before:
        return f"it comes behind sequence {before}"
    if after == before + 2:
        return f"the entry {before + 1} before it is missing"
    return f"the entries {before + 1} to {after - 1} before it are missing"


def _first_difference(claimed: str, replayed: str) -> str:
    """Where two texts part, for people."""
    pairs = enumerate(zip(claimed, replayed, strict=False))
    position = next((at for at, (one, other) in pairs if one != other), min(len(claimed), len(replayed)))
    return f"they part at {position}; {len(claimed)} code points, not {len(replayed)}"
