"""Trees: the rules against an oracle, effects that go forwards and back, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import combinations_with_replacement
from typing import Any

import pytest
from hypothesis import given

from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import (
    ROOT,
    Change,
    Create,
    Delete,
    Effect,
    Move,
    NodeState,
    Note,
    Purge,
    Put,
    Restore,
    SetProperty,
    Tree,
    TreeLimits,
    TreeOperation,
    inverse,
    numbered,
)
from tests.core.naive_tree import (
    JsonTreeOperation,
    NaiveTree,
    Notes,
    Refused,
    naive_apply_tree,
    naive_listing,
    naive_wrong,
)
from tests.core.strategies import Tape, tapes
from tests.core.tree_notation import attempt, naive, notes_of
from tests.core.tree_operations import HASHES, any_operation
from tests.core.tree_pairs import PAIRS, verb

DEPTH, NODES = 4, 12


# ---- worlds


def history(tape: Tape) -> tuple[bool, list[JsonTreeOperation]]:
    """Whether case is folded, and operations one after the other."""
    folds_case = bool(tape.below(2))
    operations: list[JsonTreeOperation] = []
    rows: NaiveTree = {}
    for _ in range(4 + tape.below(16)):
        operations.append(any_operation(tape.below, rows))
        rows, _, _ = naive_attempt(rows, operations[-1], folds_case=folds_case)
    return folds_case, operations


histories = tapes(history)


def new_tree(*, folds_case: bool = False) -> Tree:
    return Tree(folds_case=folds_case, limits=TreeLimits(NODES, DEPTH))


def naive_attempt(
    rows: NaiveTree, operation: JsonTreeOperation, *, folds_case: bool = False
) -> tuple[NaiveTree, Notes, str]:
    try:
        after, notes = naive_apply_tree(rows, operation, folds_case=folds_case, nodes=NODES, depth=DEPTH)
    except Refused as refused:
        return rows, [], str(refused)
    return after, notes, ""


def played(folds_case: bool, operations: list[JsonTreeOperation]) -> Tree:
    tree = new_tree(folds_case=folds_case)
    for operation in operations:
        attempt(tree, operation)
    return tree


# ---- properties


@given(histories)
def test_it_does_what_the_oracle_does(world: tuple[bool, list[JsonTreeOperation]]) -> None:
    folds_case, operations = world
    tree, rows = new_tree(folds_case=folds_case), NaiveTree()
    for operation in operations:
        rows, notes, code = naive_attempt(rows, operation, folds_case=folds_case)
        effect, refused = attempt(tree, operation)
        assert refused == code, operation
        assert naive(tree) == rows, operation
        assert notes_of(effect or Effect(())) == notes, operation


@given(histories)
def test_it_stays_a_tree(world: tuple[bool, list[JsonTreeOperation]]) -> None:
    folds_case, operations = world
    tree = new_tree(folds_case=folds_case)
    for operation in operations:
        attempt(tree, operation)
        rows = naive(tree)  # walks from the root, so what it finds is all that can be reached
        assert len(rows) == len(tree) <= NODES
        assert not naive_wrong(rows, folds_case=folds_case)
        assert all(tree.path(file_id).count("/") < DEPTH for file_id in rows)
        assert all(tree._nodes[file_id].height == _levels(tree, file_id) for file_id in [ROOT, *rows])


def _levels(tree: Tree, file_id: str) -> int:
    return 1 + max((_levels(tree, child) for child in tree._nodes[file_id].children), default=0)


@given(histories)
def test_everybody_who_takes_in_the_effects_has_the_same_tree(world: tuple[bool, list[JsonTreeOperation]]) -> None:
    """A replica that joined at the beginning, one that joined from each snapshot, and one that winds back."""
    folds_case, operations = world
    server, follower = new_tree(folds_case=folds_case), new_tree(folds_case=folds_case)
    past: list[tuple[bytes, Effect]] = []
    for operation in operations:
        before = server.encode()
        effect, _ = attempt(server, operation)
        if effect is None:
            assert server.encode() == before
            continue
        follower.take_in(effect)
        past.append((before, effect))
        assert follower.encode() == server.encode()
        assert Tree.decode(before, server.limits).encode() == before
    for before, effect in reversed(past):
        follower.take_back(effect)
        assert follower.encode() == before


@given(tapes(lambda tape: (history(tape), [tape.below(4) for _ in range(20)])))
def test_clients_in_a_hurry_converge(world: tuple[tuple[bool, list[JsonTreeOperation]], list[int]]) -> None:
    """Two clients apply their own operations at once, and the server takes them in whatever order they come."""
    (folds_case, operations), order = world
    server = new_tree(folds_case=folds_case)
    clients = [_Hasty(new_tree(folds_case=folds_case)) for _ in range(2)]
    queues = [list(operations[0::2]), list(operations[1::2])]
    for choice in [*order, *([0, 1] * len(operations)), *([2, 3] * len(operations))]:
        client, queue = clients[choice % 2], queues[choice % 2]
        if choice < 2 and queue:
            client.edit(queue.pop(0))
        elif choice >= 2 and client.pending:
            effect, _ = attempt(server, client.pending[0])
            for each in clients:
                each.hear(effect, own=each is client)
    assert all(client.tree.encode() == server.encode() and not client.pending for client in clients)


class _Hasty:
    """A client: the server's tree with its own pending operations on top."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.pending: list[JsonTreeOperation] = []
        self.guesses: list[Effect] = []

    def edit(self, operation: JsonTreeOperation) -> None:
        self.pending.append(operation)
        self._guess(operation)

    def hear(self, effect: Effect | None, *, own: bool) -> None:
        """What the server says; None: refused."""
        while self.guesses:
            self.tree.take_back(self.guesses.pop())
        if effect is not None:
            self.tree.take_in(effect)
        if own:
            del self.pending[0]
        for operation in self.pending:
            self._guess(operation)

    def _guess(self, operation: JsonTreeOperation) -> None:
        effect, _ = attempt(self.tree, operation)
        if effect is not None:
            self.guesses.append(effect)


