"""``coscribe cluster``: who lives and owns what; pins."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from coscribe.cluster.leases import PostgresLeases
from coscribe.cluster.ports import SHARDS, Instance, Pin, Table
from tests.cli.conftest import Run
from tests.cli.stores import Kept

CORE, GATEWAY = Instance("ins_1", "core-1", is_core=True), Instance("ins_2", "edge-1", is_core=False)
GONE = Instance("ins_3", "core-3", is_core=True, leaving=True)
DEAF = Instance("ins_4", "core-4", is_core=True, cut_off=True)


@pytest.fixture
def url(kept: Kept) -> str:
    """A cluster's database, with instances that live for a minute."""
    url = kept.store.url

    async def live(one: PostgresLeases) -> None:
        for instance in (GATEWAY, GONE, DEAF, CORE):
            await one.beat(instance, 60.0)
        await one.take("ins_1", range(1, SHARDS))

    leases(url, live)
    return url


def leases(url: str, ask: Callable[[PostgresLeases], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        one = PostgresLeases(url)
        try:
            return await ask(one)
        finally:
            await one.close()

    return asyncio.run(run())


@pytest.mark.parametrize("kept", ["postgres"], indirect=True)
class TestCluster:
    def test_who_lives(self, run: Run, url: str) -> None:
        said = run("cluster", "list", "--database", url).stdout
        assert [line.strip().split(maxsplit=4) for line in said.splitlines()[2:]] == [
            ["core-1", "core", "1023", "0", "well"],
            ["core-3", "core", "0", "0", "leaving"],
            ["core-4", "core", "0", "0", "cut off from the bus"],
            ["edge-1", "gateway", "0", "0", "well"],
        ]
        assert json.loads(run("cluster", "list", "--database", url, "--json").stdout)["items"][0] == {
            "instanceId": "ins_1",
            "name": "core-1",
            "role": "core",
            "shards": SHARDS - 1,
            "pinned": 0,
            "state": "well",
        }

    def test_a_workspace_is_pinned_and_let_go_again(self, run: Run, url: str) -> None:
        assert run("cluster", "pins", "--database", url).stdout == "Nothing is pinned.\n"
        done = run("cluster", "pin", "notes", "core-3", "--database", url)
        assert (done.exit_code, done.stdout) == (0, "notes is pinned to core-3.\n")
        table: Table = leases(url, lambda one: one.table())
        assert table.pins == {"notes": Pin("core-3", "ins_1")}
        assert run("cluster", "pins", "--database", url).stdout.splitlines()[2].split() == ["notes", "core-3", "core-1"]
        done = run("cluster", "unpin", "notes", "--database", url)
        assert (done.exit_code, done.stdout) == (0, "notes goes back to its shard.\n")
        assert "(no longer)" in run("cluster", "pins", "--database", url).stdout, "until its owner has given it up"

    @pytest.mark.parametrize(
        ("words", "why"),
        [
            (["pin", "nothing", "core-1"], "there is no document nothing"),
            (["pin", "notes", "edge-1"], "no core is named edge-1"),
            (["unpin", "notes"], "notes is not pinned"),
        ],
    )
    def test_what_cannot_be_pinned(self, run: Run, url: str, words: list[str], why: str) -> None:
        refused = run("cluster", *words, "--database", url)
        assert refused.exit_code == 2
        assert why in refused.stderr
        assert leases(url, lambda one: one.table()).pins == {}


@pytest.mark.parametrize(("url", "why"), [("", "no database is given"), ("mysql://x/y", "cannot read")])
def test_without_a_database_it_says_what_is_wanted(run: Run, url: str, why: str) -> None:
    refused = run("cluster", "list", "--database", url)
    assert refused.exit_code == 2
    assert why in refused.stderr
