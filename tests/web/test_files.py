"""What is served for the page: files of the package, headers, nothing that the policy of the page would refuse."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from coscribe.web import content_security_policy, read_assets
from tests.api.town import open_town

ASSETS = read_assets()
SCRIPTS = sorted(name for name in ASSETS if name.endswith(".js"))


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with open_town(tmp_path) as town:
        yield town.nobody().client


@pytest.mark.parametrize("path", ["/", *(f"/assets/{name}" for name in sorted(ASSETS))])
async def test_every_file_comes_with_its_type_and_the_headers(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 200
    kind = path.rpartition(".")[2] if "." in path else "html"
    types = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    assert answer.headers["content-type"].startswith(types[kind])
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-cache"
    policy = answer.headers["content-security-policy"]
    assert policy == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self' ws://127.0.0.1:8777; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )


async def test_a_file_that_is_known_is_not_sent_again(client: httpx.AsyncClient) -> None:
    tag = (await client.get("/assets/app.js")).headers["etag"]
    again = await client.get("/assets/app.js", headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert (await client.get("/assets/app.js", headers={"If-None-Match": '"other"'})).status_code == 200


async def test_the_head_of_a_file_is_its_headers(client: httpx.AsyncClient) -> None:
    head, whole = await client.head("/"), await client.get("/")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))


@pytest.mark.parametrize("name", ["nothing.js", "..%2F__init__.py", "%2e%2e/__init__.py", "", "static/app.js"])
async def test_nothing_else_is_served(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"/assets/{name}")).status_code == 404


async def test_the_page_cannot_be_posted_to(client: httpx.AsyncClient) -> None:
    assert (await client.post("/")).status_code == 405


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
    policy = content_security_policy(host, secure=secure)
    assert f"connect-src 'self'{socket};" in policy
    assert policy.count(";") == 7


class _Markup(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.targets: list[str] = []
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        for name, value in attrs:
            if name.startswith("on") or name == "style":
                self.wrong.append(f"{tag} {name}")
            if name in ("src", "href"):
                self.targets.append(value or "")

    def handle_data(self, data: str) -> None:
        if self.inside in ("script", "style") and data.strip():
            self.wrong.append(f"{self.inside}: {data[:50]}")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""


def test_the_page_has_no_script_or_style_of_its_own() -> None:
    markup = _Markup()
    markup.feed(ASSETS["index.html"].body.decode())
    assert markup.wrong == []
    files = [target.removeprefix("/assets/") for target in markup.targets if not target.startswith("#")]
    assert files
    assert [name for name in files if name not in ASSETS] == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_import_only_each_other(name: str) -> None:
    imported = re.findall(r'(?:from|import\() ?"([^"]+)"', ASSETS[name].body.decode())
    assert [each for each in imported if each.removeprefix("./") not in SCRIPTS] == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_make_no_markup_of_strings_and_store_nothing(name: str) -> None:
    text = ASSETS[name].body.decode()
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|localStorage|sessionStorage"
    )
    assert re.findall(forbidden, text) == []


@pytest.mark.parametrize("name", sorted(ASSETS))
def test_files_lead_nowhere_else(name: str) -> None:
    text = ASSETS[name].body.decode().replace("http://www.w3.org/2000/svg", "")
    assert re.findall(r"https?://[a-z]\S*|@import|url\(", text) == []
