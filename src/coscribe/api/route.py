"""The door every request goes through, in this order:

    who is it?       bearer token, else cookie                       access/authentication.py
    how often?       a bucket per person, or per address             429 with Retry-After
    from where?      cookies only with the session's CSRF token, from pages of our own
    may they?        the route's action against the policy           access/policy.py
    again?           a known Idempotency-Key gets its first answer
    then             the route itself

A route names its action when it is made (`action`); one that names none cannot be made. What is refused is noted in the
access events.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Header
from fastapi.routing import APIRoute
from sqlalchemy import Connection, delete, insert, select
from starlette._utils import get_route_path
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from coscribe.access.caller import NOBODY, Caller, Origin
from coscribe.access.events import by
from coscribe.access.ids import MICROSECONDS, now
from coscribe.access.policy import RANK, Action, decide
from coscribe.access.rights import authorise
from coscribe.access.throttle import Buckets, Level, Throttled
from coscribe.api.services import Services
from coscribe.core.errors import Code, CoscribeError
from coscribe.gateway.address import address_key
from coscribe.persistence.schema import idempotent_answers

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

COOKIE = "__Host-coscribe"
LOOPBACK_COOKIE = "coscribe-loopback"
"""Where there is no TLS, on loopback only: browsers would not take the other one everywhere."""


def cookie_name(*, secure: bool) -> str:
    """Of the cookie that a session has. ``secure``: whether people reach the server by TLS."""
    return COOKIE if secure else LOOPBACK_COOKIE


CSRF_HEADER = "X-CSRF-Token"
SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
KEPT_ANSWERS = 86_400 * MICROSECONDS
"""How long an Idempotency-Key is remembered."""

MAX_KEPT_BODY = 100_000
_UNAUTHENTICATED = tuple(what for what in Action if what.value.least == "anyone")
"""Actions for which a credential that has ended is no obstacle."""


class Rate(NamedTuple):
    """``burst`` at once, ``per_second`` more."""

    burst: int
    per_second: float


RATES: dict[Action, Rate] = {
    Action.SEARCH_USERS: Rate(60, 2),
    Action.SIGN_UP: Rate(120, 1),
    Action.RECOVER: Rate(30, 0.5),
    Action.SET_UP: Rate(10, 0.2),
    Action.OPEN_LINK: Rate(60, 2),
    Action.SIGN_IN: Rate(2_000, 500),
    Action.EDIT_CONTENT: Rate(2_000, 500),
    Action.READ_HISTORY: Rate(300, 10),
    Action.EXPORT_DOCUMENTS: Rate(10, 1 / 60),
    Action.ASK_ACCESS: Rate(20, 1 / 60),
    Action.AUDIT_DOCUMENT: Rate(60, 1 / 10),
    Action.REDACT_DOCUMENT: Rate(20, 1 / 60),
}
"""Budgets of their own. Signing in is bounded by what can be hashed, and failures by `LoginGuard`."""

OTHERS = Rate(600, 60)


class Door:
    """Made once per server. ``rate_factor`` multiplies every budget."""

    def __init__(
        self,
        services: Services,
        accepts: Callable[[str | None, str | None], bool],
        *,
        secure: bool,
        rate_factor: float,
        now: Callable[[], float],
    ) -> None:
        self.services = services
        self.cookie = cookie_name(secure=secure)
        self.secure = secure
        self._accepts = accepts
        self._csrf_key = services.keys.derive("csrf")
        self._buckets = {action: _bucket(action.name.lower(), rate, rate_factor, now) for action, rate in RATES.items()}
        self._others = _bucket("requests", OTHERS, rate_factor, now)
        self._answering: dict[tuple[str, str], asyncio.Future[None]] = {}

    async def pass_through(
        self, request: Request, actions: Sequence[Action], once: str | None, by_pipeline: bool, handler: Handler
    ) -> Response:
        """One request. All actions have to be allowed; ``once``: whether an Idempotency-Key counts (see `action`)."""
        action = actions[0]
        caller = request.state.caller = await self._identify(request, action)
        try:
            level = self._take(caller, action)
            self._check_source(request, caller)
            for each in actions:
                await self._authorise(request, caller, each, by_pipeline)
            if once and "idempotency-key" in request.headers:
                response = await self._answer_once(request, caller, once, handler)
            else:
                response = await handler(request)
        except CoscribeError as error:
            self._note_refusal(request, caller, action, error)
            raise
        response.headers["RateLimit-Limit"] = str(level.limit)
        response.headers["RateLimit-Remaining"] = str(level.remaining)
        response.headers["RateLimit-Reset"] = str(round(level.reset_seconds))
        return response

    def overrun(self, scope: Scope) -> CoscribeError | None:
        """Why a request is refused before any other work is done for it: no more passwords can be hashed just now."""
        if _begins(scope):
            try:
                self.services.passwords.knock()
            except Throttled as error:
                return error
        return None

    def csrf_token(self, session_id: str) -> str:
        """What a page of this session sends along with everything that changes something."""
        return hmac.new(self._csrf_key, session_id.encode(), sha256).hexdigest()

    # ---- steps

    async def _identify(self, request: Request, action: Action) -> Caller:
        origin = Origin(request.client.host if request.client else "", request.state.request_id)
        header = request.headers.get("authorization")
        if header is not None:
            kind, _, token = header.partition(" ")
            if kind.lower() != "bearer" or not token.strip():
                raise CoscribeError(Code.AUTHENTICATION_FAILED, "use Authorization: Bearer TOKEN")
            return await self.services.authentication.caller(token.strip(), origin)
        secret = request.cookies.get(self.cookie)
        if secret is not None:
            found = await self.services.authentication.caller_of_cookie(secret, origin)
            if found is not None:
                request.state.by_cookie = True
                return found
            if action not in _UNAUTHENTICATED:
                raise CoscribeError(Code.SESSION_ENDED)
        return NOBODY._replace(origin=origin)

    def _take(self, caller: Caller, action: Action) -> Level:
        buckets = self._buckets.get(action, self._others)
        return buckets.take(caller.account or caller.author or address_key(caller.origin.address))

    def _check_source(self, request: Request, caller: Caller) -> None:
        """A page of another origin can make a browser send our cookie; it cannot know the session's CSRF token."""
        if request.method in SAFE:
            return
        if not self._accepts(request.headers.get("origin"), request.headers.get("host")):
            raise CoscribeError(Code.CSRF_FAILED, "the request comes from a page of another origin")
        if request.headers.get("sec-fetch-site") == "cross-site":
            raise CoscribeError(Code.CSRF_FAILED, "the request comes from a page of another site")
        if getattr(request.state, "by_cookie", False) and not _begins(request.scope):
            given = request.headers.get(CSRF_HEADER, "")
            if not hmac.compare_digest(given.encode(), self.csrf_token(caller.credential_id).encode()):
                raise CoscribeError(Code.CSRF_FAILED)

    async def _authorise(self, request: Request, caller: Caller, action: Action, by_pipeline: bool) -> None:
        document_id = _document_of(request)
        if action.value.least in RANK:
            assert document_id is not None, f"{request.url.path} is about no document"
            try:
                await self.services.database.read(lambda connection: authorise(connection, caller, action, document_id))
            except CoscribeError as error:
                if not (by_pipeline and error.code in _LEFT_TO_THE_PIPELINE):
                    raise
            return
        refusal = decide(action, caller.standing())
        if refusal is not None:
            raise CoscribeError(refusal)

    def _note_refusal(self, request: Request, caller: Caller, action: Action, error: CoscribeError) -> None:
        if isinstance(error, Throttled) or error.code.value.fault == "server":
            return
        document_id = _document_of(request)
        self.services.notes.note(
            by(caller, action.name.lower(), workspace_id=document_id, outcome=error.code.value.code)
        )

    # ---- the same request again

    async def _answer_once(self, request: Request, caller: Caller, once: str, handler: Handler) -> Response:
        key = request.headers["idempotency-key"]
        if not 1 <= len(key) <= 128 or not all("!" <= character <= "~" for character in key):
            raise CoscribeError(Code.INVALID_REQUEST, "an Idempotency-Key has 1 to 128 visible ASCII characters")
        who = caller.author or address_key(caller.origin.address)
        content = f"{request.method} {request.url.path}?{request.url.query}\n".encode() + await request.body()
        request_hash = sha256(content).digest()
        while (under_way := self._answering.get((who, key))) is not None:
            await asyncio.shield(under_way)
        done = self._answering[who, key] = asyncio.get_running_loop().create_future()
        try:
            kept = await self.services.database.read(lambda connection: _kept(connection, who, key))
            if kept is not None:
                return _replay(kept, request_hash)
            response = await handler(request)
            if response.status_code < 400:
                await self.services.database.write(
                    lambda connection: _keep(connection, who, key, request_hash, response, once)
                )
            return response
        finally:
            del self._answering[who, key]
            done.set_result(None)


