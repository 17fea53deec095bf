"""Budgets: how many messages that edit an account or a document may send, over all its connections.

A connection has a rate of its own (gateway/connection.py). These two see to it that an account gains nothing by more
connections, and that one busy document leaves room for the others. What is over a budget is refused as
``rate_limited``, which clients send again; what was committed before is acknowledged all the same.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from coscribe.metrics import metrics


class Budgets(NamedTuple):
    """Messages per second, and how many at once. An account whose messages lie back longest is forgotten first."""

    account_rate: float = 5_000.0
    account_burst: float = 10_000.0
    document_rate: float = 20_000.0
    document_burst: float = 40_000.0
    accounts: int = 50_000


class Bucket:
    """Holds up to ``burst`` and refills with ``rate`` per second; only looked at when it is empty."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = now

    def has_some(self, now: float) -> bool:
        if self._left < 1.0:
            self._left = min(self._burst, self._left + (now - self._at) * self._rate)
            self._at = now
        return self._left >= 1.0

    def take(self, cost: float = 1.0) -> None:
        """Where there is some; what costs more than is there is paid for by those who come next."""
        self._left -= cost


class AccountBuckets:
    """A bucket for each account that has edited lately; one that is forgotten begins full."""

    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def of(self, account: str, now: float) -> Bucket:
        bucket = self._buckets.get(account)
        if bucket is None:
            bucket = self._buckets[account] = Bucket(self._budgets.account_rate, self._budgets.account_burst, now)
            if len(self._buckets) > self._budgets.accounts:
                self._buckets.popitem(last=False)
            metrics.budget_keys.set(len(self._buckets))
        else:
            self._buckets.move_to_end(account)
        return bucket
