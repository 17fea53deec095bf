"""``coscribe cluster``: which instances live, what they own, and workspaces that are pinned to one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from coscribe.cli.common import DEFAULT_FOLDER, DatabaseUrl, Json, fail
from coscribe.cli.show import Columns, show_done, show_list
from coscribe.cli.store import Store, reading

if TYPE_CHECKING:
    from coscribe.cluster.ports import Leases, Table

app = typer.Typer(help="The instances of a cluster, and what they own.", no_args_is_help=True)

Workspace = Annotated[str, typer.Argument(metavar="DOCUMENT", help="The id of a document or workspace.")]

_COLUMNS: Columns = {
    "INSTANCE": lambda item: item["name"],
    "ROLE": lambda item: item["role"],
    "SHARDS": lambda item: item["shards"],
    "PINNED": lambda item: item["pinned"],
    "STATE": lambda item: item["state"],
}


@app.command("list")
def list_(database: DatabaseUrl = "", json: Json = False) -> None:
    """The instances that live, and how much of the 1,024 shards each of them owns.

    Examples:

        coscribe cluster list

        COSCRIBE_DATABASE_URL=postgresql://... coscribe cluster list --json
    """
    table = _asked(database, lambda leases: leases.table())
    show_list(_instances(table), _COLUMNS, json=json, nothing="No instance lives.")


@app.command()
def pins(database: DatabaseUrl = "", json: Json = False) -> None:
    """The workspaces that belong to an instance of their own, and not to that of their shard.

    Examples:

        coscribe cluster pins
    """
    table = _asked(database, lambda leases: leases.table())
    named = {key: each.name for key, each in table.instances.items()}
    found = [
        {"documentId": key, "instance": pin.name, "owner": named.get(pin.owner, "")}
        for key, pin in sorted(table.pins.items())
    ]
    columns: Columns = {
        "DOCUMENT": lambda item: item["documentId"],
        "PINNED TO": lambda item: item["instance"] or "(no longer)",
        "OWNED BY": lambda item: item["owner"] or "nobody",
    }
    show_list(found, columns, json=json, nothing="Nothing is pinned.")


@app.command()
def pin(
    document: Workspace,
    instance: Annotated[str, typer.Argument(help="The name of a core, as `coscribe cluster list` shows it.")],
    database: DatabaseUrl = "",
    json: Json = False,
) -> None:
    """Have a workspace owned by the instance of this name whenever there is one: say, one with so much to do that it
    needs a core of its own. It is handed over within a few seconds, and nobody loses anything by it. While no instance
    of that name lives it belongs to its shard, as others do.

    Examples:

        coscribe cluster pin wsp_01a20a7394db7a8e81f8ad86528c8dc6 core-3
    """
    with reading(_store(database)) as log:
        if not any(each.workspace_id == document for each in log.workspaces()):
            fail(f"there is no document {document}", "`coscribe documents list` shows the ids.")
    table = _asked(database, lambda leases: leases.table())
    cores = sorted({each.name for each in table.instances.values() if each.is_core})
    if instance not in cores:
        fail(f"no core is named {instance}", f"There are: {', '.join(cores)}." if cores else "No core lives just now.")
    _asked(database, lambda leases: leases.pin(document, instance))
    show_done({"documentId": document, "instance": instance}, f"{document} is pinned to {instance}.", json=json)


@app.command()
def unpin(document: Workspace, database: DatabaseUrl = "", json: Json = False) -> None:
    """Give a workspace back to its shard.

    Examples:

        coscribe cluster unpin wsp_01a20a7394db7a8e81f8ad86528c8dc6
    """
    if document not in _asked(database, lambda leases: leases.table()).pins:
        fail(f"{document} is not pinned", "`coscribe cluster pins` shows what is.")
    _asked(database, lambda leases: leases.pin(document, ""))
    show_done({"documentId": document, "instance": None}, f"{document} goes back to its shard.", json=json)


def _instances(table: Table) -> list[dict[str, object]]:
    pinned = [each.owner for each in table.pins.values()]
    return [
        {
            "instanceId": key,
            "name": each.name,
            "role": "core" if each.is_core else "gateway",
            "shards": table.owners.count(key),
            "pinned": pinned.count(key),
            "state": "leaving" if each.leaving else "cut off from the bus" if each.cut_off else "well",
        }
        for key, each in sorted(table.instances.items(), key=lambda item: (not item[1].is_core, item[1].name, item[0]))
    ]


def _store(database: str) -> Store:
    if not database:
        fail(
            "no database is given", "Give --database with the PostgreSQL of the cluster, or set COSCRIBE_DATABASE_URL."
        )
    return Store(DEFAULT_FOLDER, database)


def _asked(database: str, ask: Callable[[Leases], Awaitable[Table]]) -> Table:
    """What the table of leases says. Ends with advice where it cannot be asked."""
    store = _store(database)
    with reading(store):  # that it is a database of this version
        pass
    from coscribe.cluster.leases import PostgresLeases  # here: what it imports takes long
    from coscribe.documents.ports import StorageError

    async def asking() -> Table:
        leases = PostgresLeases(database)
        try:
            return await ask(leases)
        finally:
            await leases.close()

    try:
        return asyncio.run(asking())
    except StorageError as error:
        fail(f"{store} did not answer: {error}", "Is it there, and may you write to it? Then run this again.")
