"""``coscribe git``, by commands."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.cli.accounts import Inhabited, Shell

pytestmark = pytest.mark.slow  # many commands, one after the other


def test_a_repository_by_commands(inhabited: Inhabited, tmp_path: Path) -> None:
    begun = inhabited.sign_up("git-ann")
    headers = {"Authorization": f"Bearer {begun['accessToken']}"}
    with httpx.Client(base_url=f"{inhabited.url}/api", headers=headers, trust_env=False, timeout=60) as client:
        workspace_id = client.post("/workspaces", json={"name": "Repository"}).json()["documentId"]
        new = {"If-None-Match": "*"}
        client.put(f"/workspace/{workspace_id}/fs/write", params={"path": "a"}, headers=new, content=b"a\n")
        client.post(f"/workspace/{workspace_id}/start").raise_for_status()
    ann = Shell(inhabited, tmp_path)
    ann.environment["COSCRIBE_TOKEN"] = begun["accessToken"]
    assert "not_a_repository" in ann.refused("git", "status", "repository")
    assert "untracked: a" in ann.done("git", "init", "repository").splitlines()
    assert "Committed 1 files" in ann.done("git", "commit", "repository", "-m", "Begin")
    assert "Begin" in ann.done("git", "log", "repository")
    assert "On two." in ann.done("git", "switch", "repository", "two", "--create")
    assert "two" in ann.done("git", "branches", "repository")
    assert "Ann <a@example.org>" in ann.done(
        "git", "identity", "repository", "--name", "Ann", "--email", "a@example.org"
    )
    assert "belong together" in ann.refused("git", "identity", "repository", "--name", "Ann", code=2)
    (tmp_path / "token").write_text("a token\n")
    stored = ("git", "credentials", "repository", "--host", "git.example.org")
    assert "git.example.org" in ann.done(*stored, "--git-token-file", str(tmp_path / "token"))
    assert "None is stored" in ann.done(*stored, "--forget")
    for command in (("push",), ("pull", "--ff-only"), ("fetch",)):
        assert "there is no remote" in ann.refused("git", command[0], "repository", *command[1:])
    assert "no merge" in ann.refused("git", "abort", "repository")
