"""GitWork: git in a workspace, for the people in it.

    what others type --save--> files on the disk --at rest--> one git command after the other --> taken in as one change

While git changes the files neither direction of the working tree works (`WorkingTree.at_rest`): whoever types goes on
typing, into the engine, and what they have typed meanwhile is merged with what git has done, as with any other program
that writes files. So nobody is disconnected by a switch of branches, and no file gets another id.

A commit says up to which entry of the log it has all (the trailer ``Coscribe-Sequence``), and who besides its author
has written what is in it since the commit before: that is read from the log, where nobody can have written it for
others.

Whoever may not see or write all of a workspace commits what they may write, and nothing besides: branches, fetch, pull
and push are about all of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from sqlalchemy import Connection, select

from coscribe.access.caller import Caller
from coscribe.access.directory import Directory
from coscribe.access.events import Notes, by
from coscribe.access.git_people import GitPeople
from coscribe.access.policy import Action, is_about
from coscribe.access.rights import Rights, authorise
from coscribe.access.rights import Side as RightsSide
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.operation import changes
from coscribe.documents.collaboration import Collaboration
from coscribe.documents.past import components_of
from coscribe.documents.past_tree import effect_of
from coscribe.documents.ports import OpLog
from coscribe.documents.workspace_past import WorkspacePast
from coscribe.git.remotes import RESOLVE_SECONDS, Policy, Remote, Secret, pinned_by
from coscribe.git.repository import SEQUENCE, Branch, Changed, Commit, Person, Repository, Side, State, drop_secrets
from coscribe.model import is_of_tree
from coscribe.persistence.database import Database
from coscribe.persistence.schema import workspaces
from coscribe.working_tree.engine import DISK
from coscribe.working_tree.trees import WorkingTrees
from coscribe.working_tree.working_tree import BROUGHT

_T = TypeVar("_T")

Uncommitted = Literal["refuse", "carry", "commit"]

MAX_WAITING = 8
"""Pieces of work with git that wait for one in the same workspace; more are refused with ``overloaded``."""

MAX_AT_ONCE = 4
"""Workspaces in which git works at the same time; others wait."""

MAX_ASKED = 4
"""Other machines that are asked at the same time who they are; whoever wants to ask more waits."""

MAX_CO_AUTHORS = 100
"""Named in a commit; those who wrote first."""

MAX_READ = 500_000
"""Entries of the log that are looked through for co-authors, the newest; who wrote before them only is not named."""

PAGE = 1_000
"""Log entries read at a time."""


class Written(NamedTuple):
    """What a commit is to be. ``paths`` None: all that one may write. ``solved``: files with conflicts that have no
    markers, and are as they are to be. ``author``: instead of the one that is known."""

    message: str
    paths: Sequence[str] | None = None
    solved: Sequence[str] = ()
    author: Person | None = None


class Committed(NamedTuple):
    """``left``: paths that were not committed, as the author may not write them."""

    commit_id: str
    sequence: int
    co_authors: Sequence[Person]
    paths: Sequence[str]
    left: Sequence[str]


class Pulled(NamedTuple):
    """``conflicts``: with any it is not finished."""

    head: str
    conflicts: Sequence[Changed]


class GitWork:
    """``private``: a folder that nobody in a workspace can write. ``judge``: which addresses may be talked to."""

    def __init__(
        self,
        database: Database,
        trees: WorkingTrees,
        collaboration: Collaboration,
        op_log: OpLog,
        past: WorkspacePast,
        directory: Directory,
        people: GitPeople,
        notes: Notes,
        private: Path,
        judge: Policy,
    ) -> None:
        self._database = database
        self._trees = trees
        self._collaboration = collaboration
        self._op_log = op_log
        self._past = past
        self._directory = directory
        self.people = people
        self._notes = notes
        self._private = private
        self._judge = judge
        self._turns: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, int] = {}
        self._places = asyncio.Semaphore(MAX_AT_ONCE)
        self._asking = ThreadPoolExecutor(MAX_ASKED, "asking")

    async def start(self) -> None:
        """Removes what the end of the server before has left behind. Raises OSError."""
        await asyncio.to_thread(drop_secrets, self._private)

    # ---- what there is

    async def status(self, caller: Caller, workspace_id: str) -> State:
        """Of what may be seen. All that people had typed is in it."""
        rights = await self._rights(caller, Action.SEE_GIT, workspace_id)
        await self._collaboration.save(caller.identity, workspace_id)
        async with self._repository(workspace_id) as repository:
            state = await repository.state()
        return state._replace(changes=[each for each in state.changes if rights.on(path_of(each.path)) is not None])

    async def log(
        self, caller: Caller, workspace_id: str, rev: str, limit: int, skip: int, sequence: int | None
    ) -> list[Commit]:
        """The newest first. ``sequence``: only the first that has all up to this entry of the workspace's log."""
        await self._whole(caller, Action.SEE_GIT, workspace_id)
        async with self._repository(workspace_id) as repository:
            if sequence is None:
                return await repository.log(rev, limit, skip)
            having = [
                each
                for each in await repository.marked(rev)
                if each.sequence is not None and each.sequence[0] == workspace_id and each.sequence[1] >= sequence
            ]
            return having[-1:]

    async def branches(self, caller: Caller, workspace_id: str) -> list[Branch]:
        await self._whole(caller, Action.SEE_GIT, workspace_id)
        async with self._repository(workspace_id) as repository:
            return await repository.branches()

    async def sides(self, caller: Caller, workspace_id: str, path: str) -> Side:
        """A file with a conflict: what it was, and what either side has made of it."""
        await self._whole(caller, Action.SEE_GIT, workspace_id)
        async with self._repository(workspace_id) as repository:
            return await repository.sides(path.encode())

    # ---- changes. What may be done is asked again when it is their turn: that may take minutes.

    async def init(self, caller: Caller, workspace_id: str, remote: str, url: str) -> State:
        """Makes a repository, unless there is one, and gives a remote its address."""
        await self._whole(caller, Action.USE_GIT, workspace_id)
        if url:
            await self._judged(url)
        async with self._repository(workspace_id, is_new=True) as repository:
            if url:
                await repository.set_remote(remote, url)
            return await repository.state()

    async def commit(self, caller: Caller, workspace_id: str, what: Written) -> Committed:
        """Errors: ``conflict``: nothing has changed; ``merge_unfinished``: conflicts are left."""
        await self._rights(caller, Action.USE_GIT, workspace_id)
        async with self._at_rest(caller, workspace_id) as (repository, sequence):
            rights = await self._rights(caller, Action.USE_GIT, workspace_id)
            committed = await self._commit(caller, workspace_id, rights, repository, sequence, what)
        self._note(caller, workspace_id, "committed", commit=committed.commit_id)
        return committed

    async def make_branch(self, caller: Caller, workspace_id: str, name: str, start: str) -> None:
        await self._whole(caller, Action.USE_GIT, workspace_id)
        async with self._repository(workspace_id) as repository:
            await repository.make_branch(name, start)

    async def switch(
        self, caller: Caller, workspace_id: str, name: str, uncommitted: Uncommitted, what: Written
    ) -> State:
        """Errors: ``uncommitted_changes``, ``merge_unfinished``, ``not_found``."""
        await self._whole(caller, Action.USE_GIT, workspace_id)
        async with self._at_rest(caller, workspace_id, brings=True) as (repository, sequence):
            rights = await self._whole(caller, Action.USE_GIT, workspace_id)
            await self._make_ready(caller, workspace_id, rights, repository, sequence, uncommitted, what)
            await repository.switch(name, await self.people.person(caller))
            state = await repository.state()
        self._note(caller, workspace_id, "switched", branch=name)
        return state

    async def fetch(self, caller: Caller, workspace_id: str, remote: str, given: Secret | None) -> State:
        """Errors: ``remote_refused``, ``not_found``."""
        await self._whole(caller, Action.USE_GIT, workspace_id)
        async with self._repository(workspace_id) as repository:
            await self._fetch(caller, repository, remote, given)
            return await repository.state()

    async def pull(
        self,
        caller: Caller,
        workspace_id: str,
        remote: str,
        given: Secret | None,
        uncommitted: Uncommitted,
        what: Written,
        *,
        only_forward: bool,
    ) -> Pulled:
        """Fetches, and merges the branch that is followed. People go on typing while it talks to the other server.

        Errors: as `fetch`, ``uncommitted_changes``, ``merge_unfinished``, ``conflict``: not forward only."""
        await self._whole(caller, Action.USE_GIT, workspace_id)
        async with self._repository(workspace_id) as repository:
            name = await self._fetch(caller, repository, remote, given)
        async with self._at_rest(caller, workspace_id, brings=True) as (repository, sequence):
            rights = await self._whole(caller, Action.USE_GIT, workspace_id)
            await self._make_ready(caller, workspace_id, rights, repository, sequence, uncommitted, what)
            state = await repository.state()
            author = await self.people.person(caller)
            ref = repository.upstream(state, name)
            message = f"Merge {ref.removeprefix('refs/remotes/')}\n\n{SEQUENCE}: {workspace_id} {sequence}\n"
            conflicts = await repository.merge(ref, message, author, only_forward=only_forward)
            head = (await repository.state()).head
        self._note(caller, workspace_id, "pulled", commit=head, conflicts=len(conflicts))
        return Pulled(head, conflicts)

    async def abort(self, caller: Caller, workspace_id: str) -> State:
        """Ends a merge without what it would have come to. What people have typed into files with conflicts is in the
        history. Errors: ``conflict``: there is none."""
        await self._whole(caller, Action.USE_GIT, workspace_id)
        async with self._at_rest(caller, workspace_id, brings=True) as (repository, _):
            await self._whole(caller, Action.USE_GIT, workspace_id)
            if not (await repository.state()).is_merging:
                raise CoscribeError(Code.CONFLICT, "there is no merge to abort")
            await repository.abort()
            return await repository.state()

    async def push(self, caller: Caller, workspace_id: str, remote: str, given: Secret | None, branch: str) -> State:
        """Errors: ``push_rejected``, ``remote_refused``, ``not_found``."""
        await self._whole(caller, Action.USE_GIT, workspace_id)
        async with self._repository(workspace_id) as repository:
            await self._whole(caller, Action.USE_GIT, workspace_id)
            state = await repository.state()
            name, at, secret = await self._reached(caller, repository, state, remote, given)
            ours = branch or state.branch
            if not ours or not state.head:
                raise CoscribeError(Code.INVALID_REQUEST, "HEAD is no branch with a commit: say which branch to push")
            follows = repository.followed(ours)
            theirs = follows[1] if follows is not None and follows[0] == name else ours
            await repository.push(name, at, secret, ours, theirs)
            if follows is None:
                await repository.follow(ours, name, theirs)
            state = await repository.state()
        self._note(caller, workspace_id, "pushed", branch=ours, remote=at.host)
        return state

    # ---- steps

    async def _commit(
        self, caller: Caller, workspace_id: str, rights: Rights, repository: Repository, sequence: int, what: Written
    ) -> Committed:
        state = await repository.state()
        if state.is_merging:
            _check_whole(rights)
        paths, left = _chosen(state, rights, what)
        if state.is_merging:
            unsolved = repository.unsolved(state, [path.encode() for path in what.solved])
            if unsolved:
                names = ", ".join(map(path_of, unsolved[:10]))
                raise CoscribeError(Code.MERGE_UNFINISHED, f"conflicts are left in: {names}")
        elif not paths:
            raise CoscribeError(Code.CONFLICT, "there is nothing to commit")
        author = what.author or await self.people.person(caller)
        since = await repository.since(workspace_id, paths)
        known = {path_of(path): place for path, place in since.items()}
        co_authors = await self._co_authors(caller, workspace_id, known, author)
        trailers = [f"{SEQUENCE}: {workspace_id} {sequence}", *(f"Co-authored-by: {each}" for each in co_authors)]
        message = "\n".join([what.message.strip(), "", *trailers, ""])
        commit_id = await repository.commit(paths, message, author, whole=state.is_merging)
        return Committed(commit_id, sequence, co_authors, sorted(map(path_of, paths)), left)

    async def _make_ready(
        self,
        caller: Caller,
        workspace_id: str,
        rights: Rights,
        repository: Repository,
        sequence: int,
        uncommitted: Uncommitted,
        what: Written,
    ) -> None:
        """Before the files become others. Errors: ``uncommitted_changes``, ``merge_unfinished``."""
        state = await repository.state()
        if state.is_merging:
            raise CoscribeError(Code.MERGE_UNFINISHED, "a merge is not finished: commit it, or abort it")
        if not state.uncommitted:
            return
        if uncommitted == "refuse":
            names = ", ".join(path_of(each.path) for each in state.uncommitted[:10])
            raise CoscribeError(
                Code.UNCOMMITTED_CHANGES,
                f"{len(state.uncommitted)} files have changes that are not committed ({names}): commit them first, ask "
                'for it with uncommitted "commit", or take them along with "carry"',
            )
        if uncommitted == "commit":
            await self._commit(caller, workspace_id, rights, repository, sequence, what)

    async def _co_authors(
        self, caller: Caller, workspace_id: str, since: Mapping[str, int], author: Person
    ) -> list[Person]:
        """Who has written what is at paths behind a sequence each, in the order in which they began, but the author.
        What came in with a pull or a switch of branches was written by those whom its own commits name."""
        present = await self._collaboration.present(caller.identity, workspace_id, with_nodes=False)
        oldest = max((await self._op_log.pruned(present.workspace_key)).sequence, present.sequence - MAX_READ)
        after = max(oldest, min(since.values(), default=present.sequence))
        now = await self._past.moment(caller.identity, workspace_id, present.sequence)
        then = await self._past.moment(caller.identity, workspace_id, after)
        wanted: dict[str, int] = {}
        for path, place in since.items():
            for tree in (now.tree, then.tree):
                file_id = tree.find(path)
                if file_id is not None:
                    wanted[file_id] = min(place, wanted.get(file_id, place))
        keys = await self._op_log.keys(present.workspace_key)
        names = {keys[file_id]: file_id for file_id in wanted if file_id in keys}
        found: dict[int, None] = {}
        while after < present.sequence:
            rows = await self._op_log.read(present.workspace_key, after, through=present.sequence, limit=PAGE)
            for row in rows:
                if row.author == DISK.user_id and row.operation_id.startswith(BROUGHT):
                    continue
                if is_of_tree(row.payload):
                    about = [change.file_id for change in effect_of(row).changes]
                else:
                    about = [names[row.file_key]] if row.file_key in names and changes(components_of(row)) else []
                if any(row.sequence > wanted[file_id] for file_id in about if file_id in wanted):
                    found[row.author_ref] = None
            if not rows:
                break
            after = rows[-1].sequence
            await asyncio.sleep(0)
        authors = await self._directory.authors(found)
        others = [authors[each] for each in found if each in authors and authors[each].user_id != caller.author]
        named = [each for each in await self.people.named(others) if each.email != author.email]
        return list(dict.fromkeys(named))[:MAX_CO_AUTHORS]

    async def _fetch(self, caller: Caller, repository: Repository, remote: str, given: Secret | None) -> str:
        """The name of the remote."""
        state = await repository.state()
        name, at, secret = await self._reached(caller, repository, state, remote, given)
        await repository.fetch(name, at, secret)
        return name

    async def _reached(
        self, caller: Caller, repository: Repository, state: State, remote: str, given: Secret | None
    ) -> tuple[str, Remote, Secret]:
        name, url = repository.remote_of(state, remote)
        at = await self._judged(url)
        secret = given if given is not None else await self.people.secret(caller, at.host, at.protocol)
        if at.protocol == "ssh" and not (secret.key and secret.known_hosts):
            raise CoscribeError(
                Code.REMOTE_REFUSED, f"{at.host} by ssh needs a credential with a key and the known hosts"
            )
        return name, at, secret

    async def _judged(self, url: str) -> Remote:
        """Errors: ``remote_refused``."""
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                return await self._asked(lambda: self._judge(url))
        except TimeoutError:
            raise CoscribeError(Code.REMOTE_REFUSED, "nobody says where that is: try again later") from None

    async def _asked(self, question: Callable[[], _T]) -> _T:
        """In threads of their own: another machine takes as long as it likes to answer, and what else is done in
        threads, for everybody, is not to wait for it."""
        return await asyncio.get_running_loop().run_in_executor(self._asking, question)

    async def known(self, caller: Caller, url: str, given: Secret, fingerprint: str) -> Secret:
        """With what somebody is let in at an address: what they give, or what is stored. A key that is given by one who
        has signed in is stored, with the server's own keys: those that are given or are stored, or the one of the
        fingerprint. Errors: ``remote_refused``: also where none is known, with those that the server says it has."""
        remote = self._judge.check(url)
        stored = await self.people.secret(caller, remote.host, remote.protocol)
        if remote.protocol != "ssh":
            return given if given.token else stored
        key = given.key or stored.key
        if not key:
            raise CoscribeError(Code.REMOTE_REFUSED, f"{remote.host} by ssh needs a key: give one")
        known_hosts = given.known_hosts or stored.known_hosts
        if fingerprint or not known_hosts:
            at = await self._judged(url)
            known_hosts = await self._asked(lambda: pinned_by(at, fingerprint))
        secret = Secret(key=key, known_hosts=known_hosts)
        if secret != stored and caller.kind == "session":
            await self.people.keep(caller, remote.host, "ssh", secret)
        return secret

    @asynccontextmanager
    async def _at_rest(
        self, caller: Caller, workspace_id: str, *, brings: bool = False
    ) -> AsyncIterator[tuple[Repository, int]]:
        """The files hold still, and are what the workspace was at the sequence. ``brings``: as in `WorkingTree`."""
        async with self._repository(workspace_id) as repository:
            sequence = await self._collaboration.save(caller.identity, workspace_id)
            async with self._trees.at_rest(workspace_id, sequence, brings=brings) as reached:
                yield repository, reached

    @asynccontextmanager
    async def _repository(self, workspace_id: str, *, is_new: bool = False) -> AsyncIterator[Repository]:
        """One piece of work at a time in a workspace. Errors: ``overloaded``, ``not_a_repository``."""
        if self._waiting.get(workspace_id, 0) > MAX_WAITING:
            raise CoscribeError(Code.OVERLOADED, f"{MAX_WAITING} others wait for git in this workspace")
        turn = self._turns.setdefault(workspace_id, asyncio.Lock())
        self._waiting[workspace_id] = self._waiting.get(workspace_id, 0) + 1
        try:
            async with turn, self._places:
                if not self._trees.is_open(workspace_id):
                    raise CoscribeError(Code.NOT_A_REPOSITORY, "the workspace is not kept as files: start it first")
                repository = Repository(self._trees.path(workspace_id), self._private / workspace_id)
                if is_new:
                    await repository.make()
                await repository.open()
                yield repository
        finally:
            self._waiting[workspace_id] -= 1
            if not self._waiting[workspace_id]:
                del self._waiting[workspace_id], self._turns[workspace_id]

    async def _rights(self, caller: Caller, action: Action, workspace_id: str) -> Rights:
        """Errors: ``file_not_found``: also where it has no tree; ``permission_denied``."""

        def job(connection: Connection) -> Rights:
            rights = authorise(connection, caller, action, workspace_id)
            kind = connection.execute(
                select(workspaces.c.kind).where(workspaces.c.workspace_key == rights.document.key)
            ).scalar()
            if kind != "workspace":
                raise CoscribeError(
                    Code.FILE_NOT_FOUND, f"there is no workspace {workspace_id!r}", file_id=workspace_id
                )
            if action is Action.USE_GIT and rights.document.status != "active":
                raise CoscribeError(Code.PERMISSION_DENIED, "it is in the archive", file_id=workspace_id)
            return rights

        return await self._database.read(job)

    async def _whole(self, caller: Caller, action: Action, workspace_id: str) -> Rights:
        """Likewise, of those who may write all there is."""
        rights = await self._rights(caller, action, workspace_id)
        _check_whole(rights)
        return rights

    def _note(self, caller: Caller, workspace_id: str, what: str, **detail: Any) -> None:
        self._notes.note(by(caller, f"git.{what}", workspace_id=workspace_id, **detail))


