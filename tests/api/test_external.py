"""Signing in elsewhere, from the page's click to the session: with a real provider, and with one that lies."""

from __future__ import annotations

import hmac
import itertools
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import func, select, update

from coscribe.access import external
from coscribe.access.external import ATTEMPT_SECONDS
from coscribe.access.ids import MICROSECONDS, digest, now
from coscribe.persistence.schema import external_attempts, external_identities, sessions, users
from tests.access.oidc_providers import (
    CLIENT_ID,
    CLIENT_SECRET,
    LyingProvider,
    RealProvider,
    lying_provider,
    real_provider,
)
from tests.api.town import BASE, PASSWORD, Person, Town, open_town

pytestmark = pytest.mark.slow

BINDING = "coscribe-oidc-loopback"
SESSION = "coscribe-loopback"

_numbers = itertools.count()


@pytest.fixture(scope="module")
def school() -> Iterator[RealProvider]:
    with real_provider() as provider:
        yield provider


@pytest.fixture
def liar() -> Iterator[LyingProvider]:
    with lying_provider() as provider:
        yield provider


def _settings(name: str, issuer: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "issuer": issuer, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, **more}


@pytest.fixture
async def town(tmp_path: Path, school: RealProvider, liar: LyingProvider) -> AsyncIterator[Town]:
    """With three providers: ``school`` is real, ``liar`` is not, ``gone`` is not there."""
    providers = [
        _settings("school", school.issuer, label="Our school"),
        _settings("liar", liar.issuer),
        _settings("gone", "http://127.0.0.1:9"),
    ]
    async with open_town(tmp_path, oidc=providers) as town:
        yield town


def somebody() -> str:
    """A subject that the real provider, which outlives a test, has not seen."""
    return f"subject-{next(_numbers)}"


async def begin(browser: Person, provider: str, **body: Any) -> str:
    url: str = (await browser.post(f"/session/external/{provider}", body))["url"]
    return url


async def come_back(browser: Person, url: str) -> str:
    """The browser opens the address that the provider named; where it goes on to."""
    answer = await browser.client.get(url)
    assert answer.status_code == 303, answer.text[:500]
    assert BINDING not in browser.client.cookies
    return answer.headers["location"]


async def sign_in(browser: Person, school: RealProvider, subject: str, **body: Any) -> str:
    where = await come_back(browser, school.agree(await begin(browser, "school", **body), subject))
    await look(browser)
    return where


async def look(browser: Person) -> None:
    """Takes on who the server says one is."""
    who = await browser.get("/session")
    browser.id = who["userId"]
    if who["csrfToken"]:
        browser.client.headers["X-CSRF-Token"] = who["csrfToken"]


async def in_a_browser(town: Town, handle: str, **more: Any) -> Person:
    """Somebody with a password, signed in by a cookie."""
    person = town.nobody()
    account = {"handle": handle, "displayName": handle.title(), "password": PASSWORD, "cookie": True, **more}
    begun = await person.post("/accounts", account, 201)
    person.id, person.handle, person.session_id = begun["userId"], handle, begun["sessionId"]
    person.client.headers["X-CSRF-Token"] = begun["csrfToken"]
    return person


async def begin_link(person: Person, provider: str, password: str = PASSWORD) -> str:
    url: str = (await person.post(f"/account/external/{provider}", {"currentPassword": password}))["url"]
    return url


async def events(town: Town, action: str) -> list[dict[str, Any]]:
    found = (await town.ada.get("/admin/events"))["items"]
    return [event for event in found if event["action"] == action]


def database(town: Town) -> Any:
    people = town.coscribe._people
    assert people is not None
    return people.database


# ---- signing in


async def test_the_server_says_where_else_one_can_sign_in(town: Town) -> None:
    offered = (await town.nobody().get("/server"))["providers"]
    assert offered[:2] == [{"name": "school", "label": "Our school"}, {"name": "liar", "label": "liar"}]


