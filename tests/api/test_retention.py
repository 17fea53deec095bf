"""How long history is kept, and legal holds, by HTTP; and what people are told of a history that was pruned."""

from __future__ import annotations

from typing import Any

import pytest

from coscribe.documents.ports import SegmentSize
from coscribe.documents.pruning import DAY, Pruning
from coscribe.persistence.signing import signing_key
from tests.api.test_content import put, text_of
from tests.api.test_documents import invite
from tests.api.town import PASSWORD, Person, Town

KEPT = {"days": 0, "own": False, "hold": None, "pruned": None}


async def events(town: Town, document: str) -> list[tuple[str, str]]:
    found = await town.ada.get(f"/documents/{document}/events")
    return [(event["action"], event["actor"]) for event in reversed(found["items"])]


async def hold(town: Town, document: str, reason: str = "a case") -> Any:
    return await town.ada.done("PUT", f"/admin/documents/{document}/hold", 200, json={"reason": reason})


async def typed(ben: Person, document: str, count: int) -> None:
    """So many versions."""
    for version in range(count):
        await put(ben, document, f"{version}\n" * (version + 1), version)


async def pruned(town: Town, document: str, days: int = 1) -> int:
    """Prunes what the server has of a document, as if two days had gone by; the version that is the oldest then."""
    coscribe = town.coscribe
    await coscribe.collaboration.drain()
    storage, settings = coscribe.storage, coscribe.settings
    pruning = Pruning(
        storage,
        lambda: signing_key(settings.folder),
        days,
        lambda: 2**60,
        lambda: 0.0,
        coscribe.people.tell_pruned,
    )
    for item in await pruning.due():
        if item.workspace.workspace_id == document:
            size = settings.policy
            key = item.workspace.key
            await storage.compact(key, await storage.closed(key), SegmentSize(size.segment_entries, 10**6, 1))
            assert await pruning.prune(item) is not None
            return (await storage.pruned(key)).versions[item.workspace.files[0].key]
    raise AssertionError("it is not to be pruned")


async def test_by_default_everything_is_kept_and_an_owner_may_say_otherwise(town: Town) -> None:
    ben = await town.person("ben")
    document = await ben.document("Plan", "one")
    path = f"/documents/{document}/retention"
    assert await ben.get(path) == KEPT
    assert await ben.done("PUT", path, 200, json={"days": 365}) == {**KEPT, "days": 365, "own": True}
    assert await ben.done("PUT", path, 200, json={"days": 0}) == {**KEPT, "own": True}
    assert await ben.done("PUT", path, 200, json={"days": None}) == KEPT
    for days in (-1, 40_000, "7", 1.5):
        await ben.refused("PUT", path, "invalid_request", json={"days": days})
    assert [event for event in await events(town, document) if event[0] == "retention.set"] == [
        ("retention.set", ben.id)
    ] * 3


@pytest.mark.both_databases
async def test_under_a_hold_nothing_is_deleted(town: Town) -> None:
    ben = await town.person("ben")
    document = await ben.document("Plan", "one")
    path = f"/documents/{document}"
    await ben.refused("PUT", f"/admin{path}/hold", "permission_denied", json={"reason": "mine"})
    await town.ada.refused("PUT", "/admin/documents/nothing/hold", "file_not_found", json={"reason": "a case"})
    await town.ada.refused("PUT", f"/admin{path}/hold", "invalid_request", json={"reason": " "})
    held = await hold(town, document)
    assert (held["hold"]["reason"], held["hold"]["heldBy"]) == ("a case", town.ada.id)
    assert await ben.get(f"{path}/retention") == held
    await ben.post(f"{path}/trash")
    await ben.refused("DELETE", path, "legal_hold")
    await ben.refused("POST", "/account/delete", "legal_hold", json={"currentPassword": PASSWORD})
    await ben.post(f"{path}/restore")
    await ben.refused("PUT", f"{path}/retention", "legal_hold", json={"days": 7})
    await ben.done("PUT", f"{path}/retention", 200, json={"days": 0})
    await town.coscribe.people.services.documents.purge()
    assert await text_of(ben, document) == "one"

    released = await town.ada.done("DELETE", f"/admin{path}/hold", 200)
    assert released["hold"] is None
    await town.ada.refused("DELETE", f"/admin{path}/hold", "not_found")
    await ben.done("PUT", f"{path}/retention", 200, json={"days": 7})
    await hold(town, document)
    await ben.done("PUT", f"{path}/retention", 200, json={"days": 8})
    await ben.refused("PUT", f"{path}/retention", "legal_hold", json={"days": 6})
    await ben.done("PUT", f"{path}/retention", 200, json={"days": None})
    await town.ada.done("DELETE", f"/admin{path}/hold", 200)
    done = [event for event in await events(town, document) if event[0].startswith("hold.")]
    assert done == [("hold.set", town.ada.id), ("hold.released", town.ada.id)] * 2
    await ben.post(f"{path}/trash")
    await ben.done("DELETE", path, 204)


