"""Members: roles, leaving, removal, bans, transfer, and path rules."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from coscribe.access.caller import Caller
from coscribe.access.members import Removed
from coscribe.access.policy import PathRule
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import AccessChange
from coscribe.persistence.schema import users, workspaces
from coscribe.protocol.messages import Role
from tests.access.world import World, bot, refused, secret_in

pytestmark = [pytest.mark.slow, pytest.mark.both_databases]


async def test_members_are_listed_in_the_order_in_which_they_came(world: World) -> None:
    ann, bob, cem = await world.person("ann"), await world.person("bob", "Bob Öz"), await world.person("cem")
    document = await world.document(ann, editor=bob, viewer=cem)
    group = await world.groups.create(ann, "The team")
    await world.members.set_role(ann, document, group.group_id, "viewer")
    dan = await world.person("dan")
    _, url = await world.links.create(ann, document, "editor")
    await world.links.open(dan, secret_in(url))

    page = await world.members.list(cem, document)
    found = [(member.kind, member.name, member.handle, member.role) for member in page.items]
    assert found == [
        ("user", "Ann", "ann", "owner"),
        ("user", "Bob Öz", "bob", "editor"),
        ("user", "Cem", "cem", "viewer"),
        ("group", "The team", "", "viewer"),
        ("visitor", "Dan", "dan", "editor"),
    ]
    names, cursor = [], ""
    while True:
        part = await world.members.list(cem, document, cursor=cursor, limit=2)
        names += [member.name for member in part.items]
        cursor = part.next_cursor
        if not cursor:
            break
    assert names == [name for _, name, _, _ in found]


async def test_who_may_look_and_who_may_change(world: World) -> None:
    ann, bob, cem, eve = [await world.person(name) for name in ("ann", "bob", "cem", "eve")]
    document = await world.document(ann, editor=bob, viewer=cem)
    async with refused(Code.FILE_NOT_FOUND):
        await world.members.list(eve, document)
    for caller, code in (
        (cem, Code.PERMISSION_DENIED),
        (bob, Code.PERMISSION_DENIED),
        (bot(ann, "edit"), Code.PERMISSION_DENIED),
        (eve, Code.FILE_NOT_FOUND),
        (Caller("nobody"), Code.SIGN_IN_REQUIRED),
    ):
        async with refused(code, world):
            await world.members.set_role(caller, document, cem.account, "owner")
        async with refused(code, world):
            await world.members.remove(caller, document, bob.account)
        async with refused(code, world):
            await world.members.ban(caller, document, bob.account)
        async with refused(code, world):
            await world.members.lift_ban(caller, document, bob.account)
        async with refused(code, world):
            await world.members.bans(caller, document)
        async with refused(code, world):
            await world.members.transfer(caller, document, bob.account, "viewer")
        async with refused(code, world):
            await world.members.rules.replace(caller, document, [], None)
        async with refused(code, world):
            await world.members.rules.list(caller, document)
    assert [await world.role(caller, document) for caller in (ann, bob, cem)] == ["owner", "editor", "viewer"]
    assert await world.events() == []


async def test_a_role_is_changed_and_felt(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    document = await world.document(ann, editor=bob)
    member = await world.members.set_role(ann, document, bob.account, "viewer")
    assert (member.role, await world.role(bob, document)) == ("viewer", "viewer")
    assert world.changes == [AccessChange(workspace_id=document, account=bob.account)]
    assert await world.events() == [("member.role_changed", ann.account, document, bob.account)]

    await world.members.set_role(ann, document, bob.account, "viewer")
    assert len(world.changes) == 1, "nothing was different"


async def test_people_are_invited_not_added(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    document = await world.document(ann)
    async with refused(Code.NOT_FOUND, world):
        await world.members.set_role(ann, document, bob.account, "viewer")
    async with refused(Code.NOT_FOUND, world):
        await world.members.set_role(ann, document, "usr_none", "viewer")


async def test_an_administrator_manages_any_document_and_it_is_recorded(world: World) -> None:
    ann, ada = await world.person("ann"), await world.person("ada", administrator=True)
    document = await world.document(ann)
    await world.members.set_role(ada, document, ada.account, "editor")
    assert await world.role(ada, document) == "editor"
    await world.members.transfer(ada, document, ada.account, "viewer", giver=ann.account)
    assert (await world.role(ann, document), await world.role(ada, document)) == ("viewer", "owner")
    actions = [(action, actor) for action, actor, _, _ in await world.events()]
    assert actions == [("member.added", ada.account), ("document.transferred", ada.account)]


async def test_groups_are_added_by_their_owner_and_own_nothing(world: World) -> None:
    ann, bob, cem = await world.person("ann"), await world.person("bob"), await world.person("cem")
    document = await world.document(ann)
    group = await world.groups.create(ann, "Readers")
    await world.groups.add_member(ann, group.group_id, "cem")
    other = await world.groups.create(bob, "Others")
    world.changes.clear()

    async with refused(Code.NOT_FOUND, world):
        await world.members.set_role(ann, document, other.group_id, "viewer")
    async with refused(Code.INVALID_REQUEST, world):
        await world.members.set_role(ann, document, group.group_id, "owner")
    await world.members.set_role(ann, document, group.group_id, "viewer")
    assert await world.role(cem, document) == "viewer"
    assert world.changes == [AccessChange(workspace_id=document)]
    async with refused(Code.INVALID_REQUEST, world):
        await world.members.set_role(ann, document, group.group_id, "owner")
    assert await world.members.remove(ann, document, group.group_id) == Removed(None, None)
    assert await world.role(cem, document) is None


async def test_the_last_owner_stays(world: World) -> None:
    ann, bob, ada = await world.person("ann"), await world.person("bob"), await world.person("ada", administrator=True)
    document = await world.document(ann, editor=bob)
    for caller in (ann, ada):
        async with refused(Code.LAST_OWNER, world):
            await world.members.set_role(caller, document, ann.account, "editor")
        async with refused(Code.LAST_OWNER, world):
            await world.members.remove(caller, document, ann.account)
    async with refused(Code.LAST_OWNER, world):
        await world.members.ban(ada, document, ann.account)
    async with refused(Code.LAST_OWNER, world):
        await world.members.leave(ann, document)
    assert await world.role(ann, document) == "owner"

    await world.members.set_role(ann, document, bob.account, "owner")
    await world.set(users, users.c.user_id == bob.account, status="locked")
    async with refused(Code.LAST_OWNER, world):
        await world.members.leave(ann, document)
    await world.set(users, users.c.user_id == bob.account, status="active")
    await world.members.leave(ann, document)
    async with refused(Code.LAST_OWNER, world):
        await world.members.set_role(bob, document, bob.account, "viewer")


@pytest.mark.parametrize("way", ["demote", "step down", "remove", "ban", "leave", "transfer"])
async def test_two_owners_who_end_each_other_at_once_leave_one(world: World, way: str) -> None:
    for number in range(10):
        ann, bob = await world.person(f"ann{number}"), await world.person(f"bob{number}")
        document = await world.document(ann)
        await world.make_member(document, bob, "owner")

        async def act(one: Caller, other: Caller, document: str = document) -> Any:
            members = world.members
            if way == "demote":
                return await members.set_role(one, document, other.account, "viewer")
            if way == "step down":
                return await members.set_role(one, document, one.account, "viewer")
            if way == "remove":
                return await members.remove(one, document, other.account)
            if way == "ban":
                return await members.ban(one, document, other.account)
            if way == "leave":
                return await members.leave(one, document)
            return await members.transfer(one, document, other.account, "viewer")

        results = await asyncio.gather(act(ann, bob), act(bob, ann), return_exceptions=True)
        refusals = [result.code for result in results if isinstance(result, CoscribeError)]
        roles = [await world.role(caller, document) for caller in (ann, bob)]
        assert roles.count("owner") == 1
        if way != "transfer":
            assert len(refusals) == 1
        if way in ("step down", "leave"):
            assert refusals == [Code.LAST_OWNER]


async def test_removal_says_what_access_remains(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    document = await world.document(ann, editor=bob)
    group = await world.groups.create(ann, "Readers")
    await world.groups.add_member(ann, group.group_id, "bob")
    await world.members.set_role(ann, document, group.group_id, "viewer")
    world.changes.clear()
    assert await world.members.remove(ann, document, bob.account) == Removed("viewer", None)
    assert world.changes == [AccessChange(workspace_id=document, account=bob.account)]
    async with refused(Code.NOT_FOUND, world):
        await world.members.remove(ann, document, bob.account)


async def test_who_came_by_a_link_can_be_removed_and_may_come_again(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    document = await world.document(ann)
    _, url = await world.links.create(ann, document, "editor")
    await world.links.open(bob, secret_in(url))
    assert await world.members.remove(ann, document, bob.account) == Removed(None, "editor")
    assert await world.role(bob, document) is None
    assert (await world.links.open(bob, secret_in(url))).role == "editor"
    assert await world.members.leave(bob, document) == Removed(None, "editor")
    assert await world.role(bob, document) is None


async def test_leaving_what_a_group_gives(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    document = await world.document(ann)
    group = await world.groups.create(ann, "Readers")
    await world.groups.add_member(ann, group.group_id, "bob")
    await world.members.set_role(ann, document, group.group_id, "viewer")
    async with refused(Code.CONFLICT, world):
        await world.members.leave(bob, document)
    await world.groups.remove_member(bob, group.group_id, bob.account)
    async with refused(Code.FILE_NOT_FOUND):
        await world.members.leave(bob, document)


async def test_a_ban_closes_every_way_in(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob", email="bob@example.org")
    document = await world.document(ann, editor=bob)
    group = await world.groups.create(ann, "Readers")
    await world.groups.add_member(ann, group.group_id, "bob")
    await world.members.set_role(ann, document, group.group_id, "viewer")
    _, url = await world.links.create(ann, document, "editor")
    await world.members.remove(ann, document, bob.account)
    await world.links.open(bob, secret_in(url))
    await world.invitations.invite(ann, document, "bob", "editor")
    await world.invitations.invite(ann, document, "bob@example.org", "editor")
    secret = world.secret()
    inbox = (await world.invitations.inbox(bob)).items
    world.changes.clear()

    ban = await world.members.ban(ann, document, bob.account)
    assert (ban.person.handle, ban.banned_by) == ("bob", ann.account)
    assert world.changes == [AccessChange(workspace_id=document, account=bob.account)]
    assert await world.members.ban(ann, document, bob.account) == ban
    assert [one.person.handle for one in (await world.members.bans(ann, document)).items] == ["bob"]
    assert [member.name for member in (await world.members.list(ann, document)).items] == ["Ann", "Readers"]
    assert await world.role(bob, document) is None
    async with refused(Code.BANNED, world):
        await world.links.open(bob, secret_in(url))
    async with refused(Code.BANNED, world):
        await world.invitations.accept_secret(bob, secret)
    by_email = next(invitation for invitation in inbox if invitation.email)
    by_handle = next(invitation for invitation in inbox if invitation.person)
    async with refused(Code.BANNED, world):
        await world.invitations.accept(bob, by_email.invitation_id)
    async with refused(Code.NOT_FOUND, world):
        await world.invitations.accept(bob, by_handle.invitation_id)
    async with refused(Code.BANNED, world):
        await world.invitations.invite(ann, document, "bob", "viewer")
    ada = await world.person("ada", administrator=True)
    async with refused(Code.BANNED, world):
        await world.members.set_role(ada, document, bob.account, "viewer")

    await world.members.lift_ban(ann, document, bob.account)
    assert await world.role(bob, document) == "viewer", "by the group"
    async with refused(Code.NOT_FOUND, world):
        await world.members.lift_ban(ann, document, bob.account)


async def test_whom_one_cannot_ban(world: World) -> None:
    ann = await world.person("ann")
    gone = await world.person("gone", status="deleted")
    document = await world.document(ann)
    async with refused(Code.INVALID_REQUEST, world):
        await world.members.ban(ann, document, ann.account)
    for unknown in ("usr_none", gone.account):
        async with refused(Code.NOT_FOUND, world):
            await world.members.ban(ann, document, unknown)
    bob = await world.person("bob")
    await world.members.ban(ann, document, bob.account)
    assert await world.role(bob, document) is None, "before they ever came"


async def test_bans_page(world: World) -> None:
    ann = await world.person("ann")
    document = await world.document(ann)
    for number in range(5):
        await world.members.ban(ann, document, (await world.person(f"p{number}")).account)
    first = await world.members.bans(ann, document, limit=3)
    second = await world.members.bans(ann, document, limit=3, cursor=first.next_cursor)
    assert [ban.person.handle for ban in first.items + second.items] == [f"p{number}" for number in range(5)]
    assert second.next_cursor == ""


async def test_acceptance_and_ban_at_once_end_outside(world: World) -> None:
    ann = await world.person("ann")
    document = await world.document(ann)
    for number in range(10):
        bob = await world.person(f"bob{number}")
        await world.invitations.invite(ann, document, f"bob{number}", "editor")
        [invitation] = (await world.invitations.inbox(bob)).items
        coming = world.invitations.accept(bob, invitation.invitation_id)
        banning = world.members.ban(ann, document, bob.account)
        pair = (coming, banning) if number % 2 else (banning, coming)
        results = await asyncio.gather(*pair, return_exceptions=True)
        assert all(isinstance(result, CoscribeError) or not isinstance(result, Exception) for result in results)
        assert await world.role(bob, document) is None
        assert bob.account not in [member.member_id for member in (await world.members.list(ann, document)).items]


async def test_who_is_removed_leaves_no_invitations_behind(world: World) -> None:
    ann, bob, cem = await world.person("ann"), await world.person("bob"), await world.person("cem")
    document = await world.document(ann)
    await world.make_member(document, bob, "owner")
    await world.invitations.invite(bob, document, "cem", "owner")
    await world.members.remove(ann, document, bob.account)
    assert (await world.invitations.inbox(cem)).items == ()


@pytest.mark.parametrize("role", ["editor", "viewer"])
async def test_ownership_is_transferred_in_one_step(world: World, role: Role) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    document = await world.document(ann, viewer=bob)
    received, gave = await world.members.transfer(ann, document, bob.account, role)
    assert gave is not None
    assert (received.role, gave.role) == ("owner", role)
    assert (await world.role(ann, document), await world.role(bob, document)) == (role, "owner")
    assert {change.account for change in world.changes} == {ann.account, bob.account}


async def test_what_cannot_be_transferred(world: World) -> None:
    ann, bob, cem = await world.person("ann"), await world.person("bob"), await world.person("cem")
    ada = await world.person("ada", administrator=True)
    locked = await world.person("dan", status="locked")
    document = await world.document(ann, viewer=bob, editor=locked)
    group = await world.groups.create(ann, "Readers")
    await world.members.set_role(ann, document, group.group_id, "viewer")
    for to in (cem.account, group.group_id, locked.account):
        async with refused(Code.NOT_FOUND, world):
            await world.members.transfer(ann, document, to, "viewer")
    async with refused(Code.INVALID_REQUEST, world):
        await world.members.transfer(ann, document, ann.account, "viewer")
    async with refused(Code.INVALID_REQUEST, world):
        await world.members.transfer(ann, document, bob.account, "owner")
    async with refused(Code.PERMISSION_DENIED, world):
        await world.members.transfer(ann, document, bob.account, "viewer", giver=bob.account)
    async with refused(Code.INVALID_REQUEST, world):
        await world.members.transfer(ada, document, bob.account, "viewer", giver=bob.account)
    received, gave = await world.members.transfer(ada, document, bob.account, "viewer")
    assert (received.role, gave) == ("owner", None)
    assert await world.role(ann, document) == "owner", "an administrator who names nobody takes nothing away"


# ---- path rules


async def test_rules_are_replaced_as_a_whole(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    document = await world.document(ann, viewer=bob)
    group = await world.groups.create(ann, "Readers")
    rules = [
        PathRule("everyone", "", "**", "read"),
        PathRule("role", "editor", "docs/**", "write"),
        PathRule("group", group.group_id, "**/*.md", "none"),
        PathRule("user", bob.account, "plan.md", "write"),
    ]
    before = await world.members.rules.list(ann, document)
    after = await world.members.rules.replace(ann, document, rules, before.revision)
    assert after == await world.members.rules.list(ann, document)
    assert (after.rules, after.revision) == (tuple(rules), before.revision + 1)
    assert world.changes == [AccessChange(workspace_id=document)]
    rights = await world.rights(bob, document)
    assert rights is not None
    assert (rights.role, rights.on("plan.md"), rights.on("other.txt")) == ("viewer", "editor", "viewer")
    async with refused(Code.PRECONDITION_FAILED, world):
        await world.members.rules.replace(ann, document, [], before.revision)
    await world.members.rules.replace(ann, document, [], after.revision)
    assert (await world.members.rules.list(ann, document)).rules == ()


@pytest.mark.parametrize(
    "rule",
    [
        PathRule("everyone", "", "", "read"),
        PathRule("everyone", "", "x" * 513, "read"),
        PathRule("everyone", "", "/docs", "read"),
        PathRule("everyone", "", "docs/", "read"),
        PathRule("everyone", "", "docs//a", "read"),
        PathRule("everyone", "", "docs/../a", "read"),
        PathRule("everyone", "", "./a", "read"),
        PathRule("everyone", "", "a\n", "read"),
        PathRule("everyone", "", "docs/**.md", "read"),
        PathRule("everyone", "ann", "docs", "read"),
        PathRule("role", "owner", "docs", "read"),
        PathRule("role", "", "docs", "read"),
        PathRule("user", "usr_none", "docs", "read"),
        PathRule("group", "grp_none", "docs", "read"),
    ],
)
async def test_rules_that_are_refused(world: World, rule: PathRule) -> None:
    ann = await world.person("ann")
    document = await world.document(ann)
    kept = [PathRule("everyone", "", "a", "none")]
    await world.members.rules.replace(ann, document, kept, None)
    async with refused(Code.INVALID_REQUEST, world):
        await world.members.rules.replace(ann, document, [*kept, rule], None)
    assert (await world.members.rules.list(ann, document)).rules == tuple(kept)


async def test_there_are_at_most_200_rules(world: World) -> None:
    ann = await world.person("ann")
    document = await world.document(ann)
    rule = PathRule("everyone", "", "a", "none")
    async with refused(Code.INVALID_REQUEST, world):
        await world.members.rules.replace(ann, document, [rule] * 201, None)
    assert len((await world.members.rules.replace(ann, document, [rule] * 200, None)).rules) == 200


async def test_a_group_that_ends_takes_its_rules_along(world: World) -> None:
    ann = await world.person("ann")
    document = await world.document(ann)
    group = await world.groups.create(ann, "Readers")
    rules = [PathRule("group", group.group_id, "a", "none"), PathRule("everyone", "", "b", "none")]
    before = await world.members.rules.replace(ann, document, rules, None)
    await world.groups.delete(ann, group.group_id)
    after = await world.members.rules.list(ann, document)
    assert (after.rules, after.revision) == ((rules[1],), before.revision + 1)


async def test_nothing_is_managed_in_a_document_that_is_gone(world: World) -> None:
    ann = await world.person("ann", administrator=True)
    document = await world.document(ann)
    await world.set(workspaces, workspaces.c.workspace_id == document, status="deleted")
    async with refused(Code.FILE_NOT_FOUND):
        await world.members.list(ann, document)
