"""``coscribe serve``: the server."""

from __future__ import annotations

import logging
from ipaddress import ip_address
from typing import Annotated

import typer

from coscribe.cli.common import DEFAULT_FOLDER, Folder, err, fail, out


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.")] = 8777,
    data: Folder = DEFAULT_FOLDER,
    quiet: Annotated[bool, typer.Option(help="Print nothing but the URL.")] = False,
) -> None:
    """Run the server, with everything it needs in one folder (SQLite, durable).

    Stop it with Ctrl+C; what was acknowledged is on disk, and clients reconnect.

    Examples:

        coscribe serve

        coscribe serve --port 9000 --data /var/lib/coscribe
    """
    import structlog

    from coscribe.app import FolderInUse
    from coscribe.config import Settings
    from coscribe.server import bind
    from coscribe.server import serve as run_server

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    settings = Settings(folder=data, host=host, port=port)
    try:
        listener = bind(host, port)
    except OSError as error:
        fail(f"cannot listen on {host}:{port}: {error.strerror}", "Is a server running there? Try --port 0.")
    url = f"http://{host}:{listener.getsockname()[1]}"
    if not _is_loopback(host):
        err.print("[yellow]warning:[/yellow] there is no TLS here: whoever is on the way sees the traffic.")

    def ready() -> None:
        if quiet:
            typer.echo(url)
        else:
            _welcome(url, data)

    try:
        run_server(settings, listener, ready)
    except FolderInUse as error:
        fail(str(error), "Stop it first, or give another --data folder.")


def _welcome(url: str, data: object) -> None:
    out.print(f"[bold]Coscribe[/bold] is at [link={url}]{url}[/link]   data: {data}\n", highlight=False)
    out.print("Try, in another terminal:", highlight=False)
    where = "" if url.endswith(":8777") else f" --server {url}"
    for command, what in (
        (f"coscribe watch notes{where}", "see a document live"),
        (f"coscribe replay TRACE.json.gz{where}", "type a recorded editing history into it"),
        (f"coscribe verify --data {data}", "prove that the log is whole"),
    ):
        out.print(f"  [cyan]{command:<52}[/cyan] {what}", highlight=False, soft_wrap=True)
    out.print("\nCtrl+C stops it; nothing that was acknowledged is lost.", highlight=False)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