def _document_of(request: Request) -> str | None:
    """The document or workspace that a request is about."""
    return workspace_named(request.path_params)


def workspace_named(parameters: Mapping[str, Any]) -> str | None:
    """The document or workspace among the parameters of a path."""
    found: str | None = parameters.get("documentId") or parameters.get("workspaceId")
    return found


_LEFT_TO_THE_PIPELINE = (Code.PERMISSION_DENIED, Code.FILE_NOT_FOUND)

_BEGINNINGS = frozenset(("/api/session", "/api/accounts", "/api/setup"))


def _begins(scope: Scope) -> bool:
    """Signing in and up hash a password, and replace whatever session there was: one that is about to go guards
    nothing."""
    return scope["method"] == "POST" and get_route_path(scope) in _BEGINNINGS


class PolicyRoute(APIRoute):
    """A route behind the door."""

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()
        actions, extra = actions_of(self), self.openapi_extra or {}
        once, by_pipeline = extra.get("x-idempotent"), "x-judged-by-pipeline" in extra

        async def through_the_door(request: Request) -> Response:
            door: Door = request.app.state.door
            return await door.pass_through(request, actions, once, by_pipeline, handler)

        return through_the_door


def action(
    what: Action, *, once: str | None = None, also: Action | None = None, by_pipeline: bool = False
) -> dict[str, Any]:
    """For ``openapi_extra`` of a route: its action. ``also``: what has to be allowed as well.

    ``once``: "answer" keeps the answer for an Idempotency-Key; "secret" keeps only that there was one, because the
    answer holds what must not be stored. ``by_pipeline``: the right to write is judged when the operation is about to
    be committed, behind the question whether it was committed before: who has lost the right since still hears so.
    """
    rule = what.value
    extra: dict[str, Any] = {"x-action": what.name}
    if also is not None:
        extra["x-also"] = also.name
    if by_pipeline:
        extra["x-judged-by-pipeline"] = True
    if once is not None:
        extra["x-idempotent"] = once
        extra["parameters"] = [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
                "description": "the same key and request again get the first answer again, for a day",
            }
        ]
    extra["security"] = [] if rule.least == "anyone" else [{"bearer": []}, {"cookie": []}]
    return extra


