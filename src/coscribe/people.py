"""The part of the composition root that is about people: accounts, rights, and the API over them."""

from __future__ import annotations

import asyncio
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from urllib.parse import urlsplit

import structlog
from argon2 import PasswordHasher

from coscribe.access.accounts import Accounts
from coscribe.access.administration import Administration
from coscribe.access.auditing import Audits
from coscribe.access.authentication import Admission, Authentication
from coscribe.access.bundles import Bundles
from coscribe.access.directory import Directory
from coscribe.access.documents import Documents
from coscribe.access.events import Notes
from coscribe.access.external import ExternalSignIn
from coscribe.access.git_people import GitPeople
from coscribe.access.git_work import GitWork
from coscribe.access.groups import Groups
from coscribe.access.ids import MICROSECONDS, now
from coscribe.access.imports import Imports
from coscribe.access.invitations import Invitations
from coscribe.access.keys import Keys
from coscribe.access.links import Links
from coscribe.access.mail import ConsoleMailer, Mailer, Outbox, SmtpMailer
from coscribe.access.members import Members
from coscribe.access.mounts import Mounts
from coscribe.access.passwords import Passwords
from coscribe.access.projects import Projects
from coscribe.access.quotas import StoredQuotas
from coscribe.access.redactions import REDACT, Redactions
from coscribe.access.requests import AccessRequests
from coscribe.access.retention import DocumentRetention, pruned_event
from coscribe.access.sessions import Changed, Sessions
from coscribe.access.throttle import LoginGuard
from coscribe.access.tokens import ApiTokens
from coscribe.access.versions import NamedVersions
from coscribe.api.app import make_api
from coscribe.api.route import Door
from coscribe.api.services import Services
from coscribe.cluster.errands import Do
from coscribe.cluster.everywhere import Everywhere, errands_in
from coscribe.cluster.part import ALONE, Part
from coscribe.config import MailSettings, Settings
from coscribe.core.errors import CoscribeError
from coscribe.documents.blobs import Blobs
from coscribe.documents.collaboration import Collaboration
from coscribe.documents.file_system import FileSystem
from coscribe.documents.history import History
from coscribe.documents.ports import OpLog, SnapshotRepo, StorageError
from coscribe.documents.pruning import PrunedPart
from coscribe.documents.restoring import Restoring
from coscribe.documents.searching import Searching
from coscribe.documents.workspace_past import WorkspacePast
from coscribe.gateway.auth import SignedTokens
from coscribe.gateway.gateway import Gateway
from coscribe.git.remotes import Policy
from coscribe.persistence.database import Database
from coscribe.persistence.signing import new_key, replace_key, signing_key
from coscribe.working_tree.trees import WorkingTrees

log = structlog.get_logger(__name__)

EXPIRY_SECONDS = 0.5
"""How often it is looked whether a link's time is up."""

OTHERS_SECONDS = 5.0
"""How often it is looked what other instances have left to this one: keys, imports, workspaces to keep as files."""

LATE = 60 * MICROSECONDS
"""How far back whoever begins to end what has expired looks: so long may nobody have done it."""

LETTING_GO_SECONDS = 3.0
"""How long a handover waits for working trees and imports."""

CHECKPOINT_SECONDS = 300.0
"""How often it is looked which logs are due for a signed checkpoint."""

HOUR = 3_600 * MICROSECONDS

MAIL_SECONDS = 5.0
"""How long mail that is on its way may hold up the end."""


