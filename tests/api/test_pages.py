"""The application's page and files, from a small built folder."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.types import ASGIApp

from coscribe.web import app_policy, make_pages

SCRIPT = b"export const answer = 42;\n" * 50
SMALLEST = b"the script, by brotli"
STYLE = b"body { margin: 0 }\n" * 50
INDEX = b"""<!doctype html>
<meta property="csp-nonce" nonce="COSCRIBE_NONCE" />
<script type="module" nonce="COSCRIBE_NONCE" src="/assets/main-1a2b.js"></script>
"""


@pytest.fixture
def built(tmp_path: Path) -> Path:
    files = {
        "index.html": INDEX,
        "index.html.gz": gzip.compress(INDEX, mtime=0),
        "icon.svg": b"<svg/>",
        "sw.js": b"self.addEventListener('fetch', () => undefined);\n",
        "manifest.webmanifest": b"{}",
        "assets/main-1a2b.js": SCRIPT,
        "assets/main-1a2b.js.gz": gzip.compress(SCRIPT, mtime=0),
        "assets/main-1a2b.js.br": SMALLEST,
        "assets/style-5e6f.css": STYLE,
        "assets/style-5e6f.css.gz": gzip.compress(STYLE, mtime=0),
        "assets/font-3c4d.woff2": b"wOF2",
        "notes.secret": b"of no known kind",
    }
    folder = tmp_path / "built"
    for name, body in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    return folder


def client_of(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://notes.example")


@pytest.fixture
async def client(built: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(make_pages(secure=True, folder=built)) as client:
        yield client


@pytest.mark.parametrize(
    "address",
    [
        *("/", "/sign-in", "/sign-up", "/setup", "/reset", "/verify", "/invite", "/link"),
        *(
            "/account",
            "/account/tokens",
            "/admin",
            "/admin/users/usr_1",
            "/d/doc_1",
            "/d/doc_1/history",
        ),
    ],
)
async def test_every_address_of_the_application_is_its_page(client: httpx.AsyncClient, address: str) -> None:
    answer = await client.get(address)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    head = await client.head(address)
    assert (head.status_code, head.content) == (200, b"")
    assert (await client.post(address)).status_code == 405


async def test_the_page_has_a_nonce_of_its_own_every_time(client: httpx.AsyncClient) -> None:
    nonces = set()
    for _ in range(3):
        answer = await client.get("/d/doc_1", headers={"Accept-Encoding": "gzip"})
        (nonce,) = set(re.findall('nonce="([^"]*)"', answer.text))
        assert "COSCRIBE_NONCE" not in answer.text
        assert "content-encoding" not in answer.headers
        assert answer.headers["content-security-policy"] == (
            f"default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data: blob:; "
            "font-src 'self'; connect-src 'self' wss://notes.example; worker-src 'self'; manifest-src 'self'; "
            "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
        )
        nonces.add(nonce)
    assert len(nonces) == 3
    assert all(len(nonce) >= 22 for nonce in nonces)


@pytest.mark.parametrize(
    ("path", "media_type", "caching"),
    [
        ("/assets/main-1a2b.js", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"),
        ("/assets/font-3c4d.woff2", "font/woff2", "public, max-age=31536000, immutable"),
        ("/icon.svg", "image/svg+xml", "no-cache"),
        ("/sw.js", "text/javascript; charset=utf-8", "no-cache"),
        ("/manifest.webmanifest", "application/manifest+json", "no-cache"),
    ],
)
async def test_files_come_with_their_type_and_caching(
    client: httpx.AsyncClient, path: str, media_type: str, caching: str
) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert answer.headers["cache-control"] == caching
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "style-src 'self';" in answer.headers["content-security-policy"]
    again = await client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("accepted", "script", "style"),
    [
        ("gzip, br", "br", "gzip"),
        ("br;q=1.0, gzip;q=0.5", "br", "gzip"),
        ("gzip, deflate", "gzip", "gzip"),
        ("*", "br", "gzip"),
        ("*, br;q=0", "gzip", "gzip"),
        ("gzip;q=0, br", "br", None),
        ("gzip;q=0", None, None),
        ("br", "br", None),
        ("", None, None),
    ],
)
async def test_what_was_compressed_before_is_sent_so(
    client: httpx.AsyncClient, accepted: str, script: str | None, style: str | None
) -> None:
    for path, coding, bodies in (
        ("/assets/main-1a2b.js", script, {"br": SMALLEST, "gzip": gzip.compress(SCRIPT, mtime=0), None: SCRIPT}),
        ("/assets/style-5e6f.css", style, {"gzip": gzip.compress(STYLE, mtime=0), None: STYLE}),
    ):
        async with client.stream("GET", path, headers={"Accept-Encoding": accepted}) as answer:
            raw = b"".join([part async for part in answer.aiter_raw()])
        assert (answer.headers.get("content-encoding"), raw) == (coding, bodies[coding])
        assert answer.headers["vary"] == "Accept-Encoding"
        headers = {"Accept-Encoding": accepted, "If-None-Match": answer.headers["etag"]}
        again = await client.get(path, headers=headers)
        assert (again.status_code, again.headers["vary"]) == (304, "Accept-Encoding")


async def test_the_forms_of_a_file_have_tags_of_their_own(client: httpx.AsyncClient) -> None:
    tags: set[str] = set()
    for coding in ("br", "gzip", "identity"):
        async with client.stream("GET", "/assets/main-1a2b.js", headers={"Accept-Encoding": coding}) as answer:
            tags.add(answer.headers["etag"])
    assert len(tags) == 3


@pytest.mark.parametrize(
    "path",
    [
        *("/index.html", "/assets/index.html", "/assets/../index.html", "/assets/..%2Findex.html", "/assets/"),
        *(
            "/notes.secret",
            "/assets/main-1a2b.js.gz",
            "/assets/main-1a2b.js.br",
            "/assets/other.js",
            "/signed-in",
            "/d",
            "/sw.js/x",
        ),
    ],
)
async def test_nothing_else_is_served(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code in (404, 307)
    assert (await client.get(path, follow_redirects=True)).text != INDEX.decode()


@pytest.mark.parametrize(
    ("host", "secure", "socket"),
    [
        ("notes.example", True, " wss://notes.example"),
        ("notes.example:8443", True, " wss://notes.example:8443"),
        ("127.0.0.1:8777", False, " ws://127.0.0.1:8777"),
        ("[::1]:8777", False, " ws://[::1]:8777"),
        ("notes.example; script-src *", True, ""),
        ("a b", True, ""),
        ("", True, ""),
    ],
)
def test_the_policy_names_the_socket_of_this_server_only(host: str, secure: bool, socket: str) -> None:
    policy = app_policy(host, "", secure)
    assert f"connect-src 'self'{socket};" in policy
    assert policy.count(";") == app_policy("notes.example", "", True).count(";")


async def test_who_is_lost_gets_the_page_which_says_so(client: httpx.AsyncClient) -> None:
    answer = await client.get("/nowhere/at/all", headers={"Accept": "text/html,*/*"})
    assert answer.status_code == 404
    assert 'property="csp-nonce"' in answer.text
    assert "COSCRIBE_NONCE" not in answer.text


async def test_a_server_without_the_application_says_how_to_build_it(tmp_path: Path) -> None:
    async with client_of(make_pages(secure=False, folder=tmp_path)) as client:
        answer = await client.get("/sign-in")
    assert answer.status_code == 503
    assert "make setup" in answer.text


async def test_a_server_has_the_application_where_it_was_built(built: Path) -> None:
    async with client_of(make_pages(secure=False, folder=built)) as client:
        assert (await client.get("/sign-in")).status_code == 200
        assert "ws://notes.example;" in (await client.get("/")).headers["content-security-policy"]
