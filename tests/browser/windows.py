"""People in real browser windows, on a real server process.

A `Window` is one tab with one document open. Its text is asked of the page in two ways that must agree: what the editor
shows, and what the client holds. `Room.agree` waits until nobody has anything unsaved, then compares every window and
the server byte for byte.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, BrowserContext, CDPSession, Error, Page, async_playwright

from tests.e2e.people import PASSWORD, Account, People
from tests.e2e.server_process import ServerProcess

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE = 60.0
"""Seconds: ten times what anything here takes."""

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

_STATE = """() => {
  const place = document.querySelector('.co-editor');
  if (!place || !place.coscribe) return null;
  const { view, document: file } = place.coscribe;
  const { state, isSaved, unsent, sequence, heals, patches } = file.status;
  const shown = view.state.doc.toString(), text = file.text;
  return { state, isSaved, unsent, sequence, heals, patches, equal: shown === text, text };
}"""


_DIAGNOSTICS = """() => {
  const file = document.querySelector('.co-editor')?.coscribe?.document;
  return file ? JSON.stringify(file.diagnostics(), null, 1) : 'there is no editor';
}"""


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """Debian's Chromium, headless."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


class Window:
    """One tab of somebody, with a document open."""

    def __init__(self, who: Account, page: Page, troubles: list[str]) -> None:
        self.who = who
        self.page = page
        self.troubles = troubles

    async def state(self) -> dict[str, Any] | None:
        """Of the document: state, isSaved, unsent, sequence, heals, patches, text; None before there is an editor."""
        found: dict[str, Any] | None = await self.page.evaluate(_STATE)
        return found

    async def until(self, condition: str) -> None:
        """Waits until an expression of ``status`` and ``text`` of the document holds."""
        try:
            await eventually(
                self.page,
                "(() => { const place = document.querySelector('.co-editor'); if (!place?.coscribe) return false;"
                f" const {{ status, text }} = place.coscribe.document; return {condition}; }})()",
            )
        except AssertionError as error:
            said = await self.page.evaluate(_DIAGNOSTICS)
            shown = await self.page.inner_text("body")
            raise AssertionError(f"{error}\n\n{said}\n\n{self.page.url} shows:\n{shown}\n\n{self.troubles}") from None

    async def saved(self) -> None:
        await self.until("status.isSaved")

    async def kept(self) -> None:
        """Waits until what is unsent is stored on the device: a moment after it shows."""
        await self.page.evaluate("() => document.querySelector('.co-editor').coscribe.document.flush()")

    async def type(self, text: str) -> None:
        """As by keyboard, key by key, where the caret is."""
        await self.page.keyboard.type(text)

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.page.keyboard.press(key)

    async def caret(self, position: int) -> None:
        """Puts the caret there (UTF-16 units), as a click would."""
        await self.page.evaluate(
            "(at) => { const { view } = document.querySelector('.co-editor').coscribe; view.focus();"
            " view.dispatch({ selection: { anchor: at } }); }",
            position,
        )

    async def paste(self, text: str) -> None:
        """As from the clipboard: the page gets a paste event with this text."""
        await self.page.evaluate(
            "(text) => { const data = new DataTransfer(); data.setData('text/plain', text);"
            " const content = document.querySelector('.cm-content');"
            " content.dispatchEvent(new ClipboardEvent('paste',"
            " { clipboardData: data, bubbles: true, cancelable: true })); }",
            text,
        )

    async def devtools(self) -> CDPSession:
        return await self.page.context.new_cdp_session(self.page)


async def eventually(page: Page, condition: str) -> None:
    """Waits until an expression of the page holds, over reloads too. (`Page.wait_for_function` needs eval in the page,
    which its policy forbids.)"""
    script = f"""async () => {{
      const until = performance.now() + {PATIENCE * 1_000};
      while (!({condition})) {{
        if (performance.now() > until) return false;
        await new Promise((resolve) => setTimeout(resolve, 15));
      }}
      return true;
    }}"""
    for _ in range(5):
        try:
            held = await page.evaluate(script)
        except Error as error:
            if "navigat" not in str(error) and "context was destroyed" not in str(error):
                raise
            await page.wait_for_load_state()
        else:
            assert held, f"not within {PATIENCE} s: {condition}"
            return
    raise AssertionError(f"the page was loaded anew again and again while waiting for {condition}")


