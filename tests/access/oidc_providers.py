"""Two OpenID Connect providers on loopback: a real one in a process of its own, and one that can lie."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from joserfc import jws
from joserfc.jwk import Key, RSAKey

ALGORITHMS = ("RS256", "RS512", "PS256", "ES256", "Ed25519", "HS256")
_ANY_HEADER = jws.JWSRegistry(None, ALGORITHMS, strict_check_header=False)

CLIENT_ID = "coscribe-test"
CLIENT_SECRET = "a secret of no worth: %&+"


class RealProvider:
    """`oidc-provider-mock`, which asks nobody for a password."""

    def __init__(self, issuer: str, client: httpx.Client) -> None:
        self.issuer = issuer
        self._client = client

    def knows(self, subject: str, **claims: Any) -> None:
        """Somebody it can tell about."""
        answer = self._client.put(f"{self.issuer}/users/{subject}", json=claims)
        answer.raise_for_status()

    def agree(self, url: str, subject: str) -> str:
        """Somebody presses the button on its page; where it sends the browser."""
        return self._press(url, sub=subject)

    def refuse(self, url: str) -> str:
        return self._press(url, action="deny")

    def _press(self, url: str, **form: str) -> str:
        answer = self._client.post(url, data=form)
        assert answer.status_code == 302, answer.text[:500]
        return answer.headers["location"]


@contextmanager
def real_provider() -> Iterator[RealProvider]:
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", "0", "--require-nonce"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"})
    assert process.stderr is not None
    reading = None
    try:
        for line in process.stderr:
            if found := re.search(r"running on (http://127\.0\.0\.1:\d+)", line):
                reading = threading.Thread(target=process.stderr.read)
                reading.start()
                with httpx.Client(verify=False) as client:
                    yield RealProvider(found[1], client)
                break
        else:
            raise AssertionError(f"the provider has ended: {process.wait()}")
    finally:
        process.terminate()
        process.wait()
        if reading is not None:
            reading.join()
        process.stderr.close()


@cache
def _key() -> RSAKey:
    return RSAKey.generate_key(2_048, {"kid": "first"})


class LyingProvider:
    """Honest until told otherwise. ``asked`` counts the requests by path.

    ``discovery`` goes over what it says of itself, ``keys`` is what it publishes, ``answers`` replaces whole answers.
    """

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self.key = _key()
        self.keys: list[dict[str, Any]] = [dict(self.key.as_dict(private=False))]
        self.discovery: dict[str, Any] = {}
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: Counter[str] = Counter()
        self.token: Callable[[dict[str, Any]], str] = self.signed
        self.forms: list[dict[str, str]] = []
        self.authorizations: list[str | None] = []
        self.reached = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._codes: dict[str, dict[str, str]] = {}

    def agree(self, url: str, subject: str = "u1", **claims: Any) -> str:
        """Somebody presses the button on its page; where it sends the browser."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        code = "eyJ." + token_urlsafe(16)  # as some real ones begin
        self._codes[code] = {**asked, "sub": subject, "claims": json.dumps(claims)}
        return f"{asked['redirect_uri']}?code={code}&state={asked['state']}&session_state=eyJ.x"

    def signed(self, claims: dict[str, Any], key: Key | None = None, **header: Any) -> str:
        header = {"typ": "JWT", "alg": "RS256", "kid": "first", **header}
        return jws.serialize_compact(header, json.dumps(claims), key or self.key, list(ALGORITHMS), _ANY_HEADER)

    def answer(self, path: str, form: dict[str, str]) -> tuple[int, bytes]:
        self.asked[path] += 1
        self.reached.set()
        self.may_answer.wait()
        if path in self.answers:
            return self.answers[path]
        if path == "/token":
            return self._redeem(form)
        found = {"/keys": {"keys": self.keys}, "/.well-known/openid-configuration": self._described()}.get(path)
        return (404, b"{}") if found is None else (200, json.dumps(found).encode())

    def _described(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?realm=one",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            **self.discovery,
        }

    def _redeem(self, form: dict[str, str]) -> tuple[int, bytes]:
        self.forms.append(form)
        asked = self._codes.pop(form["code"], None)
        challenge = urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        if asked is None or (asked["redirect_uri"], asked["code_challenge"]) != (form["redirect_uri"], challenge):
            return 400, b'{"error": "invalid_grant"}'
        at = int(time.time())
        claims: dict[str, Any] = {"iss": self.issuer, "aud": CLIENT_ID, "sub": asked["sub"], "nonce": asked["nonce"]}
        claims |= {"iat": at, "exp": at + 300, **json.loads(asked["claims"])}
        answer = {"access_token": "of no use", "token_type": "Bearer", "id_token": self.token(claims)}
        return 200, json.dumps(answer).encode()


@contextmanager
def lying_provider() -> Iterator[LyingProvider]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["content-length"])).decode()
            provider.authorizations.append(self.headers["authorization"])
            self._answer({name: values[0] for name, values in parse_qs(text).items()})

        def _answer(self, form: dict[str, str]) -> None:
            status, body = provider.answer(self.path, form)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Somebody did not wait for the answer."""

    server = Server(("127.0.0.1", 0), Handler)
    provider = LyingProvider(server.server_port)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    try:
        yield provider
    finally:
        provider.may_answer.set()
        server.shutdown()
        serving.join()
        server.server_close()
