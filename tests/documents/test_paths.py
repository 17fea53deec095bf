"""Who may do what to which paths of a tree."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from coscribe.access.policy import PathRule, Person
from coscribe.access.rights import Document, Rights, Side
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.tree import Create, Delete, Effect, Move, Purge, Put, Restore, SetProperty, Tree, TreeOperation
from coscribe.documents.paths import may_change, seen_changes, view
from coscribe.documents.ports import PathRights, Uniform
from coscribe.protocol.messages import Role

DOCUMENT = Document(1, "project", "Project", "active", 1, 0, None, None)
RULES = (
    PathRule("everyone", "", "secret/**", "none"),
    PathRule("everyone", "", "docs/**", "read"),
    PathRule("user", "bob", "docs/bob/**", "write"),
)


def rights(
    role: Role = "editor", rules: Sequence[PathRule] = RULES, who: str = "ann", status: str = "active"
) -> PathRights:
    person = Person(who, frozenset(), role)
    found = Rights(DOCUMENT._replace(status=status), role, person, (Side(person, tuple(rules)),), "owner").in_tree()
    assert found is not None
    return found


def tree() -> Tree:
    """secret/key, docs/a, docs/bob/b, src/deep/c, free; and old, which is in the trash."""
    made = Tree()
    made.apply(
        [
            Create("secret", "", "secret", "directory"),
            Create("key", "secret", "key", "text"),
            Create("docs", "", "docs", "directory"),
            Create("a", "docs", "a", "text"),
            Create("bob", "docs", "bob", "directory"),
            Create("b", "bob", "b", "text"),
            Create("src", "", "src", "directory"),
            Create("deep", "src", "deep", "directory"),
            Create("c", "deep", "c", "text"),
            Create("free", "", "free", "text"),
            Create("old", "secret", "old", "text"),
            Create("past", "src", "past", "text"),
            Delete("old"),
            Delete("past"),
        ]
    )
    return made


def judged(operation: TreeOperation, of: PathRights) -> Code | None:
    """None: it may be. The tree is afterwards what it was before the judgement."""
    made = tree()
    effect = made.apply([operation])
    changed = made.encode()
    try:
        may_change(of)(made, effect)
    except CoscribeError as error:
        return error.code
    finally:
        assert made.encode() == changed
    return None


DENIED, HIDDEN = Code.PERMISSION_DENIED, Code.FILE_NOT_FOUND


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        (Create("x", "src", "x", "text"), None),
        (Create("x", "docs", "x", "text"), DENIED),
        (Create("x", "secret", "x", "text"), HIDDEN),
        (Create("x", "", "secret2", "text"), None),
        (Move("free", name="freer"), None),
        (Move("free", parent_id="src"), None),
        (Move("free", parent_id="docs"), DENIED),
        (Move("free", parent_id="secret"), HIDDEN),
        (Move("a", name="z"), DENIED),
        (Move("a", parent_id="src"), DENIED),
        (Move("key", parent_id="src"), HIDDEN),
        (Move("docs", name="papers"), DENIED),
        (Move("src", name="source"), None),
        (Delete("free"), None),
        (Delete("a"), DENIED),
        (Delete("docs"), DENIED),
        (Delete("key"), HIDDEN),
        (Delete("src"), None),
        (Restore("past"), None),
        (Restore("old"), HIDDEN),
        (Restore("old", parent_id=""), HIDDEN),
        (Put("free", "symlink", "x"), None),
        (Put("a", "symlink", "x"), DENIED),
        (SetProperty("key", "mode", "755"), HIDDEN),
        (Purge(("past",)), DENIED),
    ],
    ids=str,
)
def test_an_editor_under_rules(operation: TreeOperation, code: Code | None) -> None:
    assert judged(operation, rights()) is code


def test_a_rule_for_somebody_counts_for_them() -> None:
    assert judged(Create("x", "bob", "x", "text"), rights(who="bob")) is None
    assert judged(Create("x", "bob", "x", "text"), rights(who="ann")) is DENIED
    assert judged(Create("x", "bob", "x", "text"), rights("viewer", who="bob")) is None
    assert judged(Create("x", "src", "x", "text"), rights("viewer", who="bob")) is DENIED


def test_moving_opens_nothing_to_anybody() -> None:
    rules = [PathRule("user", "bob", "plans/**", "none")]
    made = tree()
    made.apply([Create("plans", "", "plans", "directory"), Create("plan", "plans", "plan", "text")])
    for of, allowed in ((rights(rules=rules), False), (rights("owner", rules), True)):
        effect = made.apply([Move("plan", parent_id="src")])
        if allowed:
            may_change(of)(made, effect)
        else:
            with pytest.raises(CoscribeError) as error:
                may_change(of)(made, effect)
            assert error.value.code is DENIED
            made.take_back(effect)


@pytest.mark.parametrize(("role", "code"), [("owner", None), ("editor", None), ("viewer", DENIED)])
def test_without_rules_the_role_says_all(role: Role, code: Code | None) -> None:
    for of in (Uniform(role), rights(role, rules=())):
        assert of.is_uniform
        assert judged(Move("docs", name="papers"), of) is code
        assert judged(Purge(("past",)), of) is (None if role == "owner" else DENIED)


def test_rules_are_not_for_owners() -> None:
    of = rights("owner")
    assert of.is_uniform
    assert [of.on(path) for path in ("secret/key", "docs/a")] == ["owner", "owner"]


def test_in_the_archive_everybody_only_reads() -> None:
    of = rights("owner", (), status="archived")
    assert of.role == "viewer"
    assert judged(Delete("free"), of) is DENIED


def test_nothing_is_no_change() -> None:
    may_change(rights())(tree(), Effect(()))


@pytest.mark.parametrize("seed", [*range(20), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(20, 200))])
def test_a_view_follows_the_tree(seed: int) -> None:
    """What is seen of each effect, taken in by a tree of its own, leads to what is seen of the tree."""
    random = Random(f"views {seed}")
    names = ("a", "b", "c", "secret")
    patterns = ("a/**", "secret", "secret/**", "**/b", "a/b/**", "*/c/**", "b/a", "**/secret/a/**", "a")
    rules = [
        PathRule("everyone", "", random.choice(patterns), random.choice(("none", "none", "read", "write")))
        for _ in range(random.randrange(1, 6))
    ]
    of = rights(rules=rules)
    whole = Tree(folds_case=bool(seed % 2))
    seen = Tree.of(view(whole, of), folds_case=whole.folds_case)
    known: list[str] = []
    for number in range(80):
        unit: list[TreeOperation] = []
        for place in range(random.choice((1, 1, 2, 5))):
            folder, name = random.choice(["", *known]), random.choice(names)
            if random.random() < 0.4 or not known:
                unit.append(
                    Create(f"n{number}-{place}", folder, name, random.choice(("directory", "directory", "text")))
                )
                known.append(f"n{number}-{place}")
            else:
                unit.append(
                    random.choice(
                        (
                            Move(random.choice(known), folder, random.choice((None, name))),
                            Move(random.choice(known), name=name, replaces=random.choice(known)),
                            Delete(random.choice(known)),
                            Restore(random.choice(known)),
                            SetProperty(random.choice(known), "mode", random.choice(("755", ""))),
                            Purge(tuple(random.sample(known, min(len(known), 3)))),
                        )
                    )
                )
        try:
            effect = whole.apply(unit)
        except CoscribeError:
            known = [each for each in known if each in whole]
            continue
        seen.take_in(seen_changes(whole, effect, of))
        expected = Tree.of(view(whole, of), folds_case=whole.folds_case)
        assert seen.encode() == expected.encode(), f"after {unit}"
        known = [each for each in known if each in whole]
    assert {file_id for file_id, _ in view(whole, of)} == {each for each in whole.below("") if is_seen(whole, of, each)}


def is_seen(whole: Tree, of: PathRights, file_id: str) -> bool:
    """The slow way: it, and every folder above it."""
    names = whole.path(file_id).split("/")
    paths = ["/".join(names[: count + 1]) for count in range(len(names))]
    is_folder = whole.state(file_id).kind == "directory"
    return all(of.shows(path, is_folder=True) for path in paths[:-1]) and of.shows(paths[-1], is_folder=is_folder)


def test_a_folder_that_leads_to_what_is_open_is_shown_and_nothing_else_of_it() -> None:
    rules = [PathRule("everyone", "", "docs/**", "none"), PathRule("everyone", "", "docs/bob/**", "read")]
    assert {file_id for file_id, _ in view(tree(), rights(rules=rules))} >= {"docs", "bob", "b", "src"}
    assert "a" not in {file_id for file_id, _ in view(tree(), rights(rules=rules))}
    assert rights(rules=rules).on("docs") is None
