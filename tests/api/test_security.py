"""Attacks, each line of docs/security.md that no other file shows."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import warnings
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from sqlalchemy import select, text

from coscribe.access import events
from coscribe.access.keys import AUDIENCE, ISSUER, SKEW, TYPE
from coscribe.api.app import BODY_BYTES
from coscribe.config import Settings
from coscribe.persistence.schema import signing_keys
from tests.api.sockets import Socket
from tests.api.test_session import in_a_browser
from tests.api.town import BASE, PASSWORD, SECRET, Person, Town, open_town
from tests.e2e.server_process import ServerProcess
from tests.migrated import dumped

pytestmark = pytest.mark.slow

NEW = "quite another horse battery"


def without_id(answer: httpx.Response) -> dict[str, Any]:
    return {**answer.json(), "instance": ""}


# ---- who has an account


async def test_signing_in_does_not_tell_whether_there_is_an_account(town: Town) -> None:
    await town.verified("ben", "ben@example.org")
    names = ("ben", "ben@example.org", "nobody-here", "nobody@example.org")
    answers = [
        await town.nobody().refused("POST", "/session", "wrong_credentials", json={"name": name, "password": "wrong"})
        for name in names
    ]
    assert all(without_id(answer) == without_id(answers[0]) for answer in answers)
    assert all(answer.headers.keys() == answers[0].headers.keys() for answer in answers)


async def test_a_locked_account_is_told_to_nobody_without_its_password(town: Town) -> None:
    ben = await town.person("ben")
    await town.ada.done("PATCH", f"/admin/users/{ben.id}", 200, json={"locked": True})
    nobody = town.nobody()
    await nobody.refused("POST", "/session", "wrong_credentials", json={"name": "ben", "password": "wrong"})
    await nobody.refused("POST", "/session", "account_locked", json={"name": "ben", "password": PASSWORD})


async def test_signing_up_does_not_tell_whether_an_address_has_an_account(town: Town) -> None:
    await town.verified("ben", "ben@example.org")
    for handle, email in (("eve", "ben@example.org"), ("eva", "new@example.org")):
        account = {"handle": handle, "displayName": "Eve", "password": PASSWORD, "email": email}
        begun = await town.nobody().ask("POST", "/accounts", json=account)
        own = await town.with_token(begun.json()["accessToken"]).get("/account")
        assert (begun.status_code, own["email"], own["unverifiedEmail"]) == (201, None, email)


async def test_asking_for_a_reset_does_not_tell_whether_an_address_has_an_account(town: Town) -> None:
    await town.verified("ben", "ben@example.org")
    await town.person("cem", email="unverified@example.org")
    await town.mailer.to("unverified@example.org")
    sent = len(town.mailer.mails)
    answers = [
        await town.nobody().ask("POST", "/account/password/ask-reset", json={"email": email})
        for email in ("ben@example.org", "nobody@example.org", "unverified@example.org")
    ]
    assert {(answer.status_code, answer.text) for answer in answers} == {(202, answers[0].text)}
    await town.mailer.to("ben@example.org", 2)
    assert len(town.mailer.mails) == sent + 1


# ---- guessing


async def test_guessing_is_slowed_down_and_the_owner_elsewhere_gets_in(town: Town) -> None:
    await town.person("ben")
    guesser, wrong = town.nobody("192.0.2.1"), {"name": "ben", "password": "wrong"}
    for _ in range(5):
        await guesser.refused("POST", "/session", "wrong_credentials", json=wrong)
    await guesser.refused("POST", "/session", "wrong_credentials", json=wrong)
    paused = await guesser.refused("POST", "/session", "too_many_requests", json=wrong)
    assert (paused.status_code, int(paused.headers["retry-after"]) >= 1) == (429, True)
    right = {"name": "ben", "password": PASSWORD}
    await guesser.refused("POST", "/session", "too_many_requests", json=right)
    await town.nobody("192.0.2.2").post("/session", right, 201)


async def test_the_present_password_cannot_be_guessed_with_a_stolen_session(town: Town) -> None:
    ben = await town.person("ben")
    guess = {"currentPassword": "wrong", "newPassword": NEW}
    for _ in range(6):
        await ben.refused("PUT", "/account/password", "wrong_credentials", json=guess)
    await ben.refused("PUT", "/account/password", "too_many_requests", json={**guess, "currentPassword": PASSWORD})
    await ben.refused("POST", "/account/delete", "too_many_requests", json={"currentPassword": PASSWORD})


# ---- sessions and cookies


async def test_a_session_that_was_planted_is_not_taken_over(town: Town) -> None:
    """Fixation: signing in makes a new secret and id, whatever cookie was there."""
    await town.person("ben")
    eve = await in_a_browser(town, "ada")
    planted = eve.client.cookies["coscribe-loopback"]
    victim = town.nobody()
    victim.client.cookies.set("coscribe-loopback", planted, domain="127.0.0.1", path="/")
    begun = await victim.post("/session", {"name": "ben", "password": PASSWORD, "cookie": True}, 201)
    assert begun["sessionId"] != eve.session_id
    assert planted not in [cookie.value for cookie in victim.client.cookies.jar]
    assert (await victim.get("/session"))["userId"] == begun["userId"]
    await eve.refused("GET", "/account", "session_ended")


async def test_the_cookie_is_this_hosts_and_out_of_reach_of_scripts(tmp_path: Path) -> None:
    async with open_town(tmp_path, public_url="https://notes.example") as town:
        signed_in = await town.nobody().ask(
            "POST", "/session", json={"name": "ada", "password": PASSWORD, "cookie": True}
        )
    parts = [part.strip() for part in signed_in.headers["set-cookie"].split(";")]
    assert parts[0].startswith("__Host-coscribe=csb_")
    assert {"HttpOnly", "Path=/", "SameSite=lax", "Secure"} <= set(parts)
    assert not any(part.lower().startswith("domain") for part in parts)


async def test_over_tls_the_cookie_of_loopback_opens_nothing(tmp_path: Path) -> None:
    async with open_town(tmp_path, public_url="https://notes.example") as town:
        signed_in = await town.nobody().ask(
            "POST", "/session", json={"name": "ada", "password": PASSWORD, "cookie": True}
        )
        secret = signed_in.headers["set-cookie"].split(";")[0].partition("=")[2]
        for name, kind in (("coscribe-loopback", "nobody"), ("__Host-coscribe", "session")):
            who = await town.nobody().get("/session", headers={"Cookie": f"{name}={secret}"})
            assert who["kind"] == kind


async def test_a_password_change_ends_every_session_and_socket_at_once(town: Town) -> None:
    ben = await town.person("ben")
    browser, sockets = await in_a_browser(town, "ben"), [Socket(town), Socket(town)]
    await sockets[0].hello(ben.access_token)
    await sockets[1].hello((await browser.post("/session/access-token"))["accessToken"])
    change = {"currentPassword": PASSWORD, "newPassword": NEW, "cookie": True}
    await browser.done("PUT", "/account/password", 200, json=change)
    assert all(one.closed is not None for one in sockets)
    await ben.refused("GET", "/account", "authentication_failed")
    await ben.refused("POST", "/session/refresh", "authentication_failed", json={"refreshToken": ben.refresh_token})
    assert (await browser.get("/account"))["handle"] == "ben"


async def test_a_locked_account_is_out_at_once(town: Town) -> None:
    ben = await town.person("ben")
    browser, one = await in_a_browser(town, "ben"), Socket(town)
    await one.hello(ben.access_token)
    await town.ada.done("PATCH", f"/admin/users/{ben.id}", 200, json={"locked": True})
    assert one.closed is not None
    await ben.refused("GET", "/account", "authentication_failed")
    await browser.refused("GET", "/account", "session_ended")
    await ben.refused("POST", "/session/refresh", "authentication_failed", json={"refreshToken": ben.refresh_token})
    await town.ada.done("PATCH", f"/admin/users/{ben.id}", 200, json={"locked": False})
    await ben.refused("GET", "/account", "authentication_failed")


# ---- tokens that are not ours


@pytest.fixture
async def ben(town: Town) -> Person:
    return await town.person("ben")


def forged(claims: dict[str, Any], key: bytes, key_id: str | None, algorithm: str = "HS256", typ: str = TYPE) -> str:
    headers = {"typ": typ} | ({"kid": key_id} if key_id is not None else {})
    with warnings.catch_warnings(action="ignore"):  # of a key that is too short
        return jwt.encode(claims, key, algorithm, headers)


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: str = "") -> str:
    parts = [urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims)]
    return ".".join([*parts, signature])


async def test_forged_access_tokens_are_refused(town: Town, ben: Person) -> None:
    keys = town.coscribe.people.keys
    good = jwt.decode(ben.access_token, options={"verify_signature": False})
    key_id = jwt.get_unverified_header(ben.access_token)["kid"]
    key = keys.derive(f"access:{key_id}")
    assert (await town.with_token(forged(good, key, key_id)).get("/account"))["handle"] == "ben"
    header = {"alg": "HS256", "typ": TYPE, "kid": key_id}
    signature = ben.access_token.rpartition(".")[2]
    tokens = {
        "no algorithm": unsigned({**header, "alg": "none"}, good),
        "no algorithm, old signature": unsigned({**header, "alg": "none"}, good, signature),
        "no algorithm, other case": unsigned({**header, "alg": "NoNe"}, good),
        "no algorithm, no key": unsigned({"alg": "none", "typ": "JWT"}, {**good, "aud": "coscribe", "role": "owner"}),
        "another algorithm": forged(good, key, key_id, "HS512"),
        "an algorithm with public keys": unsigned({**header, "alg": "RS256"}, good, signature),
        "the key's id as the key": forged(good, key_id.encode(), key_id),
        "no key as the key": forged(good, b"\0" * 32, key_id),
        "a key of its own in the header": unsigned({**header, "jwk": {"kty": "oct", "k": "AAAA"}}, good, signature),
        "the folder's key": forged(good, SECRET.encode(), key_id),
        "the folder's key, no id": forged(good, SECRET.encode(), None),
        "an unknown key": forged(good, keys.derive("access:unknown"), "unknown"),
        "an id that is a path": forged(good, key, "../../token.key"),
        "an id that is no text": unsigned({**header, "kid": 7}, good, signature),
        "another type": forged(good, key, key_id, typ="JWT"),
        "the old signature": unsigned(header, {**good, "sub": town.ada.id}, signature),
        "no signature": ".".join([*ben.access_token.split(".")[:2], ""]),
        "two parts": ben.access_token.rpartition(".")[0],
        "not a token": "a.b.c",
    }
    for why, token in tokens.items():
        answer = await town.with_token(token).ask("GET", "/account")
        assert (answer.status_code, answer.json()["code"]) == (401, "authentication_failed"), why


async def test_claims_are_compared_with_what_they_must_be(town: Town, ben: Person) -> None:
    keys = town.coscribe.people.keys
    good = jwt.decode(ben.access_token, options={"verify_signature": False})
    key_id = jwt.get_unverified_header(ben.access_token)["kid"]
    ada = jwt.decode(town.ada.access_token, options={"verify_signature": False})
    wrong: list[dict[str, Any]] = [
        {"iss": "somebody else"},
        {"iss": None},
        {"aud": "coscribe"},
        {"aud": [AUDIENCE]},
        {"aud": None},
        {"exp": good["iat"]},
        {"exp": str(good["exp"])},
        {"exp": float(good["exp"])},
        {"exp": None},
        {"exp": True},
        {"iat": good["iat"] + 3 * SKEW},
        {"iat": None},
        {"kind": "folder"},
        {"kind": "link"},
        {"kind": ["session"]},
        {"kind": None},
        {"sub": town.ada.id},
        {"sub": ""},
        {"sub": None},
        {"sub": {"$ne": ""}},
        {"cid": "ses_unknown"},
        {"cid": ada["cid"]},
        {"cid": 7},
        {"cid": "x" * 200},
    ]
    for change in wrong:
        claims = {name: value for name, value in {**good, **change}.items() if value is not None}
        token = jwt.encode(claims, keys.derive(f"access:{key_id}"), "HS256", {"kid": key_id, "typ": TYPE})
        answer = await town.with_token(token).ask("GET", "/account")
        assert (answer.status_code, answer.json()["code"]) == (401, "authentication_failed"), change
    assert good["iss"] == ISSUER


async def test_keys_rotate_and_a_retired_one_signs_nothing_new(town: Town, ben: Person) -> None:
    keys = town.coscribe.people.keys
    before = jwt.get_unverified_header(ben.access_token)["kid"]
    good = jwt.decode(ben.access_token, options={"verify_signature": False})
    made = (await town.ada.post("/admin/signing-keys", status=201))["keyId"]
    assert (await ben.get("/account"))["handle"] == "ben"
    renewed = await town.nobody().post("/session/refresh", {"refreshToken": ben.refresh_token})
    assert jwt.get_unverified_header(renewed["accessToken"])["kid"] == made != before
    retired = keys._retired[before]
    assert retired is not None
    keys._retired[before] = retired - 10 * SKEW * 1_000_000
    await town.with_token(forged(good, keys.derive(f"access:{before}"), before)).refused(
        "GET", "/account", "authentication_failed"
    )
    rows = await town.coscribe.people.database.read(lambda c: c.execute(select(signing_keys)).mappings().all())
    key = keys.derive(f"access:{made}")
    assert all(key not in str(dict(row)).encode() and key.hex() not in str(dict(row)) for row in rows)


# ---- other people's pages


async def test_a_page_of_somebody_else_changes_nothing(town: Town) -> None:
    """CSRF: no token, a wrong one, another session's, another origin, another site."""
    ben, other = await town.person("ben"), await in_a_browser(town, "ada")
    browser = await in_a_browser(town, "ben")
    mine = browser.client.headers.pop("X-CSRF-Token")
    theirs = other.client.headers["X-CSRF-Token"]
    wanted = {"name": "X"}
    refused: list[dict[str, str]] = [
        {},
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "wrong"},
        {"X-CSRF-Token": "ü" * 3},
        {"X-CSRF-Token": theirs},
        {"X-CSRF-Token": mine, "Origin": "https://evil.example"},
        {"X-CSRF-Token": mine, "Origin": "null"},
        {"X-CSRF-Token": mine, "Origin": f"{BASE}.evil.example"},
        {"X-CSRF-Token": mine, "Origin": BASE.replace("8777", "8778")},
        {"X-CSRF-Token": mine, "Sec-Fetch-Site": "cross-site"},
    ]
    for headers in refused:
        encoded = {name: value.encode() for name, value in headers.items()}
        await browser.refused("POST", "/documents", "csrf_failed", json=wanted, headers=encoded)
        await browser.refused("DELETE", "/session", "csrf_failed", headers=encoded)
    good = {"X-CSRF-Token": mine, "Origin": BASE, "Sec-Fetch-Site": "same-origin"}
    await browser.done("POST", "/documents", 201, json=wanted, headers=good)
    assert len((await ben.get("/documents"))["items"]) == 1


