"""Imports: what fills a new project, in the background, and goes on where it was after a crash.

    archive --> imports/ID, synced --> rows: pending --> unpacked, judged --> units of files --> ready, archive gone

Until it is ready nobody sees any of the files (`rights`), so one that fails halfway looks like nothing. The archive is
there before the project is, and goes after it is ready; the ids of all operations are made from the project's id: so
whenever the server ends, the same import goes on at its next start and does nothing twice.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import structlog

from coscribe.access.project_people import ImportState
from coscribe.access.projects import Import, Waiting, note_import, waiting_imports
from coscribe.access.sessions import Changed
from coscribe.cluster.part import ALONE, Part
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.file_system import FileSystem, NewFile
from coscribe.documents.ports import AccessChange, Identity, StorageError
from coscribe.documents.unpacking import unpack
from coscribe.documents.unpacking.intake import Bounds, Intake, refusal
from coscribe.git.cloning import clone
from coscribe.git.remotes import Policy, Secret, public
from coscribe.metrics import metrics
from coscribe.persistence.database import Database
from coscribe.persistence.signing import make_folder

log = structlog.get_logger(__name__)

AT_ONCE = 2
"""Imports that run; the others wait."""

LEFT_SECONDS = 86_400.0
"""What nobody has written to for so long is nobody's, where several instances have the folder."""

TRIES = 4
PAUSE_SECONDS = 2.0
"""Of an import that the server's own trouble stops, and between them, twice as long each time."""


