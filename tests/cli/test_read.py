"""``coscribe cat``, ``watch`` and ``log``."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from coscribe.cli import watching
from coscribe.cli.describe import Edit, harmless, in_words, quote
from coscribe.client import Document
from coscribe.config import Settings
from tests.cli.conftest import Run, Server
from tests.cli.stores import Kept
from tests.cli.written import FILE_ID, Written
from tests.servers import PASSWORD

pytestmark = pytest.mark.slow


async def editing(server: Server, file_id: str, work: Callable[[Document], Awaitable[None]]) -> None:
    """Does something to a file as ann."""
    async with server.client("ann") as client:
        await work(await client.open(file_id))


# ---- cat


def test_cat_shows_what_the_server_shows(run: Run, server: Server) -> None:
    async def write(document: Document) -> None:
        document.insert(0, "two\nlines\n")
        await document.synced()

    asyncio.run(editing(server, "cat-live", write))
    options = ["--server", server.url, "--data", server.folder]
    assert run("cat", "cat-live", *options).stdout == "two\nlines\n"
    shown = json.loads(run("cat", "cat-live", *options, "--json").stdout)
    assert shown == {"file": "cat-live", "version": 1, "sequence": 1, "text": "two\nlines\n"}


def test_cat_at_a_version_and_at_a_sequence(run: Run, kept: Kept, written: Written) -> None:
    assert run("cat", FILE_ID, "--version", 2, *kept.options).stdout == "In the "
    assert run("cat", FILE_ID, "--sequence", 2, *kept.options).stdout == "In the "
    assert run("cat", FILE_ID, "--version", 0, *kept.options).stdout == ""
    assert run("cat", FILE_ID, "--sequence", 11, *kept.options).stdout == written.text
    # Sequence 9 came to nothing, so from there on the version is one behind.
    shown = json.loads(run("cat", FILE_ID, "--sequence", 10, *kept.options, "--json").stdout)
    assert (shown["version"], shown["sequence"], shown["text"]) == (9, 10, written.snapshots[1].content)
    shown = json.loads(run("cat", FILE_ID, "--version", 9, *kept.options, "--json").stdout)
    assert (shown["version"], shown["sequence"], shown["text"]) == (9, 10, written.snapshots[1].content)


@pytest.mark.parametrize(
    ("options", "message", "advice"),
    [
        (["--version", "11"], "has only come to version 10", "--version"),
        (["--sequence", "12"], "ends at sequence 11", "--sequence"),
        (["--version", "1", "--sequence", "1"], "both name a moment", "Give one of them."),
    ],
)
def test_cat_at_no_moment(run: Run, kept: Kept, options: list[str], message: str, advice: str) -> None:
    result = run("cat", FILE_ID, *kept.options, *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert advice in result.stderr


def test_cat_of_a_damaged_log_points_to_verify(run: Run, kept: Kept) -> None:
    kept.execute("UPDATE file_operation_log SET payload = :text WHERE sequence = 7", {"text": b'[[["Xn "]]]'})
    result = run("cat", FILE_ID, "--sequence", 8, *kept.options)
    assert result.exit_code == 2
    assert f"coscribe verify {FILE_ID} {kept.store.option}" in result.stderr
    assert PASSWORD not in result.stderr


def test_cat_of_a_file_that_is_not_there(run: Run, server: Server) -> None:
    result = run("cat", "never", "--server", server.url, "--data", server.folder)
    assert result.exit_code == 2
    assert "file_not_found" in result.stderr


def test_cat_with_a_bad_token(run: Run, server: Server) -> None:
    result = run("cat", "any", "--server", server.url, "--token", "forged")
    assert result.exit_code == 2
    assert "authentication_failed" in result.stderr
    assert "coscribe token" in result.stderr


def test_cat_where_nobody_listens(run: Run) -> None:
    result = run("cat", "any", "--server", "127.0.0.1:1", "--token", "any")
    assert result.exit_code == 2
    assert "nobody answers at 127.0.0.1:1" in result.stderr
    assert "coscribe serve" in result.stderr


def test_cat_at_an_address_that_is_none(run: Run) -> None:
    result = run("cat", "any", "--server", "http://localhost:port", "--token", "any")
    assert result.exit_code == 2
    assert "is no address" in result.stderr


# ---- log


def test_log(run: Run, kept: Kept) -> None:
    result = run("log", FILE_ID, *kept.options, "--from", 6, "--limit", 5)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "       6 v6        2023-11-14T22:13:20.000Z ann ann:6 insert at 25 'word. '",
        "       7 v7        2023-11-14T22:13:20.000Z bob bob:7 delete at 0 'In '",
        "       8 v8        2023-11-14T22:13:20.000Z ann ann:8 insert at 0 '😀' and 2 more",
        "       9 v8        2023-11-14T22:13:20.000Z ann ann:9 nothing",
        "      10 v9        2023-11-14T22:13:20.000Z bob bob:10 replace at 2 'h' by 'ö\\n'",
    ]


def test_log_ends_with_the_last_entries(run: Run, folder: Path) -> None:
    lines = run("log", FILE_ID, "--data", folder, "--limit", 2).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["10", "11"]
    assert len(run("log", FILE_ID, "--data", folder, "--limit", 0).stdout.splitlines()) == 11


def test_log_json(run: Run, folder: Path) -> None:
    lines = run("log", FILE_ID, "--data", folder, "--json", "--from", 8, "--limit", 1).stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "sequence": 8,
            "version": 8,
            "baseVersion": 7,
            "time": "2023-11-14T22:13:20.000Z",
            "author": "ann",
            "operationId": "ann:8",
            "edits": [[0, "", "😀"], [4, "beginning", "end, "], [14, "w", ""]],
            "restores": [],
        }
    ]


@pytest.mark.parametrize("payload", ["x'ff'", "7"])
def test_log_of_an_entry_that_cannot_be_read(run: Run, folder: Path, payload: str) -> None:
    with closing(sqlite3.connect(Settings(folder=folder).database)) as database, database:
        database.execute(f"UPDATE file_operation_log SET payload = {payload} WHERE sequence = 7")
    result = run("cat", FILE_ID, "--sequence", 8, "--data", folder)
    assert result.exit_code == 2
    assert "the log cannot be replayed" in result.stderr
    result = run("log", FILE_ID, "--data", folder, "--from", 7, "--limit", 1)
    assert result.exit_code == 0
    assert "see coscribe verify" in result.stdout


def test_log_of_nothing(run: Run, folder: Path, tmp_path: Path) -> None:
    assert run("log", FILE_ID, "--data", folder, "--from", 12).stdout == ""
    result = run("log", "other", "--data", folder)
    assert result.exit_code == 2
    assert "There is: notes" in result.stderr
    result = run("log", FILE_ID, "--data", tmp_path / "none")
    assert result.exit_code == 2
    assert "there is no database" in result.stderr


def test_words() -> None:
    assert in_words([]) == "nothing"
    assert in_words([Edit(1, 3, "")]) == "delete at 1 3 characters"
    assert in_words([Edit(1, 3, "x"), Edit(9, 0, "y")]) == "replace at 1 3 characters by 'x' and 1 more"
    assert quote("a" * 100) == f"{'a' * 20!r}...{'a' * 20!r} (100 characters)"
    assert quote("\x1b[2J") == r"'\x1b[2J'"
    assert harmless("a\tb\n\x1b[2Jc\x9b") == "a b\n\N{MIDDLE DOT}[2Jc\N{MIDDLE DOT}"


# ---- watch


async def type_until(done: asyncio.Task[None], server: Server, file_id: str) -> None:
    """Types until the task has seen enough."""

    async def write(document: Document) -> None:
        while not done.done():
            document.insert(0, "x")
            await document.synced()

    await editing(server, file_id, write)
    await done


async def test_watch_prints_a_line_for_every_change(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    watching_it = asyncio.create_task(watching.watch(server.url, server.token("bob"), "watch-lines", 3))
    async with asyncio.timeout(60):
        await type_until(watching_it, server, "watch-lines")
    first, *lines = capsys.readouterr().out.splitlines()
    version = int(first.removeprefix("watch-lines: version ").split(",")[0])
    assert lines == [f"v{version + number} ann: insert at 0 'x'" for number in (1, 2, 3)]


async def test_watch_in_a_terminal(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = StringIO()
    monkeypatch.setattr(watching, "out", Console(file=screen, force_terminal=True, width=100, height=20))
    watching_it = asyncio.create_task(watching.watch(server.url, server.token("bob"), "watch-screen", 2))
    async with asyncio.timeout(60):
        await type_until(watching_it, server, "watch-screen")
    shown = screen.getvalue()
    assert "watch-screen" in shown
    assert "live" in shown
    assert "here: ann, bob" in shown


def test_watch_makes_the_file_and_ends_with_ctrl_c(server: Server) -> None:
    command = [sys.executable, "-m", "coscribe", "watch", "watch-new", "--server", server.url]
    with subprocess.Popen([*command, "--data", str(server.folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "watch-new: version 0, 0 characters\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        assert process.stdout.read() == ""
