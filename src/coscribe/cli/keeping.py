"""What an auditor keeps outside: public keys, audit checkpoints, and bundles, read from files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from coscribe.cli.common import fail
from coscribe.core.errors import CoscribeError
from coscribe.documents.bundle_audit import digests_of
from coscribe.documents.proofs import AuditCheckpoint, parted, read_checkpoint
from coscribe.protocol.codec import check_file_id

BUNDLE = b'{"type":"head"'
"""How a bundle begins."""

NO_CHECKPOINT = "Give a file that `coscribe audit checkpoint` or `coscribe audit export` has written."


class Kept(NamedTuple):
    """An audit checkpoint that somebody has kept, and the file it is from."""

    source: str
    checkpoint: AuditCheckpoint

    @property
    def name(self) -> str:
        return f"the checkpoint {self.checkpoint.number} in {self.source}"


class KeptAll(NamedTuple):
    """What somebody has kept: checkpoints, and of bundles the digests of entries, by file and workspace."""

    checkpoints: list[Kept]
    entries: list[tuple[str, str, dict[int, str]]]


def read_key(key: str) -> bytes:
    """A public key: 64 hex digits, or the file they are in. Ends with advice where it is none."""
    try:
        public = bytes.fromhex(Path(key).read_text() if len(key) != 64 and Path(key).is_file() else key)
    except (OSError, ValueError):
        public = b""
    if len(public) != 32:
        fail(f"{key!r} is no public key", "`coscribe audit key` prints it: 64 hex digits.")
    return public


def read_kept(paths: Sequence[Path]) -> KeptAll:
    """The checkpoints in files, bundles among them. Ends with advice where one cannot be read, or holds none."""
    found = KeptAll([], [])
    for path in paths:
        source = str(path)
        try:
            with path.open("rb") as file:
                if is_bundle(path):
                    checkpoints, entries = digests_of(file)
                else:
                    checkpoints, entries = [read_checkpoint(each) for each in _checkpoints(file.read())], {}
        except OSError as error:
            fail(f"cannot read {path}: {error.strerror}", NO_CHECKPOINT)
        except (CoscribeError, msgspec.MsgspecError) as error:
            fail(f"{path} cannot be read: {error}", NO_CHECKPOINT)
        if not checkpoints:
            fail(f"there is no checkpoint in {path}", NO_CHECKPOINT)
        found.checkpoints.extend(Kept(source, checkpoint) for checkpoint in checkpoints)
        if entries:
            found.entries.append((source, checkpoints[0].workspace_id, entries))
    return found


class Holding(NamedTuple):
    """What is kept of a document or workspace: how many checkpoints, how many of them were new, in which file; and
    where the server does not stand by it."""

    document_id: str
    name: str
    kept: int
    new: int
    file: str
    trouble: str


def keep_newer(folder: Path, document: dict[str, Any], said: Iterable[dict[str, Any]]) -> Holding:
    """Keeps what is newer than what a folder has. ``said``: what the server says now, the newest first; it is read as
    far as what is kept. Nothing is written where it does not fit that. Ends with advice where a file is damaged, and
    where what the server calls a document would lead out of the folder."""
    document_id = document["documentId"]
    try:
        check_file_id(document_id)
    except CoscribeError:
        fail(f"{document_id!r} is no id of a document", "Find out what answers there: nothing of it was kept.", code=1)
    path = folder / f"{document_id}.checkpoints"
    before = [kept.checkpoint for kept in read_kept([path]).checkpoints] if path.exists() else []
    read: list[AuditCheckpoint] = []
    for one in said:
        read.append(msgspec.convert(one, AuditCheckpoint))
        if before and read[-1].number <= before[0].number:
            break
    trouble = parted(before[0], read) if before else ""
    newer = [] if trouble else [one for one in read if not before or one.number > before[0].number]
    if newer:
        _replace(path, msgspec.json.encode({"items": [*newer, *before]}))
    count = len(newer) + len(before)
    return Holding(document_id, document["name"], count, len(newer), str(path) if count else "", trouble)


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        fail(f"cannot write {path}: {error.strerror}", "Give a folder that you may write to.")


def is_bundle(path: Path) -> bool:
    """Whether it is a file that begins as a bundle does."""
    try:
        with path.open("rb") as file:
            return file.read(len(BUNDLE)) == BUNDLE
    except OSError:
        return False


def _checkpoints(content: bytes) -> Iterator[bytes]:
    """One, or the list that the API answers."""
    whole = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    if "items" in whole:
        yield from map(bytes, msgspec.json.decode(whole["items"], type=list[msgspec.Raw]))
    else:
        yield content
