from __future__ import annotations

import random
from base64 import urlsafe_b64encode
from collections import Counter

import pytest
from fastapi import FastAPI

from coscribe.access.policy import RANK
from coscribe.api.app import asked_about, routes_of
from coscribe.api.route import actions_of
from coscribe.cluster.dispatch import Dispatch, Dispatched, preferred
from tests.cluster.asking import Headers, scope_of

OF_PEOPLE = {
    *("groupId", "invitationId", "linkId", "memberId", "provider", "requestId", "sessionId", "tokenId", "userId"),
    "version",
}
"""Parameters of paths that name no document, file or workspace. A new one belongs here, or in `workspace_named`."""


def test_of_every_route_it_is_known_what_it_is_about() -> None:
    about = asked_about()
    seen = 0
    for route in routes_of(FastAPI()):
        named = route.param_convertors.keys() - OF_PEOPLE
        path = route.path
        for name in route.param_convertors:
            path = path.replace(f"{{{name}}}", "wsp_1" if name in named else "other")
        assert named <= {"documentId", "workspaceId"}, f"{route.path}: what do the others of its parameters name?"
        for method in route.methods or ():
            assert about(method, path) == ("wsp_1" if named else ""), f"{method} {path}"
            needs_a_role = any(action.value.least in RANK for action in actions_of(route))
            assert not needs_a_role or named, f"{method} {path} is about a document that its path does not name"
            seen += 1
    assert seen > 100


def test_what_looks_like_an_id_and_is_a_route_of_its_own() -> None:
    about = asked_about()
    assert about("GET", "/api/documents/export") == ""
    assert about("POST", "/api/documents/import") == ""
    assert about("GET", "/api/documents/import") == "import"
    assert about("POST", "/api/projects/import") == ""
    assert about("GET", "/api/nowhere/x") == ""
    assert about("BREW", "/api/documents/x") == ""


def dispatched(path: str, client: str = "192.0.2.7", headers: Headers | None = None) -> Dispatched | None:
    return Dispatch(asked_about(), "__Host-coscribe").of(scope_of("GET", path, client=client, headers=headers))


def bearer(token: str) -> Headers:
    return [(b"authorization", f"bearer {token}".encode())]


def access_token(payload: bytes) -> str:
    return ".".join(["head", urlsafe_b64encode(payload).decode().rstrip("="), "signature"])


def test_what_belongs_to_a_workspace_goes_to_its_owner() -> None:
    assert dispatched("/api/documents/doc_1/content") == Dispatched("doc_1")
    assert dispatched("/api/workspace/wsp_1/fs/watch") == Dispatched("wsp_1")
    assert dispatched("/api/admin/documents/doc_1/hold") is not None


@pytest.mark.parametrize("path", ["/", "/d/doc_1", "/healthz", "/readyz", "/metrics", "/assets/app.js"])
def test_what_every_instance_has_stays(path: str) -> None:
    assert dispatched(path) is None


def test_who_asks_is_the_credential_and_else_the_address() -> None:
    def asker(**more: object) -> str:
        found = dispatched("/api/groups", **more)  # type: ignore[arg-type]  # as given below
        assert found is not None
        return found.asker

    assert asker(headers=bearer("csp_1")) == asker(headers=bearer("csp_1"), client="203.0.113.1")
    assert asker(headers=bearer("csp_1")) != asker(headers=bearer("csp_2"))
    first, second = access_token(b'{"cid":"ses_1","exp":1}'), access_token(b'{"cid":"ses_1","exp":2}')
    assert asker(headers=bearer(first)) == asker(headers=bearer(second)) == "ses_1"
    for payload in (b"[]", b"{}", b"\xff", b'{"cid":3}', b'{"cid":""}'):
        token = access_token(payload)
        assert asker(headers=bearer(token)) == token
    assert asker(headers=bearer("a.%.c")) == "a.%.c"
    cookie: Headers = [(b"cookie", b"theme=dark; __Host-coscribe=csb_1")]
    assert asker(headers=cookie) == asker(headers=cookie, client="203.0.113.1")
    assert asker(headers=[(b"cookie", b"theme=dark")]) == asker() == "192.0.2.7"
    assert asker(headers=[(b"authorization", b"Basic abc")]) == "192.0.2.7"
    assert asker(client="2001:db8::1") == asker(client="2001:db8::2")


def test_everybody_knows_the_same_core_and_few_change_when_one_goes() -> None:
    names = [f"core-{number}" for number in range(5)]
    chance = random.Random(1)
    askers = [f"{chance.random()}" for _ in range(2_000)]
    before = {asker: preferred(asker, names) for asker in askers}
    assert {asker: preferred(asker, reversed(names)) for asker in askers} == before
    shares = Counter(order[0] for order in before.values())
    assert min(shares.values()) > 300
    for asker, order in before.items():
        assert preferred(asker, set(names) - {"core-2"}) == [name for name in order if name != "core-2"]
