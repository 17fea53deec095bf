"""Reloads, crashes, offline, slow networks: what somebody typed is there once, whatever happened in between."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Page

from tests.browser.windows import Room, Window, eventually

pytestmark = pytest.mark.slow

_DOCUMENT = "document.querySelector('.co-editor').coscribe.document"


async def test_a_reload_with_pending_edits(room: Room) -> None:
    """Typed while the server is away, reloaded while it is away, delivered when it is back."""
    window = await room.join("ada")
    await controlled(window.page)
    await window.type("saved. ")
    await window.saved()
    room.server.kill()
    await window.until("status.state === 'offline'")
    await window.type("unsent. ")
    await window.until("status.unsent > 0")
    await window.page.reload()
    await window.until("text === 'saved. unsent. ' && status.unsent > 0")
    await window.page.get_by_role("button", name="Offline").wait_for()
    await window.caret(15)
    await window.type("and more.")
    room.server.start()
    assert await room.agree() == "saved. unsent. and more."


async def test_the_server_is_killed_while_people_type(room: Room) -> None:
    windows = [await room.join(handle) for handle in ("ada", "ben", "cleo")]
    done = asyncio.Event()

    async def typing(window: Window) -> None:
        for number in range(60):
            await window.type(f"{window.who.handle}{number};")
        done.set()

    async def killing() -> None:
        for _ in range(3):
            for window in windows:
                await window.until("status.version > 0")
            room.server.kill()
            await windows[0].until("status.state !== 'live'")
            room.server.start()
            await windows[0].until("status.state === 'live'")

    await asyncio.gather(*map(typing, windows), killing())
    text = await room.agree()
    for window in windows:
        for number in range(60):
            assert text.count(f"{window.who.handle}{number};") == 1


async def test_a_thousand_edits_offline(room: Room) -> None:
    """One comes back after a thousand edits without a connection; meanwhile the other one has written too."""
    ada, ben = await room.join("ada"), await room.join("ben")
    await ada.page.context.set_offline(True)
    await ada.until("status.state !== 'live'")
    await ada.page.evaluate(
        """() => { const { view } = document.querySelector('.co-editor').coscribe;
        for (let count = 0; count < 1000; count++) {
          view.dispatch({ changes: { from: view.state.doc.length, insert: `${count},` }, userEvent: 'input.type' });
        } }"""
    )
    await ada.until("status.unsent === 1000")
    await ada.page.get_by_role("button", name="Offline – 1000 edits kept on this device").wait_for()
    await ben.type("ben was here. ")
    await ben.saved()
    await ada.page.context.set_offline(False)
    text = await room.agree()
    assert text.replace("ben was here. ", "") == "".join(f"{count}," for count in range(1_000))


async def test_undo_and_the_caret_survive_the_tab_and_the_server(room: Room) -> None:
    """The tab is closed, the server restarted, others write: undo takes back one's own, the caret is where it was."""
    context = await room.context("ada")
    window = await room.join("ada", context=context)
    await window.type("mine.\nalso mine.")
    await window.saved()
    await window.caret(4)
    await window.until("status.isSaved")
    ben = await room.join("ben")
    await ben.until(f"[...{_DOCUMENT}.participants.values()].some((each) => each.cursor?.head === 4)")
    room.windows.remove(window)
    await window.page.close()
    room.server.stop()
    room.server.start()
    await ben.until("status.state === 'live'")
    await ben.caret(0)
    await ben.type("ben: ")
    await ben.saved()
    again = await room.join("ada", context=context)
    await again.until("text === 'ben: mine.\\nalso mine.' && status.state === 'live'")
    await again.until(f"{_DOCUMENT}.cursor?.head === 9")
    await again.type("!")
    assert await room.agree() == "ben: mine!.\nalso mine."
    await again.press("Control+z", "Control+z")
    assert await room.agree() == "ben: mine.\n"
    await again.press("Control+z", "Control+z", "Control+z")
    assert await room.agree() == "ben: "


