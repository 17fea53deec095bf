"""A real browser: headless Chromium, driven by its DevTools protocol.

    async with open_browser(folder) as browser:
        page = await browser.page()          # of a fresh person: cookies and storage of their own
        await page.go(url)
        await page.type("Password", "...")   # into the input of that label
        await page.click("Sign in")          # the button, link or summary of that name
        await page.see("Documents")          # wait until the text is on the page

Typing and clicking are input events of the browser, so what is covered, hidden or out of reach cannot be used. Whatever
a page reports as wrong (an exception, a refused script or style) is in `Page.troubles`.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

PATIENCE = 60.0
"""Seconds for what takes well under one: only a page that hangs is ever given up on."""

FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)

_LOOK = """((within) => {
  const dialog = [...document.querySelectorAll('dialog[open]')].pop();
  const part = [...document.querySelectorAll('h2')].find((each) => each.innerText === within)?.parentElement;
  const page = part ?? dialog ?? document;
  const shown = (element) => element.getClientRects().length > 0;
  const name = (element) => (element.getAttribute('aria-label') ?? element.innerText ?? '').trim();
  const usable = [...page.querySelectorAll('button, a, summary')].filter(shown);
  return {
    button: (text) => usable.find((element) => name(element) === text),
    input: (text) => {
      const label = [...page.querySelectorAll('label')].find((each) => shown(each) && each.innerText.startsWith(text));
      const named = [...page.querySelectorAll('input, textarea, select')];
      return label?.control ?? named.find((each) => shown(each) && each.getAttribute('aria-label') === text);
    },
  };
})"""


class PageError(Exception):
    """A script in the page failed."""


class Page:
    """A tab. Raises TimeoutError where something does not come, with what is on the page instead."""

    def __init__(self, browser: Browser, session: str, person: str) -> None:
        self._browser = browser
        self._session = session
        self._person = person
        self._losing = False
        self.troubles: list[str] = []

    async def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        return await self._browser.command(method, self._session, **parameters)

    async def run(self, script: str) -> Any:
        """The value of an expression; a promise is awaited."""
        answer = await self.command("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise PageError(answer["exceptionDetails"].get("exception", {}).get("description", str(answer)))
        return answer["result"].get("value")

    async def wait(self, script: str, why: str = "") -> Any:
        """Until an expression is true; returns its value."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    try:
                        value = await self.run(script)
                    except PageError:
                        raise
                    except RuntimeError:  # the page is on its way to another address
                        value = None
                    if value:
                        return value
                    await asyncio.sleep(0.02)
        except TimeoutError:
            shown = await self.run("document.body.innerText")
            raise TimeoutError(f"{why or script}; the page shows:\n{shown}") from None

    async def go(self, url: str) -> None:
        """Opens an address as if it were typed: from anew, also if only its fragment differs."""
        await self.command("Page.navigate", url="about:blank")
        await self.wait("location.href === 'about:blank'")
        await self.command("Page.navigate", url=url)
        await self.wait("document.readyState === 'complete'")

    async def see(self, text: str) -> None:
        await self.wait(f"document.body?.innerText.includes({json.dumps(text)})", f"no {text!r}")

    async def lose(self, text: str) -> None:
        await self.wait(f"document.body && !document.body.innerText.includes({json.dumps(text)})", f"still {text!r}")

    async def click(self, name: str) -> None:
        """Clicks the button, link or menu of this name, once it is there and nothing covers it."""
        await self._click(f"{_LOOK}().button({json.dumps(name)})", f"nothing called {name!r} can be clicked")

    async def type(self, label: str, text: str, *, within: str = "") -> None:
        """Replaces what is in the input of this label, in the part of the page that has the heading ``within``."""
        found = f"{_LOOK}({json.dumps(within)}).input({json.dumps(label)})"
        await self._click(found, f"no input called {label!r}")
        await self.run(f"{found}.select()")
        await self.command("Input.insertText", text=text)

    async def insert(self, text: str) -> None:
        """Types at the caret."""
        await self.command("Input.insertText", text=text)

    async def choose(self, label: str, value: str) -> None:
        found = f"{_LOOK}().input({json.dumps(label)})"
        await self.wait(f"{found} !== undefined", f"no list called {label!r}")
        await self.run(
            f"(() => {{ const list = {found}; list.value = {json.dumps(value)};"
            " list.dispatchEvent(new Event('change', { bubbles: true })); })()"
        )

    async def press(self, key: str, *, control: bool = False) -> None:
        code = {"Enter": 13, "Escape": 27, "Tab": 9}.get(key, ord(key[0].upper()))
        more = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            await self.command(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                windowsVirtualKeyCode=code,
                modifiers=2 if control else 0,
                **(more if kind == "keyDown" else {}),
            )

    async def lose_answers(self, pattern: str) -> None:
        """From here on the answers to PUT requests for such addresses are lost on their way."""
        self._losing = True
        await self.command("Fetch.enable", patterns=[{"urlPattern": pattern, "requestStage": "Response"}])

    async def keep_answers(self) -> None:
        self._losing = False

    async def choose_files(self, selector: str, files: list[Path]) -> None:
        """Gives files to an input that opens the system's dialog otherwise."""
        found = await self.command("Runtime.evaluate", expression=f"document.querySelector({json.dumps(selector)})")
        paths = [str(file) for file in files]
        await self.command("DOM.setFileInputFiles", files=paths, objectId=found["result"]["objectId"])

    async def download_to(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        await self._browser.command(
            "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder), browserContextId=self._person
        )

    async def downloaded(self, folder: Path) -> Path:
        """The file that was saved, once it is whole."""
        async with asyncio.timeout(PATIENCE):
            found: list[Path] = []
            while not found:  # a file tells nobody that it is there
                await asyncio.sleep(0.02)
                found = [file for file in folder.iterdir() if file.suffix != ".crdownload"]
        return found[0]

    async def paused(self, request: dict[str, Any]) -> None:
        """A request that waits for what becomes of its answer."""
        if self._losing and request["request"]["method"] == "PUT":
            await self.command("Fetch.failRequest", requestId=request["requestId"], errorReason="ConnectionReset")
        else:
            await self.command("Fetch.continueRequest", requestId=request["requestId"])

    async def look(self, width: int, height: int, *, dark: bool = False, mobile: bool = False) -> None:
        """The size of the window, and what the person prefers."""
        await self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.command("Emulation.setEmulatedMedia", features=[scheme])

    async def screenshot(self, path: Path) -> None:
        image = await self.command("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(image["data"]))

    async def _click(self, found: str, why: str) -> None:
        # Where its middle is, once that is the element itself and no longer on the move.
        place = await self.wait(
            f"""(async () => {{
              const element = {found};
              if (!element) return null;
              element.scrollIntoView({{ block: 'nearest' }});
              const before = element.getBoundingClientRect();
              await new Promise((resolve) => setTimeout(resolve));
              const box = element.getBoundingClientRect();
              const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
              const top = document.elementFromPoint(x, y);
              return before.x === box.x && before.y === box.y && (element.contains(top) || top?.contains(element))
                && element.getAttribute('aria-disabled') !== 'true' && [x, y];
            }})()""",
            why,
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.command(
                "Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1
            )


class Browser:
    """One Chromium process; each page is of a person of its own."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}
        self._deciding: list[asyncio.Task[None]] = []
        self._reading = asyncio.create_task(self._read())

    async def command(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Raises RuntimeError for what the browser refuses."""
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": parameters}
        await self._socket.send(json.dumps(message | ({"sessionId": session} if session else {})))
        async with asyncio.timeout(PATIENCE):
            result: dict[str, Any] = await answer
        return result

    @property
    def pages(self) -> list[Page]:
        return list(self._pages.values())

    async def page(self) -> Page:
        """A tab of somebody new: cookies and storage of their own."""
        person = (await self.command("Target.createBrowserContext"))["browserContextId"]
        target = await self.command("Target.createTarget", url="about:blank", browserContextId=person)
        attached = await self.command("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = self._pages[attached["sessionId"]] = Page(self, attached["sessionId"], person)
        for domain in ("Page", "Runtime", "Log", "Network"):
            await page.command(f"{domain}.enable")
        await page.look(1280, 800)
        return page

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, *self._deciding, return_exceptions=True)

    async def _read(self) -> None:
        async for frame in self._socket:
            message = json.loads(frame)
            answer = self._answers.pop(message.get("id", 0), None)
            if answer is not None and not answer.done():
                if "error" in message:
                    answer.set_exception(RuntimeError(message["error"]["message"]))
                else:
                    answer.set_result(message["result"])
            page = self._pages.get(message.get("sessionId", ""))
            if page is None:
                continue
            if trouble := _trouble(message):
                page.troubles.append(trouble)
            if message.get("method") == "Fetch.requestPaused":
                self._deciding.append(asyncio.create_task(page.paused(message["params"])))
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(RuntimeError("the browser has ended"))


def _trouble(message: dict[str, Any]) -> str:
    """What a page reports as wrong. That a request was refused is no trouble: pages show it."""
    parameters = message.get("params", {})
    if message.get("method") == "Runtime.exceptionThrown":
        details = parameters["exceptionDetails"]
        return str(details.get("exception", {}).get("description", details["text"]))
    entry = parameters.get("entry", {})
    if message.get("method") == "Log.entryAdded" and entry["level"] == "error" and entry["source"] != "network":
        return str(entry["text"])
    return ""


@asynccontextmanager
async def open_browser(folder: Path) -> AsyncIterator[Browser]:
    """Starts Chromium with a profile in ``folder``."""
    assert CHROMIUM is not None
    flags = [*FLAGS, f"--user-data-dir={folder}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    process = await asyncio.create_subprocess_exec(
        CHROMIUM, *flags, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE):
            while b"DevTools listening on " not in (line := await process.stderr.readline()):
                assert line, "the browser did not start"
        drain = asyncio.create_task(_drain(process.stderr))
        async with connect(line.decode().split()[-1], max_size=None, proxy=None) as socket:
            browser = Browser(socket)
            try:
                yield browser
            finally:
                await browser.close()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await drain


async def _drain(stream: asyncio.StreamReader) -> None:
    """A browser that writes into a full pipe would stand still."""
    while await stream.read(65_536):
        pass
