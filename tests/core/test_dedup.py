"""The registry of known ids against a dictionary of all that were ever committed.

It may always say "unknown" (storage is asked then). It must never say "new" of an id that was committed, and never
find one that was not.
"""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from coscribe.core.dedup import Registry, join_id, split_id
from coscribe.core.op_window import Committed
from tests.core.builders import entry


@pytest.mark.parametrize(
    ("operation_id", "expected"),
    [
        ("ann-1:7", ("ann-1", 7)),
        ("a:b:12", ("a:b", 12)),
        (":5", ("", 5)),
        ("a:999999999999999", ("a", 999_999_999_999_999)),
        ("a:1000000000000000", ("a:1000000000000000", 0)),  # no database has to hold more digits
        ("a:0", ("a:0", 0)),
        ("a:07", ("a:07", 0)),
        ("a:-1", ("a:-1", 0)),
        ("a:+1", ("a:+1", 0)),
        ("a:1_0", ("a:1_0", 0)),
        ("a: 1", ("a: 1", 0)),
        ("a:٣", ("a:٣", 0)),
        ("a:²", ("a:²", 0)),
        ("a:", ("a:", 0)),
        ("a", ("a", 0)),
        ("", ("", 0)),
    ],
)
def test_split_id(operation_id: str, expected: tuple[str, int]) -> None:
    assert split_id(operation_id) == expected
    assert join_id(*expected) == operation_id


def test_memory_alone_knows_what_is_new() -> None:
    registry = Registry(complete=True)
    assert registry.find("a:1") == "new"
    committed = entry(1, operation_id="a:1")
    registry.add("file", committed)
    assert registry.find("a:1") == ("file", committed)
    assert registry.find("a:2") == "new"
    assert registry.find("a") == "unknown"


def test_a_forgotten_id_is_unknown_never_new() -> None:
    registry = Registry(complete=True)
    committed = entry(1, operation_id="a:1")
    registry.add("file", committed)
    registry.forget(committed)
    assert registry.find("a:1") == "unknown"
    registry.forget(committed)


def test_after_a_restart_storage_is_asked_once_a_series() -> None:
    registry = Registry(complete=False)
    assert registry.find("a:8") == "unknown"
    registry.learn("a", 7)
    assert (registry.find("a:7"), registry.find("a:8")) == ("unknown", "new")
    registry.learn("b", -1)
    assert registry.find("b") == "new"


def test_learning_never_goes_back() -> None:
    registry = Registry(complete=False)
    registry.learn("a", 7)
    registry.learn("a", 3)
    assert registry.find("a:5") == "unknown"


def test_the_number_of_series_is_bounded() -> None:
    registry = Registry(complete=True, max_series=2)
    for sequence, series in enumerate("abc", 1):
        registry.add("file", entry(sequence, operation_id=f"{series}:1"))
    assert registry.find("c:2") == "new"
    assert registry.find("a:2") == "unknown", "its series has left"
    assert registry.find("d:1") == "unknown", "no longer complete"


def test_storage_may_not_have_heard_of_the_newest() -> None:
    """a:9 is not durable yet when storage says that series a has come to 7; later it is, and leaves the window."""
    registry = Registry(complete=False)
    newest = entry(1, operation_id="a:9")
    registry.add("file", newest)
    registry.learn("a", 7)
    registry.forget(newest)
    assert registry.find("a:9") == "unknown"


def test_a_late_straggler_does_not_set_a_series_back() -> None:
    """a:3 is committed after a:7, and only a:3 is still here: a:7 must not look new."""
    registry = Registry(complete=False)
    registry.add("file", entry(9, operation_id="a:3"))
    assert registry.find("a:7") != "new"


SERIES = st.sampled_from("abc")
IDS = st.one_of(
    st.builds(join_id, SERIES, st.integers(1, 5)),
    st.sampled_from(["a", "b:0", "d"]),
)


class RegistryMachine(RuleBasedStateMachine):
    """Messages come in, commits get durable, entries leave the window, the process restarts.

    The first ``durable`` of ``log`` are what storage knows; the last ``recent`` of it are in the window.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Committed] = []
        self.durable = 0
        self.recent = 0
        self.registry = Registry(complete=True, max_series=2)

    @initialize(complete=st.booleans())
    def start(self, complete: bool) -> None:
        self.registry = Registry(complete=complete, max_series=2)

    @rule(ids=st.lists(IDS, min_size=1, max_size=3, unique=True))
    def message(self, ids: list[str]) -> None:
        """What the pipeline does: look, ask storage where that is needed, commit what is new."""
        for operation_id in ids:
            if self.registry.find(operation_id) == "unknown":
                self.ask_storage(split_id(operation_id)[0])
        known = {one.operation_id for one in self.log}
        for operation_id in ids:
            if operation_id not in known:
                self.log.append(entry(len(self.log) + 1, operation_id=operation_id))
                self.recent += 1
                self.registry.add("file", self.log[-1])

    @rule(series=SERIES)
    def ask_storage(self, series: str) -> None:
        ids = [split_id(one.operation_id) for one in self.log[: self.durable]]
        self.registry.learn(series, max((counter for found, counter in ids if found == series), default=-1))

    @rule(count=st.integers(1, 3))
    def commit(self, count: int) -> None:
        self.durable = min(self.durable + count, len(self.log))

    @rule(count=st.integers(1, 3))
    def leave_window(self, count: int) -> None:
        start = len(self.log) - self.recent
        for left in self.log[start : min(start + count, self.durable)]:
            self.registry.forget(left)
            self.recent -= 1

    @rule(kept=st.integers(0, 3))
    def restart(self, kept: int) -> None:
        """What was not durable never happened; the end of the log comes back into the window."""
        del self.log[self.durable :]
        self.recent = min(kept, len(self.log))
        self.registry = Registry(complete=not self.log, max_series=2)
        for found in self.log[len(self.log) - self.recent :]:
            self.registry.add("file", found)

    @invariant()
    def never_wrong(self) -> None:
        start = len(self.log) - self.recent
        for one in self.log[:start]:
            assert self.registry.find(one.operation_id) == "unknown"
        for one in self.log[start:]:
            assert self.registry.find(one.operation_id) == ("file", one)
        known = {one.operation_id for one in self.log}
        for operation_id in {"a", "b:0", "b:1", "c:6", "d"} - known:
            assert self.registry.find(operation_id) in ("new", "unknown")


TestRegistry = RegistryMachine.TestCase
TestRegistry.settings = settings(max_examples=settings().max_examples // 3, stateful_step_count=25)