@given(histories)
def test_undo_makes_the_live_tree_what_it_was(world: tuple[bool, list[JsonTreeOperation]]) -> None:
    """And redo what it was then, of what was live at one end at least."""
    folds_case, operations = world
    tree = played(folds_case, operations[:-1])
    before = _live(tree)
    was_live = {file_id: tree.is_live(file_id) for file_id in naive(tree)}
    effect, _ = attempt(tree, operations[-1])
    if effect is None or operations[-1]["do"] == "purge":
        return
    if all(was_live.get(each.file_id) or each.before is None or each.before.trashed for each in effect.changes):
        after = _live(tree)
        redoes = all(was_live.get(each.file_id) or tree.is_live(each.file_id) for each in effect.changes)
        for expected in (before, after, before) if redoes else (before,):
            effect = tree.apply(inverse(effect))
            assert _live(tree) == expected
            assert not effect.notes


@given(tapes(lambda tape: (history(tape), [tape.below(NODES) for _ in range(2)])))
def test_undo_of_a_replacement_and_redo(world: tuple[tuple[bool, list[JsonTreeOperation]], list[int]]) -> None:
    """Something takes the place of something else, of a folder that it was in perhaps; back, and forth again."""
    (folds_case, operations), chosen = world
    tree = played(folds_case, operations)
    live = [file_id for file_id in tree.below(ROOT) if tree.is_live(file_id)]
    if not live:
        return
    file_id, place = (live[each % len(live)] for each in chosen)
    before = _live(tree)
    was = tree.state(place)
    effect = tree.apply([Move(file_id, was.parent_id, was.name, replaces=place)])
    after = _live(tree)
    for expected in (before, after, before):
        effect = tree.apply(inverse(effect))
        assert _live(tree) == expected
        assert not effect.notes


def _live(tree: Tree) -> dict[str, Any]:
    return {file_id: (row, tree.path(file_id)) for file_id, row in naive(tree).items() if tree.is_live(file_id)}


@given(histories)
def test_paths_lead_to_their_nodes_and_back(world: tuple[bool, list[JsonTreeOperation]]) -> None:
    tree = played(*world)
    for file_id in tree.below(ROOT):
        if tree.is_live(file_id):
            assert tree.find(tree.path(file_id)) == file_id
            state = tree.state(file_id)
            assert (state.name, file_id) in tree.children(state.parent_id)
    for line in naive_listing(naive(tree)):
        path, _, file_id = line.partition("[")[0].removeprefix("~").rpartition("=")
        assert tree.path(file_id) == path.removesuffix("/")


