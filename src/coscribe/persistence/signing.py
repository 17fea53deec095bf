"""The key that signs checkpoints and redactions: Ed25519, in a file of the data folder that only its owner can read.

What it has signed is checked with its public half, which may be kept elsewhere: whoever can write the whole folder
could make another key and sign anew, but not with this one.
"""

from __future__ import annotations

import os
import secrets
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

FILE = "checkpoint.key"


class SigningKey:
    """Both halves; ``seed`` is the private one, 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        self.seed = seed
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = PublicKey(self._private.public_key().public_bytes_raw())

    @property
    def key_id(self) -> str:
        return self.public.key_id

    def sign(self, statement: bytes) -> bytes:
        """64 bytes."""
        return self._private.sign(statement)


class PublicKey:
    """The half that checks. Raises ValueError where it is none: 32 bytes."""

    def __init__(self, public: bytes) -> None:
        self._public = Ed25519PublicKey.from_public_bytes(public)
        self.hex = public.hex()
        self.key_id = sha256(public).hexdigest()[:16]

    def has_signed(self, statement: bytes, signature: bytes) -> bool:
        try:
            self._public.verify(signature, statement)
        except InvalidSignature:
            return False
        return True


def has_signed(public: bytes, statement: bytes, signature: bytes) -> bool:
    """The `Verifier` of `documents.proofs`; what is no key has signed nothing."""
    try:
        return PublicKey(public).has_signed(statement, signature)
    except ValueError:
        return False


def signing_key(folder: Path) -> SigningKey:
    """The key of a data folder; made at first use. Raises OSError, and ValueError where the file is damaged."""
    path = folder / FILE
    if not path.exists():
        make_secret(path)
    return SigningKey(bytes.fromhex(path.read_text().strip()))


def public_key(folder: Path) -> PublicKey | None:
    """The public half of a folder's key; None: nothing was signed here yet. Raises as `signing_key`."""
    return signing_key(folder).public if (folder / FILE).exists() else None


def new_key() -> SigningKey:
    """A key that no folder has yet; see `replace_key`."""
    return SigningKey(secrets.token_bytes(32))


def replace_key(folder: Path, key: SigningKey) -> None:
    """From now on the folder signs with another key; the one before is gone. Raises OSError."""
    draft = _draft(folder / FILE, key.seed.hex())
    draft.replace(folder / FILE)


def make_folder(folder: Path) -> None:
    """Makes a data folder that only its owner can look into; one that is there stays as it is."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def make_secret(path: Path) -> None:
    """A file with 32 random bytes in hex. Whole or not at all, and the first one wins: several processes may do this at
    once."""
    make_folder(path.parent)
    draft = _draft(path, secrets.token_hex(32))
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        draft.replace(path)
    draft.unlink(missing_ok=True)


def _draft(path: Path, content: str) -> Path:
    """A file beside another, that only its owner can read, on disk when this returns."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return draft