async def test_a_page_of_another_origin_cannot_sign_anybody_in(town: Town) -> None:
    """Login CSRF: the victim would work in the attacker's account."""
    body = {"name": "ada", "password": PASSWORD, "cookie": True}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        await town.nobody().refused("POST", "/session", "csrf_failed", json=body, headers=headers)


async def test_a_form_of_another_page_is_no_request(town: Town) -> None:
    """What a form can send without asking first (text/plain, urlencoded) is not taken for JSON."""
    ben = await town.person("ben")
    body = json.dumps({"name": "X"}).encode()
    for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        answer = await ben.ask("POST", "/documents", content=body, headers={"Content-Type": media})
        assert answer.status_code in (415, 422), media
    assert (await ben.get("/documents"))["items"] == []


async def test_reading_by_cookie_is_not_for_other_origins(town: Town) -> None:
    """No CORS: another page may send a GET with our cookie where browsers let it, and sees nothing of the answer."""
    await town.person("ben")
    browser = await in_a_browser(town, "ben")
    answer = await browser.ask("GET", "/account", headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    preflight = await browser.ask(
        "OPTIONS",
        "/documents",
        headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
    )
    assert preflight.status_code == 405


# ---- addresses


async def test_a_token_in_an_address_is_refused(town: Town, ben: Person) -> None:
    made = await ben.post("/account/tokens", {"name": "bot", "scope": "read"}, 201)
    for query in (
        f"token={made['secret']}",
        f"access_token={ben.access_token}",
        f"x={made['secret']}",
        f"x={ben.access_token}",
        f"q=1&{'%74oken'}=x",
        f"x={ben.refresh_token.replace('_', '%5F')}",
        "Password=x",
    ):
        await town.nobody().refused("GET", f"/documents?{query}", "token_in_url")
        await ben.refused("GET", f"/documents?{query}", "token_in_url")


async def test_secrets_of_links_are_in_the_fragment(town: Town) -> None:
    """Which browsers send to nobody; and each has 128 bits at least."""
    ben = await town.verified("ben", "ben@example.org")
    document = await ben.document()
    await town.nobody().post("/account/password/ask-reset", {"email": "ben@example.org"}, 202)
    await ben.post(f"/documents/{document}/invitations", {"who": "x@example.org", "role": "viewer"}, 201)
    link = await ben.post(f"/documents/{document}/links", {"role": "viewer"}, 201)
    invitation = await town.ada.post("/admin/invitations", {}, 201)
    await town.mailer.to("ben@example.org", 2)
    await town.mailer.to("x@example.org")
    said = " ".join([*(mail.text for mail in town.mailer.mails), link["url"], invitation["url"]])
    found = [word for word in said.split() if word.startswith(BASE) and "#" in word]
    assert len(found) == 5
    for url in found:
        address, _, fragment = url.partition("#")
        assert address == f"{BASE}/"
        assert len(fragment.partition("=")[2]) >= 4 + 43


# ---- what others own


async def test_fields_that_are_not_offered_cannot_be_set(town: Town) -> None:
    """Mass assignment."""
    account = {"handle": "eve", "displayName": "Eve", "password": PASSWORD}
    for name, value in (("isAdmin", True), ("is_admin", True), ("administrator", True), ("userId", "usr_1")):
        await town.nobody().refused("POST", "/accounts", "invalid_request", json={**account, name: value})
    eve = await town.person("eve")
    for change in ({"administrator": True}, {"email": "ada@example.org"}, {"userId": town.ada.id}, {"revision": 9}):
        await eve.refused("PATCH", "/account", "invalid_request", json=change)
    for more in ({"createdBy": town.ada.id}, {"documentId": "doc_1"}, {"status": "deleted"}):
        await eve.refused("POST", "/documents", "invalid_request", json={"name": "X", **more})
    wanted = {"name": "bot", "scope": "read"}
    for extra in ({"userId": town.ada.id}, {"expiresAt": "2999-01-01T00:00:00Z"}, {"secret": "cst_x"}):
        await eve.refused("POST", "/account/tokens", "invalid_request", json={**wanted, **extra})
    for days in (0, -1, 10**9, 10**400, "9", 1.5, None, True):
        await eve.refused("POST", "/account/tokens", "invalid_request", json={**wanted, "days": days})
    assert (await eve.get("/account"))["administrator"] is False


async def test_ids_of_others_open_nothing(town: Town) -> None:
    """Every kind of id, by somebody else who is signed in: as if there were no such thing."""
    ben, eve = await town.person("ben"), await town.person("eve")
    document, own = await ben.document(), await eve.document()
    token = (await ben.post("/account/tokens", {"name": "bot", "scope": "read"}, 201))["tokenId"]
    group = (await ben.post("/groups", {"name": "Choir"}, 201))["groupId"]
    link = (await ben.post(f"/documents/{document}/links", {"role": "viewer"}, 201))["linkId"]
    invitation = (await ben.post(f"/documents/{document}/invitations", {"who": "ada", "role": "viewer"}, 201))[
        "invitationId"
    ]
    server = (await town.ada.post("/admin/invitations", {}, 201))["invitationId"]
    await town.ada.done("PUT", f"/documents/{document}/members/{town.ada.id}", 200, json={"role": "viewer"})
    asked = [
        ("DELETE", f"/sessions/{ben.session_id}", "not_found", None),
        ("GET", f"/account/tokens/{token}", "not_found", None),
        ("DELETE", f"/account/tokens/{token}", "not_found", None),
        ("GET", f"/groups/{group}", "not_found", None),
        ("GET", f"/groups/{group}/members", "not_found", None),
        ("POST", f"/groups/{group}/members", "not_found", {"who": "eve"}),
        ("DELETE", f"/groups/{group}", "not_found", None),
        ("POST", f"/invitations/{invitation}/accept", "not_found", None),
        ("POST", f"/invitations/{invitation}/decline", "not_found", None),
        ("POST", f"/invitations/{server}/accept", "not_found", None),
        # Through a document of one's own.
        ("DELETE", f"/documents/{own}/links/{link}", "not_found", None),
        ("DELETE", f"/documents/{own}/invitations/{invitation}", "not_found", None),
        ("DELETE", f"/documents/{own}/members/{ben.id}", "not_found", None),
        ("DELETE", f"/documents/{own}/bans/{ben.id}", "not_found", None),
        ("GET", f"/documents/{document}", "file_not_found", None),
        ("GET", f"/documents/{document}/content", "file_not_found", None),
        ("GET", f"/documents/{document}/events", "file_not_found", None),
        ("GET", f"/admin/users/{ben.id}", "permission_denied", None),
    ]
    for method, path, code, body in asked:
        await eve.refused(method, path, code, json=body)
    one = Socket(town)
    await one.hello(eve.access_token)
    one.say(type="join", fileId=document)
    assert (await one.hear("error"))["code"] == "file_not_found"
    assert (await ben.get(f"/documents/{document}/links"))["items"] != []
    assert (await ben.get(f"/account/tokens/{token}"))["revokedAt"] is None


# ---- the audit


async def test_access_events_cannot_be_edited(town: Town) -> None:
    """The database itself refuses; and where somebody takes its triggers away, the chain shows what was changed."""
    await (await town.person("ben")).document()
    database = town.coscribe.people.database
    assert await database.read(lambda connection: list(events.check(connection))) == []
    for statement in ("UPDATE access_events SET actor = 'nobody'", "DELETE FROM access_events"):
        with pytest.raises(Exception, match="append-only"):
            await database.write(lambda connection, statement=statement: connection.execute(text(statement)))  # type: ignore[misc]  # the default binds the loop's value

    def forge(connection: Any) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(text("ALTER TABLE access_events DISABLE TRIGGER USER"))
        else:
            connection.execute(text("DROP TRIGGER access_events_no_update"))
        connection.execute(text("UPDATE access_events SET actor = 'nobody' WHERE event_id = 2"))

    await database.write(forge)
    assert await database.read(lambda connection: list(events.check(connection))) == [2]


async def test_what_is_refused_is_in_the_audit(town: Town) -> None:
    ben, eve = await town.person("ben"), await town.person("eve")
    document = await ben.document()
    await eve.refused("PUT", f"/documents/{document}/members/{eve.id}", "file_not_found", json={"role": "owner"})
    await town.nobody().refused("POST", "/session", "wrong_credentials", json={"name": "ben", "password": "wrong"})
    found = (await town.ada.get("/admin/events"))["items"]
    seen = {(event["action"], event["actor"], event["outcome"]) for event in found}
    assert ("manage_members", eve.id, "file_not_found") in seen
    assert ("session.refused", ben.id, "wrong_credentials") in seen


# ---- what is kept, printed and told


async def everything_secret(town: Town) -> list[str]:
    """Makes one of every secret there is."""
    ben = await town.verified("ben", "ben@example.org")
    browser, document = await in_a_browser(town, "ben"), await ben.document()
    nobody = town.nobody()
    await nobody.post("/account/password/ask-reset", {"email": "ben@example.org"}, 202)
    await ben.post(f"/documents/{document}/invitations", {"who": "x@example.org", "role": "viewer"}, 201)
    keys = [{"Idempotency-Key": f"k{number}"} for number in range(2)]
    wanted = {"name": "bot", "scope": "read"}
    token = await ben.done("POST", "/account/tokens", 201, json=wanted, headers=keys[0])
    link = await ben.done("POST", f"/documents/{document}/links", 201, json={"role": "viewer"}, headers=keys[1])
    invitation = await town.ada.done("POST", "/admin/invitations", 201, json={}, headers=keys[0])
    renewed = await nobody.post("/session/refresh", {"refreshToken": ben.refresh_token})
    secret = link["url"].partition("#link=")[2]
    guest = await nobody.post("/links/open", {"secret": secret})
    await nobody.refused("POST", "/session", "wrong_credentials", json={"name": "ben", "password": "a wrong guess"})
    mailed = [await town.secret_in_mail("ben@example.org", 2), await town.secret_in_mail("x@example.org")]
    mailed += [mail.text.partition("#verify=")[2].split()[0] for mail in town.mailer.mails if "#verify=" in mail.text]
    return [
        PASSWORD,
        "a wrong guess",
        SECRET,
        browser.client.cookies["coscribe-loopback"],
        ben.access_token,
        ben.refresh_token,
        renewed["accessToken"],
        renewed["refreshToken"],
        token["secret"],
        secret,
        guest["accessToken"],
        invitation["url"].partition("#invitation=")[2],
        *mailed,
    ]


async def test_no_secret_is_in_the_database(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        secrets = await everything_secret(town)
        kept = dumped(town.coscribe.settings.where)
    kept += b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"ben@example.org" in kept
    assert len(secrets) == 15
    # The kind before a secret is no secret ("rst_..."); a signed token has none, though it may hold a "_" anywhere.
    bare = [re.sub("^[a-z]+_", "", secret) for secret in secrets]
    assert min(map(len, bare)) >= 10
    assert [secret for secret in bare if secret.encode() in kept] == []


async def test_nothing_secret_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with open_town(tmp_path) as town:
        secrets = await everything_secret(town)
    printed = "".join(capfd.readouterr())
    assert [secret for secret in secrets if secret in printed] == []


async def test_an_error_within_tells_nothing(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("/var/lib/secret path")

    ben = await town.person("ben")
    monkeypatch.setattr(town.coscribe.people.services.accounts, "get", broken)
    answer = await ben.ask("GET", "/account")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret path" not in answer.text
    assert "Traceback" not in answer.text


async def test_every_answer_has_the_headers_that_protect(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError

    ben = await town.person("ben")
    answers = [
        await ben.ask("GET", "/account"),
        await town.nobody().ask("GET", "/account"),
        await ben.ask("GET", "/nothing"),
        await ben.ask("TRACE", "/account"),
        await ben.ask("GET", "/documents?token=x"),
        await ben.ask("GET", "/account/tokens/%0A"),
    ]
    monkeypatch.setattr(town.coscribe.people.services.accounts, "get", broken)
    answers.append(await ben.ask("GET", "/account"))
    assert [answer.status_code for answer in answers] == [200, 401, 404, 405, 400, 404, 500]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert len(answer.headers["x-request-id"]) == 16
        assert "server" not in answer.headers


# ---- bodies and headers


async def test_bodies_are_bounded(town: Town, ben: Person) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(BODY_BYTES // 10_000 + 2):
            yield b"x" * 10_000

    large = b"x" * (BODY_BYTES + 1)
    for content in (large, endless()):
        refused = await ben.refused("POST", "/documents", "request_too_large", content=content)
        assert refused.status_code == 413
    await town.nobody().refused("POST", "/session", "request_too_large", content=large)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b'{"name": "\\ud800"}',
        b'{"name": "a\\u0000b"}',
        b'{"name": NaN}',
        b'{"name": 1' + b"0" * 5_000 + b"}",
        b"[" * 200_000,
        b'{"name": "\xff\xfe"}',
        b'{"name": "a", "name": {}}',
        b'{"__proto__": {}, "name": "x"}',
    ],
    ids=lambda body: repr(body[:20]),
)
async def test_bodies_that_are_no_request(ben: Person, body: bytes) -> None:
    answer = await ben.ask("POST", "/documents", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["code"] in ("malformed_json", "invalid_request")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The real thing, as `coscribe serve` runs it."""
    server = ServerProcess(tmp_path_factory.mktemp("served"))
    server.start()
    yield server
    server.stop()


def said_to(server: ServerProcess, request: bytes) -> bytes:
    """Everything that is answered to some bytes, until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as peer:
        peer.sendall(request)
        peer.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: peer.recv(65_536), b""))


SMUGGLED = b"GET /api/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 0\r\nContent-Length: %d\r\n" % len(SMUGGLED),
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Content-Length: +%d\r\n" % len(SMUGGLED),
        b"Content-Length : 0\r\n",
    ],
    ids=lambda headers: headers[:45].decode().strip(),
)
@pytest.mark.slow
def test_a_request_cannot_hide_another(served: ServerProcess, headers: bytes) -> None:
    """What two parties could read differently is refused, and the connection closed: no second answer."""
    answer = said_to(served, b"POST /api/session HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n" + SMUGGLED)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.slow
