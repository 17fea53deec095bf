"""One's own account: profile, password, e-mail, data, the end of it."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select

from coscribe.persistence.schema import authors, last_cursors, users
from tests.api.sockets import Socket
from tests.api.town import PASSWORD, Town

pytestmark = pytest.mark.slow

NEW = "quite another horse battery"


async def test_the_profile_changes_where_it_is_as_it_was_read(town: Town) -> None:
    ben = await town.person("ben")
    answer = await ben.ask("GET", "/account")
    assert answer.json()["displayName"] == "Ben"
    stale = {"If-Match": answer.headers["etag"]}
    change = {"displayName": "Benjamin", "color": "#1864ab", "handle": "benjamin", "discoverable": False}
    changed = await ben.ask("PATCH", "/account", json=change, headers=stale)
    assert {name: changed.json()[name] for name in change} == change
    assert changed.headers["etag"] != stale["If-Match"]
    await ben.refused("PATCH", "/account", "precondition_failed", json={"displayName": "B"}, headers=stale)
    await ben.done("PATCH", "/account", 200, json={"displayName": "B"})
    assert (await ben.get("/account"))["handle"] == "benjamin"


async def test_a_handle_has_one_owner(town: Town) -> None:
    ben = await town.person("ben")
    await ben.refused("PATCH", "/account", "handle_taken", json={"handle": "ada"})
    for handle in ("ada", "admin", "root", "coscribe"):
        account = {"handle": handle, "displayName": "X", "password": PASSWORD}
        await town.nobody().refused("POST", "/accounts", "handle_taken", json=account)


async def test_before_it_is_verified_an_address_matches_nothing(town: Town) -> None:
    owner, ben = await town.person("cem"), await town.person("ben", email="ben@example.org")
    document = await owner.document()
    await owner.post(f"/documents/{document}/invitations", {"who": "ben@example.org", "role": "viewer"}, 201)
    assert (await ben.get("/account"))["email"] is None
    assert (await ben.get("/invitations"))["items"] == []
    assert (await owner.get("/users", params={"query": "ben@example.org"}))["items"] == []
    credentials = {"name": "ben@example.org", "password": PASSWORD}
    await town.nobody().refused("POST", "/session", "wrong_credentials", json=credentials)
    secret = (await town.mailer.to("ben@example.org", 2)).text  # the invitation came second
    assert "invitation=" in secret
    first = town.mailer.mails[0].text.partition("#verify=")[2].split()[0]
    await town.nobody().post("/account/email/verify", {"secret": first}, 204)
    assert (await ben.get("/account"))["email"] == "ben@example.org"
    assert len((await ben.get("/invitations"))["items"]) == 1
    assert [row["handle"] for row in (await owner.get("/users", params={"query": "ben@example.org"}))["items"]] == [
        "ben"
    ]
    await town.nobody().post("/session", credentials, 201)
    await town.nobody().refused("POST", "/account/email/verify", "secret_invalid", json={"secret": first})


async def test_an_address_belongs_to_whoever_verifies_it_first(town: Town) -> None:
    await town.person("ben", email="x@example.org")
    one = await town.secret_in_mail("x@example.org")
    await town.person("cem", email="x@example.org")
    other = await town.secret_in_mail("x@example.org", 2)
    await town.nobody().post("/account/email/verify", {"secret": other}, 204)
    await town.nobody().refused("POST", "/account/email/verify", "conflict", json={"secret": one})


async def test_a_new_address_takes_effect_when_its_link_is_opened(town: Town) -> None:
    ben = await town.verified("ben", "old@example.org")
    wanted = {"email": "new@example.org", "currentPassword": PASSWORD}
    await ben.refused("PUT", "/account/email", "wrong_credentials", json={**wanted, "currentPassword": "wrong"})
    await ben.refused("PUT", "/account/email", "reauthentication_required", json={"email": "new@example.org"})
    await ben.done("PUT", "/account/email", 202, json=wanted)
    superseded = await town.secret_in_mail("new@example.org")
    await ben.done("PUT", "/account/email", 202, json=wanted)
    account = await ben.get("/account")
    assert (account["email"], account["unverifiedEmail"]) == ("old@example.org", "new@example.org")
    await ben.refused("POST", "/account/email/verify", "secret_invalid", json={"secret": superseded})
    secret = await town.secret_in_mail("new@example.org", 2)
    await ben.post("/account/email/verify", {"secret": secret}, 204)
    account = await ben.get("/account")
    assert (account["email"], account["unverifiedEmail"]) == ("new@example.org", None)


async def test_a_password_is_reset_with_the_newest_link_once(town: Town) -> None:
    ben = await town.verified("ben", "ben@example.org")
    nobody = town.nobody()
    for _ in range(2):
        await nobody.post("/account/password/ask-reset", {"email": "Ben@Example.org"}, 202)
    secret = await town.secret_in_mail("ben@example.org", 3)
    earlier = town.mailer.mails[-2].text.partition("#reset=")[2].split()[0]
    reset = {"newPassword": NEW}
    await nobody.refused("POST", "/account/password/reset", "secret_invalid", json={**reset, "secret": earlier})
    common = {"secret": secret, "newPassword": "password123"}
    await nobody.refused("POST", "/account/password/reset", "password_refused", json=common)
    await nobody.post("/account/password/reset", {**reset, "secret": secret}, 204)
    await nobody.refused("POST", "/account/password/reset", "secret_invalid", json={**reset, "secret": secret})
    await ben.refused("GET", "/account", "authentication_failed")
    await nobody.refused("POST", "/session", "wrong_credentials", json={"name": "ben", "password": PASSWORD})
    await nobody.post("/session", {"name": "ben", "password": NEW}, 201)


async def test_changing_the_password_needs_the_present_one(town: Town) -> None:
    ben = await town.person("benjamin")
    for current, code in (("", "reauthentication_required"), ("wrong", "wrong_credentials")):
        wanted = {"currentPassword": current, "newPassword": NEW}
        await ben.refused("PUT", "/account/password", code, json=wanted)
    weak = {"currentPassword": PASSWORD, "newPassword": "benjamin-2026"}
    await ben.refused("PUT", "/account/password", "password_refused", json=weak)
    ben.use(await ben.done("PUT", "/account/password", 200, json={"currentPassword": PASSWORD, "newPassword": NEW}))
    assert (await ben.get("/account"))["handle"] == "benjamin"


async def test_an_export_has_everything_but_secrets(town: Town) -> None:
    ben = await town.verified("ben", "ben@example.org")
    document = await ben.document("Diary")
    token = await ben.post("/account/tokens", {"name": "bot", "scope": "read"}, 201)
    answer = await ben.ask("GET", "/account/export")
    assert answer.headers["content-disposition"] == 'attachment; filename="account.json"'
    export = answer.json()
    assert export["account"]["email"] == "ben@example.org"
    assert [row["workspace_id"] for row in export["documents"]] == [document]
    assert [row["token_id"] for row in export["tokens"]] == [token["tokenId"]]
    assert {"account.made", "document.made", "token.made"} <= {event["action"] for event in export["events"]}
    written = json.dumps(export)
    for secret in (token["secret"], ben.refresh_token, ben.access_token, PASSWORD, "argon2", "hash"):
        assert secret not in written


async def test_deleting_the_account_erases_the_person(town: Town) -> None:
    ben, cem = await town.verified("ben", "ben@example.org"), await town.person("cem")
    alone, shared = await ben.document("Alone", "a text"), await cem.document("Shared")
    await town.ada.done("PUT", f"/documents/{shared}/members/{ben.id}", 200, json={"role": "editor"})
    await ben.done("PUT", f"/documents/{shared}/content", 200, content=b"by ben", headers={"If-Match": '"v0"'})
    token = await ben.post("/account/tokens", {"name": "bot", "scope": "read"}, 201)
    socket = Socket(town)
    await socket.hello(ben.access_token)
    await ben.refused("POST", "/account/delete", "wrong_credentials", json={"currentPassword": "wrong"})
    await ben.post("/account/delete", {"currentPassword": PASSWORD}, 204)
    assert socket.closed is not None
    await ben.refused("GET", "/account", "authentication_failed")
    await town.with_token(token["secret"]).refused("GET", "/documents", "authentication_failed")
    credentials = {"name": "ben", "password": PASSWORD}
    await town.nobody().refused("POST", "/session", "wrong_credentials", json=credentials)
    assert (await cem.get(f"/documents/{shared}/content"))["text"] == "by ben"
    assert [row["handle"] for row in (await cem.get(f"/documents/{shared}/members"))["items"]] == ["cem"]
    await town.ada.refused("GET", f"/documents/{alone}", "file_not_found")
    people = town.coscribe.people.database
    assert await people.read(lambda c: c.execute(select(authors).where(authors.c.user_id == ben.id)).all()) == []
    row = await people.read(lambda c: c.execute(select(users).where(users.c.user_id == ben.id)).one())
    assert (row.status, row.email, row.password_hash, row.display_name) == ("deleted", None, None, "Deleted account")
    await town.person("ben")  # the handle is free again


async def test_where_somebody_was_in_a_file_is_exported_and_goes_with_the_account_or_the_file(town: Town) -> None:
    ben, cem = await town.person("ben"), await town.person("cem")
    files = [await cem.document(name, "a text") for name in ("One", "Two")]
    for file_id in files:
        await town.ada.done("PUT", f"/documents/{file_id}/members/{ben.id}", 200, json={"role": "viewer"})
        for who in (ben, cem):
            socket = Socket(town)
            await socket.hello(who.access_token)
            await socket.join(file_id)
            cursor = {"anchor": 1, "head": 2}
            socket.say(type="setPresence", fileId=file_id, documentVersion=1, cursor=cursor)
    await town.coscribe.collaboration.keep_cursors()
    kept = (await ben.get("/account/export"))["lastCursors"]
    assert [(one["file_id"], one["anchor"], one["head"]) for one in kept] == [(file_id, 1, 2) for file_id in files]
    socket = Socket(town)
    await socket.hello(ben.access_token)
    await socket.join(files[1])
    socket.say(type="setPresence", fileId=files[1], documentVersion=1, cursor={"anchor": 2, "head": 2})
    await ben.post("/account/delete", {"currentPassword": PASSWORD}, 204)
    await town.coscribe.collaboration.keep_cursors()  # what waited to be written does not come back
    await cem.post(f"/documents/{files[0]}/trash")
    await cem.done("DELETE", f"/documents/{files[0]}", 204)
    await town.coscribe.people.services.documents.purge()
    people = town.coscribe.people.database
    assert len(await people.read(lambda c: c.execute(select(last_cursors)).all())) == 1
    assert [one["file_id"] for one in (await cem.get("/account/export"))["lastCursors"]] == files[1:]


async def test_the_last_owner_of_what_others_use_cannot_go(town: Town) -> None:
    ben, cem = await town.person("ben"), await town.person("cem")
    document = await ben.document("Plan")
    await town.ada.done("PUT", f"/documents/{document}/members/{cem.id}", 200, json={"role": "viewer"})
    refused = await ben.refused("POST", "/account/delete", "last_owner", json={"currentPassword": PASSWORD})
    assert "Plan" in refused.json()["detail"]
    await ben.post(f"/documents/{document}/transfer", {"to": cem.id, "role": "viewer"})
    await ben.post("/account/delete", {"currentPassword": PASSWORD}, 204)


async def test_the_last_administrator_stays(town: Town) -> None:
    ada = town.ada
    await ada.refused("POST", "/account/delete", "conflict", json={"currentPassword": PASSWORD})
    for change in ({"administrator": False}, {"locked": True}):
        await ada.refused("PATCH", f"/admin/users/{ada.id}", "conflict", json=change)
    ben = await town.person("ben")
    await ada.done("PATCH", f"/admin/users/{ben.id}", 200, json={"administrator": True})
    await ada.post("/account/delete", {"currentPassword": PASSWORD}, 204)
    assert (await ben.get("/admin/users"))["items"][0]["handle"] == "ben"
