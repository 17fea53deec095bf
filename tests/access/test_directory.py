"""Directory: who is found by what, in which order, and who is not."""

from __future__ import annotations

import pytest

from coscribe.access.caller import NOBODY, Caller
from coscribe.access.directory import Profile, find_person
from coscribe.core.errors import Code
from tests.access.world import World, bot, refused

pytestmark = [pytest.mark.slow, pytest.mark.both_databases]


async def found(world: World, caller: Caller, query: str) -> list[str]:
    return [profile.handle for profile in (await world.directory.search(caller, query)).items]


async def test_the_best_match_comes_first(world: World) -> None:
    me = await world.person("me")
    await world.person("susanna", "Nobody")
    await world.person("zoe", "Zoe Hannan")
    await world.person("yan", "Yan Ann-Marie")
    await world.person("bob", "Bob Annan")
    await world.person("anna", "Xaver")
    await world.person("ann", "Yvonne")
    await world.person("cem", "Cem")
    assert await found(world, me, "ANN") == ["ann", "anna", "bob", "yan", "susanna", "zoe"]
    assert await found(world, me, " @ann ") == await found(world, me, "ann")


@pytest.mark.parametrize("query", ["émile", "ÉMILE", "Émile", "mil"])
async def test_case_does_not_matter_beyond_ascii(world: World, query: str) -> None:
    me = await world.person("me")
    await world.person("e", "Jean Émile")
    assert await found(world, me, query) == ["e"]


@pytest.mark.parametrize("query", ["%%", "__", "a%b", "a_b", "\\\\", "\\%", "' OR '1'='1"])
async def test_wildcards_are_letters_like_others(world: World, query: str) -> None:
    me = await world.person("me")
    await world.person("axb", "axb aab")
    assert await found(world, me, query) == []
    await world.person("it", f"It is {query} here")
    assert await found(world, me, query) == ["it"]


async def test_pages_hold_everybody_once(world: World) -> None:
    me = await world.person("me")
    for number in range(3):
        await world.person(f"zed{number}", "Someone")
        await world.person(f"p{number}", f"Zed {number}")
        await world.person(f"q{number}", f"Amazed {number}")
    handles, cursor = [], ""
    while True:
        page = await world.directory.search(me, "zed", cursor=cursor, limit=2)
        handles += [profile.handle for profile in page.items]
        cursor = page.next_cursor
        if not cursor:
            break
    assert handles == ["zed0", "zed1", "zed2", "p0", "p1", "p2", "q0", "q1", "q2"]


async def test_who_opted_out_is_found_by_those_they_share_with(world: World) -> None:
    shy = await world.person("shy", discoverable=False)
    friend, colleague, leader, stranger, banned = [
        await world.person(name) for name in ("friend", "colleague", "leader", "stranger", "banned")
    ]
    document = await world.document(shy, viewer=friend)
    group = await world.groups.create(leader, "Team")
    for name in ("shy", "colleague"):
        await world.groups.add_member(leader, group.group_id, name)
    assert await found(world, stranger, "shy") == []
    for caller in (friend, colleague, leader):
        assert await found(world, caller, "shy") == ["shy"]

    mine = await world.groups.create(shy, "Readers")
    await world.groups.add_member(shy, mine.group_id, "banned")
    await world.members.set_role(shy, document, mine.group_id, "viewer")
    await world.groups.delete(leader, group.group_id)
    assert await found(world, colleague, "shy") == []
    assert await found(world, banned, "shy") == ["shy"]
    await world.members.ban(shy, document, banned.account)
    assert await found(world, banned, "shy") == []
    await world.members.remove(shy, document, friend.account)
    assert await found(world, friend, "shy") == []


async def test_members_of_a_group_in_my_document_are_acquaintances(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    await world.person("shy", discoverable=False)
    document = await world.document(ann, viewer=bob)
    group = await world.groups.create(ann, "Readers")
    await world.groups.add_member(ann, group.group_id, "shy")
    assert await found(world, bob, "shy") == []
    await world.members.set_role(ann, document, group.group_id, "viewer")
    assert await found(world, bob, "shy") == ["shy"]


async def test_an_address_finds_only_whole_verified_and_discoverable(world: World) -> None:
    me = await world.person("me")
    await world.person("a", "One", email="someone@example.org")
    await world.person("b", "Two", unverified="second@example.org")
    shy = await world.person("c", "Three", email="third@example.org", discoverable=False)
    await world.document(me, viewer=shy)
    assert await found(world, me, "SomeOne@Example.org") == ["a"]
    for query in ("someone@example.or", "someone@", "example.org", "omeone@example.org", "second@example.org"):
        assert await found(world, me, query) == []
    assert await found(world, me, "third@example.org") == []


async def test_only_active_people_and_not_oneself(world: World) -> None:
    me = await world.person("mee")
    for status in ("locked", "deleted"):
        await world.person(f"mee-{status}", status=status)
    assert await found(world, me, "mee") == []


async def test_nothing_but_the_profile_is_shown(world: World) -> None:
    me = await world.person("me")
    ann = await world.person("ann", "Ann", email="ann@example.org")
    page = await world.directory.search(me, "ann@example.org")
    assert page.items == (Profile(ann.account, "ann", "Ann", "#123456"),)


async def test_what_is_refused(world: World) -> None:
    me = await world.person("me")
    for query in ("", "a", "@a", "   a  ", "x" * 321):
        async with refused(Code.INVALID_REQUEST):
            await world.directory.search(me, query)
    for cursor in ("!", "WzFd", "bm9wZQ", "WzEsMl0"):
        async with refused(Code.INVALID_REQUEST):
            await world.directory.search(me, "ann", cursor=cursor)
    for limit in (0, 101):
        async with refused(Code.INVALID_REQUEST):
            await world.directory.search(me, "ann", limit=limit)
    async with refused(Code.SIGN_IN_REQUIRED):
        await world.directory.search(NOBODY, "ann")
    async with refused(Code.PERMISSION_DENIED):
        await world.directory.search(bot(me, "read", "doc_one"), "ann")
    assert await found(world, bot(me, "read"), "ann") == []


async def test_names_and_ids(world: World) -> None:
    ann = await world.person("ann")
    fake = await world.person(ann.account)
    await world.person("gone", status="locked")

    async def name_of(text: str) -> str | None:
        profile = await world.database.read(lambda connection: find_person(connection, text))
        return profile.user_id if profile is not None else None

    assert [await name_of(text) for text in ("ann", "@ANN", ann.account)] == [ann.account] * 3
    assert await name_of("@" + ann.account) == fake.account
    assert [await name_of(text) for text in ("gone", "", "@", "none")] == [None] * 4
