"""The pages: files that are the same for everybody and use the API like any other client.

They are in ``built/``, as `vite build` has left them: one page for every address of the application, files beside it.

What is shown is fetched by scripts; nothing of it is in a page itself. Secrets are in the fragment of the address,
which browsers send to nobody. Everything is read once, at the start; files are served by exact name, so no address
leads out of the folder. The page of the application is made anew for every answer: its scripts may insert styles only
with the nonce that is in it. What is under /assets/ has a hash in its name there, and is kept by browsers for ever; of
the rest they ask whether it is still the newest (ETag).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
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

_FOR_EVER = "public, max-age=31536000, immutable"

PAGE = "index.html"
NONCE = b"COSCRIBE_NONCE"
"""Stands in the built page wherever the nonce of an answer belongs."""

ADDRESSES = (
    "/",
    *("/sign-in", "/sign-up", "/setup", "/reset", "/verify", "/invite", "/link"),
    *("/account", "/account/{rest:path}", "/admin", "/admin/{rest:path}", "/d/{rest:path}", "/w/{rest:path}"),
)
"""The application's own: each is answered with its page, which shows what belongs there."""

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")


class Asset(NamedTuple):
    """A file as it is sent. ``compressed``: the same by content coding, those that the build has left beside it, the
    smallest first."""

    body: bytes
    media_type: str
    etag: str
    compressed: Mapping[str, bytes]


CODINGS = {"br": ".br", "gzip": ".gz"}
"""Content codings and how the names of the build's compressed files end, the smallest first."""

_BUILT = files(__name__).joinpath("built")


def read_assets(folder: Traversable) -> dict[str, Asset]:
    """The files in a folder and below, by path: ``assets/index-1a2b.js``. Those of other kinds are left out."""
    found = {path: file.read_bytes() for path, file in _walk(folder, "")}
    return {
        path: Asset(body, media_type, f'"{sha256(body).hexdigest()[:32]}"', _compressed(path, found))
        for path, body in found.items()
        if (media_type := _TYPES.get(path[path.rfind(".") :])) is not None
    }


def _compressed(path: str, found: Mapping[str, bytes]) -> dict[str, bytes]:
    return {coding: found[path + ending] for coding, ending in CODINGS.items() if path + ending in found}


def _walk(folder: Traversable, below: str) -> list[tuple[str, Traversable]]:
    found: list[tuple[str, Traversable]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _walk(entry, f"{below}{entry.name}/")
        else:
            found.append((below + entry.name, entry))
    return found


def make_pages(*, secure: bool, folder: Traversable = _BUILT) -> ASGIApp:
    """The page at all of `ADDRESSES`, every other file at its own path, and the page with status 404 elsewhere: it has
    something to say to people there too. Where nothing was built, a word on how to build it. ``secure``: whether people
    reach the server by TLS."""
    if folder.joinpath(PAGE).is_file():
        return Starlette(routes=_routes(read_assets(folder), secure))

    async def not_built(_: Request) -> Response:
        return PlainTextResponse("The web application is not built: run `make setup`.\n", 503, _HEADERS)

    return Starlette(routes=[Route("/{rest:path}", not_built)])


def _routes(assets: dict[str, Asset], secure: bool) -> list[BaseRoute]:
    page = assets[PAGE]

    def shown(request: Request, status: int) -> Response:
        nonce = secrets.token_urlsafe(18)
        headers = {**_HEADERS, "Content-Security-Policy": app_policy(request.headers.get("host", ""), nonce, secure)}
        return Response(page.body.replace(NONCE, nonce.encode()), status, headers, page.media_type)

    async def show(request: Request) -> Response:
        return shown(request, 200)

    async def lost(request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return shown(request, 404)
        return PlainTextResponse("There is nothing here.\n", 404, _HEADERS)

    async def send(request: Request) -> Response:
        path = request.scope["path"][1:]
        found = assets.get(path)
        if found is None or path == PAGE:
            return PlainTextResponse("There is no such file.\n", 404, _HEADERS)
        headers = {**_HEADERS, "Content-Security-Policy": app_policy(request.headers.get("host", ""), "", secure)}
        if path.startswith("assets/"):
            headers["Cache-Control"] = _FOR_EVER
        return _answer(request, found, headers)

    beside = sorted(path for path in assets if path != PAGE and not path.startswith("assets/"))
    return [
        *(Route(address, show) for address in ADDRESSES),
        *(Route(f"/{path}", send) for path in beside),
        Route("/assets/{rest:path}", send),
        Route("/{rest:path}", lost),
    ]


def app_policy(host: str, nonce: str, secure: bool) -> str:
    """Everything comes from this server. Scripts are files of it, without exception; styles that they insert carry the
    nonce ("": of an answer that is no page). A worker is the same for all its pages, so it can have none."""
    styles = f"'self' 'nonce-{nonce}'" if nonce else "'self'"
    return (
        f"default-src 'none'; script-src 'self'; style-src {styles}; img-src 'self' data: blob:; font-src 'self'; "
        f"connect-src 'self'{_socket(host, secure)}; worker-src 'self'; manifest-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )


def _socket(host: str, secure: bool) -> str:
    """The socket of this server: it is named because not every browser counts it as ``'self'``."""
    return f" {'wss' if secure else 'ws'}://{host}" if _HOST.fullmatch(host) else ""


def _answer(request: Request, asset: Asset, headers: dict[str, str]) -> Response:
    body, tag = asset.body, asset.etag
    if asset.compressed:
        headers["Vary"] = "Accept-Encoding"
    coding = _coding_of(request.headers.get("accept-encoding", ""), asset.compressed)
    if coding is not None:
        headers["Content-Encoding"] = coding
        body, tag = asset.compressed[coding], f'{asset.etag[:-1]}-{coding}"'
    headers["ETag"] = tag
    if tag in _tags(request.headers.get("if-none-match", "")):
        return Response(
            status_code=304, headers={name: headers[name] for name in headers if name != "Content-Encoding"}
        )
    return Response(body, headers=headers, media_type=asset.media_type)


def _coding_of(header: str, offered: Iterable[str]) -> str | None:
    """The first of the offered codings that the header takes. Which of those it would rather have does not matter: all
    are the same file."""
    taken: dict[str, bool] = {}
    for part in header.lower().split(","):
        coding, _, weight = part.partition(";")
        taken[coding.strip()] = weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return next((coding for coding in offered if taken.get(coding, taken.get("*", False))), None)


def _tags(header: str) -> list[str]:
    return [tag.strip().removeprefix("W/") for tag in header.split(",")]
