"""Passwords: argon2id with OWASP's parameters, in a few threads off the event loop that give way to typing.

A hash takes tens of milliseconds of a core on purpose. So few run together, few wait, and who would wait longer than
about a second is told at once to come again.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from coscribe.access.throttle import Throttled
from coscribe.core.errors import Code, CoscribeError
from coscribe.metrics import metrics

_T = TypeVar("_T")

MIN_LENGTH = 10
MAX_LENGTH = 256
"""Code points of a password in its normal form (NFC)."""

_NAME_LENGTH = 4
"""Shorter names may be part of a password: "ann" is in "cannot"."""

_FEWEST_CHARACTERS = 4
"""Different characters of a password. Fewer: one key held down, or two or three in turn."""

_NICENESS = 10
_SMOOTHING = 0.2
"""How much the newest hash says about how long one takes."""

_KEYS = ("0123456789", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm", "qwertzuiopasdfghjklyxcvbnm")
_RUNS = tuple(run for keys in _KEYS for run in (keys * 30, keys[::-1] * 30))
"""Every walk along these, forwards or backwards, however long."""

_COMMON_LIST = """
1234567891 12345678910 123456789a 123456789q a123456789 q123456789 1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx3edc
1qazxsw23edc q1w2e3r4t5 q1w2e3r4t5y6 qwerty1234 qwerty12345 qwerty123456 1234qwerty 123456qwerty qwer1234qwer
qwertyuiop1 qwertyuiop123 qwertyuiop[] asdfghjkl; asdfghjkl1 asdfghjkl123 zxcvbnm123 zxcvbnm,./ !qaz2wsx3edc
!qaz@wsx#edc 1234567890a 1234567890q 0987654321q abcd123456 abc123456789 abcdef123456 password12 password123
password1234 password12345 password123! password!123 password2023 password2024 password2025 passwordpassword
mypassword mypassword1 p@ssw0rd123 p@ssword123 p@ssw0rd1234 passw0rd123 passw0rd1234 letmein123 letmein1234
iloveyou12 iloveyou123 iloveyou1234 iloveyouso welcome123 welcome1234 welcome2024 welcome2025 admin12345
admin123456 administrator changeme123 changemenow football123 baseball123 basketball superman123 princess123
sunshine123 liverpool1 manchester michaeljordan starwars123 pokemon123 trustno1trustno1 correcthorsebatterystaple
christmas1 summer2024! winter2024! spring2025! unbelievable secretpassword
"""
_COMMON = frozenset(_COMMON_LIST.split())


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a password: true where it was right. ``rehash``: hash it anew, as the parameters have changed."""

    right: bool
    rehash: bool = False

    def __bool__(self) -> bool:
        return self.right


def default_workers() -> int:
    """One core stays free for typing; beyond four, hashing would take the memory's bandwidth from it."""
    return min(4, max(1, (os.cpu_count() or 1) - 1))


