"""Workspaces in real browsers: a tree of files that several people change while others type in them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

import pytest
from playwright.async_api import FilePayload, Locator, Page

from tests.browser.places import Place, Visitors, button, choose, dialog, field, link, see
from tests.browser.windows import eventually

pytestmark = pytest.mark.slow


def tree(page: Page) -> Locator:
    return page.get_by_role("tree", name="Files")


def row(page: Page, name: str) -> Locator:
    return tree(page).get_by_role("treeitem", name=name, exact=True)


def tab(page: Page, name: str) -> Locator:
    return page.get_by_role("navigation", name="Open files").get_by_role("link", name=name)


async def in_file(page: Page, condition: str) -> None:
    """As `in_editor`, of the file in front. Where it does not come true, all texts and the focus are said."""
    try:
        await eventually(
            page,
            "(() => { const place = document.querySelector('.co-file:not([hidden]) .co-editor');"
            " if (!place?.coscribe) return false;"
            " const text = place.coscribe.view.state.doc.toString(), { status } = place.coscribe.document;"
            f" return {condition}; }})()",
        )
    except AssertionError as error:
        there = await page.evaluate(
            "[location.search, document.activeElement.outerHTML.slice(0, 200),"
            " document.querySelector('.co-early')?.value,"
            " ...[...document.querySelectorAll('.co-file .co-editor')].map((place) =>"
            " `${place.parentElement.ariaLabel}: ${place.coscribe?.view.state.doc.toString()}`)]"
        )
        raise AssertionError(f"{error}; there is {there}") from None


async def shows(page: Page, text: str) -> None:
    await in_file(page, f"text === {json.dumps(text)} && status.isSaved")


async def names(page: Page) -> list[str]:
    """What the tree shows, by depth."""
    shown: list[str] = await page.evaluate(
        "[...document.querySelectorAll('[role=tree] [role=treeitem]')].map((item) =>"
        " '/'.repeat(item.ariaLevel - 1) + item.textContent)"
    )
    return shown


FILES = {"notes.md": "# Notes\n", "src/lamp.py": "on = True\n", "src/rooms/stairs.py": "steps = 191\n"}


async def test_a_workspace_from_nothing(place: Place, visitors: Visitors) -> None:
    """Made from the list; files and folders by keyboard alone, which all arrive, and are there after a reload."""
    page = await visitors.page("ada")
    await page.goto(place.http)
    await button(page, "New workspace").click()
    await field(dialog(page), "Name").fill("Harbour")
    await button(dialog(page), "Create").click()
    await page.wait_for_url("**/w/*")
    await button(page, "New folder").click()
    await page.keyboard.type("docs\n")
    await row(page, "docs").wait_for()
    await button(page, "New file").click()
    await page.keyboard.type("plan.md\n")
    await in_file(page, "status.state === 'live'")
    await page.keyboard.type("- oil")
    await shows(page, "- oil")
    assert await names(page) == ["docs", "/plan.md"]

    await tree(page).focus()
    await page.keyboard.press("F2")
    await page.keyboard.type("list")  # what is before the ending is selected
    await page.keyboard.press("Enter")
    await row(page, "list.md").wait_for()
    await tab(page, "list.md").wait_for()
    await button(page, "Undo").click()
    await row(page, "plan.md").wait_for()
    await tree(page).press("Control+y")
    await row(page, "list.md").wait_for()
    await page.keyboard.press("ArrowLeft")
    await page.keyboard.press("ArrowLeft")
    assert await names(page) == ["docs"]
    await page.keyboard.press("Delete")
    await see(page, "Trash (1)")
    await see(page, "This file is in the trash.")
    await button(page, "Put it back").click()
    await row(page, "docs").wait_for()
    await shows(page, "- oil")
    await page.reload()
    await shows(page, "- oil")
    await link(page, "To the documents").click()
    await link(page, "Harbour").click()
    await tree(page).press("Home")
    await tree(page).press("ArrowRight")
    assert await names(page) == ["docs", "/list.md"]


async def test_one_rearranges_what_another_types_in(place: Place, visitors: Visitors) -> None:
    """A rename and a move of its folder while somebody types, and a deletion that is taken back: nothing is lost, both
    have the same tree, and whoever types is told who did it."""
    ada, ben = await visitors.account("adele", "Adele"), await visitors.account("bert", "Bert")
    workspace_id = await visitors.workspace(ada, "Lighthouse", FILES, editor=ben)
    one, other = await visitors.page("adele"), await visitors.page("bert")
    for page in (one, other):
        await page.goto(f"{place.http}/w/{workspace_id}")
        await row(page, "src").click()
        await row(page, "lamp.py").click()
        await shows(page, "on = True\n")
    await one.keyboard.press("Control+End")
    await one.keyboard.type("a = 1\n")

    await row(other, "lamp.py").click(button="right")
    await other.get_by_role("menuitem", name="Rename").click()
    await other.keyboard.type("lantern")
    await other.keyboard.press("Enter")
    await one.keyboard.type("b = 2\n")
    await see(one, "Bert has renamed “lamp.py” to “lantern.py”.")
    await row(other, "src").drag_to(row(other, "notes.md"))  # which is at the top: nothing is to be done
    await button(other, "New folder").click()
    await other.keyboard.type("old\n")
    await row(other, "old").wait_for()
    await row(other, "rooms").drag_to(row(other, "old"))
    await other.keyboard.press("Escape")
    await one.keyboard.type("c = 3\n")
    await shows(other, "on = True\na = 1\nb = 2\nc = 3\n")
    await row(one, "lantern.py").wait_for()

    await row(other, "src").click()
    await row(other, "src").wait_for()
    await tree(other).press("Delete")
    await see(one, "This file was deleted by Bert.")
    await one.locator(".co-file:not([hidden]) .cm-content").focus()
    await one.keyboard.press("Control+End")
    await one.keyboard.type("d = 4\n")
    await button(one, "Put it back").click()
    await shows(other, "on = True\na = 1\nb = 2\nc = 3\nd = 4\n")
    await shows(one, "on = True\na = 1\nb = 2\nc = 3\nd = 4\n")
    listed = await ada.done("GET", f"/workspace/{workspace_id}/fs/list?path=src")
    assert [entry["name"] for entry in listed["items"]] == ["lantern.py", "old"]
    for page in (one, other):
        await page.reload()
        await row(page, "lantern.py").wait_for()
    assert await names(one) == await names(other) == ["src", "/old", "/lantern.py", "notes.md"]


async def test_files_are_made_without_a_connection(place: Place, visitors: Visitors) -> None:
    """Typed into at once, in two tabs; all of it is there for everybody when the network is."""
    ada = await visitors.account("anna", "Anna")
    workspace_id = await visitors.workspace(ada, "Island", FILES)
    page = await visitors.page("anna")
    await page.goto(f"{place.http}/w/{workspace_id}")
    await row(page, "notes.md").click()
    await shows(page, "# Notes\n")
    await page.context.set_offline(True)
    await button(page, "State: Offline").wait_for()
    await page.keyboard.type("far ")
    await button(page, "New file").click()
    await page.keyboard.type("birds.md\n")
    await in_file(page, "text === ''")
    await page.keyboard.type("gulls")
    await see(tab(page, "notes.md"), "Offline – ")
    await page.context.set_offline(False)
    await shows(page, "gulls")
    await tab(page, "notes.md").click()
    await shows(page, "far # Notes\n")
    found = await ada.ask("GET", f"/workspace/{workspace_id}/fs/read?path=birds.md")
    assert found.text == "gulls"
    await tab(page, "birds.md").click(button="middle")
    await tab(page, "birds.md").wait_for(state="detached")
    await shows(page, "far # Notes\n")


SLOW_STORAGE = """
const request = navigator.locks.request.bind(navigator.locks);
navigator.locks.request = async (...asked) => {
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  return request(...asked);
};"""


async def test_what_is_typed_before_a_file_shows_is_in_it(place: Place, visitors: Visitors) -> None:
    """Keys do not wait for a slow device: not for a new file, not for one of others. None goes to the tree, which would
    delete what it hits, and a name that is being typed keeps the focus when a text comes late."""
    ada = await visitors.account("ester", "Ester")
    workspace_id = await visitors.workspace(ada, "Haste", {"a.md": "one\n", "b.md": "two\n"})
    page = await visitors.page("ester")
    await page.add_init_script(SLOW_STORAGE)
    await page.goto(f"{place.http}/w/{workspace_id}")
    await row(page, "b.md").wait_for()
    await button(page, "New file").click()
    await page.keyboard.type("c.md\n- oilx")
    await page.keyboard.press("Backspace")
    await page.keyboard.type("\n- bread")
    await shows(page, "- oil\n- bread")
    await page.keyboard.type("!")
    await shows(page, "- oil\n- bread!")
    await row(page, "a.md").click()
    await page.keyboard.type("zero\n")
    await shows(page, "zero\none\n")
    await tab(page, "c.md").click()
    await row(page, "b.md").click()
    await button(page, "New file").click()
    await page.keyboard.type("d")
    await shows(page, "two\n")
    await page.keyboard.type(".md\n")
    await page.keyboard.type("- salt")
    await shows(page, "- salt")
    assert await names(page) == ["a.md", "b.md", "c.md", "d.md"]


FOCUSED = "window.focused = []; addEventListener('focusin', ({ target }) => focused.push(target.tagName))"


async def test_keys_behind_a_choice_in_the_drawer_are_in_the_file(place: Place, visitors: Visitors) -> None:
    """However slow the device is: as the drawer shuts it gives the focus back to what had opened it only where nothing
    was chosen. A button would take a space for a press."""
    ada = await visitors.account("nora", "Nora")
    workspace_id = await visitors.workspace(ada, "Drawer", {"a.md": "one\n", "b.md": "two\n"})
    page = await visitors.page("nora", viewport={"width": 360, "height": 640})
    await page.add_init_script(SLOW_STORAGE)
    await page.goto(f"{place.http}/w/{workspace_id}")
    devtools = await page.context.new_cdp_session(page)
    for opener, name, text in (("Show the files", "a.md", "one"), ("Files", "b.md", "two")):
        await button(page, opener).click()
        await row(page, name).wait_for()
        await page.evaluate(FOCUSED)
        await devtools.send("Emulation.setCPUThrottlingRate", {"rate": 10})
        await row(page, name).click()
        await page.keyboard.type("far out ")
        await devtools.send("Emulation.setCPUThrottlingRate", {"rate": 1})
        await shows(page, f"far out {text}\n")
        assert "BUTTON" not in await page.evaluate("focused")
    await button(page, "Files").click()
    await button(page, "New file").click()
    await page.keyboard.type("c.md\nfar out ")
    await shows(page, "far out ")
    await button(page, "Files").click()
    await dialog(page).wait_for()
    await page.keyboard.press("Escape")
    await dialog(page).wait_for(state="hidden")
    await eventually(page, "document.activeElement.ariaLabel === 'Files'")


async def test_keys_are_in_the_file_that_was_in_front(place: Place, visitors: Visitors) -> None:
    """Where another one is chosen before the first has come, by the tree and by the tabs."""
    ada = await visitors.account("runa", "Runa")
    workspace_id = await visitors.workspace(ada, "Turns", {"a.md": "one\n", "b.md": "two\n"})
    page = await visitors.page("runa")
    await page.add_init_script(SLOW_STORAGE)
    await page.goto(f"{place.http}/w/{workspace_id}")
    for name, typed in (("a.md", "far "), ("b.md", "near ")):
        await row(page, name).click()
        await page.keyboard.type(typed)
    devtools = await page.context.new_cdp_session(page)
    await tab(page, "a.md").wait_for()
    await devtools.send("Emulation.setCPUThrottlingRate", {"rate": 10})
    await tab(page, "a.md").click()
    await page.keyboard.type("out ")
    await tab(page, "b.md").click()
    await page.keyboard.type("by ")
    await devtools.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    await shows(page, "near by two\n")
    await tab(page, "a.md").click()
    await shows(page, "far out one\n")


PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


async def test_files_and_folders_are_uploaded(place: Place, visitors: Visitors, tmp_path: Path) -> None:
    """Chosen and dropped, texts and others, byte for byte; what is there is asked about; downloads."""
    ada = await visitors.account("alma", "Alma")
    workspace_id = await visitors.workspace(ada, "Archive", FILES)
    page = await visitors.page("alma")
    await page.goto(f"{place.http}/w/{workspace_id}")
    await row(page, "notes.md").wait_for()
    async with page.expect_file_chooser() as chooser:
        await choose(page, "Upload", "Upload files…")
    sent = {"a.txt": b"one\r\ntwo\r\n", "b.bin": b"\0\x01\xff" * 5_000, "notes.md": b"# Other notes\n"}
    await (await chooser.value).set_files(
        [FilePayload(name=name, mimeType="text/plain", buffer=content) for name, content in sent.items()]
    )
    await see(dialog(page, "This file is there already"), "notes.md")
    await button(dialog(page), "Keep both").click()
    await see(page, "3 files uploaded.")
    await row(page, "notes (2).md").wait_for()
    await row(page, "a.txt").click()
    await shows(page, "one\ntwo\n")
    await row(page, "b.bin").click()
    await see(page, "“b.bin” is binary, 15 KB. It cannot be shown here.")
    async with page.expect_download() as downloading:
        await link(page, "Download").click()
    assert (await (await downloading.value).path()).read_bytes() == sent["b.bin"]

    album = tmp_path / "album"
    (album / "sea" / "nothing").mkdir(parents=True)
    (album / "sea" / "dot.png").write_bytes(PICTURE)
    (album / "list.md").write_text("a dot\n")
    await drop(page, row(page, "src"), [album])
    await see(page, "2 files uploaded.")
    await row(page, "album").click()
    await row(page, "sea").click()
    await row(page, "dot.png").click()
    await see(page, "“dot.png” is binary, 70 bytes.")
    shown = page.get_by_role("img", name="What “dot.png” shows")
    assert await shown.evaluate("async (image) => { await image.decode(); return image.naturalWidth; }") == 1
    await row(page, "nothing").wait_for()
    await row(page, "album").click(button="right")
    async with page.expect_download() as downloading:
        await page.get_by_role("menuitem", name="Download as a zip file").click()
    packed = ZipFile(await (await downloading.value).path())
    assert {"src/album/list.md", "src/album/sea/dot.png"} <= set(packed.namelist())

    (album / "list.md").write_text("a dot, and the sea\n")
    await drop(page, row(page, "src"), [album])
    await see(dialog(page, "2 files are there already"), "album/sea/dot.png")
    await button(dialog(page), "Replace").click()
    await see(page, "2 files uploaded.")
    await row(page, "list.md").click()
    await shows(page, "a dot, and the sea\n")
    listed = await ada.done("GET", f"/workspace/{workspace_id}/fs/list")
    properties = {entry["name"]: entry["properties"] for entry in listed["items"]}
    assert properties["a.txt"] == {"eol": "crlf"}


async def drop(page: Page, on: Locator, paths: Sequence[Path]) -> None:
    """As from the desktop."""
    box = await on.bounding_box()
    assert box is not None
    devtools = await page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        at = {"type": kind, "x": box["x"] + 60, "y": box["y"] + box["height"] / 2, "data": data}
        await devtools.send("Input.dispatchDragEvent", at)


async def test_viewers_only_look_and_a_small_screen_has_a_drawer(place: Place, visitors: Visitors) -> None:
    ada, eva = await visitors.account("abel", "Abel"), await visitors.account("vera", "Vera")
    workspace_id = await visitors.workspace(ada, "Museum", FILES, viewer=eva)
    page = await visitors.page("vera", viewport={"width": 360, "height": 640})
    await page.goto(f"{place.http}/w/{workspace_id}")
    await button(page, "Show the files").click()
    await row(page, "notes.md").wait_for()
    await tree(page).focus()
    await page.keyboard.press("Delete")
    await page.keyboard.press("F2")
    assert await names(page) == ["src", "notes.md"]
    assert await button(page, "New file").count() == 0
    await row(page, "notes.md").click()
    await in_file(page, "text === '# Notes\\n' && !status.canEdit")
    await button(page, "State: View only").wait_for()
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert width == 360
    await page.goto(f"{place.http}/d/{workspace_id}")  # as a link in a mail says it
    await page.wait_for_url("**/w/*")


async def test_the_tree_by_keyboard_alone(place: Place, visitors: Visitors) -> None:
    """Arrows, the beginning of a name, Enter, the menu and a dialog: the focus is always somewhere that makes sense. On
    a small screen, too, what is chosen in the drawer has the focus."""
    ada = await visitors.account("kim", "Kim")
    workspace_id = await visitors.workspace(ada, "Keys", FILES)
    page = await visitors.page("kim")
    await page.goto(f"{place.http}/w/{workspace_id}")
    await row(page, "src").wait_for()
    await tree(page).focus()
    for keys, active in (("End", "notes.md"), ("Home", "src"), ("n", "notes.md"), ("ArrowUp", "src")):
        await page.keyboard.press(keys)
        await is_active(page, active)
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowRight")
    await is_active(page, "rooms")
    await page.keyboard.type("la")
    await is_active(page, "lamp.py")
    await page.keyboard.press("Shift+F10")
    await page.get_by_role("menuitem", name="Rename").wait_for()
    await page.keyboard.press("Escape")
    await page.get_by_role("menuitem", name="Rename").wait_for(state="detached")
    await eventually(page, "document.activeElement.role === 'tree'")
    await page.keyboard.press("Shift+F10")
    await page.get_by_role("menuitem", name="Move…").press("Enter")
    await field(dialog(page), "Path").fill("lamp.py")
    await page.keyboard.press("Enter")
    await dialog(page).wait_for(state="hidden")
    await eventually(page, "document.activeElement.role === 'tree'")
    assert await names(page) == ["src", "/rooms", "lamp.py", "notes.md"]
    await page.keyboard.press("F2")
    await page.keyboard.press("Escape")
    await eventually(page, "document.activeElement.role === 'tree'")
    await page.keyboard.press("Enter")
    await shows(page, "on = True\n")
    await page.keyboard.type("#")
    await shows(page, "#on = True\n")

    small = await visitors.page("kim", viewport={"width": 360, "height": 640})
    await small.goto(f"{place.http}/w/{workspace_id}")
    await button(small, "Show the files").click()
    await row(small, "notes.md").click()
    await small.keyboard.type("far ")
    await shows(small, "far # Notes\n")
    await dialog(small).wait_for(state="hidden")
    await small.keyboard.type("out ")
    await shows(small, "far out # Notes\n")


async def test_what_is_long_scrolls_in_its_place(place: Place, visitors: Visitors) -> None:
    """Neither many files nor a long text make the page longer: its bar stays, and only rows in sight are in it."""
    ada = await visitors.account("lois", "Lois")
    files = {f"{number:03}.md": "" for number in range(80)} | {"long.py": "\n" * 300}
    workspace_id = await visitors.workspace(ada, "Long", files)
    page = await visitors.page("lois", viewport={"width": 1280, "height": 500})
    await page.goto(f"{place.http}/w/{workspace_id}")
    await row(page, "000.md").wait_for()
    assert len(await names(page)) < 60
    await tree(page).press("End")
    await row(page, "long.py").click()
    await in_file(page, "text.length === 300")
    await page.keyboard.press("Control+End")
    assert await page.evaluate("[document.documentElement.scrollHeight, scrollY]") == [500, 0]
    await choose(page, "More", "History")
    past = page.get_by_role("navigation", name="Files, as they were")
    await button(past, "000.md").wait_for()
    assert await past.get_by_role("button").count() < 60
    await past.evaluate("(list) => { list.scrollTop = list.scrollHeight; }")
    await button(past, "long.py").wait_for()


async def is_active(page: Page, name: str) -> None:
    """Waits until keys are about this row."""
    await eventually(
        page,
        "document.getElementById(document.querySelector('[role=tree]').getAttribute('aria-activedescendant'))"
        f"?.textContent === {json.dumps(name)}",
    )


async def test_what_is_found_opens_at_its_place(place: Place, visitors: Visitors) -> None:
    """Names and texts, with options; a place behind signs of two units is selected to the letter."""
    ada = await visitors.account("ida", "Ida")
    files = {
        "log/a.md": "\n" * 300 + "🙂 the Lamp is out\n",
        "log/lamp.txt": "nothing\n",
        "src/b.py": "lamplight = 1\n",
    }
    workspace_id = await visitors.workspace(ada, "Finding", files)
    page = await visitors.page("ida")
    await page.goto(f"{place.http}/w/{workspace_id}")
    await row(page, "log").wait_for()
    await page.keyboard.press("Control+Shift+F")
    await page.keyboard.type("lamp")
    await see(page, "2 places in 3 files")
    await button(page, "Whole words").click()
    await see(page, "1 place in 2 files")
    await field(page, "Only files like").fill("*.md")
    await see(page, "1 place in 1 file")
    await page.get_by_role("list", name="In log/a.md").get_by_role("button").click()
    await in_file(page, "place.coscribe.view.state.sliceDoc(...SELECTED) === 'Lamp'".replace("SELECTED", SELECTED))
    await page.get_by_text("the Lamp is out").last.wait_for()
    await page.get_by_role("searchbox", name="Search in names and texts").fill("(")
    await button(page, "Regular expression").click()
    await see(page, "That is no regular expression")
    await button(page, "Search in files").click()
    await row(page, "a.md").wait_for()


async def test_a_workspace_goes_back_in_time(place: Place, visitors: Visitors) -> None:
    """The slider shows tree and text as they were; a folder that was deleted comes back, and a fork has it all."""
    ada = await visitors.account("ines", "Ines")
    workspace_id = await visitors.workspace(ada, "Clock", {"log/a.md": "one\n", "b.md": "two\n"})
    await ada.done("POST", f"/workspace/{workspace_id}/fs/delete", {"path": "log"})
    page = await visitors.page("ines")
    await page.goto(f"{place.http}/w/{workspace_id}")
    await row(page, "b.md").wait_for()
    await choose(page, "More", "History")
    past = page.get_by_role("navigation", name="Files, as they were")
    await button(past, "b.md").click()
    await page.get_by_test_id("past-text").get_by_text("two").wait_for()
    assert await button(past, "log").count() == 0
    await button(page, "One change back").click()
    await button(past, "log").click()
    await button(past, "a.md").click()
    await page.get_by_test_id("past-text").get_by_text("one").wait_for()
    await choose(page, "This moment", "Fork into a new workspace…")
    await button(dialog(page), "Fork").click()
    await page.wait_for_url(re.compile(f"/w/(?!{workspace_id})"))
    await row(page, "log").wait_for()
    await page.go_back()
    await choose(page, "This moment", "Restore everything…")
    await button(dialog(page), "Restore").click()
    await page.wait_for_url(f"**/w/{workspace_id}")
    await row(page, "log").click()
    await row(page, "a.md").click()
    await shows(page, "one\n")


SELECTED = "(({from, to}) => [from, to])(place.coscribe.view.state.selection.main)"
