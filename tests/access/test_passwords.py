"""Hashing in few threads, with room for few more; with the real argon2."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator

import pytest
from argon2 import PasswordHasher, Type, extract_parameters

from coscribe.access.passwords import Passwords, Verdict, default_workers
from coscribe.access.throttle import LoginGuard, Throttled
from coscribe.core.errors import Code, CoscribeError
from coscribe.metrics import metrics
from tests.access.clock import Clock

pytestmark = pytest.mark.slow

GOOD = "sieben rote Züge"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Gate(PasswordHasher):
    """Counts what is verified, and lets nothing through until it is opened."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.begun = threading.Semaphore(0)
        self.open = threading.Event()
        self.verified: list[str | bytes] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
        self.verified.append(hash)
        self.begun.release()
        self.open.wait()
        return super().verify(hash, password)


def value(name: str) -> float:
    return metrics.registry.get_sample_value(name) or 0.0


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    made = Passwords()
    yield made
    await made.close()


@pytest.fixture
async def cheap() -> AsyncIterator[Passwords]:
    made = Passwords(CHEAP)
    yield made
    await made.close()


async def crowd(passwords: Passwords, gate: Gate, waiting: int) -> list[asyncio.Task[Verdict]]:
    """One that is being verified, and so many that wait."""
    tasks = [asyncio.create_task(passwords.verify(GOOD, None)) for _ in range(waiting + 1)]
    await asyncio.sleep(0)
    await asyncio.to_thread(gate.begun.acquire)
    assert value("coscribe_password_waiting") == waiting
    return tasks


class TestHashing:
    async def test_the_right_password_is_right_and_another_is_wrong(self, passwords: Passwords) -> None:
        stored = await passwords.hash(GOOD)
        assert await passwords.verify(GOOD, stored) == Verdict(right=True, rehash=False)
        assert not await passwords.verify(GOOD + " ", stored)
        assert not await passwords.verify("", stored)

    async def test_it_is_argon2id_with_the_parameters_of_owasp_and_salted(self, passwords: Passwords) -> None:
        one, two = await passwords.hash(GOOD), await passwords.hash(GOOD)
        found = extract_parameters(one)
        assert found.type is Type.ID
        assert (found.memory_cost, found.time_cost, found.parallelism) == (19 * 1024, 2, 1)
        assert one != two

    async def test_a_hash_with_other_parameters_is_right_and_to_be_renewed(self, passwords: Passwords) -> None:
        assert await passwords.verify(GOOD, CHEAP.hash(GOOD)) == Verdict(right=True, rehash=True)
        assert await passwords.verify("wrong", CHEAP.hash(GOOD)) == Verdict(right=False, rehash=False)

    async def test_how_a_letter_was_typed_makes_no_difference(self, cheap: Passwords) -> None:
        assert await cheap.verify("sieben rote Zu\u0308ge", await cheap.hash(GOOD))

    async def test_any_text_can_be_verified_and_one_that_is_too_long_is_wrong(self, cheap: Passwords) -> None:
        for text in ("\ud800" * 10, "nul\0nul\0nul", "x" * 256):
            assert await cheap.verify(text, await cheap.hash(text))
        assert not await cheap.verify("x" * 257, CHEAP.hash("x" * 257))

    async def test_what_is_no_hash_is_an_error_not_a_wrong_password(self, cheap: Passwords) -> None:
        with pytest.raises(ValueError, match=r"^$|Hash|hash"):
            await cheap.verify(GOOD, "not a hash")

    @pytest.mark.parametrize("password", [GOOD, "x" * 1_000])
    async def test_nobody_costs_a_hash_with_the_same_parameters_as_somebody(self, password: str) -> None:
        gate = Gate()
        gate.open.set()
        passwords = Passwords(gate)
        before = value("coscribe_password_hashes_total")
        assert await passwords.verify(password, None) == Verdict(right=False)
        assert [extract_parameters(str(used)) for used in gate.verified] == [extract_parameters(gate.hash(GOOD))]
        assert value("coscribe_password_hashes_total") == before + 1
        await passwords.close()


