"""Mounts: which workspaces are kept as files on the server's disk, and that they are again after a restart."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import structlog
from sqlalchemy import Connection, select, update

from coscribe.access.caller import Caller
from coscribe.access.events import by, record
from coscribe.access.policy import Action
from coscribe.access.rights import Rights, authorise
from coscribe.core.errors import Code, CoscribeError
from coscribe.persistence.database import Database
from coscribe.persistence.schema import workspaces
from coscribe.working_tree.trees import Mounted, WorkingTrees

log = structlog.get_logger(__name__)


class Mount(NamedTuple):
    """``active``: it is kept as files, at ``path``. ``mounted`` None: it is stopped."""

    status: Literal["active", "stopped"]
    mount_path: str
    mounted: Mounted | None


class Mounts:
    """Whoever starts one has been asked whether they may; see `authorise` for what else may be wrong."""

    def __init__(self, database: Database, trees: WorkingTrees, owns: Callable[[str], bool] = lambda _: True) -> None:
        self._database = database
        self._trees = trees
        self._owns = owns
        self._waiting: dict[str, str] = {}

    async def start(self) -> None:
        """Those of this instance's that were kept when whoever had them before ended are again."""
        status = workspaces.c.status

        def job(connection: Connection) -> list[str]:
            kept = workspaces.c.mounted & status.in_(("active", "archived"))
            return list(connection.execute(select(workspaces.c.workspace_id).where(kept)).scalars())

        for workspace_id in filter(self._owns, await self._database.read(job)):
            self._waiting.setdefault(workspace_id, "")
        await self.try_again()

    async def try_again(self) -> None:
        """Those that could not be begun with: whoever had one before may not be gone from its folder yet."""
        for workspace_id in list(self._waiting):
            if self._owns(workspace_id):
                try:
                    await self._trees.open(workspace_id)
                except CoscribeError as error:
                    if self._waiting.get(workspace_id) != str(error):
                        log.error("not_mounted", workspace=workspace_id, error=str(error))
                    self._waiting[workspace_id] = str(error)
                    continue
            self._waiting.pop(workspace_id, None)
            if not self._owns(workspace_id):  # it was handed over meanwhile
                await self._trees.close(workspace_id)

    async def keep_only(self, are_mine: Callable[[str], bool]) -> None:
        """Those that are not one's own any more are left as they are."""
        await self._trees.keep_only(are_mine)

    async def stop(self) -> None:
        await self._trees.stop()

    async def get(self, caller: Caller, workspace_id: str) -> Mount:
        """Errors: ``file_not_found``: also where it has no tree."""
        job = partial(_workspace, caller=caller, action=Action.SEE_DOCUMENT, workspace_id=workspace_id)
        return self._shown(workspace_id, await self._database.read(job))

    async def mount(self, caller: Caller, workspace_id: str) -> Mount:
        """Errors: those of `WorkingTrees.open`."""
        rights = await self._set(caller, workspace_id, mounted=True)
        await self._trees.open(workspace_id)
        return self._shown(workspace_id, rights)

    async def unmount(self, caller: Caller, workspace_id: str) -> Mount:
        """The files stay where they are; when it is started again, what was written to them meanwhile is taken in."""
        rights = await self._set(caller, workspace_id, mounted=False)
        self._waiting.pop(workspace_id, None)
        await self._trees.close(workspace_id)
        return self._shown(workspace_id, rights)

    async def _set(self, caller: Caller, workspace_id: str, *, mounted: bool) -> Rights:
        def job(connection: Connection) -> Rights:
            rights = _workspace(connection, caller, Action.MOUNT_WORKSPACE, workspace_id)
            this = workspaces.c.workspace_key == rights.document.key
            connection.execute(update(workspaces).where(this).values(mounted=mounted))
            what = "workspace.started" if mounted else "workspace.stopped"
            record(connection, by(caller, what, workspace_id=workspace_id))
            return rights

        return await self._database.write(job)

    def _shown(self, workspace_id: str, rights: Rights) -> Mount:
        path = str(self._trees.path(workspace_id))
        if not self._trees.is_open(workspace_id):
            return Mount("stopped", path, None)
        mounted = self._trees.mounted(workspace_id)
        notices = [notice for notice in mounted.notices if _may_know(rights, notice.path)]
        return Mount("active", path, mounted._replace(notices=notices))


def _workspace(connection: Connection, caller: Caller, action: Action, workspace_id: str) -> Rights:
    """Errors: ``file_not_found``: there is none, or it is a document."""
    rights = authorise(connection, caller, action, workspace_id)
    this = workspaces.c.workspace_key == rights.document.key
    if connection.execute(select(workspaces.c.kind).where(this)).scalar() != "workspace":
        raise CoscribeError(Code.FILE_NOT_FOUND, f"there is no workspace {workspace_id!r}", file_id=workspace_id)
    return rights


def _may_know(rights: Rights, path: str) -> bool:
    """Whether somebody may be told of a path on the disk; "": it is about all of it. Who has no role and was let in is
    an administrator, who has to know what is the matter."""
    if not path or rights.role is None:
        return True
    tree = rights.in_tree()
    return tree is not None and tree.on(path) is not None
