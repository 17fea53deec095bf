"""schemathesis against the whole API as each role: made-up requests, good and bad, with ids of things that exist.

The server listens on a real port in a thread. `test_policy_table.EXAMPLES` prepares what a good request needs; the rest
of each request is schemathesis's. Replay a run: COSCRIBE_SEED=... COSCRIBE_EXAMPLES=... (examples per operation).
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
import schemathesis
import uvicorn
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.transport import Response
from schemathesis.engine import events, from_schema
from schemathesis.generation.case import Case
from schemathesis.generation.meta import StatefulPhaseData

from coscribe.server import bind
from tests.api.policy_table import CALLERS, Row
from tests.api.test_policy_table import EXAMPLES, ROWS, Request, Scene
from tests.api.town import Town, open_town

pytestmark = pytest.mark.slow

_T = TypeVar("_T")

SEED = int(os.environ.get("COSCRIBE_SEED") or random.SystemRandom().randrange(2**32))
EXAMPLES_EACH = int(os.environ.get("COSCRIBE_EXAMPLES") or 2)

SPOILS = {
    ("DELETE", "/api/session"),
    ("DELETE", "/api/sessions"),
    ("DELETE", "/api/sessions/{sessionId}"),
    ("PUT", "/api/account/password"),
    ("POST", "/api/account/delete"),
    ("POST", "/api/documents/{documentId}/archive"),
    ("POST", "/api/documents/{documentId}/trash"),
    ("DELETE", "/api/documents/{documentId}"),
    ("POST", "/api/documents/{documentId}/leave"),
    ("POST", "/api/documents/{documentId}/transfer"),
}
"""What leaves a role without its session, its document or its role in it: it then gets new ones."""

TRASHES = ("DELETE", "/api/documents/{documentId}")
"""Its example trashes the document, and so spoils it whatever the request comes to."""

ENDLESS = {("GET", "/api/workspace/{workspaceId}/fs/watch")}
"""Streams that end when they are told to."""

REAL = ("secret", "currentPassword", "refreshToken", "to", "giver", "who", "path", "source", "target", "fileId")
"""Fields of a body that name something: a good request names something that is there."""

COVERED_BY = ("nobody", "outsider", "viewer", "editor", "owner", "administrator")
"""Each operation goes through every combination of values at the bounds once: as the first of these who may use it.
The others who may use it get the examples, random requests and sequences; whoever may not meets the door in the same
place, whatever the request, and gets the examples."""

KINDS = sorted((kind for kind in CALLERS if kind != "token of one"), key=lambda kind: kind not in COVERED_BY)

GOOD = ["2xx", "3xx", "401", "403", "404", "409", "429"]
"""What a well-formed request may come to: rights, and what else there is at the moment, are in no schema."""

BAD = ["400", "401", "403", "404", "405", "409", "410", "412", "413", "415", "422", "428", "429"]
"""What a malformed one may come to: schemathesis's own list without 5xx and 406, with what If-Match, one-time secrets
and large bodies are refused with, which are looked at before the rest."""

FS_ROUTES = [
    *(("GET", what) for what in ("stat", "list", "read")),
    ("PUT", "write"),
    *(("POST", what) for what in ("mkdir", "rename", "copy", "delete", "restore", "save", "link")),
]

GIT_ROUTES = [
    *(("GET", what) for what in ("log", "conflict")),
    *(("POST", what) for what in ("branches", "switch", "commit", "fetch", "pull", "push")),
]

PAST_ROUTES = ("timeline", "differences", "difference", "file", "sessions", "blame", "archive")

RULES: dict[str, tuple[str, ...]] = {
    # The secret is used up, or made up.
    "POST /api/setup": ("410", "422"),
    "POST /api/accounts": ("410", "422"),
    "POST /api/account/email/verify": ("410",),
    "POST /api/account/password/reset": ("410", "422"),
    "POST /api/invitations/open": ("410",),
    "POST /api/links/open": ("410",),
    # 422 above and here: a common password, or a name of characters that cannot be seen.
    "PUT /api/account/password": ("422",),
    "PATCH /api/account": ("412", "422"),
    # 409: it is in no project.
    "PATCH /api/projects/{workspaceId}/quota": ("409",),
    # 422: neither text nor expression or both, no reason, an expression that is none; 404: one of the documents.
    "POST /api/documents/{documentId}/redactions": ("422",),
    "POST /api/admin/redactions": ("404", "422"),
    # 412: it has changed since.
    "PATCH /api/documents/{documentId}": ("412",),
    "PUT /api/documents/{documentId}/rules": ("412", "422"),
    "PUT /api/projects/{workspaceId}/rules": ("412", "422"),
    # 422: an address that is none.
    "POST /api/projects": ("422",),
    "PATCH /api/groups/{groupId}": ("412",),
    "DELETE /api/groups/{groupId}": ("412",),
    # 422: the payload has to fit the type, positions have to be in the text. 413: too much for one operation.
    "POST /api/documents/{documentId}/operations": ("413", "422"),
    # 400: a name is . or .., or something is no folder. 422: a name is .git, or too long.
    **{f"{method} /api/workspace/{{workspaceId}}/fs/{what}": ("400", "422") for method, what in FS_ROUTES},
    # 400: what is no name of a branch, a revision or a remote.
    **{f"{method} /api/workspace/{{workspaceId}}/git/{what}": ("400", "422") for method, what in GIT_ROUTES},
    # 400: a sequence that is not there yet, the later one before the earlier; a path that is no folder, or no text.
    **{f"GET /api/workspace/{{workspaceId}}/history/{what}": ("400", "422") for what in PAST_ROUTES},
    # 400: it is no regular expression, or one that takes too long.
    "GET /api/workspace/{workspaceId}/search": ("400",),
    "POST /api/workspace/{workspaceId}/history/restore": ("400", "422"),
    "POST /api/workspace/{workspaceId}/history/fork": ("400", "422"),
    # 412: it is another file, or not what it was.
    "PUT /api/workspace/{workspaceId}/fs/write": ("400", "412", "422"),
    # 400: whoever is banned is oneself.
    "PUT /api/documents/{documentId}/bans/{userId}": ("400",),
    # 400: an owner is a person; who gives a document owns it, and is not whom it is given to.
    "PUT /api/documents/{documentId}/members/{memberId}": ("400",),
    "POST /api/documents/{documentId}/transfer": ("400",),
    # 400: the link would have expired already.
    "POST /api/documents/{documentId}/links": ("400",),
    # 422: an owner is invited by id or handle only; a list has an entry.
    "POST /api/documents/{documentId}/invitations": ("422",),
    "POST /api/documents/{documentId}/invitations/list": ("422",),
}
"""Rules that no schema can say, and what a good request may therefore come to besides `GOOD`."""


class Server:
    """A server in a thread of its own, with people to be."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(30)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Does something in the server's thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        listener = bind("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with open_town(self._folder, rate_factor=1e6) as town:
            self.town: Town = town
            config = uvicorn.Config(town.coscribe.asgi, lifespan="off", log_level="error", access_log=False)
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            self._ready.set()
            await self._stop.wait()
            server.should_exit = True
            await serving