async def test_the_first_time_makes_an_account_and_the_second_finds_it(town: Town, school: RealProvider) -> None:
    subject = somebody()
    school.knows(subject, preferred_username="Zoë.Ray", name="Zoë Ray", email="zoe@school.example", email_verified=True)
    browser = town.nobody()
    assert await sign_in(browser, school, subject) == "/"
    account = await browser.get("/account")
    assert (account["handle"], account["displayName"], account["hasPassword"]) == ("zoe.ray", "Zoë Ray", False)
    assert (account["email"], account["unverifiedEmail"]) == (None, "zoe@school.example")
    assert town.mailer.mails == []

    school.knows(subject, preferred_username="somebody.else", email="else@school.example")
    other = town.nobody()
    assert await sign_in(other, school, subject) == "/"
    assert other.id == browser.id
    assert (await other.get("/account"))["handle"] == "zoe.ray"
    rows = (await other.get("/account/external"))["items"]
    assert [(row["provider"], row["issuer"]) for row in rows] == [("school", school.issuer)]
    began = [event["detail"] for event in await events(town, "session.began") if event["actor"] == browser.id]
    assert began == [{"how": "external", "kind": "browser"}] * 2
    assert [event["actor"] for event in await events(town, "identity.linked")] == [browser.id]


async def test_the_cookies_are_for_this_browser_only(town: Town, school: RealProvider) -> None:
    browser = town.nobody()
    begun = await browser.ask("POST", "/session/external/school", json={})
    cookie = begun.headers["set-cookie"]
    assert cookie.startswith(f"{BINDING}=csx_")
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/" in cookie and "Max-Age=600" in cookie
    answer = await browser.client.get(school.agree(begun.json()["url"], somebody()))
    kept, gone = sorted(answer.headers.get_list("set-cookie"), key=lambda text: text.startswith(BINDING))
    assert kept.startswith(f"{SESSION}=csb_") and "HttpOnly" in kept and "SameSite=lax" in kept
    assert gone.startswith(f'{BINDING}=""') and "Max-Age=0" in gone
    assert answer.headers["cache-control"] == "no-store" and answer.headers["referrer-policy"] == "no-referrer"


async def test_over_tls_the_cookie_is_the_hosts(tmp_path: Path, liar: LyingProvider) -> None:
    provider = _settings("liar", liar.issuer)
    async with open_town(tmp_path, oidc=[provider], public_url="https://127.0.0.1:8777") as town:
        begun = await town.nobody().ask("POST", "/session/external/liar", json={})
        assert begun.headers["set-cookie"].startswith("__Host-coscribe-oidc=csx_")
        assert "Secure" in begun.headers["set-cookie"] and "Domain" not in begun.headers["set-cookie"]


async def test_handles_that_are_taken_get_a_number(town: Town, school: RealProvider) -> None:
    handles = []
    for _ in range(11):
        subject, browser = somebody(), town.nobody()
        school.knows(subject, preferred_username="ada")
        assert await sign_in(browser, school, subject) == "/"
        handles.append((await browser.get("/account"))["handle"])
    assert handles[:8] == [f"ada-{number}" for number in range(2, 10)]
    assert len(set(handles)) == 11


async def test_a_profile_that_is_no_good_makes_an_account_all_the_same(town: Town, liar: LyingProvider) -> None:
    browser = town.nobody()
    said = {"preferred_username": "admin", "name": "\u200b\ud800", "email": "no address\r\nBcc: x@y.example"}
    assert await come_back(browser, liar.agree(await begin(browser, "liar"), **said)) == "/"
    account = await browser.get("/account")
    assert (account["handle"], account["displayName"], account["unverifiedEmail"]) == ("admin-2", "admin", None)
    assert not account["administrator"]


async def test_a_session_that_the_browser_had_before_ends(town: Town, school: RealProvider) -> None:
    ben = await in_a_browser(town, "ben")
    before = ben.client.cookies[SESSION]
    await sign_in(ben, school, somebody())
    assert ben.client.cookies[SESSION] != before
    old = town.nobody()
    old.client.cookies.set(SESSION, before)
    assert (await old.get("/session"))["kind"] == "nobody"


# ---- whose attempt it is


