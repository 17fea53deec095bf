"""The plain page: a few static files, the same for everybody, that use the API like any other client.

What is shown is fetched by scripts; nothing of it is in the page itself, so every file may be kept by browsers, which
ask whether it is still the newest (ETag). Secrets are in the fragment of the address, which browsers send to nobody.
"""

from __future__ import annotations

import re
from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",
}

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")


class Asset(NamedTuple):
    """A file as it is sent."""

    body: bytes
    media_type: str
    etag: str


def read_assets() -> dict[str, Asset]:
    """The files of the installed package, by name."""
    assets = {}
    for file in files(__name__).joinpath("static").iterdir():
        media_type = _TYPES.get(file.name[file.name.rfind(".") :])
        if media_type is not None:
            body = file.read_bytes()
            assets[file.name] = Asset(body, media_type, f'"{sha256(body).hexdigest()[:32]}"')
    return assets


def web_routes(*, secure: bool) -> list[BaseRoute]:
    """``/`` and ``/assets/NAME``. ``secure``: whether people reach the server by TLS."""
    assets = read_assets()

    async def page(request: Request) -> Response:
        return _answer(request, assets["index.html"], secure)

    async def asset(request: Request) -> Response:
        found = assets.get(request.path_params["name"])
        if found is None:
            return PlainTextResponse("There is no such file.\n", 404, _HEADERS)
        return _answer(request, found, secure)

    return [Route("/", page), Route("/assets/{name}", asset)]


def content_security_policy(host: str, *, secure: bool) -> str:
    """Everything from this server, nothing from anywhere else. The socket is named because not every browser counts
    it as ``'self'``."""
    socket = f" {'wss' if secure else 'ws'}://{host}" if _HOST.fullmatch(host) else ""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self'{socket}; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )


def _answer(request: Request, asset: Asset, secure: bool) -> Response:
    headers = {**_HEADERS, "ETag": asset.etag}
    headers["Content-Security-Policy"] = content_security_policy(request.headers.get("host", ""), secure=secure)
    if asset.etag in _tags(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return Response(asset.body, headers=headers, media_type=asset.media_type)


def _tags(header: str) -> list[str]:
    return [tag.strip().removeprefix("W/") for tag in header.split(",")]
