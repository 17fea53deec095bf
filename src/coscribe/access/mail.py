"""Mail: how a message leaves the server. What it says is decided elsewhere.

Requests put mails into the `Outbox` and go on: none of them waits for a mail server, and none takes longer because an
address exists. The outbox is in memory; what it holds when the process dies is lost, and people ask again.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from email.message import EmailMessage
from email.utils import formatdate, getaddresses
from typing import Literal, NamedTuple, Protocol

import aiosmtplib
import structlog

from coscribe.metrics import metrics

log = structlog.get_logger(__name__)

Security = Literal["starttls", "tls", "none"]

_ADDRESS = re.compile(r"[^\s\x00-\x1f\x7f@,:;<>()\[\]\\\"]{1,64}@[^\s\x00-\x1f\x7f@,:;<>()\[\]\\\"]{1,255}")
"""One bare address. Rarer forms, quoted ones or with comments, would let a second recipient in."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What could end a header, and what could steer or disguise a terminal: all but tabs and line ends in a text."""

_SENDS_AT_ONCE = 4


class Mail(NamedTuple):
    """One message of plain text to one address."""

    to: str
    subject: str
    text: str


class MailError(Exception):
    """A mail was not sent. ``permanent``: it will never be, so do not try again. Names no address and no text."""

    def __init__(self, detail: str, *, permanent: bool = False) -> None:
        super().__init__(detail)
        self.permanent = permanent


class Mailer(Protocol):
    """Sends mails; several `send` may run together."""

    async def send(self, mail: Mail) -> None:
        """Returns when the mail has been handed on. Raises MailError; a mail of unknown fate counts as not sent."""


class ConsoleMailer:
    """`Mailer` for a server without mail: shows each one to its operator through ``write``, and never in a log."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    async def send(self, mail: Mail) -> None:
        _refuse_injection(mail)
        shown = f"To: {mail.to}\nSubject: {mail.subject}\n\n{mail.text}"
        lines = _CONTROL_IN_TEXT.sub("\N{REPLACEMENT CHARACTER}", shown).split("\n")
        framed = "".join(f"│ {line}\n" for line in lines)  # so that no text can look like the end of its frame
        self._write(f"┌─ mail (not sent: no mail server is set up)\n{framed}└─\n")


class SmtpMailer:
    """`Mailer` over an SMTP server, a connection for each mail.

    ``security``: ``starttls`` and ``tls`` never fall back to plain text, and check the server's certificate (with
    ``tls_context``, if given). ``sender`` is the From header: ``Coscribe <notes@example.org>``. ``timeout`` seconds
    are for the whole of a mail. Raises ValueError for settings that would send a password in plain text, and for a
    sender that is no address.
    """

    def __init__(
        self,
        host: str,
        port: int,
        sender: str,
        *,
        user: str = "",
        password: str = "",
        security: Security = "starttls",
        timeout: float = 20.0,
        tls_context: ssl.SSLContext | None = None,
        now: Callable[[], float] = time.time,
        token: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        if user and security == "none":
            raise ValueError("a password goes over TLS only")
        addresses = [address for _, address in getaddresses([sender])]
        if _CONTROL.search(sender) or len(addresses) != 1 or not _ADDRESS.fullmatch(addresses[0]):
            raise ValueError("the sender is not one address")
        self._host = host
        self._port = port
        self._sender = sender
        self._domain = addresses[0].partition("@")[2]
        self._user = user
        self._password = password
        self._security = security
        self._timeout = timeout
        self._tls_context = tls_context
        self._now = now
        self._token = token

    async def send(self, mail: Mail) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await aiosmtplib.send(
                    self._message(mail),
                    hostname=self._host,
                    port=self._port,
                    username=self._user or None,
                    password=self._password or None,
                    use_tls=self._security == "tls",
                    start_tls=self._security == "starttls",
                    tls_context=self._tls_context,
                    timeout=self._timeout,
                )
        except (aiosmtplib.SMTPException, OSError, UnicodeError) as error:
            detail = f"{type(error).__name__}: {error}".replace(mail.to, "(the address)")
            raise MailError(detail, permanent=_is_permanent(error)) from None

    def _message(self, mail: Mail) -> EmailMessage:
        _refuse_injection(mail)
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = mail.to
        message["Subject"] = mail.subject
        message["Date"] = formatdate(self._now())
        message["Message-ID"] = f"<{self._token()}@{self._domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(mail.text)
        return message


class Outbox:
    """Mails on their way: sent in the background, tried again after ``pauses`` seconds each.

    Holds at most ``max_waiting``; a mail beyond that is dropped, counted and logged, since telling the request would
    tell it that the address exists.
    """

    def __init__(
        self,
        mailer: Mailer,
        *,
        max_waiting: int = 1_000,
        pauses: Sequence[float] = (2.0, 15.0, 60.0),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._mailer = mailer
        self._max_waiting = max_waiting
        self._pauses = pauses
        self._sleep = sleep
        self._slots = asyncio.Semaphore(_SENDS_AT_ONCE)
        self._deliveries: set[asyncio.Task[None]] = set()
        self._closed = False

    def put(self, mail: Mail) -> None:
        """Takes a mail in and returns at once; says nothing of what becomes of it."""
        if self._closed or len(self._deliveries) >= self._max_waiting:
            self._drop(1, "shutting down" if self._closed else "the outbox is full")
            return
        delivery = asyncio.get_running_loop().create_task(self._deliver(mail))
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._ended)
        metrics.mails_waiting.set(len(self._deliveries))

    async def drain(self, seconds: float) -> None:
        """Takes no more, gives what is in it so many seconds to leave, and drops the rest."""
        self._closed = True
        if self._deliveries:
            _, late = await asyncio.wait(self._deliveries, timeout=seconds)
            for delivery in late:
                delivery.cancel()
            if late:
                await asyncio.wait(late)
                self._drop(len(late), "shutting down")

    async def _deliver(self, mail: Mail) -> None:
        """Tries until it is sent or given up. Between tries others have their turn."""
        for pause in (*self._pauses, None):
            error = await self._try(mail)
            if error is None:
                metrics.mails_sent.inc()
                return
            log.warning("mail_not_sent", error=str(error))
            if error.permanent or pause is None:
                break
            await self._sleep(pause)
        metrics.mails_failed.inc()

    async def _try(self, mail: Mail) -> MailError | None:
        try:
            async with self._slots:
                await self._mailer.send(mail)
        except MailError as error:
            return error
        except Exception as error:  # without its text and frames: they may hold what the mail says
            return MailError(type(error).__name__, permanent=True)
        return None

    def _ended(self, delivery: asyncio.Task[None]) -> None:
        self._deliveries.discard(delivery)
        metrics.mails_waiting.set(len(self._deliveries))

    def _drop(self, count: int, why: str) -> None:
        metrics.mails_dropped.inc(count)
        log.error("mails_dropped", count=count, why=why)


def _refuse_injection(mail: Mail) -> None:
    if not _ADDRESS.fullmatch(mail.to):
        raise MailError("the recipient is not one bare address", permanent=True)
    if _CONTROL.search(mail.subject) or "=?" in mail.subject:  # "=?" begins an encoded word, which may hold anything
        raise MailError("the subject holds control characters", permanent=True)


def _is_permanent(error: Exception) -> bool:
    """Nobody can write this mail down, or the server has said that it never will take it: a reply of 500 and more."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return all(_is_permanent(refused) for refused in error.recipients)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return error.code >= 500
    return isinstance(error, UnicodeError)
