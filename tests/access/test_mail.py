"""Mail: both mailers keep the contract, the one by SMTP against a real server; and the outbox."""

from __future__ import annotations

import asyncio
import email.utils
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from coscribe.access.mail import ConsoleMailer, Mail, MailError, Outbox, SmtpMailer
from coscribe.metrics import metrics
from tests.access.smtp_server import Handler, smtp_server
from tests.contracts.mailer import MailerContract, Post

MAIL = Mail("ann@example.org", "Welcome", "your link: https://notes.example.org/reset/s3cr3t")
SENDER = "Coscribe <notes@example.org>"


def value(name: str) -> float:
    return metrics.registry.get_sample_value(name) or 0.0


class ConsolePost:
    def __init__(self) -> None:
        self.written: list[str] = []
        self.mailer = ConsoleMailer(self.written.append)

    def arrived(self) -> list[Mail]:
        mails = []
        for shown in self.written:
            top, to, subject, between, *text, bottom, end = shown.split("\n")
            assert (top[:6], between, bottom, end) == ("┌─ mai", "│ ", "└─", "")
            assert all(line.startswith("│ ") for line in text)
            lines = [line.removeprefix("│ ") for line in text]
            mails.append(
                Mail(to.removeprefix("│ To: "), subject.removeprefix("│ Subject: "), "\n".join(lines).rstrip("\n"))
            )
        return mails


class SmtpPost:
    def __init__(self, server: Handler) -> None:
        self._server = server
        self.mailer = SmtpMailer("127.0.0.1", server.port, SENDER, security="none")

    def arrived(self) -> list[Mail]:
        assert self._server.recipients == [[str(message["To"])] for message in self._server.messages]
        return [
            Mail(str(message["To"]), str(message["Subject"]), message.get_content().replace("\r\n", "\n").rstrip("\n"))
            for message in self._server.messages
        ]


class TestConsoleContract(MailerContract):
    @pytest.fixture
    def post(self) -> Post:
        return ConsolePost()


class TestSmtpContract(MailerContract):
    @pytest.fixture
    async def post(self) -> AsyncIterator[Post]:
        async with smtp_server() as server:
            yield SmtpPost(server)


