"""Gatekeeper: how many may be connected, in all, from one address, of one account, and without saying who they are.

    handshake   too many in all, or from the address: refused before anything is allocated    503, 429
    connected   a stranger; the strangers who have been silent longest give way to new ones    hello_timeout
    hello       too many of the account: told so, and closed                                   too_many_requests

An account is not known before hello, so a flood of connections that say nothing is met by the first two. Guests and
whoever holds the folder's key have no account, and are not counted by one.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple, Protocol

from coscribe.metrics import metrics


class Counts:
    """How many there are of each key, at most ``most``; the key "" is nobody's and not counted."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._held: dict[str, int] = {}

    def is_full(self, key: str) -> bool:
        return bool(key) and self._held.get(key, 0) >= self.most

    def add(self, key: str) -> None:
        if key:
            self._held[key] = self._held.get(key, 0) + 1

    def remove(self, key: str) -> None:
        if key:
            left = self._held[key] - 1
            if left:
                self._held[key] = left
            else:
                del self._held[key]


class Refusal(NamedTuple):
    """Why a handshake is refused: a status of HTTP, and a reason for people."""

    status: HTTPStatus
    reason: str


RETRY_AFTER = 5
"""Seconds after which one who was refused at the handshake may try again."""


class Stranger(Protocol):
    """A connection that has not said hello."""

    def give_way(self) -> None:
        """Others need the room: closes it."""
        ...


class Gatekeeper:
    """Counts connections, from the handshake to the end of the transport."""

    def __init__(self, *, most: int, per_address: int, per_account: int, strangers: int) -> None:
        self._most = most
        self._most_strangers = strangers
        self._open = 0
        self._addresses = Counts(per_address)
        self._accounts = Counts(per_account)
        self._strangers: dict[Stranger, None] = {}

    def refusal(self, address: str) -> Refusal | None:
        """Whether one more may come in from an address (its `counted_key`); None: it may."""
        if self._open >= self._most:
            metrics.shed.labels("all").inc()
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections")
        if self._addresses.is_full(address):
            metrics.shed.labels("address").inc()
            return Refusal(HTTPStatus.TOO_MANY_REQUESTS, "too many connections from this address")
        return None

    def came(self, stranger: Stranger, address: str) -> None:
        """One has come in. Where there are too many strangers the one who came first goes."""
        self._open += 1
        self._addresses.add(address)
        self._strangers[stranger] = None
        if len(self._strangers) > self._most_strangers:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            metrics.shed.labels("strangers").inc()
            oldest.give_way()
        metrics.strangers.set(len(self._strangers))

    def spoke(self, stranger: Stranger) -> None:
        """One has said hello. Whether that is true is being looked up; it need not make room for others meanwhile."""
        self._forget(stranger)

    def named(self, account: str) -> bool:
        """One is known to be of an account. False: there are too many of that account."""
        if self._accounts.is_full(account):
            metrics.shed.labels("account").inc()
            return False
        self._accounts.add(account)
        return True

    def went(self, stranger: Stranger, address: str, account: str) -> None:
        """The transport of one is gone. ``account``: as it was `named`, "" where it was not."""
        self._open -= 1
        self._addresses.remove(address)
        self._accounts.remove(account)
        self._forget(stranger)

    def _forget(self, stranger: Stranger) -> None:
        self._strangers.pop(stranger, None)
        metrics.strangers.set(len(self._strangers))
