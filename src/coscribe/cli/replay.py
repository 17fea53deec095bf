"""``coscribe replay``: a recorded editing history through the server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from coscribe.cli.common import DEFAULT_FOLDER, Folder, Json, Server, Token, fail, out, print_json
from coscribe.cli.schedule import Step, schedule
from coscribe.cli.traces import Trace, TraceError, load
from coscribe.core.errors import CoscribeError
from coscribe.protocol import codec

if TYPE_CHECKING:
    from coscribe.cli.replaying import Options, Outcome

DIFFERENT = 1


def replay(
    trace: Annotated[Path, typer.Argument(help="The recorded history, .json or .json.gz.")],
    server: Server = "",
    clients: Annotated[
        int | None,
        typer.Option(help="How many clients type, in turn; 1, or the authors of a concurrent history.", min=1),
    ] = None,
    file: Annotated[str, typer.Option(help="The file to type into; by default it has the name of the trace.")] = "",
    composition: Annotated[
        bool, typer.Option(help="Join what is typed while an operation is on its way into one operation.")
    ] = False,
    chain: Annotated[int, typer.Option(help="Operations that one message carries at most.", min=1, max=256)] = 64,
    verify: Annotated[
        bool, typer.Option(help="At the end kill -9 our own server, start it again, compare, and verify its log.")
    ] = True,
    data: Folder = DEFAULT_FOLDER,
    token: Token = "",
    json: Json = False,
) -> None:
    """Type a recorded editing history through a real server and compare what everybody has at the end.

    Without --server it starts a durable one of its own in a temporary folder. Every edit is an operation of its own,
    on disk before anybody sees it. The exit code is 0 where all is equal, 1 where it is not, 2 where it could not be
    played.

    Examples:

        coscribe replay friendsforever_flat.json.gz

        coscribe replay automerge-paper.json.gz --clients 3 --json

        coscribe replay sveltecomponent.json.gz --server http://127.0.0.1:8777 --file demo
    """
    from coscribe.cli import replaying  # here: a client and a server's parts take long to import

    history = _load(trace)
    clients = clients or history.agents
    options = replaying.Options(file or history.name, server, token, data, clients, chain, composition, verify)
    steps = _check(history, options)
    try:
        outcome = replaying.run(history, steps, options)
    except replaying.ReplayError as error:
        fail(str(error), _advice(options))
    if json:
        print_json(outcome)
    else:
        _print(outcome)
    if not outcome.good:
        raise typer.Exit(DIFFERENT)


def _load(path: Path) -> Trace:
    try:
        return load(path)
    except OSError as error:
        fail(f"cannot read {path}: {error.strerror}", "Give the path of a trace, .json or .json.gz.")
    except TraceError as error:
        fail(f"{path}: {error}", "The two formats are described in `coscribe.cli.traces`.")


def _check(trace: Trace, options: Options) -> list[Step]:
    """The steps of a concurrent trace (none for a sequential one); ends with advice where the options do not fit."""
    try:
        codec.check_file_id(options.file_id)
    except CoscribeError as error:
        fail(f"{error.detail}", f"Give --file: {error.code.value.help}")
    if not trace.concurrent:
        return []
    if options.clients != trace.agents:
        fail(f"this history has {trace.agents} authors, not {options.clients}", "Leave --clients out.")
    if options.composition:
        fail("edits of a concurrent history cannot be composed: others know some of them", "Leave --composition out.")
    try:
        return schedule(trace, options.chain)
    except TraceError as error:
        fail(f"{trace.name}: {error}", "A central server can show its clients nothing but beginnings of one order.")


def _advice(options: Options) -> str:
    if options.server:
        return "Look at what the server says; --file with a new name makes a fresh start."
    return "Run it again; if it stays like that, please report it with the trace."


def _print(outcome: Outcome) -> None:
    ways = f"{outcome.clients} client{'s' if outcome.clients > 1 else ''}, chains of at most {outcome.chain}"
    durability = f", each durable ({outcome.durability})" if outcome.durability else ""
    _line("", f"{outcome.edits:,} edits as {outcome.operations:,} operations by {ways}{durability}")
    _line("", f"{outcome.seconds:,.2f} s, {outcome.operations_per_second:,.0f} operations/s")
    _line(_mark(outcome.replicas_equal), "all replicas are equal, those who typed and the one who watched")
    recorded = f"{outcome.characters:,} characters, {outcome.different_places:,} of them not where they are recorded"
    _line(_mark(outcome.equal), "the text is the recorded one" if not outcome.different_places else recorded)
    for difference in outcome.differences:
        _line("", f"  at {difference.position}: {difference.found!r}, recorded {difference.recorded!r}")
    if outcome.equal_after_kill is not None:
        _line(_mark(outcome.equal_after_kill), "after kill -9 and a restart the text is the same")
    if outcome.verified is not None:
        _line(_mark(outcome.verified), f"the log verifies, up to sequence {outcome.server_sequence:,}")


def _mark(good: bool) -> str:
    return "[green]ok[/green]" if good else "[red]NO[/red]"


def _line(mark: str, text: str) -> None:
    out.print(f"{mark or '  '} {escape(text)}", highlight=False, soft_wrap=True)