async def test_a_state_that_nobody_asked_for(town: Town, school: RealProvider) -> None:
    browser = town.nobody()
    back = school.agree(await begin(browser, "school"), somebody())
    state = parse_qs(urlsplit(back).query)["state"][0]
    assert await come_back(browser, back.replace(state, "cso_wrong")) == "/#error=external_sign_in_failed"
    assert (await browser.get("/session"))["kind"] == "nobody"
    (refused,) = await events(town, "session.refused")
    assert (refused["outcome"], refused["subject"]) == ("external_sign_in_failed", "school")


async def test_a_state_is_good_once(town: Town, liar: LyingProvider) -> None:
    browser = town.nobody()
    url = await begin(browser, "liar")
    cookie = browser.client.cookies[BINDING]
    assert await come_back(browser, liar.agree(url)) == "/"
    browser.client.cookies.clear()
    browser.client.cookies.set(BINDING, cookie, domain="127.0.0.1", path="/")
    assert await come_back(browser, liar.agree(url)) == "/#error=external_sign_in_failed"
    assert liar.asked["/token"] == 1


async def test_another_browser_has_no_part_in_it(town: Town, liar: LyingProvider) -> None:
    """Otherwise somebody could be signed in, unawares, to an account that another has made for them."""
    mine, other, third = town.nobody(), town.nobody(), town.nobody()
    back = liar.agree(await begin(mine, "liar"))
    await begin(third, "liar")  # has a cookie, of another attempt
    assert await come_back(third, back) == "/#error=external_sign_in_failed"
    assert await come_back(other, back) == "/#error=external_sign_in_failed"
    assert await come_back(mine, back) == "/#error=external_sign_in_failed", "what has leaked is used up"
    assert liar.asked["/token"] == 0


async def test_an_attempt_belongs_to_one_provider(town: Town, school: RealProvider, liar: LyingProvider) -> None:
    """Otherwise one provider could have the codes of another."""
    browser = town.nobody()
    back = school.agree(await begin(browser, "school"), somebody())
    assert await come_back(browser, back.replace("/school/", "/liar/")) == "/#error=external_sign_in_failed"
    assert liar.asked["/token"] == 0


async def test_an_answer_of_another_issuer(town: Town, liar: LyingProvider) -> None:
    for issuer, where in (("https://other.example", "/#error=external_sign_in_failed"), (liar.issuer, "/")):
        browser = town.nobody()
        back = liar.agree(await begin(browser, "liar"))
        assert await come_back(browser, f"{back}&iss={issuer}") == where


async def test_an_attempt_ends_after_ten_minutes(town: Town, school: RealProvider) -> None:
    browser = town.nobody()
    url = await begin(browser, "school")
    assert ATTEMPT_SECONDS == 600
    at = now()
    earlier = update(external_attempts).values(expires_at=external_attempts.c.expires_at - 600 * MICROSECONDS)
    left = await database(town).read(lambda c: c.execute(select(external_attempts.c.expires_at)).scalar())
    assert at + 590 * MICROSECONDS < left <= at + 600 * MICROSECONDS
    await database(town).write(lambda connection: connection.execute(earlier))
    assert await come_back(browser, school.agree(url, somebody())) == "/#error=external_sign_in_failed"
    await begin(browser, "school")
    assert await _open_attempts(town) == 1, "those that are over are forgotten"


async def test_of_too_many_attempts_the_oldest_is_forgotten(
    town: Town, school: RealProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external, "MAX_ATTEMPTS", 3)
    browsers = [town.nobody() for _ in range(4)]
    urls = [await begin(browser, "school") for browser in browsers]
    assert await _open_attempts(town) == 3
    assert await come_back(browsers[0], school.agree(urls[0], somebody())) == "/#error=external_sign_in_failed"
    assert await come_back(browsers[1], school.agree(urls[1], somebody())) == "/"


