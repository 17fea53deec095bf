"""Git in a workspace that is kept as files."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from coscribe.access.git_people import Stored
from coscribe.access.git_work import Committed, Written, path_of
from coscribe.access.ids import MICROSECONDS
from coscribe.access.policy import Action
from coscribe.api.models import NO_NUL, SEEN, WHOLE, Email, Incoming, Moment, Outgoing
from coscribe.api.route import ACaller, AServices, PolicyRoute, action
from coscribe.api.workspaces import WorkspaceId
from coscribe.git.remotes import Secret
from coscribe.git.repository import Branch, Changed, Commit, Person, State

router = APIRouter(route_class=PolicyRoute, tags=["git"])

GIT = "/api/workspace/{workspaceId}/git"

MAX_SHOWN = 5_000
"""Paths that are named; more are counted."""

MAX_SIDE = 1_000_000
"""Code points of one side of a conflict that are shown."""

Path = Annotated[str, Field(min_length=1, max_length=4_096, pattern=NO_NUL)]
BranchName = Annotated[str, Field(min_length=1, max_length=200, pattern=SEEN, examples=["main"])]
RemoteName = Annotated[str, Field(max_length=100, description="empty: the upstream's, or the only one there is")]
Message = Annotated[str, Field(min_length=1, max_length=20_000, pattern=SEEN, examples=["What is other, and why"])]
Name = Annotated[str, Field(min_length=1, max_length=128, pattern=SEEN, examples=["Ann Example"])]
Host = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9.:-]+$", examples=["git.example.org"])]
How = Annotated[
    Literal["refuse", "carry", "commit"],
    Field(
        description="what becomes of changes that are not committed: it is refused, they are taken along, or committed"
    ),
]


class GitPerson(Outgoing):
    name: str
    email: str


class GitChange(Outgoing):
    """A path that is not as it is in the last commit."""

    path: str
    change: Literal["added", "changed", "deleted", "type changed", "untracked", "conflicted"]
    conflict: str = Field(description="of a conflict: of which kind")


class GitStatus(Outgoing):
    branch: str = Field(description="empty: HEAD is a commit, no branch")
    head: str = Field(description="empty: there is no commit yet")
    upstream: str
    ahead: int | None
    behind: int | None
    is_merging: bool
    changes: list[GitChange]
    more: int = Field(description="changes that are not named")
    remotes: list[str]


class GitCommit(Outgoing):
    commit_id: str
    parents: list[str]
    author: GitPerson
    at: Moment
    subject: str
    server_sequence_id: int | None = Field(description="it has all up to this entry of the workspace's log")
    workspace_id: str | None


class GitLog(Outgoing):
    items: list[GitCommit]


class GitBranch(Outgoing):
    name: str
    commit_id: str
    remote: str = Field(description="empty: one of our own")
    upstream: str
    is_current: bool


class GitBranches(Outgoing):
    items: list[GitBranch]


class GitCommitted(Outgoing):
    commit_id: str
    server_sequence_id: int
    co_authors: list[GitPerson] = Field(description="who else has written what is in it, by the log")
    paths: list[str]
    left: list[str] = Field(description="not committed, as they are not yours to write")


class GitPulled(Outgoing):
    head: str
    conflicts: list[GitChange] = Field(
        description="with any the merge is not finished: markers are in the files; solve them and commit, or abort"
    )


class GitConflict(Outgoing):
    """What a file was, and what either side has made of it; null: it is not there, or no text."""

    path: str
    base: str | None
    ours: str | None
    theirs: str | None


class GitCredential(Outgoing):
    """That one is stored. What it is is never shown."""

    host: str
    kind: Literal["https", "ssh"]
    saved_at: Moment


class GitCredentials(Outgoing):
    items: list[GitCredential]


class Identity(Incoming):
    name: Name
    email: Email


class MakingRepository(Incoming):
    remote: Annotated[str, Field(min_length=1, max_length=100)] = "origin"
    url: Annotated[str, Field(max_length=2_000, description="https or ssh, to a public address")] = ""


class Committing(Incoming):
    message: Message
    paths: Annotated[list[Path] | None, Field(min_length=1, max_length=10_000, description="left out: all")] = None
    solved: Annotated[
        list[Path] | None,
        Field(max_length=10_000, description="conflicts without markers that are as they are to be"),
    ] = None
    author: Identity | None = None


class MakingBranch(Incoming):
    name: BranchName
    start: Annotated[str, Field(min_length=1, max_length=200)] = "HEAD"


class Switching(Incoming):
    branch: BranchName
    uncommitted: How = "refuse"
    message: Message = "Before switching branches"


class Credential(Incoming):
    """A token for https, or a key for ssh with the known hosts."""

    user: Annotated[str, Field(max_length=256, pattern=r"^[^\x00-\x1f]*$")] = ""
    token: Annotated[str, Field(max_length=4_096, pattern=r"^[^\x00-\x1f]*$")] = ""
    key: Annotated[str, Field(max_length=20_000)] = ""
    known_hosts: Annotated[str, Field(max_length=20_000)] = ""

    def secret(self) -> Secret:
        return Secret(self.user, self.token, self.key, self.known_hosts)


class Fetching(Incoming):
    remote: RemoteName = ""
    credential: Annotated[Credential | None, Field(description="left out: the one that is stored, if there is one")] = (
        None
    )


class Pulling(Fetching):
    fast_forward_only: bool = False
    uncommitted: How = "refuse"
    message: Message = "Before pulling"


class Pushing(Fetching):
    branch: Annotated[str, Field(max_length=200, description="empty: the present one")] = ""


class Storing(Credential):
    host: Host
    kind: Literal["https", "ssh"] = "https"


ALimit = Annotated[int, WHOLE, Query(ge=1, le=1_000)]
ASkip = Annotated[int, WHOLE, Query(ge=0, le=1_000_000)]
ARev = Annotated[str, Query(min_length=1, max_length=200, description="a branch or a commit")]
ASequence = Annotated[int | None, WHOLE, Query(ge=0, le=2**53, description="only the first commit that has it")]
APath = Annotated[str, Query(min_length=1, max_length=4_096)]


@router.get(f"{GIT}/status", openapi_extra=action(Action.SEE_GIT))
async def git_status(workspace_id: WorkspaceId, caller: ACaller, services: AServices) -> GitStatus:
    """The branch, how far it is from its upstream, and what is not committed."""
    return _status(await services.git.status(caller, workspace_id))


@router.get(f"{GIT}/log", openapi_extra=action(Action.SEE_GIT))
async def git_log(
    workspace_id: WorkspaceId,
    caller: ACaller,
    services: AServices,
    rev: ARev = "HEAD",
    limit: ALimit = 100,
    skip: ASkip = 0,
    sequence: ASequence = None,
) -> GitLog:
    """Commits, the newest first; or the one in which an entry of the workspace's history came first."""
    found = await services.git.log(caller, workspace_id, rev, limit, skip, sequence)
    return GitLog(items=[_commit(each) for each in found])


