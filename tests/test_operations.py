"""What operators are given fits the server: dashboard, alarms, and the guide that says what to do about them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from coscribe.metrics import metrics

ROOT = Path(__file__).parents[1]
DASHBOARD = ROOT / "deploy" / "grafana" / "coscribe.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
GUIDE = ROOT / "docs" / "operations.md"

ENDINGS = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}

OF_THE_PROCESS = {
    f"coscribe_process_{name}"
    for name in ("cpu_seconds_total", "resident_memory_bytes", "virtual_memory_bytes", "open_fds", "max_fds")
}
"""Of Prometheus' own collector; there where there is a /proc."""


def exported() -> set[str]:
    """Every name that an expression may use."""
    families = metrics.registry.collect()
    return OF_THE_PROCESS | {family.name + end for family in families for end in ENDINGS[family.type]}


def named(text: str) -> set[str]:
    return set(re.findall(r"coscribe_\w+", text))


def expressions(dashboard: dict[str, Any]) -> list[str]:
    targets = [target for panel in dashboard["panels"] for target in panel.get("targets", [])]
    return [str(target["expr"]) for target in targets]


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def test_the_dashboard_shows_metrics_that_exist() -> None:
    shown = expressions(json.loads(DASHBOARD.read_text()))
    assert len(shown) > 30
    assert named(" ".join(shown)) - exported() == set()


def test_the_dashboard_can_be_laid_out() -> None:
    """Ids are unique, nothing overlaps, and every panel says what it shows."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert [panel["title"] for panel in panels if panel["type"] != "row" and not panel["description"]] == []
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_stage_and_every_queue_is_on_the_dashboard() -> None:
    shown = named(" ".join(expressions(json.loads(DASHBOARD.read_text()))))
    families = {family.name: family.type for family in metrics.registry.collect()}
    histograms = {f"{name}_bucket" for name, kind in families.items() if kind == "histogram"}
    queues = {name for name in families if name.endswith(("_waiting", "_backlog", "_saving"))}
    assert (histograms | queues) - shown == set()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alarm_can_go_off_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert named(rule["expr"]) - exported() == set()
    assert rule["expr"].count("(") == rule["expr"].count(")")
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    (line,) = [line for line in GUIDE.read_text().splitlines() if line.startswith(f"| `{rule['alert']}` |")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert len(cells) == 3 and all(cells), "what it means, and what to do"


def test_the_guide_names_no_alarm_that_there_is_not() -> None:
    told = set(re.findall(r"`(Coscribe[A-Z]\w+)`", GUIDE.read_text()))
    assert told == {rule["alert"] for rule in rules()}


def test_metrics_in_the_guide_and_the_limits_exist() -> None:
    known = exported() | {family.name for family in metrics.registry.collect()}
    for page in (GUIDE, ROOT / "docs" / "limits.md"):
        assert named(page.read_text()) - known == set(), page.name