def test_who_is_no_proxy_is_not_believed(served: ServerProcess) -> None:
    """Forwarded addresses, hosts and methods, unless a proxy was named."""
    operator = {"Authorization": f"Bearer {served.token('operator', 'owner')}"}
    claimed = {
        "X-Forwarded-For": "192.0.2.99",
        "X-Forwarded-Proto": "https",
        "Forwarded": "for=192.0.2.99",
        "X-Real-IP": "192.0.2.99",
        "X-HTTP-Method-Override": "GET",
        "X-Original-URL": "/api/admin/users",
    }
    with httpx.Client(base_url=served.http) as client:
        for _ in range(2):
            refused = client.post("/api/account/delete", headers=claimed, json={})
            assert refused.json()["code"] == "sign_in_required"
        seen = client.get("/api/admin/events", headers=operator).json()["items"]
        assert {event["address"] for event in seen} == {"127.0.0.1"}


@pytest.mark.slow
def test_before_it_is_set_up_a_server_lets_nobody_in(served: ServerProcess) -> None:
    """No default password, no sign-up, no first come first served."""
    account = {"handle": "eve", "displayName": "Eve", "password": PASSWORD}
    with httpx.Client(base_url=served.http) as client:
        assert client.get("/api/server").json()["needsSetup"] is True
        assert client.post("/api/accounts", json=account).json()["code"] == "setup_required"
        assert client.post("/api/setup", json={**account, "secret": "csf_guess"}).json()["code"] == "secret_invalid"
        for name in ("admin", "root", "administrator", "coscribe"):
            for password in ("admin", "password", "coscribe", name):
                refused = client.post("/api/session", json={"name": name, "password": password})
                assert refused.status_code in (401, 429)


