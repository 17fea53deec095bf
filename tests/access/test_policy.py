"""Policy: the decision table and path rules, against oracles that share no code with them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coscribe.access.policy import (
    Action,
    PathAccess,
    PathRule,
    Person,
    Standing,
    ceiling,
    decide,
    higher,
    lower,
    matches,
    may_rename,
    path_access,
    role_on,
    visible,
)
from coscribe.core.errors import Code

ROLES = (None, "viewer", "editor", "owner")
SCOPES = (None, "read", "edit", "manage")


def expected(action: Action, standing: Standing) -> Code | None:
    """The decision said another way: as a list of reasons to refuse."""
    least, needed, _, for_administrators, for_guests = action.value
    held = SCOPES.index(standing.scope)
    scope_ok = held == 0 or (needed is not None and held >= SCOPES.index(needed))
    administers = standing.administrator and for_administrators
    if least == "anyone":
        return None if scope_ok or not standing.signed_in else Code.PERMISSION_DENIED
    if least in ROLES and standing.role is None and not administers:
        return Code.FILE_NOT_FOUND if standing.signed_in else Code.SIGN_IN_REQUIRED
    if not standing.signed_in and not for_guests:
        return Code.SIGN_IN_REQUIRED
    if least not in ROLES and standing.one_document and action.name != "LIST_DOCUMENTS":
        return Code.PERMISSION_DENIED
    counts = standing.held if needed == "read" else standing.role
    enough = {
        "account": standing.account,
        "administrator": standing.administrator,
        **{str(role): administers or ROLES.index(counts) >= ROLES.index(role) for role in ROLES},
    }[least]
    return None if scope_ok and enough else Code.PERMISSION_DENIED


@pytest.mark.parametrize("action", list(Action))
def test_every_decision(action: Action) -> None:
    flags = (False, True)
    bounded = [(None, None), *((role, held) for role in ROLES[1:] for held in ROLES[ROLES.index(role) :])]
    for *values, (role, held), one_document in product(flags, flags, flags, SCOPES, bounded, flags):
        standing = Standing(*values, role, held, one_document)  # type: ignore[arg-type, call-arg]
        assert decide(action, standing) == expected(action, standing), standing


def test_who_has_no_role_is_not_told_that_a_document_exists() -> None:
    for action in Action:
        if action.value.least in ROLES:
            assert decide(action, Standing(True)) is Code.FILE_NOT_FOUND
            assert decide(action, Standing(False)) is Code.SIGN_IN_REQUIRED


def test_no_token_makes_tokens_or_changes_credentials_or_opens_links() -> None:
    owner = Standing(True, administrator=True, scope="manage", role="owner")
    person_only = {action for action in Action if action.value.scope is None}
    assert {Action.MANAGE_TOKENS, Action.CHANGE_ACCOUNT, Action.OPEN_LINK, Action.ADMINISTER_USERS} <= person_only
    assert all(decide(action, owner) is Code.PERMISSION_DENIED for action in person_only)


def test_a_token_to_read_reads_what_its_owner_may_and_writes_nothing() -> None:
    token = Standing(True, scope="read", role="viewer", held="editor")
    assert decide(Action.READ_HISTORY, token) is None
    assert decide(Action.READ_HISTORY, token._replace(held="viewer")) is Code.PERMISSION_DENIED
    assert decide(Action.EDIT_CONTENT, token) is Code.PERMISSION_DENIED


def test_a_scope_bounds_the_role() -> None:
    assert [ceiling(scope) for scope in ("read", "edit", "manage")] == ["viewer", "editor", "owner"]


@pytest.mark.parametrize("one", ROLES)
@pytest.mark.parametrize("other", ROLES)
def test_higher_and_lower(one: Any, other: Any) -> None:
    assert higher(one, other) == ROLES[max(ROLES.index(one), ROLES.index(other))]
    if one and other:
        assert lower(one, other) == ROLES[min(ROLES.index(one), ROLES.index(other))]


# ---- paths


@pytest.mark.parametrize(
    ("pattern", "fits", "not_these"),
    [
        ("docs/**", ["docs", "docs/a", "docs/a/b.md"], ["doc", "docsx", "x/docs/a", "Docs/a"]),
        ("docs", ["docs", "docs/a", "docs/a/b.md"], ["doc", "docsx", "x/docs/a", "Docs/a"]),
        ("docs/*", ["docs/a", "docs/a/b.md"], ["docs", "docsx/a"]),
        ("**", ["a", "a/b", "a/b/c"], []),
        ("*.md", ["a.md", ".md", "a.md/b"], ["a/b.md", "a.txt"]),
        ("**/*.md", ["a.md", "a/b.md", "a/b/c.md"], ["a.txt", "a/md"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b", "a/b/c"], ["a", "b", "ab", "a/x", "xa/b"]),
        ("**/secrets/**", ["secrets", "a/secrets", "secrets/k", "a/secrets/b/c"], ["a/secretsx", "xsecrets/a"]),
        ("a?c", ["abc", "a-c"], ["ac", "a/c", "abbc"]),
        ("a*b*c", ["abc", "axxbyyc", "abcbc", "abc/d"], ["ab", "ac", "a/b/c", "abcd"]),
        ("*/b", ["a/b"], ["b", "a/x/b"]),
        ("a.b", ["a.b"], ["axb"]),
        ("a+(b)[c]", ["a+(b)[c]"], ["aab", "ab"]),
        ("a**b", ["ab", "axb"], ["a/b", "a/x/b"]),
        ("**/a/**/b/**/c", ["a/b/c", "x/a/y/b/z/c", "a/a/b/b/c", "a/b/c/d"], ["a/c", "b/a/c"]),
        ("docs/**\n", [], ["docs", "docs/a"]),
    ],
)
def test_patterns(pattern: str, fits: Sequence[str], not_these: Sequence[str]) -> None:
    assert [path for path in fits if not matches(pattern, path)] == []
    assert [path for path in not_these if matches(pattern, path)] == []


def naive(pattern: str, path: str) -> bool:
    """Tries everything, part by part; what is left then is below what fits."""

    def parts_match(patterns: list[str], parts: list[str]) -> bool:
        if not patterns:
            return True
        if patterns[0] == "**":
            return any(parts_match(patterns[1:], parts[skipped:]) for skipped in range(len(parts) + 1))
        return bool(parts) and part_matches(patterns[0], parts[0]) and parts_match(patterns[1:], parts[1:])

    def part_matches(wanted: str, part: str) -> bool:
        if not wanted:
            return not part
        if wanted[0] == "*":
            return any(part_matches(wanted[1:], part[skipped:]) for skipped in range(len(part) + 1))
        return bool(part) and wanted[0] in ("?", part[0]) and part_matches(wanted[1:], part[1:])

    return parts_match(pattern.split("/"), path.split("/"))


_PART = st.one_of(
    st.just("**"), st.lists(st.sampled_from(["a", "b", ".", "*", "?", "**", "\n"]), min_size=1, max_size=4).map("".join)
)
PATTERNS = st.lists(_PART, min_size=1, max_size=5).map("/".join)
PATHS = st.lists(st.text("ab.\n", min_size=1, max_size=4), min_size=1, max_size=5).map("/".join)


@given(PATTERNS, PATHS)
def test_matching_is_what_trying_everything_finds(pattern: str, path: str) -> None:
    assert matches(pattern, path) == naive(pattern, path)


@given(PATTERNS, st.data())
def test_a_path_made_from_a_pattern_fits_it(pattern: str, data: st.DataObject) -> None:
    parts: list[str] = []
    for part in pattern.split("/"):
        if part == "**":
            parts += data.draw(st.lists(st.text("ab", min_size=1, max_size=2), max_size=3))
        else:
            starred = [data.draw(st.text("ab", max_size=2)) if char == "*" else char for char in part]
            parts.append("".join(starred).replace("?", data.draw(st.sampled_from("ab."))))
    assert matches(pattern, "/".join(parts)) or not parts


@pytest.mark.parametrize("unit", ["*a", "**/a*b/", "**/*/", "?*", "*a/**/"])
def test_no_pattern_takes_for_ever(unit: str) -> None:
    """Trying everything would take longer than the universe has; this comes to an end."""
    pattern = (unit * (512 // len(unit)))[:511].rstrip("/") + "!"
    for path in ("a" * 4_096, "a/" * 2_047 + "b", "ab/" * 1_365 + "a"):
        assert not matches(pattern, path)


ACCESS: tuple[PathAccess, ...] = ("none", "read", "write")
_ABOUT = [("everyone", ""), ("user", "ann"), ("user", "bob"), ("group", "g"), ("group", "h")]
_ABOUT += [("role", "viewer"), ("role", "editor")]


def _rule(about: tuple[str, str], pattern: str, access: PathAccess) -> PathRule:
    return PathRule(*about, pattern, access)


RULES = st.lists(st.builds(_rule, st.sampled_from(_ABOUT), PATTERNS, st.sampled_from(ACCESS)), max_size=6)
PEOPLE = st.builds(
    Person,
    st.sampled_from(["ann", "bob", "cem"]),
    st.frozensets(st.sampled_from(["g", "h"])),
    st.sampled_from(["owner", "editor", "viewer"]),
)


def naive_access(person: Person, rules: Sequence[PathRule], path: str) -> str:
    """From the last rule backwards, the first that fits."""
    if person.role == "owner":
        return "write"
    mine = {("everyone", ""), ("user", person.user_id), ("role", person.role)} | {("group", g) for g in person.groups}
    fitting = [
        rule.access for rule in rules if (rule.member_kind, rule.member_id) in mine and naive(rule.pattern, path)
    ]
    return ["read" if person.role == "viewer" else "write", *fitting][-1]


@given(PEOPLE, RULES, PATHS)
def test_the_last_rule_that_fits_decides(person: Person, rules: list[PathRule], path: str) -> None:
    access = path_access(person, rules, path)
    assert access == naive_access(person, rules, path)
    assert visible(person, rules, [path]) == ([] if access == "none" else [path])
    role = role_on(access, person.role)
    assert (role is None) == (access == "none")
    assert (role in ("editor", "owner")) == (access == "write")
    assert person.role != "owner" or role == "owner"


@given(PEOPLE, RULES, PATHS, PATHS, st.lists(PATHS, max_size=3))
def test_a_rename_needs_writing_everywhere(
    person: Person, rules: list[PathRule], source: str, target: str, below: list[str]
) -> None:
    moved = [f"{source}/{path}" for path in below]
    touched = [source, target, *moved, *(f"{target}/{path}" for path in below)]
    wanted = all(naive_access(person, rules, path) == "write" for path in touched)
    assert may_rename(person, rules, source, target, moved) == wanted
