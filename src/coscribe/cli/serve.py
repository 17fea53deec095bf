"""``coscribe serve``: the server."""

from __future__ import annotations

import logging
import sqlite3
import sys
from contextlib import nullcontext
from typing import Annotated

import typer

from coscribe.cli.common import DEFAULT_FOLDER, Folder, fail, out
from coscribe.cluster.ports import Role

_MIGRATE = "What is in the folder is moved there by `coscribe migrate`."


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.")] = 8777,
    data: Folder = DEFAULT_FOLDER,
    quiet: Annotated[bool, typer.Option(help="Print nothing but the URL.")] = False,
    role: Annotated[
        Role | None, typer.Option(help="In a cluster: hold sockets (gateway), own workspaces (core), or both (all).")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that share the port, to use several processors; needs PostgreSQL.")
    ] = 1,
    wait: Annotated[
        bool, typer.Option("--wait", help="Where another server has the folder, wait until it ends, ready to go on.")
    ] = False,
) -> None:
    """Run the server, with everything it needs in one folder (SQLite, durable), or on a PostgreSQL.

    Stop it with Ctrl+C; what was acknowledged is on disk, and clients reconnect.

    Examples:

        coscribe serve

        coscribe serve --port 9000 --data /var/lib/coscribe

        COSCRIBE_DATABASE_URL=postgresql://... coscribe serve --workers 4

        coscribe serve --wait       # beside the server that is to be replaced; then stop that one
    """
    import structlog
    from pydantic import ValidationError
    from sqlalchemy.exc import DatabaseError

    from coscribe.app import FolderInUse, PostgresUnavailable, TracingUnavailable, lock_folder
    from coscribe.config import Settings
    from coscribe.documents.ports import StorageError
    from coscribe.persistence.moves import NotServed
    from coscribe.persistence.sharing import NotShared
    from coscribe.server import NotStarted, bind
    from coscribe.server import serve as run_server
    from coscribe.supervising import serve_by_workers as run_workers
    from coscribe.workers import WorkersFailed, inherited, is_worker

    # Plain tracebacks: the pretty ones show local variables, and secrets are among them.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("iso"),
            structlog.dev.ConsoleRenderer(
                colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
    )
    try:
        settings = Settings(folder=data, host=host, port=port)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors())
        fail(f"the settings do not fit: {wrong}", "They come from COSCRIBE_... variables; see docs/operations.md.")
    if role is not None:
        settings = settings.model_copy(update={"role": role})
    exposure = settings.exposure()
    if exposure is not None:
        fail(f"not started: {exposure}")
    if workers > 1 and not settings.database_url:
        fail("several workers share a database: set COSCRIBE_DATABASE_URL to that of a PostgreSQL.", _MIGRATE)

    def waiting() -> None:
        typer.echo(f"another server is using {data}; waiting for its end", err=True)

    try:
        lock = nullcontext() if settings.in_cluster else lock_folder(data, waiting=waiting if wait else None)
    except FolderInUse as error:
        fail(str(error), "Stop it first, give another --data folder, or take over from it with --wait.")
    with lock as held:
        listener = inherited()
        try:
            listener = listener or bind(host, port)
        except OSError as error:
            fail(f"cannot listen on {host}:{port}: {error.strerror}", "Is a server running there? Try --port 0.")
        settings = settings.model_copy(update={"port": listener.getsockname()[1]})

        def ready(setup_link: str | None) -> None:
            if is_worker():
                return  # the supervisor says it
            if quiet:
                typer.echo(settings.url)
            else:
                _welcome(settings.url, settings.database_url, data, setup_link)

        with listener:
            try:
                if workers > 1:
                    run_workers(settings, workers, listener, ready)
                else:
                    run_server(settings, listener, held, ready)
            except TracingUnavailable as error:
                fail(str(error), "Install coscribe[tracing].")
            except PostgresUnavailable as error:
                fail(str(error), "Install coscribe[cluster].")
            except WorkersFailed as error:
                fail(str(error))
            except NotStarted:
                fail("the server has not started; see above.")
            except (NotServed, NotShared) as error:
                fail(f"not started: {error}")
            except (sqlite3.Error, DatabaseError, StorageError) as error:
                where = "the PostgreSQL" if settings.database_url else data
                fail(
                    f"{where} cannot be used: {error}",
                    "Does COSCRIBE_DATABASE_URL name one that runs?"
                    if settings.database_url
                    else f"Is there room on the disk? See `coscribe doctor --data {data}`.",
                )


def _welcome(url: str, database_url: str, data: object, setup_link: str | None) -> None:
    kept = f"{data} and a PostgreSQL" if database_url else data
    out.print(f"[bold]Coscribe[/bold] is at [link={url}]{url}[/link]   data: {kept}\n", highlight=False)
    if setup_link is not None:
        out.print("There is no administrator yet. Make the first one with this link; it works once:", highlight=False)
        out.print(f"  [bold]{setup_link}[/bold]\n", highlight=False, soft_wrap=True)
    out.print("Try, in another terminal:", highlight=False)
    where = "" if url.endswith(":8777") else f" --server {url}"
    for command, what in (
        (f"coscribe watch notes{where}", "see a document live"),
        (f"coscribe replay TRACE.json.gz{where}", "type a recorded editing history into it"),
        (f"coscribe verify --data {data}", "prove that the log is whole"),
    ):
        out.print(f"  [cyan]{command:<52}[/cyan] {what}", highlight=False, soft_wrap=True)
    out.print("\nCtrl+C stops it; nothing that was acknowledged is lost.", highlight=False)