class Role:
    """Somebody of a kind, and how their requests are made good."""

    def __init__(self, server: Server, kind: str) -> None:
        self.server = server
        self.kind = kind
        self.reached: set[str] = set()
        self.cases = 0
        self._keys = 0
        self._scenes: dict[bool, Scene] = {}
        self._kept: dict[tuple[str, str], Request] = {}

    def scene(self, path: str) -> Scene:
        """With a workspace for routes that are about one, else with a document."""
        is_tree = "{workspaceId}" in path
        if is_tree not in self._scenes:
            self._scenes[is_tree] = self.server.run(Scene(self.server.town, self.kind, is_tree=is_tree).set_up())
            self._kept.clear()
        return self._scenes[is_tree]

    def authorization(self, path: str = "") -> str | None:
        token: str | None = self.scene(path).caller.client.headers.get("Authorization")
        return token

    def before(self, case: Case[Any]) -> None:
        """Puts what exists into a request, wherever schemathesis did not mean it to be wrong."""
        key = (case.operation.method.upper(), case.operation.path)
        meta = case.meta
        if key in ENDLESS and "seconds" not in (case.query or {}):
            case.query = {**(case.query or {}), "seconds": 0}
        if meta is None:
            return
        good = meta.generation.mode.is_positive
        if good and "cursor" in (case.query or {}):
            case.query["cursor"] = ""  # nothing else is one that the list gave
        if isinstance(meta.phase.data, StatefulPhaseData) or key not in EXAMPLES:
            return
        wanted = self._request(key, fresh=good and key[0] != "GET" and ROWS[key].answers[self.kind] is None)
        if case._has_explicit_auth and self.authorization(key[1]) is not None:
            case.headers["Authorization"] = self.authorization(key[1])
        if not meta.is_negative_at(ParameterLocation.PATH):
            for name, value in wanted.parts.items():
                if name in (case.path_parameters or {}):
                    case.path_parameters[name] = value
        if not good:
            return
        headers: Any = case.headers or {}
        etag = wanted.options.get("headers", {}).get("If-Match")
        if etag is not None and "If-Match" in headers:
            headers["If-Match"] = etag
        for name in [name for name in headers if name.lower() == "idempotency-key"]:
            self._keys += 1
            number = str(self._keys)
            headers[name] = headers[name][: -len(number)] + number  # of the same length, and not used before
        if key in ENDLESS:
            case.query["seconds"] = 0
        if "path" in (case.query or {}) and "params" in wanted.options:
            case.query["path"] = wanted.options["params"]["path"]
        body, example = case.body, wanted.options.get("json")
        if isinstance(body, dict) and isinstance(example, dict):
            names = ("name", "password") if key == ("POST", "/api/session") else REAL
            body.update({name: example[name] for name in names if name in body and name in example})

    def after(self, case: Case[Any], response: Response) -> None:
        self.cases += 1
        key, succeeded = (case.method.upper(), case.operation.path), 200 <= response.status_code < 300
        if succeeded:
            self.reached.add(case.operation.label)
        if key == TRASHES or (succeeded and key in SPOILS):
            self._scenes.clear()

    def _request(self, key: tuple[str, str], *, fresh: bool) -> Request:
        scene = self.scene(key[1])
        if fresh:
            return self.server.run(EXAMPLES[key](scene))
        if key not in self._kept:
            self._kept[key] = self.server.run(EXAMPLES[key](scene))
        return self._kept[key]


