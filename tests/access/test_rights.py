"""Rights: what the tables say somebody may do at this moment."""

from __future__ import annotations

from functools import partial

import pytest

from coscribe.access.caller import NOBODY, Caller
from coscribe.access.ids import now
from coscribe.access.policy import Action, PathRule
from coscribe.access.rights import allow, authorise
from coscribe.core.errors import Code
from coscribe.persistence.schema import share_links, workspaces
from coscribe.protocol.messages import Role
from tests.access.world import World, bot, guest, refused, secret_in


async def test_the_best_of_what_one_has_counts(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    document = await world.document(ann, viewer=bob)
    group = await world.groups.create(ann, "Writers")
    await world.groups.add_member(ann, group.group_id, "bob")
    assert await world.role(bob, document) == "viewer"
    await world.members.set_role(ann, document, group.group_id, "editor")
    assert await world.role(bob, document) == "editor"
    await world.members.set_role(ann, document, group.group_id, "viewer")
    _, url = await world.links.create(ann, document, "editor")
    await world.links.open(bob, secret_in(url))
    assert await world.role(bob, document) == "editor"


async def test_a_link_counts_while_it_is_open(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    document = await world.document(ann)
    link, url = await world.links.create(ann, document, "editor", now() + 3_600_000_000)
    await world.links.open(bob, secret_in(url))
    visitor = guest(link.link_id, document)
    assert (await world.role(bob, document), await world.role(visitor, document)) == ("editor", "viewer")
    await world.set(share_links, share_links.c.link_id == link.link_id, expires_at=now() - 1)
    assert (await world.role(bob, document), await world.role(visitor, document)) == (None, None)


async def test_a_guest_of_one_document_is_nobody_in_another(world: World) -> None:
    ann = await world.person("ann")
    one, other = await world.document(ann), await world.document(ann)
    link, _ = await world.links.create(ann, one, "viewer")
    visitor = guest(link.link_id, one)
    assert await world.role(visitor, one) == "viewer"
    for document in (other, "doc_none"):
        job = partial(authorise, caller=visitor, action=Action.READ_CONTENT, document_id=document)
        async with refused(Code.SIGN_IN_REQUIRED):
            await world.database.read(job)


@pytest.mark.parametrize(("scope", "role"), [("read", "viewer"), ("edit", "editor"), ("manage", "owner")])
async def test_a_token_is_bounded_by_its_scope_and_its_owner(world: World, scope: str, role: Role) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    document = await world.document(ann, viewer=bob)
    assert await world.role(bot(ann, scope), document) == role
    assert await world.role(bot(bob, scope), document) == "viewer"


async def test_a_token_for_one_document_is_for_no_other_even_of_an_administrator(world: World) -> None:
    ada = await world.person("ada", administrator=True)
    one, other = await world.document(ada), await world.document(ada)
    token = bot(ada, "manage", one)
    assert (await world.role(token, one), await world.role(token, other)) == ("owner", None)
    async with refused(Code.FILE_NOT_FOUND):
        await world.members.list(token, other)
    async with refused(Code.FILE_NOT_FOUND, world):
        await world.links.create(token, other, "viewer")
    async with refused(Code.PERMISSION_DENIED, world):
        await world.groups.create(token, "Mine")
    async with refused(Code.PERMISSION_DENIED):
        await world.invitations.inbox(token)


async def test_what_is_about_no_document(world: World) -> None:
    ann = await world.person("ann")
    assert allow(ann, Action.MANAGE_GROUPS) == ann.account
    async with refused(Code.SIGN_IN_REQUIRED):
        allow(NOBODY, Action.SEARCH_USERS)
    async with refused(Code.PERMISSION_DENIED):
        allow(Caller("folder", author="ops"), Action.MANAGE_GROUPS)
    async with refused(Code.PERMISSION_DENIED):
        allow(bot(ann, "read"), Action.MANAGE_GROUPS)
    async with refused(Code.PERMISSION_DENIED):
        allow(ann, Action.ADMINISTER_USERS)


async def test_a_token_of_the_folder_needs_no_membership(world: World) -> None:
    ann = await world.person("ann")
    document = await world.document(ann)
    assert await world.role(Caller("folder", author="ops", role="editor"), document) == "editor"
    assert await world.role(Caller("nobody"), document) is None


@pytest.mark.parametrize(
    ("status", "in_whole", "on_path"),
    [
        ("active", ("owner", "editor"), ("owner", "editor")),
        ("archived", ("owner", "editor"), ("viewer", "viewer")),
        ("trashed", ("owner", None), (None, None)),
    ],
)
async def test_archive_and_trash(
    world: World,
    status: str,
    in_whole: tuple[Role | None, Role | None],
    on_path: tuple[Role | None, Role | None],
) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    document = await world.document(ann, editor=bob)
    await world.set(workspaces, workspaces.c.workspace_id == document, status=status)
    for caller, role, on in zip((ann, bob), in_whole, on_path, strict=True):
        rights = await world.rights(caller, document)
        assert rights is not None
        assert (rights.role, rights.on("plan.md")) == (role, on)


async def test_what_was_deleted_is_not_there(world: World) -> None:
    ann = await world.person("ann", administrator=True)
    document = await world.document(ann)
    await world.set(workspaces, workspaces.c.workspace_id == document, status="deleted")
    assert await world.rights(ann, document) is None
    async with refused(Code.FILE_NOT_FOUND):
        await world.database.read(lambda connection: authorise(connection, ann, Action.SEE_DOCUMENT, document))


async def test_path_rules_and_the_bound_of_a_token(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    document = await world.document(ann, viewer=bob)
    rules = [PathRule("everyone", "", "secrets/**", "none"), PathRule("user", bob.account, "docs/**", "write")]
    await world.members.rules.replace(ann, document, rules, None)
    rights = await world.rights(bob, document)
    assert rights is not None
    assert [rights.on(path) for path in ("a", "docs/a", "secrets/a")] == ["viewer", "editor", None]
    bounded = await world.rights(bot(bob, "read"), document)
    assert bounded is not None
    assert bounded.on("docs/a") == "viewer"
    above = await world.rights(ann, document)
    assert above is not None
    assert above.on("secrets/a") == "owner"