async def test_one_address_cannot_begin_without_end(
    tmp_path: Path, liar: LyingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external, "ADDRESS_ATTEMPTS", 3)
    monkeypatch.setattr(external, "ADDRESS_PER_SECOND", 0.001)
    async with open_town(tmp_path, oidc=[_settings("liar", liar.issuer)]) as town:
        stranger = town.nobody("192.0.2.7")
        for _ in range(3):
            await begin(stranger, "liar")
        await stranger.refused("POST", "/session/external/liar", "too_many_requests", json={})
        await begin(town.nobody("192.0.2.8"), "liar")


async def _open_attempts(town: Town) -> int:
    count = select(func.count()).select_from(external_attempts)
    found: int = await database(town).read(lambda connection: connection.execute(count).scalar())
    return found


async def test_a_page_of_another_origin_cannot_begin(town: Town) -> None:
    headers = {"Origin": "https://evil.example"}
    await town.nobody().refused("POST", "/session/external/school", "csrf_failed", json={}, headers=headers)
    ben = await in_a_browser(town, "ben")
    del ben.client.headers["X-CSRF-Token"]
    await ben.refused("POST", "/account/external/school", "csrf_failed", json={"currentPassword": PASSWORD})


# ---- what is let into the address


async def test_only_the_callback_takes_what_looks_like_a_secret(town: Town, school: RealProvider) -> None:
    browser = town.nobody()
    path = "/session/external/school/callback"
    assert (await browser.ask("GET", f"{path}?code=eyJx&state=eyJy&session_state=eyJz")).status_code == 303
    await browser.refused("GET", f"{path}?token=x", "token_in_url")
    await browser.refused("GET", f"{path}?code=x&other=eyJy", "token_in_url")
    await browser.refused("GET", f"{path}?iss=csx_abc", "token_in_url")
    await browser.refused("GET", "/session?code=eyJx", "token_in_url")
    await browser.refused("GET", f"/session/external/a/b{path}?code=eyJx", "token_in_url")


async def test_no_secret_is_stored_and_none_is_in_the_providers_address(town: Town) -> None:
    invitation = await _invitation(town)
    browser = town.nobody()
    url = await begin(browser, "school", invitation=invitation)
    cookie = browser.client.cookies[BINDING]
    assert invitation not in url and cookie not in url and cookie.endswith(invitation)
    row = await database(town).read(lambda connection: connection.execute(select(external_attempts)).one())
    assert invitation not in str(row) and cookie not in str(row)
    state = parse_qs(urlsplit(url).query)["state"][0]
    assert row.state_hash == digest(state) and row.binding_hash == digest(cookie)


async def _invitation(town: Town) -> str:
    services = town.coscribe._people.services  # type: ignore[union-attr]
    caller = await services.authentication.caller(town.ada.access_token)
    _, link = await services.invitations.invite_to_server(caller)
    return str(link.partition("#invitation=")[2])


# ---- providers that refuse, lie, or are not there


async def test_somebody_who_changes_their_mind(town: Town, school: RealProvider) -> None:
    browser = town.nobody()
    url = await begin(browser, "school")
    back = school.refuse(url)
    if "state=" not in back:  # this provider forgets it where it refuses
        back += "&state=" + parse_qs(urlsplit(url).query)["state"][0]
    assert "error=access_denied" in back
    assert await come_back(browser, back) == "/#error=external_sign_in_failed"
    (refused,) = await events(town, "session.refused")
    assert refused["detail"]["why"] == "the provider says access_denied"


async def test_a_code_that_the_provider_does_not_know(town: Town, school: RealProvider) -> None:
    browser = town.nobody()
    back = school.agree(await begin(browser, "school"), somebody())
    code = parse_qs(urlsplit(back).query)["code"][0]
    assert await come_back(browser, back.replace(code, "another")) == "/#error=external_sign_in_failed"


async def test_whatever_a_provider_says_can_be_written_down(town: Town, liar: LyingProvider) -> None:
    browser = town.nobody()
    liar.answers["/token"] = (400, b'{"error": "\\ud800 no\\u0000"}')
    assert await come_back(browser, liar.agree(await begin(browser, "liar"))) == "/#error=external_sign_in_failed"
    (refused,) = await events(town, "session.refused")
    assert refused["detail"]["why"] == "the code was not taken: 400 \\ud800 no\0"


