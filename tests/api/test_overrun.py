"""Where no more passwords can be hashed, who wants in is asked to come again, and everybody else notices nothing."""

from __future__ import annotations

import pytest

from tests.api.town import PASSWORD, Town


async def test_no_room_for_another_password(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    ben = await town.person("ben")
    begin = {"name": "ben", "password": PASSWORD}
    await town.nobody().done("POST", "/session", 201, json=begin)
    monkeypatch.setattr(town.coscribe.people.services.passwords, "_waiting", 10_000)
    for path in ("/session", "/accounts", "/setup"):
        answer = await town.nobody().refused("POST", path, "too_many_requests", json=begin)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["x-request-id"]
    renewed = await town.nobody().done("POST", "/session/refresh", 200, json={"refreshToken": ben.refresh_token})
    assert renewed["accessToken"]
    await ben.get("/account")
    monkeypatch.undo()
    await town.nobody().done("POST", "/session", 201, json=begin)