def actions_of(route: APIRoute) -> tuple[Action, ...]:
    """The actions of a route, all of which have to be allowed. Raises KeyError for one that names none."""
    extra = route.openapi_extra or {}
    return (Action[extra["x-action"]], *(Action[name] for name in [extra.get("x-also")] if name))


# ---- what routes ask for. Coroutines, though they wait for nothing: plain functions would each go through a thread.


async def _door(request: Request) -> Door:
    door: Door = request.app.state.door
    return door


async def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


async def _services(request: Request) -> Services:
    door: Door = request.app.state.door
    return door.services


ADoor = Annotated[Door, Depends(_door)]
ACaller = Annotated[Caller, Depends(_caller)]
AServices = Annotated[Services, Depends(_services)]


# ---- ETags

_ETAG = {"pattern": '^"r[0-9]{1,18}"$'}
AnIfMatch = Annotated[str | None, Header(alias="If-Match", examples=['"r1"'], json_schema_extra={**_ETAG})]
ANeededIfMatch = Annotated[
    str | None, Header(alias="If-Match", examples=['"r1"'], json_schema_extra={**_ETAG, "x-required": True})
]


def etag(revision: int) -> str:
    return f'"r{revision}"'


def expected_revision(if_match: str | None) -> int:
    """The revision in an If-Match header. Errors: ``precondition_required``, ``precondition_failed``."""
    if if_match is None:
        raise CoscribeError(Code.PRECONDITION_REQUIRED)
    text = if_match.strip()
    digits = text[2:-1]
    if not (
        text.startswith('"r') and text.endswith('"') and digits.isascii() and digits.isdigit() and len(digits) < 19
    ):
        raise CoscribeError(Code.PRECONDITION_FAILED, 'If-Match names one ETag, as it was answered: "r7"')
    return int(digits)


def _bucket(name: str, rate: Rate, factor: float, now: Callable[[], float]) -> Buckets:
    return Buckets(name, limit=max(1, round(rate.burst * factor)), per_second=rate.per_second * factor, now=now)


class _Kept(NamedTuple):
    request_hash: bytes
    status: int
    headers: dict[str, str]
    body: bytes


def _kept(connection: Connection, who: str, key: str) -> _Kept | None:
    column = idempotent_answers.c
    row = connection.execute(
        select(column.request_hash, column.status, column.headers, column.body).where(
            column.actor == who, column.key == key, column.created_at > now() - KEPT_ANSWERS
        )
    ).first()
    return None if row is None else _Kept(row.request_hash, row.status, json.loads(row.headers), row.body)


def _keep(connection: Connection, who: str, key: str, request_hash: bytes, response: Response, once: str) -> None:
    column = idempotent_answers.c
    connection.execute(delete(idempotent_answers).where(column.created_at <= now() - KEPT_ANSWERS))
    whole = once == "answer" and len(response.body) <= MAX_KEPT_BODY
    headers = {name: value for name, value in response.headers.items() if name in ("content-type", "location", "etag")}
    connection.execute(
        insert(idempotent_answers).values(
            actor=who,
            key=key,
            request_hash=request_hash,
            status=response.status_code if whole else 0,
            headers=json.dumps(headers),
            body=bytes(response.body) if whole else b"",
            created_at=now(),
        )
    )


def _replay(kept: _Kept, request_hash: bytes) -> Response:
    if kept.request_hash != request_hash:
        raise CoscribeError(Code.IDEMPOTENCY_KEY_REUSED)
    if kept.status == 0:
        raise CoscribeError(Code.CONFLICT, "this was done at the first request; its secret is not shown again")
    return Response(kept.body, kept.status, {**kept.headers, "Idempotent-Replayed": "true"})