async def test_a_crash_of_the_browsers_tab(room: Room) -> None:
    """The tab is gone without a goodbye, with edits the server has not seen; the next one brings them."""
    context = await room.context("ada")
    window = await room.join("ada", context=context)
    await controlled(window.page)
    await window.type("typed. ")
    await window.saved()
    room.server.kill()
    await window.until("status.state === 'offline'")
    await window.type("kept.")
    await window.until("text === 'typed. kept.' && status.unsent > 0 && status.isKept")
    await window.kept()
    room.windows.remove(window)
    await crash(window)
    room.server.start()
    await room.join("ada", context=context)
    await room.windows[0].until("text === 'typed. kept.'")
    assert await room.agree() == "typed. kept."


async def test_a_slow_network(room: Room) -> None:
    ada, ben = await room.join("ada"), await room.join("ben")
    devtools = await ada.devtools()
    await devtools.send("Network.enable")
    slow = {"offline": False, "latency": 400, "downloadThroughput": 20_000, "uploadThroughput": 10_000}
    await devtools.send("Network.emulateNetworkConditions", slow)
    await asyncio.gather(ada.type("slowly but surely "), ben.type("quickly "))
    text = await room.agree()
    assert text.replace("quickly ", "") == "slowly but surely " or sorted(text) == sorted("slowly but surely quickly ")


async def test_roles_change_while_typing(room: Room) -> None:
    """A viewer is told at once, sees everything and can type nothing; what was on its way is there or handed back."""
    ada, ben = await room.join("ada"), await room.join("ben")
    await ben.page.evaluate(
        "() => { globalThis.taken = 0; document.querySelector('.co-editor').coscribe.document.onChange((change) => {"
        " if (change.origin === 'own') for (const { insert } of change.edits) globalThis.taken += insert.length; }); }"
    )
    typed = asyncio.create_task(ben.type("b" * 200))
    await ada.until("text.length > 20")
    await room.set_role("ben", "viewer")
    await typed
    await ben.until("status.role === 'viewer'")
    await ben.page.get_by_role("button", name="View only").wait_for()
    await ada.type("ada")
    await ben.until("text.includes('ada')")
    text = await room.agree(refused=[ben])
    state = await ben.state()
    assert state is not None
    handed_back = "".join(patch["text"] for patch in state["patches"])
    assert text.count("b") + handed_back.count("b") == await ben.page.evaluate("globalThis.taken") > 20
    await ben.type("more")
    assert await room.agree(refused=[ben]) == text
    await room.set_role("ben", "editor")
    await ben.until("status.canEdit")
    await ben.caret(0)
    await ben.type("again ")
    assert await room.agree(refused=[ben]) == f"again {text}"


async def test_reading_goes_on_when_access_ends_and_nothing_typed_is_lost(room: Room) -> None:
    ada, ben = await room.join("ada"), await room.join("ben")
    await ben.page.context.set_offline(True)
    await ben.until("status.state !== 'live'")
    await ben.type("written on a train")
    await room.set_role("ben", "viewer")
    await ben.page.context.set_offline(False)
    await ben.until("status.state === 'live' && status.patches.length === 1")
    alert = ben.page.get_by_role("alert")
    await alert.get_by_text("written on a train").wait_for()
    await ada.type("ada")
    assert await room.agree(refused=[ben]) == "ada"
    await alert.get_by_role("button", name="Dismiss").click()
    await ben.until("status.patches.length === 0")


async def controlled(page: Page) -> None:
    """Waits until the service worker has everything that a reload without a server needs."""
    await page.evaluate("async () => { await navigator.serviceWorker.ready; }")
    await eventually(page, "navigator.serviceWorker.controller !== null")


async def crash(window: Window) -> None:
    """Ends the tab's process."""
    devtools = await window.devtools()
    gone = asyncio.Event()
    window.page.on("crash", lambda _: gone.set())
    with_crash = asyncio.create_task(devtools.send("Page.crash"))
    await asyncio.wait_for(gone.wait(), 30)
    with_crash.cancel()
    await window.page.close()