@pytest.mark.both_databases
async def test_a_history_that_was_pruned_says_where_it_begins(town: Town) -> None:
    ben, cleo = await town.person("ben"), await town.person("cleo")
    document = await ben.document("Plan")
    await invite(ben, document, cleo, "editor")
    await typed(ben, document, 12)
    path = f"/documents/{document}"
    before = await ben.get(f"{path}/history/blame")
    oldest = await pruned(town, document)
    assert oldest == 11
    for part in (f"content?version={oldest - 1}", "history/operations?after=0", f"history/blame?version={oldest - 1}"):
        refused = await ben.refused("GET", f"{path}/{part}", "history_pruned")
        assert refused.status_code == 410
    await ben.refused("POST", f"{path}/history/restore", "history_pruned", json={"version": 3})
    await ben.refused("POST", f"{path}/history/names", "history_pruned", json={"version": 3, "name": "gone"})
    assert await ben.get(f"{path}/history/blame") == before
    sessions = await ben.get(f"{path}/history/sessions")
    assert (sessions["oldestVersion"], sessions["nextBefore"], len(sessions["items"])) == (oldest, None, 1)
    played = await ben.get(f"{path}/history/operations?after={oldest}")
    assert [operation["version"] for operation in played["operations"]] == [12]
    shown = (await ben.get(f"{path}/retention"))["pruned"]
    assert (shown["sequence"], shown["version"]) == (11, 11)
    assert ("log.pruned", "server") in await events(town, document)
    await put(cleo, document, "on it goes", 12)
    assert await text_of(ben, document) == "on it goes"
    refused = await ben.ask(
        "PUT", f"{path}/content", content=b"late", headers={"If-Match": '"v3"', "Content-Type": "text/plain"}
    )
    assert refused.json()["code"] in ("history_pruned", "base_version_too_old")
    assert await text_of(ben, document) == "on it goes"


@pytest.mark.both_databases
async def test_deleting_a_pruned_document_leaves_nothing_of_it(town: Town) -> None:
    ben = await town.person("ben")
    document = await ben.document("Plan")
    await typed(ben, document, 6)
    await ben.done("PUT", f"/documents/{document}/retention", 200, json={"days": 1})
    await pruned(town, document, days=0)
    await ben.post(f"/documents/{document}/trash")
    await ben.done("DELETE", f"/documents/{document}", 204)
    for table in ("log_checkpoints", "checkpoint_files", "retention", "log_segments", "operation_runs"):
        rows = await town.coscribe.people.database.read(
            lambda connection, table=table: connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()  # type: ignore[misc]  # the default binds the loop's value
        )
        assert rows == 0, table


async def test_a_request_that_comes_again_after_its_ids_are_forgotten_discards_no_document(town: Town) -> None:
    """What an Idempotency-Key has made long ago is not taken for what could not be filled."""
    ben = await town.person("ben")
    body = {"name": "Plan", "text": "made long ago"}
    headers = {"Idempotency-Key": "long-ago"}
    document = (await ben.post("/documents", body, 201, headers=headers))["documentId"]
    for version in range(1, 5):
        await put(ben, document, f"version {version}", version)
    await pruned(town, document)
    storage = town.coscribe.storage
    pruning = Pruning(storage, lambda: signing_key(town.coscribe.settings.folder), 1, lambda: DAY, lambda: 0.0)
    (item,) = [one for one in await pruning.due() if one.workspace.workspace_id == document]
    assert await pruning.forget_ids(item)
    await town.coscribe.collaboration.forget(document)
    await town.coscribe.people.database.write(
        lambda connection: connection.exec_driver_sql("DELETE FROM idempotent_answers")
    )
    await ben.refused("POST", "/documents", "base_version_too_old", json=body, headers=headers)
    assert await text_of(ben, document) == "version 4"
