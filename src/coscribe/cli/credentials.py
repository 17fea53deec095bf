"""Where one is signed in, server by server: tokens in one file that nobody else can read.

    credentials.json    replaced as a whole, mode 0600
    credentials.lock    held from reading the file until what changes is in it

A refresh token is good once; a server that sees one again takes it for stolen and ends the session. So whoever renews
tokens does it under the lock, and first looks whether another process has been faster.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import msgspec

from coscribe.cli.common import fail


class Login(msgspec.Struct, rename="camel", frozen=True):
    """Somebody's session on one server. ``expires_at``, of the access token, is seconds since 1970."""

    user_id: str
    name: str
    session_id: str
    access_token: str
    refresh_token: str
    expires_at: float


class _File(msgspec.Struct):
    servers: dict[str, Login] = {}


class Logins:
    """The file. It may not be there yet."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "credentials.json"

    def get(self, server: str) -> Login | None:
        return self._read().servers.get(server)

    @contextmanager
    def changing(self) -> Iterator[dict[str, Login]]:
        """All logins by server, to change; nobody else reads them to change them meanwhile. Stored at the end."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = self.path.with_suffix(".lock").open("w")
        except OSError as error:
            self._give_up(error)
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            file = self._read()
            before = dict(file.servers)
            yield file.servers
            if file.servers != before:
                self._write(file)

    def _read(self) -> _File:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=_File)
        except FileNotFoundError:
            return _File({})
        except (OSError, msgspec.MsgspecError) as error:
            self._give_up(error)

    def _write(self, file: _File) -> None:
        content = msgspec.json.format(msgspec.json.encode(file), indent=2)
        try:
            descriptor, name = tempfile.mkstemp(prefix=".credentials-", dir=self.path.parent)  # mode 0600
            with os.fdopen(descriptor, "wb") as new:
                new.write(content)
                new.flush()
                os.fsync(new.fileno())
            Path(name).replace(self.path)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> NoReturn:
        fail(f"{self.path}: {error}", "Put it right or delete it, then sign in again with `coscribe login`.")


def logins() -> Logins:
    """The logins of whoever runs the command: in COSCRIBE_CONFIG, else where the system keeps settings."""
    chosen = os.environ.get("COSCRIBE_CONFIG")
    if chosen:
        return Logins(Path(chosen))
    return Logins(Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "coscribe")