def path_of(raw: bytes) -> str:
    """A path for people, and for rules: what is no UTF-8 is escaped."""
    return raw.decode(errors="backslashreplace")


def _check_whole(rights: Rights) -> None:
    if not all(_is_open(side) for side in rights.sides):
        raise CoscribeError(
            Code.PERMISSION_DENIED, "this is about all files, and rules close some of them to you: ask an owner"
        )


def _is_open(side: RightsSide) -> bool:
    """Whether no rule is about somebody."""
    return side.person.role == "owner" or (
        side.otherwise in (None, "write") and not any(is_about(rule, side.person) for rule in side.rules)
    )


def _chosen(state: State, rights: Rights, what: Written) -> tuple[list[bytes], list[str]]:
    """The paths that are committed, and those that are left out. Errors: ``permission_denied``, ``not_found``."""
    changed = {path_of(each.path): each.path for each in state.changes if not each.path.endswith(b"/")}
    writable = {path for path in changed if rights.on(path) in ("editor", "owner")}
    if what.paths is None or state.is_merging:
        seen = {path for path in changed if rights.on(path) is not None}
        return [changed[path] for path in changed if path in writable], sorted(seen - writable)
    chosen: list[bytes] = []
    for path in dict.fromkeys(what.paths):
        if path not in changed or rights.on(path) is None:
            raise CoscribeError(Code.NOT_FOUND, f"nothing has changed at {path!r}")
        if path not in writable:
            raise CoscribeError(Code.PERMISSION_DENIED, f"{path!r} is not yours to write")
        chosen.append(changed[path])
    return chosen, []
