"""The comparison with the peers: our own adapter for a moment, and what is made of a report. No timing, no peers."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from bench.peers import page, plot
from bench.peers.report import SCENARIOS, Figures, Report, derived, leads
from bench.peers.runner import Options, Parameters, parameters_of, run
from bench.peers.systems import HERE, SYSTEMS, missing

from coscribe.bench.machine import Machine
from tests.data import DATA

LATENCIES = ("ackP50Ms", "ackP99Ms", "seenP50Ms", "seenP99Ms")
TINY: dict[str, Parameters] = {
    "busy": {"writers": 3, "seconds": 0.3, "warmUp": 0.1},
    "steady": {"documents": 1, "writers": 3, "rate": 20.0, "seconds": 0.3, "warmUp": 0.1},
    "many": {"documents": 3, "writers": 2, "rate": 20.0, "seconds": 0.3, "warmUp": 0.1},
    "idle": {"documents": 5, "warmUpDocuments": 2, "length": 1_000, "settle": 0.0},
    "join": {"keystrokes": 200, "joins": 3},
}


def report_of(runs: dict[str, dict[str, list[Figures]]], repeat: int = 1) -> Report:
    machine = Machine("a processor", 2, 1_024, "Linux", "CPython", "ext4")
    parameters: dict[str, Parameters] = {name: {"writers": 2} for name in SCENARIOS}
    return Report("2026-01-02 03:04 UTC", machine, 0, 1, 0.1, True, {"ws": "8"}, parameters, repeat, runs)


def of_busy(operations: float, ack: float | None, seen: float, cost: float) -> Figures:
    figures = {"opsPerSecond": operations, "seenP50Ms": seen, "seenP99Ms": seen, "serverCpuUsPerOp": cost}
    acks = {} if ack is None else {"ackP50Ms": ack, "ackP99Ms": ack}
    return derived(figures | acks | {"serverCpuShare": 0.5, "loadCpuShare": 0.9})


@pytest.mark.slow
def test_our_own_adapter_gives_every_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if reason := missing("coscribe"):
        pytest.skip(f"{reason}; `make bench-peers` installs it")
    monkeypatch.setenv("COSCRIBE_DATA", str(DATA))
    parameters = {name: dict(values) for name, values in TINY.items()}
    said: list[str] = []
    report = run(Options(0.3, 1, 200, tmp_path), ["coscribe"], parameters, said.append)
    assert report.failures == []
    assert said == [f"{name}, Coscribe: run 1 of 1" for name in TINY]
    for name, (_, measures) in SCENARIOS.items():
        (figures,) = report.runs[name]["coscribe"]
        assert {measure.figure for measure in measures} <= figures.keys() | {"serverCpuUsPerOp", "opsPerCpuSecond"}
        assert all(math.isfinite(value) for value in figures.values())
    for name in ("busy", "steady", "many"):
        assert all(report.runs[name]["coscribe"][0][figure] > 0 for figure in LATENCIES)
    assert "history" not in report.parameters["join"]
    docs = tmp_path / "docs"
    docs.mkdir()
    page.write(report, docs)
    assert "**Coscribe**" in (docs / "benchmarks.md").read_text()
    ElementTree.parse(docs / "benchmarks.svg")


def test_every_scenario_has_parameters_and_every_system_its_files() -> None:
    assert list(parameters_of(Options(1.0, 1, 0, Path()))) == list(SCENARIOS) == list(TINY)
    packages = json.loads((HERE / "package.json").read_text())["dependencies"]
    for name, system in SYSTEMS.items():
        assert (HERE / "drivers" / f"{system.driver}.mjs").exists()
        if name != "pycrdt-websocket":
            assert set(system.packages) <= set(packages)


def test_a_table_has_a_row_for_each_system_and_no_figure_where_there_is_none() -> None:
    runs = {
        "busy": {
            "coscribe": [of_busy(1_000, 5, 5, 100), of_busy(3_000, 4, 4, 80), of_busy(2_000, 6, 6, 90)],
            "y-websocket": [of_busy(9_000, None, 2, 50)] * 3,
        }
    }
    head, _, ours, theirs, _, given = page.table(report_of(runs, repeat=3), "busy").split("\n")
    assert head.startswith("| System | operations/s | ack p50, ms |")
    assert ours == ("| **Coscribe** | 2,000 (1,000 to 3,000) | 5.00 | 5.00 | 5.00 | 5.00 | 90.0 | 11,111 | 50 / 90 |")
    assert theirs.startswith("| y-websocket | 9,000 (9,000 to 9,000) | - | - | 2.00 |")
    assert given == "(writers 2)"
    assert page.table(report_of(runs), "idle") == "Not measured in this run."
    runs["busy"]["y-websocket"] = []
    assert "| y-websocket | no figures: every run failed | - |" in page.table(report_of(runs), "busy")


def test_whoever_is_ahead_is_named() -> None:
    runs = {
        "busy": {
            "coscribe": [of_busy(1_000, 5, 5, 100)],
            "sharedb": [of_busy(1_010, 10, 4, 200)],
            "y-websocket": [of_busy(4_000, None, 2, 50)],
        },
        "idle": {"coscribe": [{"rssPerDocumentKb": 10.0}], "sharedb": [{"rssPerDocumentKb": 5.0}]},
    }
    found = [
        (lead.scenario, lead.measure.figure, lead.system, lead.times) for lead in leads(report_of(runs), "coscribe")
    ]
    assert found == [
        ("busy", "opsPerSecond", "y-websocket", 4.0),
        ("busy", "seenP50Ms", "y-websocket", 2.5),
        ("busy", "seenP50Ms", "sharedb", 1.25),
        ("busy", "seenP99Ms", "y-websocket", 2.5),
        ("busy", "seenP99Ms", "sharedb", 1.25),
        ("busy", "serverCpuUsPerOp", "y-websocket", 2.0),
        ("busy", "opsPerCpuSecond", "y-websocket", 2.0),
        ("idle", "rssPerDocumentKb", "sharedb", 2.0),
    ]
    text = page.markdown(report_of(runs))
    assert "- One busy document, operations/s (Coscribe 1,000): y-websocket 4,000 (4.00 x)." in text
    assert "- Idle documents, server RSS per document, KB (Coscribe 10.0): ShareDB 5.00 (2.00 x)." in text


def test_what_is_offered_alike_is_nothing_to_be_ahead_in() -> None:
    runs = {"steady": {"coscribe": [of_busy(90, 5, 5, 100)], "sharedb": [of_busy(100, 5, 5, 100)]}}
    assert leads(report_of(runs), "coscribe") == []
    assert "No peer is ahead" in page.markdown(report_of(runs))


def test_a_machine_that_others_use_is_told() -> None:
    report = report_of({"idle": {"coscribe": [{"rssPerDocumentKb": 10.0}]}})
    assert "Others were using" not in page.markdown(report)
    report.load_average = 3.0
    assert "load average in the minute before the first run was 3.0 on 2 processors" in page.markdown(report)
    assert "The host took" not in page.markdown(report)
    report.stolen = 0.31
    assert "The host took 31 % of a processor away" in page.markdown(report)


def test_the_picture_is_well_formed_and_its_bars_are_in_proportion() -> None:
    panels = [plot.Panel("a < b", "less is better", {"Ours": 10.0, "Theirs & co": 40.0, "Nothing": 0.0}, "Ours")]
    root = ElementTree.fromstring(plot.svg("A & B", panels))
    space = "{http://www.w3.org/2000/svg}"
    texts = [element.text for element in root.iter(f"{space}text")]
    assert texts == ["A & B", "a < b", "less is better", "Ours", "10.0", "Theirs & co", "40.0", "Nothing", "0.00"]
    _, ours, theirs, nothing = [float(element.get("width", "0")) for element in root.iter(f"{space}rect")]
    assert theirs == pytest.approx(4 * ours, rel=0.01) and nothing == 1.0


@pytest.mark.parametrize(("value", "text"), [(0.123, "0.12"), (12.34, "12.3"), (123.4, "123"), (12_345.6, "12,346")])
def test_numbers_have_the_digits_they_deserve(value: float, text: str) -> None:
    assert plot.short(value) == text
