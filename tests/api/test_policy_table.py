"""Every route and every kind of caller: the running server answers what the policy table says.

A route needs an example here of a request that is good, prepared for whoever sends it; a route without one fails.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from copy import copy
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from fastapi import APIRouter, FastAPI

from coscribe.access.policy import Action
from coscribe.access.requests import MAX_OPEN
from coscribe.api.app import _NOUNS, _Frame
from coscribe.api.route import PolicyRoute, action
from tests.api.policy_table import CALLERS, Row, page, rows
from tests.api.town import PASSWORD, Person, Town, open_town
from tests.documents.unpacking.made import Member, zipped

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

ROWS = {(row.method, row.path): row for row in rows()}
REFUSALS = {"sign_in_required", "permission_denied", "file_not_found", "authentication_failed", "session_ended"}
NEW_PASSWORD = "quite another horse battery"

_numbers = itertools.count()


class Request(NamedTuple):
    """What is sent: the parts of the path by name, and options as in httpx. ``status``: what it comes to."""

    status: int
    parts: dict[str, str] = {}  # noqa: RUF012  # never changed
    options: dict[str, Any] = {}  # noqa: RUF012  # never changed


class Scene:
    """A caller of some kind, and a document of ``owner``, or a workspace with the files ``plan`` and ``old``, of which
    the latter is in the trash. ``account``: the person behind the caller, if any."""

    def __init__(self, town: Town, kind: str, *, is_tree: bool = False) -> None:
        self.town = town
        self.kind = kind
        self.is_tree = is_tree

    async def set_up(self) -> Scene:
        self.owner = await self.somebody()
        if self.is_tree:
            self.document_id = await self.owner.workspace("Plan", plan="a plan")
            self.trashed = (await self.owner.write(self.document_id, "old", "an old plan"))["fileId"]
            await self.owner.post(f"/workspace/{self.document_id}/fs/delete", {"path": "old"})
        else:
            self.document_id = await self.owner.document("Plan", "a plan")
        self.caller = await self._caller()
        self.account = self.owner if "token" in self.kind else self.caller
        return self

    async def with_another_caller(self) -> Scene:
        """The same with somebody new, where the caller is a person; the role in the document is left out."""
        if not self.caller.id:
            return self
        scene = copy(self)
        scene.caller = scene.account = await self.somebody()
        if self.kind == "administrator":
            await self._promote(scene.caller)
        return scene

    async def _promote(self, person: Person) -> None:
        await self.town.ada.done("PATCH", f"/admin/users/{person.id}", 200, json={"administrator": True})

    async def _caller(self) -> Person:
        kind = self.kind
        if kind == "owner":
            return self.owner
        if kind == "nobody":
            return self.town.nobody()
        if kind == "guest":
            opened = await self.town.nobody().post("/links/open", {"secret": await self.link()})
            return self.town.with_token(opened["accessToken"])
        if "token" in kind:
            scope = "manage" if kind == "token of one" else kind.split()[0]
            wanted = {"name": "bot", "scope": scope, "documentId": self.document_id if "one" in kind else None}
            made = await self.owner.post("/account/tokens", wanted, 201)
            return self.town.with_token(made["secret"])
        person = await self.somebody()
        if kind == "administrator":
            await self._promote(person)
        elif kind != "outsider":
            await self.join(person, kind)
        return person

    async def somebody(self) -> Person:
        return await self.town.person(f"p{next(_numbers)}")

    async def join(self, person: Person, role: str) -> None:
        await self.town.ada.done("PUT", f"{self.document}/members/{person.id}", 200, json={"role": role})

    async def member(self) -> str:
        """Somebody else in the document."""
        person = await self.somebody()
        await self.join(person, "viewer")
        return person.id

    async def link(self) -> str:
        """The secret of a new link to the document."""
        made = await self.owner.post(f"{self.document}/links", {"role": "viewer"}, 201)
        return str(made["url"].partition("#link=")[2])

    async def invitation(self) -> str:
        """The id of an invitation of the caller's account to some other document."""
        inviter = await self.somebody()
        other = await inviter.document()
        who = self.account.id or (await self.somebody()).id
        made = await inviter.post(f"/documents/{other}/invitations", {"who": who, "role": "viewer"}, 201)
        return str(made["invitationId"])

    async def group(self) -> str:
        """A group of the caller's account."""
        maker = self.account if self.account.id else await self.somebody()
        return str((await maker.post("/groups", {"name": "Choir"}, 201))["groupId"])

    async def etag(self, path: str) -> dict[str, str]:
        """The header for what is there now; of a document as its owner sees it. Nobody sees nothing: any will do."""
        asker = self.owner if path.startswith("/documents") or not self.account.id else self.account
        return {"If-Match": (await asker.ask("GET", path)).headers.get("etag", '"r1"')}

    @property
    def document(self) -> str:
        return f"/documents/{self.document_id}"

    def of_document(self, status: int = 200, /, *, parts: dict[str, str] | None = None, **options: Any) -> Request:
        part = "workspaceId" if self.is_tree else "documentId"
        return Request(status, {part: self.document_id, **(parts or {})}, options)