async def test_a_provider_that_is_not_there(town: Town) -> None:
    answer = await town.nobody().refused("POST", "/session/external/gone", "provider_unavailable", json={})
    assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
    await town.nobody().refused("POST", "/session/external/other", "not_found", json={})
    where = await come_back(town.nobody(), f"{BASE}/api/session/external/other/callback?code=1&state=2")
    assert where == "/#error=not_found"


async def test_a_provider_that_goes_away_meanwhile(town: Town, liar: LyingProvider) -> None:
    browser = town.nobody()
    url = await begin(browser, "liar")
    liar.answers["/token"] = (503, b"{}")
    assert await come_back(browser, liar.agree(url)) == "/#error=provider_unavailable"
    assert await events(town, "session.refused") == []


LIES: dict[str, dict[str, Any]] = {
    "nonce": {"nonce": "another"},
    "audience": {"aud": "somebody-else"},
    "issuer": {"iss": "https://other.example"},
    "expired": {"exp": 1},
    "no subject": {"sub": None},
}


@pytest.mark.parametrize("lie", [*LIES, "none", "HS256"])
async def test_an_id_token_that_lies_opens_nothing(town: Town, liar: LyingProvider, lie: str) -> None:
    if lie == "none":
        liar.token = lambda claims: f"{_part({'alg': 'none', 'kid': 'first'})}.{_part(claims)}."
    if lie == "HS256":
        liar.token = lambda claims: _with_public_key(liar, claims)
    browser = town.nobody()
    assert await come_back(browser, liar.agree(await begin(browser, "liar"), **LIES.get(lie, {}))) == (
        "/#error=external_sign_in_failed"
    )
    assert SESSION not in browser.client.cookies
    assert liar.asked["/token"] == 1
    (refused,) = await events(town, "session.refused")
    assert "the id token is not good" in refused["detail"]["why"]
    assert await events(town, "identity.linked") == []


def _with_public_key(liar: LyingProvider, claims: dict[str, Any]) -> str:
    body = f"{_part({'alg': 'HS256', 'kid': 'first'})}.{_part(claims)}"
    return f"{body}.{_text(hmac.digest(liar.key.as_pem(private=False), body.encode(), 'sha256'))}"


def _part(value: Any) -> str:
    return _text(json.dumps(value).encode())


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


# ---- whose account it is


async def test_an_address_that_looks_the_same_is_nobodys(town: Town, school: RealProvider) -> None:
    ben = await town.verified("ben", "ben@example.org")
    subject, browser = somebody(), town.nobody()
    school.knows(subject, preferred_username="ben", email="ben@example.org", email_verified=True)
    assert await sign_in(browser, school, subject) == "/"
    account = await browser.get("/account")
    assert browser.id != ben.id
    assert (account["handle"], account["email"], account["unverifiedEmail"]) == ("ben-2", None, "ben@example.org")
    assert (await ben.get("/account/external"))["items"] == []


async def test_two_providers_may_have_the_same_subject(town: Town, school: RealProvider, liar: LyingProvider) -> None:
    subject, one, two = somebody(), town.nobody(), town.nobody()
    await sign_in(one, school, subject)
    await come_back(two, liar.agree(await begin(two, "liar"), subject))
    await look(two)
    assert one.id and two.id and one.id != two.id


async def test_a_locked_account(town: Town, school: RealProvider) -> None:
    subject, browser = somebody(), town.nobody()
    await sign_in(browser, school, subject)
    await town.ada.done("PATCH", f"/admin/users/{browser.id}", 200, json={"locked": True})
    again = town.nobody()
    url = await begin(again, "school")
    assert await come_back(again, school.agree(url, subject)) == "/#error=account_locked"
    assert (await again.get("/session"))["kind"] == "nobody"
    (refused,) = await events(town, "session.refused")
    assert refused["detail"]["why"] == browser.id
    await town.ada.done("PATCH", f"/admin/users/{browser.id}", 200, json={"locked": False})
    assert await sign_in(again, school, subject) == "/"


