"""A server as people start it, with all that it prints, and visitors before its pages.

    with serving(folder) as place:
        async with visiting(place) as visitors:
            page = await visitors.page()            # somebody unknown: cookies and storage of their own
            await page.goto(place.setup_link)
            ada = await visitors.page("ada")        # somebody with an account, signed in

Locators are made of names that people see or hear: `button(page, "Share")`, `field(page, "Password")`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.async_api import Browser, BrowserContext, Locator, Page

from tests.browser.windows import CHROMIUM, PATIENCE, eventually, open_browser, watch
from tests.e2e.people import PASSWORD, Account, People
from tests.e2e.server_process import SECRET, ServerProcess

SCREEN = {"width": 1280, "height": 800}


class Place(ServerProcess):
    """``coscribe serve``. Mail, which is printed too, is kept in a file."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        super().__init__(folder / "data", environment={"COSCRIBE_RATE_FACTOR": "100", **environment})
        self.setup_link = ""
        self._mail = folder / "mail.txt"

    def start(self) -> None:
        command = [sys.executable, "-m", "coscribe", "serve", "--port", str(self.port), "--data", str(self.folder)]
        environment = {**os.environ, "COSCRIBE_TOKEN_SECRET": SECRET, **self.environment}
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


@contextmanager
def serving(folder: Path, **environment: str) -> Iterator[Place]:
    """A server on an empty folder."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium: run `python tools/system_packages.py`")
    if not files("coscribe.web").joinpath("built", "index.html").is_file():
        pytest.fail("the web editor is not built: run `make setup`")
    place = Place(folder, environment)
    try:
        place.start()
        yield place
        place.stop()
    finally:
        place.kill()


@contextmanager
def administered(folder: Path) -> Iterator[Place]:
    """A server that ``ada`` has set up; everything it has written is verified in the end."""

    async def begin(place: Place) -> None:
        people = People(place)
        await people.administrator("ada")
        await people.close()

    with serving(folder) as place:
        asyncio.run(begin(place))
        yield place
    command = [sys.executable, "-m", "coscribe", "verify", "--data", str(place.folder)]
    verified = subprocess.run(command, capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr


class Visitors:
    """Everybody before the pages of one server. Accounts are made by the API, unless a story is about making them."""

    def __init__(self, place: ServerProcess, browser: Browser) -> None:
        self.place = place
        self.browser = browser
        self.people = People(place)
        self.troubles: dict[str, list[str]] = {}
        self._contexts: list[BrowserContext] = []

    @property
    def pages(self) -> list[Page]:
        return [page for context in self._contexts for page in context.pages]

    async def page(self, handle: str = "", **options: Any) -> Page:
        """A tab in a new browser profile, of somebody unknown or of a person who has signed in; at no address yet.
        Without a service worker, which would fetch the whole application for each of them."""
        usual = {"viewport": SCREEN, "reduced_motion": "reduce", "service_workers": "block"}
        context = await self.browser.new_context(**{**usual, **options})
        context.set_default_timeout(PATIENCE * 1_000)
        self._contexts.append(context)
        if handle:
            answer = await context.request.post(
                f"{self.place.http}/api/session", data={"name": handle, "password": PASSWORD, "cookie": True}
            )
            assert answer.ok, await answer.text()
            begun = await answer.json()
            greeted = json.dumps(begun["userId"])
            await context.add_init_script(f"localStorage.setItem('coscribe.greeted', {greeted})")
        return await self.tab(context, handle or "somebody")

    async def tab(self, context: BrowserContext, name: str) -> Page:
        """One more tab of a profile."""
        page = await context.new_page()
        self.troubles[f"{name} ({len(self.troubles)})"] = watch(page)
        return page

    async def account(self, handle: str, name: str = "") -> Account:
        """Somebody new."""
        who = await self.people.sign_up(handle)
        if name:
            await who.done("PATCH", "/account", {"displayName": name})
        return who

    async def document(self, owner: Account, name: str, text: str = "", **roles: Account) -> str:
        """A new document with a text and members: ``editor=ben``. Returns its id."""
        made = await owner.done("POST", "/documents", {"name": name})
        document_id = str(made["documentId"])
        if text:
            await write(owner, document_id, text)
        await self._join(owner, document_id, roles)
        return document_id

    async def workspace(self, owner: Account, name: str, files: dict[str, str], **roles: Account) -> str:
        """A new workspace with texts by path, and members. Returns its id."""
        made = await owner.done("POST", "/workspaces", {"name": name})
        workspace_id = str(made["documentId"])
        fs = f"/workspace/{workspace_id}/fs"
        folders = {"/".join(path.split("/")[:depth]) for path in files for depth in range(1, path.count("/") + 1)}
        for folder in sorted(folders):
            await owner.done("POST", f"{fs}/mkdir", {"path": folder})
        for path, text in files.items():
            answer = await owner.ask("PUT", f"{fs}/write?path={quote(path)}", text=text, **{"If-None-Match": "*"})
            assert answer.is_success, answer.text
        await self._join(owner, workspace_id, roles)
        return workspace_id

    async def _join(self, owner: Account, document_id: str, roles: dict[str, Account]) -> None:
        for role, who in roles.items():
            invitation = await owner.done(
                "POST", f"/documents/{document_id}/invitations", {"who": who.handle, "role": role}
            )
            await who.done("POST", f"/invitations/{invitation['invitationId']}/accept")

    async def close(self) -> None:
        for context in self._contexts:
            await context.close()
        await self.people.close()


@asynccontextmanager
async def visiting(place: ServerProcess) -> AsyncIterator[Visitors]:
    """No page may have had a trouble in the end. What goes wrong is told with what every page shows at that moment."""
    async with open_browser() as browser:
        visitors = Visitors(place, browser)
        try:
            yield visitors
        except BaseException as error:
            for page in visitors.pages:
                error.add_note(f"{page.url} shows:\n{await page.locator('body').inner_text()}\n")
            raise
        finally:
            await visitors.close()
        assert {name: troubles for name, troubles in visitors.troubles.items() if troubles} == {}


async def write(who: Account, document_id: str, text: str) -> None:
    """At the beginning of a document's text, as one edit of a program."""
    content = await who.done("GET", f"/documents/{document_id}/content")
    version = content["documentVersion"]
    edit = {"operationId": f"{who.handle}:{version}", "operationType": "insert", "position": 0, "payload": text}
    await who.done("POST", f"/documents/{document_id}/operations", {"baseVersion": version, "operations": [edit]})


# ---- what is on a page


def button(page: Page | Locator, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def link(page: Page | Locator, name: str) -> Locator:
    return page.get_by_role("link", name=name, exact=True)


def heading(page: Page | Locator, name: str) -> Locator:
    return page.get_by_role("heading", name=name, exact=True)


def field(page: Page | Locator, label: str) -> Locator:
    """An input by the beginning of its label; required ones have a mark behind it."""
    inputs = page.locator("input:visible, textarea:visible, select:visible")
    return inputs.and_(page.get_by_label(re.compile(f"^{re.escape(label)}")))


def dialog(page: Page, title: str = "") -> Locator:
    """The one of this title, or the only one."""
    return page.get_by_role("dialog", name=title, exact=True) if title else page.get_by_role("dialog")


async def see(page: Page | Locator, text: str) -> None:
    await page.get_by_text(text).first.wait_for()


async def choose(page: Page, menu: str, item: str) -> None:
    """Opens a menu and chooses from it."""
    await button(page, menu).click()
    await page.get_by_role("menuitem", name=item, exact=True).click()


async def in_editor(page: Page, condition: str) -> None:
    """Waits until an expression of ``text``, as the editor shows it, and ``status`` of the document holds."""
    await eventually(
        page,
        "(() => { const place = document.querySelector('.co-editor'); if (!place?.coscribe) return false;"
        " const text = place.coscribe.view.state.doc.toString(), { status } = place.coscribe.document;"
        f" return {condition}; }})()",
    )


async def shows(page: Page, text: str) -> None:
    """Waits until the editor shows this text, live."""
    await in_editor(page, f"text === {json.dumps(text)} && status.state === 'live'")


async def fill_account(page: Page, name: str, handle: str, email: str = "") -> None:
    await field(page, "Your name").fill(name)
    await field(page, "Handle").fill(handle)
    await field(page, "Password").fill(PASSWORD)
    if email:
        await field(page, "E-mail").fill(email)


async def set_up(place: Place, visitors: Visitors) -> Page:
    """``Ada``, the first administrator, before her documents."""
    page = await visitors.page()
    await page.goto(place.setup_link)
    await fill_account(page, "Ada Lovelace", "ada")
    await button(page, "Create the administrator").click()
    await greeted(page)
    return page


async def sign_up(visitors: Visitors, name: str, handle: str, email: str = "") -> Page:
    """Somebody new, before their documents."""
    page = await visitors.page()
    await page.goto(f"{visitors.place.http}/sign-up")
    await fill_account(page, name, handle, email)
    await button(page, "Create account").click()
    await greeted(page)
    return page


async def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    await field(page, "Handle or e-mail").fill(name)
    await field(page, "Password").fill(password)
    await button(page, "Sign in").click()


async def greeted(page: Page) -> None:
    """Waits for the document that a new account begins with, and goes on to the list of all."""
    await page.wait_for_url("**/d/*")
    await in_editor(page, "text !== '' && status.isSaved")
    await link(page, "To the documents").click()
    await heading(page, "Documents").wait_for()


async def make_document(page: Page, name: str, text: str) -> str:
    """Writes a new document, from the list, and stays in it; returns its id."""
    await button(page, "New document").click()
    await field(dialog(page), "Name").fill(name)
    await button(dialog(page), "Create").click()
    await page.wait_for_url("**/d/*")
    await shows(page, "")
    await page.keyboard.type(text)
    await in_editor(page, f"text === {json.dumps(text)} && status.isSaved")
    return page.url.rpartition("/")[2]


async def share(page: Page, who: str) -> None:
    """Invites somebody to edit the document that is open."""
    await button(page, "Share").click()
    await field(dialog(page), "Invite").fill(who)
    await button(dialog(page), "Invite").click()
    await heading(dialog(page), "Invited, no answer yet").wait_for()
    await page.keyboard.press("Escape")
    await dialog(page).wait_for(state="hidden")


async def shown_once(page: Page) -> str:
    """The secret in the dialog on top; closes it."""
    secret = await dialog(page).locator("input[readonly]").input_value()
    await button(page, "Done").click()
    await button(page, "Done").wait_for(state="hidden")
    return secret