# ---- setting up


async def test_the_setup_link_works_once_and_only_before_there_is_an_administrator(town: Town) -> None:
    assert await town.coscribe.setup_link() is None
    await town.ada.refused("POST", "/admin/setup-link", "conflict")
    account = {"handle": "eve", "displayName": "Eve", "password": PASSWORD, "secret": "csf_guess"}
    await town.nobody().refused("POST", "/setup", "secret_invalid", json=account)


async def test_a_newer_setup_link_replaces_the_one_before(tmp_path: Path) -> None:
    from coscribe.app import Coscribe
    from tests.api.town import CHEAP, KeepingMailer

    coscribe = Coscribe(Settings(folder=tmp_path, public_url=BASE), mailer=KeepingMailer(), hasher=CHEAP)
    async with coscribe.running():
        town = Town(coscribe, KeepingMailer())
        older, newer = [str(await coscribe.setup_link()).partition("#setup=")[2] for _ in range(2)]
        account = {"handle": "eve", "displayName": "Eve", "password": PASSWORD}
        nobody = town.nobody()
        await nobody.refused("POST", "/accounts", "setup_required", json=account)
        await nobody.refused("POST", "/setup", "secret_invalid", json={**account, "secret": older})
        await nobody.post("/setup", {**account, "secret": newer}, 201)
        await nobody.refused("POST", "/setup", "secret_invalid", json={**account, "handle": "x1", "secret": newer})
        for client in town.clients:
            await client.aclose()


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({"host": "127.0.0.1"}, False),
        ({"host": "::1"}, False),
        ({"host": "localhost"}, False),
        ({"host": "0.0.0.0"}, True),
        ({"host": "::"}, True),
        ({"host": "192.0.2.1"}, True),
        ({"host": "notes.example"}, True),
        ({"host": "0.0.0.0", "public_url": "https://notes.example"}, True),
        ({"host": "0.0.0.0", "tls_certificate": "c"}, True),
        ({"host": "0.0.0.0", "tls_certificate": "c", "tls_key": "k"}, False),
        ({"host": "0.0.0.0", "trusted_proxies": ("10.0.0.1",)}, True),
        ({"host": "127.0.0.1", "trusted_proxies": ("10.0.0.1",), "public_url": "http://notes.example"}, True),
        ({"host": "0.0.0.0", "trusted_proxies": ("10.0.0.1",), "public_url": "https://notes.example"}, False),
        ({"host": "0.0.0.0", "trusted_proxies": ("10.0.0.1",), "public_url": "http://127.0.0.1:8080"}, False),
        ({"host": "127.0.0.1", "trusted_proxies": ("10.0.0.1",)}, True),
        ({"nats": "nats://127.0.0.1:4222"}, True),
        ({"nats": "nats://127.0.0.1:4222", "database_url": "postgresql://127.0.0.1/notes"}, False),
        ({"role": "core", "database_url": "postgresql://127.0.0.1/notes"}, True),
    ],
    ids=str,
)
def test_what_would_be_unsafe_is_not_started(settings: dict[str, Any], refused: bool) -> None:
    """What can be reached from elsewhere has TLS, or a proxy that has; what is one of several shares a database."""
    exposure = Settings(**settings).exposure()
    assert (exposure is not None) is refused
    assert exposure is None or "COSCRIBE_" in exposure


@pytest.mark.slow
def test_a_server_that_would_be_open_does_not_start(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "coscribe", "serve", "--host", "0.0.0.0", "--port", "0", "--data", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert "COSCRIBE_TLS_CERTIFICATE" in ended.stdout + ended.stderr
    assert not (tmp_path / "coscribe.db").exists()


async def test_away_from_loopback_an_account_needs_an_invitation(tmp_path: Path) -> None:
    proxied: dict[str, Any] = {"trusted_proxies": ("127.0.0.1",), "public_url": "https://notes.example"}
    async with open_town(tmp_path, **proxied) as town:
        account = {"handle": "ben", "displayName": "Ben", "password": PASSWORD}
        await town.nobody().refused("POST", "/accounts", "sign_up_closed", json=account)
        invitation = (await town.ada.post("/admin/invitations", {}, 201))["url"].partition("#invitation=")[2]
        await town.nobody().post("/accounts", {**account, "invitation": invitation}, 201)
        again = {**account, "handle": "eve", "invitation": invitation}
        await town.nobody().refused("POST", "/accounts", "secret_invalid", json=again)