class TestThreads:
    async def test_they_hash_off_the_loop_and_give_way_but_nobody_else_does(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[tuple[int, int]] = []
        changed: list[int] = []
        setpriority = os.setpriority

        def spy(which: int, who: int, priority: int) -> None:
            changed.append(who)
            setpriority(which, who, priority)

        monkeypatch.setattr(os, "setpriority", spy)

        class Looking(PasswordHasher):
            def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
                thread = threading.get_native_id()
                seen.append((thread, os.getpriority(os.PRIO_PROCESS, thread)))
                return super().verify(hash, password)

        before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        passwords = Passwords(Looking(time_cost=1, memory_cost=8, parallelism=1))
        await passwords.verify(GOOD, None)
        await passwords.close()
        [(thread, priority)] = seen
        assert thread != threading.get_native_id()
        assert changed == ([thread] if sys.platform == "linux" else [])
        assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
        assert os.getpriority(os.PRIO_PROCESS, await asyncio.to_thread(threading.get_native_id)) == before
        assert priority == (min(19, before + 10) if sys.platform == "linux" else before)

    @pytest.mark.parametrize(("cores", "workers"), [(None, 1), (1, 1), (2, 1), (4, 3), (64, 4)])
    def test_a_core_stays_free(self, cores: int | None, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "cpu_count", lambda: cores)
        assert default_workers() == workers


class TestWaiting:
    async def test_one_too_many_is_refused_at_once_and_told_when_to_come_again(self) -> None:
        gate = Gate()
        passwords = Passwords(gate, workers=1, max_waiting=4)
        tasks = await crowd(passwords, gate, 4)
        before = value("coscribe_password_refused_total")
        with pytest.raises(Throttled) as caught:
            await passwords.verify(GOOD, None)
        assert caught.value.retry_after >= 1
        assert value("coscribe_password_refused_total") == before + 1
        gate.open.set()
        assert not any(await asyncio.gather(*tasks))
        assert len(gate.verified) == 5
        assert value("coscribe_password_waiting") == 0
        await passwords.close()

    async def test_where_hashes_are_slow_fewer_may_wait(self) -> None:
        clock = Clock()

        class Slow(Gate):
            def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
                clock.pass_(0.3)
                return super().hash(password, salt=salt)

        gate = Slow()
        passwords = Passwords(gate, workers=1, now=clock)
        tasks = await crowd(passwords, gate, 3)
        with pytest.raises(Throttled) as caught:
            await passwords.verify(GOOD, None)
        assert caught.value.retry_after == pytest.approx(1.2)
        gate.open.set()
        await asyncio.gather(*tasks)
        await passwords.close()

    async def test_one_may_always_wait_and_a_slow_spell_passes(self) -> None:
        clock = Clock()

        class Stalled(Gate):
            def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
                clock.pass_(30)
                return super().hash(password, salt=salt)

        gate = Stalled()
        passwords = Passwords(gate, workers=1, now=clock)
        gate.open.set()
        for _ in range(20):
            await asyncio.gather(passwords.verify(GOOD, None), passwords.verify(GOOD, None))
        await asyncio.gather(*(passwords.verify(GOOD, None) for _ in range(20)))
        await passwords.close()

    async def test_who_hung_up_while_waiting_costs_no_hash_and_leaves_room(self) -> None:
        gate = Gate()
        passwords = Passwords(gate, workers=1, max_waiting=4)
        tasks = await crowd(passwords, gate, 4)
        for task in tasks[1:4]:
            task.cancel()
        await asyncio.wait(tasks[1:4])
        assert value("coscribe_password_waiting") == 1
        tasks += [asyncio.create_task(passwords.verify(GOOD, None)) for _ in range(3)]
        gate.open.set()
        await asyncio.gather(*tasks[4:])
        assert len(gate.verified) == 5
        await passwords.close()

    async def test_who_hangs_up_during_the_hash_frees_its_thread_only_at_its_end(self) -> None:
        gate = Gate()
        passwords = Passwords(gate, workers=1)
        first, second = await crowd(passwords, gate, 1)
        first.cancel()
        await asyncio.wait([first])
        assert value("coscribe_password_waiting") == 1
        gate.open.set()
        assert not await second
        assert len(gate.verified) == 2
        await passwords.close()

    async def test_closing_ends_what_runs_and_turns_away_who_waits(self) -> None:
        gate = Gate()
        passwords = Passwords(gate, workers=1)
        running, *waiting = await crowd(passwords, gate, 2)
        closing = asyncio.create_task(passwords.close())
        asyncio.get_running_loop().call_later(0, gate.open.set)
        outcomes = await asyncio.gather(running, *waiting, return_exceptions=True)
        await closing
        assert outcomes[0] == Verdict(right=False)
        with pytest.raises(CoscribeError) as caught:
            await passwords.hash(GOOD)
        assert caught.value.code is Code.SHUTTING_DOWN
        assert value("coscribe_password_waiting") == 0


async def test_a_classroom_behind_one_address_gets_in_together(passwords: Passwords) -> None:
    guard = LoginGuard(asyncio.get_running_loop().time)
    stored = await passwords.hash(GOOD)

    async def sign_in(name: str) -> Verdict:
        while True:
            try:
                async with guard.attempt(name, "192.0.2.1") as attempt:
                    verdict = await passwords.verify(GOOD, stored)
                    attempt.succeeded()
                    return verdict
            except Throttled as error:
                await asyncio.sleep(error.retry_after)  # as a client has to

    assert all(await asyncio.gather(*(sign_in(f"pupil{n}") for n in range(40))))


class TestChoosing:
    @pytest.mark.parametrize(
        "password",
        [GOOD, "x7#kQ9!mZz", "correct horse battery", "密码安全很重要的一件事啊", "1234 Main Street", "cannot-begin-5"],
    )
    def test_what_is_good_enough(self, password: str) -> None:
        Passwords.check(password, also=["ann", "a@example.org", "", "bob.smith"])

    @pytest.mark.parametrize(("length", "good"), [(9, False), (10, True), (256, True), (257, False)])
    def test_it_has_10_to_256_characters(self, length: int, good: bool) -> None:
        password = ("mixture7 of Ünlike things; " * 10)[:length]
        if good:
            Passwords.check(password, also=[])
        else:
            self.refused(password)

    def test_a_character_counts_once_however_it_was_typed(self) -> None:
        self.refused("u\u0308o\u0308a\u0308e\u0308i\u0308")
        Passwords.check("u\u0308o\u0308a\u0308e\u0308i\u0308lmnpq", also=[])

    @pytest.mark.parametrize(
        "password",
        [
            *("Password123", "PASSWORDPASSWORD", "iloveyou123", "CorrectHorseBatteryStaple", "Summer2024!"),
            *("aaaaaaaaaaaa", "abababababab", "123123123123", "ααααααααααα"),
            *("1234567890", "0123456789", "9876543210", "890123456789", "abcdefghijkl", "ZYXWVUTSRQPO", "qwertyuiop"),
            *("qwertzuiop", "poiuytrewq", "0123456789" * 20),
        ],
    )
    def test_what_is_common_or_a_sequence_is_refused(self, password: str) -> None:
        self.refused(password)

    @pytest.mark.parametrize(
        "password", ["my-name-is-Charlotte", "CHARLOTTE-2-times", "c.brown@example.org", "ac.brown5678"]
    )
    def test_it_may_not_hold_the_name_of_its_owner(self, password: str) -> None:
        self.refused(password, "charlotte", "C.Brown@example.org")

    def refused(self, password: str, *also: str) -> None:
        with pytest.raises(CoscribeError) as caught:
            Passwords.check(password, also=also)
        assert caught.value.code is Code.PASSWORD_REFUSED
        assert password not in str(caught.value)
