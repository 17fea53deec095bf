"""Asking for access: the same answer for everybody, one request a person, and what owners do with it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from coscribe.access import requests as requests_module
from coscribe.access.requests import DAY, LIFETIME
from coscribe.persistence.schema import access_requests
from tests.api.test_documents import invite
from tests.api.town import Person, Town, open_town

pytestmark = pytest.mark.slow


def at(document: str) -> str:
    return f"/documents/{document}/access-requests"


async def asked(owner: Person, document: str) -> list[tuple[str, str]]:
    """Who asks, and what they say."""
    items = (await owner.get(at(document)))["items"]
    return [(item["person"]["handle"], item["message"]) for item in items]


async def age(town: Town, microseconds: int) -> None:
    """Makes all requests so much older."""
    column = access_requests.c
    older = {name: column[name] - microseconds for name in ("asked_at", "expires_at", "mailed_at")}
    await town.coscribe.people.database.write(
        lambda connection: connection.execute(update(access_requests).values(older))
    )


async def test_owners_see_who_asks_and_let_them_in(town: Town) -> None:
    ben, dora, eve = await town.person("ben"), await town.person("dora"), await town.person("eve")
    document = await ben.document("Plan")
    await dora.post(at(document), {"message": "May I?"}, 202)
    await eve.post(at(document), None, 202)
    await dora.post(at(document), {"message": "Please."}, 202)
    assert await asked(ben, document) == [("dora", "Please."), ("eve", "")]
    first, second = (await ben.get(at(document)))["items"]
    await ben.post(f"{at(document)}/{first['requestId']}/grant", {"role": "editor"}, 204)
    await ben.post(f"{at(document)}/{second['requestId']}/decline", None, 204)
    assert (await dora.get(f"/documents/{document}"))["role"] == "editor"
    await eve.refused("GET", f"/documents/{document}", "file_not_found")
    assert await asked(ben, document) == []
    for what in ("grant", "decline"):
        body = {"role": "viewer"} if what == "grant" else None
        await ben.refused("POST", f"{at(document)}/{first['requestId']}/{what}", "not_found", json=body)
    await eve.post(at(document), {"message": "Really?"}, 202)
    assert await asked(ben, document) == [("eve", "Really?")]
    events = (await ben.get(f"/documents/{document}/events"))["items"]
    seen = [(event["action"], event["subject"]) for event in events if event["action"].startswith("access.")]
    assert seen.count(("access.asked", "")) == 4
    assert ("access.granted", dora.id) in seen
    assert ("access.declined", eve.id) in seen


async def test_the_answer_tells_nothing(town: Town) -> None:
    """Whether there is a document, in the trash or not, whether one is in it or kept out of it."""
    ben, cleo, dora = await town.person("ben"), await town.person("cleo"), await town.person("dora")
    there, trashed, mine = [await ben.document(name) for name in ("there", "trashed", "mine")]
    await ben.post(f"/documents/{trashed}/trash")
    await invite(ben, mine, dora, "viewer")
    banned = await ben.document("banned")
    await ben.done("PUT", f"/documents/{banned}/bans/{dora.id}", 200)
    answers = [await dora.ask("POST", at(one), json={}) for one in (there, trashed, mine, banned, "doc_none", "?!")]
    shown = {
        (answer.status_code, answer.content, tuple(sorted(set(answer.headers) - {"x-request-id"})))
        for answer in answers[:5]
    }
    assert len(shown) == 1
    assert answers[0].status_code == 202
    await ben.post(f"/documents/{trashed}/restore")
    assert [await asked(ben, one) for one in (there, trashed, mine, banned)] == [[("dora", "")], [], [], []]
    await cleo.refused("GET", at(there), "file_not_found")
    await town.nobody().refused("POST", at(there), "sign_in_required", json={})
    token = await dora.post("/account/tokens", {"name": "bot", "scope": "manage"}, 201)
    await town.with_token(token["secret"]).refused("POST", at(there), "permission_denied", json={})


async def test_so_many_may_ask_and_no_more(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests_module, "MAX_OPEN", 2)
    ben = await town.person("ben")
    document = await ben.document("Plan")
    for handle in ("p1", "p2", "p3"):
        await (await town.person(handle)).post(at(document), {}, 202)
    assert [handle for handle, _ in await asked(ben, document)] == ["p1", "p2"]
    page = await ben.get(at(document), params={"limit": 1})
    rest = await ben.get(at(document), params={"limit": 1, "cursor": page["nextCursor"]})
    assert [item["person"]["handle"] for item in page["items"] + rest["items"]] == ["p1", "p2"]


async def test_after_thirty_days_a_request_is_over(town: Town) -> None:
    ben, dora = await town.person("ben"), await town.person("dora")
    document = await ben.document("Plan")
    await dora.post(at(document), {"message": "old"}, 202)
    (item,) = (await ben.get(at(document)))["items"]
    await age(town, LIFETIME)
    assert await asked(ben, document) == []
    await ben.refused("POST", f"{at(document)}/{item['requestId']}/grant", "not_found", json={"role": "viewer"})
    await dora.post(at(document), {"message": "new"}, 202)
    assert await asked(ben, document) == [("dora", "new")]


async def test_owners_get_a_mail_once_a_day(town: Town) -> None:
    ben, dora = await town.verified("ben", "ben@example.org"), await town.person("dora")
    document = await ben.document("Plan")
    told = len([mail for mail in town.mailer.mails if mail.to == "ben@example.org"])
    for _ in range(3):
        await dora.post(at(document), {"message": "Buy at https://spam.example"}, 202)
    mail = await town.mailer.to("ben@example.org", told + 1)
    assert mail.subject == "Dora asks for access to “Plan”"
    assert f"/d/{document}" in mail.text
    assert "spam" not in mail.text
    (item,) = (await ben.get(at(document)))["items"]
    await ben.post(f"{at(document)}/{item['requestId']}/decline", None, 204)
    await dora.post(at(document), {}, 202)
    await (await town.person("eve")).post(at(document), {}, 202)
    await town.mailer.to("ben@example.org", told + 2)
    await age(town, DAY)
    await dora.post(at(document), {}, 202)
    await town.mailer.to("ben@example.org", told + 3)
    subjects = [mail.subject.split()[0] for mail in town.mailer.mails if mail.to == "ben@example.org"][told:]
    assert subjects == ["Dora", "Eve", "Dora"]


async def test_asking_is_bounded_for_each_person(tmp_path: Any) -> None:
    async with open_town(tmp_path, rate_factor=0.5) as town:
        dora = await town.person("dora")
        for _ in range(10):
            await dora.post(at("doc_none"), {}, 202)
        refused = await dora.refused("POST", at("doc_none"), "too_many_requests", json={})
        assert int(refused.headers["retry-after"]) > 1


async def test_what_one_asked_for_is_among_ones_own_data(town: Town) -> None:
    ben, dora = await town.person("ben"), await town.person("dora")
    document = await ben.document("Plan")
    await dora.post(at(document), {"message": "May I?"}, 202)
    exported = await dora.get("/account/export")
    assert [(one["workspace_id"], one["message"]) for one in exported["accessRequests"]] == [(document, "May I?")]
