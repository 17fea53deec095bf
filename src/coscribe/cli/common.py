"""What the commands share: options, the way to a server, and how they end."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Annotated, NoReturn
from urllib.parse import urlsplit

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from coscribe.protocol.messages import WEBSOCKET_PATH, Role

out = Console()
err = Console(stderr=True)

Folder = Annotated[Path, typer.Option("--data", help="The data folder.", envvar="COSCRIBE_FOLDER")]
DatabaseUrl = Annotated[
    str,
    typer.Option(
        "--database",
        help="The PostgreSQL of a cluster, postgresql://user:password@host:port/name; keys are still those of --data.",
        metavar="URL",
        envvar="COSCRIBE_DATABASE_URL",
    ),
]
Server = Annotated[str, typer.Option("--server", help="Where the server is: http://host:port or ws://host:port/ws.")]
Token = Annotated[
    str, typer.Option("--token", help="Who you are; made from --data if left out.", envvar="COSCRIBE_TOKEN")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]

DEFAULT_FOLDER = Path(".coscribe")
DEFAULT_SERVER = "http://127.0.0.1:8777"
DAY = 86_400


def fail(message: str, advice: str = "", code: int = 2) -> NoReturn:
    """Ends with an error that says the next step."""
    err.print(f"[red]error:[/red] {escape(message)}", highlight=False, soft_wrap=True)
    if advice:
        err.print(f"  {escape(advice)}", highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def nobody_answers(server: str) -> NoReturn:
    """Ends where no server listens."""
    fail(f"nobody answers at {server}", "Start a server with `coscribe serve`, or give --server with its address.")


def print_json(value: object) -> None:
    """One line of JSON on stdout."""
    typer.echo(msgspec.json.encode(value))


@contextmanager
def written(path: Path | None, option: str) -> Iterator[IO[bytes]]:
    """A file that takes its place at the end, whole or not at all; None: stdout. Ends with advice about the option
    where it cannot be written."""
    if path is None:
        yield sys.stdout.buffer
        return
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    except OSError as error:
        fail(f"cannot write {path}: {error.strerror}", f"Give {option} with a file in a folder that you may write to.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def websocket_url(server: str) -> str:
    """The gateway's address for any way of naming the server."""
    url = server.rstrip("/")
    if url.startswith("http"):
        url = "ws" + url[4:]
    if not url.startswith("ws"):
        url = f"ws://{url}"
    return url if url.endswith(WEBSOCKET_PATH) else url + WEBSOCKET_PATH


def http_url(server: str) -> str:
    """Where the API is, for any way of naming the server; always written alike. Ends where it is no address."""
    url = server.strip()
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    scheme = {"http": "http", "ws": "http", "https": "https", "wss": "https"}.get(parts.scheme if host else "")
    if scheme is None or "@" in parts.netloc:
        fail(f"{server!r} is no address", "Use http://host:port, as `coscribe serve` prints it.")
    where = f"[{host}]" if ":" in host else host
    if port is not None and port != {"http": 80, "https": 443}[scheme]:
        where = f"{where}:{port}"
    return f"{scheme}://{where}{parts.path.rstrip('/').removesuffix(WEBSOCKET_PATH)}"


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def token_for(folder: Path, given: str, role: Role, seconds: int = DAY) -> str:
    """The given token, or one signed with the key of the data folder. Ends with advice where there is neither."""
    if given:
        return given
    # Imported here: the commands that talk to a server elsewhere start in a third of the time without them.
    from coscribe.app import token_secret
    from coscribe.config import Settings
    from coscribe.gateway.auth import make_token

    settings = Settings(folder=folder)
    if not settings.token_secret and not (folder / "token.key").exists():
        fail(
            f"no token, and no server has run in {folder} yet",
            "Give --token (see: coscribe token --help), or --data with the server's folder.",
        )
    return make_token(token_secret(settings), os.environ.get("USER") or "cli", role, seconds)
