"""Invitations: sent, answered, withdrawn; by id, by handle, by address; many at once; to the server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from coscribe.access import invitations as invitations_module
from coscribe.access.caller import NOBODY, Caller
from coscribe.access.ids import digest, new_id, now
from coscribe.access.invitations import LIFETIME, Entry, consume, find_open_by_secret, split
from coscribe.access.throttle import Throttled
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import AccessChange
from coscribe.persistence.schema import access_events, invitations, users, workspaces
from tests.access.world import URL, World, bot, refused, secret_in

pytestmark = pytest.mark.slow


async def test_by_handle_it_is_in_the_inbox(world: World) -> None:
    ann, bob = await world.person("ann", "Ann A."), await world.person("bob", email="bob@example.org")
    document = await world.document(ann, "Plan")
    sent = await world.invitations.invite(ann, document, "@BOB", "editor")
    assert (await world.invitations.pending(ann, document)).items == (sent,)
    [found] = (await world.invitations.inbox(bob)).items
    assert found == sent
    assert (found.document_name, found.role, found.inviter, found.email) == ("Plan", "editor", "Ann A.", "")
    assert found.person is not None and found.person.handle == "bob"
    assert found.expires_at == found.created_at + LIFETIME
    [mail] = world.mails
    assert mail.to == "bob@example.org" and "#" not in mail.text and "Ann A." in mail.text
    assert await world.role(bob, document) is None

    accepted = await world.invitations.accept(bob, found.invitation_id)
    assert accepted == (document, "Plan")
    assert await world.role(bob, document) == "editor"
    assert world.changes == [AccessChange(workspace_id=document, account=bob.account)]
    assert (await world.invitations.inbox(bob)).items == ()
    assert (await world.invitations.pending(ann, document)).items == ()
    async with refused(Code.NOT_FOUND, world):
        await world.invitations.accept(bob, found.invitation_id)
    assert [event[:2] for event in await world.events()] == [
        ("invitation.sent", ann.account),
        ("invitation.accepted", bob.account),
    ]


async def test_by_mail_the_secret_is_good_once_for_whoever_holds_it(world: World) -> None:
    ann, bob, eve = await world.person("ann"), await world.person("bob"), await world.person("eve")
    document = await world.document(ann, "Plan")
    await world.invitations.invite(ann, document, " New.Person@Example.ORG ", "viewer")
    [mail] = world.mails
    secret = world.secret()
    assert mail.to == "new.person@example.org"
    assert f"{URL}/#invitation={secret}" in mail.text and secret.startswith("csi_")
    rows = await world.run(lambda connection: connection.execute(invitations.select()).all())
    assert [row.secret_hash for row in rows] == [digest(secret)]
    events = await world.run(lambda connection: connection.execute(access_events.select()).all())
    assert secret not in repr(events) and "new.person" not in repr(events)

    await world.invitations.accept_secret(bob, secret)
    assert await world.role(bob, document) == "viewer"
    async with refused(Code.SECRET_INVALID, world):
        await world.invitations.accept_secret(eve, secret)
    async with refused(Code.SECRET_INVALID, world):
        await world.invitations.accept_secret(bob, secret)


async def test_of_those_who_use_a_secret_at_once_one_wins(world: World) -> None:
    ann = await world.person("ann")
    document = await world.document(ann)
    people = [await world.person(f"p{number}") for number in range(8)]
    await world.invitations.invite(ann, document, "a@example.org", "editor")
    secret = world.secret()
    tries = [world.invitations.accept_secret(person, secret) for person in people for _ in range(2)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    refusals = [result.code for result in results if isinstance(result, CoscribeError)]
    assert refusals == [Code.SECRET_INVALID] * (len(tries) - 1)
    assert [await world.role(person, document) for person in people].count("editor") == 1


async def test_only_a_verified_address_has_an_inbox(world: World) -> None:
    ann = await world.person("ann")
    bob = await world.person("bob", unverified="shared@example.org")
    cem = await world.person("cem", email="cem@example.org")
    document = await world.document(ann)
    for address in ("shared@example.org", "CEM@example.org"):
        await world.invitations.invite(ann, document, address, "editor")
    assert (await world.invitations.inbox(bob)).items == ()
    [his] = (await world.invitations.inbox(cem)).items
    assert (his.email, his.person) == ("cem@example.org", None)
    unreachable = (await world.invitations.pending(ann, document)).items[0]
    for act in (world.invitations.accept, world.invitations.decline):
        for caller in (bob, cem):
            async with refused(Code.NOT_FOUND, world):
                await act(caller, unreachable.invitation_id)
    await world.set(users, users.c.user_id == bob.account, email="shared@example.org", unverified_email=None)
    assert len((await world.invitations.inbox(bob)).items) == 1
    await world.invitations.accept(bob, unreachable.invitation_id)
    assert await world.role(bob, document) == "editor"


async def test_declined_withdrawn_expired(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob", email="bob@example.org")
    document = await world.document(ann)

    async def sent() -> tuple[str, str]:
        invitation = await world.invitations.invite(ann, document, "bob@example.org", "editor")
        return invitation.invitation_id, world.secret()

    async def is_over(invitation_id: str, secret: str) -> None:
        async with refused(Code.NOT_FOUND, world):
            await world.invitations.accept(bob, invitation_id)
        async with refused(Code.NOT_FOUND, world):
            await world.invitations.decline(bob, invitation_id)
        async with refused(Code.NOT_FOUND, world):
            await world.invitations.withdraw(ann, document, invitation_id)
        async with refused(Code.SECRET_INVALID, world):
            await world.invitations.accept_secret(bob, secret)
        assert (await world.invitations.inbox(bob)).items == ()
        assert (await world.invitations.pending(ann, document)).items == ()

    one = await sent()
    await world.invitations.decline(bob, one[0])
    await is_over(*one)
    one = await sent()
    await world.invitations.withdraw(ann, document, one[0])
    await is_over(*one)
    one = await sent()
    await world.set(invitations, invitations.c.invitation_id == one[0], expires_at=now())
    await is_over(*one)
    for status in ("trashed", "deleted"):
        one = await sent()
        await world.set(workspaces, workspaces.c.workspace_id == document, status=status)
        async with refused(Code.NOT_FOUND, world):
            await world.invitations.accept(bob, one[0])
        async with refused(Code.SECRET_INVALID, world):
            await world.invitations.accept_secret(bob, one[1])
        assert (await world.invitations.inbox(bob)).items == ()
        await world.set(workspaces, workspaces.c.workspace_id == document, status="active")
    assert await world.role(bob, document) is None


@pytest.mark.parametrize("who", ["bob", "bob@example.org"])
async def test_invited_again_only_the_last_invitation_counts(world: World, who: str) -> None:
    ann, bob = await world.person("ann"), await world.person("bob", email="bob@example.org")
    document, other = await world.document(ann), await world.document(ann)
    elsewhere = await world.invitations.invite(ann, other, who, "viewer")
    first = await world.invitations.invite(ann, document, who, "editor")
    old = world.secret() if "@" in who else ""
    last = await world.invitations.invite(ann, document, who, "viewer")
    assert (await world.invitations.pending(ann, document)).items == (last,)
    assert [one.invitation_id for one in (await world.invitations.inbox(bob)).items] == [
        elsewhere.invitation_id,
        last.invitation_id,
    ]
    async with refused(Code.NOT_FOUND):
        await world.invitations.accept(bob, first.invitation_id)
    if old:
        async with refused(Code.SECRET_INVALID):
            await world.invitations.accept_secret(bob, old)
    await world.invitations.accept(bob, last.invitation_id)
    assert await world.role(bob, document) == "viewer"


async def test_acceptance_never_lowers_a_role(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob", email="bob@example.org")
    document = await world.document(ann, editor=bob)
    await world.invitations.invite(ann, document, "bob@example.org", "viewer")
    await world.invitations.accept_secret(bob, world.secret())
    assert await world.role(bob, document) == "editor"
    await world.members.set_role(ann, document, bob.account, "viewer")
    await world.invitations.invite(ann, document, "bob@example.org", "editor")
    await world.invitations.accept_secret(bob, world.secret())
    assert await world.role(bob, document) == "editor"


async def test_who_cannot_be_invited(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    await world.person("locked", status="locked")
    document = await world.document(ann, viewer=bob)
    for who, code in (
        ("bob", Code.CONFLICT),
        ("ann", Code.CONFLICT),
        ("locked", Code.NOT_FOUND),
        ("nobody-here", Code.NOT_FOUND),
        ("usr_none", Code.NOT_FOUND),
        ("", Code.INVALID_REQUEST),
        ("@", Code.INVALID_REQUEST),
        ("a b", Code.INVALID_REQUEST),
        ("a@", Code.INVALID_REQUEST),
        ("a@b@example.org", Code.INVALID_REQUEST),
        ("a@example.org\nBcc: eve@example.org", Code.INVALID_REQUEST),
    ):
        async with refused(code, world):
            await world.invitations.invite(ann, document, who, "editor")
    async with refused(Code.INVALID_REQUEST, world):
        await world.invitations.invite(ann, document, "a@example.org", "owner")
    assert world.mails == []
    assert await world.events() == []


async def test_ownership_goes_to_an_account_only(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    document = await world.document(ann)
    sent = await world.invitations.invite(ann, document, bob.account, "owner")
    await world.invitations.accept(bob, sent.invitation_id)
    assert await world.role(bob, document) == "owner"


async def test_who_may_invite_and_answer(world: World) -> None:
    ann, bob, eve = await world.person("ann"), await world.person("bob"), await world.person("eve")
    document, other = await world.document(ann, editor=bob), await world.document(eve)
    sent = await world.invitations.invite(ann, document, "eve", "viewer")
    for caller, code in ((bob, Code.PERMISSION_DENIED), (eve, Code.FILE_NOT_FOUND), (NOBODY, Code.SIGN_IN_REQUIRED)):
        async with refused(code, world):
            await world.invitations.invite(caller, document, "eve", "viewer")
        async with refused(code, world):
            await world.invitations.invite_many(caller, document, "eve", "viewer")
        async with refused(code, world):
            await world.invitations.pending(caller, document)
        async with refused(code, world):
            await world.invitations.withdraw(caller, document, sent.invitation_id)
    async with refused(Code.NOT_FOUND, world):
        await world.invitations.withdraw(eve, other, sent.invitation_id)
    for caller, code in (
        (bob, Code.NOT_FOUND),
        (NOBODY, Code.SIGN_IN_REQUIRED),
        (bot(eve, "edit"), Code.PERMISSION_DENIED),
        (bot(eve, "manage", other), Code.PERMISSION_DENIED),
        (Caller("folder", author="ops"), Code.PERMISSION_DENIED),
    ):
        async with refused(code, world):
            await world.invitations.accept(caller, sent.invitation_id)
        async with refused(code, world):
            await world.invitations.decline(caller, sent.invitation_id)
    await world.invitations.accept(bot(eve, "manage"), sent.invitation_id)
    assert await world.role(eve, document) == "viewer"


async def test_the_inbox_pages(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    wanted = []
    for number in range(5):
        document = await world.document(ann, f"Plan {number}")
        wanted.append((await world.invitations.invite(ann, document, "bob", "viewer")).document_name)
    found, cursor = [], ""
    for _ in range(3):
        page = await world.invitations.inbox(bob, cursor=cursor, limit=2)
        found += [one.document_name for one in page.items]
        cursor = page.next_cursor
    assert (found, cursor) == (wanted, "")
    for limit, bad in ((0, ""), (101, ""), (5, "%%%"), (5, "W10"), (5, "WzFd")):
        async with refused(Code.INVALID_REQUEST):
            await world.invitations.inbox(bob, cursor=bad, limit=limit)


# ---- limits


async def test_open_invitations_of_a_document_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invitations_module, "MAX_OPEN", 2)
    ann = await world.person("ann")
    document = await world.document(ann)
    for address in ("a@example.org", "b@example.org", "a@example.org"):
        await world.invitations.invite(ann, document, address, "viewer")
    async with refused(Code.QUOTA_EXCEEDED, world):
        await world.invitations.invite(ann, document, "c@example.org", "viewer")
    entries = await world.invitations.invite_many(ann, document, "b@example.org, c@example.org", "viewer")
    assert [entry.outcome for entry in entries] == ["invited", "too_many"]


async def test_an_account_sends_100_an_hour_to_the_same_address_too(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    document, his = await world.document(ann), await world.document(bob)
    people = ", ".join(f"p{number}@example.org" for number in range(99))
    entries = await world.invitations.invite_many(ann, document, people, "viewer")
    assert {entry.outcome for entry in entries} == {"invited"}
    await world.invitations.invite(ann, document, "p1@example.org", "viewer")
    with pytest.raises(Throttled) as caught:
        await world.invitations.invite(ann, document, "p1@example.org", "viewer")
    assert 3_500 < caught.value.retry_after <= 3_600
    entries = await world.invitations.invite_many(ann, document, "p1@example.org", "viewer")
    assert [entry.outcome for entry in entries] == ["too_many"]
    assert len(world.mails) == 100
    await world.invitations.invite(bob, his, "p1@example.org", "viewer")
    an_hour_ago = now() - 3_601_000_000
    await world.set(invitations, invitations.c.invited_by == ann.account, created_at=an_hour_ago)
    await world.invitations.invite(ann, document, "p1@example.org", "viewer")


async def test_what_is_over_is_forgotten_after_a_day(world: World) -> None:
    ann = await world.person("ann")
    document = await world.document(ann)
    for address in ("a@example.org", "b@example.org", "b@example.org"):
        await world.invitations.invite(ann, document, address, "viewer")
    await world.set(invitations, invitations.c.email.is_not(None), created_at=now() - 25 * 3_600_000_000)
    await world.invitations.invite(ann, document, "c@example.org", "viewer")
    rows = await world.run(lambda connection: connection.execute(invitations.select()).all())
    assert sorted(row.email for row in rows) == ["a@example.org", "b@example.org", "c@example.org"]


# ---- many at once


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("ann, bob;cem\n dan ", ["ann", "bob", "cem", "dan"]),
        ("\r\nann\r\n\r\nbob\r\n", ["ann", "bob"]),
        (
            '"Doe, Jane" <jane@example.org>, Bob <bob@example.org>',
            ['"Doe, Jane" <jane@example.org>', "Bob <bob@example.org>"],
        ),
        ('"open, end\nann', ['"open', "end", "ann"]),
        (" ,;\n", []),
    ],
)
def test_a_pasted_list_is_split(text: str, entries: list[str]) -> None:
    assert split(text) == entries


async def test_each_of_a_list_has_its_outcome(world: World) -> None:
    ann, bob, cem = await world.person("ann"), await world.person("bob"), await world.person("cem")
    dan = await world.person("dan", email="dan@example.org")
    eve = await world.person("eve", email="eve@example.org")
    document = await world.document(ann, viewer=bob)
    await world.make_member(document, dan, "viewer")
    await world.members.ban(ann, document, eve.account)
    text = (
        "@Cem, bob, nobody; Dan D. <DAN@example.org>\n"
        '"Eve, E." <eve@example.org>, new@example.org, eve, not an address, a@b@c, cem, new@example.org, '
        f"{cem.account}, Bob <bob>"
    )
    entries = await world.invitations.invite_many(ann, document, text, "editor")
    assert entries == [
        Entry("@Cem", "invited"),
        Entry("bob", "already_member"),
        Entry("nobody", "not_found"),
        Entry("Dan D. <DAN@example.org>", "invited"),
        Entry('"Eve, E." <eve@example.org>', "invited"),
        Entry("new@example.org", "invited"),
        Entry("eve", "banned"),
        Entry("not an address", "invalid"),
        Entry("a@b@c", "invalid"),
        Entry("cem", "invited"),
        Entry("new@example.org", "invited"),
        Entry(cem.account, "invited"),
        Entry("Bob <bob>", "already_member"),
    ]
    pending = (await world.invitations.pending(ann, document)).items
    assert [one.email or (one.person and one.person.handle) for one in pending] == [
        "cem",
        "dan@example.org",
        "eve@example.org",
        "new@example.org",
    ]
    assert [mail.to for mail in world.mails] == ["dan@example.org", "eve@example.org", "new@example.org"]


async def test_a_list_has_1_to_500_entries(world: World) -> None:
    ann = await world.person("ann")
    document = await world.document(ann)
    for text in ("", " ,\n", ",".join(["x"] * 501)):
        async with refused(Code.INVALID_REQUEST):
            await world.invitations.invite_many(ann, document, text, "viewer")
    assert len(await world.invitations.invite_many(ann, document, ",".join(["x"] * 500), "viewer")) == 500


async def test_a_handle_that_looks_like_an_id_takes_no_invitation(world: World) -> None:
    ann, bob = await world.person("ann"), await world.person("bob")
    eve = await world.person(bob.account)
    document = await world.document(ann)
    await world.invitations.invite(ann, document, bob.account, "editor")
    assert len((await world.invitations.inbox(bob)).items) == 1
    assert (await world.invitations.inbox(eve)).items == ()


async def test_a_name_cannot_write_the_mail(world: World) -> None:
    ann = await world.person("ann", "Ann\nBcc: eve@example.org")
    document = await world.document(ann, "Plan\r\nSubject: other")
    await world.invitations.invite(ann, document, "a@example.org", "viewer")
    [mail] = world.mails
    assert "\n" not in mail.subject and "\r" not in mail.subject
    assert not any(line.startswith(("Bcc", "Subject")) for line in mail.text.splitlines())


# ---- to the server


async def test_to_the_server_by_link_or_by_mail(world: World) -> None:
    ada, ann = await world.person("ada", administrator=True), await world.person("ann")
    link, url = await world.invitations.invite_to_server(ada)
    other, other_url = await world.invitations.invite_to_server(ada)
    by_mail, nothing = await world.invitations.invite_to_server(ada, "New@example.org")
    assert url.startswith(f"{URL}/#invitation=csi_") and url != other_url and nothing == ""
    assert (by_mail.email, by_mail.document_id, by_mail.role) == ("new@example.org", "", None)
    assert world.mails[-1].to == "new@example.org"
    pending = (await world.invitations.pending_to_server(ada)).items
    assert pending == (link, other, by_mail)
    for caller in (ann, bot(ada, "manage")):
        async with refused(Code.PERMISSION_DENIED):
            await world.invitations.invite_to_server(caller)
        async with refused(Code.PERMISSION_DENIED):
            await world.invitations.pending_to_server(caller)
        async with refused(Code.PERMISSION_DENIED):
            await world.invitations.withdraw_from_server(caller, link.invitation_id)
    async with refused(Code.SECRET_INVALID):
        await world.invitations.accept_secret(ann, secret_in(url))
    await world.invitations.withdraw_from_server(ada, link.invitation_id)
    assert await opens(world, secret_in(url)) is False
    assert await opens(world, secret_in(other_url)) is True
    async with refused(Code.NOT_FOUND):
        await world.invitations.withdraw_from_server(ada, link.invitation_id)
    newcomer = await world.person("new", email="new@example.org")
    assert (await world.invitations.inbox(newcomer)).items == (), "an account has been made already"


async def test_the_server_bounds_its_invitations_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = await world.person("ada", administrator=True)
    monkeypatch.setattr(invitations_module, "MAX_SENT", 2)
    await world.invitations.invite_to_server(ada)
    await world.invitations.invite_to_server(ada)
    with pytest.raises(Throttled):
        await world.invitations.invite_to_server(ada)
    monkeypatch.undo()
    monkeypatch.setattr(invitations_module, "MAX_OPEN", 2)
    async with refused(Code.QUOTA_EXCEEDED):
        await world.invitations.invite_to_server(ada)
    assert len((await world.invitations.pending_to_server(ada)).items) == 2


async def test_signing_up_uses_an_invitation_up(world: World) -> None:
    ada, ann = await world.person("ada", administrator=True), await world.person("ann")
    document = await world.document(ann)
    _, url = await world.invitations.invite_to_server(ada)
    await world.invitations.invite(ann, document, "new@example.org", "editor")
    for secret, wanted in ((secret_in(url), None), (world.secret(), "editor")):
        newcomer = await world.person(new_id("new"))

        def job(connection: Any, secret: str = secret, newcomer: Caller = newcomer) -> Any:
            return consume(connection, secret, newcomer.account)

        assert await opens(world, secret) is True
        await world.run(job)
        assert await world.role(newcomer, document) == wanted
        assert await opens(world, secret) is False
        async with refused(Code.SECRET_INVALID):
            await world.run(job)


async def test_a_sign_up_that_fails_uses_nothing_up(world: World) -> None:
    ada = await world.person("ada", administrator=True)
    _, url = await world.invitations.invite_to_server(ada)

    def job(connection: Any) -> None:
        consume(connection, secret_in(url), "usr_new")
        raise CoscribeError(Code.HANDLE_TAKEN)

    async with refused(Code.HANDLE_TAKEN):
        await world.run(job)
    assert await opens(world, secret_in(url)) is True


async def opens(world: World, secret: str) -> bool:
    return await world.database.read(lambda connection: find_open_by_secret(connection, secret)) is not None
