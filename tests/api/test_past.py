"""The past of a workspace by HTTP: browsed, downloaded, compared, restored, forked."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import Any

from tests.api.test_members import join
from tests.api.test_workspaces import fs, paths
from tests.api.town import Person, Town


def past(workspace_id: str, what: str) -> str:
    return f"/workspace/{workspace_id}/history/{what}"


async def lived(ann: Person) -> str:
    """src/main.py is made (2), written (3) and edited (4); renamed to lib/main.py (5); notes made (6, 7); gone (8)."""
    workspace_id = await ann.workspace()
    await ann.post(fs(workspace_id, "mkdir"), {"path": "src"})
    await ann.write(workspace_id, "src/main.py", "one\ntwo\n")
    await ann.write(workspace_id, "src/main.py", "one\n2\n", 1)
    await ann.post(fs(workspace_id, "rename"), {"source": "src", "target": "lib"})
    await ann.write(workspace_id, "notes", "a note")
    await ann.post(fs(workspace_id, "delete"), {"path": "lib"})
    return workspace_id


async def test_a_workspace_is_browsed_as_it_was(town: Town) -> None:
    ann = await town.person("ann")
    workspace_id = await lived(ann)
    for at, expected in ((0, []), (1, ["src"]), (4, ["src"]), (5, ["lib"]), (7, ["lib", "notes"]), (8, ["notes"])):
        listed = await ann.get(fs(workspace_id, "list"), params={"at": at})
        assert ([item["path"] for item in listed["items"]], listed["serverSequenceId"]) == (expected, at)
    read: dict[str, Any] = {"params": {"path": "src/main.py", "at": 3}}
    found = await ann.get(fs(workspace_id, "read"), **read)
    assert (found["text"], found["documentVersion"], found["entry"]["path"]) == ("one\ntwo\n", 1, "src/main.py")
    plain = await ann.ask("GET", fs(workspace_id, "read"), **read, headers={"Accept": "text/plain"})
    assert plain.text == "one\ntwo\n"
    at_9 = {"path": "", "at": 9}
    await ann.refused("GET", fs(workspace_id, "list"), "base_version_future", params=at_9)
    await ann.refused("GET", fs(workspace_id, "list"), "invalid_path", params={"path": "notes", "at": 7})
    await ann.refused("GET", fs(workspace_id, "read"), "file_not_found", params={"path": "lib", "at": 8})


async def test_only_editors_see_the_past(town: Town) -> None:
    ann, ben = await town.person("ann"), await town.person("ben")
    workspace_id = await lived(ann)
    await join(ann, workspace_id, ben, "viewer")
    assert await paths(ben, workspace_id) == ["notes"]
    await ben.refused("GET", fs(workspace_id, "list"), "permission_denied", params={"at": 3})
    await ben.refused("GET", fs(workspace_id, "read"), "permission_denied", params={"path": "notes", "at": 7})
    await ben.refused("GET", past(workspace_id, "timeline"), "permission_denied")
    await ann.done("PUT", f"/documents/{workspace_id}/members/{ben.id}", 200, json={"role": "editor"})
    rules = [{"memberKind": "everyone", "memberId": "", "pattern": "lib/**", "access": "read"}]
    answer = await ann.ask("GET", f"/documents/{workspace_id}/rules")
    etag = {"If-Match": answer.headers["ETag"]}
    await ann.done("PUT", f"/documents/{workspace_id}/rules", 200, json={"rules": rules}, headers=etag)
    # What is in lib is in the trash, and was in src; it is not ben's to write, and so its past is not his to see.
    listed = await ben.get(fs(workspace_id, "list"), params={"path": "src", "at": 4})
    assert listed["items"] == []
    await ben.refused("GET", past(workspace_id, "blame"), "file_not_found", params={"path": "src/main.py", "at": 4})


async def test_what_was_done_and_what_differs(town: Town) -> None:
    ann = await town.person("ann")
    workspace_id = await lived(ann)
    (work,) = (await ann.get(past(workspace_id, "timeline")))["items"]
    assert (work["author"]["displayName"], work["firstSequence"], work["lastSequence"]) == ("Ann", 1, 8)
    assert [(each["verb"], each["path"], each["newPath"]) for each in work["tree"]] == [
        ("deleted", "lib", ""),
        ("created", "notes", ""),
        ("renamed", "src", "lib"),
        ("created", "src/main.py", ""),
        ("created", "src", ""),
    ]
    assert [(each["path"], each["toVersion"]) for each in work["files"]] == [("notes", 1), ("src/main.py", 2)]
    (work,) = (await ann.get(past(workspace_id, "timeline"), params={"before": 2}))["items"]
    assert work["operations"] == 2

    differing = (await ann.get(past(workspace_id, "differences"), params={"from": 3, "to": 7}))["items"]
    assert [(each["kind"], each["path"], each["newPath"], each["changedContent"]) for each in differing] == [
        ("moved", "src", "lib", False),
        ("changed", "src/main.py", "lib/main.py", True),
        ("added", "", "notes", False),
    ]
    wrong = {"from": 5, "to": 2}
    await ann.refused("GET", past(workspace_id, "differences"), "invalid_request", params=wrong)
    asked = {"path": "lib/main.py", "from": 3, "to": 7}
    found = await ann.get(past(workspace_id, "difference"), params=asked)
    assert (found["fromVersion"], found["toVersion"], found["edits"]) == (1, 2, [[4, "two", "2"]])
    await ann.refused("GET", past(workspace_id, "difference"), "not_a_text", params={"path": "lib", "to": 7})
    sessions = await ann.get(past(workspace_id, "sessions"), params={"path": "src/main.py", "at": 3})
    assert [(each["toVersion"], each["inserted"]) for each in sessions["items"]] == [(1, 8)]
    blame = await ann.get(past(workspace_id, "blame"), params={"path": "lib/main.py", "at": 7})
    assert (blame["version"], sum(run["length"] for run in blame["runs"])) == (2, 6)


async def test_a_file_is_followed_by_its_id(town: Town) -> None:
    """Through renames of it and of the folder above, until it is not there yet, or in the trash."""
    ann, ben = await town.person("ann"), await town.person("ben")
    workspace_id = await lived(ann)
    (entry,) = (await ann.get(fs(workspace_id, "list"), params={"path": "src", "at": 4}))["items"]
    then = past(workspace_id, "file")
    found = {}
    for at in (3, 4, 5):
        answer = await ann.get(then, params={"fileId": entry["fileId"], "at": at})
        found[at] = (answer["entry"]["path"], answer["text"], answer["documentVersion"])
    assert found == {
        3: ("src/main.py", "one\ntwo\n", 1),
        4: ("src/main.py", "one\n2\n", 2),
        5: ("lib/main.py", "one\n2\n", 2),
    }
    for at in (0, 8):
        await ann.refused("GET", then, "file_not_found", params={"fileId": entry["fileId"], "at": at})
    await ann.refused("GET", then, "file_not_found", params={"fileId": "f" * 26})
    await join(ann, workspace_id, ben, "viewer")
    await ben.refused("GET", then, "permission_denied", params={"fileId": entry["fileId"], "at": 7})


async def test_a_moment_is_downloaded_bit_for_bit_the_same(town: Town) -> None:
    ann = await town.person("ann")
    workspace_id = await lived(ann)
    answers = [
        await ann.ask("GET", past(workspace_id, "archive"), params={"at": 7, "format": form})
        for form in ("zip", "zip", "tar.gz", "tar.gz")
    ]
    assert answers[0].content == answers[1].content
    assert answers[2].content == answers[3].content
    assert answers[2].headers["content-disposition"] == f'attachment; filename="{workspace_id}-7.tar.gz"'
    with zipfile.ZipFile(io.BytesIO(answers[0].content)) as found:
        assert {name: found.read(name) for name in found.namelist()} == {
            "lib/": b"",
            "lib/main.py": b"one\n2\n",
            "notes": b"a note",
        }
    with tarfile.open(fileobj=io.BytesIO(answers[2].content)) as tar:
        assert tar.getnames() == ["lib", "lib/main.py", "notes"]
    part = await ann.ask("GET", past(workspace_id, "archive"), params={"at": 4, "path": "src/main.py"})
    with zipfile.ZipFile(io.BytesIO(part.content)) as found:
        assert found.namelist() == ["src/main.py"]
    await ann.refused("GET", past(workspace_id, "archive"), "file_not_found", params={"at": 8, "path": "lib"})


async def test_it_is_restored_and_what_was_before_as_well(town: Town) -> None:
    ann = await town.person("ann")
    workspace_id = await lived(ann)
    key = {"Idempotency-Key": "once"}
    done = await ann.post(past(workspace_id, "restore"), {"sequence": 3}, headers=key)
    assert (done["sequence"], done["texts"]) == (8, 1)
    read: dict[str, Any] = {"params": {"path": "src/main.py"}}
    assert (await ann.get(fs(workspace_id, "read"), **read))["text"] == "one\ntwo\n"
    assert await paths(ann, workspace_id) == ["src"]
    before = await ann.get(fs(workspace_id, "list"))
    await ann.post(past(workspace_id, "restore"), {"sequence": 3}, headers=key)
    assert await ann.get(fs(workspace_id, "list")) == before  # nothing was done once more
    await ann.post(past(workspace_id, "restore"), {"sequence": 8})
    assert await paths(ann, workspace_id) == ["notes"]
    await ann.post(past(workspace_id, "restore"), {"sequence": 4, "path": "src/main.py"})
    # Its folder is in the trash: it is at the top.
    assert await paths(ann, workspace_id) == ["main.py", "notes"]
    await ann.refused("POST", past(workspace_id, "restore"), "file_not_found", json={"sequence": 4, "path": "x"})


async def test_a_fork_is_ones_own(town: Town) -> None:
    ann, ben = await town.person("ann"), await town.person("ben")
    workspace_id = await lived(ann)
    await join(ann, workspace_id, ben, "editor")
    body, key = {"name": "Mine", "sequence": 5}, {"Idempotency-Key": "once"}
    made = await ben.post(past(workspace_id, "fork"), body, 201, headers=key)
    assert (made["name"], made["role"], made["kind"]) == ("Mine", "owner", "workspace")
    assert await ben.post(past(workspace_id, "fork"), body, 201, headers=key) == made
    fork_id = made["documentId"]
    assert await paths(ben, fork_id, "lib") == ["lib/main.py"]
    theirs = await ben.get(fs(fork_id, "read"), params={"path": "lib/main.py"})
    source = await ben.get(fs(workspace_id, "read"), params={"path": "lib/main.py", "at": 5})
    assert theirs["text"] == source["text"] == "one\n2\n"
    assert theirs["entry"]["fileId"] != source["entry"]["fileId"]
    events = (await ben.get(f"/documents/{fork_id}/events"))["items"]
    (event,) = [event for event in events if event["action"] == "document.made"]
    assert event["detail"] == {"forkedFrom": workspace_id, "at": 5}
    await ann.refused("GET", fs(fork_id, "list"), "file_not_found")