@given(histories)
def test_a_unit_is_done_whole_or_not_at_all(world: tuple[bool, list[JsonTreeOperation]]) -> None:
    folds_case, operations = world
    whole, single = new_tree(folds_case=folds_case), new_tree(folds_case=folds_case)
    codes = [attempt(single, operation)[1] for operation in operations]
    effect, code = attempt(whole, *operations)
    first = next((each for each in codes if each), "")
    assert code == first
    assert whole.encode() == (new_tree(folds_case=folds_case) if first else single).encode()
    if effect is not None:
        whole.take_back(effect)
        assert len(whole) == 0


# ---- by hand


def tree_of(*operations: TreeOperation) -> Tree:
    tree = new_tree()
    tree.apply(operations)
    return tree


def folder(file_id: str, parent_id: str = ROOT) -> Create:
    return Create(file_id, parent_id, file_id, "directory")


def text(file_id: str, parent_id: str = ROOT, name: str = "") -> Create:
    return Create(file_id, parent_id, name or file_id, "text")


def refused(tree: Tree, *operations: TreeOperation) -> Code:
    before = tree.encode()
    with pytest.raises(CoscribeError) as error:
        tree.apply(operations)
    assert tree.encode() == before
    return error.value.code


def test_a_folder_with_five_thousand_files_is_renamed_by_one_change() -> None:
    tree = Tree()
    tree.apply([folder("d"), *(text(f"f{number}", "d") for number in range(5_000))])
    effect = tree.apply([Move("d", name="e")])
    assert len(effect.changes) == 1
    assert tree.path("f4999") == "e/f4999"
    assert tree.find("d/f4999") is None


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\0b", "\ud800", "é" * 128, ".git", ".GIT", "x" * 256], ids=ascii
)
def test_names_that_nothing_can_have(name: str) -> None:
    tree = tree_of(text("a"))
    assert refused(tree, Create("b", ROOT, name, "text")) is Code.INVALID_PAYLOAD
    assert refused(tree, Move("a", name=name)) is Code.INVALID_PAYLOAD
    tree.apply([Delete("a")])
    assert refused(tree, Restore("a", name=name)) is Code.INVALID_PAYLOAD


@pytest.mark.parametrize(
    "name", ["...", ".gitignore", "é" * 127, " ", "a\nb", "😀", "con", "test", "testtest"], ids=ascii
)
def test_names_that_are_like_any_other(name: str) -> None:
    tree = tree_of(Create("a", ROOT, name, "text"))
    assert tree.find(name) == "a"


@pytest.mark.parametrize(
    "operation",
    [
        Create("b", ROOT, "b", "socket"),
        Create("b", ROOT, "b", "text", "x"),
        Create("b", ROOT, "b", "directory", HASHES[0]),
        Create("b", ROOT, "b", "binary"),
        Create("b", ROOT, "b", "binary", "A" * 64),
        Create("b", ROOT, "b", "symlink"),
        Create("b", ROOT, "b", "symlink", "a\0"),
        Create("b", ROOT, "b", "text", properties=(("eol", "lfcr"),)),
        Create("b", ROOT, "b", "text", properties=(("eol", "cr"), ("eol", "crlf"))),
        Create("b", "a", "b", "text"),
        Move("a"),
        Move("a", "c"),
        Put("a", "directory"),
        Put("d", "text"),
        SetProperty("a", "owner", "root"),
        SetProperty("a", "owner", ""),
        SetProperty("a", "mode", "4755"),
    ],
    ids=str,
)
def test_forms_that_are_wrong(operation: TreeOperation) -> None:
    tree = tree_of(text("a"), text("c"), folder("d"))
    assert refused(tree, text("new"), operation) is Code.INVALID_PAYLOAD


