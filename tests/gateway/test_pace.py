"""Pace: nobody waits when few come, and where many come they come one behind the other."""

from __future__ import annotations

from coscribe.gateway.pace import RETURNS_PER_MS, Pace


def test_many_come_one_behind_the_other_and_later_nobody_waits() -> None:
    now = 5.0
    pace = Pace(lambda: now)
    waits = [pace.after() for _ in range(100 * RETURNS_PER_MS)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0, 99)
    assert max(waits.count(each) for each in waits) <= RETURNS_PER_MS + 1
    now += 0.05
    assert 49 <= pace.after() <= 50
    now += 1.0
    assert pace.after() == 0