async def test_who_deleted_their_account_begins_a_new_one(town: Town, school: RealProvider) -> None:
    subject, browser = somebody(), town.nobody()
    await sign_in(browser, school, subject)
    await browser.post("/account/delete", {}, 204)
    again = town.nobody()
    assert await sign_in(again, school, subject) == "/"
    assert again.id != browser.id


async def test_closed_sign_up_takes_an_invitation(tmp_path: Path, school: RealProvider) -> None:
    async with open_town(tmp_path, oidc=[_settings("school", school.issuer)], sign_up="invitation") as town:
        subject, browser = somebody(), town.nobody()
        assert await sign_in(browser, school, subject) == "/#error=sign_up_closed"
        assert browser.id == ""
        await browser.refused("POST", "/session/external/school", "secret_invalid", json={"invitation": "csi_x"})
        invitation = await _invitation(town)
        assert await sign_in(browser, school, subject, invitation=invitation) == "/"
        other = town.nobody()
        await other.refused("POST", "/session/external/school", "secret_invalid", json={"invitation": invitation})
        assert await sign_in(other, school, subject) == "/", "who has an account needs no invitation"
        assert other.id == browser.id


async def test_an_invitation_that_is_used_meanwhile(tmp_path: Path, school: RealProvider) -> None:
    async with open_town(tmp_path, oidc=[_settings("school", school.issuer)], sign_up="invitation") as town:
        invitation, browser = await _invitation(town), town.nobody()
        url = await begin(browser, "school", invitation=invitation)
        await sign_in(town.nobody(), school, somebody(), invitation=invitation)
        assert await come_back(browser, school.agree(url, somebody())) == "/#error=secret_invalid"


async def test_before_there_is_an_administrator_nobody_gets_in(town: Town, school: RealProvider) -> None:
    demote = update(users).values(is_admin=False)
    await database(town).write(lambda connection: connection.execute(demote))
    assert await sign_in(town.nobody(), school, somebody()) == "/#error=setup_required"


# ---- linking


async def test_linking_needs_the_password(town: Town, school: RealProvider) -> None:
    ben, subject = await in_a_browser(town, "ben"), somebody()
    path = "/account/external/school"
    await ben.refused("POST", path, "reauthentication_required", json={})
    await ben.refused("POST", path, "wrong_credentials", json={"currentPassword": "not it at all"})
    await town.nobody().refused("POST", path, "sign_in_required", json={"currentPassword": PASSWORD})
    assert await _open_attempts(town) == 0
    assert await come_back(ben, school.agree(await begin_link(ben, "school"), subject)) == "/#linked=school"
    assert (await ben.get("/session"))["userId"] == ben.id
    (linked,) = await events(town, "identity.linked")
    assert (linked["actor"], linked["subject"], linked["detail"]) == (ben.id, ben.id, {"provider": "school"})

    elsewhere = town.nobody()
    assert await sign_in(elsewhere, school, subject) == "/"
    assert elsewhere.id == ben.id


async def test_a_token_links_and_unlinks_nothing(town: Town) -> None:
    ben = await in_a_browser(town, "ben")
    made = await ben.post("/account/tokens", {"name": "bot", "scope": "manage"}, 201)
    bot = town.with_token(made["secret"])
    for method in ("POST", "DELETE"):
        body = {"currentPassword": PASSWORD}
        await bot.refused(method, "/account/external/school", "permission_denied", json=body)
    await bot.refused("POST", "/session/external/school", "permission_denied", json={})


async def test_an_identity_belongs_to_one_account(town: Town, school: RealProvider) -> None:
    subject, ben, eve = somebody(), await in_a_browser(town, "ben"), await in_a_browser(town, "eve")
    await come_back(ben, school.agree(await begin_link(ben, "school"), subject))
    assert await come_back(eve, school.agree(await begin_link(eve, "school"), subject)) == "/#error=conflict"
    assert (await eve.get("/account/external"))["items"] == []
    (refused,) = await events(town, "identity.refused")
    assert (refused["actor"], refused["outcome"]) == (eve.id, "conflict")
    assert await come_back(ben, school.agree(await begin_link(ben, "school"), subject)) == "/#linked=school"
    assert await come_back(ben, school.agree(await begin_link(ben, "school"), somebody())) == "/#error=conflict"
    assert len((await ben.get("/account/external"))["items"]) == 1


