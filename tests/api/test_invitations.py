"""Invitations by HTTP: by handle, by mail, in lists, to the server."""

from __future__ import annotations

import asyncio

import pytest

from tests.api.town import PASSWORD, Town

pytestmark = pytest.mark.slow


async def test_by_handle(town: Town) -> None:
    ann, bob = await town.person("ann"), await town.person("bob")
    document = await ann.document("Plan")
    path = f"/documents/{document}/invitations"
    sent = await ann.ask("POST", path, json={"who": "@bob", "role": "editor"})
    invitation = sent.json()
    assert sent.status_code == 201
    assert sent.headers["location"] == f"/api{path}/{invitation['invitationId']}"
    assert invitation["user"]["handle"] == "bob"
    assert (await ann.get(path))["items"] == [invitation] == (await bob.get("/invitations"))["items"]
    assert (invitation["documentName"], invitation["role"], invitation["inviter"]) == ("Plan", "editor", "Ann")
    accepted = await bob.post(f"/invitations/{invitation['invitationId']}/accept")
    assert accepted == {"documentId": document, "documentName": "Plan"}
    assert (await bob.get(f"/documents/{document}"))["role"] == "editor"
    await bob.refused("POST", f"/invitations/{invitation['invitationId']}/accept", "not_found")
    await ann.refused("POST", path, "conflict", json={"who": "bob", "role": "viewer"})


async def test_declined_and_withdrawn(town: Town) -> None:
    ann, bob = await town.person("ann"), await town.person("bob")
    document = await ann.document()
    path = f"/documents/{document}/invitations"
    one = await ann.post(path, {"who": "bob", "role": "viewer"}, 201)
    await bob.post(f"/invitations/{one['invitationId']}/decline", None, 204)
    two = await ann.post(path, {"who": bob.id, "role": "viewer"}, 201)
    await bob.refused("DELETE", f"{path}/{two['invitationId']}", "file_not_found")
    await ann.done("DELETE", f"{path}/{two['invitationId']}", 204)
    for invitation in (one, two):
        await bob.refused("POST", f"/invitations/{invitation['invitationId']}/accept", "not_found")
    assert await bob.get("/invitations") == {"items": [], "nextCursor": ""}


async def test_by_mail_once_whoever_holds_the_secret(town: Town) -> None:
    ann, bob, cem = await town.person("ann"), await town.person("bob"), await town.person("cem")
    document = await ann.document()
    made = await ann.post(f"/documents/{document}/invitations", {"who": "New@Example.org", "role": "viewer"}, 201)
    assert (made["email"], made["user"]) == ("new@example.org", None)
    secret = await town.secret_in_mail("new@example.org")
    assert secret not in str(made) and secret not in str(await ann.get(f"/documents/{document}/invitations"))
    tries = [person.ask("POST", "/invitations/open", json={"secret": secret}) for person in (bob, cem) * 3]
    answers = await asyncio.gather(*tries)
    assert sorted(answer.status_code for answer in answers) == [200, 410, 410, 410, 410, 410]
    await town.nobody().refused("POST", "/invitations/open", "sign_in_required", json={"secret": secret})
    await bob.refused("POST", f"/invitations/open?secret={secret}", "token_in_url", json={})


async def test_an_address_counts_when_it_is_verified(town: Town) -> None:
    ann, bob = await town.person("ann"), await town.person("bob", email="bob@example.org")
    document = await ann.document()
    await town.mailer.to("bob@example.org")
    verify = await town.secret_in_mail("bob@example.org")
    made = await ann.post(f"/documents/{document}/invitations", {"who": "bob@example.org", "role": "viewer"}, 201)
    assert (await bob.get("/invitations"))["items"] == []
    await bob.refused("POST", f"/invitations/{made['invitationId']}/accept", "not_found")
    await bob.post("/account/email/verify", {"secret": verify}, 204)
    assert [one["invitationId"] for one in (await bob.get("/invitations"))["items"]] == [made["invitationId"]]
    await bob.post(f"/invitations/{made['invitationId']}/accept")


async def test_an_answer_does_not_tell_whose_an_address_is(town: Town) -> None:
    ann = await town.person("ann")
    await town.verified("bob", "bob@example.org")
    document = await ann.document()
    path = f"/documents/{document}/invitations"
    known = await ann.post(path, {"who": "bob@example.org", "role": "viewer"}, 201)
    unknown = await ann.post(path, {"who": "eve@example.org", "role": "viewer"}, 201)
    own = ("invitationId", "email", "createdAt", "expiresAt")
    assert {**known, **dict.fromkeys(own)} == {**unknown, **dict.fromkeys(own)}


async def test_a_pasted_list(town: Town) -> None:
    ann = await town.person("ann")
    await town.person("bob")
    document = await ann.document()
    path = f"/documents/{document}/invitations/list"
    body = {"people": 'bob, "Eve, E." <eve@example.org>\nnobody; no address', "role": "viewer"}
    answer = await ann.post(path, body)
    assert [one["outcome"] for one in answer["items"]] == ["invited", "invited", "not_found", "invalid"]
    await ann.refused("POST", path, "invalid_request", json={"people": " ", "role": "viewer"})
    await ann.refused("POST", path, "invalid_request", json={"people": "x," * 501, "role": "viewer"})


async def test_too_many_say_when_to_come_back(town: Town) -> None:
    ann = await town.person("ann")
    document = await ann.document()
    people = ",".join(f"p{number}@example.org" for number in range(100))
    await ann.post(f"/documents/{document}/invitations/list", {"people": people, "role": "viewer"})
    body = {"who": "one-more@example.org", "role": "viewer"}
    refused = await ann.refused("POST", f"/documents/{document}/invitations", "too_many_requests", json=body)
    assert refused.status_code == 429 and 3_000 < int(refused.headers["retry-after"]) <= 3_600


async def test_to_the_server(town: Town) -> None:
    ada, ann = town.ada, await town.person("ann")
    await ann.refused("POST", "/admin/invitations", "permission_denied", json={})
    made = await ada.post("/admin/invitations", {}, 201)
    secret = made["url"].partition("#invitation=")[2]
    by_mail = await ada.post("/admin/invitations", {"email": "new@example.org"}, 201)
    assert (by_mail["url"], by_mail["email"], by_mail["documentId"]) == (None, "new@example.org", None)
    listed = (await ada.get("/admin/invitations"))["items"]
    assert [one["invitationId"] for one in listed] == [made["invitationId"], by_mail["invitationId"]]
    await ann.refused("POST", "/invitations/open", "secret_invalid", json={"secret": secret})
    account = {"handle": "new", "displayName": "New", "password": PASSWORD, "invitation": secret}
    await town.nobody().post("/accounts", account, 201)
    await town.nobody().refused("POST", "/accounts", "secret_invalid", json={**account, "handle": "newer"})
    await ada.done("DELETE", f"/admin/invitations/{by_mail['invitationId']}", 204)
    await ada.refused("DELETE", f"/admin/invitations/{by_mail['invitationId']}", "not_found")
    account["invitation"] = await town.secret_in_mail("new@example.org")
    await town.nobody().refused("POST", "/accounts", "secret_invalid", json={**account, "handle": "newer"})


async def test_who_signs_up_with_an_invitation_is_a_member(town: Town) -> None:
    ann = await town.person("ann")
    document = await ann.document()
    await ann.post(f"/documents/{document}/invitations", {"who": "new@example.org", "role": "editor"}, 201)
    new = await town.person("new", invitation=await town.secret_in_mail("new@example.org"))
    assert (await new.get(f"/documents/{document}"))["role"] == "editor"