@pytest.mark.parametrize(
    "operation",
    [
        Create("a", "gone", "a", "text"),
        Move("gone", name="x"),
        Move("a", "gone"),
        Move(ROOT, name="x"),
        Delete("gone"),
        Delete(ROOT),
        Restore("gone"),
        Put("gone", "text"),
        SetProperty("gone", "eol", "crlf"),
        Purge(("gone",)),
    ],
    ids=str,
)
def test_nodes_that_there_are_not(operation: TreeOperation) -> None:
    tree = tree_of(text("b") if isinstance(operation, Create) else text("a"))
    assert refused(tree, operation) is Code.FILE_NOT_FOUND
    for look in (tree.state, tree.path, tree.is_live, tree.children, lambda each: list(tree.below(each))):
        with pytest.raises(CoscribeError):
            look("gone")


def test_bounds() -> None:
    tree = Tree(limits=TreeLimits(nodes=3, depth=2, unit=3))
    assert refused(tree, *(Delete("x") for _ in range(4))) is Code.OPERATION_TOO_LARGE
    assert refused(tree, Delete("x"), Purge(("x", "y", "z"))) is Code.OPERATION_TOO_LARGE
    tree.apply([folder("d"), folder("e", "d"), text("a")])
    assert refused(tree, text("b")) is Code.QUOTA_EXCEEDED
    tree.apply([Delete("a"), Purge(("a",))])
    assert refused(tree, text("b", "e")) is Code.QUOTA_EXCEEDED
    tree.apply([text("b")])
    assert tree.apply([Move("b", "e")]).notes == (Note("b", "too_deep"),)


def test_a_restored_folder_that_would_be_too_deep_goes_to_the_top() -> None:
    tree = Tree(limits=TreeLimits(depth=3))
    tree.apply([folder("d"), folder("e", "d"), folder("f"), text("a", "f"), Delete("f")])
    assert tree.apply([Restore("f", "e")]).notes == (Note("f", "too_deep"),)
    assert tree.find("f/a") == "a"


@pytest.mark.parametrize(
    ("name", "kind", "number", "result"),
    [
        ("a.txt", "text", 2, "a (2).txt"),
        ("a.tar.gz", "binary", 3, "a.tar (3).gz"),
        ("Makefile", "text", 2, "Makefile (2)"),
        (".profile", "text", 2, ".profile (2)"),
        ("docs.v1", "directory", 2, "docs.v1 (2)"),
        ("a." + "b" * 32, "text", 2, "a." + "b" * 32 + " (2)"),
        ("é" * 127, "text", 2, "é" * 125 + " (2)"),
        ("x" * 250 + ".txt", "text", 10, "x" * 246 + " (10).txt"),
    ],
)
def test_numbered_names(name: str, kind: str, number: int, result: str) -> None:
    assert numbered(name, kind, number) == result


def test_numbers_end_somewhere() -> None:
    tree = Tree()
    for first in range(0, 1_000, 20):
        tree.apply([text(f"f{number}", name="a") for number in range(first, first + 20)])
    assert tree.find("a (1000)") == "f999"
    assert refused(tree, text("b", name="a")) is Code.CONFLICT
    tree.apply([Delete("f998")])
    tree.apply([text("b", name="a")])
    assert refused(tree, *(Delete("b"), Restore("b", name="a")) * 21) is Code.OPERATION_TOO_LARGE


def test_exact_refuses_what_would_be_numbered() -> None:
    tree = tree_of(text("a"), text("b"))
    assert refused(tree, Create("c", ROOT, "a", "text", exact=True)) is Code.CONFLICT
    assert refused(tree, Move("b", name="a", exact=True)) is Code.CONFLICT
    assert tree.apply([Move("b", name="a", replaces="a", exact=True)]).notes == ()
    assert tree.find("a") == "b"
    assert tree.trashed() == ["a"]


def test_what_was_replaced_comes_back_under_its_name() -> None:
    tree = tree_of(folder("d"), text("a", "d"), text("b"))
    before = tree.encode()
    undone = tree.apply(inverse(tree.apply([Move("b", "d", "a", replaces="a")])))
    assert undone.notes == ()
    assert tree.encode() == before


def test_what_was_in_the_trash_for_a_moment_only_is_where_it_was() -> None:
    tree = tree_of(folder("d"), folder("e"), text("x", "e"))
    before = tree.encode()
    undone = tree.apply(inverse(tree.apply([Delete("d"), Restore("d"), Move("x", ROOT)])))
    assert undone.notes == ()
    assert tree.encode() == before


