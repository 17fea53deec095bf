"""How a concurrent history can be played through a server that puts everything into one order.

At each of its edits an author must know exactly the edits that the history says. What a client of a central server
knows is always a prefix of the server's order, plus its own edits, sent or not. So there are two freedoms: an author
takes in what has come to it only when it has to, and it sends an edit at once or lets it wait, as if it were offline.

An edit has to be sent, at the latest, when somebody else is about to make one that knows it. Sent earlier, it stands in
the order before edits that its author does not know of, and the *server* has to rebase those: that is what a replay is
to show. But an author has one message in flight, and its acknowledgement comes with everything that stands before it.
So an early edit can leave the other author stuck: unable to send again what is needed, since it may not yet know what
stands before its last message. With two authors that can be foreseen, see `_Scheduler._may_send`: what the other one
does not know yet is sent as soon as it is made, unless somebody would get stuck. With more authors every edit waits for
the latest moment.

    history            a1 and b1 know nothing of each other; a2 knows b1; b2 knows a1
    steps              make a1, send a1, make b1, send b1 (the server rebases it), a sees b1, make a2, ...
    server's order     a1 b1 a2 b2

Two authors can always be served. With more it may not work: if one knows only x and another one only y, no order
gives both a prefix.

The authors' edits are counted from 1 on. An author's knowledge is how many edits of each author it knows (authors
know their own edits, so these are always the first ones).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import itemgetter
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


class _Needs:
    """When two authors need each other's edits, and how much each may know when.

    ``at[a]``: the txns of the other author that know more of a's edits than the ones before, and how many they know.
    """

    def __init__(self, trace: Trace, knowledge: Sequence[_Knowledge]) -> None:
        self._at: list[list[tuple[int, int]]] = [[], []]
        self._txns: list[list[int]] = [[], []]
        self._knows: list[list[int]] = [[], []]
        for number, (txn, known) in enumerate(zip(trace.txns, knowledge, strict=True)):
            me, other = txn.agent, 1 - txn.agent
            needs = self._at[other]
            if known[other] > (needs[-1][1] if needs else 0):
                needs.append((number, known[other]))
            self._txns[me].append(number)
            self._knows[me].append(known[other])

    def next(self, author: int, sent: int) -> tuple[int, int] | None:
        """The first txn of the other that knows more than ``sent`` of the author's edits, and how many it knows."""
        needs = self._at[author]
        index = bisect_right(needs, sent, key=itemgetter(1))
        return needs[index] if index < len(needs) else None

    def may_know(self, author: int, number: int, count: int) -> bool:
        """Whether the author may know ``count`` of the other's edits right before txn ``number``."""
        index = bisect_right(self._txns[author], number)
        return index == len(self._txns[author]) or self._knows[author][index] >= count


class _Author:
    """Where one author is. ``known`` counts, by author, the edits in the part of the order that it has taken in."""

    def __init__(self, authors: int) -> None:
        # ``before_last``: how many edits of others stand before the end of its last message, at ``last_place``.
        self.made = 0
        self.sent = 0
        self.last_place = 0
        self.before_last = 0
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
        self._needs = _Needs(trace, self._knowledge) if trace.agents == 2 else None

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
            if self._needs is not None and self._may_send(txn.agent, number, self._needs):
                yield from self._send(txn.agent, author.made)
        for index, author in enumerate(self._authors):
            yield from self._send(index, author.made)
        for index in range(len(self._authors)):
            yield from self._see(index, len(self._order))

    def _may_send(self, index: int, number: int, needs: _Needs) -> bool:
        """Whether an author should send all it has after txn ``number``: nobody gets stuck by that later.

        While the other one has nothing to be rebased, and will know these edits when it types on, they can wait and
        go out together.
        """
        author, other = self._authors[index], self._authors[1 - index]
        if other.made == other.sent and needs.may_know(1 - index, number, author.made):
            return False
        if author.made - author.sent > self._chain:
            return False
        if not needs.may_know(index, number, author.before_last):
            return False  # its last message cannot be acknowledged yet
        need = needs.next(index, author.made)
        if need is not None and not needs.may_know(index, need[0], other.sent):
            return False  # this message could not be acknowledged when the next one is needed
        need = needs.next(1 - index, other.sent)
        if need is None:
            return True
        # The other's next message will stand behind this one, and has to be acknowledged before the one after it.
        when, through = need
        if through - other.sent <= self._chain:
            after = needs.next(1 - index, through)
            if after is None:
                return True
            when = after[0]
        return needs.may_know(1 - index, when, author.made)

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
            author.before_last = len(self._order) - author.sent
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


def rebased(steps: Sequence[Step], authors: int) -> int:
    """How many edits reach the server behind edits that their authors do not know: the server has to rebase them."""
    order: list[int] = []
    seen, sent = [0] * authors, [0] * authors
    count = 0
    for step in steps:
        if isinstance(step, See):
            seen[step.author] = step.through
        elif isinstance(step, Send):
            size = step.through - sent[step.author]
            if any(whose != step.author for whose in order[seen[step.author] :]):
                count += size
            order.extend([step.author] * size)
            sent[step.author] = step.through
    return count
