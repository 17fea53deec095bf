"""Requests to a server's API, as commands make them: an answer, a refusal, or the command ends and says what to do."""

from __future__ import annotations

import platform
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

from coscribe.cli.common import fail, http_url, is_loopback, nobody_answers

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 15.0
ANSWER_SECONDS = 60.0
LONG_ANSWER_SECONDS = 600.0
"""For a text of any size, on its way to the disk."""

NO_CONTENT = 204
_ANSWERS = ("application/json", "application/x-ndjson")


class Refused(Exception):
    """The server said no. ``code`` is one of the table in docs/protocol.md; ``advice`` is for people."""

    def __init__(self, status: int, code: str, detail: str, advice: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.advice = advice


class Request(NamedTuple):
    """What is asked for, below ``/api``."""

    method: str
    path: str
    json: object = None
    params: Mapping[str, str | int] = {}
    headers: Mapping[str, str] = {}
    content: bytes | Iterable[bytes] | None = None
    seconds: float = ANSWER_SECONDS


class Line:
    """A line to one server. ``url`` names it, always in one way. Use as a context manager."""

    def __init__(self, server: str) -> None:
        import httpx  # here: commands that talk to no API start faster without it

        self.url = http_url(server)
        local = is_loopback(self.url)
        unused = local and self.url.startswith("http:")
        self._client = httpx.Client(
            headers={"User-Agent": f"coscribe/{version('coscribe')} ({platform.node()})"},
            trust_env=not local,  # a proxy has no way to this machine's own address
            # Reading the certificates of the system takes a while; without any, none is trusted.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if unused else True,
        )

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def ask(self, request: Request, token: str = "") -> httpx.Response:
        """The answer. Raises Refused. Ends with advice where there is none."""
        with self._told():
            response = self._client.send(self._build(request, token))
            self._check(response)
            return response

    @contextmanager
    def reading(self, request: Request, token: str = "") -> Iterator[Iterator[str]]:
        """The answer line by line, as it comes. Raises Refused. Ends with advice where there is none."""
        with self._streaming(request, token) as response:
            yield response.iter_lines()

    @contextmanager
    def fetching(self, request: Request, token: str = "") -> Iterator[Iterator[bytes]]:
        """The answer as bytes, as they come. Raises Refused. Ends with advice where there is none."""
        with self._streaming(request, token) as response:
            yield response.iter_bytes()

    @contextmanager
    def _streaming(self, request: Request, token: str) -> Iterator[httpx.Response]:
        with self._told():
            response = self._client.send(self._build(request, token), stream=True)
            try:
                if not response.is_success:
                    response.read()
                self._check(response)
                yield response
            finally:
                response.close()

    @contextmanager
    def pieces(self, request: Request, token: str = "") -> Iterator[Iterator[bytes]]:
        """The answer piece by piece, as it comes. Raises Refused. Ends with advice where there is none."""
        with self._told():
            response = self._client.send(self._build(request, token), stream=True)
            try:
                if not response.is_success:
                    response.read()
                    self._check(response)
                yield response.iter_bytes()
            finally:
                response.close()

    def _build(self, request: Request, token: str) -> httpx.Request:
        import httpx

        if not (token.isascii() and token.isprintable()):
            fail("this is no token: it has characters that none has", "Look at --token and COSCRIBE_TOKEN.")
        headers = {"Accept": "application/json", **request.headers}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            return self._client.build_request(
                request.method,
                f"{self.url}/api{request.path}",
                json=request.json,
                params=dict(request.params) or None,
                headers=headers,
                content=request.content,
                timeout=httpx.Timeout(request.seconds, connect=CONNECT_SECONDS),
            )
        except UnicodeEncodeError as error:  # of a name on this machine, or an argument, that is any bytes
            fail(f"{error.object!r} is not UTF-8", "Rename it, or write it otherwise: what is sent is text.")

    def _check(self, response: httpx.Response) -> None:
        media = response.headers.get("content-type", "")
        if response.is_success and (response.status_code == NO_CONTENT or media.startswith(_ANSWERS)):
            return
        if not media.startswith("application/problem+json"):
            fail(
                f"{self.url} answers {response.status_code}, but not as a Coscribe server does",
                "Give --server with the address that `coscribe serve` prints.",
            )
        problem: dict[str, Any] = response.json()
        detail, advice = problem["detail"], problem["help"]
        if "retry-after" in response.headers:
            advice = f"Try again in {response.headers['retry-after']} s."
        raise Refused(response.status_code, problem["code"], "" if detail == problem["help"] else detail, advice)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Ends with advice where the connection cannot be made or breaks."""
        import httpx

        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if "certificate" in str(error).lower() or "ssl" in str(error).lower():
                fail(f"no secure connection to {self.url}: {error}", "Trust its certificate: SSL_CERT_FILE=FILE.")
            nobody_answers(self.url)
        except httpx.TimeoutException:
            fail(f"{self.url} does not answer", "It may be busy, or done all the same: look before you try again.")
        except httpx.TransportError as error:
            fail(f"the connection to {self.url} broke: {error}", "Look whether it was done before you try again.")
