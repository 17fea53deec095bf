"""Each scenario once, very small: the figures are there, and what was acknowledged is in the log. No timing."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coscribe.bench.load import check_log
from coscribe.bench.measure import FIGURES, Figures, Target
from coscribe.bench.replay import synthetic
from coscribe.bench.scenario import Bench, Scenario
from coscribe.bench.scenarios import SCENARIOS, scenario_of
from coscribe.bench.server import BenchError
from coscribe.cli import app
from coscribe.core.text_buffer import TextBuffer
from coscribe.persistence.stored import stored_in
from tests.data import DATA

TINY: dict[str, dict[str, object]] = {
    "busy-8": {"seconds": 0.5, "warmUp": 0.2},
    "busy-50": {"seconds": 0.5, "warmUp": 0.2},
    "many": {"documents": 5, "seconds": 0.5, "warmUp": 0.5},
    "join": {"length": 50_000, "history": 200, "cold": 3, "warm": 5},
    "idle": {"documents": 20, "documentsPerSocket": 3, "settle": 0.0},
    "replay": {"keystrokes": 2_000},
}

LATENCIES = {"opsPerSecond", "ackP50Ms", "ackP99Ms", "seenP50Ms", "seenP99Ms", "loadCpuShare"}
EXPECTED: dict[str, set[str]] = {
    "busy-8": LATENCIES,
    "busy-50": LATENCIES,
    "many": {*LATENCIES, "offeredPerSecond", "lagP99Ms"},
    "join": {"bareMs", "coldJoinMs", "warmJoinMs", "editedJoinMs", "coldRatio", "warmRatio", "editedRatio"},
    "idle": {"rssPerDocumentKb", "rssPerSocketKb", "documents", "sockets", "createdPerSecond"},
    "replay": {*LATENCIES, "keystrokes", "keystrokesPerMessage"},
}
OPERATIONS = {"join": 3 * 201 + 1 + 5, "idle": 40, "replay": 2_000}
"""What the scenarios write in all, where that is known beforehand."""


def operations_in_log(folder: Path) -> int:
    with closing(sqlite3.connect(f"{(folder / 'coscribe.db').as_uri()}?mode=ro", uri=True)) as connection:
        return sum(
            1 for workspace in stored_in(connection).workspaces() for _ in stored_in(connection).entries(workspace.key)
        )


async def run(scenario: Scenario, folder: Path) -> tuple[Figures, Bench]:
    bench = Bench(folder, None, asyncio.get_running_loop().create_future())
    figures = await scenario.run(bench)
    assert not bench.failed.done(), bench.failed.exception()
    return figures, bench


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
async def test_every_acknowledged_operation_is_in_the_log(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSCRIBE_DATA", str(DATA))
    scenario = scenario_of(name, TINY[name])
    figures, bench = await run(scenario, tmp_path)
    assert EXPECTED[name] <= figures.keys() <= FIGURES.keys()
    assert all(math.isfinite(value) for value in figures.values())
    assert all(figures[figure] > 0 for figure in EXPECTED[name] - {"rssPerSocketKb", "rssPerDocumentKb"})
    assert bench.acked == operations_in_log(tmp_path) == check_log(bench) == OPERATIONS.get(name, bench.acked) > 0
    assert scenario.targets(figures | {"fsyncMs": 1.0})


@pytest.mark.slow
async def test_without_a_trace_the_typing_is_synthetic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COSCRIBE_DATA", str(tmp_path / "nothing"))
    await run(scenario_of("replay", {"keystrokes": 500}), tmp_path / "data")
    assert "SYNTHETIC" in capsys.readouterr().err


@pytest.mark.slow
async def test_an_operation_that_is_not_in_the_log_is_noticed(tmp_path: Path) -> None:
    _, bench = await run(scenario_of("idle", {"documents": 2}), tmp_path)
    bench.acked += 1
    with pytest.raises(BenchError, match="23 operations were acknowledged, 22 are in the log"):
        check_log(bench)


@pytest.mark.slow
def test_the_command_prints_one_json_object(tmp_path: Path) -> None:
    arguments = ["bench", "busy-8", "idle", "--json", "--repeat", "2", "--seconds", "0.3", "--fsync-samples", "4"]
    arguments += ["--set", "busy-8.warmUp=0.1", "--set", "idle.documents=4", "--folder", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["fsyncMs"] > 0 and report["machine"]["python"] and "FULL" in report["durability"]
    assert report["scenarios"].keys() == {"busy-8", "idle"}
    for scenario in report["scenarios"].values():
        assert len(scenario["runs"]) == 2
        assert scenario["met"] is all(target["met"] for target in scenario["target"])
        assert scenario["median"]["acked"] > 0
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["busy-8", "idle"] * 2
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_an_interrupted_run_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "coscribe", "bench", "busy-8", "--seconds", "60", "--folder", str(tmp_path)]
    process = subprocess.Popen([*command, "--fsync-samples", "2"], stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob("*/data/coscribe.db-wal")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bench", "busy-9"], "there is no scenario 'busy-9'"),
        (["bench", "many", "--set", "many.document=3"], "many has no parameter 'document'"),
        (["bench", "many", "--set", "many.documents=few"], "many: "),
        (["bench", "many", "--set", "documents"], "this is not SCENARIO.NAME=VALUE"),
    ],
)
def test_a_mistaken_option_is_explained(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert said in " ".join(result.stderr.split())


def test_a_target_is_met_at_its_bound_and_not_without_its_figure() -> None:
    assert Target("ackP99Ms", 40, at_most=True).met({"ackP99Ms": 40.0})
    assert not Target("ackP99Ms", 40, at_most=True).met({"ackP99Ms": 40.1})
    assert Target("opsPerSecond", 10_000).met({"opsPerSecond": 10_000.0})
    assert not Target("opsPerSecond", 10_000).met({"opsPerSecond": 9_999.0})
    assert not Target("opsPerSecond", 10_000).met({})


def test_few_clients_are_held_against_the_disk() -> None:
    scenario = SCENARIOS["busy-8"]
    assert [target.bound for target in scenario.targets({"fsyncMs": 0.1})] == [8_000]
    assert [target.bound for target in scenario.targets({"fsyncMs": 4.0})] == [pytest.approx(0.8 * 8 / 0.004)]


def test_synthetic_typing_fits_its_text() -> None:
    patches = synthetic(5_000)
    assert len(patches) == 5_000
    buffer = TextBuffer("")
    for position, deleted, inserted in patches:
        assert 0 <= position <= len(buffer) - deleted
        buffer.splice(position, deleted, inserted)
    assert any(deleted for _, deleted, _ in patches)
