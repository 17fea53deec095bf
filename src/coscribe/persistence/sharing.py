"""What the instances of a cluster must have in common besides the database, which remembers what that was.

    the folder   contents that are no text, working trees, archives on their way, the key that signs checkpoints
    the secret   that signs tokens, and seals credentials

One that has another folder or another secret would lose contents, or sign what nobody believes; it is not started.
"""

from __future__ import annotations

from hashlib import scrypt
from pathlib import Path

from sqlalchemy import insert, select

from coscribe.documents.ports import StorageError
from coscribe.persistence.engines import postgres_writer, sqlite_engine
from coscribe.persistence.schema import shared_secrets
from coscribe.persistence.signing import make_secret

FOLDER_ID = "folder.id"
"""The file that says which folder it is."""

_FOLDER, _SECRET = "folder", "token secret"


class NotShared(StorageError):
    """Other instances of the database have something else."""


def check_shared(where: Path | str, folder: Path | None, secret: bytes) -> None:
    """Compares with what the first instance had. ``folder`` None: this one needs none. Raises NotShared, OSError."""
    has = {_SECRET: _fingerprint(secret)}
    if folder is not None:
        has[_FOLDER] = _id_of(folder)
    engine = sqlite_engine(where, "BEGIN IMMEDIATE", 1) if isinstance(where, Path) else postgres_writer(where)
    try:
        with engine.begin() as connection:
            known = {row.name: row.fingerprint for row in connection.execute(select(shared_secrets))}
            for name, fingerprint in has.items():
                if name not in known:
                    connection.execute(insert(shared_secrets).values(name=name, fingerprint=fingerprint))
    finally:
        engine.dispose()
    if known.get(_SECRET, has[_SECRET]) != has[_SECRET]:
        raise NotShared(
            "the secret that signs tokens is not that of the other instances: give all the same COSCRIBE_TOKEN_SECRET, "
            "or the same folder with its token.key"
        )
    if folder is not None and known.get(_FOLDER, has[_FOLDER]) != has[_FOLDER]:
        raise NotShared(
            f"{folder} is not the folder of the other instances: all cores need one that they share. If that one is "
            f"gone for good, write {known[_FOLDER]} into {folder / FOLDER_ID}"
        )


def _id_of(folder: Path) -> str:
    path = folder / FOLDER_ID
    if not path.exists():
        make_secret(path)
    return path.read_text().strip()


def _fingerprint(secret: bytes) -> str:
    """Nobody finds the secret by it, not even a short one."""
    return scrypt(secret, salt=b"coscribe token secret", n=2**14, r=8, p=1, dklen=16).hex()
