"""Budgets of requests, and the defence of sign-in: in virtual time."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from coscribe.access.throttle import Attempt, Buckets, Level, LoginGuard, Throttled
from coscribe.core.errors import Code
from coscribe.gateway.address import address_key
from coscribe.metrics import metrics
from tests.access.clock import Clock

HOME = "192.0.2.1"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guard(clock: Clock) -> LoginGuard:
    return LoginGuard(clock)


async def fail(guard: LoginGuard, account: str = "ann", address: str = HOME) -> None:
    async with guard.attempt(account, address) as attempt:
        attempt.failed()


async def succeed(guard: LoginGuard, account: str = "ann", address: str = HOME) -> None:
    async with guard.attempt(account, address) as attempt:
        attempt.succeeded()


def wait(guard: LoginGuard, account: str = "ann", address: str = HOME) -> float:
    """Seconds until an attempt is let through."""
    try:
        guard.check(account, address)
    except Throttled as error:
        return error.retry_after
    return 0.0


async def fail_through(guard: LoginGuard, clock: Clock, times: int, account: str = "ann", address: str = HOME) -> None:
    """Fails so often, as early as allowed each time."""
    for _ in range(times):
        clock.pass_(wait(guard, account, address))
        await fail(guard, account, address)


def buckets(clock: Clock, max_keys: int = 100) -> Buckets:
    return Buckets("test", limit=10, per_second=2.0, now=clock, max_keys=max_keys)


class TestBuckets:
    def test_says_what_is_left(self, clock: Clock) -> None:
        made = buckets(clock)
        assert made.take("a") == Level(10, 9, 0.5)
        assert made.take("a", 4) == Level(10, 5, 2.5)
        assert made.level("a") == Level(10, 5, 2.5)

    def test_refuses_what_is_not_there_and_says_when_it_will_be(self, clock: Clock) -> None:
        made = buckets(clock)
        for _ in range(10):
            made.take("a")
        with pytest.raises(Throttled) as caught:
            made.take("a", 3)
        assert caught.value.code is Code.TOO_MANY_REQUESTS
        assert caught.value.retry_after == pytest.approx(1.5)
        assert caught.value.level == Level(10, 0, 5.0)
        clock.pass_(1.4)
        with pytest.raises(Throttled):
            made.take("a", 3)
        clock.pass_(0.1)
        assert made.take("a", 3).remaining == 0

    def test_a_refusal_takes_nothing_and_a_pause_fills_no_further_than_the_limit(self, clock: Clock) -> None:
        made = buckets(clock)
        made.take("a", 8)
        with pytest.raises(Throttled):
            made.take("a", 3)
        assert made.take("a", 2).remaining == 0
        clock.pass_(3_600)
        assert made.level("a") == Level(10, 10, 0.0)

    def test_keys_do_not_touch_each_other(self, clock: Clock) -> None:
        made = buckets(clock)
        made.take("a", 10)
        assert made.take("b").remaining == 9

    def test_a_cost_above_the_limit_takes_the_whole_bucket(self, clock: Clock) -> None:
        made = buckets(clock)
        assert made.take("a", 1_000).remaining == 0

    @pytest.mark.parametrize("uptime", [0.0, 1e7])
    def test_every_token_is_there_at_a_high_rate_on_an_old_machine(self, uptime: float) -> None:
        made = Buckets("test", limit=1_000, per_second=1_000.0, now=Clock(uptime + 0.1))
        assert [made.take("a").remaining for _ in range(1_000)] == list(range(999, -1, -1))
        with pytest.raises(Throttled):
            made.take("a")

    def test_at_the_bound_the_key_touched_longest_ago_is_forgotten(self, clock: Clock) -> None:
        made = buckets(clock, max_keys=2)
        made.take("a", 10)
        made.take("b", 10)
        assert made.level("a").remaining == 0  # touched
        made.take("c", 10)
        assert [made.level(key).remaining for key in "abc"] == [0, 10, 0]
        assert metrics.registry.get_sample_value("coscribe_throttle_keys", {"table": "test"}) == 2


class TestOneAccountFromOneAddress:
    async def test_five_failures_are_free_then_the_pause_doubles_up_to_15_minutes(
        self, guard: LoginGuard, clock: Clock
    ) -> None:
        pauses = []
        for _ in range(18):
            await fail(guard)
            pauses.append(wait(guard))
            clock.pass_(pauses[-1])
        assert pauses == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]

    async def test_an_attempt_in_a_pause_is_refused_and_does_not_lengthen_it(
        self, guard: LoginGuard, clock: Clock
    ) -> None:
        await fail_through(guard, clock, 8)
        for _ in range(50):
            with pytest.raises(Throttled):
                await fail(guard)
        assert wait(guard) == 4
        clock.pass_(3.9)
        assert wait(guard) == pytest.approx(0.1)
        clock.pass_(0.1)
        await fail(guard)
        assert wait(guard) == 8

    async def test_a_success_clears_it(self, guard: LoginGuard, clock: Clock) -> None:
        await fail_through(guard, clock, 9)
        clock.pass_(wait(guard))
        await succeed(guard)
        for _ in range(5):
            await fail(guard)
            assert wait(guard) == 0
        await fail(guard)
        assert wait(guard) == 1

    async def test_it_is_nobody_elses_pause(self, guard: LoginGuard, clock: Clock) -> None:
        await fail_through(guard, clock, 12)
        assert (wait(guard, "bob"), wait(guard, "ann", "192.0.2.2")) == (0, 0)
        assert wait(guard) == 64

    async def test_a_day_without_a_failure_forgets_but_not_less(self, guard: LoginGuard, clock: Clock) -> None:
        await fail_through(guard, clock, 7)
        clock.pass_(86_399)
        await fail(guard)
        assert wait(guard) == 4
        clock.pass_(86_400)
        await fail(guard)
        assert wait(guard) == 0

    async def test_an_attempt_that_was_not_answered_is_no_failure(self, guard: LoginGuard) -> None:
        for _ in range(50):
            async with guard.attempt("ann", HOME):
                pass
        assert wait(guard) == 0

    async def test_it_counts_a_refusal(self, guard: LoginGuard, clock: Clock) -> None:
        def refused() -> float:
            return metrics.registry.get_sample_value("coscribe_throttled_total", {"by": "sign_in_pair"}) or 0.0

        await fail_through(guard, clock, 6)
        before = refused()
        wait(guard)
        assert refused() == before + 1


class TestTogether:
    async def test_at_most_three_attempts_of_a_pair_run_together(self, guard: LoginGuard) -> None:
        async with AsyncExitStack() as running:
            for _ in range(3):
                await running.enter_async_context(guard.attempt("ann", HOME))
            assert wait(guard) > 0
            assert wait(guard, "bob") == 0
        assert wait(guard) == 0

    async def test_guesses_sent_together_get_no_further_than_one_after_the_other(
        self, guard: LoginGuard, clock: Clock
    ) -> None:
        guesses = 0
        for _ in range(20):  # rounds in which as many are begun as are let through, before any has ended
            async with AsyncExitStack() as running:
                begun: list[Attempt] = []
                while wait(guard) == 0:
                    begun.append(await running.enter_async_context(guard.attempt("ann", HOME)))
                for attempt in begun:
                    attempt.failed()
                guesses += len(begun)
        assert guesses == 6  # five are free; the sixth begins the pauses
        assert wait(guard) == 1

    async def test_after_a_pause_one_guess_is_let_through_not_several(self, guard: LoginGuard, clock: Clock) -> None:
        await fail_through(guard, clock, 7)
        clock.pass_(2)
        async with guard.attempt("ann", HOME):
            assert wait(guard) == 1
        assert wait(guard) == 0

    async def test_from_many_addresses_together_an_account_gets_no_more_free_guesses(self, guard: LoginGuard) -> None:
        begun = 0
        async with AsyncExitStack() as running:
            for n in range(100):
                address = f"198.51.100.{n}"
                if wait(guard, "ann", address) == 0:
                    await running.enter_async_context(guard.attempt("ann", address))
                    begun += 1
        assert begun == 30

    async def test_only_the_first_word_on_an_attempt_counts(self, guard: LoginGuard) -> None:
        for _ in range(5):
            async with guard.attempt("ann", HOME) as attempt:
                attempt.failed()
                attempt.failed()
                attempt.succeeded()
        assert wait(guard) == 0
        await fail(guard)
        assert wait(guard) == 1

    async def test_room_is_given_back_when_an_attempt_breaks_off(self, guard: LoginGuard) -> None:
        for _ in range(10):
            with pytest.raises(ValueError, match="gone"):
                async with guard.attempt("ann", HOME):
                    raise ValueError("gone")
        assert wait(guard) == 0
        assert not guard._running  # or it would grow with every name that is typed


class TestOneAccountFromEverywhere:
    async def attack(self, guard: LoginGuard, clock: Clock, failures: int) -> None:
        for n in range(failures):
            await fail_through(guard, clock, 1, address=f"198.51.100.{n}")

    async def test_thirty_failures_are_free_then_the_pause_doubles_up_to_a_minute(
        self, guard: LoginGuard, clock: Clock
    ) -> None:
        pauses = []
        for n in range(40):
            await fail(guard, address=f"198.51.100.{n}")
            pauses.append(wait(guard))
            clock.pass_(pauses[-1])
        assert pauses == [0] * 30 + [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]

    async def test_failures_count_for_an_hour(self, guard: LoginGuard, clock: Clock) -> None:
        for n in range(31):
            await fail(guard, address=f"198.51.100.{n}")
        clock.pass_(3_599)
        await fail(guard, address="203.0.113.1")
        assert wait(guard) == 2
        clock.pass_(1)
        assert wait(guard) == 0

    async def test_the_owner_at_home_does_not_wait_for_an_attacker_elsewhere(
        self, guard: LoginGuard, clock: Clock
    ) -> None:
        await succeed(guard)
        await self.attack(guard, clock, 50)
        assert wait(guard, address="203.0.113.1") == 60
        assert wait(guard) == 0
        await fail_through(guard, clock, 6)
        assert wait(guard) == 1  # the pair's own pause holds

    async def test_the_owner_away_from_home_waits_a_minute_at_most(self, guard: LoginGuard, clock: Clock) -> None:
        await self.attack(guard, clock, 200)
        assert wait(guard) == 60
        clock.pass_(60)
        await succeed(guard)

    async def test_other_accounts_are_not_touched(self, guard: LoginGuard, clock: Clock) -> None:
        await self.attack(guard, clock, 50)
        assert wait(guard, "bob") == 0


class TestOneAddress:
    async def test_200_failures_then_one_a_second(self, guard: LoginGuard, clock: Clock) -> None:
        for n in range(200):
            assert wait(guard, f"user{n}") == 0
            await fail(guard, f"user{n}")
        assert wait(guard, "another") == 1
        assert wait(guard, "another", "192.0.2.2") == 0
        clock.pass_(1)
        await fail(guard, "another")
        assert wait(guard, "yet-another") == 1

    async def test_a_classroom_that_mistypes_gets_in_as_successes_cost_nothing(self, guard: LoginGuard) -> None:
        for n in range(40):
            for _ in range(4):
                await fail(guard, f"pupil{n}")
        for _ in range(20):
            for n in range(40):
                await succeed(guard, f"pupil{n}")

    async def test_guesses_sent_together_do_not_get_past_the_budget(self, guard: LoginGuard) -> None:
        for n in range(195):
            await fail(guard, f"user{n}")
        async with AsyncExitStack() as running:
            for n in range(5):
                attempt = await running.enter_async_context(guard.attempt(f"other{n}", HOME))
                attempt.failed() if n % 2 else None
            assert wait(guard, "more") == 1

    async def test_a_whole_64_of_ipv6_counts_as_one(self, guard: LoginGuard, clock: Clock) -> None:
        await fail_through(guard, clock, 6, address="2001:db8:1:2::1")
        assert wait(guard, address="2001:db8:1:2:ffff::9") == 1
        assert wait(guard, address="2001:db8:1:3::1") == 0

    @pytest.mark.parametrize(
        ("address", "key"),
        [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("testclient", "testclient"),
            ("", ""),
        ],
    )
    def test_what_counts_as_one_address(self, address: str, key: str) -> None:
        assert address_key(address) == key


class TestMemory:
    async def test_names_and_addresses_without_end_take_no_memory_without_end(self, clock: Clock) -> None:
        guard = LoginGuard(clock, max_pairs=10, max_accounts=10)
        for n in range(500):
            await fail(guard, f"user{n}", f"198.51.{n // 250}.{n % 250}")
        for table in ("sign_in_pair", "sign_in_account", "sign_in_address"):
            assert metrics.registry.get_sample_value("coscribe_throttle_keys", {"table": table}) == 10

    async def test_what_was_touched_longest_ago_is_forgotten_first(self, clock: Clock) -> None:
        guard = LoginGuard(clock, max_pairs=3)
        await fail_through(guard, clock, 8)
        for n in range(10):
            assert wait(guard) > 0  # touched: by being refused
            await fail(guard, f"user{n}", "192.0.2.2")
        for n in range(3):
            await fail(guard, f"more{n}", "192.0.2.2")
        assert wait(guard) == 0

    async def test_of_a_name_of_a_megabyte_little_is_kept(self, guard: LoginGuard) -> None:
        await fail(guard, "x" * 1_000_000)
        assert max(len(key) for key in guard._pairs._kept) < 400
