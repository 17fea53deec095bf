"""Finding people by HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.town import Person, Town, open_town

pytestmark = pytest.mark.slow


async def found(person: Person, query: str, **more: str) -> list[str]:
    return [one["handle"] for one in (await person.get("/users", params={"query": query, **more}))["items"]]


async def test_by_name_handle_and_whole_address(town: Town) -> None:
    ann = await town.person("ann")
    await town.verified("bob", "robert@example.org")
    await town.person("cem", displayName="Bo Bobson", email="unverified@example.org")
    assert await found(ann, "BOB") == ["bob", "cem"]
    assert await found(ann, "robert@example.org") == ["bob"]
    for query in ("robert", "example.org", "unverified@example.org"):
        assert await found(ann, query) == []
    [row] = (await ann.get("/users?query=robert@example.org"))["items"]
    assert set(row) == {"userId", "handle", "displayName", "color"}


async def test_who_opts_out_is_not_found(town: Town) -> None:
    ann, bob = await town.person("ann"), await town.verified("bob", "bob@example.org")
    tag = (await bob.ask("GET", "/account")).headers["etag"]
    await bob.done("PATCH", "/account", 200, json={"discoverable": False}, headers={"If-Match": tag})
    assert await found(ann, "bob") == []
    assert await found(ann, "bob@example.org") == []


async def test_pages(town: Town) -> None:
    ann = await town.person("ann")
    for name in ("zed1", "zed2", "zed3"):
        await town.person(name)
    first = await ann.get("/users?query=zed&limit=2")
    second = await ann.get(f"/users?query=zed&limit=2&cursor={first['nextCursor']}")
    assert [one["handle"] for one in first["items"] + second["items"]] == ["zed1", "zed2", "zed3"]
    assert second["nextCursor"] == ""


async def test_what_is_refused(town: Town) -> None:
    ann = await town.person("ann")
    for query in ("", "?query=a", "?query=%20%20a", "?query=" + "x" * 321, "?query=ann&limit=0", "?query=ann&cursor=x"):
        await ann.refused("GET", f"/users{query}", "invalid_request")
    await town.nobody().refused("GET", "/users?query=ann", "sign_in_required")


async def test_searching_has_a_budget_of_its_own(tmp_path: Path) -> None:
    async with open_town(tmp_path, rate_factor=0.1) as town:
        statuses = [(await town.ada.ask("GET", "/users?query=ann")).status_code for _ in range(8)]
        assert statuses[0] == 200 and statuses[-1] == 429
        await town.ada.get("/account")
