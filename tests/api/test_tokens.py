"""API tokens: what they may do, for how long, and whose their edits are."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from coscribe.persistence.schema import api_tokens, authors
from tests.api.sockets import Socket
from tests.api.town import PASSWORD, Person, Town

pytestmark = pytest.mark.slow


async def token(person: Person, scope: str = "manage", **more: Any) -> tuple[Person, dict[str, Any]]:
    """A bot with a new token of somebody's, and the token."""
    made = await person.post("/account/tokens", {"name": "bot", "scope": scope, **more}, 201)
    return person.town.with_token(made["secret"]), made


async def text(person: Person, document: str) -> str:
    return str((await person.get(f"/documents/{document}/content"))["text"])


def put(content: bytes, version: int) -> dict[str, Any]:
    return {"content": content, "headers": {"If-Match": f'"v{version}"'}}


async def test_a_token_is_shown_once_and_told_by_its_prefix(town: Town) -> None:
    ben = await town.person("ben")
    _, made = await token(ben, "read", days=7)
    [row] = (await ben.get("/account/tokens"))["items"]
    assert made["secret"].startswith(row["prefix"])
    assert row == {name: value for name, value in made.items() if name != "secret"}
    assert await ben.get(f"/account/tokens/{made['tokenId']}") == row


async def test_the_same_request_makes_one_token_whose_secret_is_not_kept(town: Town) -> None:
    ben = await town.person("ben")
    wanted: dict[str, Any] = {"json": {"name": "bot", "scope": "read"}, "headers": {"Idempotency-Key": "k1"}}
    await ben.done("POST", "/account/tokens", 201, **wanted)
    await ben.refused("POST", "/account/tokens", "conflict", **wanted)
    assert len((await ben.get("/account/tokens"))["items"]) == 1


async def test_a_scope_bounds_what_an_owner_may(town: Town) -> None:
    ben = await town.person("ben")
    document = await ben.document("Plan", "a plan")
    content, wanted = f"/documents/{document}/content", {"name": "X"}
    reader, editor, manager = [(await token(ben, scope))[0] for scope in ("read", "edit", "manage")]
    assert [await text(bot, document) for bot in (reader, editor, manager)] == ["a plan"] * 3
    await reader.refused("PUT", content, "permission_denied", **put(b"no", 1))
    await editor.done("PUT", content, 200, **put(b"yes", 1))
    for bot in (reader, editor):
        await bot.refused("POST", f"/documents/{document}/trash", "permission_denied")
        await bot.refused("POST", "/documents", "permission_denied", json=wanted)
    await reader.refused("POST", f"/documents/{document}/duplicate", "permission_denied")
    await manager.post("/documents", wanted, 201)
    await manager.post(f"/documents/{document}/trash")


async def test_never_more_than_the_owner_may_at_that_moment(town: Town) -> None:
    ben, cem = await town.person("ben"), await town.person("cem")
    document = await ben.document("Plan", "a")
    member, content = f"/documents/{document}/members/{cem.id}", f"/documents/{document}/content"
    bot, _ = await token(cem, "edit")
    await bot.refused("GET", content, "file_not_found")
    await town.ada.done("PUT", member, 200, json={"role": "editor"})
    await bot.done("PUT", content, 200, **put(b"b", 1))
    socket = Socket(town)
    await socket.hello(bot.client.headers["Authorization"].removeprefix("Bearer "))
    await socket.join(document)
    await ben.done("PUT", member, 200, json={"role": "viewer"})
    assert (await socket.hear("roleChanged"))["role"] == "viewer"
    await bot.refused("PUT", content, "permission_denied", **put(b"c", 2))
    assert await text(bot, document) == "b"
    await ben.done("DELETE", member, 200)
    await bot.refused("GET", content, "file_not_found")
    assert (await socket.hear("error"))["code"] == "access_removed"


async def test_a_token_for_one_document_is_for_nothing_else(town: Town) -> None:
    ben = await town.person("ben")
    one, other = await ben.document("One"), await ben.document("Other")
    bot, _ = await token(ben, documentId=one)
    await bot.get(f"/documents/{one}/content")
    await bot.refused("GET", f"/documents/{other}", "file_not_found")
    assert [item["documentId"] for item in (await bot.get("/documents"))["items"]] == [one]
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/documents", {"json": {"name": "X"}}),
        ("POST", f"/documents/{one}/duplicate", {}),
        ("GET", "/account", {}),
        ("GET", "/users", {"params": {"query": "ad"}}),
        ("GET", "/invitations", {}),
        ("POST", "/groups", {"json": {"name": "X"}}),
    ]
    for method, path, options in asked:
        await bot.refused(method, path, "permission_denied", **options)
    nobodys = {"name": "bot", "scope": "read", "documentId": await (await town.person("cem")).document()}
    await ben.refused("POST", "/account/tokens", "file_not_found", json=nobodys)


