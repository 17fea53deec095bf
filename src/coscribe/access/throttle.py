"""How often somebody may try: budgets of requests, and the defence of sign-in against guessing.

All of it is in memory and per process; a restart forgets it. What is remembered is bounded, and at the bound what was
touched longest ago is forgotten: to win back its few free guesses that way, an attacker has to fail thousands of times.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from coscribe.core.errors import Code, CoscribeError
from coscribe.gateway.address import address_key
from coscribe.metrics import metrics

_V = TypeVar("_V")

_PAIR_FREE = 5
_PAIR_LONGEST = 900.0
_PAIR_MEMORY = 86_400.0
"""Failures of one account from one address: so many without a pause, the longest pause, forgotten after (seconds)."""

_ACCOUNT_FREE = 30
_ACCOUNT_LONGEST = 60.0
_ACCOUNT_MEMORY = 3_600.0
_ACCOUNT_KEPT = _ACCOUNT_FREE + 7
"""The same for an account from everywhere. Of its failures only so many count: then the pause is at its longest."""

_ADDRESS_FAILURES = 200
_ADDRESS_PER_SECOND = 1.0
"""Failures of one address, whatever the account: the budget, and how fast it comes back."""

_PARALLEL = 3
"""Attempts of one account from one address that may be under way together."""

_BUSY = 1.0
"""Seconds to wait when attempts that are under way have to end first, or an address has used up its failures."""

_ROUNDING = 1e-3
"""Part of a token that the times of a clock may be wrong by."""

_KEY_LENGTH = 256
"""Characters of an account's key that count, so that long ones take no memory."""


class Level(NamedTuple):
    """What is left of a budget: ``remaining`` of ``limit``; full again in ``reset_seconds``."""

    limit: int
    remaining: int
    reset_seconds: float


class Throttled(CoscribeError):
    """``too_many_requests``: the same request may be sent again after ``retry_after`` seconds."""

    def __init__(self, retry_after: float, detail: str = "", *, level: Level | None = None) -> None:
        super().__init__(Code.TOO_MANY_REQUESTS, detail)
        self.retry_after = retry_after
        self.level = level


class _Memory(Generic[_V]):
    """A table of at most ``most`` keys that forgets what was touched longest ago. ``name`` is its label in metrics."""

    def __init__(self, name: str, most: int) -> None:
        self._kept: OrderedDict[str, _V] = OrderedDict()
        self._most = most
        self._size = metrics.throttle_keys.labels(name)

    def __contains__(self, key: str) -> bool:
        return key in self._kept

    def get(self, key: str) -> _V | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: str, value: _V) -> None:
        self._kept[key] = value
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        self._size.set(len(self._kept))

    def drop(self, key: str) -> None:
        self._kept.pop(key, None)
        self._size.set(len(self._kept))


class Buckets:
    """Token buckets by key: ``limit`` at once, and ``per_second`` more. A key that is forgotten has a full bucket.

    ``now`` is monotonic, in seconds. ``name`` labels the metrics.
    """

    def __init__(
        self, name: str, *, limit: int, per_second: float, now: Callable[[], float], max_keys: int = 50_000
    ) -> None:
        self._limit = limit
        self._per_second = per_second
        self._now = now
        self._filled: _Memory[float] = _Memory(name, max_keys)  # when each bucket is full again
        self._throttled = metrics.throttled.labels(name)

    def level(self, key: str) -> Level:
        """What is left; takes nothing."""
        return self._level(self._missing(key))

    def take(self, key: str, cost: int = 1) -> Level:
        """Takes ``cost`` from the bucket and returns what is left. A cost above the limit counts as the whole limit.

        Raises Throttled, with the level, when there is less; nothing is taken then.
        """
        cost = min(cost, self._limit)
        missing = self._missing(key)
        short = cost + missing - self._limit
        if short > _ROUNDING:
            self._throttled.inc()
            raise Throttled(short / self._per_second, level=self._level(missing))
        missing += cost
        self._filled.put(key, self._now() + missing / self._per_second)
        return self._level(missing)

    def _missing(self, key: str) -> float:
        filled = self._filled.get(key)
        return 0.0 if filled is None else max(0.0, (filled - self._now()) * self._per_second)

    def _level(self, missing: float) -> Level:
        return Level(self._limit, int(self._limit - missing + _ROUNDING), missing / self._per_second)


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0


class _Names(NamedTuple):
    """The keys under which one attempt counts."""

    pair: str
    account: str
    address: str


class Attempt:
    """One try to sign in that `LoginGuard.attempt` let through.

    The first word on how it went counts. One that ends without any was not answered, and so is no failure.
    """

    def __init__(self, guard: LoginGuard, names: _Names) -> None:
        self._guard = guard
        self._names = names
        self._running = True
        guard._running.update(names)

    def failed(self) -> None:
        """The password was wrong, or there is no such account."""
        if self._end():
            self._guard._failed(self._names)

    def succeeded(self) -> None:
        """The password was right."""
        if self._end():
            self._guard._succeeded(self._names)

    def _end(self) -> bool:
        """Gives its room back; false where that has been done."""
        was_running, self._running = self._running, False
        if was_running:
            self._guard._running -= Counter(self._names)  # which also drops what has come to nothing
        return was_running


