"""The figures as an SVG: for each of some figures a panel with one bar for each system. Nothing but text is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from xml.sax.saxutils import escape

_COLUMNS = 2
_PANEL_WIDTH, _MARGIN, _LABEL_WIDTH, _VALUE_WIDTH = 460, 20, 130, 70
_BAR, _GAP, _TITLE = 18, 6, 44
_HEAD = 34
_OURS, _THEIRS, _INK, _SOFT = "#1f6feb", "#b8c0ca", "#1f2328", "#59636e"


class Panel(NamedTuple):
    """``values``: by system, in the order of the bars. ``ours`` is the bar that stands out."""

    title: str
    note: str
    values: Mapping[str, float]
    ours: str


def svg(title: str, panels: list[Panel]) -> str:
    """The whole picture. Bars begin at zero; the longest of a panel is as long as there is room for."""
    most = max((len(panel.values) for panel in panels), default=0)
    height = _TITLE + most * (_BAR + _GAP) + _MARGIN
    rows = -(-len(panels) // _COLUMNS)
    width, total = _COLUMNS * _PANEL_WIDTH + _MARGIN, _HEAD + rows * height + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{total}" viewBox="0 0 {width} {total}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{total}" fill="#ffffff"/>',
        _text(_MARGIN, 26, title, size=15, weight=600),
    ]
    for number, panel in enumerate(panels):
        x = _MARGIN + number % _COLUMNS * _PANEL_WIDTH
        y = _HEAD + number // _COLUMNS * height
        parts += _panel(panel, x, y)
    return "\n".join([*parts, "</svg>", ""])


def short(value: float) -> str:
    """A number with as many digits as fit beside a bar."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _panel(panel: Panel, x: int, y: int) -> list[str]:
    parts = [
        _text(x, y + 18, panel.title, size=13, weight=600),
        _text(x, y + 34, panel.note, size=11, fill=_SOFT),
    ]
    longest = max(panel.values.values(), default=0.0)
    room = _PANEL_WIDTH - _MARGIN - _LABEL_WIDTH - _VALUE_WIDTH
    for number, (system, value) in enumerate(panel.values.items()):
        top = y + _TITLE + number * (_BAR + _GAP)
        middle = top + _BAR - 5
        is_ours = system == panel.ours
        length = max(1.0, value / longest * room) if longest > 0 else 1.0
        weight = 600 if is_ours else 400
        parts += [
            _text(x + _LABEL_WIDTH - 8, middle, system, weight=weight, anchor="end"),
            f'<rect x="{x + _LABEL_WIDTH}" y="{top}" width="{length:.1f}" height="{_BAR}" rx="2" '
            f'fill="{_OURS if is_ours else _THEIRS}"/>',
            _text(x + _LABEL_WIDTH + length + 6, middle, short(value), weight=weight),
        ]
    return parts


def _text(
    x: float, y: float, text: str, *, size: int = 12, weight: int = 400, fill: str = _INK, anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )
