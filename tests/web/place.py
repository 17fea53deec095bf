"""A server process as people start it, and what they do before it."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.e2e.server_process import SECRET, ServerProcess
from tests.web.browser import PATIENCE, Browser, Page

PASSWORD = "correct horse battery staple"


class Place(ServerProcess):
    """``coscribe serve`` with all that it prints. Mail, which is printed too, is kept in a file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "data")
        self.setup_link = ""
        self._mail = folder / "mail.txt"

    def start(self) -> None:
        command = [sys.executable, "-m", "coscribe", "serve", "--port", str(self.port), "--data", str(self.folder)]
        environment = {**os.environ, "COSCRIBE_TOKEN_SECRET": SECRET, "COSCRIBE_RATE_FACTOR": "100", **self.environment}
        with self._mail.open("ab") as mail:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=mail, text=True, env=environment)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            link = re.search(r"http\S+/#setup=\S+", line)
            self.setup_link = link.group() if link else self.setup_link
            if line.startswith("Ctrl+C"):
                return
        raise AssertionError(f"the server did not start: {self._mail.read_text()}")

    async def link_in_mail(self, kind: str) -> str:
        """The newest link of a kind that a mail had, once there is one."""
        async with asyncio.timeout(PATIENCE):
            found: list[str] = []
            while not found:  # a file tells nobody that it has grown
                await asyncio.sleep(0.02)
                found = re.findall(rf"http\S+/#{kind}=\S+", self._mail.read_text())
        return found[-1]

    @asynccontextmanager
    async def as_program(self, handle: str) -> AsyncIterator[httpx.AsyncClient]:
        """A client of the API, signed in by bearer."""
        async with httpx.AsyncClient(base_url=f"{self.http}/api", trust_env=False, timeout=PATIENCE) as client:
            begun = await client.post("/session", json={"name": handle, "password": PASSWORD})
            client.headers["Authorization"] = f"Bearer {begun.raise_for_status().json()['accessToken']}"
            yield client

    # ---- in the browser

    async def set_up(self, browser: Browser) -> Page:
        """``Ada``, the first administrator, before her documents."""
        page = await browser.page()
        await page.go(self.setup_link)
        await fill_account(page, "Ada Lovelace", "ada")
        await page.click("Create the administrator")
        await page.see("No documents yet")
        return page

    async def sign_up(self, browser: Browser, name: str, handle: str, email: str = "") -> Page:
        """Somebody new, before their documents."""
        page = await browser.page()
        await page.go(f"{self.http}/#/sign-up")
        await fill_account(page, name, handle, email)
        await page.click("Create account")
        await page.see("No documents yet")
        return page


async def fill_account(page: Page, name: str, handle: str, email: str = "") -> None:
    await page.type("Your name", name)
    await page.type("Handle", handle)
    await page.type("Password", PASSWORD)
    if email:
        await page.type("E-mail", email)


async def make_document(page: Page, name: str, text: str) -> str:
    """Writes a new document and stays in it; returns its id."""
    await page.click("New document")
    await page.type("Name", name)
    await page.click("Create")
    await page.click("Edit")
    await page.insert(text)
    await page.click("Done")
    await page.wait("!document.querySelector('textarea')", "still being edited")
    await page.wait(f"{SHOWN} !== ''", "the text is not shown")
    return str(await page.run("location.hash.split('/').pop()"))


async def share(page: Page, who: str) -> None:
    """Invites somebody to the document that is open."""
    await page.click("Share")
    await page.type("Invite", who)
    await page.click("Invite")
    await page.see("Invited, no answer yet")
    await page.click("Close")


async def shown_once(page: Page) -> str:
    """The secret in the dialog that is open; closes it."""
    secret = await page.wait("document.querySelector('.secret')?.value", "no secret is shown")
    await page.click("Done")
    return str(secret)


SHOWN = "(document.querySelector('pre.text')?.textContent ?? '')"
"""The text that is shown, as an expression."""

TYPED = "(document.querySelector('textarea')?.value ?? '')"
"""The text that is being edited."""