@router.get(f"{GIT}/branches", openapi_extra=action(Action.SEE_GIT))
async def git_branches(workspace_id: WorkspaceId, caller: ACaller, services: AServices) -> GitBranches:
    """One's own, and those of remotes as they were at the last fetch."""
    return _branches(await services.git.branches(caller, workspace_id))


@router.get(f"{GIT}/conflict", openapi_extra=action(Action.SEE_GIT))
async def git_conflict(workspace_id: WorkspaceId, path: APath, caller: ACaller, services: AServices) -> GitConflict:
    """A file with a conflict: what it was, what it is here, what it is there."""
    sides = await services.git.sides(caller, workspace_id, path)
    return GitConflict(path=path, base=_text(sides.base), ours=_text(sides.ours), theirs=_text(sides.theirs))


@router.post(f"{GIT}/init", openapi_extra=action(Action.USE_GIT))
async def git_init(
    workspace_id: WorkspaceId, body: MakingRepository, caller: ACaller, services: AServices
) -> GitStatus:
    """Makes a repository of a workspace, unless it is one, and gives a remote its address."""
    return _status(await services.git.init(caller, workspace_id, body.remote, body.url))


@router.post(f"{GIT}/commit", openapi_extra=action(Action.USE_GIT))
async def git_commit(workspace_id: WorkspaceId, body: Committing, caller: ACaller, services: AServices) -> GitCommitted:
    """Commits what people have typed up to now, with everybody who has written it; a merge is finished by it."""
    author = None if body.author is None else Person(body.author.name, body.author.email)
    what = Written(body.message, body.paths, body.solved or (), author)
    return _committed(await services.git.commit(caller, workspace_id, what))


@router.post(f"{GIT}/branches", openapi_extra=action(Action.USE_GIT))
async def make_git_branch(
    workspace_id: WorkspaceId, body: MakingBranch, caller: ACaller, services: AServices
) -> GitBranches:
    """Makes a branch; the files stay as they are."""
    await services.git.make_branch(caller, workspace_id, body.name, body.start)
    return _branches(await services.git.branches(caller, workspace_id))


@router.post(f"{GIT}/switch", openapi_extra=action(Action.USE_GIT))
async def git_switch(workspace_id: WorkspaceId, body: Switching, caller: ACaller, services: AServices) -> GitStatus:
    """Switches to another branch. Whoever has files open keeps them open: they become what they are there."""
    what = Written(body.message)
    return _status(await services.git.switch(caller, workspace_id, body.branch, body.uncommitted, what))


@router.post(f"{GIT}/fetch", openapi_extra=action(Action.USE_GIT))
async def git_fetch(workspace_id: WorkspaceId, body: Fetching, caller: ACaller, services: AServices) -> GitStatus:
    """Gets what is new on another server; the files stay as they are."""
    return _status(await services.git.fetch(caller, workspace_id, body.remote, _given(body)))