class Passwords:
    """Hashes and checks passwords. Belongs to one event loop.

    Waiting are at most ``max_waiting``, and fewer where that would take longer than ``max_wait`` seconds, as measured:
    more raise Throttled. Who is cancelled while waiting costs nothing; a hash that runs is finished.
    """

    def __init__(
        self,
        hasher: PasswordHasher | None = None,
        *,
        workers: int | None = None,
        max_waiting: int = 32,
        max_wait: float = 1.0,
        now: Callable[[], float] = time.perf_counter,
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._workers = workers or default_workers()
        self._max_waiting = max_waiting
        self._max_wait = max_wait
        self._now = now
        self._token_bytes = token_bytes
        self._threads = ThreadPoolExecutor(self._workers, "password", initializer=_give_way)
        self._free = asyncio.Semaphore(self._workers)
        self._waiting = 0
        started = now()
        self._unknown = self._hash(token_bytes(16).hex())  # nobody's; checked in the place of a hash that is not there
        self._seconds = now() - started  # what a hash takes

    async def hash(self, password: str) -> str:
        """The hash to store, with its salt and parameters. Raises Throttled; `check` the password first."""
        normal = _normal(password)
        return await self._run(lambda: self._hash(normal))

    async def verify(self, password: str, stored: str | None) -> Verdict:
        """Is it the password of ``stored``? None stands for nobody: wrong, and in the same time as with somebody.

        Raises Throttled, and ValueError (argon2's InvalidHashError) where ``stored`` is no hash.
        """
        normal = _normal(password)
        return await self._run(lambda: self._verify(normal, stored))

    @staticmethod
    def check(password: str, *, also: Sequence[str]) -> None:
        """Is it good enough to be chosen? ``also``: names of its owner, handle and e-mail, which it may not contain.

        Raises CoscribeError ``password_refused``.
        """
        normal = _normal(password)
        if not MIN_LENGTH <= len(normal) <= MAX_LENGTH:
            raise _refused(f"it has {len(normal)} characters, not {MIN_LENGTH} to {MAX_LENGTH}")
        folded = normal.casefold()
        if folded in _COMMON:
            raise _refused("it is one of the most common ones")
        if len(set(folded)) < _FEWEST_CHARACTERS or any(folded in run for run in _RUNS):
            raise _refused("it is a simple sequence")
        names = [_normal(name).casefold().partition("@")[0] for name in also]
        if any(name in folded for name in names if len(name) >= _NAME_LENGTH):
            raise _refused("it contains your name")

    async def close(self) -> None:
        """Lets running hashes end. Who waits, or comes later, gets CoscribeError ``shutting_down``."""
        await asyncio.to_thread(self._threads.shutdown)

    def knock(self) -> None:
        """Is there room for one more? A request can be refused before any other work is done for it.

        Raises Throttled where `hash` and `verify` would.
        """
        expected = (self._waiting + 1) * self._seconds / self._workers
        if self._waiting >= self._max_waiting or (self._waiting and expected > self._max_wait):
            metrics.password_refused.inc()
            raise Throttled(max(1.0, expected), "too many passwords to check")

    async def _run(self, job: Callable[[], _T]) -> _T:
        self.knock()
        self._count(+1)
        try:
            await self._free.acquire()
        finally:
            self._count(-1)
        try:
            running = asyncio.get_running_loop().run_in_executor(self._threads, self._timed, job)
        except RuntimeError:
            self._free.release()
            raise CoscribeError(Code.SHUTTING_DOWN) from None
        running.add_done_callback(self._ended)
        return await asyncio.shield(running)  # its thread is busy until it ends, whoever still waits for it

    def _count(self, change: int) -> None:
        self._waiting += change
        metrics.password_waiting.set(self._waiting)

    def _ended(self, _: asyncio.Future[_T]) -> None:
        self._free.release()
        metrics.password_hashes.inc()

    def _timed(self, job: Callable[[], _T]) -> _T:
        started = self._now()
        try:
            return job()
        finally:
            self._seconds += _SMOOTHING * (self._now() - started - self._seconds)

    def _hash(self, normal: str) -> str:
        return self._hasher.hash(_bytes(normal), salt=self._token_bytes(16))

    def _verify(self, normal: str, stored: str | None) -> Verdict:
        if stored is None or len(normal) > MAX_LENGTH:
            normal, stored = "", self._unknown
        try:
            self._hasher.verify(stored, _bytes(normal))
        except VerifyMismatchError:
            return Verdict(right=False)
        return Verdict(right=True, rehash=self._hasher.check_needs_rehash(stored))


def _give_way() -> None:
    """Lets other threads go first. Linux gives each thread a niceness of its own; elsewhere it is the process's."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS))


def _normal(text: str) -> str:
    """One form for what looks alike, whichever keyboard typed it."""
    return unicodedata.normalize("NFC", text)


def _bytes(normal: str) -> bytes:
    return normal.encode("utf-8", "surrogatepass")


def _refused(why: str) -> CoscribeError:
    return CoscribeError(Code.PASSWORD_REFUSED, why)
