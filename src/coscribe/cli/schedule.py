"""How a concurrent history can be played through a server that puts everything into one order.

At each of its edits an author must know exactly the edits that the history says. What a client of a central server
knows is always a prefix of the server's order, plus its own edits, sent or not. So the server's order has to be
chosen to fit: an author's edits wait in its queue, as those of somebody who is offline, until somebody else is about
to make an edit that knows them. Just then they are sent, as many as that edit knows and no more.

    history            a1 and b1 know nothing of each other; a2 knows b1; b2 knows a1
    steps              make a1, make b1, send b1, a sees b1, make a2, send a1, b sees a1, make b2, send a2, send b2
    server's order     b1 a1 a2 b2

With two authors this always works: what is sent is known to the other at once, so nobody ever has something in flight
behind an edit that it may not see yet. With more it may not: if one knows only x and another one only y, no order
gives both a prefix.

The authors' edits are counted from 1 on. An author's knowledge is how many edits of each author it knows (authors
know their own edits, so these are always the first ones).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from coscribe.cli.traces import Patch, Trace, TraceError


class Make(NamedTuple):
    """The author edits its own copy."""

    author: int
    patch: Patch


class Send(NamedTuple):
    """The author sends its edits that are not sent yet, up to its edit number ``through``, in one message."""

    author: int
    through: int


class See(NamedTuple):
    """The author takes in the server's order, up to and including the edit at place ``through`` (from 1 on)."""

    author: int
    through: int


Step = Make | Send | See

_Knowledge = tuple[int, ...]


class _Author:
    """Where one author is. ``known`` counts, by author, the edits in the part of the order that it has taken in."""

    def __init__(self, authors: int) -> None:
        self.made = 0
        self.sent = 0
        self.last_place = 0
        self.seen = 0
        self.known = [0] * authors
        self.coming: list[_Knowledge] = []
        """What it has to know at its edits that are still to come, the next one last."""


class _Scheduler:
    def __init__(self, trace: Trace, chain: int) -> None:
        self._trace = trace
        self._chain = chain
        self._authors = [_Author(trace.agents) for _ in range(trace.agents)]
        self._order: list[int] = []
        """Whose each place of the server's order is."""
        self._places: list[list[int]] = [[0] for _ in range(trace.agents)]
        """By author and number of an edit: its place."""
        self._knowledge = _knowledge(trace)
        for txn, known in zip(reversed(trace.txns), reversed(self._knowledge), strict=True):
            self._authors[txn.agent].coming.append(known)

    def steps(self) -> Iterator[Step]:
        for number, txn in enumerate(self._trace.txns):
            author = self._authors[txn.agent]
            known = author.coming[-1]
            try:
                yield from self._acquaint(txn.agent, known)
            except TraceError as error:
                raise TraceError(f"txn {number} cannot be played through one server: {error}") from None
            author.coming.pop()
            for patch in txn.patches:
                author.made += 1
                yield Make(txn.agent, patch)
        for index, author in enumerate(self._authors):
            yield from self._send(index, author.made)
        for index in range(len(self._authors)):
            yield from self._see(index, len(self._order))

    def _acquaint(self, index: int, known: _Knowledge) -> Iterator[Step]:
        """Makes an author know exactly what it must before its next edit."""
        through = self._authors[index].seen
        for other, count in enumerate(known):
            if other != index and count:
                yield from self._send(other, count)
                through = max(through, self._places[other][count])
        yield from self._see(index, through)

    def _send(self, index: int, through: int) -> Iterator[Step]:
        author = self._authors[index]
        while author.sent < through:
            # One message in flight: the one before has to be acknowledged, with all that is in front of it.
            yield from self._see(index, max(author.seen, author.last_place))
            count = min(self._chain, through - author.sent)
            for _ in range(count):
                self._order.append(index)
                self._places[index].append(len(self._order))
            author.sent += count
            author.last_place = len(self._order)
            yield Send(index, author.sent)

    def _see(self, index: int, through: int) -> Iterator[Step]:
        """Raises TraceError where the author would come to know more than it may at its next edit."""
        author = self._authors[index]
        if through == author.seen:
            return
        for whose in self._order[author.seen : through]:
            author.known[whose] += 1
        author.seen = through
        if author.coming:
            for other, (knows, may_know) in enumerate(zip(author.known, author.coming[-1], strict=True)):
                if other != index and knows > may_know:
                    raise TraceError(
                        f"agent {index} would know {knows} edits of agent {other}, but the history says {may_know}"
                    )
        yield See(index, through)


def schedule(trace: Trace, chain: int) -> list[Step]:
    """The steps that play a concurrent trace; a message carries at most ``chain`` edits.

    Raises TraceError where the history is not consistent, or fits no single order.
    """
    return list(_Scheduler(trace, chain).steps())


def _knowledge(trace: Trace) -> list[_Knowledge]:
    """By txn: how many edits of each author its author knows before it."""
    before: list[_Knowledge] = []
    after: list[_Knowledge] = []
    made = [0] * trace.agents
    for number, txn in enumerate(trace.txns):
        parents = [after[parent] for parent in txn.parents]
        known = tuple(max(counts) for counts in zip(*parents, strict=True)) if parents else (0,) * trace.agents
        if known[txn.agent] != made[txn.agent]:
            raise TraceError(f"txn {number}: agent {txn.agent} does not know all of its own edits before it")
        made[txn.agent] += len(txn.patches)
        before.append(known)
        after.append((*known[: txn.agent], made[txn.agent], *known[txn.agent + 1 :]))
    return before
