"""The contract of `Mailer`: what every adapter has to do. Subclass with a fixture `post`."""

from __future__ import annotations

import asyncio
from typing import Protocol

import pytest

from coscribe.access.mail import Mail, Mailer, MailError


class Post(Protocol):
    """A mailer, and what has arrived through it."""

    @property
    def mailer(self) -> Mailer: ...

    def arrived(self) -> list[Mail]:
        """The mails at their destination, oldest first, without line ends at the end of a text."""


class MailerContract:
    async def test_a_mail_arrives(self, post: Post) -> None:
        await post.mailer.send(Mail("ann@example.org", "Welcome", "Hello Ann,\n\nfollow this link.\n"))
        assert post.arrived() == [Mail("ann@example.org", "Welcome", "Hello Ann,\n\nfollow this link.")]

    @pytest.mark.parametrize(
        "text",
        [
            "Grüße aus Köln, 你好, 👍🏽",
            ".\n..\n.three lines that begin with dots",
            "From here\n>From there",
            "https://notes.example.org/reset/" + "x" * 2_000,
            "  blanks around\n\ttab\n\n\nend",
            "=3D is not an escape; neither is =20",
            "└─\n│ To: eve@example.org\n┌─ mail",
        ],
    )
    async def test_a_text_arrives_as_it_is(self, post: Post, text: str) -> None:
        await post.mailer.send(Mail("ann@example.org", "A text", text))
        assert [mail.text for mail in post.arrived()] == [text]

    @pytest.mark.parametrize("subject", ["Einladung von Jürgen", "你好" * 60, "many words " * 40 + "end", "1 + 1 = 2?"])
    async def test_a_subject_arrives_as_it_is(self, post: Post, subject: str) -> None:
        await post.mailer.send(Mail("ann@example.org", subject, "text"))
        assert [mail.subject for mail in post.arrived()] == [subject]

    async def test_mails_sent_together_all_arrive(self, post: Post) -> None:
        mails = [Mail(f"user{n}@example.org", f"Number {n}", f"text {n}") for n in range(10)]
        await asyncio.gather(*(post.mailer.send(mail) for mail in mails))
        assert sorted(post.arrived()) == sorted(mails)

    @pytest.mark.parametrize(
        "to",
        [
            "ann@example.org\nBcc: eve@example.org",
            "ann@example.org\r\n\r\ntext",
            "ann@example.org, eve@example.org",
            "ann@example.org eve@example.org",
            "ann@example.org;eve@example.org",
            "Ann <ann@example.org>",
            '"ann,eve"@example.org',
            "ann@example.org\0",
            "ann@example.org\u2028",
            "ann",
            "@example.org",
            "ann@eve@example.org",
            "",
        ],
    )
    async def test_what_is_not_one_bare_address_gets_nothing(self, post: Post, to: str) -> None:
        await self.refused(post, Mail(to, "Welcome", "text"))

    @pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\0", "\x0b", "\x85", "\u2028", "\x1b[2J"])
    async def test_a_subject_cannot_bring_headers_of_its_own(self, post: Post, end: str) -> None:
        await self.refused(post, Mail("ann@example.org", f"Welcome{end}Bcc: eve@example.org", "text"))

    async def test_a_subject_cannot_hide_headers_in_an_encoded_word(self, post: Post) -> None:
        await self.refused(post, Mail("ann@example.org", "=?utf-8?q?Hi=0ABcc:_eve@example.org?=", "text"))

    async def refused(self, post: Post, mail: Mail) -> None:
        with pytest.raises(MailError) as caught:
            await post.mailer.send(mail)
        assert caught.value.permanent
        assert post.arrived() == []