class People:
    """Made before the engine, which asks it who somebody is; `open` gives it the engine, `start` begins its life."""

    def __init__(
        self,
        settings: Settings,
        secret: bytes,
        turn: threading.Lock,
        mailer: Mailer | None,
        hasher: PasswordHasher | None,
    ) -> None:
        self._settings = settings
        self._turn = turn
        self.database = Database(settings.where, turn)
        self.keys = Keys(secret, self.database, now)
        self.notes = Notes(self.database)
        self.authentication = Authentication(self.database, self.keys, SignedTokens(secret))
        self.admission = Admission(self.database, self.notes)
        self.quotas = StoredQuotas(self.database, settings.quotas)
        self._passwords = Passwords(hasher, workers=settings.password_workers or None)
        self._chores: list[asyncio.Task[None]] = []
        self._letting_go: set[asyncio.Task[None]] = set()
        self._is_owing = False
        self._outbox = Outbox(mailer or _mailer(settings.mail))

    def open(
        self,
        collaboration: Collaboration,
        op_log: OpLog,
        snapshots: SnapshotRepo,
        blobs: Blobs,
        trees: WorkingTrees,
        gateway: Gateway,
        changed: Changed,
        remotes: Policy,
        part: Part = ALONE,
    ) -> None:
        """Puts the services and the API together. ``changed`` tells whoever has something open of a change of rights;
        ``remotes``: which other servers git may talk to; ``part``: what is this instance's to do."""
        self._part = part
        settings, database = self._settings, self.database
        past = WorkspacePast(collaboration, op_log, snapshots, blobs.store)
        accounts = Accounts(
            database,
            self._passwords,
            LoginGuard(time.monotonic),
            changed,
            self._outbox.put,
            self.notes,
            public_url=settings.url,
            open_sign_up=settings.open_sign_up,
        )
        key = partial(signing_key, settings.folder)
        replace = partial(replace_key, settings.folder)
        audits = Audits(database, key, new_key, replace, now, settings.checkpoint_hours * HOUR)
        documents = Documents(database, changed, collaboration.forget, settings.quotas.documents, part)
        members, files = Members(database, changed), FileSystem(collaboration, blobs)
        git_people = GitPeople(database, self.keys, urlsplit(settings.url).hostname or "localhost")
        imports = Imports(database, files, settings.imports, changed, git_people.secret_of, remotes, part=part)
        directory = Directory(database)
        self.services = Services(
            database,
            self.authentication,
            self.keys,
            self.notes,
            self._passwords,
            accounts,
            Administration(database, self.keys, changed),
            Sessions(database, self.keys, changed),
            ApiTokens(database, changed),
            documents,
            members,
            Groups(database, changed),
            Invitations(database, changed, self._outbox.put, public_url=settings.url),
            AccessRequests(database, changed, self._outbox.put, public_url=settings.url),
            NamedVersions(database),
            DocumentRetention(database, settings.retention_days),
            Redactions(
                settings.where,
                self._turn,
                database,
                collaboration,
                blobs,
                trees,
                changed,
                past.forget,
                key,
                part,
            ),
            audits,
            Bundles(database, op_log, audits, key, lambda workspace_id: collaboration.save(None, workspace_id)),
            Links(database, changed, public_url=settings.url),
            directory,
            ExternalSignIn(
                database,
                accounts,
                self.notes,
                settings.oidc,
                public_url=settings.url,
                clock=time.time,
                monotonic=time.monotonic,
            ),
            collaboration,
            Everywhere(collaboration, part),
            files,
            Mounts(database, trees, part.owns),
            Projects(database, changed, documents, members, imports.progress),
            self.quotas,
            imports,
            GitWork(
                database,
                trees,
                collaboration,
                op_log,
                past,
                directory,
                git_people,
                self.notes,
                settings.folder / "git" if part.is_alone else settings.folder / "git" / settings.instance,
                remotes,
            ),
            History(collaboration, op_log),
            past,
            Restoring(collaboration, past),
            Searching(collaboration, op_log, snapshots, time.monotonic),
            settings.url,
        )
        door = Door(
            self.services,
            gateway.accepts,
            secure=settings.url.startswith("https://"),
            rate_factor=settings.rate_factor,
            now=time.monotonic,
        )
        self.api = make_api(door, version=version("coscribe"), new_request_id=lambda: secrets.token_hex(8))

    @property
    def errands(self) -> Mapping[str, Do]:
        """What other instances may have this one do."""
        services = self.services
        return {
            **errands_in(services.collaboration, services.documents.purge_one),
            REDACT: services.redactions.redact_for_another,
        }

    def tell_pruned(self, part: PrunedPart) -> None:
        """Records that history was deleted because of its age."""
        self.notes.note(pruned_event("server", part))

    async def start(self) -> None:
        """Reads the keys; finishes what the end of whoever was there before cut off."""
        await self.keys.load()
        await self.services.git.start()
        await self.gained()
        chores = [self._end_expired(), self._take_checkpoints()]
        if not self._part.is_alone:
            chores.append(self._look_at_others())
        self._chores = [asyncio.get_running_loop().create_task(chore) for chore in chores]

    async def gained(self) -> None:
        """Some workspaces are this instance's now: what has to be done for them by itself is done here. Where that
        fails it is tried again. Raises StorageError; errors: ``overloaded``."""
        self._is_owing = True
        await self.services.documents.purge_own()
        await self.services.mounts.start()
        await self.services.imports.start()
        self._is_owing = False

    async def hand_over(self, are_mine: Callable[[str], bool]) -> None:
        """Returns when nothing is done by itself any more for other workspaces than those, but for what takes long: git
        may be at work, and then it ends by itself."""
        await asyncio.wait({self._let_go(are_mine)}, timeout=LETTING_GO_SECONDS)

    def drop(self) -> None:
        """Likewise at once, of what this instance does not hold any more: what is not finished does no harm."""
        self._let_go(self._part.holds)

    def _let_go(self, are_mine: Callable[[str], bool]) -> asyncio.Task[None]:
        async def let_go() -> None:
            await asyncio.gather(self.services.imports.keep_only(are_mine), self.services.mounts.keep_only(are_mine))

        self.services.past.forget_all()
        letting_go = asyncio.get_running_loop().create_task(let_go())
        self._letting_go.add(letting_go)
        letting_go.add_done_callback(self._letting_go.discard)
        return letting_go

    async def _look_at_others(self) -> None:
        while True:
            await asyncio.sleep(OTHERS_SECONDS)
            try:
                await self.keys.load()
                if self._is_owing:
                    await self.gained()
                await self.services.mounts.try_again()
                await self.services.imports.start()
            except (StorageError, CoscribeError, OSError) as error:
                log.warning("not_looked_at_others", error=str(error))

    async def _end_expired(self) -> None:
        """What ends by itself is felt like what is ended by somebody."""
        since = now()
        while True:
            await asyncio.sleep(EXPIRY_SECONDS)
            until = now()
            if not self._part.leads():
                since = until - LATE
                continue
            try:
                await self.services.links.end_expired(since, until)
                since = until
            except (StorageError, CoscribeError) as error:
                log.warning("expired_links_not_ended", error=str(error))

    async def _take_checkpoints(self) -> None:
        while True:
            await asyncio.sleep(CHECKPOINT_SECONDS)
            if not self._part.leads():
                continue
            try:
                await self.services.audits.take_due()
            except (StorageError, CoscribeError, OSError, ValueError) as error:
                log.warning("checkpoints_not_taken", error=str(error))

    async def stop(self) -> None:
        for chore in (*self._chores, *self._letting_go):
            chore.cancel()
        await self.services.imports.stop()
        await self.services.mounts.stop()
        await self._outbox.drain(MAIL_SECONDS)
        await self.services.external.close()
        await self._passwords.close()
        await self.authentication.close()
        await self.notes.close()
        await self.quotas.close()
        await self.database.close()


def _mailer(mail: MailSettings) -> Mailer:
    if not mail.host:
        return ConsoleMailer(lambda text: print(text, file=sys.stderr, flush=True))
    return SmtpMailer(mail.host, mail.port, mail.sender, user=mail.user, password=mail.password, security=mail.security)
