"""Which addresses are talked to, and that a secret is only where it belongs."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest

from coscribe.core.errors import Code, CoscribeError
from coscribe.git.remotes import AddressPolicy, Remote, Secret, is_public, parsed, public
from coscribe.git.repository import Person, Repository

SECRET = "a-token-that-nobody-else-sees"


@pytest.mark.parametrize(
    "url",
    [
        "http://git.example.org/a",
        "git://git.example.org/a",
        "file:///etc",
        "/etc",
        "ext::sh -c touch% /tmp/x",
        "https://ann:token@git.example.org/a",
        "https://git.example.org/a?x=1",
        "https://git.example.org/a#x",
        "https://git.example.org:99999/a",
        "https://-oProxyCommand=x/a",
        "ssh://-oProxyCommand=x/a",
        "ssh://-x@git.example.org/a",
        "https://git.example.org/a\nb",
        "https://git.example.org/ä",
        "https://[::1]/'a",
        "https://",
        "-h",
        "",
        f"https://git.example.org/{'a' * 3_000}",
    ],
)
def test_addresses_of_another_form_are_refused(url: str) -> None:
    with pytest.raises(CoscribeError) as refused:
        parsed(url)
    assert refused.value.code is Code.REMOTE_REFUSED


def test_addresses_that_are_taken() -> None:
    assert parsed("https://git.example.org/ann/thesis.git").port == 443
    short = parsed("git@git.example.org:ann/thesis.git")
    assert (short.protocol, short.host, short.url) == (
        "ssh", "git.example.org", "ssh://git@git.example.org/ann/thesis.git",
    )  # fmt: skip
    assert parsed("ssh://me@git.example.org:2222/a").port == 2222


@pytest.mark.parametrize(
    "url",
    [
        f"https://{host}/a"
        for host in ("127.0.0.1", "localhost", "10.0.0.1", "192.168.1.1", "169.254.169.254", "[::1]", "0.0.0.0")
    ]
    + ["https://[::ffff:127.0.0.1]/a", "https://[fe80::1]/a", "https://2130706433/a", "https://0x7f000001/a"],
)
def test_private_addresses_are_refused(url: str) -> None:
    with pytest.raises(CoscribeError) as refused:
        public(url)
    assert refused.value.code is Code.REMOTE_REFUSED


def test_what_was_judged_is_what_is_used() -> None:
    remote = public("https://9.9.9.9/a")
    assert remote.settings == {"http.curloptResolve": "9.9.9.9:443:9.9.9.9"}


@pytest.mark.parametrize(
    "address", ["64:ff9b::7f00:1", "2002:7f00:1::", "::ffff:10.0.0.1", "224.0.0.1", "fc00::1", "x"]
)
def test_addresses_within_addresses(address: str) -> None:
    assert not is_public(address)


ADDRESSES = {
    "127.0.0.1": "this machine",
    "127.8.8.8": "this machine",
    "0.0.0.0": "this machine",
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "192.168.1.1": "private",
    "100.64.0.1": "shared by a provider",
    "169.254.169.254": "metadata of a cloud",
    "192.0.2.1": "documentation",
    "198.18.0.1": "benchmarks",
    "224.0.0.1": "multicast",
    "255.255.255.255": "broadcast",
    "::1": "this machine",
    "::": "this machine",
    "fe80::1": "this link",
    "fe80::1%eth0": "this link",
    "fc00::1": "private",
    "fd00:ec2::254": "metadata of a cloud",
    "fec0::1": "private, the old way",
    "ff02::1": "multicast",
    "2001:db8::1": "documentation",
    "::ffff:127.0.0.1": "mapped",
    "::ffff:10.0.0.1": "mapped",
    "2002:7f00:1::": "6to4",
    "64:ff9b::7f00:1": "NAT64",
    "64:ff9b::a9fe:a9fe": "NAT64, metadata",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_whom_the_server_does_not_speak_to(address: str) -> None:
    assert not is_public(ip_address(address))
    for found in ([address], ["93.184.216.34", address]):
        with pytest.raises(CoscribeError) as error:
            AddressPolicy(resolve=lambda _, __, found=found: found)("https://git.example/x")  # type: ignore[misc]
        assert "not on the public internet" in error.value.detail


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"])
def test_whom_it_speaks_to(address: str) -> None:
    target = AddressPolicy(resolve=lambda _, __: [address])("https://git.example/x")
    assert (target.host, target.port, target.address) == ("git.example", 443, address)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "file:///etc/passwd",
            "/etc/passwd",
            "ext::sh -c whoami",
            "ext::sh",
            "http://git.example/x",
            "git://git.example/x",
        ),
        *(
            "ssh://-oProxyCommand=whoami/x",
            "https://-oProxyCommand=whoami/x",
            "-oProxyCommand=whoami",
            "--upload-pack=x",
        ),
        *(
            "https://user:secret@git.example/x",
            "https://git.example@evil.example/x",
            "https:///x",
            "https://git.example",
        ),
        *(
            "https://git.example/x y",
            "https://git.example/x\n",
            "https://git.example/\0",
            "https://git.example:99999/x",
        ),
        *("https://git.example/x?y", "https://git.example/x#y", "https://git%2eexample/x", "https://git.example\\@x/y"),
        *("", "https://" + "a" * 3_000, "https://[::1/x", "HTTPS:git.example/x", "git@git.example:"),
    ],
)
def test_what_is_no_address_asks_nobody(url: str) -> None:
    def nobody(_: str, __: int) -> list[str]:
        raise AssertionError("it was looked up")

    with pytest.raises(CoscribeError) as error:
        AddressPolicy(resolve=nobody)(url)
    assert error.value.code is Code.REMOTE_REFUSED


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/x", "https://[::1]/x", "https://localhost/x", "https://2130706433/x"]
)
def test_the_real_look_up_is_judged_as_well(url: str) -> None:
    with pytest.raises(CoscribeError) as error:
        public(url)
    assert error.value.code is Code.REMOTE_REFUSED


class _Backend(BaseHTTPRequestHandler):
    """``git http-backend`` for whoever knows the secret."""

    root: Path
    seen: list[str]

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        if path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", self.path.replace("/moved", "/bare.git"))
            self.end_headers()
            return
        kind, _, given = (self.headers.get("Authorization") or "").partition(" ")
        who = base64.b64decode(given).decode() if kind == "Basic" else ""
        self.seen.append(who)
        if who != f"ann:{SECRET}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.receivepack",
            "GIT_CONFIG_VALUE_0": "true",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "REMOTE_USER": "ann",
            "CONTENT_TYPE": self.headers.get("Content-Type") or "",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding") or "",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", tmp_path / "bare.git"], check=True)
    handler = type("Backend", (_Backend,), {"root": tmp_path, "seen": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


async def _repository(tmp_path: Path) -> Repository:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/a").write_text("a\n")
    repository = Repository(tmp_path / "files", tmp_path / "private")
    await repository.make()
    await repository.open()
    await repository.set_remote("origin", "https://git.example.org/a")
    await repository.commit([b"a"], "One\n", Person("Ann", "ann@example.org"), whole=False)
    return repository


async def test_a_secret_goes_to_the_server_and_nowhere_else(tmp_path: Path, server: str) -> None:
    repository = await _repository(tmp_path)
    remote = Remote(f"{server}/bare.git", "http", "127.0.0.1")
    for wrong in (Secret(), Secret("ann", "wrong")):
        with pytest.raises(CoscribeError) as refused:
            await repository.push("origin", remote, wrong, "main", "main")
        assert refused.value.code is Code.REMOTE_REFUSED
    secret = Secret("ann", SECRET)
    await repository.push("origin", remote, secret, "main", "main")
    await repository.fetch("origin", remote, secret)
    assert [each.name for each in await repository.branches() if each.remote] == ["main"]
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert kept == []
    assert SECRET not in repr(secret)


async def test_redirects_are_not_followed(tmp_path: Path, server: str) -> None:
    repository = await _repository(tmp_path)
    with pytest.raises(CoscribeError) as refused:
        await repository.fetch("origin", Remote(f"{server}/moved", "http", "127.0.0.1"), Secret("ann", SECRET))
    assert refused.value.code is Code.REMOTE_REFUSED
    assert SECRET not in str(refused.value)
