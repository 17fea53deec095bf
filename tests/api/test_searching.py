"""Searching in files by HTTP."""

from __future__ import annotations

from tests.api.test_members import join
from tests.api.town import Town


async def test_files_are_searched(town: Town) -> None:
    ann, ben = await town.person("ann"), await town.person("ben")
    workspace_id = await ann.workspace(plan="one lamp\n", lamp="no light\n")
    where = f"/workspace/{workspace_id}/search"
    found = await ann.get(where, params={"q": "LAMP"})
    assert [(file["path"], file["inName"], len(file["places"])) for file in found["files"]] == [
        ("lamp", True, 0),
        ("plan", False, 1),
    ]
    assert found["files"][1]["places"][0] == {
        "line": 1,
        "column": 4,
        "length": 4,
        "before": "one ",
        "text": "lamp",
        "behind": "",
    }
    assert (found["lookedAt"], found["nextAfter"], found["cut"]) == (2, None, None)
    options = {"q": "l.mp", "regex": "true", "case": "true", "word": "true", "glob": ["p*", "!x"], "after": "lamp"}
    assert [file["path"] for file in (await ann.get(where, params=options))["files"]] == ["plan"]
    await ann.refused("GET", where, "invalid_request", params={"q": "(", "regex": "true"})
    await ann.refused("GET", where, "invalid_request", params={"q": ""})
    await ben.refused("GET", where, "file_not_found", params={"q": "lamp"})
    await join(ann, workspace_id, ben, "viewer")
    assert len((await ben.get(where, params={"q": "lamp"}))["files"]) == 2
    document_id = await ann.document()
    await ann.refused("GET", f"/workspace/{document_id}/search", "file_not_found", params={"q": "lamp"})
