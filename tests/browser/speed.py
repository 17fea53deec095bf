"""How much of a browser's main thread a keystroke costs here, against bare CodeMirror fed the same remote edits.

Both pages show one text of a megabyte in which ten people type, each at a place of their own, while the keyboard of
this one types at the end. The editor gets their operations from the server; the bare page gets the very same edits at
the same pace, ready made, over a WebSocket. What is compared is the time of tasks in the main thread, as the browser
counts it, per keystroke: the remote edits are in it on both sides.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from playwright.async_api import CDPSession, Page
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from coscribe.client import Client
from tests.browser.windows import Room, Window, eventually

WEB = Path(__file__).resolve().parent.parent.parent / "web"
TYPISTS = 10
PAUSE = 0.2
"""Seconds between two keys of one typist."""
KEY_PAUSE = 0.05

_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


def long_text(size: int) -> str:
    """About so many characters, in lines as people write them."""
    line = "The quick brown fox jumps over the lazy dog, line {:07d}.\n"
    return "".join(line.format(number) for number in range(size // len(line.format(0)) + 1))


def places(length: int) -> list[int]:
    """Where the typists begin, spread over the text."""
    return [length * (index + 1) // (TYPISTS + 1) for index in range(TYPISTS)]


async def typists(type_one: Callable[[int, str], None]) -> None:
    """Everybody types, one after the other, until cancelled."""
    count = 0
    while True:
        for typist in range(TYPISTS):
            type_one(typist, "abcdefghij"[count % 10])
            await asyncio.sleep(PAUSE / TYPISTS)
        count += 1


# ---- the bare page


def build_bare(folder: Path) -> None:
    """Builds the page of `web/packages/editor/bench` into a folder."""
    command = ["node", "../../node_modules/vite/bin/vite.js", "build", "bench", "--config", "bench/vite.config.ts"]
    subprocess.run(
        [*command, "--logLevel", "error", "--outDir", str(folder)], cwd=WEB / "packages" / "editor", check=True
    )


class BarePage(NamedTuple):
    """``tell`` sends an edit (position, text) to everybody who has the page open."""

    port: int
    tell: Callable[[int, str], None]


@asynccontextmanager
async def serve_bare(folder: Path, text: str) -> AsyncIterator[BarePage]:
    """Serves the built page, the text and the feed."""
    connections: set[ServerConnection] = set()

    def files(_: ServerConnection, request: Request) -> Response | None:
        path = request.path.lstrip("/") or "index.html"
        if path == "feed":
            return None
        body = text.encode() if path == "text" else (folder / path).read_bytes() if (folder / path).is_file() else b""
        media = _TYPES.get(Path(path).suffix, "text/plain")
        headers = Headers({"Content-Type": f"{media}; charset=utf-8", "Content-Length": str(len(body))})
        return Response(HTTPStatus.OK, "OK", headers, body)

    async def feed(connection: ServerConnection) -> None:
        connections.add(connection)
        await connection.wait_closed()
        connections.discard(connection)

    tasks: set[asyncio.Task[None]] = set()

    def tell(at: int, text: str) -> None:
        frame = json.dumps({"from": at, "insert": text})
        for connection in connections:
            task = asyncio.create_task(connection.send(frame))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async with serve(feed, "127.0.0.1", 0, process_request=files) as server:
        yield BarePage(server.sockets[0].getsockname()[1], tell)


# ---- measuring


async def busy_seconds(devtools: CDPSession) -> float:
    """Time of tasks in the main thread since the page began."""
    metrics = (await devtools.send("Performance.getMetrics"))["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))


async def per_keystroke(page: Page, keys: int) -> float:
    """Types so many keys; milliseconds of the main thread per key."""
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Performance.enable")
    await page.keyboard.press("Control+End")
    await page.keyboard.type("warm up ", delay=KEY_PAUSE * 1_000)
    before = await busy_seconds(devtools)
    await page.keyboard.type("x" * keys, delay=KEY_PAUSE * 1_000)
    busy = await busy_seconds(devtools) - before
    await devtools.detach()
    return busy / keys * 1_000


async def measure_bare(room: Room, folder: Path, text: str, keys: int) -> float:
    """Bare CodeMirror."""
    at = places(len(text))

    async with serve_bare(folder, text) as bare:
        page = await room.browser.new_page()
        await page.goto(f"http://127.0.0.1:{bare.port}/")
        await eventually(page, "document.querySelector('.co-editor')?.bare !== undefined")
        await page.click(".cm-content")

        def type_one(typist: int, char: str) -> None:
            bare.tell(at[typist], char)
            for other in range(typist, TYPISTS):
                at[other] += 1

        typing = asyncio.create_task(typists(type_one))
        try:
            return await per_keystroke(page, keys)
        finally:
            typing.cancel()
            await page.close()


async def measure_editor(room: Room, window: Window, length: int, keys: int) -> float:
    """The editor, in a window that has the document open."""
    names = [f"typist{number}" for number in range(TYPISTS)]
    accounts = [await room.account(name) for name in names]
    clients = [Client(room.server.url, account.token) for account in accounts]
    for client in clients:
        client.start()
    documents = [await client.open(room.document_id) for client in clients]
    cursors = places(length)

    def type_one(typist: int, char: str) -> None:
        documents[typist].insert(cursors[typist], char)
        cursors[typist] += 1

    for typist, document in enumerate(documents):

        def carry(change: object, typist: int = typist) -> None:
            edits = getattr(change, "edits", None) or []
            if getattr(change, "author", ""):
                cursors[typist] += sum(
                    len(text) - gone for position, gone, text in edits if position <= cursors[typist]
                )

        document.listen(carry)
    typing = asyncio.create_task(typists(type_one))
    try:
        return await per_keystroke(window.page, keys)
    finally:
        typing.cancel()
        await asyncio.gather(*(document.synced() for document in documents))
        for client in clients:
            await client.close()


async def long_tasks(window: Window, keys: int) -> list[float]:
    """Milliseconds of each task over 50 ms while so many keys are typed."""
    await window.page.evaluate(
        "() => { globalThis.longTasks = []; new PerformanceObserver((list) => {"
        " for (const entry of list.getEntries()) globalThis.longTasks.push(entry.duration); })"
        ".observe({ entryTypes: ['longtask'] }); }"
    )
    await window.page.keyboard.type("y" * keys, delay=KEY_PAUSE * 1_000)
    found: list[float] = await window.page.evaluate("globalThis.longTasks")
    return found