class Imports:
    """``folder``: for archives that wait, and while they are unpacked. ``stored``: the credential of an account for a
    host and a protocol; ``judge``: which addresses may be talked to; ``part``: which projects are this instance's."""

    def __init__(
        self,
        database: Database,
        files: FileSystem,
        folder: Path,
        changed: Changed,
        stored: Callable[[str, str, str], Awaitable[Secret]],
        judge: Policy = public,
        bounds: Bounds = Bounds(),  # noqa: B008
        part: Part = ALONE,
    ) -> None:
        self.bounds = bounds
        self._part = part
        self.judge = judge
        self._stored = stored
        self._secrets: dict[str, Secret] = {}
        self._database = database
        self._files = files
        self._folder = folder
        self._changed = changed
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._stopping: dict[str, threading.Event] = {}
        self._done: dict[str, int] = {}

    async def start(self) -> None:
        """Goes on with what the end of whoever had it before has cut off. May be asked at any time."""
        waiting = await self._database.read(waiting_imports)
        await asyncio.to_thread(self._tidy, {one.project_id for one in waiting})
        for one in waiting:
            self._begin(one)

    async def stop(self) -> None:
        """Ends all; they go on at the next start."""
        await self.keep_only(lambda _: False)

    async def keep_only(self, are_mine: Callable[[str], bool]) -> None:
        """Ends all others; whoever has them next goes on with them."""
        ended = [(project_id, task) for project_id, task in self._running.items() if not are_mine(project_id)]
        for project_id, task in ended:
            self._stopping[project_id].set()
            task.cancel()
        await asyncio.gather(*(task for _, task in ended), return_exceptions=True)

    def progress(self, project_id: str) -> int | None:
        """Files that are on their way or made. None: it does not run."""
        return self._done.get(project_id)

    async def receive(self, project_id: str, pieces: AsyncIterator[bytes]) -> None:
        """Keeps an archive for a project that is about to be made. Errors: ``import_refused``: it is too long."""
        await asyncio.to_thread(make_folder, self._folder)
        path = self._folder / project_id
        size = 0
        try:
            with path.open("xb") as file:
                async for piece in pieces:
                    size += len(piece)
                    if size > self.bounds.packed_bytes:
                        raise refusal("packed_bytes", f"at most {self.bounds.packed_bytes} bytes")
                    await asyncio.to_thread(file.write, piece)
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
            await asyncio.to_thread(_sync_folder, self._folder)
        except OSError as error:
            self.drop(project_id)
            raise CoscribeError(Code.STORAGE_UNAVAILABLE, f"the archive cannot be kept: {error.strerror}") from error
        except BaseException:
            self.drop(project_id)
            raise

    def drop(self, project_id: str) -> None:
        """The archive or the repository of a project that was not made, or is."""
        _remove(self._folder / project_id)

    async def begin(self, project_id: str, secret: Secret = Secret()) -> None:  # noqa: B008
        """Begins the import of a project that has just been made. ``secret``: for a repository; it is in memory only,
        and after a restart what is stored counts."""
        await asyncio.to_thread(make_folder, self._folder)
        if secret != Secret():
            self._secrets[project_id] = secret
        for one in await self._database.read(waiting_imports):
            if one.project_id == project_id:
                self._begin(one)

    async def finished(self, project_id: str) -> None:
        """Returns when an import does not run any more."""
        task = self._running.get(project_id)
        if task is not None:
            await asyncio.wait({task})

    def _begin(self, one: Waiting) -> None:
        if one.project_id not in self._running and self._part.owns(one.project_id):
            self._stopping[one.project_id] = threading.Event()
            task = asyncio.get_running_loop().create_task(self._run(one))
            self._running[one.project_id] = task
            task.add_done_callback(lambda _: self._forget(one.project_id))

    def _forget(self, project_id: str) -> None:
        self._running.pop(project_id, None)
        self._stopping.pop(project_id, None)
        self._secrets.pop(project_id, None)

    async def _run(self, one: Waiting) -> None:
        async with self._turns:
            for number in range(1, TRIES + 1):
                try:
                    await self._import(one)
                    return
                except CoscribeError as error:
                    if error.code.value.fault == "client" or number == TRIES:
                        await self._fail(one, error)
                        return
                    log.warning("import_tried_again", project=one.project_id, error=str(error))
                except (StorageError, OSError) as error:
                    if number == TRIES:
                        await self._fail(one, CoscribeError(Code.STORAGE_UNAVAILABLE, str(error)))
                        return
                    log.warning("import_tried_again", project=one.project_id, error=str(error))
                await asyncio.sleep(PAUSE_SECONDS * 2 ** (number - 1))

    async def _import(self, one: Waiting) -> None:
        await self._note(one, Import("running"))
        secret, stopping = await self._secret(one), self._stopping[one.project_id]
        intake = await asyncio.to_thread(self._unpacked, one, secret, stopping)
        try:
            await self._note(one, Import("running", 0, intake.count))
            author = Identity(one.owner, "", "#868e96", "owner", credential="folder:import")
            files = self._counted(one.project_id, intake)
            await self._files.import_files(author, one.project_id, files, f"import-{one.project_id}")
            await self._note(one, Import("ready", intake.count, intake.count))
        finally:
            self._done.pop(one.project_id, None)
            intake.close()
        self.drop(one.project_id)

    async def _secret(self, one: Waiting) -> Secret:
        """Errors: ``remote_refused``."""
        if one.source.kind != "repository" or one.project_id in self._secrets:
            return self._secrets.get(one.project_id, Secret())
        remote = self.judge.check(one.source.address)
        return await self._stored(one.owner, remote.host, remote.protocol)

    def _unpacked(self, one: Waiting, secret: Secret, stopping: threading.Event) -> Intake:
        if one.source.kind == "repository":
            return clone(
                one.source.address,
                self._folder,
                self.judge,
                stopping,
                keep=self._folder / one.project_id,
                secret=secret,
                bounds=self.bounds,
                folds_case=one.folds_case,
            )
        with (self._folder / one.project_id).open("rb") as archive:
            return unpack(archive, self._folder, self.bounds, folds_case=one.folds_case)

    def _counted(self, project_id: str, intake: Intake) -> Iterator[NewFile]:
        for number, new in enumerate(intake.files()):
            self._done[project_id] = number
            yield new

    async def _fail(self, one: Waiting, error: CoscribeError) -> None:
        try:
            await self._note(one, Import("failed", code=error.code.value.code, detail=error.detail))
        except (StorageError, CoscribeError) as trouble:  # then it is tried again by the next server
            log.error("import_not_noted", project=one.project_id, error=str(trouble))
            return
        self.drop(one.project_id)

    async def _note(self, one: Waiting, how: Import) -> None:
        await self._database.write(lambda connection: note_import(connection, one.project_id, how))
        final: tuple[ImportState, ...] = ("ready", "failed")
        if how.state in final:
            metrics.imports.labels(how.state).inc()
            await self._changed(AccessChange(workspace_id=one.project_id))

    def _tidy(self, waiting: set[str]) -> None:
        """Archives of projects that were never made, or are."""
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if path.name not in waiting and self._is_left(path):
                    _remove(path)

    def _is_left(self, path: Path) -> bool:
        """Whether nobody comes back for something: others may be receiving it, or unpacking, where there are any."""
        if self._part.is_alone:
            return True
        with suppress(FileNotFoundError):
            return time.time() - path.stat().st_mtime > LEFT_SECONDS
        return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
