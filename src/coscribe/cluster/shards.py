"""Where each shard belongs, from the names of the instances alone, so that nobody has to agree on anything.

Rendezvous hashing with a bound: a name and a shard have a *score*. Each shard asks the name with its highest score, one
after the other down its list; a name that has more than its *room* puts out the shard with the lowest score, which asks
on. What comes out does not depend on the order in which they ask, or on what was before.

    room = 1.05 x shards / names

The bound is there because 1,024 shards are few: without it the fullest of ten names has 22 % more than its share, of
twenty 37 %. With it nobody has more than 6 % too much (8 % of fifty, where a share is twenty shards). It costs a few
moves: where one name comes or goes, 1.1 times the shards that have to move do so with ten names, 1.2 times with twenty.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from heapq import heappush, heappushpop
from zlib import crc32

from coscribe.cluster.ports import SHARDS

SLACK = 0.05
"""How much more than its share a name may have."""

_DIGEST = 64
_SCORE = 8


def shard_of(workspace_id: str) -> int:
    """The shard that a workspace is in, for good."""
    return crc32(workspace_id.encode()) % SHARDS


@lru_cache(maxsize=64)
def places(names: frozenset[str]) -> tuple[str, ...]:
    """For each shard the name that it belongs to; "" where there are no names."""
    if not names:
        return ("",) * SHARDS
    room = -int(-SHARDS * (1 + SLACK) // len(names))
    kept: dict[str, list[tuple[int, int]]] = {name: [] for name in names}
    lists: dict[int, Iterator[tuple[int, str]]] = {}
    asking = list(range(SHARDS))
    while asking:
        shard = asking.pop()
        if shard not in lists:
            lists[shard] = iter(sorted(((_scores(name)[shard], name) for name in names), reverse=True))
        score, name = next(lists[shard])
        if len(kept[name]) < room:
            heappush(kept[name], (score, shard))
        else:
            asking.append(heappushpop(kept[name], (score, shard))[1])
    belongs = {shard: name for name, shards in kept.items() for _, shard in shards}
    return tuple(belongs[shard] for shard in range(SHARDS))


@lru_cache(maxsize=1_024)
def _scores(name: str) -> tuple[int, ...]:
    """Of a name with each shard."""
    blocks = range(SHARDS * _SCORE // _DIGEST)
    drawn = b"".join(blake2b(f"{name}\0{block}".encode(), digest_size=_DIGEST).digest() for block in blocks)
    return tuple(int.from_bytes(drawn[at : at + _SCORE], "big") for at in range(0, len(drawn), _SCORE))
