"""Links: made, opened by people and guests, switched off."""

from __future__ import annotations

import asyncio

import pytest

from coscribe.access import links as links_module
from coscribe.access.caller import NOBODY, Caller
from coscribe.access.ids import digest, now
from coscribe.core.errors import Code
from coscribe.documents.ports import AccessChange
from coscribe.persistence.schema import access_events, link_visitors, share_links, workspaces
from tests.access.world import URL, World, bot, guest, refused, secret_in


async def test_a_link_is_shown_once_and_kept_as_a_digest(world: World) -> None:
    ann = await world.person("ann")
    document = await world.document(ann)
    link, url = await world.links.create(ann, document, "editor")
    secret = secret_in(url)
    assert url == f"{URL}/#link={secret}"
    assert secret.startswith("csl_") and len(secret) == 47
    rows = await world.database.read(lambda connection: connection.execute(share_links.select()).all())
    assert [row.secret_hash for row in rows] == [digest(secret)]
    assert secret.encode() not in repr(rows).encode()
    events = await world.database.read(lambda connection: connection.execute(access_events.select()).all())
    assert secret not in repr(events)
    assert await world.links.list(ann, document) == [link]


async def test_a_person_keeps_what_a_link_gave(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    document = await world.document(ann, "Plan")
    _, url = await world.links.create(ann, document, "editor")
    opened = await world.links.open(bob, secret_in(url))
    assert (opened.document_id, opened.document_name, opened.role, opened.guest) == (document, "Plan", "editor", False)
    assert await world.role(bob, document) == "editor"
    assert world.changes == [AccessChange(workspace_id=document, account=bob.account)]
    assert (await world.links.open(bob, secret_in(url))).role == "editor"
    assert len(world.changes) == 1
    assert [link.visitors for link in await world.links.list(ann, document)] == [1]


async def test_a_member_keeps_the_better_role(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    document = await world.document(ann, editor=bob)
    _, url = await world.links.create(ann, document, "viewer")
    assert (await world.links.open(ann, secret_in(url))).role == "owner"
    assert (await world.links.open(bob, secret_in(url))).role == "editor"
    assert [link.visitors for link in await world.links.list(ann, document)] == [0]
    assert world.changes == []


@pytest.mark.parametrize("role", ["viewer", "editor"])
async def test_nobody_reads_as_a_guest_whatever_the_link_allows(world: World, role: links_module.LinkRole) -> None:
    ann = await world.person("ann")
    document = await world.document(ann)
    ends = now() + 60_000_000
    link, url = await world.links.create(ann, document, role, ends)
    for caller in (NOBODY, guest("lnk_other", "doc_other")):
        opened = await world.links.open(caller, secret_in(url))
        assert (opened.role, opened.link_role, opened.guest) == ("viewer", role, True)
        assert (opened.link_id, opened.document_id, opened.expires_at) == (link.link_id, document, ends)
    assert await world.role(guest(link.link_id, document), document) == "viewer"


async def test_switched_off_it_is_over_at_once(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    document = await world.document(ann)
    link, url = await world.links.create(ann, document, "editor")
    await world.links.open(bob, secret_in(url))
    world.changes.clear()
    await world.links.switch_off(ann, document, link.link_id)
    assert world.changes == [AccessChange(workspace_id=document)], "everybody looks again, guests too"
    assert await world.role(bob, document) is None
    assert await world.role(guest(link.link_id, document), document) is None
    assert await world.links.list(ann, document) == []
    for caller in (bob, NOBODY):
        async with refused(Code.SECRET_INVALID, world):
            await world.links.open(caller, secret_in(url))
    async with refused(Code.NOT_FOUND, world):
        await world.links.switch_off(ann, document, link.link_id)


async def test_opening_and_switching_off_at_once_end_outside(world: World) -> None:
    ann = await world.person("ann")
    document = await world.document(ann)
    for number in range(10):
        bob = await world.person(f"bob{number}")
        link, url = await world.links.create(ann, document, "editor")
        opening = world.links.open(bob, secret_in(url))
        ending = world.links.switch_off(ann, document, link.link_id)
        pair = (opening, ending) if number % 2 else (ending, opening)
        await asyncio.gather(*pair, return_exceptions=True)
        assert await world.role(bob, document) is None


async def test_secrets_that_open_nothing(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    document = await world.document(ann)
    link, url = await world.links.create(ann, document, "viewer")
    for secret in ("", "csl_", secret_in(url) + "x", secret_in(url)[:-1], link.link_id):
        async with refused(Code.SECRET_INVALID):
            await world.links.open(bob, secret)
    await world.set(share_links, share_links.c.link_id == link.link_id, expires_at=now())
    async with refused(Code.SECRET_INVALID):
        await world.links.open(bob, secret_in(url))
    assert await world.links.list(ann, document) == []
    await world.set(share_links, share_links.c.link_id == link.link_id, expires_at=None)
    for status in ("trashed", "deleted"):
        await world.set(workspaces, workspaces.c.workspace_id == document, status=status)
        async with refused(Code.SECRET_INVALID):
            await world.links.open(NOBODY, secret_in(url))


async def test_who_cannot_open_one(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    document = await world.document(ann)
    _, url = await world.links.create(ann, document, "viewer")
    for caller in (bot(bob, "manage"), Caller("folder", author="ops")):
        async with refused(Code.PERMISSION_DENIED, world):
            await world.links.open(caller, secret_in(url))
    await world.members.ban(ann, document, bob.account)
    async with refused(Code.BANNED, world):
        await world.links.open(bob, secret_in(url))
    assert await world.run(lambda connection: connection.execute(link_visitors.select()).all()) == []


async def test_who_makes_and_ends_them(world: World) -> None:
    ann, bob, eve = await world.person("ann"), await world.person("bob"), await world.person("eve")
    document, other = await world.document(ann, editor=bob), await world.document(eve)
    link, _ = await world.links.create(ann, document, "viewer")
    for caller, code in ((bob, Code.PERMISSION_DENIED), (eve, Code.FILE_NOT_FOUND)):
        async with refused(code, world):
            await world.links.create(caller, document, "viewer")
        async with refused(code, world):
            await world.links.list(caller, document)
        async with refused(code, world):
            await world.links.switch_off(caller, document, link.link_id)
    async with refused(Code.NOT_FOUND, world):
        await world.links.switch_off(eve, other, link.link_id)
    async with refused(Code.INVALID_REQUEST, world):
        await world.links.create(ann, document, "viewer", now() - 1)


async def test_there_are_at_most_20_open(world: World) -> None:
    ann = await world.person("ann")
    document = await world.document(ann)
    made = [(await world.links.create(ann, document, "viewer"))[0] for _ in range(links_module.MAX_OPEN)]
    async with refused(Code.QUOTA_EXCEEDED, world):
        await world.links.create(ann, document, "viewer")
    await world.links.switch_off(ann, document, made[0].link_id)
    await world.set(share_links, share_links.c.link_id == made[1].link_id, expires_at=now())
    for _ in range(2):
        await world.links.create(ann, document, "viewer")
    async with refused(Code.QUOTA_EXCEEDED, world):
        await world.links.create(ann, document, "viewer")