class TestConsole:
    async def test_a_text_cannot_steer_the_terminal(self) -> None:
        post = ConsolePost()
        await post.mailer.send(Mail("ann@example.org", "Hi", "\x1b[2Jgone\rover\x9b5m\u202egnp\ud800"))
        assert post.arrived()[0].text == "\ufffd[2Jgone\ufffdover\ufffd5m\ufffdgnp\ufffd"

    async def test_each_mail_is_one_write_and_nothing_goes_to_a_log(self) -> None:
        post = ConsolePost()
        with capture_logs() as logs:
            await post.mailer.send(MAIL)
        assert len(post.written) == 1
        assert logs == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(certificate, key) for 127.0.0.1, signed by itself."""
    folder = tmp_path_factory.mktemp("certificate")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl to make a certificate")
    return certificate, key


@pytest.fixture
def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture
def client_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate[0]))


class TestSmtp:
    async def test_headers(self) -> None:
        async with smtp_server() as server:
            mailer = SmtpMailer(
                "127.0.0.1", server.port, SENDER, security="none", now=lambda: 1_700_000_000.0, token=lambda: "abc"
            )
            await mailer.send(MAIL)
        [message] = server.messages
        assert message["From"] == SENDER
        assert message["Message-ID"] == "<abc@example.org>"
        assert email.utils.parsedate_to_datetime(str(message["Date"])).timestamp() == 1_700_000_000
        assert message["Auto-Submitted"] == "auto-generated"
        assert message.get_content_type() == "text/plain"

    async def test_two_mails_have_ids_of_their_own(self) -> None:
        async with smtp_server() as server:
            mailer = SmtpMailer("127.0.0.1", server.port, SENDER, security="none")
            await mailer.send(MAIL)
            await mailer.send(MAIL)
        assert len({str(message["Message-ID"]) for message in server.messages}) == 2

    async def test_over_starttls_with_a_password(self, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
        async with smtp_server(starttls=server_tls, auth=True) as server:
            await SmtpMailer(
                "127.0.0.1", server.port, SENDER, user="coscribe", password="secret", tls_context=client_tls
            ).send(MAIL)
        assert server.over_tls == [True]

    async def test_over_tls_with_a_password(self, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
        async with smtp_server(tls=server_tls, auth=True) as server:
            mailer = SmtpMailer(
                *("127.0.0.1", server.port, SENDER),
                user="coscribe",
                password="secret",
                security="tls",
                tls_context=client_tls,
            )
            await mailer.send(MAIL)
        assert len(server.messages) == 1

    async def test_a_wrong_password_is_permanent(self, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
        async with smtp_server(starttls=server_tls, auth=True) as server:
            with pytest.raises(MailError, match="535") as caught:
                await SmtpMailer(
                    "127.0.0.1", server.port, SENDER, user="coscribe", password="wrong", tls_context=client_tls
                ).send(MAIL)
        assert caught.value.permanent
        assert "wrong" not in str(caught.value)

    async def test_it_never_falls_back_to_plain_text(self) -> None:
        async with smtp_server() as server:
            with pytest.raises(MailError):
                await SmtpMailer("127.0.0.1", server.port, SENDER).send(MAIL)
        assert server.messages == []

    async def test_a_certificate_nobody_vouches_for_is_refused(self, server_tls: ssl.SSLContext) -> None:
        async with smtp_server(starttls=server_tls) as server:
            with pytest.raises(MailError) as caught:
                await SmtpMailer("127.0.0.1", server.port, SENDER).send(MAIL)
        assert not caught.value.permanent
        assert server.messages == []

    @pytest.mark.parametrize(("reply", "permanent"), [("451 try later", False), ("554 never", True)])
    async def test_the_server_says_whether_to_try_again(self, reply: str, permanent: bool) -> None:
        async with smtp_server() as server:
            server.replies = [reply]
            with pytest.raises(MailError, match=reply[:3]) as caught:
                await SmtpPost(server).mailer.send(MAIL)
        assert caught.value.permanent is permanent

    async def test_an_unknown_recipient_is_permanent_and_not_named(self) -> None:
        async with smtp_server() as server:
            server.refused_recipient = MAIL.to
            with pytest.raises(MailError, match="550") as caught:
                await SmtpPost(server).mailer.send(MAIL)
        assert caught.value.permanent
        assert MAIL.to not in str(caught.value)

    async def test_nobody_listens(self) -> None:
        async with smtp_server() as server:
            post = SmtpPost(server)
        with pytest.raises(MailError) as caught:
            await post.mailer.send(MAIL)
        assert not caught.value.permanent

    async def test_a_server_that_says_nothing_is_given_up(self) -> None:
        writers: list[asyncio.StreamWriter] = []
        silent = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        with pytest.raises(MailError) as caught:
            await SmtpMailer("127.0.0.1", port, SENDER, security="none", timeout=0.05).send(MAIL)
        assert not caught.value.permanent
        silent.close()
        [writer] = writers
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def test_a_server_that_takes_its_time_at_every_step_is_given_up(self) -> None:
        async with smtp_server() as server:
            server.pause = 0.15
            with pytest.raises(MailError):
                await SmtpMailer("127.0.0.1", server.port, SENDER, security="none", timeout=0.2).send(MAIL)

    async def test_what_cannot_be_written_is_permanent(self) -> None:
        async with smtp_server() as server:
            with pytest.raises(MailError) as caught:
                await SmtpPost(server).mailer.send(Mail("ann@example.org", "Hi", "\ud800"))
        assert caught.value.permanent

    def test_settings_that_cannot_be_right_are_refused(self) -> None:
        with pytest.raises(ValueError, match="TLS"):
            SmtpMailer("localhost", 25, SENDER, user="coscribe", password="secret", security="none")
        two = "a@example.org, b@example.org"
        for sender in ("", "Coscribe", "a@example.org\nBcc: eve@example.org", "Cos\ncribe <a@example.org>", two):
            with pytest.raises(ValueError, match="sender"):
                SmtpMailer("localhost", 25, sender)


class SlowMailer:
    """Sends when it is let; ``errors`` come first."""

    def __init__(self, *errors: Exception, open_: bool = True) -> None:
        self.errors = list(errors)
        self.open = asyncio.Event()
        self.sent: list[Mail] = []
        self.tries = 0
        self.together = 0
        self.most_together = 0
        if open_:
            self.open.set()

    async def send(self, mail: Mail) -> None:
        self.tries += 1
        self.together += 1
        self.most_together = max(self.most_together, self.together)
        try:
            await self.open.wait()
        finally:
            self.together -= 1
        if self.errors:
            raise self.errors.pop(0)
        self.sent.append(mail)


class TestOutbox:
    async def test_a_mail_leaves_in_the_background(self) -> None:
        mailer = SlowMailer(open_=False)
        outbox = Outbox(mailer)
        before = value("coscribe_mails_sent_total")
        outbox.put(MAIL)
        assert value("coscribe_mails_waiting") == 1
        mailer.open.set()
        await outbox.drain(10)
        assert mailer.sent == [MAIL]
        assert value("coscribe_mails_sent_total") == before + 1
        assert value("coscribe_mails_waiting") == 0

    async def test_it_tries_three_times_more_and_waits_longer_each_time(self) -> None:
        mailer = SlowMailer(*[MailError("later")] * 9)
        pauses: list[float] = []

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)

        before = value("coscribe_mails_failed_total")
        outbox = Outbox(mailer, sleep=sleep)
        outbox.put(MAIL)
        await outbox.drain(10)
        assert (mailer.tries, mailer.sent) == (4, [])
        assert pauses == [2, 15, 60]
        assert value("coscribe_mails_failed_total") == before + 1

    async def test_a_mail_that_gets_through_later_is_sent_once(self) -> None:
        mailer = SlowMailer(MailError("later"), MailError("later"))
        outbox = Outbox(mailer, pauses=(0, 0, 0))
        before = value("coscribe_mails_failed_total")
        outbox.put(MAIL)
        await outbox.drain(10)
        assert mailer.sent == [MAIL]
        assert value("coscribe_mails_failed_total") == before

    @pytest.mark.parametrize("error", [MailError("never", permanent=True), RuntimeError(MAIL.text)])
    async def test_what_will_never_be_sent_is_not_tried_again_and_not_told(self, error: Exception) -> None:
        mailer = SlowMailer(error)
        outbox = Outbox(mailer, pauses=(0, 0, 0))
        before = value("coscribe_mails_failed_total")
        with capture_logs() as logs:
            outbox.put(MAIL)
            await outbox.drain(10)
        assert mailer.tries == 1
        assert value("coscribe_mails_failed_total") == before + 1
        assert [entry["event"] for entry in logs] == ["mail_not_sent"]
        assert "s3cr3t" not in str(logs)
        assert MAIL.to not in str(logs)

    async def test_a_mail_that_waits_for_its_next_try_does_not_hold_up_others(self) -> None:
        mailer = SlowMailer(*[MailError("later")] * 10)
        asleep, forever = asyncio.Semaphore(0), asyncio.Event()

        async def sleep(seconds: float) -> None:
            asleep.release()
            await forever.wait()

        outbox = Outbox(mailer, sleep=sleep)
        for _ in range(10):
            outbox.put(MAIL)
        for _ in range(10):
            await asleep.acquire()
        outbox.put(Mail("bob@example.org", "Hi", "text"))
        forever.set()
        await outbox.drain(10)
        assert mailer.sent[0].to == "bob@example.org"
        assert len(mailer.sent) == 11

    async def test_a_full_outbox_drops_what_comes_without_a_word_to_who_asked(self) -> None:
        mailer = SlowMailer(open_=False)
        outbox = Outbox(mailer)
        before = value("coscribe_mails_dropped_total")
        for _ in range(1_003):
            outbox.put(MAIL)
        assert value("coscribe_mails_waiting") == 1_000
        assert value("coscribe_mails_dropped_total") == before + 3
        await asyncio.sleep(0)  # all begin
        mailer.open.set()
        await outbox.drain(10)
        assert len(mailer.sent) == 1_000
        assert mailer.most_together == 4

    async def test_what_has_not_left_by_the_deadline_is_dropped(self) -> None:
        mailer = SlowMailer(open_=False)
        outbox = Outbox(mailer)
        before = value("coscribe_mails_dropped_total")
        for _ in range(6):
            outbox.put(MAIL)
        await outbox.drain(0)
        assert value("coscribe_mails_dropped_total") == before + 6
        assert value("coscribe_mails_waiting") == 0
        assert mailer.sent == []

    async def test_after_the_end_nothing_is_taken(self) -> None:
        mailer = SlowMailer()
        outbox = Outbox(mailer)
        await outbox.drain(10)
        before = value("coscribe_mails_dropped_total")
        outbox.put(MAIL)
        assert value("coscribe_mails_dropped_total") == before + 1
        assert value("coscribe_mails_waiting") == 0

    async def test_by_smtp_and_back_after_a_bad_moment(self) -> None:
        async with smtp_server() as server:
            server.replies = ["451 try later"]
            outbox = Outbox(SmtpPost(server).mailer, pauses=(0, 0, 0))
            outbox.put(MAIL)
            await outbox.drain(10)
        assert [str(message["To"]) for message in server.messages] == [MAIL.to]