async def test_no_token_makes_tokens_or_changes_credentials(town: Town) -> None:
    """Not even one of an administrator that may manage everything."""
    bot, made = await token(town.ada)
    new = "quite another horse battery"
    asked: list[tuple[str, str, Any]] = [
        ("POST", "/account/tokens", {"name": "another", "scope": "read"}),
        ("DELETE", f"/account/tokens/{made['tokenId']}", None),
        ("PUT", "/account/password", {"currentPassword": PASSWORD, "newPassword": new}),
        ("PUT", "/account/email", {"currentPassword": PASSWORD, "email": "x@example.org"}),
        ("PATCH", "/account", {"handle": "eve"}),
        ("POST", "/account/delete", {"currentPassword": PASSWORD}),
        ("POST", "/session", {"name": "ada", "password": PASSWORD}),
        ("POST", "/session/access-token", None),
        ("DELETE", "/sessions", None),
        ("GET", "/account/export", None),
        ("PATCH", f"/admin/users/{town.ada.id}", {"locked": True}),
        ("POST", "/admin/signing-keys", None),
    ]
    for method, path, body in asked:
        await bot.refused(method, path, "permission_denied", json=body)


async def ended(town: Town, ben: Person, how: str, token_id: str) -> None:
    """Ends a token in one of the ways there are."""
    database = town.coscribe.people.database
    if how == "revoked":
        await ben.done("DELETE", f"/account/tokens/{token_id}", 204)
    elif how == "expired":
        past = update(api_tokens).values(expires_at=1)
        await database.write(lambda connection: connection.execute(past))
    elif how == "locked":
        await town.ada.done("PATCH", f"/admin/users/{ben.id}", 200, json={"locked": True})
    else:
        await town.ada.done("POST", f"/admin/users/{ben.id}/sign-out", 204)


@pytest.mark.parametrize("how", ["revoked", "expired", "locked", "signed out"])
async def test_a_token_ends(town: Town, how: str) -> None:
    """At once on open sockets too, but for time: those ask when it is over."""
    ben = await town.person("ben")
    document = await ben.document()
    bot, made = await token(ben)
    socket = Socket(town)
    await socket.hello(made["secret"])
    await bot.get(f"/documents/{document}")
    await ended(town, ben, how, made["tokenId"])
    await bot.refused("GET", f"/documents/{document}", "authentication_failed")
    assert (socket.closed is not None) is (how != "expired")
    late = Socket(town)
    late.say(type="hello", protocol=[1], token=made["secret"])
    assert (await late.hear("error"))["code"] == "authentication_failed"


async def test_what_a_bot_does_is_signed_by_bot_and_owner(town: Town) -> None:
    ben = await town.person("ben")
    document = await ben.document("Plan", "a")
    bot, made = await token(ben, "edit", name="robot")
    author = f"{ben.id}+{made['tokenId']}"
    who = await bot.get("/session")
    assert (who["author"], who["displayName"], who["scope"]) == (author, "robot (Ben)", "edit")
    await bot.done("PUT", f"/documents/{document}/content", 200, **put(b"b", 1))
    await bot.done("PATCH", f"/documents/{document}", 200, json={"name": "B"}, headers={"If-Match": '"r1"'})
    events = (await ben.get(f"/documents/{document}/events"))["items"]
    assert {event["actor"] for event in events if event["action"] == "document.renamed"} == {author}
    found = await town.coscribe.people.database.read(
        lambda connection: set(connection.execute(select(authors.c.user_id)).scalars())
    )
    assert {author, ben.id} <= found


async def test_there_are_at_most_100(town: Town) -> None:
    ben = await town.person("ben")
    made = [(await token(ben, "read"))[1] for _ in range(100)]
    wanted = {"name": "bot", "scope": "read"}
    await ben.refused("POST", "/account/tokens", "quota_exceeded", json=wanted)
    await ben.done("DELETE", f"/account/tokens/{made[0]['tokenId']}", 204)
    await ben.post("/account/tokens", wanted, 201)