Example = Callable[[Scene], Coroutine[Any, Any, Request]]
EXAMPLES: dict[tuple[str, str], Example] = {}


def example(method: str, path: str) -> Callable[[Example], Example]:
    """Registers the example of a route."""

    def register(make: Example) -> Example:
        assert (method, path) not in EXAMPLES
        EXAMPLES[method, path] = make
        return make

    return register


def plain(method: str, path: str, status: int = 200, **options: Any) -> None:
    """The example of a route that needs nothing prepared but, where it is about one, the document."""

    @example(method, path)
    async def make(scene: Scene) -> Request:
        return scene.of_document(status, **options)


def new_account(secret: str = "") -> dict[str, str]:
    more = {"secret": secret} if secret else {}
    return {"handle": f"n{next(_numbers)}", "displayName": "New", "password": PASSWORD, **more}


# ---- sessions

plain("GET", "/api/server")
plain("GET", "/api/session")
plain("GET", "/api/sessions")
plain("DELETE", "/api/session", 204)
plain("DELETE", "/api/sessions", 204)
plain("POST", "/api/session/access-token")
plain("POST", "/api/setup", 410, json=new_account("csf_gone"))


@example("POST", "/api/accounts")
async def _(scene: Scene) -> Request:
    return Request(201, options={"json": new_account()})


@example("POST", "/api/session")
async def _(scene: Scene) -> Request:
    return Request(201, options={"json": {"name": scene.owner.handle, "password": PASSWORD}})


@example("POST", "/api/session/refresh")
async def _(scene: Scene) -> Request:
    return Request(200, options={"json": {"refreshToken": (await scene.somebody()).refresh_token}})


@example("DELETE", "/api/sessions/{sessionId}")
async def _(scene: Scene) -> Request:
    return Request(204, {"sessionId": scene.account.session_id or scene.owner.session_id})


# ---- elsewhere: this server knows no provider

plain("GET", "/api/account/external")


def elsewhere(method: str, path: str, status: int, **options: Any) -> None:
    @example(method, path)
    async def make(scene: Scene) -> Request:
        return Request(status, {"provider": "school"}, options)


elsewhere("POST", "/api/session/external/{provider}", 404, json={})
elsewhere("GET", "/api/session/external/{provider}/callback", 303, params={"code": "c", "state": "s"})
elsewhere("POST", "/api/account/external/{provider}", 404, json={"currentPassword": PASSWORD})
elsewhere("DELETE", "/api/account/external/{provider}", 404, json={"currentPassword": PASSWORD})


# ---- one's account

plain("GET", "/api/account")


@example("PATCH", "/api/account")
async def _(scene: Scene) -> Request:
    return Request(200, options={"json": {"displayName": "Another"}, "headers": await scene.etag("/account")})


