"""The corpus that fuzzing has left, and some inputs that nobody has seen, through each target."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coscribe.compiled import is_compiled
from tests.fuzz.__main__ import mutated
from tests.fuzz.targets import TARGETS, kept

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_says_nothing_new(name: str) -> None:
    inputs = kept(name)
    assert len(inputs) >= 20
    for path in inputs:
        TARGETS[name].run(path.read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
def test_inputs_that_nobody_has_seen(name: str, data: st.DataObject) -> None:
    target = TARGETS[name]
    known = st.sampled_from([path.read_bytes() for path in kept(name)])
    target.run(data.draw(st.binary(max_size=400) | st.builds(mutated, st.just(target), known, st.integers(0))))


@pytest.mark.slow
@pytest.mark.skipif(not is_compiled(), reason="the core is not compiled")
def test_the_compiled_core_says_what_the_pure_one_says() -> None:
    pure, compiled = (
        subprocess.run(
            [sys.executable, "-m", "tests.fuzz", "--say"],
            env={**os.environ, "COSCRIBE_PURE": pure},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        ).stdout.splitlines()
        for pure in ("1", "")
    )
    assert len(pure) >= 60
    assert pure == compiled