@router.post(f"{GIT}/pull", openapi_extra=action(Action.USE_GIT))
async def git_pull(workspace_id: WorkspaceId, body: Pulling, caller: ACaller, services: AServices) -> GitPulled:
    """Fetches, and merges the upstream. Conflicts are left in the files, for people to solve together."""
    pulled = await services.git.pull(
        caller,
        workspace_id,
        body.remote,
        _given(body),
        body.uncommitted,
        Written(body.message),
        only_forward=body.fast_forward_only,
    )
    return GitPulled(head=pulled.head, conflicts=[_change(each) for each in pulled.conflicts[:MAX_SHOWN]])


@router.post(f"{GIT}/push", openapi_extra=action(Action.USE_GIT))
async def git_push(workspace_id: WorkspaceId, body: Pushing, caller: ACaller, services: AServices) -> GitStatus:
    """Brings a branch to another server. Never by force: where others were first, pull."""
    return _status(await services.git.push(caller, workspace_id, body.remote, _given(body), body.branch))


@router.post(f"{GIT}/merge/abort", openapi_extra=action(Action.USE_GIT))
async def abort_git_merge(workspace_id: WorkspaceId, caller: ACaller, services: AServices) -> GitStatus:
    """Goes back to what was before a merge with conflicts."""
    return _status(await services.git.abort(caller, workspace_id))


@router.get(f"{GIT}/identity", openapi_extra=action(Action.SEE_GIT))
async def git_identity(workspace_id: WorkspaceId, caller: ACaller, services: AServices) -> GitPerson:
    """By which name one commits."""
    return _person(await services.git.people.person(caller))


@router.put(f"{GIT}/identity", openapi_extra=action(Action.USE_GIT))
async def set_git_identity(
    workspace_id: WorkspaceId, body: Identity, caller: ACaller, services: AServices
) -> GitPerson:
    """Says by which name one commits, in all workspaces. It is in every commit, for all who get it to read."""
    return _person(await services.git.people.introduce(caller, body.name, body.email))


@router.get(f"{GIT}/credentials", openapi_extra=action(Action.KEEP_GIT_CREDENTIALS))
async def git_credentials(workspace_id: WorkspaceId, caller: ACaller, services: AServices) -> GitCredentials:
    """For which servers one has stored credentials; they themselves are never shown."""
    return _credentials(await services.git.people.stored(caller))


@router.put(f"{GIT}/credentials", openapi_extra=action(Action.KEEP_GIT_CREDENTIALS))
async def store_git_credential(
    workspace_id: WorkspaceId, body: Storing, caller: ACaller, services: AServices
) -> GitCredentials:
    """Stores a credential for a server, encrypted, for oneself alone and for all workspaces."""
    await services.git.people.keep(caller, body.host, body.kind, body.secret())
    return _credentials(await services.git.people.stored(caller))


@router.delete(f"{GIT}/credentials", status_code=204, openapi_extra=action(Action.KEEP_GIT_CREDENTIALS))
async def forget_git_credential(
    workspace_id: WorkspaceId,
    host: Annotated[str, Query(min_length=1, max_length=253)],
    caller: ACaller,
    services: AServices,
    kind: Literal["https", "ssh"] = "https",
) -> None:
    """Forgets a credential."""
    await services.git.people.forget(caller, host, kind)


def _given(body: Fetching) -> Secret | None:
    return None if body.credential is None else body.credential.secret()


def _status(state: State) -> GitStatus:
    return GitStatus(
        branch=state.branch,
        head=state.head,
        upstream=state.upstream,
        ahead=state.ahead,
        behind=state.behind,
        is_merging=state.is_merging,
        changes=[_change(each) for each in state.changes[:MAX_SHOWN]],
        more=max(0, len(state.changes) - MAX_SHOWN),
        remotes=sorted(state.remotes),
    )


def _change(changed: Changed) -> GitChange:
    return GitChange(path=path_of(changed.path), change=changed.change, conflict=changed.conflict)


def _commit(commit: Commit) -> GitCommit:
    workspace_id, sequence = commit.sequence or (None, None)
    return GitCommit(
        commit_id=commit.commit_id,
        parents=list(commit.parents),
        author=_person(commit.author),
        at=commit.at * MICROSECONDS,
        subject=commit.subject,
        server_sequence_id=sequence,
        workspace_id=workspace_id,
    )


def _branches(branches: list[Branch]) -> GitBranches:
    return GitBranches(items=[GitBranch.model_validate(each) for each in branches])


def _committed(committed: Committed) -> GitCommitted:
    return GitCommitted(
        commit_id=committed.commit_id,
        server_sequence_id=committed.sequence,
        co_authors=[_person(each) for each in committed.co_authors],
        paths=list(committed.paths[:MAX_SHOWN]),
        left=list(committed.left[:MAX_SHOWN]),
    )


def _person(person: Person) -> GitPerson:
    return GitPerson(name=person.name, email=person.email)


def _credentials(stored: list[Stored]) -> GitCredentials:
    return GitCredentials(items=[GitCredential.model_validate(each) for each in stored])


def _text(content: bytes | None) -> str | None:
    if content is None or b"\0" in content:
        return None
    return content.decode(errors="replace")[:MAX_SIDE]
