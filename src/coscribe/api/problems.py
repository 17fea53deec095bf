"""Refusals by HTTP: problem details (RFC 9457) with the codes of the error table."""

from __future__ import annotations

import math
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from coscribe.access.throttle import Throttled
from coscribe.cluster.requests import MOVED
from coscribe.core.errors import Code, CoscribeError

MEDIA_TYPE = "application/problem+json"

STATUS: dict[Code, int] = {
    Code.INVALID_PATH: 400,
    Code.MALFORMED_JSON: 400,
    Code.TOKEN_IN_URL: 400,
    Code.AUTHENTICATION_FAILED: 401,
    Code.SESSION_ENDED: 401,
    Code.SIGN_IN_REQUIRED: 401,
    Code.WRONG_CREDENTIALS: 401,
    Code.PERMISSION_DENIED: 403,
    Code.ACCESS_REMOVED: 403,
    Code.ACCOUNT_LOCKED: 403,
    Code.BANNED: 403,
    Code.CSRF_FAILED: 403,
    Code.EXTERNAL_SIGN_IN_FAILED: 403,
    Code.QUOTA_EXCEEDED: 403,
    Code.REAUTHENTICATION_REQUIRED: 403,
    Code.SETUP_REQUIRED: 403,
    Code.SIGN_UP_CLOSED: 403,
    Code.USER_MISMATCH: 403,
    Code.FILE_NOT_FOUND: 404,
    Code.NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.BASE_VERSION_FUTURE: 409,
    Code.BASE_VERSION_TOO_OLD: 409,
    Code.CHAIN_MISMATCH: 409,
    Code.CONFLICT: 409,
    Code.HANDLE_TAKEN: 409,
    Code.HISTORY_UNAVAILABLE: 409,
    Code.LAST_OWNER: 409,
    Code.LEGAL_HOLD: 409,
    Code.NOT_A_TEXT: 409,
    Code.OPERATION_ID_REUSED: 409,
    Code.GIT_CONFIG_REFUSED: 409,
    Code.GIT_FAILED: 409,
    Code.MERGE_UNFINISHED: 409,
    Code.NOT_A_REPOSITORY: 409,
    Code.PUSH_REJECTED: 409,
    Code.REMOTE_REFUSED: 409,
    Code.UNCOMMITTED_CHANGES: 409,
    Code.HISTORY_PRUNED: 410,
    Code.SECRET_INVALID: 410,
    Code.PRECONDITION_FAILED: 412,
    Code.EXPORT_TOO_LARGE: 413,
    Code.FILE_TOO_LARGE: 413,
    Code.MESSAGE_TOO_LARGE: 413,
    Code.OPERATION_TOO_LARGE: 413,
    Code.REQUEST_TOO_LARGE: 413,
    Code.UNSUPPORTED_MEDIA_TYPE: 415,
    Code.PRECONDITION_REQUIRED: 428,
    Code.RATE_LIMITED: 429,
    Code.TOO_MANY_REQUESTS: 429,
    Code.MOVED: 503,
    Code.OVERLOADED: 503,
    Code.OWNER_UNAVAILABLE: 503,
    Code.PROVIDER_UNAVAILABLE: 503,
    Code.SHUTTING_DOWN: 503,
    Code.STORAGE_UNAVAILABLE: 503,
}
"""Where nothing is said: 422 for what a client did, 500 for what the server did."""


def status_of(code: Code) -> int:
    return STATUS.get(code, 422 if code.value.fault == "client" else 500)


def problem(request: Request, error: CoscribeError, errors: list[dict[str, Any]] | None = None) -> JSONResponse:
    """A refusal as a response. ``errors``: which parts of the request did not fit."""
    kind, status = error.code.value, status_of(error.code)
    body: dict[str, Any] = {
        "type": f"urn:coscribe:error:{kind.code}",
        "title": kind.code.replace("_", " "),
        "status": status,
        "detail": error.detail or kind.help,
        "instance": f"urn:coscribe:request:{getattr(request.state, 'request_id', '')}",
        "code": kind.code,
        "fault": kind.fault,
        "retry": kind.retry,
        "help": kind.help,
    }
    if error.operation_id is not None:
        body["operationId"] = error.operation_id
    if errors:
        body["errors"] = errors
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="coscribe"'
    if isinstance(error, Throttled):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    elif status in (429, 503):
        headers["Retry-After"] = "1"
    if error.code is Code.MOVED:
        headers[MOVED.decode()] = "1"
    return JSONResponse(body, status, headers, MEDIA_TYPE)


PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457 problem details. `code` is one of the error table in docs/protocol.md and never changes.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "code", "fault", "retry", "help"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what exactly was wrong, for people; may change"},
        "instance": {"type": "string", "description": "names the request in the server's log"},
        "code": {"type": "string", "enum": sorted(code.value.code for code in Code)},
        "fault": {"type": "string", "enum": ["client", "server"]},
        "retry": {"type": "string", "enum": ["never", "same", "rejoin"]},
        "help": {"type": "string"},
        "operationId": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
    "example": {
        "type": "urn:coscribe:error:permission_denied",
        "title": "permission denied",
        "status": 403,
        "detail": "viewers cannot edit",
        "instance": "urn:coscribe:request:6f1c2b7a90d14e35",
        "code": "permission_denied",
        "fault": "client",
        "retry": "never",
        "help": "Ask an owner for the right.",
    },
}
