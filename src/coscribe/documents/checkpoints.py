"""A checkpoint: where a log begins whose older part was pruned.

    1 ............ sequence | sequence + 1 ............ head
       pruned      checkpoint         the log that is left

It holds what the pruned entries have led to: the text of every file, who wrote what of it, and the chain hash that the
first entry which is left hangs on. It is signed, for there is nothing any more that it could be recomputed from.
"""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple, Protocol

import msgspec

from coscribe.model import Pruned, content_hash

FORMAT = "coscribe-checkpoint-1"


class FileAtCheckpoint(NamedTuple):
    """A file as the pruned entries have left it. ``attribution``: who wrote what, see `Attribution.dump`."""

    file_key: int
    file_id: str
    version: int
    horizon: int
    content: str
    content_hash: bytes
    attribution: bytes


class Checkpoint(NamedTuple):
    """``last_time``: of the last pruned entry, ``made_at``: of the checkpoint, microseconds since 1970. ``key_id``
    names the key that has signed its `statement`."""

    workspace_key: int
    workspace_id: str
    sequence: int
    chain_hash: bytes
    last_time: int
    made_at: int
    files: tuple[FileAtCheckpoint, ...]
    key_id: str = ""
    signature: bytes = b""

    @property
    def pruned(self) -> Pruned:
        return Pruned(
            self.sequence,
            self.chain_hash,
            {file.file_key: file.version for file in self.files},
            {file.file_key: file.horizon for file in self.files},
        )

    def file(self, file_key: int) -> FileAtCheckpoint:
        """A file as it was here; one that there was not yet is empty."""
        found = (file for file in self.files if file.file_key == file_key)
        return next(found, FileAtCheckpoint(file_key, "", 0, 0, "", content_hash(""), b""))

    def statement(self) -> bytes:
        """What is signed: everything but the keys of rows, which a restored backup may not have in common."""
        files = [
            (
                file.file_id,
                file.version,
                file.horizon,
                content_hash(file.content),
                sha256(file.attribution).digest(),
            )
            for file in sorted(self.files, key=lambda file: file.file_id)
        ]
        return msgspec.msgpack.encode(
            (FORMAT, self.workspace_id, self.sequence, self.chain_hash, self.last_time, self.made_at, files)
        )


class Signer(Protocol):
    """A key that signs checkpoints; `persistence.signing` has it."""

    @property
    def key_id(self) -> str: ...

    def sign(self, statement: bytes) -> bytes: ...


def signed(checkpoint: Checkpoint, signer: Signer) -> Checkpoint:
    """The same with a signature by ``signer``."""
    return checkpoint._replace(key_id=signer.key_id, signature=signer.sign(checkpoint.statement()))
