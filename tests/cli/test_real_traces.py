"""Years of real people's typing through a real server: nothing is lost, nothing is put elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.data import DATA, need

EDITS = {
    "sveltecomponent": 19_749,
    "json-crdt-patch": 18_723,
    "friendsforever_flat": 26_078,
    "friendsforever_concurrent": 26_078,
    "automerge-paper": 259_778,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EDITS)
def test_replay(name: str) -> None:
    path = need(DATA / "traces" / f"{name}.json.gz")
    command = [sys.executable, "-m", "coscribe", "replay", str(path), "--json"]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    print(result.stdout)
    outcome = json.loads(result.stdout)
    assert result.returncode == 0
    assert outcome["edits"] == outcome["operations"] == outcome["serverSequence"] == EDITS[name]
    assert outcome["equal"] and outcome["equalAfterKill"] and outcome["verified"]
    # A schedule under which the server never rebases would show nothing of it.
    assert (outcome["rebasedByServer"] > 5_000) == (name == "friendsforever_concurrent")
    assert outcome["heals"] == outcome["differentPlaces"] == 0
