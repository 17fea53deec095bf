"""Signing up, in and out: browsers with a cookie, programs with tokens."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from coscribe.persistence.schema import sessions
from tests.api.sockets import Socket
from tests.api.town import PASSWORD, Person, Town

pytestmark = pytest.mark.both_databases

COOKIE = "coscribe-loopback"


async def in_a_browser(town: Town, name: str) -> Person:
    """Signs in with a cookie, and sends the CSRF token along from then on."""
    person = town.nobody()
    begun = await person.post("/session", {"name": name, "password": PASSWORD, "cookie": True}, 201)
    person.id, person.session_id = begun["userId"], begun["sessionId"]
    person.client.headers["X-CSRF-Token"] = begun["csrfToken"]
    return person


async def test_signing_up_signs_in(town: Town) -> None:
    ben = await town.person("ben")
    who = await ben.get("/session")
    assert (who["kind"], who["userId"], who["author"], who["administrator"]) == ("session", ben.id, ben.id, False)
    assert await town.nobody().get("/server") == {"needsSetup": False, "openSignUp": True, "providers": []}
    assert (await town.nobody().get("/session"))["kind"] == "nobody"


async def test_one_signs_in_by_handle_or_verified_address(town: Town) -> None:
    ben = await town.verified("ben", "ben@example.org")
    for name in ("ben", "@Ben", " BEN ", "Ben@Example.org"):
        begun = await town.nobody().post("/session", {"name": name, "password": PASSWORD}, 201)
        assert begun["userId"] == ben.id


async def test_a_browser_has_a_cookie_and_nothing_else(town: Town) -> None:
    await town.person("ben")
    ben = town.nobody()
    begun = await ben.post("/session", {"name": "ben", "password": PASSWORD, "cookie": True}, 201)
    assert (begun["accessToken"], begun["refreshToken"]) == (None, None)
    assert (await ben.get("/session"))["csrfToken"] == begun["csrfToken"]
    ben.client.headers["X-CSRF-Token"] = begun["csrfToken"]
    await ben.document()
    assert len((await ben.get("/documents"))["items"]) == 1
    token = (await ben.post("/session/access-token"))["accessToken"]
    assert (await Socket(town).hello(token))["userId"] == begun["userId"]


async def test_refreshing_gives_new_tokens_and_uses_the_old_one_up(town: Town) -> None:
    ben = await town.person("ben")
    first = ben.refresh_token
    renewed = await town.nobody().post("/session/refresh", {"refreshToken": first})
    assert renewed["refreshToken"] != first
    assert (await town.with_token(renewed["accessToken"]).get("/session"))["userId"] == ben.id
    assert (await ben.get("/session"))["userId"] == ben.id


async def test_a_refresh_token_that_comes_again_ends_the_session_and_its_sockets(town: Town) -> None:
    ben = await town.person("ben")
    socket = Socket(town)
    await socket.hello(ben.access_token)
    nobody = town.nobody()
    newer = (await nobody.post("/session/refresh", {"refreshToken": ben.refresh_token}))["refreshToken"]
    await nobody.refused("POST", "/session/refresh", "authentication_failed", json={"refreshToken": ben.refresh_token})
    assert socket.closed is not None
    await nobody.refused("POST", "/session/refresh", "authentication_failed", json={"refreshToken": newer})
    await ben.refused("GET", "/account", "authentication_failed")
    events = await town.ada.get("/admin/events")
    assert "session.refresh_reused" in {event["action"] for event in events["items"]}


async def test_sessions_are_listed_and_ended_one_by_one(town: Town) -> None:
    ben = await town.person("ben")
    browser = await in_a_browser(town, "ben")
    rows = (await ben.get("/sessions"))["items"]
    assert {(row["sessionId"], row["kind"], row["current"]) for row in rows} == {
        (ben.session_id, "api", True),
        (browser.session_id, "browser", False),
    }
    await ben.done("DELETE", f"/sessions/{browser.session_id}", 204)
    await browser.refused("GET", "/account", "session_ended")
    await ben.refused("DELETE", f"/sessions/{browser.session_id}", "not_found")
    assert [row["sessionId"] for row in (await ben.get("/sessions"))["items"]] == [ben.session_id]


async def test_signing_out_ends_the_session_with_its_tokens_and_sockets(town: Town) -> None:
    ben, browser = await town.person("ben"), await in_a_browser(town, "ada")
    socket = Socket(town)
    await socket.hello(ben.access_token)
    await ben.done("DELETE", "/session", 204)
    assert socket.closed is not None
    await ben.refused("GET", "/account", "authentication_failed")
    await ben.refused("POST", "/session/refresh", "authentication_failed", json={"refreshToken": ben.refresh_token})
    await browser.done("DELETE", "/session", 204)
    assert COOKIE not in browser.client.cookies


async def test_log_out_everywhere_takes_all_of_one_person_and_nobody_else(town: Town) -> None:
    ben, other = await town.person("ben"), await town.person("cem")
    browser, sockets = await in_a_browser(town, "ben"), [Socket(town) for _ in range(3)]
    for socket, token in zip(sockets, (ben.access_token, ben.access_token, other.access_token), strict=True):
        await socket.hello(token)
    await browser.done("DELETE", "/sessions", 204)
    assert [socket.closed is not None for socket in sockets] == [True, True, False]
    await ben.refused("GET", "/account", "authentication_failed")
    assert (await other.get("/account"))["handle"] == "cem"


async def test_a_browser_that_signs_in_again_leaves_no_session_behind(town: Town) -> None:
    await town.person("ben")
    browser = await in_a_browser(town, "ben")
    first = browser.session_id
    again = await browser.post("/session", {"name": "ben", "password": PASSWORD, "cookie": True}, 201)
    rows = await town.coscribe.people.database.read(
        lambda connection: {row.session_id: row.ended_at for row in connection.execute(select(sessions))}
    )
    assert rows[first] is not None
    assert rows[again["sessionId"]] is None


async def test_a_session_that_has_not_been_used_for_long_is_over(town: Town) -> None:
    ben = await town.person("ben")
    browser = await in_a_browser(town, "ben")
    past = update(sessions).where(sessions.c.user_id == ben.id).values(expires_at=1)
    await town.coscribe.people.database.write(lambda connection: connection.execute(past))
    await ben.refused("GET", "/account", "authentication_failed")
    await browser.refused("GET", "/account", "session_ended")
    await ben.refused("POST", "/session/refresh", "authentication_failed", json={"refreshToken": ben.refresh_token})


async def test_a_cookie_that_has_ended_is_no_obstacle_to_begin_anew(town: Town) -> None:
    """A page cannot remove it: what anybody may do is possible with it."""
    await town.person("ben")
    owner, browser = await town.person("cem"), await in_a_browser(town, "ben")
    link = await owner.post(f"/documents/{await owner.document()}/links", {"role": "viewer"}, 201)
    await browser.done("DELETE", "/sessions", 204)
    browser.client.cookies.set(COOKIE, "csb_ended")
    assert (await browser.get("/session"))["kind"] == "nobody"
    opened = await browser.post("/links/open", {"secret": link["url"].partition("#link=")[2]})
    assert opened["guest"]
    assert (await browser.post("/session", {"name": "ben", "password": PASSWORD, "cookie": True}, 201))["userId"]
