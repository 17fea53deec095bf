"""Groups: who sees one, who changes it, and that documents feel it."""

from __future__ import annotations

import pytest

from coscribe.access import groups as groups_module
from coscribe.core.errors import Code
from coscribe.documents.ports import AccessChange
from tests.access.world import World, bot, refused


async def test_a_group_from_beginning_to_end(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    document = await world.document(ann)
    group = await world.groups.create(ann, "  The \t choir ")
    assert (group.name, group.owner.handle, group.members, group.revision) == ("The choir", "ann", 0, 1)
    await world.members.set_role(ann, document, group.group_id, "editor")
    world.changes.clear()

    assert (await world.groups.add_member(ann, group.group_id, "@Bob")).user_id == bob.account
    assert world.changes == [AccessChange(account=bob.account)]
    assert await world.role(bob, document) == "editor"
    await world.groups.add_member(ann, group.group_id, bob.account)
    assert len(world.changes) == 1, "who is in stays in"

    group = await world.groups.rename(ann, group.group_id, "Choir", 2)
    assert (group.name, group.members, group.revision) == ("Choir", 1, 3)
    await world.groups.remove_member(ann, group.group_id, bob.account)
    assert await world.role(bob, document) is None
    assert world.changes[-1] == AccessChange(account=bob.account)

    await world.groups.add_member(ann, group.group_id, "bob")
    await world.groups.delete(ann, group.group_id)
    assert world.changes[-1] == AccessChange(workspace_id=document)
    assert await world.role(bob, document) is None
    assert [member.name for member in (await world.members.list(ann, document)).items] == ["Ann"]
    async with refused(Code.NOT_FOUND):
        await world.groups.get(ann, group.group_id)
    assert [action for action, _, _, _ in await world.events()] == [
        "group.created",
        "member.added",
        "group.member_added",
        "group.renamed",
        "group.member_removed",
        "group.member_added",
        "group.deleted",
    ]


async def test_who_sees_and_who_changes(world: World) -> None:
    ann, bob, eve = await world.person("ann"), await world.person("bob"), await world.person("eve")
    ada = await world.person("ada", administrator=True)
    group = await world.groups.create(ann, "Choir")
    await world.groups.add_member(ann, group.group_id, "bob")
    assert [profile.handle for profile in (await world.groups.members(bob, group.group_id)).items] == ["bob"]
    assert (await world.groups.get(bob, group.group_id)).owner.handle == "ann"
    world.changes.clear()
    for caller, code in (
        (bob, Code.PERMISSION_DENIED),
        (eve, Code.NOT_FOUND),
        (ada, Code.NOT_FOUND),
        (bot(ann, "edit"), Code.PERMISSION_DENIED),
    ):
        async with refused(code, world):
            await world.groups.rename(caller, group.group_id, "Mine")
        async with refused(code, world):
            await world.groups.delete(caller, group.group_id)
        async with refused(code, world):
            await world.groups.add_member(caller, group.group_id, "eve")
        if caller is not bob:
            async with refused(code, world):
                await world.groups.remove_member(caller, group.group_id, bob.account)
    for caller in (eve, ada):
        async with refused(Code.NOT_FOUND):
            await world.groups.members(caller, group.group_id)
    await world.groups.add_member(ann, group.group_id, "eve")
    async with refused(Code.PERMISSION_DENIED):
        await world.groups.remove_member(bob, group.group_id, eve.account)
    await world.groups.remove_member(bob, group.group_id, bob.account)
    async with refused(Code.NOT_FOUND):
        await world.groups.get(bob, group.group_id)


async def test_mine_are_those_i_own_or_am_in(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    first = await world.groups.create(ann, "First")
    await world.groups.create(ann, "Not his")
    await world.groups.add_member(ann, first.group_id, "bob")
    for name in ("Second", "Third"):
        await world.groups.create(bob, name)
    one = await world.groups.list(bob, limit=2)
    two = await world.groups.list(bob, limit=2, cursor=one.next_cursor)
    assert [group.name for group in one.items + two.items] == ["First", "Second", "Third"]
    assert two.next_cursor == ""


async def test_members_page_by_handle(world: World) -> None:
    ann = await world.person("ann")
    group = await world.groups.create(ann, "Choir")
    for name in ("dan", "bob", "cem"):
        await world.person(name)
        await world.groups.add_member(ann, group.group_id, name)
    one = await world.groups.members(ann, group.group_id, limit=2)
    two = await world.groups.members(ann, group.group_id, limit=2, cursor=one.next_cursor)
    assert [profile.handle for profile in one.items + two.items] == ["bob", "cem", "dan"]


async def test_what_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = await world.person("ann")
    await world.person("gone", status="locked")
    group = await world.groups.create(ann, "Choir")
    for name in ("", "   ", "x" * 129, "\u202e\x00"):
        async with refused(Code.INVALID_REQUEST):
            await world.groups.create(ann, name)
    for who in ("nobody", "gone", "", "@", "usr_none"):
        async with refused(Code.NOT_FOUND):
            await world.groups.add_member(ann, group.group_id, who)
    async with refused(Code.NOT_FOUND):
        await world.groups.remove_member(ann, group.group_id, ann.account)
    async with refused(Code.PRECONDITION_FAILED):
        await world.groups.rename(ann, group.group_id, "Other", 7)
    async with refused(Code.PRECONDITION_FAILED):
        await world.groups.delete(ann, group.group_id, 7)
    monkeypatch.setattr(groups_module, "MAX_GROUPS", 1)
    async with refused(Code.QUOTA_EXCEEDED):
        await world.groups.create(ann, "Another")
    monkeypatch.setattr(groups_module, "MAX_GROUP_MEMBERS", 1)
    for name in ("bob", "cem"):
        await world.person(name)
    await world.groups.add_member(ann, group.group_id, "bob")
    async with refused(Code.QUOTA_EXCEEDED):
        await world.groups.add_member(ann, group.group_id, "cem")