async def test_linking_ends_with_the_session_that_asked(town: Town, school: RealProvider) -> None:
    """Who signs out everywhere, because somebody is in their account, also ends what that somebody has begun."""
    ben = await in_a_browser(town, "ben")
    url = await begin_link(ben, "school")
    ended = update(sessions).where(sessions.c.user_id == ben.id).values(ended_at=now())
    await database(town).write(lambda connection: connection.execute(ended))
    subject = somebody()
    assert await come_back(ben, school.agree(url, subject)) == "/#error=session_ended"
    other = town.nobody()
    await sign_in(other, school, subject)
    assert other.id not in ("", ben.id)


async def test_unlinking_needs_the_password(town: Town, school: RealProvider) -> None:
    subject, ben = somebody(), await in_a_browser(town, "ben")
    path, body = "/account/external/school", {"currentPassword": PASSWORD}
    await ben.refused("DELETE", path, "not_found", json=body)
    await come_back(ben, school.agree(await begin_link(ben, "school"), subject))
    await ben.refused("DELETE", path, "wrong_credentials", json={"currentPassword": "not it at all"})
    await ben.refused("DELETE", path, "reauthentication_required", json={})
    assert len((await ben.get("/account/external"))["items"]) == 1
    await ben.done("DELETE", path, 204, json=body)
    assert (await ben.get("/account/external"))["items"] == []
    (unlinked,) = await events(town, "identity.unlinked")
    assert (unlinked["actor"], unlinked["detail"]) == (ben.id, {"provider": "school"})
    other = town.nobody()
    await sign_in(other, school, subject)
    assert other.id not in ("", ben.id)


async def test_the_last_way_in_stays(town: Town, school: RealProvider, liar: LyingProvider) -> None:
    browser = town.nobody()
    await sign_in(browser, school, somebody())
    await browser.refused("DELETE", "/account/external/school", "conflict", json={})
    url = (await browser.post("/account/external/liar", {}))["url"]
    assert await come_back(browser, liar.agree(url)) == "/#linked=liar"
    await browser.done("DELETE", "/account/external/school", 204, json={})
    await browser.refused("DELETE", "/account/external/liar", "conflict", json={})
    body = {"currentPassword": "", "newPassword": "quite another horse battery", "cookie": True}
    begun = await browser.done("PUT", "/account/password", 200, json=body)
    browser.client.headers["X-CSRF-Token"] = begun["csrfToken"]
    await browser.done("DELETE", "/account/external/liar", 204, json={"currentPassword": "quite another horse battery"})


async def test_without_a_password_a_fresh_session_is_needed(town: Town, school: RealProvider) -> None:
    browser = town.nobody()
    await sign_in(browser, school, somebody())
    aged = update(sessions).where(sessions.c.user_id == browser.id).values(created_at=now() - 3_600 * MICROSECONDS)
    await database(town).write(lambda connection: connection.execute(aged))
    await browser.refused("POST", "/account/external/liar", "reauthentication_required", json={})
    await browser.refused("DELETE", "/account/external/school", "reauthentication_required", json={})


async def test_a_provider_that_is_not_offered_any_more_is_no_way_in(
    town: Town, school: RealProvider, liar: LyingProvider
) -> None:
    browser = town.nobody()
    await sign_in(browser, school, somebody())
    await come_back(browser, liar.agree((await browser.post("/account/external/liar", {}))["url"]))
    moved = update(external_identities).where(external_identities.c.issuer == liar.issuer).values(issuer="https://old")
    await database(town).write(lambda connection: connection.execute(moved))
    rows = (await browser.get("/account/external"))["items"]
    assert [row["provider"] for row in rows] == ["school", None]
    await browser.refused("DELETE", "/account/external/school", "conflict", json={})