class LoginGuard:
    """Slows down who guesses passwords, without locking out who knows theirs.

    - One account from one address: after 5 failures each further one doubles a pause, from 1 s up to 15 minutes. A
      success, or a day without a failure, clears it.
    - One account from everywhere: after 30 failures within an hour likewise, up to 60 s. It does not hold for an
      address from which the account was signed in to before: its owner need not race against an attacker elsewhere.
    - One address, whatever the account: 200 failures, and one more each second. Successes cost nothing, so a
      classroom behind one address gets in.

    Attempts under way count as failures until they are known not to be, so that guesses sent together are no cheaper
    than one after the other. ``now`` is monotonic, in seconds.
    """

    def __init__(self, now: Callable[[], float], *, max_pairs: int = 50_000, max_accounts: int = 10_000) -> None:
        self._now = now
        self._pairs: _Memory[_Failures] = _Memory("sign_in_pair", max_pairs)
        self._accounts: _Memory[deque[float]] = _Memory("sign_in_account", max_accounts)
        self._trusted: _Memory[bool] = _Memory("sign_in_trusted", max_pairs)
        self._addresses = Buckets(
            "sign_in_address", limit=_ADDRESS_FAILURES, per_second=_ADDRESS_PER_SECOND, now=now, max_keys=max_pairs
        )
        self._running: Counter[str] = Counter()

    @asynccontextmanager
    async def attempt(self, account_key: str, address: str) -> AsyncIterator[Attempt]:
        """Room for one attempt: hash the password inside, then say how it went.

        ``account_key`` is what was typed, in its normal form; the account need not exist, and must not be looked up
        before. Raises Throttled during a pause; that neither counts nor lengthens the pause.
        """
        names = _names(account_key, address)
        self._check(names)
        attempt = Attempt(self, names)
        try:
            yield attempt
        finally:
            attempt._end()

    def check(self, account_key: str, address: str) -> None:
        """Would an attempt be let through now? Raises Throttled like `attempt`; keeps no room."""
        self._check(_names(account_key, address))

    def _check(self, names: _Names) -> None:
        waits = {
            "sign_in_pair": self._pair_wait(names.pair),
            "sign_in_account": 0.0 if names.pair in self._trusted else self._account_wait(names.account),
            "sign_in_address": self._address_wait(names.address),
        }
        by = max(waits, key=waits.__getitem__)
        if waits[by] > 0:
            metrics.throttled.labels(by).inc()
            raise Throttled(waits[by], "too many attempts to sign in")

    def _pair_wait(self, pair: str) -> float:
        failures, running = self._pair(pair), self._running[pair]
        if running and (running >= _PARALLEL or failures.count + running >= _PAIR_FREE):
            return _BUSY
        return failures.last + _pause(failures.count - _PAIR_FREE, _PAIR_LONGEST) - self._now()

    def _account_wait(self, account: str) -> float:
        times, running = self._account(account), self._running[account]
        if running and len(times) + running >= _ACCOUNT_FREE:
            return _BUSY
        return times[-1] + _pause(len(times) - _ACCOUNT_FREE, _ACCOUNT_LONGEST) - self._now() if times else 0.0

    def _address_wait(self, address: str) -> float:
        return 0.0 if self._addresses.level(address).remaining > self._running[address] else _BUSY

    def _failed(self, names: _Names) -> None:
        failures, times, now = self._pair(names.pair), self._account(names.account), self._now()
        failures.count += 1
        failures.last = now
        times.append(now)
        self._pairs.put(names.pair, failures)
        self._accounts.put(names.account, times)
        self._addresses.take(names.address)

    def _succeeded(self, names: _Names) -> None:
        self._pairs.drop(names.pair)
        self._trusted.put(names.pair, True)

    def _pair(self, pair: str) -> _Failures:
        found = self._pairs.get(pair)
        return found if found is not None and self._now() - found.last < _PAIR_MEMORY else _Failures(0, self._now())

    def _account(self, account: str) -> deque[float]:
        times = self._accounts.get(account)
        if times is None:
            times = deque(maxlen=_ACCOUNT_KEPT)
        while times and self._now() - times[0] >= _ACCOUNT_MEMORY:
            times.popleft()
        return times


def _names(account_key: str, address: str) -> _Names:
    account, where = account_key[:_KEY_LENGTH], address_key(address)
    return _Names(f"pair {where} {account}", f"account {account}", f"address {where}")


def _pause(beyond: int, longest: float) -> float:
    """Seconds after so many failures beyond the free ones: 1, 2, 4, ..., ``longest``."""
    return min(longest, 2.0 ** (beyond - 1)) if beyond > 0 else 0.0
