"""Recorded editing histories, as files: sequential and concurrent ones, ``.json`` or ``.json.gz``.

    sequential   {startContent?, endContent, txns: [{patches: [[position, deleted, inserted], ...]}]}
    concurrent   {kind: "concurrent", endContent, numAgents, txns: [{parents, agent, patches}]}

The patches of a txn come one after the other, each on the text that the one before it leaves. Sequential: each txn is
based on the one before it. Concurrent: on what its agent had at ``parents``, numbers of earlier txns.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

_Natural = Annotated[int, msgspec.Meta(ge=0)]
Patch = tuple[_Natural, _Natural, str]
"""Position, number of code points deleted there, text inserted there."""

_REFUSED = re.compile("[\0\r\ud800-\udfff]")


class TraceError(Exception):
    """This file is no trace that can be played. The text is for people."""


class Txn(msgspec.Struct, gc=False):
    """What one author did at once."""

    patches: list[Patch]
    parents: list[_Natural] = []
    agent: _Natural = 0


class Trace(NamedTuple):
    """A history: ``start`` and ``end`` are texts, ``agents`` the number of authors (1 where it is sequential)."""

    name: str
    concurrent: bool
    start: str
    end: str
    agents: int
    txns: list[Txn]

    @property
    def edits(self) -> int:
        return sum(len(txn.patches) for txn in self.txns)


class _File(msgspec.Struct, rename="camel"):
    end_content: str
    txns: list[Txn]
    kind: str = "sequential"
    start_content: str = ""
    num_agents: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 1


def load(path: Path) -> Trace:
    """Reads a trace. Patches that change nothing are left out. Raises OSError, TraceError."""
    raw = path.read_bytes()
    try:
        file = msgspec.json.decode(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw, type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TraceError(f"this is not a trace: {error}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TraceError(f"this cannot be unpacked: {error}") from None
    if file.kind not in ("sequential", "concurrent"):
        raise TraceError(f"a trace of kind {file.kind!r}: known are sequential and concurrent")
    for number, txn in enumerate(file.txns):
        txn.patches = [patch for patch in txn.patches if patch[1] or patch[2]]
        if any(_REFUSED.search(patch[2]) for patch in txn.patches):
            raise TraceError(f"txn {number} inserts a CR, a NUL or half a surrogate pair, which no text here may hold")
        if txn.agent >= file.num_agents or any(parent >= number for parent in txn.parents):
            raise TraceError(f"txn {number} names an agent or a parent that is not there")
    name = path.name.removesuffix(".gz").removesuffix(".json")
    return Trace(name, file.kind == "concurrent", file.start_content, file.end_content, file.num_agents, file.txns)
