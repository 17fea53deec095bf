"""The command line: ``coscribe COMMAND``. One command a module."""

from __future__ import annotations

import typer

from coscribe.cli import (
    audit,
    backup,
    bench,
    cluster,
    doctor,
    documents,
    events,
    files,
    git,
    members,
    migrate,
    past,
    projects,
    prune,
    read,
    redact,
    replay,
    restore,
    retention,
    serve,
    session,
    token,
    tokens,
    users,
    vacuum,
    verify,
)

app = typer.Typer(
    name="coscribe",
    help="A collaborative text engine that can prove it loses nothing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command("serve")(serve.serve)
app.command("token")(token.token)
app.command("replay")(replay.replay)
app.command("cat")(read.cat)
app.command("watch")(read.watch)
app.command("log")(read.log)
app.command("verify")(verify.verify)
app.command("backup")(backup.backup)
app.command("restore")(restore.restore)
app.command("migrate")(migrate.migrate)
app.command("doctor")(doctor.doctor)
app.command("vacuum")(vacuum.vacuum)
app.command("prune")(prune.prune)
app.command("redact")(redact.redact)
app.command("bench")(bench.bench)
app.command("login")(session.login)
app.command("logout")(session.logout)
app.command("whoami")(session.whoami)
app.add_typer(users.app, name="users")
app.add_typer(tokens.app, name="tokens")
app.add_typer(documents.app, name="documents")
app.add_typer(projects.app, name="project")
app.add_typer(files.app, name="fs")
app.add_typer(past.app, name="past")
app.add_typer(git.app, name="git")
app.add_typer(members.app, name="members")
app.add_typer(retention.app, name="retention")
app.add_typer(cluster.app, name="cluster")
app.add_typer(audit.app, name="audit")
app.add_typer(events.app, name="events")
app.add_typer(events.keys, name="keys")


def main() -> None:
    """The entry point of the ``coscribe`` script."""
    app()
