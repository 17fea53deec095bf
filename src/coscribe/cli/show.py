"""How the commands of accounts and documents show things, and how they ask whether something is meant."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import typer

from coscribe.cli.common import fail, out, print_json
from coscribe.cli.describe import harmless

Columns = Mapping[str, Callable[[dict[str, Any]], object]]
"""Headings, and what stands below them for an item."""

WIDE = 10_000
"""Columns of output that is read by a program: nothing is cut off or wrapped."""

_UNITS = ((timedelta(days=1), "day"), (timedelta(hours=1), "hour"), (timedelta(minutes=1), "minute"))
_FAR = timedelta(days=30)


def show_list(items: Iterable[dict[str, Any]], columns: Columns, *, json: bool, nothing: str) -> None:
    """A list as a table, or as JSON; ``nothing``: what to say of an empty one."""
    found = list(items)
    if json:
        print_json({"items": found})
    elif found:
        _table(list(columns), [[as_line(cell(item)) for cell in columns.values()] for item in found])
    else:
        out.print(nothing, highlight=False)


def show_one(item: dict[str, Any], columns: Columns, *, json: bool) -> None:
    """One thing, a line for each of its parts, or as JSON."""
    if json:
        print_json(item)
        return
    width = max(map(len, columns))
    for heading, cell in columns.items():
        say(f"{heading:<{width}}  {as_line(cell(item))}")


def show_done(item: dict[str, Any], words: str | list[str], *, json: bool) -> None:
    """What was done, in words, a line or several, or as JSON."""
    if json:
        print_json(item)
        return
    for line in [words] if isinstance(words, str) else words:
        say(line)


def say(words: str) -> None:
    """A line of text as it is: nothing in it is markup or moves the cursor."""
    out.print(as_line(words), highlight=False, markup=False, soft_wrap=True)


def as_line(value: object) -> str:
    """A value in one line; nothing in it is taken for a command by a terminal."""
    return "" if value is None else harmless(str(value).replace("\n", " "))


def ago(moment: str | None, now: datetime | None = None) -> str:
    """A time as people say it: how long ago, how soon, or a date."""
    if moment is None:
        return "never"
    then = datetime.fromisoformat(moment)
    distance = (now or datetime.now(UTC)) - then
    if abs(distance) >= _FAR:
        return then.astimezone().date().isoformat()
    for unit, name in _UNITS:
        count = round(abs(distance) / unit)
        if abs(distance) >= unit:
            words = f"{count} {name}{'' if count == 1 else 's'}"
            return f"{words} ago" if distance > timedelta() else f"in {words}"
    return "just now" if distance > timedelta() else "in a moment"


def confirm(question: str, yes: bool) -> None:
    """Asks before something that cannot be taken back. Ends where the answer is no, or nobody is there to ask."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail(f"not done without being asked: {question}", "Give --yes to have it done without a question.")
    if not typer.confirm(as_line(question), err=True):
        raise typer.Exit(1)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=heading == "id", overflow="fold", min_width=len(heading))
    for row in rows:
        table.add_row(*map(Text, row))
    (out if out.is_terminal else Console(width=WIDE)).print(table)