def test_a_name_that_is_set_is_the_name_on_disk_again() -> None:
    tree = tree_of(Create("a", ROOT, "\ufffd", "text", properties=(("diskName", "/w=="), ("eol", "crlf"))))
    tree.apply([Move("a", name="a")])
    assert tree.state("a").properties == (("eol", "crlf"),)


def test_case_is_told_apart_or_not() -> None:
    both = [text("a", name="Straße"), text("b", name="STRASSE")]
    exact, folding = Tree(), Tree(folds_case=True)
    assert exact.apply(both).notes == ()
    assert folding.apply(both).notes == (Note("b", "numbered"),)
    assert folding.find("strasse") == "a"
    folding.apply([Move("a", name="STRASSE")])
    assert folding.state("a").name == "STRASSE"


@pytest.mark.parametrize(
    "effect",
    [
        Effect((Change("a", None, NodeState(ROOT, "x", "text")),)),
        Effect((Change("b", None, NodeState("gone", "x", "text")),)),
        Effect((Change("b", None, NodeState("a", "x", "text")),)),
        Effect((Change("b", None, NodeState(ROOT, "a", "text")),)),
        Effect((Change("a", NodeState(ROOT, "x", "text"), None),)),
        Effect((Change("d", NodeState(ROOT, "d", "directory"), None),)),
        Effect((Change("d", NodeState(ROOT, "d", "directory"), NodeState(ROOT, "d", "text")),)),
        Effect((Change("d", NodeState(ROOT, "d", "directory"), NodeState("e", "d", "directory")),)),
        Effect((Change(ROOT, NodeState(ROOT, "", "directory"), None),)),
    ],
    ids=str,
)
def test_effects_that_do_not_fit_change_nothing(effect: Effect) -> None:
    tree = tree_of(text("a"), folder("d"), folder("e", "d"))
    before = tree.encode()
    first = Change("new", None, NodeState(ROOT, "new", "text"))
    with pytest.raises(CoscribeError) as error:
        tree.take_in(Effect((first, *effect.changes)))
    assert error.value.code is Code.FILE_DAMAGED
    assert tree.encode() == before


def _spoil(change: Callable[[dict[str, Any]], object]) -> bytes:
    whole = json.loads(tree_of(text("a"), folder("d"), folder("e", "d")).encode())
    change(whole)
    return json.dumps(whole).encode()


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"[" * 100_000,
        _spoil(lambda whole: whole.update(format=2)),
        _spoil(lambda whole: whole.update(foldsCase=1)),
        _spoil(lambda whole: whole.update(nodes=7)),
        _spoil(lambda whole: whole["nodes"].append(whole["nodes"][0])),
        _spoil(lambda whole: whole["nodes"][0].pop()),
        _spoil(lambda whole: whole["nodes"][0].__setitem__(0, "")),
        _spoil(lambda whole: whole["nodes"][0].__setitem__(0, 1)),
        _spoil(lambda whole: whole["nodes"][0].__setitem__(1, "gone")),
        _spoil(lambda whole: whole["nodes"][0].__setitem__(2, "d")),
        _spoil(lambda whole: whole["nodes"][0].__setitem__(2, "..")),
        _spoil(lambda whole: whole["nodes"][0].__setitem__(4, 0)),
        _spoil(lambda whole: whole["nodes"][1].__setitem__(1, "e")),
    ],
    ids=lambda encoded: str(encoded[:20]),
)
def test_what_is_no_tree_is_damaged(encoded: bytes) -> None:
    with pytest.raises(CoscribeError) as error:
        Tree.decode(encoded)
    assert error.value.code is Code.FILE_DAMAGED


# ---- the vectors


def test_every_pair_of_operations_is_among_the_vectors() -> None:
    verbs = ("create", "rename", "move", "delete", "restore", "put", "set", "purge")
    there = {frozenset((verb(pair.one), verb(pair.other))) for pair in PAIRS}
    assert there == {frozenset(pair) for pair in combinations_with_replacement(verbs, 2)}
