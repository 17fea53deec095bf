"""Audit checkpoints, and the keys that sign them."""

from __future__ import annotations

import msgspec
import pytest

from coscribe.core.errors import CoscribeError
from coscribe.documents.proofs import (
    KEY_FORMAT,
    AuditCheckpoint,
    Held,
    KeyChange,
    Reached,
    Ring,
    break_between,
    checkpoint_at,
    parted,
    read_checkpoint,
)
from coscribe.persistence.signing import SigningKey, has_signed

ONE, TWO, THREE = (SigningKey(bytes([number]) * 32) for number in (1, 2, 3))


def taken(sequence: int, before: AuditCheckpoint | None = None, key: SigningKey = ONE) -> AuditCheckpoint:
    reached = Reached("wsp", "inc", sequence, bytes([sequence]) * 32, sequence, bytes(32), 0, bytes(32))
    return checkpoint_at(reached, before, 1_000 + sequence, key)


def changed(before: SigningKey, after: SigningKey) -> KeyChange:
    change = KeyChange(KEY_FORMAT, before.public.hex, after.public.hex, 7)
    statement = change.statement()
    return msgspec.structs.replace(
        change, signature=before.sign(statement).hex(), counter_signature=after.sign(statement).hex()
    )


def ring(kept: SigningKey, *changes: KeyChange) -> Ring:
    return Ring(bytes.fromhex(kept.public.hex), changes, has_signed)


def test_what_is_kept_as_json_is_what_was_signed() -> None:
    made = taken(3, taken(2))
    again = read_checkpoint(msgspec.json.encode(made))
    assert again == made
    assert ring(ONE).refute_checkpoint(again) == ""


@pytest.mark.parametrize("name", [name for name in AuditCheckpoint.__struct_fields__ if name != "key_id"])
def test_no_field_can_be_another(name: str) -> None:
    made = taken(3, taken(2))
    value = getattr(made, name)
    other = value + 1 if isinstance(value, int) else "7" * len(value)
    forged = msgspec.structs.replace(made, **{name: other})
    assert "its signature does not fit" in ring(ONE).refute_checkpoint(forged)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"format":"x"}', b"\xff"])
def test_what_is_no_checkpoint_is_refused(content: bytes) -> None:
    with pytest.raises(CoscribeError):
        read_checkpoint(content)


def test_keys_are_followed_both_ways_and_no_further() -> None:
    changes = [changed(TWO, THREE), changed(ONE, TWO)]
    for kept in (ONE, TWO, THREE):
        for signer in (ONE, TWO, THREE):
            assert ring(kept, *changes).refute_checkpoint(taken(1, key=signer)) == ""
    assert "it was signed with the key" in ring(ONE).refute_checkpoint(taken(1, key=TWO))
    assert "it was signed with the key" in ring(ONE, changes[0]).refute_checkpoint(taken(1, key=THREE))


def test_a_change_that_one_of_both_has_not_signed_leads_nowhere() -> None:
    good = changed(ONE, TWO)
    for bad in (
        msgspec.structs.replace(good, signature=good.counter_signature),
        msgspec.structs.replace(good, counter_signature=good.signature),
        msgspec.structs.replace(good, made_at=8),
        msgspec.structs.replace(good, format="other"),
        msgspec.structs.replace(good, after=THREE.public.hex),
        msgspec.structs.replace(good, after="nonsense"),
    ):
        assert ring(ONE, bad).refute_checkpoint(taken(1, key=TWO)) != ""
        assert ring(ONE, bad).refute_checkpoint(taken(1, key=THREE)) != ""


def test_checkpoints_hang_together() -> None:
    first, other = taken(5), taken(6)
    second = taken(7, first)
    assert break_between(None, first) == break_between(first, second) == ""
    assert "missing" in break_between(None, second)
    assert "does not hang" in break_between(other, second)
    assert "behind number 2" in break_between(second, second)
    assert "says less" in break_between(first, taken(4, first))


def hold(wanted: dict[int, int], log: list[int]) -> str:
    """What is told of a log, given as a digit for each digest, that is held to digits by sequence."""
    held = Held()
    for sequence, digit in wanted.items():
        held.hold(sequence, bytes([digit] * 32).hex(), f"checkpoint {sequence}")
    for sequence, digit in enumerate(log, 1):
        held.entry(sequence, bytes([digit] * 32))
    parting = held.finish(len(log))
    return "" if parting is None else parting.detail


def test_a_log_is_held_to_what_was_kept() -> None:
    assert hold({2: 2, 4: 4}, [1, 2, 3, 4, 5]) == ""
    assert "is another one than checkpoint 4 says: it forks at an entry from 3 to 4" in hold({2: 2, 4: 9}, [1, 2, 3, 4])
    assert "forks at an entry from 1 to 2" in hold({2: 9, 4: 9}, [1, 2, 3, 4])
    assert "forks at entry 4" in hold({3: 3, 4: 9}, [1, 2, 3, 4])
    assert "ends at sequence 3, checkpoint 4 says 4: its end was cut off" in hold({2: 2, 4: 4}, [1, 2, 3])


def test_a_server_stands_by_what_was_kept() -> None:
    first = taken(1)
    second = taken(2, first)
    third = taken(3, second)
    for kept in (first, second, third):
        assert parted(kept, iter((third, second, first))) == ""


def test_where_a_server_does_not_stand_by_what_was_kept() -> None:
    first = taken(1)
    second = taken(2, first)
    third = taken(3, second)
    other = taken(9, first)  # signed with the same key
    assert parted(second, (taken(10, other), other, first)) == "checkpoint 2 is another one than was kept"
    assert parted(second, (taken(10, other), second, first)).startswith("checkpoint 3: it does not hang on number 2")
    assert parted(third, (second, first)) == "checkpoint 3 is another one than was kept"
    assert parted(third, ()) == "there is no checkpoint 3 any more"
    assert parted(first, (third, first)).startswith("checkpoint 3: it comes behind number 1")
