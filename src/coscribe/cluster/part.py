"""What is one instance's to do, of all that there is to do."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import NamedTuple

from coscribe.cluster.errands import Errands
from coscribe.cluster.ports import Owners
from coscribe.cluster.shards import shard_of

LEADING = next(name for name in map("chores-{}".format, count()) if shard_of(name) == 0)
"""Whoever owns this does what is done once for all: it is in shard 0, and no workspace's id."""


def _always(_: str) -> bool:
    return True


class Part(NamedTuple):
    """``owns``: whether a workspace is this instance's to load, at this very moment; ``holds``: whether it is to show
    and to write on the disk, as long as it is handed over, too. ``leads``: whether it does what is done once for all.
    ``errands`` None: there are no other instances."""

    owns: Callable[[str], bool] = _always
    holds: Callable[[str], bool] = _always
    leads: Callable[[], bool] = lambda: True
    errands: Errands | None = None

    @property
    def is_alone(self) -> bool:
        return self.errands is None


ALONE = Part()


def part_of(owners: Owners, errands: Errands) -> Part:
    """That of an instance with others beside it; a gateway owns nothing, and so does nothing by itself."""
    return Part(owners.owns, owners.holds, lambda: owners.owns(LEADING), errands)
