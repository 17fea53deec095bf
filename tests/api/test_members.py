"""Members, bans and path rules by HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.town import Person, Town

pytestmark = [pytest.mark.slow, pytest.mark.both_databases]


async def join(owner: Person, document: str, person: Person, role: str) -> None:
    """Invites somebody, who accepts."""
    await owner.post(f"/documents/{document}/invitations", {"who": person.id, "role": role}, 201)
    [invitation] = [one for one in (await person.get("/invitations"))["items"] if one["documentId"] == document]
    await person.post(f"/invitations/{invitation['invitationId']}/accept")


async def test_members_are_listed_changed_and_removed(town: Town) -> None:
    ann, bob = await town.person("ann"), await town.person("bob")
    document = await ann.document("Plan")
    path = f"/documents/{document}/members"
    await join(ann, document, bob, "editor")
    listed = await bob.get(path)
    assert [(one["kind"], one["handle"], one["role"]) for one in listed["items"]] == [
        ("user", "ann", "owner"),
        ("user", "bob", "editor"),
    ]
    assert set(listed["items"][0]) == {"kind", "memberId", "name", "handle", "color", "role", "addedAt"}
    first = await bob.get(path, params={"limit": 1})
    second = await bob.get(path, params={"limit": 1, "cursor": first["nextCursor"]})
    assert [one["name"] for one in first["items"] + second["items"]] == ["Ann", "Bob"]
    assert second["nextCursor"] == ""

    changed = await ann.done("PUT", f"{path}/{bob.id}", 200, json={"role": "viewer"})
    assert (changed["memberId"], changed["role"]) == (bob.id, "viewer")
    assert (await bob.get(f"/documents/{document}"))["role"] == "viewer"
    await bob.refused("PUT", f"{path}/{bob.id}", "permission_denied", json={"role": "owner"})
    assert await ann.done("DELETE", f"{path}/{bob.id}", 200) == {"remaining": None, "byLink": None}
    await bob.refused("GET", path, "file_not_found")
    await ann.refused("DELETE", f"{path}/{ann.id}", "last_owner")
    await ann.refused("PUT", f"{path}/{ann.id}", "last_owner", json={"role": "viewer"})
    await ann.refused("POST", f"/documents/{document}/leave", "last_owner")


async def test_bodies_say_nothing_else(town: Town) -> None:
    ann, bob = await town.person("ann"), await town.person("bob")
    document = await ann.document()
    await join(ann, document, bob, "viewer")
    bodies: list[Any] = [{}, {"role": "king"}, {"role": "viewer", "addedBy": bob.id}, {"role": None}, [], "viewer"]
    for body in bodies:
        await ann.refused("PUT", f"/documents/{document}/members/{bob.id}", "invalid_request", json=body)


async def test_a_group_is_a_member_and_an_administrator_adds_anybody(town: Town) -> None:
    ann, bob = await town.person("ann"), await town.person("bob")
    document = await ann.document()
    path = f"/documents/{document}/members"
    group = await ann.post("/groups", {"name": "Team"}, 201)
    added = await ann.done("PUT", f"{path}/{group['groupId']}", 200, json={"role": "editor"})
    assert (added["kind"], added["name"], added["handle"], added["color"]) == ("group", "Team", None, None)
    await ann.refused("PUT", f"{path}/{bob.id}", "not_found", json={"role": "editor"})
    await town.ada.done("PUT", f"{path}/{bob.id}", 200, json={"role": "editor"})
    assert (await bob.get(f"/documents/{document}"))["role"] == "editor"


async def test_transfer_and_leave(town: Town) -> None:
    ann, bob = await town.person("ann"), await town.person("bob")
    document = await ann.document()
    await join(ann, document, bob, "viewer")
    done = await ann.post(f"/documents/{document}/transfer", {"to": bob.id, "role": "editor"})
    assert (done["owner"]["handle"], done["owner"]["role"]) == ("bob", "owner")
    assert (done["giver"]["handle"], done["giver"]["role"]) == ("ann", "editor")
    await ann.refused(
        "POST", f"/documents/{document}/transfer", "permission_denied", json={"to": ann.id, "role": "viewer"}
    )
    assert await ann.post(f"/documents/{document}/leave") == {"remaining": None, "byLink": None}
    await ann.refused("GET", f"/documents/{document}", "file_not_found")


async def test_bans(town: Town) -> None:
    ann, bob = await town.person("ann"), await town.person("bob")
    document = await ann.document()
    path = f"/documents/{document}/bans"
    await join(ann, document, bob, "editor")
    link = await ann.post(f"/documents/{document}/links", {"role": "editor"}, 201)
    secret = link["url"].partition("#link=")[2]
    ban = await ann.done("PUT", f"{path}/{bob.id}", 200)
    assert (ban["user"]["handle"], ban["bannedBy"]) == ("bob", ann.id)
    assert (await ann.get(path))["items"] == [ban]
    await bob.refused("GET", f"/documents/{document}", "file_not_found")
    refused = await bob.refused("POST", "/links/open", "banned", json={"secret": secret})
    assert refused.status_code == 403
    await ann.refused("PUT", f"{path}/{ann.id}", "invalid_request")
    await ann.refused("PUT", f"{path}/usr_none", "not_found")
    await ann.done("DELETE", f"{path}/{bob.id}", 204)
    await ann.refused("DELETE", f"{path}/{bob.id}", "not_found")
    assert (await bob.post("/links/open", {"secret": secret}))["role"] == "editor"


async def test_rules_are_replaced_where_they_are_as_they_were_read(town: Town) -> None:
    ann, bob = await town.person("ann"), await town.person("bob")
    document = await ann.document()
    path = f"/documents/{document}/rules"
    await join(ann, document, bob, "viewer")
    rules = [
        {"memberKind": "everyone", "memberId": "", "pattern": "**", "access": "none"},
        {"memberKind": "user", "memberId": bob.id, "pattern": "docs/**", "access": "write"},
    ]
    read = await ann.ask("GET", path)
    assert read.json() == {"rules": []}
    tag = read.headers["etag"]
    assert tag == (await ann.ask("GET", f"/documents/{document}")).headers["etag"]
    await ann.refused("PUT", path, "precondition_required", json={"rules": rules})
    written = await ann.ask("PUT", path, json={"rules": rules}, headers={"If-Match": tag})
    assert (written.status_code, written.json()) == (200, {"rules": rules})
    await ann.refused("PUT", path, "precondition_failed", json={"rules": []}, headers={"If-Match": tag})
    assert (await ann.get(path)) == {"rules": rules}
    await bob.refused("GET", path, "permission_denied")
    headers = {"If-Match": written.headers["etag"]}
    wrong: list[Any] = [
        {"memberKind": "everyone", "pattern": "../x", "access": "read"},
        {"memberKind": "everyone", "pattern": "x", "access": "all"},
        {"memberKind": "planet", "pattern": "x", "access": "read"},
        {"memberKind": "user", "memberId": "usr_none", "pattern": "x", "access": "read"},
        {"pattern": "x", "access": "read"},
    ]
    for rule in wrong:
        await ann.refused("PUT", path, "invalid_request", json={"rules": [rule]}, headers=headers)
    too_many = {"rules": [rules[0]] * 201}
    await ann.refused("PUT", path, "invalid_request", json=too_many, headers=headers)