plain("PUT", "/api/account/password", json={"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD})
plain("PUT", "/api/account/email", 202, json={"currentPassword": PASSWORD, "email": "p@example.org"})
plain("POST", "/api/account/password/ask-reset", 202, json={"email": "nobody@example.org"})
plain("GET", "/api/account/export")
plain("POST", "/api/account/tokens", 201, json={"name": "bot", "scope": "read"})
plain("GET", "/api/account/tokens")


@example("POST", "/api/account/email/verify")
async def _(scene: Scene) -> Request:
    email = f"e{next(_numbers)}@example.org"
    await scene.town.person(email.partition("@")[0], email=email)
    return Request(204, options={"json": {"secret": await scene.town.secret_in_mail(email)}})


@example("POST", "/api/account/password/reset")
async def _(scene: Scene) -> Request:
    email = f"e{next(_numbers)}@example.org"
    await scene.town.verified(email.partition("@")[0], email)
    await scene.town.nobody().post("/account/password/ask-reset", {"email": email}, 202)
    secret = await scene.town.secret_in_mail(email, 2)
    return Request(204, options={"json": {"secret": secret, "newPassword": NEW_PASSWORD}})


@example("POST", "/api/account/delete")
async def _(scene: Scene) -> Request:
    return Request(204, options={"json": {"currentPassword": PASSWORD}})


async def _token(scene: Scene) -> dict[str, str]:
    maker = scene.account if scene.account.id else scene.owner
    made = await maker.post("/account/tokens", {"name": "bot", "scope": "read"}, 201)
    return {"tokenId": made["tokenId"]}


@example("GET", "/api/account/tokens/{tokenId}")
async def _(scene: Scene) -> Request:
    return Request(200, await _token(scene))


@example("DELETE", "/api/account/tokens/{tokenId}")
async def _(scene: Scene) -> Request:
    return Request(204, await _token(scene))


plain("GET", "/api/users", params={"query": "ad"})

# ---- documents

plain("POST", "/api/documents", 201, json={"name": "Mine"})
plain("POST", "/api/documents/import", 201, params={"name": "Mine"}, content=b"text")
plain("GET", "/api/documents")
plain("GET", "/api/documents/{documentId}")
plain("POST", "/api/documents/{documentId}/duplicate", 201)
plain("POST", "/api/documents/{documentId}/archive")
plain("POST", "/api/documents/{documentId}/trash")
plain("POST", "/api/documents/{documentId}/restore")
plain("GET", "/api/documents/{documentId}/content")
plain("PUT", "/api/documents/{documentId}/content", content=b"new", headers={"If-Match": '"v1"'})
plain("GET", "/api/documents/{documentId}/events")


@example("PATCH", "/api/documents/{documentId}")
async def _(scene: Scene) -> Request:
    return scene.of_document(json={"name": "Another"}, headers=await scene.etag(scene.document))


@example("DELETE", "/api/documents/{documentId}")
async def _(scene: Scene) -> Request:
    if ROWS["DELETE", "/api/documents/{documentId}"].answers[scene.kind] is None:  # the trash hides it from the others
        await scene.owner.post(f"{scene.document}/trash")
    return scene.of_document(204)


@example("POST", "/api/documents/{documentId}/operations")
async def _(scene: Scene) -> Request:
    edit = {"operationId": "k:1", "operationType": "insert", "position": 0, "payload": "x"}
    edit["operationId"] = f"k:{next(_numbers)}"
    return scene.of_document(json={"baseVersion": 1, "operations": [edit]})


plain("GET", "/api/documents/export")

# ---- workspaces

FS = "/api/workspace/{workspaceId}/fs"
plain("POST", "/api/workspaces", 201, json={"name": "Mine"})
plain("POST", "/api/projects", 201, json={"name": "Mine"})
plain("GET", "/api/projects")
plain("GET", "/api/projects/{workspaceId}")
plain("GET", "/api/projects/{workspaceId}/members")
plain("GET", "/api/projects/{workspaceId}/quota")
plain("PATCH", "/api/workspace/{workspaceId}/quota", json={"bytes": 900_000_000, "files": None})
plain("GET", "/api/projects/{workspaceId}/rules")


@example("PATCH", "/api/projects/{workspaceId}/quota")
async def _(scene: Scene) -> Request:
    made = await scene.owner.post("/projects", {"name": "Plan"}, 201)
    return Request(200, {"workspaceId": made["workspace"]["documentId"]}, {"json": {"files": 90_000}})


@example("POST", "/api/projects/import")
async def _(scene: Scene) -> Request:
    return Request(201, options={"params": {"name": "Mine"}, "content": zipped(Member(b"a", b"x"))})


@example("PUT", "/api/projects/{workspaceId}/members/{memberId}")
async def _(scene: Scene) -> Request:
    return scene.of_document(parts={"memberId": await scene.member()}, json={"role": "editor"})


@example("DELETE", "/api/projects/{workspaceId}/members/{memberId}")
async def _(scene: Scene) -> Request:
    return scene.of_document(204, parts={"memberId": await scene.member()})


@example("PUT", "/api/projects/{workspaceId}/rules")
async def _(scene: Scene) -> Request:
    rules = [{"memberKind": "everyone", "memberId": "", "pattern": "docs/**", "access": "read"}]
    return scene.of_document(json={"rules": rules}, headers=await scene.etag(scene.document))


plain("GET", "/api/workspace/{workspaceId}")
plain("POST", "/api/workspace/{workspaceId}/start")
plain("POST", "/api/workspace/{workspaceId}/stop")
plain("GET", f"{FS}/stat", params={"path": "plan"})
plain("GET", f"{FS}/list")
plain("GET", f"{FS}/trash")
plain("GET", f"{FS}/read", params={"path": "plan"})
plain("GET", f"{FS}/watch", params={"seconds": 0})
plain("POST", f"{FS}/delete", json={"path": "plan"})
plain("POST", f"{FS}/save", json={"path": "plan"})


def making(what: str, **more: Any) -> None:
    """The example of a route that makes something, which must not be there yet."""

    @example("POST", f"{FS}/{what}")
    async def make(scene: Scene) -> Request:
        name = f"new{next(_numbers)}"
        target = {"path": name} if what == "mkdir" else {"target": name}
        return scene.of_document(json={**target, **more})


making("mkdir")
making("rename", source="plan")
making("copy", source="plan")


@example("PUT", f"{FS}/write")
async def _(scene: Scene) -> Request:
    stat = await scene.owner.ask("GET", f"/workspace/{scene.document_id}/fs/stat", params={"path": "plan"})
    file_id = stat.json().get("fileId", "f" * 26)  # an example of another route may have deleted it
    headers = {"If-Match": f'"{file_id}:1"'}
    return scene.of_document(params={"path": "plan"}, content=b"new", headers=headers)


@example("POST", f"{FS}/link")
async def _(scene: Scene) -> Request:
    return scene.of_document(json={"path": f"link{next(_numbers)}", "target": "plan"})


@example("POST", f"{FS}/restore")
async def _(scene: Scene) -> Request:
    return scene.of_document(json={"fileId": scene.trashed})


GIT = "/api/workspace/{workspaceId}/git"


def with_git(method: str, what: str, status: int = 200, **options: Any) -> None:
    """An example for which the workspace is a repository, in which something has changed."""

    @example(method, f"{GIT}/{what}")
    async def prepare(scene: Scene) -> Request:
        one = f"/workspace/{scene.document_id}"
        await scene.owner.ask("POST", f"{one}/start")
        await scene.owner.ask("POST", f"{one}/git/init", json={})
        name, new = f"git{next(_numbers)}", {"If-None-Match": "*"}
        await scene.owner.ask("PUT", f"{one}/fs/write", params={"path": name}, content=b"new", headers=new)
        return scene.of_document(status, **options)


with_git("GET", "status")
with_git("GET", "log")
with_git("GET", "branches")
with_git("GET", "identity")
with_git("GET", "credentials")
with_git("GET", "conflict", 404, params={"path": "plan"})
with_git("POST", "init", json={})
with_git("POST", "commit", json={"message": "What is other"})
with_git("POST", "branches", 404, json={"name": "two", "start": "nowhere"})
with_git("POST", "switch", 404, json={"branch": "nowhere", "uncommitted": "carry"})
with_git("POST", "fetch", 404, json={})
with_git("POST", "pull", 404, json={})
with_git("POST", "push", 404, json={"remote": "nowhere", "branch": "main"})
with_git("POST", "merge/abort", 409)
with_git("PUT", "identity", json={"name": "Ann Example", "email": "ann@example.org"})
with_git("PUT", "credentials", json={"host": "git.example.org", "token": "a token"})


@example("DELETE", f"{GIT}/credentials")
async def _(scene: Scene) -> Request:
    credential = {"host": "git.example.org", "token": "a token"}
    await scene.caller.ask("PUT", f"/workspace/{scene.document_id}/git/credentials", json=credential)
    return scene.of_document(204, params={"host": "git.example.org"})


PAST = "/api/workspace/{workspaceId}/history"
plain("GET", "/api/workspace/{workspaceId}/search", params={"q": "plan"})
plain("GET", f"{PAST}/timeline")
plain("GET", f"{PAST}/differences")
plain("GET", f"{PAST}/difference", params={"path": "plan"})
plain("GET", f"{PAST}/sessions", params={"path": "plan"})
plain("GET", f"{PAST}/blame", params={"path": "plan"})
plain("GET", f"{PAST}/archive")


@example("GET", f"{PAST}/file")
async def _(scene: Scene) -> Request:
    listed = await scene.owner.ask("GET", f"/workspace/{scene.document_id}/fs/list", params={"at": 3})
    file_id = next((entry["fileId"] for entry in listed.json().get("items", ()) if entry["name"] == "plan"), "f" * 26)
    return scene.of_document(params={"fileId": file_id, "at": 3})


plain("POST", f"{PAST}/restore", json={"path": "plan", "sequence": 3})
plain("POST", f"{PAST}/fork", 201, json={"name": "Fork", "sequence": 3})


# ---- history

HISTORY = "/api/documents/{documentId}/history"
plain("GET", f"{HISTORY}/sessions")
plain("GET", f"{HISTORY}/operations")
plain("GET", f"{HISTORY}/blame")
plain("GET", f"{HISTORY}/log")
plain("POST", f"{HISTORY}/restore", json={"version": 0})
plain("GET", f"{HISTORY}/names")
plain("POST", f"{HISTORY}/names", 201, json={"version": 1, "name": "The first one"})


async def _named(scene: Scene) -> dict[str, str]:
    await scene.owner.ask("POST", f"{scene.document}/history/names", json={"version": 1, "name": "The first one"})
    return {"version": "1"}


@example("PATCH", f"{HISTORY}/names/{{version}}")
async def _(scene: Scene) -> Request:
    return scene.of_document(parts=await _named(scene), json={"name": "Another"})


@example("DELETE", f"{HISTORY}/names/{{version}}")
async def _(scene: Scene) -> Request:
    return scene.of_document(204, parts=await _named(scene))


# ---- asking for access

REQUESTS = "/api/documents/{documentId}/access-requests"
plain("POST", REQUESTS, 202, json={"message": "May I?"})
plain("GET", REQUESTS)


async def _asked(scene: Scene) -> dict[str, str]:
    """Somebody asks. Requests that were made before may fill the list, and one more is then dropped without a word: the
    oldest is declined."""
    asker = await scene.somebody()
    requests = [item async for item in _open_requests(scene)]
    if len(requests) >= MAX_OPEN:
        await scene.owner.post(f"{scene.document}/access-requests/{requests[0]['requestId']}/decline", {}, 204)
    await asker.post(f"{scene.document}/access-requests", {}, 202)
    mine = [item["requestId"] async for item in _open_requests(scene) if item["person"]["userId"] == asker.id]
    return {"requestId": mine[0]}


async def _open_requests(scene: Scene) -> AsyncIterator[Any]:
    cursor = ""
    while True:
        page = await scene.owner.get(f"{scene.document}/access-requests", params={"limit": 100, "cursor": cursor})
        for item in page["items"]:
            yield item
        cursor = page["nextCursor"]
        if not cursor:
            return


@example("POST", f"{REQUESTS}/{{requestId}}/grant")
async def _(scene: Scene) -> Request:
    return scene.of_document(204, parts=await _asked(scene), json={"role": "viewer"})


@example("POST", f"{REQUESTS}/{{requestId}}/decline")
async def _(scene: Scene) -> Request:
    return scene.of_document(204, parts=await _asked(scene))


# ---- members

plain("GET", "/api/documents/{documentId}/members")
plain("GET", "/api/documents/{documentId}/bans")
plain("GET", "/api/documents/{documentId}/rules")


@example("PUT", "/api/documents/{documentId}/members/{memberId}")
async def _(scene: Scene) -> Request:
    return scene.of_document(parts={"memberId": await scene.member()}, json={"role": "editor"})


@example("DELETE", "/api/documents/{documentId}/members/{memberId}")
async def _(scene: Scene) -> Request:
    return scene.of_document(parts={"memberId": await scene.member()})


@example("POST", "/api/documents/{documentId}/leave")
async def _(scene: Scene) -> Request:
    await scene.join(await scene.somebody(), "owner")
    return scene.of_document()


@example("POST", "/api/documents/{documentId}/transfer")
async def _(scene: Scene) -> Request:
    giver = scene.owner.id if scene.kind == "administrator" else ""
    return scene.of_document(json={"to": await scene.member(), "role": "editor", "giver": giver})


@example("PUT", "/api/documents/{documentId}/bans/{userId}")
async def _(scene: Scene) -> Request:
    return scene.of_document(parts={"userId": await scene.member()})


@example("DELETE", "/api/documents/{documentId}/bans/{userId}")
async def _(scene: Scene) -> Request:
    banned = await scene.member()
    await scene.owner.done("PUT", f"{scene.document}/bans/{banned}", 200)
    return scene.of_document(204, parts={"userId": banned})


@example("PUT", "/api/documents/{documentId}/rules")
async def _(scene: Scene) -> Request:
    rule = {"memberKind": "everyone", "memberId": "", "pattern": "secret/**", "access": "none"}
    return scene.of_document(json={"rules": [rule]}, headers=await scene.etag(scene.document))


# ---- retention

plain("GET", "/api/documents/{documentId}/retention")
plain("PUT", "/api/documents/{documentId}/retention", json={"days": 365})
plain("PUT", "/api/admin/documents/{documentId}/hold", json={"reason": "a case"})


@example("DELETE", "/api/admin/documents/{documentId}/hold")
async def _(scene: Scene) -> Request:
    await scene.town.ada.done("PUT", f"/admin{scene.document}/hold", 200, json={"reason": "a case"})
    return scene.of_document()


plain("POST", "/api/documents/{documentId}/redactions", json={"text": "not in there", "reason": "a case"})
plain("POST", "/api/admin/redactions", json={"text": "not in there", "reason": "a case", "documentIds": []})

# ---- the audit

plain("GET", "/api/audit/key")
plain("POST", "/api/admin/audit-keys", 201)
plain("GET", "/api/documents/{documentId}/checkpoints")
plain("POST", "/api/documents/{documentId}/checkpoints", 201)
plain("GET", "/api/documents/{documentId}/audit")


# ---- invitations

plain("GET", "/api/documents/{documentId}/invitations")
plain("POST", "/api/documents/{documentId}/invitations", 201, json={"who": "x@example.org", "role": "viewer"})
plain("POST", "/api/documents/{documentId}/invitations/list", json={"people": "y@example.org", "role": "viewer"})
plain("GET", "/api/invitations")
plain("POST", "/api/admin/invitations", 201, json={})
plain("GET", "/api/admin/invitations")


@example("DELETE", "/api/documents/{documentId}/invitations/{invitationId}")
async def _(scene: Scene) -> Request:
    made = await scene.owner.post(f"{scene.document}/invitations", {"who": "z@example.org", "role": "viewer"}, 201)
    return scene.of_document(204, parts={"invitationId": made["invitationId"]})


@example("POST", "/api/invitations/open")
async def _(scene: Scene) -> Request:
    inviter, email = await scene.somebody(), f"e{next(_numbers)}@example.org"
    other = await inviter.document()
    await inviter.post(f"/documents/{other}/invitations", {"who": email, "role": "viewer"}, 201)
    return Request(200, options={"json": {"secret": await scene.town.secret_in_mail(email)}})


@example("POST", "/api/invitations/{invitationId}/accept")
async def _(scene: Scene) -> Request:
    return Request(200, {"invitationId": await scene.invitation()})


@example("POST", "/api/invitations/{invitationId}/decline")
async def _(scene: Scene) -> Request:
    return Request(204, {"invitationId": await scene.invitation()})


@example("DELETE", "/api/admin/invitations/{invitationId}")
async def _(scene: Scene) -> Request:
    made = await scene.town.ada.post("/admin/invitations", {}, 201)
    return Request(204, {"invitationId": made["invitationId"]})


# ---- links

plain("GET", "/api/documents/{documentId}/links")
plain("POST", "/api/documents/{documentId}/links", 201, json={"role": "viewer"})


@example("DELETE", "/api/documents/{documentId}/links/{linkId}")
async def _(scene: Scene) -> Request:
    made = await scene.owner.post(f"{scene.document}/links", {"role": "viewer"}, 201)
    return scene.of_document(204, parts={"linkId": made["linkId"]})


@example("POST", "/api/links/open")
async def _(scene: Scene) -> Request:
    return Request(200, options={"json": {"secret": await scene.link()}})


# ---- groups

plain("GET", "/api/groups")
plain("POST", "/api/groups", 201, json={"name": "Choir"})


@example("GET", "/api/groups/{groupId}")
async def _(scene: Scene) -> Request:
    return Request(200, {"groupId": await scene.group()})


@example("PATCH", "/api/groups/{groupId}")
async def _(scene: Scene) -> Request:
    group = await scene.group()
    return Request(200, {"groupId": group}, {"json": {"name": "Band"}, "headers": await scene.etag(f"/groups/{group}")})


@example("DELETE", "/api/groups/{groupId}")
async def _(scene: Scene) -> Request:
    return Request(204, {"groupId": await scene.group()})


@example("GET", "/api/groups/{groupId}/members")
async def _(scene: Scene) -> Request:
    return Request(200, {"groupId": await scene.group()})


@example("POST", "/api/groups/{groupId}/members")
async def _(scene: Scene) -> Request:
    return Request(201, {"groupId": await scene.group()}, {"json": {"who": "ada"}})


@example("DELETE", "/api/groups/{groupId}/members/{userId}")
async def _(scene: Scene) -> Request:
    group, ada = await scene.group(), scene.town.ada
    maker = scene.account if scene.account.id else None
    if maker is not None:
        await maker.post(f"/groups/{group}/members", {"who": "ada"}, 201)
    return Request(204, {"groupId": group, "userId": ada.id})


# ---- administration

plain("POST", "/api/admin/setup-link", 409)  # there is an administrator
plain("GET", "/api/admin/users")
plain("GET", "/api/admin/documents")
plain("POST", "/api/admin/signing-keys", 201)
plain("GET", "/api/admin/events")
plain("GET", "/api/admin/events/export")


@example("GET", "/api/admin/users/{userId}")
async def _(scene: Scene) -> Request:
    return Request(200, {"userId": scene.owner.id})


@example("PATCH", "/api/admin/users/{userId}")
async def _(scene: Scene) -> Request:
    return Request(200, {"userId": (await scene.somebody()).id}, {"json": {"locked": True}})


@example("POST", "/api/admin/users/{userId}/sign-out")
async def _(scene: Scene) -> Request:
    return Request(204, {"userId": (await scene.somebody()).id})


@example("POST", "/api/admin/users/{userId}/reset-link")
async def _(scene: Scene) -> Request:
    return Request(201, {"userId": (await scene.somebody()).id})


# ---- the tests


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with open_town(Path(tmp_path_factory.mktemp("town"))) as town:
        yield town


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scenes(town: Town) -> Scenes:
    """One of each kind, for requests that change nothing."""
    kinds = [(kind, is_tree) for kind in CALLERS for is_tree in (False, True)]
    return {(kind, is_tree): await Scene(town, kind, is_tree=is_tree).set_up() for kind, is_tree in kinds}


Scenes = dict[tuple[str, bool], Scene]
"""By the kind of caller, and whether it is a workspace."""


async def scene_for(scenes: Scenes, row: Row, kind: str) -> Scene:
    """A scene that the request may change as it likes, or one that it does not change."""
    scene = scenes[kind, row.is_about_a_tree]
    if row.method == "GET" or row.answers[kind] is not None:
        return scene
    if row.is_about_a_document:
        return await Scene(scene.town, kind, is_tree=row.is_about_a_tree).set_up()
    return await scene.with_another_caller()


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: f"{row.method} {row.path}")
async def test_everybody_gets_what_the_table_says(scenes: Scenes, row: Row) -> None:
    assert (row.method, row.path) in EXAMPLES, "a new route: write an example of a good request"
    for kind, refusal in row.answers.items():
        scene = await scene_for(scenes, row, kind)
        wanted = await EXAMPLES[row.method, row.path](scene)
        answer = await scene.caller.client.request(row.method, row.path.format(**wanted.parts), **wanted.options)
        told = f"{kind}: {answer.status_code} {answer.text[:300]}"
        if refusal is None:
            assert answer.status_code == wanted.status, told
        else:
            assert answer.json()["code"] == refusal.value.code, told


async def test_an_unknown_document_is_answered_like_one_of_others(scenes: Scenes) -> None:
    """For every route about a document: by its answer nobody learns whether one exists."""
    for key, row in ROWS.items():
        if row.is_about_a_document:
            scene = scenes["outsider", row.is_about_a_tree]
            part = "workspaceId" if row.is_about_a_tree else "documentId"
            wanted = await EXAMPLES[key](scene)
            there, nowhere = scene.document_id, "doc_none"
            first, second = [
                await scene.caller.client.request(
                    row.method, row.path.format(**{**wanted.parts, part: one}), **wanted.options
                )
                for one in (there, nowhere)
            ]
            bodies = [{**answer.json(), "instance": ""} for answer in (first, second)]
            bodies[0]["detail"] = bodies[0]["detail"].replace(there, nowhere)
            assert (first.status_code, bodies[0]) == (404, bodies[1])
            assert first.headers.keys() == second.headers.keys()


async def test_every_route_is_in_the_table(town: Town) -> None:
    """The application has no route beside those behind the door, but its description."""
    people = town.coscribe._people
    assert people is not None
    frame = people.api
    assert isinstance(frame, _Frame)
    app = frame.app
    assert isinstance(app, FastAPI)
    described = app.openapi()["paths"]
    assert {(method.upper(), path) for path in described for method in described[path]} == set(ROWS)
    alone = [getattr(route, "path", "") for route in app.routes if hasattr(route, "path")]
    assert (alone, len(app.routes)) == (["/api/openapi.json"], 1 + len(_NOUNS))


async def test_every_example_is_of_a_route() -> None:
    assert set(EXAMPLES) - set(ROWS) == set()


async def test_every_caller_and_route_is_on_the_page() -> None:
    written = page()
    assert [name for name in CALLERS if f" {name} |" not in written] == []
    assert [key for key in ROWS if f"| {key[0]} `{key[1]}` |" not in written] == []


async def test_a_route_without_an_action_cannot_be_made() -> None:
    router = APIRouter(route_class=PolicyRoute)
    with pytest.raises(KeyError, match="x-action"):
        router.add_api_route("/api/open", lambda: None)
    router.add_api_route("/api/open", lambda: None, openapi_extra=action(Action.SEE_SERVER))
