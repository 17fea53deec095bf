"""Pending files: what one process leaves, another one takes up; and what is broken is kept."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coscribe.client import PendingFile, pending
from coscribe.client.replica import Batching, Replica
from coscribe.client.undo import MAX_FOREIGN
from coscribe.core.operation import Splice
from tests.client.crew import left_in
from tests.client.network import FILE, Server, delivered, opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pending.json"


def waiting(server: Server, batching: Batching = Batching.SINGLE) -> Replica:
    """A replica with something in flight, something queued, and undone things among it."""
    replica = opened(server, "ann", batching)
    replica.edit([(0, 0, "<first>")])
    replica.outgoing()
    replica.edit([(1, 2, "🙂"), (6, 0, "\n")])
    replica.edit([(0, 1, "")])
    replica.undo()
    return replica


def fresh(user: str = "ann", file_id: str = FILE) -> Replica:
    replica = Replica(file_id, "another-series")
    replica.user_id = user
    return replica


def state(replica: Replica) -> Any:
    return (
        replica.message,
        replica.lineage(),
        [[(item.operation_id, item.operation) for item in part] for part in (replica.in_flight, replica.queue)],
        [[(restored.operation_id, restored.sequence) for restored in item.restores] for item in replica.pending],
    )


@pytest.mark.parametrize("batching", list(Batching))
def test_what_is_saved_is_what_is_loaded(path: Path, batching: Batching) -> None:
    server = Server("some text")
    replica = waiting(server, batching)
    PendingFile(path).save(replica)
    loaded = fresh()
    assert PendingFile(path).load(loaded)
    assert state(loaded) == state(replica)
    loaded.adopt(server.snapshot())
    assert loaded.text == replica.text


def test_an_undo_still_names_what_it_brings_back(path: Path) -> None:
    server = Server("some text")
    replica = waiting(server)
    PendingFile(path).save(replica)
    loaded = fresh()
    PendingFile(path).load(loaded)
    loaded.adopt(server.snapshot())
    while (message := loaded.message or loaded.outgoing()) is not None:
        frame = server.submit(message)
        assert frame is not None
        delivered(loaded, frame)
    assert [entry.restores for entry in server.log] == [(), (), (), (3,)]


def test_an_undo_of_what_was_acknowledged_names_it_too(path: Path) -> None:
    server = Server("some text")
    replica = opened(server, "ann")
    replica.edit([(0, 0, "x")])
    delivered(replica, server.submit(replica.outgoing() or b"") or b"")
    replica.undo()
    PendingFile(path).save(replica)
    loaded = fresh()
    PendingFile(path).load(loaded)
    loaded.adopt(server.snapshot())
    server.submit(loaded.outgoing() or b"")
    assert [entry.restores for entry in server.log] == [(), (1,)]
    assert server.text == "some text"


def test_nothing_is_left_where_nothing_waits(path: Path) -> None:
    server = Server("text")
    replica = opened(server, "ann")
    file = PendingFile(path)
    file.save(replica)
    assert not path.exists()
    replica.edit([(0, 0, "x")])
    file.save(replica)
    assert path.exists()
    replica.give_up()
    file.save(replica)
    assert not path.exists()
    assert not PendingFile(path).load(fresh())


def test_what_an_earlier_process_left_goes_when_it_is_done(path: Path) -> None:
    server = Server("text")
    PendingFile(path).save(waiting(server))
    done = opened(server, "ann")
    PendingFile(path).save(done)
    assert not path.exists()


def test_a_write_that_was_cut_short_is_as_if_it_had_not_been(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replica = waiting(Server("some text"))
    file = PendingFile(path)
    file.save(replica)
    before = state(replica)
    replica.edit([(0, 0, "more")])

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", die)
        with pytest.raises(KeyboardInterrupt):
            file.save(replica)
    (path.parent / f"{path.name}.new").write_bytes(b'{"user_id": "an')
    loaded = fresh()
    assert PendingFile(path).load(loaded)
    assert state(loaded) == before
    PendingFile(path).save(replica)
    assert PendingFile(path).load(loaded)
    assert state(loaded) == state(replica)


@pytest.mark.parametrize(("user", "file_id"), [("bob", FILE), ("ann", "another")])
def test_somebody_elses_edits_are_neither_loaded_nor_lost(path: Path, user: str, file_id: str) -> None:
    server = Server("some text")
    replica = waiting(server)
    PendingFile(path).save(replica)
    other = fresh(user, file_id)
    file = PendingFile(path)
    assert not file.load(other)
    assert other.is_idle
    file.save(other)
    loaded = fresh()
    assert PendingFile(path.with_name(f"{path.name}.damaged")).load(loaded)
    assert state(loaded) == state(replica)


def test_users_and_files_have_places_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    users = ["ann", "bob", "Ann", "x" * 128, "🙂" * 128, "a/../b"]
    files = ["notes", "Notes", "n" * 128]
    pairs = [(user, file_id) for user in users for file_id in files]
    for user, file_id in pairs:
        replica = fresh(user, file_id)
        replica.adopt(Server("text").snapshot())
        replica.edit([(0, 0, f"{user} in {file_id}")])
        PendingFile.in_folder(folder, user, file_id).save(replica)
    assert len({name.casefold() for name in left_in(folder)}) == len(pairs)
    for user, file_id in pairs:
        replica = fresh(user, file_id)
        assert PendingFile.in_folder(folder, user, file_id).load(replica)
        assert replica.queue[0].operation == Splice(0, 0, f"{user} in {file_id}")


def _changed(change: Callable[[Any], None]) -> Callable[[bytes], bytes]:
    def harm(raw: bytes) -> bytes:
        stored = json.loads(raw)
        change(stored)
        return json.dumps(stored).encode()

    return harm


HARM: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda raw: b"",
    "cut": lambda raw: raw[: len(raw) // 2],
    "zeros": lambda raw: bytes(len(raw)),
    "not UTF-8": lambda raw: raw.replace("🙂".encode(), b"\xff\xfe"),
    "another type": _changed(lambda stored: stored.update(queue="nonsense")),
    "a field is missing": _changed(lambda stored: stored.pop("lineage")),
    "negative": _changed(lambda stored: stored["queue"][0][1][0].__setitem__(0, -1)),
    "overlapping edits": _changed(lambda stored: stored["queue"][0].__setitem__(1, [[5, 3, ""], [2, 1, ""]])),
    "no message": _changed(lambda stored: stored.update(message="")),
    "a message of another kind": _changed(lambda stored: stored.update(message='{"type":"ping"}')),
    "a message that is none": _changed(lambda stored: stored.update(message="{")),
    "another message": _changed(lambda stored: stored.update(message=stored["message"].replace(":1", ":7"))),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_damaged_file_is_put_aside_and_said(path: Path, harm: str, caplog: pytest.LogCaptureFixture) -> None:
    server = Server("some text")
    PendingFile(path).save(waiting(server))
    damaged = HARM[harm](path.read_bytes())
    path.write_bytes(damaged)
    loaded = fresh()
    file = PendingFile(path)
    with caplog.at_level(logging.ERROR):
        assert not file.load(loaded)
    assert f"{path.name}.damaged" in caplog.text
    assert (loaded.is_idle, loaded.message, loaded.sequence) == (True, b"", 0)
    assert path.with_name(f"{path.name}.damaged").read_bytes() == damaged
    loaded.adopt(server.snapshot())
    loaded.edit([(0, 0, "on we go")])
    file.save(loaded)
    assert PendingFile(path).load(fresh())


def test_one_damaged_file_does_not_replace_another(path: Path) -> None:
    for number in range(3):
        path.write_text(f"{number}")
        assert not PendingFile(path).load(fresh())
    kept = {name.name: name.read_text() for name in path.parent.iterdir()}
    assert kept == {f"{path.name}.damaged": "0", f"{path.name}.damaged1": "1", f"{path.name}.damaged2": "2"}


def test_what_is_no_file_is_put_aside_too(path: Path) -> None:
    path.mkdir()
    assert not PendingFile(path).load(fresh())
    assert path.with_name(f"{path.name}.damaged").is_dir()


# ---- what can be undone


def typed(server: Server, replica: Replica, *edits: tuple[int, int, str]) -> None:
    """Edits, one after the other, each acknowledged."""
    for edit in edits:
        replica.edit([edit])
        delivered(replica, server.submit(replica.outgoing() or b"") or b"")


def reopened(server: Server, path: Path) -> Replica:
    """A process later: the text is the server's, and what others did meanwhile has been asked for."""
    loaded = fresh()
    PendingFile(path).load(loaded)
    delivered(loaded, server.frame_after(loaded.sequence))
    loaded.adopt(server.snapshot())
    return loaded


