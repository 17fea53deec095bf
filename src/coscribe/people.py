"""The part of the composition root that is about people: accounts, rights, and the API over them."""

from __future__ import annotations

import asyncio
import secrets
import sys
import threading
import time
from importlib.metadata import version

import structlog
from argon2 import PasswordHasher

from coscribe.access.accounts import Accounts
from coscribe.access.administration import Administration
from coscribe.access.authentication import Admission, Authentication
from coscribe.access.directory import Directory
from coscribe.access.documents import Documents
from coscribe.access.events import Notes
from coscribe.access.external import ExternalSignIn
from coscribe.access.groups import Groups
from coscribe.access.ids import now
from coscribe.access.invitations import Invitations
from coscribe.access.keys import Keys
from coscribe.access.links import Links
from coscribe.access.mail import ConsoleMailer, Mailer, Outbox, SmtpMailer
from coscribe.access.members import Members
from coscribe.access.passwords import Passwords
from coscribe.access.quotas import StoredQuotas
from coscribe.access.requests import AccessRequests
from coscribe.access.retention import DocumentRetention, pruned_event
from coscribe.access.sessions import Sessions
from coscribe.access.throttle import LoginGuard
from coscribe.access.tokens import ApiTokens
from coscribe.access.versions import NamedVersions
from coscribe.api.app import make_api
from coscribe.api.route import Door
from coscribe.api.services import Services
from coscribe.config import MailSettings, Settings
from coscribe.core.errors import CoscribeError
from coscribe.documents.collaboration import Collaboration
from coscribe.documents.file_system import FileSystem
from coscribe.documents.history import History
from coscribe.documents.ports import OpLog, StorageError
from coscribe.documents.pruning import PrunedPart
from coscribe.gateway.auth import SignedTokens
from coscribe.gateway.gateway import Gateway
from coscribe.persistence.database import Database

log = structlog.get_logger(__name__)

EXPIRY_SECONDS = 0.5
"""How often it is looked whether a link's time is up."""

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
        self.database = Database(settings.database, turn)
        self.keys = Keys(secret, self.database, now)
        self.notes = Notes(self.database)
        self.authentication = Authentication(self.database, self.keys, SignedTokens(secret))
        self.admission = Admission(self.database, self.notes)
        self.quotas = StoredQuotas(self.database, settings.quotas)
        self._passwords = Passwords(hasher, workers=settings.password_workers or None)
        self._expiring: asyncio.Task[None] | None = None
        self._outbox = Outbox(mailer or _mailer(settings.mail))

    def open(self, collaboration: Collaboration, op_log: OpLog, gateway: Gateway) -> None:
        """Puts the services and the API together."""
        settings, database, changed = self._settings, self.database, gateway.access_changed
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
            Documents(database, changed, collaboration.forget, settings.quotas.documents),
            Members(database, changed),
            Groups(database, changed),
            Invitations(database, changed, self._outbox.put, public_url=settings.url),
            AccessRequests(database, changed, self._outbox.put, public_url=settings.url),
            NamedVersions(database),
            DocumentRetention(database, settings.retention_days),
            Links(database, changed, public_url=settings.url),
            Directory(database),
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
            FileSystem(collaboration),
            History(collaboration, op_log),
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

    def tell_pruned(self, part: PrunedPart) -> None:
        """Records that history was deleted because of its age."""
        self.notes.note(pruned_event("server", part))

    async def start(self) -> None:
        """Reads the keys; finishes what the end of the server before cut off."""
        await self.keys.load()
        await self.services.documents.purge()
        self._expiring = asyncio.get_running_loop().create_task(self._end_expired())

    async def _end_expired(self) -> None:
        """What ends by itself is felt like what is ended by somebody."""
        since = now()
        while True:
            await asyncio.sleep(EXPIRY_SECONDS)
            until = now()
            try:
                await self.services.links.end_expired(since, until)
                since = until
            except (StorageError, CoscribeError) as error:
                log.warning("expired_links_not_ended", error=str(error))

    async def stop(self) -> None:
        if self._expiring is not None:
            self._expiring.cancel()
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
