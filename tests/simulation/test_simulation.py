"""A few hundred simulated worlds; that a plan is a plan; and that planted bugs are found.

The worlds are always the same: `make simulate FIRST=...` looks for what they do not show, and what it finds becomes a
test of its own. `COSCRIBE_SEED` begins elsewhere, `COSCRIBE_SIMULATED` says how many (240).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.bugs import BUGS
from tests.simulation.plan import Plan, load, plan_of, save, shrunk
from tests.simulation.run import run

pytestmark = pytest.mark.slow

BLOCKS = 12
COUNT = int(os.environ.get("COSCRIBE_SIMULATED", "240"))


@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_world_breaks_an_invariant(block: int) -> None:
    each = COUNT // BLOCKS
    first = int(os.environ.get("COSCRIBE_SEED", "0")) + block * each
    for seed in range(first, first + each):
        outcome = run(plan_of(seed))
        assert outcome.violation == "", f"replay with: python -m tests.simulation --first {seed} --seeds 1"


@pytest.mark.parametrize("seed", range(3))
def test_a_plan_gives_the_same_run_in_any_process(seed: int) -> None:
    script = (
        f"from tests.simulation.run import *; from tests.simulation.plan import *; print(run(plan_of({seed})).trace)"
    )
    traces = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(traces) == 1
    assert traces == {f"{run(plan_of(seed)).trace}\n"}


def test_a_plan_that_is_kept_is_the_same_plan(tmp_path: Path) -> None:
    plan = plan_of(5)
    save(plan, tmp_path / "plan.json")
    assert load(tmp_path / "plan.json") == plan


def test_a_plan_is_shrunk_to_what_it_needs() -> None:
    plan = plan_of(12)
    needed = {plan.events[3], plan.events[-1]}

    def fails(fewer: Plan) -> bool:
        return needed <= set(fewer.events)

    assert set(shrunk(plan, fails).events) == needed


def test_a_violation_is_told_with_what_shows_it_again(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    found = simulate("--seeds", "5", "--jobs", "1", "--bug", "deleted text is not kept", "--save-plan", str(plan))
    assert found.returncode == 1
    assert "replay with: python -m tests.simulation --first 0 --seeds 1 --bug" in found.stdout
    assert 1 <= len(load(plan).events) < len(plan_of(0).events)
    assert simulate("--load-plan", str(plan), "--bug", "deleted text is not kept").returncode == 1
    assert simulate("--load-plan", str(plan)).returncode == 0


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str) -> None:
    found = simulate("--seeds", str(BUGS[bug].within), "--jobs", "1", "--bug", bug)
    assert found.returncode == 1, f"not within {BUGS[bug].within} seeds"
    assert "replay with" in found.stdout


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """With the pure core, which can be changed from outside."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        env={**os.environ, "COSCRIBE_PURE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