def test_what_could_be_undone_can_be_undone_a_process_later(path: Path) -> None:
    server = Server("text")
    ann, ben = opened(server, "ann"), opened(server, "ben")
    typed(server, ann, (4, 0, " one"), (8, 0, " two"), (0, 4, ""))
    ann.undo()
    delivered(ann, server.submit(ann.outgoing() or b"") or b"")
    PendingFile(path).save(ann)
    assert not path.exists()
    delivered(ben, server.frame_after(ben.sequence))
    typed(server, ben, (0, 0, "BEN "), (12, 0, "!"))
    later = reopened(server, path)
    assert later.text == "BEN text one! two"
    texts = []
    while later.undo():
        texts.append(later.text)
    assert texts == ["BEN text one!", "BEN text!"]
    for _ in texts:
        assert later.redo()
    assert later.text == "BEN text one! two"
    while (message := later.outgoing()) is not None:
        delivered(later, server.submit(message) or b"")
    assert server.text == later.text


def test_an_undone_edit_can_be_redone_a_process_later(path: Path) -> None:
    server = Server("text")
    ann = opened(server, "ann")
    typed(server, ann, (0, 4, ""))
    ann.undo()
    delivered(ann, server.submit(ann.outgoing() or b"") or b"")
    PendingFile(path).save(ann)
    later = reopened(server, path)
    assert later.redo()
    assert later.text == ""
    assert later.redo() is None


