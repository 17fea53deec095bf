"""Workspaces by HTTP: made, listed, shared, and their files by path."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.town import Person, Town

ANEW = {"If-None-Match": "*"}
JSON = {"Accept": "application/json"}


def fs(workspace_id: str, verb: str) -> str:
    return f"/workspace/{workspace_id}/fs/{verb}"


async def paths(who: Person, workspace_id: str, path: str = "") -> list[str]:
    listing = await who.get(fs(workspace_id, "list"), params={"path": path})
    return [item["path"] for item in listing["items"]]


async def test_it_is_made_listed_renamed_and_deleted_like_a_document(town: Town) -> None:
    ann = await town.person("ann")
    made = await ann.post("/workspaces", {"name": "Project", "foldsCase": True}, 201, headers={"Idempotency-Key": "k"})
    workspace_id = made["documentId"]
    assert (made["kind"], made["name"], made["role"], made["status"]) == ("workspace", "Project", "owner", "active")
    again = await ann.post("/workspaces", {"name": "Project", "foldsCase": True}, 201, headers={"Idempotency-Key": "k"})
    assert again == made
    await ann.document("Notes")
    for kind, names in (("workspace", ["Project"]), ("document", ["Notes"]), ("all", ["Notes", "Project"])):
        listed = await ann.get("/documents", params={"kind": kind})
        assert [item["name"] for item in listed["items"]] == names
    answer = await ann.ask("GET", f"/documents/{workspace_id}")
    renamed = await ann.done(
        "PATCH",
        f"/documents/{workspace_id}",
        200,
        json={"name": "Thesis"},
        headers={"If-Match": answer.headers["ETag"]},
    )
    assert renamed["name"] == "Thesis"
    await ann.refused("GET", f"/documents/{workspace_id}/content", "not_a_text")
    await ann.post(f"/documents/{workspace_id}/archive")
    body: dict[str, Any] = {"json": {"path": "src"}}
    await ann.refused("POST", fs(workspace_id, "mkdir"), "permission_denied", **body)
    assert await paths(ann, workspace_id) == []
    await ann.post(f"/documents/{workspace_id}/trash")
    await ann.refused("GET", fs(workspace_id, "list"), "file_not_found")
    await ann.done("DELETE", f"/documents/{workspace_id}", 204)
    await ann.refused("GET", f"/documents/{workspace_id}", "file_not_found")


async def test_files_by_path(town: Town) -> None:
    ann = await town.person("ann")
    workspace_id = await ann.workspace()
    await ann.post(fs(workspace_id, "mkdir"), {"path": "src"})
    written = await ann.write(workspace_id, "src/main.py", "print('hello')\n")
    answer = await ann.ask("GET", fs(workspace_id, "read"), params={"path": "src/main.py"}, headers=JSON)
    assert answer.headers["ETag"] == f'"{written["fileId"]}:1"'
    content = answer.json()
    assert (content["text"], content["documentVersion"], content["entry"]["fileId"]) == (
        "print('hello')\n",
        1,
        written["fileId"],
    )
    plain = await ann.ask("GET", fs(workspace_id, "read"), params={"path": "src/main.py"})
    assert (plain.text, plain.headers["content-type"]) == ("print('hello')\n", "text/plain; charset=utf-8")
    await ann.write(workspace_id, "src/main.py", "# new\nprint('hello')\n", 1)
    await ann.write(workspace_id, "src/main.py", "print('hello')\n# last\n", 1)
    read = await ann.get(fs(workspace_id, "read"), params={"path": "src/main.py"}, headers=JSON)
    assert read["text"] == "# new\nprint('hello')\n# last\n"
    await ann.post(fs(workspace_id, "rename"), {"source": "src", "target": "lib"})
    stat = await ann.get(fs(workspace_id, "stat"), params={"path": "lib/main.py"})
    assert stat == {
        "fileId": written["fileId"],
        "path": "lib/main.py",
        "name": "main.py",
        "kind": "text",
        "content": "",
        "properties": {},
    }
    await ann.post(fs(workspace_id, "copy"), {"source": "lib", "target": "src"})
    await ann.post(fs(workspace_id, "delete"), {"path": "lib"})
    assert await paths(ann, workspace_id) == ["src"]
    trash = await ann.get(fs(workspace_id, "trash"))
    assert [item["path"] for item in trash["items"]] == ["lib"]
    await ann.post(fs(workspace_id, "restore"), {"fileId": trash["items"][0]["fileId"], "target": "src/old"})
    assert await paths(ann, workspace_id, "src") == ["src/main.py", "src/old"]


async def test_saving_is_a_barrier(town: Town) -> None:
    ann = await town.person("ann")
    workspace_id = await ann.workspace(plan="a plan")
    written = await ann.write(workspace_id, "plan", "another plan", 1)
    for path in ("plan", ""):
        saved = await ann.post(fs(workspace_id, "save"), {"path": path})
        assert saved["serverSequenceId"] == written["operation"]["serverSequenceId"]
    await ann.refused("POST", fs(workspace_id, "save"), "file_not_found", json={"path": "nothing"})


async def test_what_is_asked_again_with_a_key_is_done_once(town: Town) -> None:
    ann = await town.person("ann")
    workspace_id = await ann.workspace(plan="a plan")
    key = {"Idempotency-Key": "once"}
    for verb, body in (("mkdir", {"path": "src"}), ("rename", {"source": "plan", "target": "plan b"})):
        headers = {"Idempotency-Key": verb}
        first = await ann.post(fs(workspace_id, verb), body, headers=headers)
        assert await ann.post(fs(workspace_id, verb), body, headers=headers) == first
    options: dict[str, Any] = {"params": {"path": "new"}, "content": b"x", "headers": {"If-None-Match": "*", **key}}
    written = await ann.done("PUT", fs(workspace_id, "write"), 200, **options)
    assert await ann.done("PUT", fs(workspace_id, "write"), 200, **options) == written
    assert await paths(ann, workspace_id) == ["new", "plan b", "src"]


@pytest.mark.parametrize(
    ("method", "verb", "options", "code"),
    [
        ("GET", "stat", {"params": {"path": "nothing"}}, "file_not_found"),
        ("GET", "stat", {"params": {"path": "../plan"}}, "invalid_path"),
        ("GET", "read", {"params": {"path": ""}}, "invalid_path"),
        ("GET", "list", {"params": {"path": "plan"}}, "invalid_path"),
        ("GET", "list", {"params": {"path": "a\0b"}}, "invalid_request"),
        ("POST", "mkdir", {"json": {"path": "plan"}}, "conflict"),
        ("POST", "mkdir", {"json": {"path": "a/b"}}, "file_not_found"),
        ("POST", "mkdir", {"json": {"path": ".git"}}, "invalid_payload"),
        ("POST", "mkdir", {"json": {"path": "x" * 256}}, "invalid_payload"),
        ("POST", "mkdir", {"json": {"path": "/etc"}}, "invalid_request"),
        ("POST", "rename", {"json": {"source": "plan", "target": "../plan"}}, "invalid_path"),
        ("PUT", "write", {"params": {"path": "plan"}, "content": b"x"}, "precondition_required"),
        ("PUT", "write", {"params": {"path": "plan"}, "content": b"x", "headers": {"If-None-Match": "*"}}, "conflict"),
        (
            "PUT",
            "write",
            {"params": {"path": "plan"}, "content": b"x", "headers": {"If-Match": '"v9"'}},
            "precondition_failed",
        ),
        (
            "PUT",
            "write",
            {"params": {"path": "plan"}, "content": b"x", "headers": {"If-Match": f'"f{"a" * 25}:1"'}},
            "precondition_failed",
        ),
        ("POST", "link", {"json": {"path": "plan", "target": "x"}}, "conflict"),
        ("GET", "read", {"params": {"path": "plan", "past": "a" * 64}}, "file_not_found"),
        ("GET", "watch", {"params": {"after": -1}}, "invalid_request"),
        ("POST", "restore", {"json": {"fileId": "nothing"}}, "file_not_found"),
    ],
)
async def test_what_is_refused(town: Town, method: str, verb: str, options: dict[str, Any], code: str) -> None:
    ann = await town.person("ann")
    workspace_id = await ann.workspace(plan="a plan")
    await ann.refused(method, fs(workspace_id, verb), code, **options)
    assert await paths(ann, workspace_id) == ["plan"]


async def test_members_and_rules_are_those_of_documents(town: Town) -> None:
    ann, bob = await town.person("ann"), await town.person("bob")
    workspace_id = await ann.workspace(plan="a plan", secret="a secret")
    await bob.refused("GET", fs(workspace_id, "list"), "file_not_found")
    await town.ada.done("PUT", f"/documents/{workspace_id}/members/{bob.id}", 200, json={"role": "editor"})
    assert await paths(bob, workspace_id) == ["plan", "secret"]
    rule = {"memberKind": "everyone", "memberId": "", "pattern": "secret", "access": "none"}
    etag = (await ann.ask("GET", f"/documents/{workspace_id}")).headers["ETag"]
    options: dict[str, Any] = {"json": {"rules": [rule]}, "headers": {"If-Match": etag}}
    await ann.done("PUT", f"/documents/{workspace_id}/rules", 200, **options)
    assert await paths(bob, workspace_id) == ["plan"]
    assert await paths(ann, workspace_id) == ["plan", "secret"]
    await bob.refused("GET", fs(workspace_id, "read"), "file_not_found", params={"path": "secret"})
    body: dict[str, Any] = {"json": {"source": "secret", "target": "mine"}}
    await bob.refused("POST", fs(workspace_id, "rename"), "file_not_found", **body)
    await bob.post(fs(workspace_id, "rename"), {"source": "plan", "target": "plan b"})
    await town.ada.done("PUT", f"/documents/{workspace_id}/members/{bob.id}", 200, json={"role": "viewer"})
    await bob.refused("POST", fs(workspace_id, "delete"), "permission_denied", json={"path": "plan b"})
