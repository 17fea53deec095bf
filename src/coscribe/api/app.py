"""The REST application: routes behind the door, one form for all refusals, its own description as OpenAPI."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote_to_bytes

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, APIRouter
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coscribe.api import (
    account,
    admin,
    audits,
    content,
    documents,
    events,
    export,
    external,
    files,
    git,
    groups,
    history,
    invitations,
    links,
    members,
    mounts,
    past,
    projects,
    redactions,
    requests,
    retention,
    searching,
    session,
    tokens,
    users,
    workspaces,
)
from coscribe.api.models import NO_NUL
from coscribe.api.problems import MEDIA_TYPE, PROBLEM_SCHEMA, problem
from coscribe.api.route import COOKIE, Door, workspace_named
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import StorageError
from coscribe.documents.unpacking.intake import Bounds
from coscribe.gateway.address import has_secret

log = structlog.get_logger(__name__)

BODY_BYTES = 1_000_000
TEXT_BODY_BYTES = 70_000_000
"""A file of 16 million code points takes up to 64 MB."""

_TEXT_PATHS = ("/content", "/operations", "/import")
_BYTES_PATH = "/fs/write"
ARCHIVE_BODY_BYTES = Bounds().packed_bytes
_ARCHIVE_PATH = "/api/projects/import"


_CALLBACK = re.compile("/api/session/external/[^/]+/callback")
_OF_PROVIDERS = frozenset(("code", "state", "session_state"))
"""What a provider puts into that address, in any form: good once, and only in the browser that has the cookie."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}

_NOUNS = (
    session,
    external,
    account,
    tokens,
    users,
    export,
    documents,
    content,
    workspaces,
    past,
    files,
    searching,
    history,
    mounts,
    git,
    redactions,
    retention,
    audits,
    members,
    invitations,
    projects,
    requests,
    links,
    groups,
    events,
    admin,
)


def make_api(door: Door, *, version: str, new_request_id: Callable[[], str]) -> ASGIApp:
    """The application, to be mounted under ``/api`` (its routes name the whole path)."""
    app = _with_routes(version)
    app.state.door = door
    app.add_exception_handler(CoscribeError, _refused)
    app.add_exception_handler(StorageError, _storage_failed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _failed)
    app.openapi = lambda: _describe(app, door.cookie)  # type: ignore[method-assign]  # the documented way to change it
    return _Frame(app, new_request_id, door.overrun, door.services.files.blobs.max_bytes)


def description(version: str) -> dict[str, Any]:
    """What ``/api/openapi.json`` says of a server that is reached by TLS, without one."""
    return _describe(_with_routes(version), COOKIE)


def _with_routes(version: str) -> FastAPI:
    app = FastAPI(
        title="Coscribe",
        version=version,
        summary="Accounts, documents and sharing around the collaboration engine.",
        description=_DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for noun in _NOUNS:
        app.include_router(noun.router)
    return app


def routes_of(app: FastAPI) -> Iterator[APIRoute]:
    """Every route behind the door."""
    for noun in _NOUNS:
        router: APIRouter = noun.router
        for route in router.routes:
            assert isinstance(route, APIRoute)
            yield route


def asked_about() -> Callable[[str, str], str]:
    """For those who have to know before the application does: the document, file or workspace that a request with a
    method and a path is about; "": none. By the routes themselves, in their order."""
    routes = [(route.path_regex, route.methods or ()) for route in routes_of(FastAPI())]

    def about(method: str, path: str) -> str:
        for regex, methods in routes:
            match = regex.match(path)
            if match is not None and method in methods:
                return workspace_named(match.groupdict()) or ""
        return ""

    return about


def refusing(new_request_id: Callable[[], str]) -> Callable[[Scope, CoscribeError], ASGIApp]:
    """For those who refuse a request before it comes here: the answer that it would have got here."""

    def refuse(scope: Scope, error: CoscribeError) -> ASGIApp:
        request_id = scope.setdefault("state", {})["request_id"] = new_request_id()
        response = problem(Request(scope), error)
        response.headers.update({"X-Request-Id": request_id, **_HEADERS})
        return response

    return refuse


class _Frame:
    """Around every request: an id, bounds on the body, headers on the response, no secrets in the address."""

    def __init__(
        self,
        app: ASGIApp,
        new_request_id: Callable[[], str],
        overrun: Callable[[Scope], CoscribeError | None],
        file_bytes: int,
    ) -> None:
        self._app = app
        self._file_bytes = file_bytes
        self._new_request_id = new_request_id
        self._overrun = overrun

    @property
    def app(self) -> ASGIApp:
        return self._app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope.setdefault("state", {})["request_id"] = self._new_request_id()
        path = scope["path"]
        bound = TEXT_BODY_BYTES if path.endswith(_TEXT_PATHS) else BODY_BYTES
        if path.endswith(_BYTES_PATH):
            bound = self._file_bytes
        if path == _ARCHIVE_PATH:
            bound = ARCHIVE_BODY_BYTES

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message["headers"]}
                more = {"X-Request-Id": request_id, **_HEADERS}
                message["headers"] = [
                    *message["headers"],
                    *((n.lower().encode(), v.encode()) for n, v in more.items() if n.lower().encode() not in names),
                ]
            await send(message)

        error = _bad_frame(scope, bound)
        if error is None and (error := self._overrun(scope)) is not None:
            await _read_past(_bounded(receive, bound))  # so that the connection can go on
        if error is not None:
            await problem(Request(scope), error)(scope, receive, send_with_headers)
            return
        await self._app(scope, _bounded(receive, bound), send_with_headers)


