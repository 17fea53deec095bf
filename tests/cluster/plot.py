"""Acknowledgements per second over time, and when what went wrong: an SVG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 1_200, 300, 48, 90, 28


class Span(NamedTuple):
    """Seconds since the beginning. ``settled``: when all that it had taken away was there again."""

    name: str
    began: float
    ended: float
    settled: float


def plot(acknowledged: Sequence[float], faults: Sequence[Span], seconds: float, title: str) -> str:
    """``acknowledged``: seconds since the beginning, of each operation."""
    counts = Counter(int(at) for at in acknowledged)
    most = max(counts.values(), default=1)
    scale = (WIDTH - LEFT - 12) / max(1.0, seconds)

    def x(at: float) -> str:
        return f"{LEFT + at * scale:.1f}"

    def y(count: float) -> str:
        return f"{TOP + HEIGHT * (1 - count / most):.1f}"

    end = TOP + HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {end + BOTTOM}" font-family="sans-serif"'
        ' font-size="10">',
        f'<rect width="{WIDTH}" height="{end + BOTTOM}" fill="#fff"/>',
        f'<text x="{LEFT}" y="14" font-size="13">{escape(title)}</text>',
    ]
    for fault in faults:
        for begin, stop, fill in ((fault.began, fault.ended, "#e03131"), (fault.ended, fault.settled, "#f59f00")):
            width = max(0.8, (stop - begin) * scale)
            parts.append(
                f'<rect x="{x(begin)}" y="{TOP}" width="{width:.1f}" height="{HEIGHT}" fill="{fill}" opacity="0.22"/>'
            )
        parts.append(
            f'<text transform="translate({x(fault.began)} {TOP - 4}) rotate(-38)" font-size="8">'
            f"{escape(fault.name)}</text>"
        )
    line = " ".join(f"{x(second)},{y(counts[second])}" for second in range(int(seconds) + 1))
    parts.append(f'<polyline points="{line}" fill="none" stroke="#1864ab"/>')
    for count in (0, most // 2, most):
        parts.append(f'<text x="{LEFT - 6}" y="{y(count)}" text-anchor="end">{count}</text>')
    step = next(step for step in (5, 10, 30, 60, 120, 300, 600, 3_600) if seconds / step <= 20 or step == 3_600)
    for at in range(0, int(seconds) + 1, step):
        parts.append(f'<text x="{x(at)}" y="{end + 14}" text-anchor="middle">{at} s</text>')
    parts.append(f'<path d="M{LEFT} {TOP}V{end}H{WIDTH - 12}" fill="none" stroke="#868e96"/>')
    return "\n".join([*parts, "</svg>", ""])