class Room:
    """A document, the server it is on, and the windows it is open in."""

    def __init__(self, server: ServerProcess, browser: Browser) -> None:
        self.server = server
        self.browser = browser
        self.people = People(server)
        self.windows: list[Window] = []
        self.document_id = ""
        self._accounts: dict[str, Account] = {}
        self._contexts: list[BrowserContext] = []

    def address(self, port: int = 0) -> str:
        """The page of the document, on the server's port or on that of something in front of it."""
        return f"http://127.0.0.1:{port or self.server.port}/d/{self.document_id}"

    async def begin(self, name: str = "Notes", text: str = "") -> Account:
        """``ada``, the administrator, makes the document."""
        owner = self._accounts["ada"] = await self.people.administrator("ada")
        made = await owner.done("POST", "/documents", {"name": name})
        self.document_id = str(made["documentId"])
        if text:
            await self.write(text)
        return owner

    async def write(self, text: str) -> None:
        """The document gets this text, by the owner's program."""
        owner = self._accounts["ada"]
        at = await owner.done("GET", f"/documents/{self.document_id}/content")
        answer = await self.people.client.put(
            f"/api/documents/{self.document_id}/content",
            content=text.encode(),
            headers={
                "Authorization": f"Bearer {owner.token}",
                "If-Match": f'"v{at["documentVersion"]}"',
                "Content-Type": "text/plain; charset=utf-8",
            },
        )
        assert answer.is_success, answer.text

    async def bring(self, text: str) -> None:
        """Goes on with another document of the owner, with a text of any size."""
        owner = self._accounts["ada"]
        answer = await self.people.client.post(
            "/api/documents/import?name=Notes",
            content=text.encode(),
            headers={"Authorization": f"Bearer {owner.token}", "Content-Type": "text/plain; charset=utf-8"},
        )
        assert answer.is_success, answer.text
        self.document_id = str(answer.json()["documentId"])

    async def account(self, handle: str, role: str = "editor") -> Account:
        """Somebody with that role in the document."""
        if handle not in self._accounts:
            owner = self._accounts["ada"]
            who = self._accounts[handle] = await self.people.sign_up(handle)
            path = f"/documents/{self.document_id}/invitations"
            invitation = await owner.done("POST", path, {"who": handle, "role": role})
            await who.done("POST", f"/invitations/{invitation['invitationId']}/accept")
        return self._accounts[handle]

    async def set_role(self, handle: str, role: str) -> None:
        owner, who = self._accounts["ada"], self._accounts[handle]
        path = f"/documents/{self.document_id}/members/{who.id}"
        rows = (await owner.done("GET", f"/documents/{self.document_id}/members"))["items"]
        assert any(row["memberId"] == who.id for row in rows)
        present = await owner.ask("GET", f"/documents/{self.document_id}")
        answer = await owner.ask("PUT", path, {"role": role}, **{"If-Match": present.headers["ETag"]})
        assert answer.is_success, answer.text

    async def context(self, handle: str, **options: Any) -> BrowserContext:
        """A browser profile in which somebody has signed in."""
        context = await self.browser.new_context(**options)
        self._contexts.append(context)
        answer = await context.request.post(
            f"{self.server.http}/api/session", data={"name": handle, "password": PASSWORD, "cookie": True}
        )
        assert answer.ok, await answer.text()
        return context

    async def join(
        self, handle: str, role: str = "editor", context: BrowserContext | None = None, through: int = 0
    ) -> Window:
        """Somebody opens the document in a window of a new profile (or of this one), and waits until it is live.

        ``through``: the port of a relay in front of the server."""
        who = await self.account(handle, role)
        page = await (context or await self.context(handle)).new_page()
        window = Window(who, page, watch(page))
        self.windows.append(window)
        await page.goto(self.address(through))
        await window.until("status.state === 'live'")
        return window

    async def text(self) -> str:
        """What the server has."""
        at = await self._accounts["ada"].done("GET", f"/documents/{self.document_id}/content")
        return str(at["text"])

    async def kinds(self) -> list[str]:
        """How the text was written, from left to right, by its history."""
        found = await self._accounts["ada"].done("GET", f"/documents/{self.document_id}/history/blame")
        return [run["kind"] for run in found["runs"]]

    async def agree(self, *, refused: Collection[Window] = ()) -> str:
        """Waits until everything is saved everywhere; then every window shows what the server has. Returns that.

        ``refused``: whose edits were refused, so that they had to fetch the text anew; all others must never have."""
        among = self.windows
        await asyncio.gather(*(window.saved() for window in among))
        at = await self._accounts["ada"].done("GET", f"/documents/{self.document_id}/content")
        await asyncio.gather(*(window.until(f"status.sequence >= {at['serverSequenceId']}") for window in among))
        for window in among:
            state = await window.state()
            assert state is not None
            assert state["equal"], f"{window.who.handle}: the editor shows another text than the client holds"
            assert state["text"].encode() == at["text"].encode(), f"{window.who.handle} has another text"
            assert state["heals"] == 0 or window in refused, f"{window.who.handle} had to correct itself"
        return str(at["text"])

    async def close(self) -> None:
        for context in self._contexts:
            await context.close()
        await self.people.close()


def watch(page: Page) -> list[str]:
    """What goes wrong in a page from here on: exceptions, errors on its console, breaches of its policy."""
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(f"exception: {error}"))

    def said(message: Any) -> None:
        # A server that is away or refuses is part of many stories; the browser logs each such request.
        if message.type == "error" and not message.text.startswith(("Failed to load resource", "WebSocket connection")):
            troubles.append(f"console: {message.text}")

    page.on("console", said)
    return troubles
