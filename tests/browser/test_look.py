"""A walk through every page, in light and in dark: a screenshot of each, and no barrier that axe-core calls serious.

`COSCRIBE_SCREENSHOTS=1 pytest tests/browser/test_look.py` writes them to docs/screenshots, else they go to the test's
own folder. Names, colours and texts are fixed, and nothing moves; only moments differ from run to run.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import FilePayload, Locator, Page

from tests.browser.places import (
    Place,
    Visitors,
    button,
    choose,
    dialog,
    field,
    fill_account,
    heading,
    in_editor,
    link,
    see,
    serving,
    shows,
    visiting,
)
from tests.e2e.people import Account

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"

CHAPTER = """# The lighthouse

The keeper climbs the stairs every evening, one hundred and
ninety-one of them, and counts them every time.

- oil for the lamp
- bread, cheese, two apples
- the blue notebook

"""
LAMP = '''"""The lamp turns once in twelve seconds."""

from time import monotonic

TURN = 12.0


def angle(since: float) -> float:
    """Where it shines, in degrees from north."""
    return (monotonic() - since) / TURN * 360 % 360
'''
MORE = """> Write down what the sea says, and nothing else.

At night the *light* turns slowly, and ships far out turn with it.
"""
LAST = """The storm came on a Tuesday. It had **no name**, which is unusual.
"""


class Look:
    """What is wrong is collected, so that one run tells of every page."""

    def __init__(self, folder: Path) -> None:
        self.barriers: list[str] = []
        self._folder = folder
        self._axe = AXE.read_text()
        self._schemes: list[Literal["light", "dark"]] = ["light", "dark"]

    async def at(self, page: Page, name: str, *, picture: bool = True) -> None:
        """The page as it is now, in light and in dark; small dialogs need no picture of their own."""
        await page.evaluate(self._axe)
        self._schemes.reverse()  # the one that it was in comes first
        for scheme in self._schemes:
            await page.emulate_media(color_scheme=scheme)
            await page.locator(f":root[data-mantine-color-scheme={scheme}]").wait_for(state="attached")
            await page.evaluate(
                "() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
            )
            if picture:
                await page.screenshot(path=self._folder / f"{name}-{scheme}.png", animations="disabled", caret="hide")
            for found in await page.evaluate(_AXE_RUN, scheme):
                if found["impact"] in ("serious", "critical"):
                    self.barriers.append(f"{name}-{scheme}: {_told(found)}")


_AXE_RUN = """async (scheme) => {  // in the dark there are other colours, and nothing else
  const rules = scheme === 'dark' ? { runOnly: ['color-contrast'] } : {};
  return (await axe.run({ ...rules, preload: false, resultTypes: ['violations'] })).violations;
}"""


def _told(found: dict[str, Any]) -> str:
    where = [" ".join(node["target"]) + " " + node["failureSummary"].splitlines()[-1] for node in found["nodes"][:4]]
    return f"{found['help']} ({found['id']}): {'; '.join(where)}"


@pytest.fixture
def look(tmp_path: Path) -> Look:
    folder = ROOT / "docs" / "screenshots" if os.environ.get("COSCRIBE_SCREENSHOTS") else tmp_path / "screenshots"
    folder.mkdir(exist_ok=True)
    return Look(folder)


async def test_every_page_in_light_and_dark(tmp_path: Path, look: Look) -> None:
    with serving(tmp_path) as place:
        async with visiting(place) as visitors:
            ada = await entrance(place, visitors, look)
            ben = await visitors.account("ben", "Ben Okafor")
            cleo = await visitors.account("cleo", "Cleo Marsh")
            for who, color in ((ada, "#3b5bdb"), (ben, "#2b8a3e"), (cleo, "#c2255c")):
                await who.done("PATCH", "/account", {"color": color})
            page = await visitors.page("ada")
            document_id = await documents(page, place, visitors, look, ada, ben)
            await editor(page, place, visitors, look, document_id, ada, cleo)
            await past(page, look)
            await files(page, place, visitors, look, ada, ben)
            await own_pages(page, look, ada)
            await administration(page, look, ada)
            await states(place, visitors, look, ada, ben)
    assert not look.barriers, "\n".join(look.barriers)


async def entrance(place: Place, visitors: Visitors, look: Look) -> Account:
    page = await visitors.page()
    await page.goto(place.http)
    await heading(page, "Almost ready").wait_for()
    await look.at(page, "set-up-missing")
    await page.goto(place.setup_link)
    await fill_account(page, "Ada Lovelace", "ada", "ada@example.org")
    await look.at(page, "set-up")
    ada = await visitors.people.administrator("ada")
    await ada.done("PATCH", "/account", {"displayName": "Ada Lovelace"})
    await page.goto(f"{place.http}/sign-in")
    await page.reload()
    await heading(page, "Sign in").wait_for()
    await field(page, "Password").fill("wrong")
    await field(page, "Handle or e-mail").fill("ada")
    await button(page, "Sign in").click()
    await page.get_by_role("alert").wait_for()
    await look.at(page, "sign-in")
    await link(page, "Create an account").click()
    await field(page, "Your name").wait_for()
    await look.at(page, "sign-up")
    await page.goto(f"{place.http}/reset")
    await field(page, "E-mail").wait_for()
    await look.at(page, "recover")
    return ada


async def documents(page: Page, place: Place, visitors: Visitors, look: Look, ada: Account, ben: Account) -> str:
    """Returns the document that has a text."""
    await page.goto(place.http)
    await see(page, "No documents yet.")
    await look.at(page, "documents-empty")
    for name in ("Minutes of the spring meeting", "Recipes.md", "tide_tables.py"):
        await visitors.document(ada, name, "A text.\n")
    archived = await visitors.document(ada, "Old plans", "A text.\n")
    await ada.done("POST", f"/documents/{archived}/archive")
    trashed = await visitors.document(ada, "A bad idea", "A text.\n")
    await ada.done("POST", f"/documents/{trashed}/trash")
    document_id = await visitors.document(ada, "The lighthouse.md", CHAPTER, editor=ben)
    invited = await ben.done("POST", "/documents", {"name": "Reading list"})
    await ben.done("POST", f"/documents/{invited['documentId']}/invitations", {"who": "ada", "role": "editor"})
    await visitors.document(ben, "Harbour budget", "A text.\n", viewer=ada)
    await page.reload()
    await link(page, "Harbour budget").wait_for()
    await see(page, "invites you to")
    await look.at(page, "documents")
    await button(page, "New document").click()
    await field(dialog(page), "Name").wait_for()
    await look.at(page, "new-document", picture=False)
    await page.keyboard.press("Escape")
    await link(page, "Trash").click()
    await see(page, "A bad idea")
    await look.at(page, "trash")
    async with page.expect_file_chooser() as chooser:
        await button(page, "Import").click()
    files = {"notes.md": b"# Notes\n", "a photograph.txt": b"\xff\xfe\0", "todo.txt": b"one\n"}
    await (await chooser.value).set_files(
        [FilePayload(name=n, mimeType="text/plain", buffer=b) for n, b in files.items()]
    )
    await see(dialog(page), "2 of 3 imported.")
    await look.at(page, "import")
    await button(dialog(page), "Done").click()
    return document_id


async def editor(
    page: Page, place: Place, visitors: Visitors, look: Look, document_id: str, ada: Account, cleo: Account
) -> None:
    await page.goto(f"{place.http}/d/{document_id}")
    await shows(page, CHAPTER)
    other = await visitors.page("ben")
    await other.goto(f"{place.http}/d/{document_id}")
    await shows(other, CHAPTER)
    await other.keyboard.press("Control+End")
    await other.keyboard.insert_text(MORE)
    await in_editor(other, "status.isSaved")
    await other.keyboard.press("ArrowUp")
    await other.keyboard.press("Shift+End")
    await shows(page, CHAPTER + MORE)
    await button(page, "State: Saved").wait_for()
    await page.locator(".co-selection").first.wait_for()
    await page.locator(".co-caret-name-shown").wait_for()
    await look.at(page, "editor")
    await page.keyboard.press("Control+f")
    await page.locator(".cm-search").wait_for()
    await page.keyboard.type("the")
    await look.at(page, "editor-find")
    await page.keyboard.press("Escape")
    await button(page, "One other person is here").click()
    await see(page.get_by_role("list", name="Who is here"), "Ben Okafor")
    await look.at(page, "editor-people")
    await page.keyboard.press("Escape")
    await button(page, "More").click()
    await page.get_by_role("menuitem", name="History").wait_for()
    await look.at(page, "editor-menu")
    await page.keyboard.press("Escape")

    await cleo.done("POST", f"/documents/{document_id}/access-requests", {"message": "May I read it?"})
    await ada.done("POST", f"/documents/{document_id}/invitations", {"who": "dan@example.org", "role": "viewer"})
    await button(page, "Share").click()
    await see(dialog(page), "Invited, no answer yet")
    await button(dialog(page), "Make a link").click()
    await button(page, "Copy").wait_for()
    await look.at(page, "share-link", picture=False)
    await button(page, "Done").click()
    await button(page, "Done").wait_for(state="hidden")
    await button(dialog(page), "Switch off").wait_for()
    await heading(dialog(page), "Asking for access").scroll_into_view_if_needed()
    await look.at(page, "share")
    await page.keyboard.press("Escape")
    await dialog(page).wait_for(state="hidden")
    await page.context.set_offline(True)
    await button(page, "State: Offline").wait_for()
    await page.locator(".cm-content").focus()
    await page.keyboard.press("Control+End")
    await page.keyboard.insert_text(LAST)
    await button(page, "State: Offline – 1 edit kept on this device").click()
    await look.at(page, "offline")
    await page.keyboard.press("Escape")
    await page.context.set_offline(False)
    await in_editor(page, "status.isSaved && status.state === 'live'")
    await other.close()
    await ada.done("POST", f"/documents/{document_id}/history/names", {"version": 3, "name": "First draft"})


async def past(page: Page, look: Look) -> None:
    await choose(page, "More", "History")
    await page.get_by_role("list", name=re.compile("^Editing sessions")).get_by_text("Ben Okafor").first.wait_for()
    await heading(page, "Named versions").wait_for()
    await button(page, "One edit back").click()
    await page.get_by_text(re.compile("^Version 2 of 3")).wait_for()
    await look.at(page, "history")
    await button(page, "Who wrote this").click()
    await see(page.get_by_role("list", name="Authors"), "Ben Okafor")
    await look.at(page, "history-who")
    await button(page, "Compare").click()
    await field(page, "From version").fill("1")
    await button(page.get_by_role("region", name="Compare two versions"), "Compare").click()
    await page.locator(".cm-changedLine, .cm-insertedLine").first.wait_for()
    await look.at(page, "history-compare")


TREE = {
    "README.md": "# The lighthouse\n\nLog books, plans, and the program of the lamp.\n",
    "log/2024.md": "A quiet year.\n",
    "log/2025.md": "The storm came on a Tuesday.\n",
    "plans/ground floor.md": "A kitchen and a coal store.\n",
    "src/lamp/__init__.py": "",
    "src/lamp/turning.py": LAMP,
    "src/lamp/fog_horn.py": "def blow() -> None:\n    print('booo')\n",
    "src/tests/test_turning.py": "def test_a_turn_takes_twelve_seconds() -> None: ...\n",
    "tides.csv": "day,high,low\n1,4.1,0.9\n",
}


async def files(page: Page, place: Place, visitors: Visitors, look: Look, ada: Account, ben: Account) -> None:
    """A workspace: in front of a text, beside somebody who moves and deletes, on a small screen, without a network."""
    workspace_id = await visitors.workspace(ada, "Lighthouse works", TREE, editor=ben)
    begun = (await ada.done("GET", f"/workspace/{workspace_id}/fs/list"))["serverSequenceId"]
    address = f"{place.http}/w/{workspace_id}"
    await page.goto(address)
    await row(page, "README.md").wait_for()
    await look.at(page, "workspace-nothing-open", picture=False)
    for name in ("src", "lamp", "fog_horn.py", "turning.py"):
        await row(page, name).click()
    other = await visitors.page("ben")
    await other.goto(address)
    for name in ("src", "lamp", "turning.py"):
        await row(other, name).click()
    await shows(other, LAMP)
    await other.keyboard.press("Control+End")
    await other.keyboard.type("\n# Twelve seconds a turn.")
    await page.locator(".co-caret-name-shown").wait_for()
    await button(page, "State: Saved").wait_for()
    await row(other, "fog_horn.py").click(button="right")
    await other.get_by_role("menuitem", name="Rename").click()
    await other.keyboard.type("horn\n")
    await row(page, "horn.py").wait_for()
    await look.at(page, "workspace")
    await row(page, "plans").click(button="right")
    await page.get_by_role("menuitem", name="New folder").wait_for()
    await look.at(page, "workspace-menu")
    await page.keyboard.press("Escape")
    await button(page, "New file").click()
    await page.keyboard.type("cellar")
    await look.at(page, "workspace-new-file", picture=False)
    await page.keyboard.press("Escape")
    await row(other, "turning.py").click()
    await row(other, "turning.py").click(button="right")
    await other.get_by_role("menuitem", name="Delete").click()
    await see(page, "This file was deleted by Ben Okafor.")
    await button(page, "Trash (1)").click()
    await see(page, "in src/lamp")
    await look.at(page, "workspace-deleted")
    await button(page, "Put it back").click()
    await button(page, "Put it back").wait_for(state="detached")
    await other.close()
    await button(page, "Search in files").click()
    await page.keyboard.type("turn")
    await see(page, " places in ")
    await look.at(page, "workspace-search")
    await button(page, "Search in files").click()
    await choose(page, "More", "History")
    past = page.get_by_role("navigation", name="Files, as they were")
    await button(page, "One change back").click()
    await see(page, "This file was in the trash at that moment.")
    await button(past, "horn.py").click()  # beside it: its folders are open
    await page.get_by_test_id("past-text").get_by_text("booo").wait_for()
    await look.at(page, "workspace-history")
    await button(page, "To the end").click()
    await button(past, "turning.py").click()
    await button(page, "Who wrote this").click()
    await page.locator(".co-blame-who").get_by_text("Ben Okafor").wait_for()
    await look.at(page, "workspace-blame")
    await button(page, "Compare").click()
    differing = page.get_by_role("navigation", name="Files that differ")
    await field(page, "After change").fill(str(begun))
    await button(page.get_by_role("region", name="Compare two moments"), "Compare").click()
    await differing.get_by_role("button", name="horn.py").click()
    await page.locator(".co-sides").wait_for()
    await look.at(page, "workspace-compare")
    await link(page, "To the workspace").click()
    await row(page, "README.md").wait_for()
    async with page.expect_file_chooser() as chooser:
        await choose(page, "Upload", "Upload files…")
    files = {"sea chart.png": chart(), "tides.csv": b"day,high,low\n"}
    await (await chooser.value).set_files(
        [FilePayload(name=n, mimeType="application/octet-stream", buffer=b) for n, b in files.items()]
    )
    await see(dialog(page), "tides.csv")
    await look.at(page, "workspace-collision")
    await button(dialog(page), "Skip it").click()
    await see(page, "1 file uploaded. 1 file left out.")
    await row(page, "sea chart.png").click()
    await page.get_by_role("img", name="What “sea chart.png” shows").wait_for()
    await look.at(page, "workspace-picture")
    await button(page.get_by_role("region", name="Upload"), "OK").click()
    await page.get_by_role("button", name="Close sea chart.png").click()
    await tab(page, "turning.py").click()
    small = await visitors.page("ben", viewport={"width": 360, "height": 640})
    await small.goto(address)
    await button(small, "Show the files").click()
    await row(small, "src").click()
    await look.at(small, "workspace-small")
    await row(small, "README.md").click()
    await small.locator(".co-file:not([hidden]) .cm-content").wait_for()
    await look.at(small, "workspace-small-text")
    await small.close()
    await page.context.set_offline(True)
    await button(page, "State: Offline").wait_for()
    await page.locator(".co-file:not([hidden]) .cm-content").focus()
    await page.keyboard.type("#")
    await button(page, "New file").click()
    await page.keyboard.type("oil.md\n")
    await page.keyboard.type("Two barrels.")
    await see(page.locator(".co-file:not([hidden]) .cm-content"), "Two barrels.")
    await page.get_by_role("button", name=re.compile("^State: Offline – .* kept on this device")).wait_for()
    await look.at(page, "workspace-offline")
    await page.context.set_offline(False)
    await button(page, "State: Saved").wait_for()
    await link(page, "To the documents").click()


def chart() -> bytes:
    """A picture of 320 by 200 dots, as PNG."""
    dots = b"".join(b"\0" + bytes(v for x in range(320) for v in (x // 3, 90 + y // 3, 160)) for y in range(200))
    parts = (b"IHDR", struct.pack(">IIBBBBB", 320, 200, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(dots)), (b"IEND", b"")
    written = (struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def tab(page: Page, name: str) -> Locator:
    return page.get_by_role("navigation", name="Open files").get_by_role("link", name=name)


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("treeitem", name=name, exact=True)


async def own_pages(page: Page, look: Look, ada: Account) -> None:
    await link(page, "Documents").click()
    await choose(page, "You are Ada Lovelace", "Account")
    await field(page, "Your name").wait_for()
    await look.at(page, "account")
    await ada.done("POST", "/account/tokens", {"name": "release bot", "scope": "edit", "days": 90})
    await link(page, "API tokens").click()
    await see(page, "release bot")
    await look.at(page, "tokens")
    await link(page, "Signing in").click()
    await see(page, "this one")
    await look.at(page, "sessions")


async def administration(page: Page, look: Look, ada: Account) -> None:
    await link(page, "Administration").click()
    await see(page, "Cleo Marsh")
    await look.at(page, "admin-people")
    await button(page, "Actions for Cleo Marsh").click()
    await page.get_by_role("menuitem", name="Lock").click()
    await button(dialog(page), "Lock").wait_for()
    await look.at(page, "admin-lock", picture=False)
    await button(dialog(page), "Cancel").click()
    for tab, shown in (("Invitations", "Nobody waits."), ("All documents", "Harbour budget"), ("Events", "by ")):
        await link(page, tab).click()
        await see(page, shown)
        await look.at(page, f"admin-{tab.rpartition(' ')[2].lower()}", picture=tab != "Events")
    await link(page, "Keys").click()
    await button(page, "Make a new key").wait_for()
    await look.at(page, "admin-keys", picture=False)


async def states(place: Place, visitors: Visitors, look: Look, ada: Account, ben: Account) -> None:
    """What is shown instead of what was looked for."""
    private = await visitors.document(ada, "Private", "A text.\n")
    trashed = await visitors.document(ben, "Thrown away", "A text.\n")
    await ben.done("POST", f"/documents/{trashed}/trash")
    page = await visitors.page("ben")
    await page.goto(f"{place.http}/d/{private}")
    await button(page, "Ask for access").click()
    await field(page, "A word to its owners").fill("I would like to help.")
    await look.at(page, "no-access")
    await page.goto(f"{place.http}/d/{trashed}")
    await button(page, "Restore").wait_for()
    await look.at(page, "trashed")
    await page.goto(f"{place.http}/#link=csl_nothing")
    await heading(page, "This link does not work any more").wait_for()
    await look.at(page, "expired-link")
    await page.goto(f"{place.http}/admin/users")
    await heading(page, "There is no such page").wait_for()
    await look.at(page, "not-found", picture=False)
    made = await ada.done("POST", f"/documents/{private}/links", {"role": "editor"})
    guest = await visitors.page()
    await guest.goto(made["url"])
    await see(guest, "You read this as a guest")
    await look.at(guest, "guest")
    await page.goto(place.http)
    await link(page, "Harbour budget").click()
    await shows(page, "A text.\n")
    await link(page, "To the documents").click()
    await link(page, "Harbour budget").wait_for()
    await page.context.set_offline(True)
    await page.get_by_role("list", name="Documents on this device").wait_for()
    await look.at(page, "documents-offline")
