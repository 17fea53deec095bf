"""A document while it changes, in a terminal or line by line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from coscribe.cli.common import out
from coscribe.cli.describe import Edit, harmless, in_words
from coscribe.cli.live import connected, open_live
from coscribe.client import Change, Document

REFRESH = 0.1
"""Seconds between two looks."""

FRAME_LINES = 6
"""Lines of the terminal that are not the text's."""


async def cat_live(server: str, token: str, file_id: str) -> tuple[int, int, str]:
    """Version, sequence and text as the server shows them now. Ends with advice."""
    async with connected(server, token) as client:
        document = await open_live(client, file_id, server)
        return document.version, document.sequence, document.text


async def watch(server: str, token: str, file_id: str, changes: int) -> None:
    """Shows the document until it has changed so many times (0: for ever). Ends with advice."""
    async with connected(server, token) as client:
        document = await open_live(client, file_id, server)
        if out.is_terminal:
            await _on_screen(document, changes)
        else:
            await _by_line(document, changes)


async def _by_line(document: Document, changes: int) -> None:
    typer.echo(f"{document.file_id}: version {document.version}, {len(document.text)} characters")
    version, seen = document.version, 0
    async with document.changes() as coming:
        async for change in coming:
            seen += 1
            if change.edits is None:
                version = document.version
                typer.echo(f"v{version} read anew: {len(document.text)} characters")
            else:
                version += bool(change.edits)
                typer.echo(f"v{version} {change.author}: {in_words([Edit(*edit) for edit in change.edits])}")
            if seen == changes:
                return


async def _on_screen(document: Document, changes: int) -> None:
    seen = 0
    last: Change | None = None

    def count(change: Change) -> None:
        nonlocal seen, last
        seen += 1
        last = change

    stop: Callable[[], None] = document.listen(count)
    try:
        with Live(console=out, auto_refresh=False, screen=True) as live:
            while True:
                live.update(_render(document, last, out), refresh=True)
                if changes and seen >= changes:
                    return
                await asyncio.sleep(REFRESH)
    finally:
        stop()


def _render(document: Document, last: Change | None, console: Console) -> RenderableType:
    """The end of the text, and a line about where it is and who is there."""
    height = max(3, console.height - FRAME_LINES)
    tail = harmless(document.text).split("\n")[-height:]
    people = sorted({participant.display_name for participant in document.participants.values()})
    status = Text(
        f"version {document.version}  sequence {document.sequence}  {len(document.text)} characters  "
        f"{document.state.value}  here: {', '.join(people) or 'nobody'}"
    )
    words = "nothing yet" if last is None else "read anew"
    if last is not None and last.edits is not None:
        words = f"{last.author}: {in_words([Edit(*edit) for edit in last.edits])}"
    panel = Panel(Text("\n".join(tail)), title=document.file_id, title_align="left", height=height + 2)
    return Group(panel, status, Text(f"last change: {words}", style="dim", no_wrap=True))