def configuration(kind: str, seed: int) -> SchemathesisConfig:
    """All checks are on, with the expected statuses above."""
    checks = {
        "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx"]},
        "positive_data_acceptance": {"expected-statuses": GOOD},
        "negative_data_rejection": {"expected-statuses": BAD},
        "missing_required_header": {"expected-statuses": ["401", "403", "404", "428"]},
    }
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "generation": {"max-examples": EXAMPLES_EACH, "no-shrink": True, "database": "none"},
            "phases": {
                "coverage": {"unexpected-methods": ["patch", "options"]},
                "stateful": {"generation": {"max-examples": 1}},
            },
            "continue-on-failure": True,
            "checks": checks,
            "operations": [
                {
                    "include-name": f"{method} {path}",
                    "phases": {
                        "coverage": {"enabled": is_covered_by(kind, row)},
                        "fuzzing": {"enabled": row.answers[kind] is None},
                    },
                    "generation": {"max-examples": EXAMPLES_EACH if row.answers[kind] is None else 1},
                    "checks": {
                        **checks,
                        "positive_data_acceptance": {
                            "expected-statuses": [*GOOD, *RULES.get(f"{method} {path}", ())],
                        },
                    },
                }
                for (method, path), row in ROWS.items()
            ],
        }
    )


def is_covered_by(kind: str, row: Row) -> bool:
    return kind == next((who for who in COVERED_BY if row.answers[who] is None), "owner")


@contextmanager
def hooks(role: Role) -> Iterator[None]:
    def before_call(context: Any, case: Case[Any], kwargs: dict[str, Any]) -> None:
        role.before(case)

    def after_call(context: Any, case: Case[Any], response: Response) -> None:
        role.after(case, response)

    for hook in (before_call, after_call):
        schemathesis.hook(hook)
    try:
        yield
    finally:
        schemathesis.hooks.unregister_all()


def failures_of(server: Server, role: Role, seed: int) -> list[str]:
    """All phases and checks; each failure once, with the request it came of."""
    schema = schemathesis.openapi.from_url(f"{server.url}/api/openapi.json", config=configuration(role.kind, seed))
    if role.authorization() is not None:

        @schema.auth(refresh_interval=None)
        class Authorization:
            def get(self, case: Case[Any], context: Any) -> str | None:
                return role.authorization(case.operation.path)

            def set(self, case: Case[Any], data: str, context: Any) -> None:
                case.headers["Authorization"] = data

    found: dict[str, str] = {}
    with hooks(role):
        for event in from_schema(schema).execute():
            if isinstance(event, events.ScenarioFinished):
                for case_id, checks in event.recorder.checks.items():
                    for check in checks:
                        if check.failure_info is not None:
                            failure, case = check.failure_info.failure, event.recorder.cases[case_id].value
                            what = f"{failure.operation}: {check.name}: {failure.message}"
                            found.setdefault(what, f"{what}\n{case!r}"[:2_000])
            elif isinstance(event, events.NonFatalError):
                found[str(event.id)] = f"{event.label}: {event.value!r}"
            elif isinstance(event, events.FatalError):
                raise event.exception
    return list(found.values())


class Result(NamedTuple):
    requests: int
    reached: set[str]
    failures: list[str]


def run_role(kind: str, folder: Path, seed: int) -> Result:
    """Everything as one role, on a server of its own."""
    server = Server(folder)
    server.start()
    role = Role(server, kind)
    failures = failures_of(server, role, seed)
    server.stop()
    return Result(role.cases, role.reached, failures)


def test_every_answer_is_what_the_description_says(tmp_path: Path) -> None:
    """As each role, two at a time in processes of their own; and over all roles at least nine in ten operations come
    to a 2xx. The rest needs a provider elsewhere, or a server that nobody has set up."""
    folders = [tmp_path / kind.replace(" ", "-") for kind in KINDS]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        results = dict(zip(KINDS, pool.map(run_role, KINDS, folders, [SEED] * len(KINDS)), strict=True))
    for kind, result in results.items():
        print(f"{kind}: {result.requests:,} requests, {len(result.reached)} of {len(ROWS)} operations came to a 2xx")
    reached = set.union(*(result.reached for result in results.values()))
    share = len(reached) / len(ROWS)
    print(f"schemathesis, seed {SEED}: {sum(result.requests for result in results.values()):,} requests, {share:.0%}")
    failures = [f"as {kind}: {failure}" for kind, result in results.items() for failure in result.failures]
    assert failures == [], "\n\n".join([f"COSCRIBE_SEED={SEED}", *failures])
    assert share >= 0.9, sorted(f"{method} {path}" for method, path in ROWS if f"{method} {path}" not in reached)
