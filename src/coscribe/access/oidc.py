"""OpenID Connect: what a provider says of somebody, by the authorization code flow with PKCE.

    discovery   where its pages are, what it signs with      kept for an hour
    keys        what its signatures are checked with         kept for an hour; asked again for a key we do not know
    code        for it the provider gives an id token, which says who somebody is

An id token is believed if it is signed by the provider, for us, for this attempt, and is not too old. Every claim is
compared with what it must be. What the token says of its own signature chooses among the provider's keys, no more.
"""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha256
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote_plus

import httpx
import structlog
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import JWKRegistry, KeySet
from joserfc.jws import JWSRegistry

from coscribe.config import OidcProvider, is_protected
from coscribe.core.errors import Code, CoscribeError

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

ANSWER_SECONDS = 10.0
"""How long one question to a provider may take."""

MAX_ANSWER = 256_000
"""Bytes of an answer."""

KEPT_SECONDS = 3_600.0
"""How long what a provider publishes is kept."""

UNKNOWN_KEY_SECONDS = 60.0
"""How old its keys have to be to ask for them again because of one that is not among them."""

SKEW = 60
"""Seconds that clocks may differ."""

ALGORITHMS = frozenset(
    ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "Ed448")
)
"""Signatures that only the provider can make. With HS... whoever checks one can make one; "none" is none."""

_MALFORMED = (JoseError, ValueError, TypeError, KeyError, AttributeError)
"""What reading keys and tokens raises, whatever is wrong with them."""


class Profile(NamedTuple):
    """Whom the provider means. Only ``subject`` says who it is; the rest is what they call themselves, or ""."""

    subject: str
    username: str
    name: str
    email: str


class _Discovery(NamedTuple):
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    algorithms: list[str]
    secret_in_header: bool


