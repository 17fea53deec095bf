"""``coscribe replay`` from end to end: small histories, written by hand, through real servers."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from coscribe.cli.embedded import EmbeddedError, EmbeddedServer
from tests.cli.conftest import Run, Server

pytestmark = pytest.mark.slow

SEQUENTIAL = {
    "startContent": "# \n",
    "endContent": "# Title 🎉\nbody\n",
    "txns": [
        {"patches": [[2, 0, "T"]]},
        {"patches": [[3, 0, "itel"], [5, 2, "le"], [7, 0, " "]]},
        {"patches": [[5, 2, ""], [5, 0, "le"]]},
        {"patches": [[8, 0, "🎉"], [9, 0, ""]]},
        {"patches": [[10, 0, "body\n"]]},
    ],
}

CONCURRENT = {
    "kind": "concurrent",
    "numAgents": 2,
    "endContent": "1a0bcx🎉!",
    "txns": [
        {"agent": 0, "parents": [], "patches": [[0, 0, "ab"], [2, 0, "cd🎉"]]},
        {"agent": 1, "parents": [0], "patches": [[3, 1, ""]]},
        {"agent": 0, "parents": [0], "patches": [[3, 0, "x"]]},  # left of the d that is deleted meanwhile
        {"agent": 1, "parents": [1], "patches": [[0, 0, "1"]]},
        {"agent": 0, "parents": [2, 1], "patches": [[1, 0, "0"]]},  # does not know the 1
        {"agent": 1, "parents": [3, 4], "patches": [[7, 0, "!"]]},
    ],
}

TIE = {
    "kind": "concurrent",
    "numAgents": 2,
    "endContent": "bac",
    "txns": [
        {"agent": 0, "parents": [], "patches": [[0, 0, "a"]]},
        {"agent": 1, "parents": [], "patches": [[0, 0, "b"]]},
        {"agent": 0, "parents": [0, 1], "patches": [[2, 0, "c"]]},
    ],
}

BOTH_DELETE = {
    "kind": "concurrent",
    "numAgents": 2,
    "endContent": "ac!",
    "txns": [
        {"agent": 0, "parents": [], "patches": [[0, 0, "abc"]]},
        {"agent": 1, "parents": [0], "patches": [[1, 1, ""]]},
        {"agent": 0, "parents": [0], "patches": [[1, 1, ""]]},
        {"agent": 1, "parents": [1, 2], "patches": [[2, 0, "!"]]},
    ],
}


def write(path: Path, trace: dict[str, Any]) -> Path:
    path.write_bytes(gzip.compress(json.dumps(trace).encode()))
    return path


def only(text: str) -> dict[str, Any]:
    """The one JSON object that was printed."""
    (line,) = text.splitlines()
    value: dict[str, Any] = json.loads(line)
    return value


def test_sequential_through_a_server_of_its_own(run: Run, tmp_path: Path) -> None:
    result = run("replay", write(tmp_path / "title.json.gz", SEQUENTIAL), "--clients", 2, "--chain", 2, "--json")
    assert result.exit_code == 0, result.output
    outcome = only(result.stdout)
    seconds, rate = outcome.pop("seconds"), outcome.pop("operationsPerSecond")
    assert seconds > 0
    assert rate == pytest.approx(8 / seconds, rel=0.1)
    assert outcome == {
        "trace": "title",
        "kind": "sequential",
        "file": "title",
        "edits": 8,
        "operations": 8,
        "clients": 2,
        "chain": 2,
        "composition": False,
        "durability": "sqlite WAL synchronous=FULL",
        "equal": True,
        "replicasEqual": True,
        "differences": [],
        "differentPlaces": 0,
        "characters": 15,
        "heals": 0,
        "rebasedByServer": 0,
        "serverSequence": 9,
        "equalAfterKill": True,
        "verified": True,
    }


@pytest.mark.slow
def test_concurrent_through_a_server_of_its_own(run: Run, tmp_path: Path) -> None:
    result = run("replay", write(tmp_path / "two.json.gz", CONCURRENT))
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.splitlines() if line.startswith(("ok", "NO"))]
    assert lines == [
        "ok all replicas are equal, those who typed and the one who watched",
        "ok the text is the recorded one",
        "ok after kill -9 and a restart the text is the same",
        "ok the log verifies, up to sequence 7",
    ]


@pytest.mark.parametrize("chain", [1, 64])
def test_concurrent(run: Run, tmp_path: Path, server: Server, chain: int) -> None:
    """Both are rebased: by the server what is sent behind an edit not known, by the client what waits."""
    trace = write(tmp_path / f"two-{chain}.json.gz", CONCURRENT)
    result = run("replay", trace, "--server", server.url, "--data", server.folder, "--chain", chain, "--json")
    assert result.exit_code == 0, result.output
    outcome = only(result.stdout)
    assert outcome["equal"] and outcome["replicasEqual"]
    assert outcome["differentPlaces"] == 0
    assert outcome["rebasedByServer"] > 0
    assert (outcome["clients"], outcome["edits"], outcome["operations"]) == (2, 7, 7)
    assert outcome["equalAfterKill"] is outcome["verified"] is outcome["durability"] is None
    verified = run("verify", f"two-{chain}", "--data", server.folder, "--server", server.url)
    assert verified.exit_code == 0, verified.output


def test_both_delete_the_same(run: Run, tmp_path: Path, server: Server) -> None:
    """The later delete comes to nothing: it has a sequence of its own, and everybody goes on."""
    trace = write(tmp_path / "both.json.gz", BOTH_DELETE)
    result = run("replay", trace, "--server", server.url, "--data", server.folder, "--json")
    assert result.exit_code == 0, result.output
    assert only(result.stdout)["differentPlaces"] == 0


def test_who_has_not_heard_yet_what_is_committed(run: Run, tmp_path: Path, server: Server) -> None:
    """Agent 2 types while all it may know is the first edit; the second one is in its connection already."""
    txns = [
        {"agent": 0, "parents": [], "patches": [[0, 0, "a"]]},
        {"agent": 1, "parents": [0], "patches": [[1, 0, "b"]]},
        {"agent": 0, "parents": [1], "patches": [[2, 0, "c"]]},
        {"agent": 2, "parents": [0], "patches": [[1, 0, "x"]]},
        {"agent": 1, "parents": [2, 3], "patches": [[4, 0, "y"]]},
    ]
    trace = {"kind": "concurrent", "numAgents": 3, "endContent": "axbcy", "txns": txns}
    path = write(tmp_path / "three.json.gz", trace)
    result = run("replay", path, "--server", server.url, "--data", server.folder, "--json")
    assert result.exit_code == 0, result.output
    assert only(result.stdout)["differentPlaces"] == 0


def test_a_tie_that_was_broken_otherwise_is_shown(run: Run, tmp_path: Path, server: Server) -> None:
    options = ["--server", server.url, "--data", server.folder]
    right = run("replay", write(tmp_path / "right.json.gz", TIE), *options, "--json")
    assert only(right.stdout)["differentPlaces"] == 0
    otherwise = write(tmp_path / "tie.json.gz", TIE | {"endContent": "abc"})
    outcome = only(run("replay", otherwise, *options, "--json").stdout)
    assert outcome["equal"]
    assert outcome["differentPlaces"] == 2
    assert outcome["differences"][0] == {"position": 0, "found": "bac", "recorded": "abc"}
    shown = run("replay", otherwise, *options, "--file", "tie-again").stdout
    assert "3 characters, 2 of them not where they are recorded" in shown
    assert "at 0: 'bac', recorded 'abc'" in shown


def test_another_text_than_the_recorded_one(run: Run, tmp_path: Path, server: Server) -> None:
    trace = write(tmp_path / "wrong.json.gz", SEQUENTIAL | {"endContent": "# Title 🎉\nBody\n"})
    result = run("replay", trace, "--server", server.url, "--data", server.folder, "--json")
    assert result.exit_code == 1
    outcome = only(result.stdout)
    assert outcome["replicasEqual"] and not outcome["equal"]
    assert [difference["position"] for difference in outcome["differences"]] == [10]


def test_composition(run: Run, tmp_path: Path, server: Server) -> None:
    typed = {"endContent": "a" * 500, "txns": [{"patches": [[position, 0, "a"]]} for position in range(500)]}
    trace = write(tmp_path / "composed.json.gz", typed)
    options = ["--server", server.url, "--data", server.folder, "--composition", "--json"]
    result = run("replay", trace, *options)
    assert result.exit_code == 0, result.output
    outcome = only(result.stdout)
    assert outcome["equal"] and outcome["composition"]
    assert outcome["operations"] == outcome["serverSequence"] <= outcome["edits"] == 500


def test_the_file_is_not_empty(run: Run, tmp_path: Path, server: Server) -> None:
    trace = write(tmp_path / "once.json.gz", SEQUENTIAL)
    arguments = ["replay", trace, "--server", server.url, "--data", server.folder]
    assert run(*arguments).exit_code == 0
    result = run(*arguments)
    assert result.exit_code == 2
    assert "the file 'once' is not empty" in result.stderr
    assert "--file" in result.stderr
    assert run(*arguments, "--file", "once-more").exit_code == 0


def test_a_viewer_may_not_replay(run: Run, tmp_path: Path, server: Server) -> None:
    async def make() -> None:
        async with server.client("ann") as client:
            await client.open("viewed")

    asyncio.run(make())
    trace = write(tmp_path / "viewed.json.gz", SEQUENTIAL)
    result = run("replay", trace, "--server", server.url, "--token", server.token("bob", "viewer"))
    assert result.exit_code == 2
    assert "permission_denied" in result.stderr


@pytest.mark.parametrize("kind", ["sequential", "concurrent"])
def test_an_edit_that_does_not_fit(run: Run, tmp_path: Path, server: Server, kind: str) -> None:
    trace = {"kind": kind, "endContent": "", "txns": [{"patches": [[5, 0, "a"]]}]}
    path = write(tmp_path / f"far-{kind}.json.gz", trace)
    result = run("replay", path, "--server", server.url, "--data", server.folder)
    assert result.exit_code == 2
    assert "the edit reaches to 5, the text ends at 0" in result.stderr


def test_no_such_trace(run: Run, tmp_path: Path) -> None:
    result = run("replay", tmp_path / "none.json")
    assert result.exit_code == 2
    assert "No such file" in result.stderr


def test_not_a_trace(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "text.json"
    path.write_text("hello")
    result = run("replay", path)
    assert result.exit_code == 2
    assert "this is not a trace" in result.stderr


@pytest.mark.parametrize(
    ("options", "message", "advice"),
    [
        (["--clients", "3"], "this history has 2 authors, not 3", "Leave --clients out."),
        (["--composition"], "cannot be composed", "Leave --composition out."),
        (["--file", "a/b"], "'a/b' cannot name a file", "Give --file"),
    ],
)
def test_options_that_do_not_fit(run: Run, tmp_path: Path, options: list[str], message: str, advice: str) -> None:
    result = run("replay", write(tmp_path / "two.json.gz", CONCURRENT), *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert advice in result.stderr


def test_a_history_that_no_single_order_can_show(run: Run, tmp_path: Path) -> None:
    parents: list[list[int]] = [[], [], [0], [1]]
    txns = [{"agent": agent, "parents": known, "patches": [[0, 0, "a"]]} for agent, known in enumerate(parents)]
    trace = {"kind": "concurrent", "numAgents": 4, "endContent": "aaaa", "txns": txns}
    result = run("replay", write(tmp_path / "four.json.gz", trace))
    assert result.exit_code == 2
    assert "txn 3 cannot be played" in result.stderr


def test_nobody_listens(run: Run, tmp_path: Path) -> None:
    trace = write(tmp_path / "title.json.gz", SEQUENTIAL)
    result = run("replay", trace, "--server", "http://127.0.0.1:1", "--token", "any")
    assert result.exit_code == 2
    assert "nobody answers at http://127.0.0.1:1" in result.stderr


def test_no_token(run: Run, tmp_path: Path) -> None:
    trace = write(tmp_path / "title.json.gz", SEQUENTIAL)
    result = run("replay", trace, "--server", "http://127.0.0.1:1", "--data", tmp_path / "none")
    assert result.exit_code == 2
    assert "Give --token" in result.stderr


async def test_a_server_of_its_own_says_why_it_did_not_start(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    (tmp_path / "coscribe.db").write_text("no database at all")
    with pytest.raises(EmbeddedError, match="file is not a database"):
        await server.start()


@pytest.mark.slow
async def test_a_server_of_its_own_that_ends_is_noticed(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "data")
    await server.start()
    ending = asyncio.create_task(server.ended())
    await server.kill()
    with pytest.raises(EmbeddedError, match="ended with code -9"):
        await ending
