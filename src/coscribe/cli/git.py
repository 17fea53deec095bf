"""``coscribe git``: git in a workspace that people edit together."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from coscribe.cli.api import Api, At, Given, Limit, Operator, Row, opened
from coscribe.cli.asking import Listed, Said, asks
from coscribe.cli.common import DEFAULT_SERVER, Json, fail
from coscribe.cli.line import LONG_ANSWER_SECONDS
from coscribe.cli.naming import document
from coscribe.cli.show import Columns, say, show_done

app = typer.Typer(
    help="Git in a workspace: commit what people have typed, branches, other servers. The workspace has to be started.",
    no_args_is_help=True,
)

Which = Annotated[str, typer.Argument(help="The workspace: its id, or the beginning of its name.", metavar="WORKSPACE")]
Remote = Annotated[str, typer.Option("--remote", help="Its name; left out: the upstream's, or the only one.")]
TokenFile = Annotated[
    Path | None,
    typer.Option("--git-token-file", help="A file with a token for the other server; - is standard input."),
]
How = Annotated[
    str,
    typer.Option("--uncommitted", help="What becomes of what is not committed: refuse, carry or commit."),
]

_COMMITS: Columns = {
    "commit": lambda row: row["commitId"][:12],
    "sequence": lambda row: "" if row["serverSequenceId"] is None else str(row["serverSequenceId"]),
    "who": lambda row: row["author"]["name"],
    "when": lambda row: datetime.fromisoformat(row["at"]).astimezone().strftime("%Y-%m-%d %H:%M"),
    "subject": lambda row: row["subject"],
}
_BRANCHES: Columns = {
    "": lambda row: "*" if row["isCurrent"] else "",
    "branch": lambda row: f"{row['remote']}/{row['name']}" if row["remote"] else row["name"],
    "commit": lambda row: row["commitId"][:12],
    "upstream": lambda row: row["upstream"],
}
_CREDENTIALS: Columns = {
    "host": lambda row: row["host"],
    "kind": lambda row: row["kind"],
    "stored": lambda row: row["savedAt"],
}


@asks(app, "init")
def init(
    api: Api,
    which: Which,
    url: Annotated[str, typer.Option("--url", help="The address of a remote: https or ssh.")] = "",
    remote: Annotated[str, typer.Option("--remote", help="Its name.")] = "origin",
) -> Said:
    """Make a repository of a workspace, unless it is one; give a remote its address.

    Examples:

        coscribe git init thesis

        coscribe git init thesis --url https://git.example.org/ann/thesis.git
    """
    return _status(_do(api, which, "init", remote=remote, url=url))


@asks(app, "status")
def status(api: Api, which: Which) -> Said:
    """Show the branch, how far it is from its upstream, and what is not committed.

    Examples:

        coscribe git status thesis
    """
    return _status(api.get(f"{_git(api, which)}/status"))


@asks(app, "log")
def log(
    api: Api,
    which: Which,
    rev: Annotated[str, typer.Argument(help="A branch or a commit.")] = "HEAD",
    sequence: Annotated[
        int | None, typer.Option("--sequence", help="Only the commit in which this entry of the history came first.")
    ] = None,
    limit: Limit = 20,
) -> Listed:
    """Show commits, the newest first, with the sequence of the workspace up to which each has all.

    Examples:

        coscribe git log thesis

        coscribe git log thesis --sequence 4711
    """
    asked: dict[str, str | int] = {"rev": rev, "limit": min(limit or 1_000, 1_000)}
    if sequence is not None:
        asked["sequence"] = sequence
    found = api.get(f"{_git(api, which)}/log", **asked)
    return Listed(found["items"], _COMMITS, nothing="There is no such commit.")


@asks(app, "commit")
def commit(
    api: Api,
    which: Which,
    message: Annotated[str, typer.Option("--message", "-m", help="What is other, and why.")],
    paths: Annotated[list[str] | None, typer.Argument(help="Left out: all that has changed.", metavar="PATH")] = None,
    solved: Annotated[
        list[str] | None, typer.Option("--solved", help="A conflict without markers that is as it is to be.")
    ] = None,
) -> Said:
    """Commit what people have typed up to now. Who has written it besides you is named, by the workspace's own history.
    It is also how a merge is finished.

    Examples:

        coscribe git commit thesis -m "A better plan"

        coscribe git commit thesis plan.md -m "Only the plan"
    """
    more: dict[str, Any] = {"paths": list(paths)} if paths else {}
    made = _do(api, which, "commit", message=message, solved=list(solved or ()), **more)
    with_ = ", ".join(each["name"] for each in made["coAuthors"])
    words = f"Committed {len(made['paths'])} files as {made['commitId'][:12]}, up to {made['serverSequenceId']}"
    return Said(made, f"{words}{f', with {with_}' if with_ else ''}.")


@asks(app, "branches")
def branches(api: Api, which: Which) -> Listed:
    """List branches, those of remotes as they were at the last fetch.

    Examples:

        coscribe git branches thesis
    """
    items = api.get(f"{_git(api, which)}/branches")["items"]
    return Listed(items, _BRANCHES, nothing="There is none.")


@asks(app, "switch")
def switch(
    api: Api,
    which: Which,
    branch: Annotated[str, typer.Argument(help="The branch.")],
    create: Annotated[bool, typer.Option("--create", "-c", help="Make it first.")] = False,
    uncommitted: How = "refuse",
) -> Said:
    """Switch to another branch. Whoever has files open keeps them open, and goes on typing.

    Examples:

        coscribe git switch thesis review --create

        coscribe git switch thesis main --uncommitted commit
    """
    if create:
        _do(api, which, "branches", name=branch)
    return _status(_do(api, which, "switch", branch=branch, uncommitted=uncommitted))


@asks(app, "fetch")
def fetch(api: Api, which: Which, remote: Remote = "", git_token: TokenFile = None) -> Said:
    """Get what is new on another server; the files stay as they are.

    Examples:

        coscribe git fetch thesis
    """
    return _status(_do(api, which, "fetch", remote=remote, **_given(git_token)))


@app.command("pull")
def pull(
    which: Which,
    remote: Remote = "",
    only_forward: Annotated[bool, typer.Option("--ff-only", help="Only where no merge is needed.")] = False,
    uncommitted: How = "refuse",
    git_token: TokenFile = None,
    server: At = DEFAULT_SERVER,
    token: Given = "",
    data: Operator = None,
    json: Json = False,
) -> None:
    """Fetch, and merge the upstream. Conflicts are left in the files, to be solved together.

    Examples:

        coscribe git pull thesis

        coscribe git pull thesis --ff-only --uncommitted commit
    """
    with opened(server, token, data) as api:
        body = {"remote": remote, "fastForwardOnly": only_forward, "uncommitted": uncommitted}
        pulled = _do(api, which, "pull", **body, **_given(git_token))
    if json or not pulled["conflicts"]:
        show_done(pulled, f"The branch is at {pulled['head'][:12]}.", json=json)
        return
    for each in pulled["conflicts"]:
        say(f"{each['path']}: {each['conflict']}")
    say("Solve these in the files and `coscribe git commit`, or `coscribe git abort`.")


@asks(app, "push")
def push(
    api: Api,
    which: Which,
    branch: Annotated[str, typer.Argument(help="Left out: the present one.")] = "",
    remote: Remote = "",
    git_token: TokenFile = None,
) -> Said:
    """Bring a branch to another server. Never by force: where others were first, pull.

    Examples:

        coscribe git push thesis

        pass show git | coscribe git push thesis --git-token-file -
    """
    return _status(_do(api, which, "push", branch=branch, remote=remote, **_given(git_token)))


@asks(app, "abort")
def abort(api: Api, which: Which) -> Said:
    """Go back to what was before a merge with conflicts.

    Examples:

        coscribe git abort thesis
    """
    return _status(_do(api, which, "merge/abort"))


@asks(app, "identity")
def identity(
    api: Api,
    which: Which,
    name: Annotated[str, typer.Option("--name", help="With --email: from now on.")] = "",
    email: Annotated[str, typer.Option("--email", help="It stands in every commit, for all to read.")] = "",
) -> Said:
    """Show, or say, by which name you commit.

    Examples:

        coscribe git identity thesis

        coscribe git identity thesis --name "Ann Example" --email ann@example.org
    """
    if bool(name) != bool(email):
        fail("a name and an address belong together", "Give --name and --email.")
    path = f"{_git(api, which)}/identity"
    found = api.send("PUT", path, {"name": name, "email": email}) if name else api.get(path)
    return Said(found, f"{found['name']} <{found['email']}>")


@asks(app, "credentials")
def credentials(
    api: Api,
    which: Which,
    host: Annotated[str, typer.Option("--host", help="Store one for this server, or --forget it.")] = "",
    user: Annotated[str, typer.Option("--user", help="The name there.")] = "",
    git_token: TokenFile = None,
    key: Annotated[Path | None, typer.Option("--key", help="A private key of ssh, without a passphrase.")] = None,
    known_hosts: Annotated[
        Path | None, typer.Option("--known-hosts", help="With --key: the lines of the server's own keys.")
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Forget the one for --host.")] = False,
) -> Listed:
    """List, store or forget your credentials for other servers. They are stored encrypted, and never shown.

    Examples:

        coscribe git credentials thesis

        coscribe git credentials thesis --host git.example.org --user ann --git-token-file token

        coscribe git credentials thesis --host git.example.org --forget
    """
    kind = "ssh" if key is not None else "https"
    path = f"{_git(api, which)}/credentials"
    if forget:
        api.send("DELETE", path, params={"host": host, "kind": kind})
    elif host:
        secret = _given(git_token).get("credential", {})
        if key is not None:
            if known_hosts is None:
                fail("a key needs --known-hosts", "`ssh-keyscan HOST` prints them; compare them before you trust.")
            secret = {"key": key.read_text(), "knownHosts": known_hosts.read_text()}
        api.send("PUT", path, {"host": host, "kind": kind, **secret, **({"user": user} if user else {})})
    items = api.get(path)["items"]
    return Listed(items, _CREDENTIALS, nothing="None is stored.")


def _git(api: Api, which: str) -> str:
    return f"/workspace/{document(api, which, 'active', 'archived', kind='workspace')['documentId']}/git"


def _do(api: Api, which: str, what: str, **body: Any) -> Row:
    return api.send("POST", f"{_git(api, which)}/{what}", body, seconds=LONG_ANSWER_SECONDS)


def _given(file: Path | None) -> dict[str, Any]:
    """A credential for one request. It is no option itself: others on the machine read command lines."""
    if file is None:
        return {}
    content = sys.stdin.read() if file == Path("-") else file.read_text()
    return {"credential": {"token": content.strip()}}


def _status(found: Row) -> Said:
    where = found["branch"] or f"no branch ({found['head'][:12]})"
    if found["upstream"]:
        where += f", upstream {found['upstream']}"
        if found["ahead"] is not None:
            where += f": {found['ahead']} ahead, {found['behind']} behind"
    changes = [f"{each['conflict'] or each['change']}: {each['path']}" for each in found["changes"]]
    more = [f"and {found['more']:,} more"] if found["more"] else []
    merging = ["A merge is not finished: solve and commit, or abort."] if found["isMerging"] else []
    return Said(found, [f"On {where}.", *merging, *changes, *more])