class Provider:
    """One provider. ``now`` is seconds since 1970."""

    def __init__(self, settings: OidcProvider, client: httpx.AsyncClient, now: Callable[[], float]) -> None:
        self.settings = settings
        self._client = client
        self._now = now
        self._discovery = _Kept(self._discover, now)
        self._keys = _Kept(self._fetch_keys, now)

    async def sign_in_page(self, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """The address to send a browser to. Errors: ``provider_unavailable``."""
        discovery = await self._discovery.get()
        challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(dict.fromkeys(("openid", *self.settings.scopes))),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return str(httpx.URL(discovery.authorization_endpoint).copy_merge_params(asked))

    async def redeem(self, code: str, redirect_uri: str, nonce: str, verifier: str) -> Profile:
        """Who came back with a code. Errors: ``external_sign_in_failed``, ``provider_unavailable``."""
        discovery = await self._discovery.get()
        client_id, secret = self.settings.client_id, self.settings.client_secret
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": client_id,
            "code_verifier": verifier,
        }
        options: dict[str, Any] = {"data": form}
        if secret and discovery.secret_in_header:
            options["auth"] = (quote_plus(client_id), quote_plus(secret))
        elif secret:
            form["client_secret"] = secret
        status, answer = await self._ask("POST", discovery.token_endpoint, **options)
        if status != 200 or not isinstance(answer.get("id_token"), str):
            raise self._failed(f"the code was not taken: {status} {answer.get('error')}")
        try:
            return await self._read(answer["id_token"], nonce, discovery.algorithms)
        except _MALFORMED as error:
            raise self._failed(f"the id token is not good: {type(error).__name__} {error}") from None

    async def _read(self, id_token: str, nonce: str, algorithms: list[str]) -> Profile:
        """The id token's claims, checked. Raises _MALFORMED."""
        registry = JWSRegistry(algorithms=algorithms, strict_check_header=False)
        keys = await self._keys.get()
        try:
            claims = jwt.decode(id_token, keys, registry=registry).claims
        except InvalidKeyIdError:
            keys = await self._keys.get(UNKNOWN_KEY_SECONDS)
            claims = jwt.decode(id_token, keys, registry=registry).claims
        jwt.JWTClaimsRegistry(
            int(self._now()),
            SKEW,
            iss={"essential": True, "value": self.settings.issuer},
            aud={"essential": True, "value": self.settings.client_id},
            nonce={"essential": True, "value": nonce},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
        ).validate(claims)
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if several else self.settings.client_id) != self.settings.client_id:
            raise ValueError("azp: it was made for somebody else")
        subject = claims["sub"]
        if not (len(subject) <= 255 and subject.isascii() and subject.isprintable()):
            raise ValueError("sub: at most 255 characters of ASCII")
        said = (claims.get(name) for name in ("preferred_username", "name", "email"))
        return Profile(subject, *(text if isinstance(text, str) else "" for text in said))

    # ---- what the provider publishes

    async def _discover(self) -> _Discovery:
        issuer = self.settings.issuer
        status, found = await self._ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if status != 200 or found.get("issuer") != issuer:
            raise self._unavailable(f"discovery: {status}, issuer {found.get('issuer')!r}")
        pages, tokens = str(found.get("authorization_endpoint")), str(found.get("token_endpoint"))
        keys = str(found.get("jwks_uri"))
        if not all(map(is_protected, (pages, tokens, keys))):
            raise self._unavailable("discovery: an address is missing, or is not https")
        algorithms = [name for name in _texts(found, "id_token_signing_alg_values_supported") if name in ALGORITHMS]
        if not algorithms:
            raise self._unavailable("discovery: no algorithm that can be trusted")
        methods = _texts(found, "token_endpoint_auth_methods_supported")
        secret_in_header = "client_secret_basic" in methods or "client_secret_post" not in methods
        return _Discovery(pages, tokens, keys, algorithms, secret_in_header)

    async def _fetch_keys(self) -> KeySet:
        discovery = await self._discovery.get()
        status, found = await self._ask("GET", discovery.jwks_uri)
        usable, listed = [], found.get("keys")
        for key in listed if status == 200 and isinstance(listed, list) else []:
            with suppress(*_MALFORMED):
                if key["kty"] in ("RSA", "EC", "OKP") and key.get("use", "sig") == "sig":
                    usable.append(JWKRegistry.import_key(key))
        if not usable:
            raise self._unavailable(f"keys: {status}, none of use")
        return KeySet(usable)

    async def _ask(self, method: str, url: str, **options: Any) -> tuple[int, dict[str, Any]]:
        """Status and JSON object of an answer. Errors: ``provider_unavailable``."""
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        body = bytearray()
        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS),
                self._client.stream(method, url, headers=headers, **options) as response,
            ):
                async for part in response.aiter_raw():
                    body += part
                    if len(body) > MAX_ANSWER:
                        raise ValueError("the answer is too long")
            answer = json.loads(body)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError, RecursionError) as error:
            raise self._unavailable(f"{url}: {type(error).__name__} {error}") from None
        if response.status_code >= 500 or not isinstance(answer, dict):
            raise self._unavailable(f"{url}: {response.status_code}")
        return response.status_code, answer

    def _unavailable(self, why: str) -> CoscribeError:
        log.warning("provider_unavailable", provider=self.settings.name, why=why[:300])
        return CoscribeError(Code.PROVIDER_UNAVAILABLE, f"{self.settings.name} does not answer as it should")

    def _failed(self, why: str) -> CoscribeError:
        why = why.encode("ascii", "backslashreplace").decode()[:300]  # it may quote whatever was sent
        log.warning("external_sign_in_failed", provider=self.settings.name, why=why)
        return CoscribeError(Code.EXTERNAL_SIGN_IN_FAILED, why)


class _Kept(Generic[_T]):
    """Something that is fetched when it is asked for, and kept; who asks meanwhile waits for the same answer."""

    def __init__(self, fetch: Callable[[], Awaitable[_T]], now: Callable[[], float]) -> None:
        self._fetch = fetch
        self._now = now
        self._value: _T | None = None
        self._at = 0.0
        self._fetching: asyncio.Task[_T] | None = None

    async def get(self, max_age: float = KEPT_SECONDS) -> _T:
        """It, no older than so many seconds. Raises what fetching raises."""
        if self._value is not None and self._now() - self._at < max_age:
            return self._value
        if self._fetching is None:
            self._fetching = asyncio.get_running_loop().create_task(self._renew())
        return await asyncio.shield(self._fetching)

    async def _renew(self) -> _T:
        try:
            self._value = await self._fetch()
            self._at = self._now()
            return self._value
        finally:
            self._fetching = None


def _texts(found: dict[str, Any], name: str) -> list[str]:
    """A list of texts in a document; what is not one is empty."""
    listed = found.get(name)
    return [text for text in listed if isinstance(text, str)] if isinstance(listed, list) else []
