"""What kind of run is wanted, and what came of it."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tests.cluster.plot import Span
from tests.cluster.schedule import Fault


class Wanted(NamedTuple):
    """What kind of run. ``rate``: edits a second of all together; ``visits``: documents that are opened in a second.
    ``most``: documents that a socket has open. ``only``: these faults and no others, if there are any.
    ``rounds``: each fault so many times, however long that takes; 0: for as long as ``seconds`` say. ``breath``:
    seconds between what one fault has cost and the next, about."""

    seconds: float = 1_200.0
    documents: int = 10_000
    sockets: int = 2_000
    cores: int = 3
    gateways: int = 2
    workspaces: int = 3
    rate: float = 80.0
    visits: float = 30.0
    most: int = 1
    seed: int = 1
    only: tuple[str, ...] = ()
    rounds: int = 0
    breath: float = 5.0
    plot: str = ""

    @property
    def command(self) -> str:
        """What carries out the same schedule again."""
        usual = Wanted()
        chosen = [
            f"--{name} {value:g}"
            for name, value in self._asdict().items()
            if name not in ("only", "plot", "seed") and value != getattr(usual, name)
        ]
        only = f" --only {' '.join(map(repr, self.only))}" if self.only else ""
        return f"python -m tests.cluster {' '.join([*chosen, f'--seed {self.seed}'])}{only}"


class Cost(NamedTuple):
    """What one fault has cost, in seconds. ``back``: of each document that was probed, from the beginning of the fault
    to the first acknowledgement of something typed since. ``silence``: the longest time in which nobody at all had
    anything acknowledged."""

    fault: Fault
    whom: str
    span: Span
    back: list[float]
    silence: float


class Outcome(NamedTuple):
    """``peak``: acknowledgements in the busiest second. ``reckoned``: entries, workspaces, and texts compared."""

    wanted: Wanted
    seconds: float
    costs: list[Cost]
    left_out: dict[str, str]
    acknowledged: int
    visited: int
    typed: int
    written: int
    handed_back: int
    heals: int
    connects: int
    entries: int
    workspaces: int
    compared: int
    violations: list[str]

    def __str__(self) -> str:
        wanted = self.wanted
        back = sorted(seconds for cost in self.costs if cost.whom.startswith("core") for seconds in cost.back)
        lines = [
            f"cluster: {wanted.cores} cores, {wanted.gateways} gateways, {wanted.sockets} sockets, {wanted.documents}"
            f" documents ({self.visited} visited), {wanted.workspaces} working trees, {self.seconds:.0f} s",
            f"{self.acknowledged} operations acknowledged, {self.typed} words typed, {self.written} by programs,"
            f" {self.handed_back} handed back, {self.heals} heals, {self.connects} connections",
            f"{len(self.costs)} faults:",
            f"  {'fault':<24} {'times':>5} {'back: first':>12} {'p50':>7} {'p99':>7} {'longest silence':>16}",
            *self._table(),
            f"taking over from a core: {quantiles(back)}" if back else "no core was troubled",
            *(f"left out: {kind}: {reason}" for kind, reason in self.left_out.items()),
            f"the log: {self.entries} entries of {self.workspaces} workspaces, {self.compared} texts compared",
            f"{len(self.violations)} violations, seed {wanted.seed}",
            *(f"  {violation}" for violation in self.violations[:30]),
            f"replay with: {wanted.command}",
        ]
        return "\n".join(lines)

    def _table(self) -> Iterable[str]:
        kinds: dict[str, list[Cost]] = defaultdict(list)
        for cost in self.costs:
            kinds[cost.fault.kind].append(cost)
        for kind, costs in sorted(kinds.items()):
            back = sorted(seconds for cost in costs for seconds in cost.back)
            first = statistics.median(min(cost.back, default=0.0) for cost in costs)
            silence = max(cost.silence for cost in costs)
            yield (
                f"  {kind:<24} {len(costs):>5} {first:>10.2f} s {at_share(back, 0.5):>5.2f} s"
                f" {at_share(back, 0.99):>5.2f} s {silence:>14.2f} s"
            )


def quantiles(ordered: Sequence[float]) -> str:
    """Of seconds, in words."""
    return (
        f"p50 {at_share(ordered, 0.5):.2f} s, p99 {at_share(ordered, 0.99):.2f} s, longest {ordered[-1]:.2f} s"
        f" ({len(ordered)} documents)"
    )


def at_share(ordered: Sequence[float], share: float) -> float:
    """What so large a part does not exceed; 0 where there is nothing."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
