"""A history of one file, made without a server: its log entries, its snapshots, and the data folder that holds them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coscribe.config import Settings
from coscribe.core.document_state import FileState, Limits, Request
from coscribe.core.operation import from_edits
from coscribe.documents.ports import Append, AppendResult
from coscribe.model import (
    GENESIS,
    SALT_BYTES,
    File,
    FileSnapshot,
    LogEntry,
    Workspace,
    content_hash,
    encode_payload,
    file_key,
    link,
)
from coscribe.persistence.migrate import migrate
from coscribe.persistence.sqlite import SqliteStorage

FILE_ID = "notes"
AUTHORS = {"ann": 1, "bob": 2}
KEY = 1
FILE_KEY = file_key(KEY, 0)

Edits = Sequence[tuple[int, int, str]]


@dataclass
class Written:
    """``entries`` lead to ``snapshots``; the workspace has the key `KEY`, the file `FILE_KEY`."""

    entries: list[LogEntry] = field(default_factory=list)
    snapshots: list[FileSnapshot] = field(default_factory=list)
    _state: FileState = field(default_factory=lambda: FileState(FILE_ID, "", 0, 0, Limits()))

    @classmethod
    def example(cls) -> Written:
        """Inserts, deletes, replaces, a batch, one that comes to nothing; two snapshots; not all of it ASCII."""
        written = cls()
        for number, word in enumerate(["In", "the", "beginning", "was", "the", "word."]):
            written.add("ann" if number % 2 else "bob", [(written.length, 0, f"{word} ")])
        written.snapshot()
        written.add("bob", [(0, 3, "")])
        written.add("ann", [(0, 0, "😀"), (4, 9, "end, "), (14, 1, "")])
        written.add("ann", [])
        written.add("bob", [(2, 1, "ö\n")])
        written.snapshot()
        written.add("ann", [(0, 1, "")])
        return written

    @property
    def length(self) -> int:
        return len(self._state.content)

    @property
    def text(self) -> str:
        return str(self._state.content)

    @property
    def digest(self) -> bytes:
        return self.entries[-1].digest if self.entries else GENESIS

    @property
    def workspace(self) -> Workspace:
        """Its rows, as they are when all this is in a log."""
        files = (File(FILE_KEY, FILE_ID, FILE_ID),)
        return Workspace(KEY, FILE_ID, "incarnation", bytes(16), 1, len(self.entries), self.digest, files)

    def add(self, author: str, edits: Edits) -> None:
        """One more operation, on the text as it is."""
        state = self._state
        sequence = len(self.entries) + 1
        request = Request(f"{author}:{sequence}", from_edits(edits) if edits else ())
        nothing = state.concurrent_since(state.version)
        assert nothing is not None
        (entry,) = state.commit([request], state.version, nothing, sequence, author, bytes(16))
        payload = encode_payload(entry.operation, entry.removed, ())
        self.entries.append(
            chained(
                self.digest,
                LogEntry(
                    sequence,
                    FILE_KEY,
                    entry.version,
                    entry.base_version,
                    entry.operation_id,
                    author,
                    AUTHORS[author],
                    bytes(16),
                    1_700_000_000_000_000 + sequence,
                    payload,
                    sequence.to_bytes(SALT_BYTES),
                    b"",
                ),
            )
        )

    def snapshot(self) -> None:
        state = self._state
        self.snapshots.append(
            FileSnapshot(FILE_KEY, state.version, state.last_sequence, self.text, content_hash(self.text))
        )


def chained(previous: bytes, entry: LogEntry) -> LogEntry:
    """The entry with the digest that it has behind ``previous``."""
    digest = link(
        previous,
        entry.sequence,
        entry.version,
        entry.base_version,
        entry.author_ref,
        entry.time,
        FILE_ID.encode(),
        entry.operation_id.encode(),
        entry.salt,
        entry.payload,
    )
    return entry._replace(digest=digest)


def rechained(entries: Sequence[LogEntry]) -> list[LogEntry]:
    """The entries with digests that fit: as somebody would forge them who has the whole log to rewrite."""
    forged: list[LogEntry] = []
    for entry in entries:
        forged.append(chained(forged[-1].digest if forged else GENESIS, entry))
    return forged


def store(folder: Path, written: Written) -> None:
    """A data folder with the history in it, as a server leaves it."""
    folder.mkdir(parents=True)
    database = Settings(folder=folder).database
    migrate(database)

    async def fill() -> None:
        storage = SqliteStorage(database)
        await storage.create(FILE_ID, FILE_ID, FILE_ID, 0)
        for author, reference in AUTHORS.items():
            assert await storage.author(author) == reference
        workspace = await storage.acquire(FILE_ID)
        assert workspace is not None
        append = Append(workspace.key, workspace.epoch, 0, written.digest, written.entries)
        assert await storage.append([append]) == [AppendResult.COMMITTED]
        for snapshot in written.snapshots:
            await storage.save(snapshot, keep=3)
        await storage.close()

    asyncio.run(fill())
