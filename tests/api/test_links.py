"""Share links by HTTP."""

from __future__ import annotations

import pytest

from tests.api.town import Town

pytestmark = pytest.mark.slow


def secret_of(url: str) -> str:
    return url.partition("#link=")[2]


async def test_a_link_for_people_and_for_guests(town: Town) -> None:
    ann, bob = await town.person("ann"), await town.person("bob")
    document = await ann.document("Plan", "some text")
    path = f"/documents/{document}/links"
    made = await ann.ask("POST", path, json={"role": "editor"})
    link = made.json()
    assert (made.status_code, made.headers["location"]) == (201, f"/api{path}/{link['linkId']}")
    secret = secret_of(link["url"])
    listed = await ann.get(path)
    assert [one["linkId"] for one in listed["items"]] == [link["linkId"]]
    assert secret not in str(listed) and "url" not in listed["items"][0]

    opened = await bob.post("/links/open", {"secret": secret})
    assert opened == {
        "documentId": document,
        "documentName": "Plan",
        "role": "editor",
        "linkRole": "editor",
        "guest": False,
        "accessToken": None,
        "expiresIn": None,
    }
    assert (await bob.get(f"/documents/{document}"))["role"] == "editor"

    opened = await town.nobody().post("/links/open", {"secret": secret})
    assert (opened["role"], opened["linkRole"], opened["guest"]) == ("viewer", "editor", True)
    guest = town.with_token(opened["accessToken"])
    assert (await guest.get(f"/documents/{document}"))["role"] == "viewer"
    assert (await guest.get(f"/documents/{document}/content"))["text"] == "some text"
    await guest.refused("POST", path, "sign_in_required", json={"role": "viewer"})
    await guest.refused("GET", "/documents", "sign_in_required")
    other = await ann.document("Other")
    await guest.refused("GET", f"/documents/{other}", "sign_in_required")

    await ann.done("DELETE", f"{path}/{link['linkId']}", 204)
    await bob.refused("GET", f"/documents/{document}", "file_not_found")
    await guest.refused("GET", f"/documents/{document}", "authentication_failed")
    for person in (bob, town.nobody()):
        refused = await person.refused("POST", "/links/open", "secret_invalid", json={"secret": secret})
        assert refused.status_code == 410
    await ann.refused("DELETE", f"{path}/{link['linkId']}", "not_found")


async def test_a_guest_is_let_in_no_longer_than_the_link_lasts(town: Town) -> None:
    ann = await town.person("ann")
    document = await ann.document()
    link = await ann.post(f"/documents/{document}/links", {"role": "viewer", "expiresIn": 60}, 201)
    opened = await town.nobody().post("/links/open", {"secret": secret_of(link["url"])})
    assert 0 < opened["expiresIn"] <= 60
    link = await ann.post(f"/documents/{document}/links", {"role": "viewer"}, 201)
    opened = await town.nobody().post("/links/open", {"secret": secret_of(link["url"])})
    assert opened["expiresIn"] == 600


async def test_an_api_token_opens_no_link(town: Town) -> None:
    ann, bob = await town.person("ann"), await town.person("bob")
    document = await ann.document()
    link = await ann.post(f"/documents/{document}/links", {"role": "viewer"}, 201)
    made = await bob.post("/account/tokens", {"name": "bot", "scope": "manage"}, 201)
    bot = town.with_token(made["secret"])
    await bot.refused("POST", "/links/open", "permission_denied", json={"secret": secret_of(link["url"])})
    await bob.refused("GET", f"/documents/{document}", "file_not_found")


async def test_what_is_refused(town: Town) -> None:
    ann = await town.person("ann")
    document = await ann.document()
    path = f"/documents/{document}/links"
    for body in (
        {},
        {"role": "owner"},
        {"role": "viewer", "expiresIn": 0},
        {"role": "viewer", "expiresIn": 10**12},
        {"role": "viewer", "expiresIn": "60"},
        {"role": "viewer", "secret": "csl_mine"},
    ):
        await ann.refused("POST", path, "invalid_request", json=body)
    await ann.refused("POST", "/links/open", "secret_invalid", json={"secret": "csl_none"})
    await ann.refused("POST", "/links/open?secret=csl_none", "token_in_url", json={"secret": "csl_none"})


async def test_the_secret_is_not_shown_again(town: Town) -> None:
    ann = await town.person("ann")
    document = await ann.document()
    headers = {"Idempotency-Key": "one"}
    await ann.post(f"/documents/{document}/links", {"role": "viewer"}, 201, headers=headers)
    await ann.refused("POST", f"/documents/{document}/links", "conflict", json={"role": "viewer"}, headers=headers)
    assert len((await ann.get(f"/documents/{document}/links"))["items"]) == 1