def _bad_frame(scope: MutableMapping[str, Any], bound: int) -> CoscribeError | None:
    headers, query = Headers(scope=scope), scope.get("query_string", b"").decode("latin-1")
    expected = _OF_PROVIDERS if _CALLBACK.fullmatch(scope["path"]) else frozenset[str]()
    if has_secret(query, expected):
        return CoscribeError(Code.TOKEN_IN_URL)
    if "\0" in scope["path"] or "\0" in query or "%00" in query:
        return CoscribeError(Code.INVALID_REQUEST, "an address has no NUL")
    if not _is_utf8(scope.get("query_string", b"")):
        return CoscribeError(Code.INVALID_REQUEST, "what is in an address is UTF-8")
    if headers.get("content-encoding", "identity").lower() != "identity":
        return CoscribeError(Code.UNSUPPORTED_MEDIA_TYPE, "send the body as it is: no Content-Encoding")
    length = headers.get("content-length", "0")
    if length.isdigit() and int(length) > bound:
        return CoscribeError(Code.REQUEST_TOO_LARGE, f"{length} bytes, at most {bound}")
    return None


def _is_utf8(query: bytes) -> bool:
    """Else another text would come of it than was sent."""
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        return False
    return True


async def _read_past(receive: Receive) -> None:
    """Reads a body that nobody wants."""
    with suppress(CoscribeError):
        while (await receive()).get("more_body", False):
            pass


def _bounded(receive: Receive, bound: int) -> Receive:
    read = 0

    async def bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > bound:
            raise CoscribeError(Code.REQUEST_TOO_LARGE, f"more than {bound} bytes")
        return message

    return bounded


# ---- refusals


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, CoscribeError)
    return problem(request, error)


async def _storage_failed(request: Request, error: Exception) -> Response:
    log.error("storage_failed", error=str(error), request=request.state.request_id)
    return problem(request, CoscribeError(Code.STORAGE_UNAVAILABLE))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    parts = error.errors()
    if any(part["type"] == "json_invalid" for part in parts):
        return problem(request, CoscribeError(Code.MALFORMED_JSON, "the body is no JSON"))
    told = [{"in": [str(step) for step in part["loc"]], "message": part["msg"]} for part in parts[:20]]
    where = "; ".join(f"{'.'.join(part['in'])}: {part['message']}" for part in told[:3])
    return problem(request, CoscribeError(Code.INVALID_REQUEST, where), told)


async def _http(request: Request, error: Exception) -> Response:
    """What the framework itself refuses."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        response = problem(request, CoscribeError(Code.METHOD_NOT_ALLOWED))
        response.headers["Allow"] = ", ".join(sorted(_methods(request)))
        return response
    if isinstance(error.__cause__, CoscribeError):  # what was raised while the body was read
        return problem(request, error.__cause__)
    if error.status_code == 400:
        return problem(request, CoscribeError(Code.MALFORMED_JSON, "the body cannot be read"))
    return problem(request, CoscribeError(Code.NOT_FOUND if error.status_code == 404 else Code.INVALID_REQUEST))


def _methods(request: Request) -> set[str]:
    """Of the address itself; without parameters it is not one of those with parameters that it looks like."""
    found = [route for route in routes_of(request.app) if route.path_regex.match(request.url.path)]
    fewest = min((len(route.param_convertors) for route in found), default=0)
    return {method for route in found if len(route.param_convertors) == fewest for method in route.methods or ()}


async def _failed(request: Request, error: Exception) -> Response:
    log.error("request_failed", exc_info=error, path=request.url.path, request=request.state.request_id)
    return problem(request, CoscribeError(Code.INTERNAL))


# ---- its description

_DESCRIPTION = """
Who may do what is in `docs/policy.md`. Refusals are problem details with the codes of `docs/protocol.md`.
Lists are paged: pass `nextCursor` back as `cursor`. What has an ETag wants it back as `If-Match`.
Calls that create something take an `Idempotency-Key`. Documents are edited live over the WebSocket, or here.
"""

_PROBLEMS = (400, 401, 403, 404, 405, 409, 410, 412, 413, 415, 422, 428, 429, 500, 503)


def _describe(app: FastAPI, cookie: str) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
        )
        components = schema.setdefault("components", {})
        components.setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
        for name in ("HTTPValidationError", "ValidationError"):
            components["schemas"].pop(name, None)
        components["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer", "description": "an access token or an API token"},
            "cookie": {"type": "apiKey", "in": "cookie", "name": cookie},
        }
        content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        for model in components["schemas"].values():
            if model.get("additionalProperties") is False:
                _say_no_nul(model)
        for path in schema["paths"].values():
            for operation in path.values():
                for parameter in operation.get("parameters", ()):
                    _tidy(parameter)
                responses = operation.setdefault("responses", {})
                for status in _PROBLEMS:
                    responses[str(status)] = {"description": "refused", "content": content}
        app.openapi_schema = schema
    return app.openapi_schema


def _tidy(parameter: dict[str, Any]) -> None:
    """A parameter that may be left out cannot be null, and one may be needed although the route itself asks for it."""
    schema = parameter["schema"]
    options = [option for option in schema.pop("anyOf", ()) if option.get("type") != "null"]
    if len(options) == 1:
        schema.update({**options[0], **schema})
    if schema.pop("x-required", False):
        parameter["required"] = True
    if parameter["in"] in ("path", "query"):
        _say_no_nul(schema)


def _say_no_nul(schema: Any) -> None:
    """Texts that are sent have no NUL; those with a pattern of their own say so themselves."""
    if isinstance(schema, list):
        for part in schema:
            _say_no_nul(part)
    elif isinstance(schema, dict):
        if schema.get("type") == "string" and not {"pattern", "enum", "const"} & schema.keys():
            schema["pattern"] = NO_NUL
        for name, part in schema.items():
            if name not in ("example", "examples", "default"):
                _say_no_nul(part)