def test_undo_names_what_it_brings_back_a_process_later(path: Path) -> None:
    server = Server("text")
    ann = opened(server, "ann")
    typed(server, ann, (0, 4, ""))
    PendingFile(path).save(ann)
    later = reopened(server, path)
    later.undo()
    server.submit(later.outgoing() or b"")
    assert [entry.restores for entry in server.log] == [(), (1,)]


@pytest.mark.parametrize("batching", list(Batching))
def test_each_of_the_edits_that_went_as_one_is_undone_by_itself(path: Path, batching: Batching) -> None:
    """What is typed while something is on its way is composed, and every key is a step of its own."""
    server = Server("text")
    ann = opened(server, "ann", batching)
    for at, key in enumerate("abcd"):
        ann.edit([(at, 0, key)])
        ann.outgoing()
    ann.undo()
    PendingFile(path).save(ann)
    later = reopened(server, path)
    texts = [later.text]
    while later.undo():
        texts.append(later.text)
    assert texts == ["abctext", "abtext", "atext", "text"]


def test_what_can_be_undone_goes_with_one_state_of_what_is_pending(path: Path) -> None:
    """The process died between the two writes: nothing can be undone, nothing is lost."""
    server = Server("text")
    ann = opened(server, "ann")
    typed(server, ann, (0, 0, "a"))
    file = PendingFile(path)
    file.save(ann)
    undo = path.with_name(f"{path.name}.undo")
    before = undo.read_bytes()
    ann.edit([(0, 0, "b")])
    file.save(ann)
    undo.write_bytes(before)
    later = fresh()
    assert PendingFile(path).load(later)
    later.adopt(server.snapshot())
    assert (later.text, later.undo()) == ("batext", None)


@pytest.mark.parametrize("seed", range(3))
def test_steps_that_were_written_before_are_not_made_out_anew_and_are_the_same(path: Path, seed: int) -> None:
    """Whatever happens between two writes: the file is what another one that starts now would write."""
    rng = random.Random(seed)
    server = Server("some text to begin with")
    ann, ben = opened(server, "ann"), opened(server, "ben")
    file, other = PendingFile(path), path.with_name("other.json")
    for _ in range(60):
        for _ in range(rng.choice((0, 1, 1, 3, MAX_FOREIGN))):
            at = rng.randint(0, len(ben.text))
            typed(server, ben, (at, min(rng.randint(0, 2), len(ben.text) - at), rng.choice(("x", "yz"))))
        delivered(ann, server.frame_after(ann.sequence))
        action = rng.choice(("edit", "edit", "edit", "undo", "redo", "send", "none"))
        if action == "edit":
            ann.edit([(rng.randint(0, len(ann.text)), 0, "a")])
        elif action == "undo":
            ann.undo()
        elif action == "redo":
            ann.redo()
        while action == "send" and (message := ann.outgoing()):
            delivered(ann, server.submit(message) or b"")
            delivered(ben, server.frame_after(ben.sequence))
        delivered(ben, server.frame_after(ben.sequence))
        file.save(ann)
        PendingFile(other).save(ann)
        assert path.exists() == other.exists()
        written = [each.with_name(f"{each.name}.undo") for each in (path, other)]
        assert written[0].exists() == written[1].exists()
        assert not written[0].exists() or written[0].read_bytes() == written[1].read_bytes()


@pytest.mark.parametrize("harm", ["{", '{"user_id":"ben"}', ""])
def test_what_cannot_be_read_is_not_undone(path: Path, harm: str) -> None:
    server = Server("text")
    ann = opened(server, "ann")
    typed(server, ann, (0, 0, "a"))
    PendingFile(path).save(ann)
    path.with_name(f"{path.name}.undo").write_text(harm)
    later = fresh()
    assert not PendingFile(path).load(later)
    later.adopt(server.snapshot())
    assert later.undo() is None


def test_nobody_else_undoes_it(path: Path) -> None:
    server = Server("text")
    ann = opened(server, "ann")
    typed(server, ann, (0, 0, "a"))
    PendingFile(path).save(ann)
    for user, file_id in (("ben", FILE), ("ann", "another")):
        other = fresh(user, file_id)
        PendingFile(path).load(other)
        assert not other.can_take_back


def test_only_the_newest_steps_are_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "MAX_UNDO_LENGTH", 10)
    server = Server("")
    ann = opened(server, "ann")
    typed(server, ann, *[(number, 0, str(number)) for number in range(9)], (0, 5, ""))
    PendingFile(path).save(ann)
    later = reopened(server, path)
    texts = []
    while later.undo():
        texts.append(later.text)
    assert texts == ["012345678", *["012345678"[:length] for length in (8, 7, 6, 5)]]


def test_when_nothing_can_be_undone_any_more_the_file_goes(path: Path) -> None:
    server = Server("text")
    ann = opened(server, "ann")
    typed(server, ann, (0, 0, "a"))
    file = PendingFile(path)
    file.save(ann)
    ann.forget_undo()
    file.save(ann)
    assert list(path.parent.iterdir()) == []
