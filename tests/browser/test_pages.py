"""What people do with documents on the pages: with a mouse, with the keyboard alone, on a small touch screen."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import FilePayload, Locator, Page, Position

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
    make_document,
    see,
    shown_once,
    shows,
    write,
)
from tests.browser.windows import eventually

pytestmark = pytest.mark.slow

FIRST_LOAD_GOAL = 300_000
FIRST_LOAD = 315_000
"""Bytes over the network until the text can be edited, with an empty cache: what is wanted, and what it must not grow
beyond (docs/performance.md says what takes the room)."""


async def test_what_is_typed_stays_when_the_right_to_edit_goes(place: Place, visitors: Visitors) -> None:
    amy, bob = await visitors.account("amy"), await visitors.account("bob", "Bob Builder")
    document_id = await visitors.document(amy, "Plans", "Hello", editor=bob)
    hers, his = await visitors.page("amy"), await visitors.page("bob")
    for page in (hers, his):
        await page.goto(f"{place.http}/d/{document_id}")
        await shows(page, "Hello")

    await button(hers, "Share").click()
    role = field(dialog(hers), "Role of Bob Builder")
    await role.select_option("viewer")
    await button(his, "State: View only").wait_for()
    await his.keyboard.type("refused")
    await role.select_option("editor")
    await button(his, "State: Saved").wait_for()
    await his.keyboard.type("My text. ")
    await shows(hers, "My text. Hello")
    await his.get_by_role("status").get_by_text("Saved", exact=True).wait_for()

    # Offline he goes on writing; meanwhile he is removed.
    await his.context.set_offline(True)
    await button(his, "State: Offline").wait_for()
    await his.get_by_role("status").get_by_text("Offline", exact=True).wait_for()
    await his.keyboard.type("And more.")
    await button(his, "State: Offline – 9 edits kept on this device").wait_for()
    await choose(hers, "Actions for Bob Builder", "Remove")
    await button(dialog(hers, "Remove Bob Builder?"), "Remove").click()
    await see(hers, "Bob Builder is removed.")
    await his.context.set_offline(False)
    await heading(his, "There is no such document for you").wait_for()
    await see(his.get_by_role("alert"), "And more.")
    assert await his.locator(".cm-content").count() == 0
    await shows(hers, "My text. Hello")


async def test_a_shared_link_for_a_guest_and_for_somebody_with_an_account(place: Place, visitors: Visitors) -> None:
    cleo = await visitors.account("cleo", "Cleo")
    document_id = await visitors.document(cleo, "Plans", "Hello")
    hers = await visitors.page("cleo")
    await hers.goto(f"{place.http}/d/{document_id}")
    await shows(hers, "Hello")
    await button(hers, "Share").click()
    links = dialog(hers).get_by_role("region", name="Links")
    await field(links, "Whoever has it").select_option("editor")
    await button(links, "Make a link").click()
    shared = await shown_once(hers)

    guest, other = await visitors.page(), await visitors.page()
    for page in (guest, other):
        await page.goto(shared)
        await shows(page, "Hello")
        assert "csl_" not in page.url
    await see(guest, "with an account you can edit it")
    await guest.keyboard.type("not I")
    await write(cleo, document_id, "Hi 🎉! ")
    await shows(guest, "Hi 🎉! Hello")

    await link(guest, "Create an account").click()
    await fill_account(guest, "Guy", "guy")
    await button(guest, "Create account").click()
    await shows(guest, "Hi 🎉! Hello")
    await button(guest, "State: Saved").wait_for()
    await guest.keyboard.type("I may write. ")
    await shows(other, "I may write. Hi 🎉! Hello")

    await button(links, "Switch off").click()
    await button(dialog(hers, "Switch this link off?"), "Switch off").click()
    for page in (guest, other):
        await heading(page, "There is no such document for you").wait_for()
    await button(guest, "Ask for access").click()
    await field(guest, "A word to its owners").fill("It was me")
    await button(guest, "Send the request").click()
    await see(guest, "its owners see your request")
    await hers.keyboard.press("Escape")
    await dialog(hers).wait_for(state="hidden")
    await button(hers, "Share").click()
    await see(dialog(hers), "It was me")
    await button(dialog(hers), "Let edit: Guy").click()
    await see(hers, "Guy is in.")
    await guest.reload()
    await shows(guest, "I may write. Hi 🎉! Hello")


async def test_documents_come_and_go(place: Place, visitors: Visitors, tmp_path: Path) -> None:
    await visitors.account("dan")
    page = await visitors.page("dan")
    await page.goto(place.http)
    await see(page, "No documents yet.")
    await make_document(page, "Plans", "Hello")
    name = field(page, "Name of the document")
    await name.fill("Better plans")
    await name.press("Enter")
    await page.get_by_role("heading", name="Better plans").wait_for(state="attached")
    await link(page, "To the documents").click()
    await choose(page, "Actions for Better plans", "Duplicate")
    await shows(page, "Hello")
    await link(page, "To the documents").click()
    rows = page.get_by_role("list", name=re.compile("^Documents: ")).get_by_role("listitem")
    await link(page, "Copy of Better plans").wait_for()
    await field(page, "Find by name").fill("copy")
    await eventually(page, "document.querySelectorAll('.rows > li').length === 1")
    await choose(page, "Actions for Copy of Better plans", "Move to trash")
    await see(page, "No document has “copy” in its name.")
    await field(page, "Find by name").fill("")
    await link(page, "Trash").click()
    await choose(page, "Actions for Copy of Better plans", "Delete for good")
    await button(dialog(page), "Delete for good").click()
    await see(page, "The trash is empty.")
    await link(page, "All").click()
    await choose(page, "Actions for Better plans", "Archive")
    await see(page, "No documents yet.")
    await link(page, "Archived").click()
    await link(page, "Better plans").click()
    await see(page, "This document is archived")
    await button(page, "State: View only").wait_for()
    await page.go_back()
    await choose(page, "Actions for Better plans", "Restore")
    await see(page, "Nothing is archived.")

    # Files come in, and out again.
    await link(page, "All").click()
    async with page.expect_file_chooser() as chooser:
        await button(page, "Import").click()
    good = FilePayload(name="good 🙂.md", mimeType="text/markdown", buffer="# Üben\r\n🎉\r\n".encode())
    await (await chooser.value).set_files([good, FilePayload(name="bad.txt", mimeType="text/plain", buffer=b"\xff\0")])
    await see(dialog(page), "1 of 2 imported.")
    await see(dialog(page).get_by_role("listitem").filter(has_text="bad.txt"), "not imported")
    await button(dialog(page), "Done").click()
    assert await rows.count() == 2
    async with page.expect_download() as download:
        await choose(page, "Actions for good 🙂.md", "Export")
    saved = await download.value
    assert saved.suggested_filename == "good 🙂.md"
    assert (await saved.path()).read_text() == "# Üben\n🎉\n"
    async with page.expect_download() as download:
        await choose(page, "More", "Export all as a zip file")
    assert (await download.value).suggested_filename.endswith(".zip")
    await link(page, "good 🙂.md").click()
    await shows(page, "# Üben\n🎉\n")


async def test_with_the_keyboard_alone(place: Place, visitors: Visitors) -> None:
    await visitors.account("kim", "Kim Keys")
    await visitors.account("bea", "Bea Bright")
    page = await visitors.page()
    await page.add_init_script("localStorage.setItem('coscribe.greeted', 'nobody')")
    keys = page.keyboard

    async def tab_to(target: Locator, key: str = "Tab") -> None:
        await target.wait_for()
        for _ in range(60):
            if await target.evaluate("(element) => element === document.activeElement"):
                return
            await keys.press(key)
        raise AssertionError(f"{key} does not lead to {target}")

    await page.goto(f"{place.http}/sign-in")
    await tab_to(field(page, "Handle or e-mail"))
    await keys.type("kim")
    await tab_to(field(page, "Password"))
    await keys.type("correct horse battery staple")
    await keys.press("Enter")
    await page.wait_for_url("**/d/*")  # the document that a new account begins with
    await in_editor(page, "status.isSaved")
    await tab_to(link(page, "To the documents"), "Shift+Tab")
    await keys.press("Enter")

    await tab_to(button(page, "New document"))
    await keys.press("Enter")
    await focused(field(dialog(page), "Name"))
    await keys.press("Escape")
    await focused(button(page, "New document"))
    await keys.press("Enter")
    await focused(field(dialog(page), "Name"))
    await keys.type("count.py")
    await keys.press("Enter")
    await shows(page, "")
    await page.get_by_role("textbox", name="Text of count.py. Escape, then Tab leaves it.").wait_for()
    await keys.type("one two one")
    await keys.press("Enter")
    await keys.press("Tab")  # indents: it is a program
    await keys.type("three")
    await in_editor(page, "text.startsWith('one two one\\n') && text.trimEnd().endsWith(' three') && status.isSaved")

    # Find and replace, and take it back.
    await keys.press("Control+f")
    await focused(field(page, "Find"))
    await keys.type("one")
    await tab_to(field(page, "Replace"))
    await keys.type("four")
    await tab_to(button(page, "replace all"))
    await keys.press("Enter")
    await in_editor(page, "text.startsWith('four two four\\n')")
    await keys.press("Escape")
    await focused(page.locator(".cm-content"))
    await keys.press("Control+z")
    await in_editor(page, "text.startsWith('one two one\\n') && status.isSaved")

    # Out of the text, to share it.
    await keys.press("Escape")
    await keys.press("Shift+Tab")
    await tab_to(button(page, "Share"), "Shift+Tab")
    await keys.press("Enter")
    await focused(field(dialog(page), "Invite"))
    await keys.type("bea")
    await page.get_by_role("option", name="Bea Bright").wait_for()
    await keys.press("ArrowDown")
    await keys.press("Enter")
    await tab_to(field(dialog(page), "Role").first)
    await keys.press("ArrowUp")  # from editing to viewing
    await tab_to(button(dialog(page), "Invite"))
    await keys.press("Enter")
    await see(dialog(page).get_by_role("region", name="Invited, no answer yet"), "as viewer")
    await keys.press("Escape")
    await focused(button(page, "Share"))

    # Back in time.
    await tab_to(button(page, "More"))
    await keys.press("Enter")
    await keys.press("ArrowDown")
    history = page.get_by_role("menuitem", name="History", exact=True)
    for _ in range(8):
        if await history.evaluate("(element) => element === document.activeElement"):
            break
        await keys.press("ArrowDown")
    await keys.press("Enter")
    scrubber = page.get_by_role("slider", name="Version")
    await tab_to(scrubber)
    await keys.press("Home")
    await tab_to(button(page, "Play"))
    await keys.press("Enter")
    await eventually(page, "(({ value, max }) => value === max)(document.querySelector('.co-scrubber'))")
    await button(page, "Play").wait_for()
    await tab_to(scrubber, "Shift+Tab")
    await keys.press("Home")
    await keys.press("ArrowRight")
    await page.get_by_text(re.compile("^Version 1 of")).wait_for()
    await tab_to(button(page, "This version"), "Shift+Tab")
    await keys.press("Enter")
    restore = page.get_by_role("menuitem", name="Restore it…")
    await restore.wait_for()
    for _ in range(8):
        if await restore.evaluate("(element) => element === document.activeElement"):
            break
        await keys.press("ArrowDown")
    await keys.press("Enter")
    await focused(button(dialog(page), "Cancel"))
    await tab_to(button(dialog(page), "Restore"))
    await keys.press("Enter")
    await page.wait_for_url(re.compile(r"/d/\w+$"))
    await in_editor(page, "'one'.startsWith(text) && text !== '' && status.isSaved")


async def focused(target: Locator) -> None:
    """Waits until it has the focus."""
    await target.and_(target.page.locator(":focus")).wait_for()


async def test_on_a_small_touch_screen(place: Place, visitors: Visitors) -> None:
    await visitors.account("tim", "Tim Touch")
    page = await visitors.page(
        viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True, device_scale_factor=2
    )
    await page.goto(f"{place.http}/sign-in")
    await field(page, "Password").wait_for()
    found = {"sign in": await awkward(page)}
    await field(page, "Handle or e-mail").fill("tim")
    await field(page, "Password").fill("correct horse battery staple")
    await button(page, "Sign in").tap()
    await page.wait_for_url("**/d/*")
    await in_editor(page, "status.isSaved")
    await page.locator(".cm-content").tap(position=Position(x=100, y=40))
    await page.keyboard.type("touched ")
    await in_editor(page, "text.includes('touched') && status.isSaved")
    found["editor"] = await awkward(page)
    await button(page, "Share").tap()
    await heading(dialog(page), "Links").wait_for()
    found["share"] = await awkward(page)
    await button(page, "Make a link").tap()
    await button(page, "Copy").wait_for()
    found["a new link"] = await awkward(page)
    await button(page, "Done").tap()
    await page.keyboard.press("Escape")
    await dialog(page).wait_for(state="hidden")
    await button(page, "More").tap()
    history = page.get_by_role("menuitem", name="History", exact=True)
    await history.wait_for()
    found["menu"] = await awkward(page)
    await history.tap()
    await page.get_by_role("slider", name="Version").wait_for()
    await page.get_by_role("list", name=re.compile("^Editing sessions")).wait_for()
    found["history"] = await awkward(page)
    await button(page, "Compare").tap()
    await field(page, "From version").wait_for()
    found["compare"] = await awkward(page)
    await link(page, "Documents").tap()
    await heading(page, "Documents").wait_for()
    await page.get_by_role("list", name="Documents: All").wait_for()
    found["documents"] = await awkward(page)
    await button(page, "You are Tim Touch").tap()
    await page.get_by_role("menuitem", name="Account").tap()
    await heading(page, "Profile").wait_for()
    found["account"] = await awkward(page)
    assert {name: troubles for name, troubles in found.items() if troubles} == {}


_AWKWARD = """() => {
  const found = [];
  const page = document.scrollingElement;
  if (page.scrollWidth > innerWidth) found.push(`the page is ${page.scrollWidth} wide`);
  const within = [...document.querySelectorAll('[role=dialog], [role=menu]')].filter((each) => each.checkVisibility());
  const controls = (within.at(-1) ?? document).querySelectorAll(
    'a[href], button:not(.skip), input:not([type=hidden]), select, textarea, [role=menuitem]');
  for (const control of controls) {
    control.scrollIntoView({ block: 'nearest' });
    const box = control.getBoundingClientRect();
    if (!control.checkVisibility({ visibilityProperty: true }) || box.width <= 1) continue;
    const said = control.getAttribute('aria-label') ?? control.innerText ?? '';
    const name = `${control.tagName.toLowerCase()} “${(said || control.name || '').slice(0, 40)}”`;
    const isInText = control.matches('p a, td a') || getComputedStyle(control).display === 'inline';
    if (!isInText && (box.width < 24 || box.height < 24)) {
      found.push(`${name} is ${Math.round(box.width)} × ${Math.round(box.height)}`);
    }
    if (box.left < 0 || box.right > innerWidth) found.push(`${name} reaches out of the screen`);
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    const top = document.elementFromPoint(x, y);
    const isOwn = top && (control.contains(top) || top.contains(control));
    if (!isOwn) found.push(`${name} is covered by ${top?.tagName} .${top?.className}`);
  }
  return found;
}"""


async def awkward(page: Page) -> list[str]:
    """What is too wide, too small for a finger, or covered by something else."""
    found: list[str] = await page.evaluate(_AWKWARD)
    return found


async def test_first_load_motion_and_words_beside_colours(place: Place, visitors: Visitors) -> None:
    eva, fred = await visitors.account("eva", "Eva Early"), await visitors.account("fred", "Fred First")
    document_id = await visitors.document(eva, "Notes", "Hello", editor=fred)
    page = await visitors.page("eva")
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Network.enable")
    addresses: dict[str, str] = {}
    sizes: Counter[str] = Counter()

    def began(event: dict[str, Any]) -> None:
        addresses[event["requestId"]] = event["request"]["url"].removeprefix(place.http).partition("?")[0]

    def ended(event: dict[str, Any]) -> None:
        sizes[addresses[event["requestId"]]] += int(event["encodedDataLength"])

    devtools.on("Network.requestWillBeSent", began)
    devtools.on("Network.loadingFinished", ended)
    await page.goto(f"{place.http}/d/{document_id}")
    await shows(page, "Hello")
    total = sizes.total()
    for address, size in sizes.most_common():
        print(f"{size:8} {address}")
    print(f"{total:8} bytes until the text is live (goal {FIRST_LOAD_GOAL})")
    assert 0 < total < FIRST_LOAD, sizes

    assert await moving(page) == []
    other = await visitors.page("fred")
    await other.goto(f"{place.http}/d/{document_id}")
    await shows(other, "Hello")
    await button(page, "One other person is here").click()
    people = page.get_by_role("list", name="Who is here")
    await see(people, "Eva Early (you)")
    await see(people, "Fred First")
    assert await moving(page) == []
    await page.keyboard.press("Escape")
    await link(page, "To the documents").click()
    await link(page, "Notes").wait_for()
    await button(page, "Actions for Notes").click()
    await page.get_by_role("menu").wait_for()
    assert await moving(page) == []


async def moving(page: Page) -> list[str]:
    """Elements that move or fade for more than 10 ms, though the system asks for stillness."""
    found: list[str] = await page.evaluate(
        """() => {
          const longest = (list) => Math.max(...list.split(',').map((each) => parseFloat(each) * 1000));
          const styled = [...document.querySelectorAll('*')].filter((element) => {
            const { transitionDuration, animationDuration } = getComputedStyle(element);
            return Math.max(longest(transitionDuration), longest(animationDuration)) > 10;
          });
          const running = document.getAnimations().filter((each) => each.effect.getComputedTiming().duration > 10);
          const name = (element) => `${element.tagName} .${element.className}`;
          return [...styled.map(name), ...running.map((each) => name(each.effect.target))];
        }"""
    )
    return found
