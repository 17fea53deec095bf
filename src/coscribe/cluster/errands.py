"""Errands: what one core has another do for it, because that one owns what it is about.

They travel as requests by HTTP do, and are bounded and cut off as those; only our own instances can send them. What is
asked has been allowed by whoever asks: it comes with the identity that it is done for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coscribe.cluster.relay import Elsewhere, Request
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import StorageError

log = structlog.get_logger(__name__)

KIND = "errand"
"""Of the channels that they take."""

Do = Callable[[bytes], Awaitable[bytes]]

TRIES = 3
"""Of what the owner has handed over just when it was to do it."""

_CODES = {code.value.code: code for code in Code}


class _Refusal(msgspec.Struct, array_like=True, frozen=True):
    code: str
    detail: str
    file_id: str | None
    operation_id: str | None


class Errands:
    """``elsewhere``: that of channels of this `KIND`, with the application that `doing` makes. What is done by one is
    done once, however often it is sent; or it does not matter."""

    def __init__(self, elsewhere: Elsewhere) -> None:
        self._elsewhere = elsewhere

    async def run(self, file_id: str, what: str, asked: bytes) -> bytes:
        """What the owner of a file, document or workspace answers. Errors: those of what is done there;
        ``owner_unavailable``, ``overloaded``. Raises StorageError."""
        for _ in range(TRIES - 1):
            try:
                return await self._try(file_id, what, asked)
            except CoscribeError as error:
                if error.code is not Code.MOVED:
                    raise
        return await self._try(file_id, what, asked)

    async def _try(self, file_id: str, what: str, asked: bytes) -> bytes:
        outcome = _Outcome(asked)
        request = Request(_scope(what), outcome.receive, outcome.send, keeps=len(asked))
        await self._elsewhere.to_owner(file_id, request)
        return outcome.answer()


def doing(errands: Mapping[str, Do]) -> ASGIApp:
    """The application that answers errands, each by its name."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        try:
            status, answer = 200, await errands[scope["path"]](bytes(body))
        except CoscribeError as error:
            status, answer = 400, _refused(error)
        except StorageError as error:
            log.error("storage_failed", error=str(error))
            status, answer = 400, _refused(CoscribeError(Code.STORAGE_UNAVAILABLE))
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": answer})

    return app


class _Outcome:
    """What goes to the owner, and what comes back."""

    def __init__(self, asked: bytes) -> None:
        self._asked: bytes | None = asked
        self._status = 0
        self._body = bytearray()
        self._is_whole = False

    async def receive(self) -> Message:
        if self._asked is None:  # nothing comes behind it, and nobody goes away
            await asyncio.Event().wait()
        asked, self._asked = self._asked, None
        return {"type": "http.request", "body": asked, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        else:
            self._body += message.get("body", b"")
            self._is_whole = not message.get("more_body", False)

    def answer(self) -> bytes:
        """Errors: what the owner refused it with."""
        if not self._is_whole:
            raise CoscribeError(Code.OWNER_UNAVAILABLE, "the answer was cut off")
        if self._status == 400:
            refusal = msgspec.msgpack.decode(self._body, type=_Refusal)
            raise CoscribeError(
                _CODES.get(refusal.code, Code.INTERNAL),
                refusal.detail,
                file_id=refusal.file_id,
                operation_id=refusal.operation_id,
            )
        if self._status != 200:
            raise CoscribeError(Code.INTERNAL, "another instance failed")
        return bytes(self._body)


def _refused(error: CoscribeError) -> bytes:
    refusal = _Refusal(error.code.value.code, error.detail, error.file_id, error.operation_id)
    return msgspec.msgpack.encode(refusal)


def _scope(what: str) -> Scope:
    return {"type": "http", "method": "POST", "path": what, "headers": []}
