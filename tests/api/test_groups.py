"""Groups by HTTP."""

from __future__ import annotations

import pytest

from tests.api.town import Town

pytestmark = pytest.mark.slow


async def test_a_group_from_beginning_to_end(town: Town) -> None:
    ann, bob, eve = await town.person("ann"), await town.person("bob"), await town.person("eve")
    made = await ann.ask("POST", "/groups", json={"name": "Choir"})
    group = made.json()
    path = f"/groups/{group['groupId']}"
    assert (made.status_code, made.headers["location"], made.headers["etag"]) == (201, f"/api{path}", '"r1"')
    assert (group["name"], group["owner"]["handle"], group["members"]) == ("Choir", "ann", 0)

    added = await ann.post(f"{path}/members", {"who": "bob"}, 201)
    assert set(added) == {"userId", "handle", "displayName", "color"}
    assert (await bob.get(f"{path}/members"))["items"] == [added]
    assert [one["name"] for one in (await bob.get("/groups"))["items"]] == ["Choir"]
    for person, code in ((bob, "permission_denied"), (eve, "not_found")):
        await person.refused("PATCH", path, code, json={"name": "Mine"}, headers={"If-Match": '"r2"'})
        await person.refused("DELETE", path, code)
        await person.refused("POST", f"{path}/members", code, json={"who": "eve"})
    await eve.refused("GET", path, "not_found")

    await ann.refused("PATCH", path, "precondition_required", json={"name": "Band"})
    await ann.refused("PATCH", path, "precondition_failed", json={"name": "Band"}, headers={"If-Match": '"r1"'})
    renamed = await ann.ask("PATCH", path, json={"name": "Band"}, headers={"If-Match": '"r2"'})
    assert (renamed.json()["name"], renamed.headers["etag"]) == ("Band", '"r3"')
    await bob.done("DELETE", f"{path}/members/{bob.id}", 204)
    await ann.refused("DELETE", f"{path}/members/{bob.id}", "not_found")
    await ann.refused("DELETE", path, "precondition_failed", headers={"If-Match": '"r3"'})
    await ann.done("DELETE", path, 204)
    await ann.refused("GET", path, "not_found")
    assert await ann.get("/groups") == {"items": [], "nextCursor": ""}


async def test_lists_page(town: Town) -> None:
    ann = await town.person("ann")
    for number in range(3):
        await ann.post("/groups", {"name": f"Group {number}"}, 201)
    first = await ann.get("/groups?limit=2")
    second = await ann.get(f"/groups?limit=2&cursor={first['nextCursor']}")
    assert [one["name"] for one in first["items"] + second["items"]] == ["Group 0", "Group 1", "Group 2"]
    for query in ("cursor=x", "limit=0", "limit=101", "cursor=WzFd"):
        await ann.refused("GET", f"/groups?{query}", "invalid_request")


async def test_the_same_key_makes_one_group(town: Town) -> None:
    ann = await town.person("ann")
    headers = {"Idempotency-Key": "one"}
    one = await ann.post("/groups", {"name": "Choir"}, 201, headers=headers)
    assert await ann.post("/groups", {"name": "Choir"}, 201, headers=headers) == one
    assert len((await ann.get("/groups"))["items"]) == 1


async def test_what_is_refused(town: Town) -> None:
    ann = await town.person("ann")
    for body in ({}, {"name": ""}, {"name": " "}, {"name": "x" * 129}, {"name": "x", "ownerId": ann.id}, {"name": 1}):
        await ann.refused("POST", "/groups", "invalid_request", json=body)
    group = await ann.post("/groups", {"name": "Choir"}, 201)
    await ann.refused("POST", f"/groups/{group['groupId']}/members", "not_found", json={"who": "nobody-here"})
    await town.nobody().refused("GET", "/groups", "sign_in_required")
    await town.of_folder().refused("GET", "/groups", "permission_denied")
