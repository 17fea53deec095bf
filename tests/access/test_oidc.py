"""What is believed of what a provider says, and how it is asked."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

import httpx
import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from pydantic import ValidationError

from coscribe.access import oidc
from coscribe.access.oidc import Profile, Provider
from coscribe.config import OidcProvider, Settings, is_protected
from coscribe.core.errors import Code, CoscribeError
from tests.access.oidc_providers import CLIENT_ID, CLIENT_SECRET, LyingProvider, lying_provider

pytestmark = pytest.mark.slow

REDIRECT = "https://notes.example/api/session/external/school/callback"
DISCOVERY = "/.well-known/openid-configuration"


class Visit:
    """Somebody at the provider, seen from here; ``at`` is what our clock says."""

    def __init__(self, liar: LyingProvider, client: httpx.AsyncClient) -> None:
        self.liar = liar
        self.at = time.time()
        settings = OidcProvider(
            name="school", issuer=liar.issuer, client_id=CLIENT_ID, client_secret=CLIENT_SECRET, scopes=("email",)
        )
        self.provider = Provider(settings, client, lambda: self.at)

    async def page(self) -> str:
        return await self.provider.sign_in_page(REDIRECT, "state", "nonce", "verifier")

    async def come_back(self, verifier: str = "verifier", **claims: Any) -> Profile:
        back = self.liar.agree(await self.page(), **{"subject": "u1", **claims})
        code = parse_qs(urlsplit(back).query)["code"][0]
        return await self.provider.redeem(code, REDIRECT, "nonce", verifier)

    async def is_refused(self, code: Code = Code.EXTERNAL_SIGN_IN_FAILED, **claims: Any) -> None:
        with pytest.raises(CoscribeError) as caught:
            await self.come_back(**claims)
        assert caught.value.code is code, caught.value


@pytest.fixture
def liar() -> Iterator[LyingProvider]:
    with lying_provider() as provider:
        yield provider


@pytest.fixture
async def visit(liar: LyingProvider) -> AsyncIterator[Visit]:
    async with httpx.AsyncClient(verify=False) as client:
        yield Visit(liar, client)


# ---- what is asked


async def test_the_page_is_asked_for_a_code_with_a_challenge(visit: Visit) -> None:
    asked = parse_qs(urlsplit(await visit.page()).query)
    assert asked["realm"] == ["one"]
    assert asked["redirect_uri"] == [REDIRECT]
    assert asked["scope"] == ["openid email"]
    assert asked["code_challenge"] == [_text(sha256(b"verifier").digest())]
    assert "verifier" not in asked


async def test_an_honest_answer_says_who_somebody_is(visit: Visit) -> None:
    said = {"preferred_username": "ann", "name": "Ann", "email": "ann@school.example"}
    assert await visit.come_back(**said) == Profile("u1", "ann", "Ann", "ann@school.example")
    assert await visit.come_back(preferred_username=7, name=None, email=["x"]) == Profile("u1", "", "", "")


async def test_a_code_is_good_with_its_verifier_only(visit: Visit) -> None:
    await visit.is_refused(verifier="another")


@pytest.mark.parametrize(
    ("methods", "in_header"),
    [(None, True), (["client_secret_basic", "client_secret_post"], True), (["client_secret_post"], False)],
)
async def test_our_secret_goes_where_the_provider_wants_it(visit: Visit, methods: Any, in_header: bool) -> None:
    if methods is not None:
        visit.liar.discovery["token_endpoint_auth_methods_supported"] = methods
    await visit.come_back()
    authorization, form = visit.liar.authorizations[0], visit.liar.forms[0]
    if in_header:
        assert authorization is not None and "client_secret" not in form
        pair = b64decode(authorization.removeprefix("Basic ")).decode().split(":")
        assert list(map(unquote_plus, pair)) == [CLIENT_ID, CLIENT_SECRET]
    else:
        assert authorization is None and form["client_secret"] == CLIENT_SECRET


# ---- lies


@pytest.mark.parametrize(
    "lie",
    [
        {"iss": "https://other.example"},
        {"iss": None},
        {"aud": "somebody-else"},
        {"aud": ["somebody-else"]},
        {"aud": [CLIENT_ID, "somebody-else"]},
        {"aud": [CLIENT_ID, "somebody-else"], "azp": "somebody-else"},
        {"aud": []},
        {"aud": None},
        {"azp": "somebody-else"},
        {"azp": None},
        {"exp": 1},
        {"exp": "9999999999"},
        {"exp": None},
        {"iat": 99_999_999_999},
        {"iat": None},
        {"nbf": 99_999_999_999},
        {"nonce": "another"},
        {"nonce": ""},
        {"nonce": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a" * 256},
        {"sub": "ann\u00e9"},
        {"sub": "ann\n"},
        {"sub": "\ud800"},
    ],
    ids=str,
)
async def test_a_claim_that_is_not_as_it_must_be(visit: Visit, lie: dict[str, Any]) -> None:
    await visit.is_refused(**lie)


@pytest.mark.parametrize("missing", ["iss", "aud", "nonce", "exp", "iat", "sub"])
async def test_a_claim_that_is_not_there(visit: Visit, missing: str) -> None:
    visit.liar.token = lambda claims: visit.liar.signed({name: claims[name] for name in claims if name != missing})
    await visit.is_refused()


async def test_several_audiences_with_us_as_the_party(visit: Visit) -> None:
    assert (await visit.come_back(aud=[CLIENT_ID, "somebody-else"], azp=CLIENT_ID)).subject == "u1"
    assert (await visit.come_back(aud=[CLIENT_ID])).subject == "u1"


async def test_a_token_expires_by_our_clock(visit: Visit) -> None:
    await visit.page()
    visit.at += 300 + oidc.SKEW - 5
    assert (await visit.come_back()).subject == "u1"
    visit.at += 10
    await visit.is_refused()


def _unsigned(claims: dict[str, Any], **header: Any) -> str:
    return f"{_json(header)}.{_json(claims)}"


def _with_hmac(claims: dict[str, Any], key: bytes, **header: Any) -> str:
    body = _unsigned(claims, alg="HS256", **header)
    return f"{body}.{_text(hmac.digest(key, body.encode(), 'sha256'))}"


def _json(value: Any) -> str:
    return _text(json.dumps(value).encode())


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


LIES: dict[str, Callable[[LyingProvider, dict[str, Any]], str]] = {
    "none": lambda _, claims: _unsigned(claims, alg="none") + ".",
    "none with our key's id": lambda _, claims: _unsigned(claims, alg="none", kid="first") + ".",
    "HMAC with the public key": lambda liar, claims: _with_hmac(claims, liar.key.as_pem(private=False), kid="first"),
    "HMAC with the key as published": lambda liar, claims: _with_hmac(
        claims, json.dumps(liar.keys[0]).encode(), kid="first"
    ),
    "HMAC with our secret": lambda _, claims: _with_hmac(claims, CLIENT_SECRET.encode(), kid="first"),
    "a stranger's key": lambda liar, claims: liar.signed(claims, RSAKey.generate_key(2_048)),
    "a key of its own": lambda liar, claims: _with_own_key(liar, claims),
    "a changed claim": lambda liar, claims: _changed(liar.signed(claims)),
    "no signature": lambda liar, claims: liar.signed(claims).rpartition(".")[0] + ".",
    "an algorithm not offered": lambda liar, claims: liar.signed(claims, alg="RS512"),
    "not a token": lambda liar, claims: "abc",
    "empty": lambda liar, claims: "",
    "no object": lambda liar, claims: _with_hmac([], b"", kid="first"),  # type: ignore[arg-type]  # the lie
    "encrypted": lambda liar, claims: "a.b.c.d.e",
    "alg is a list": lambda liar, claims: _unsigned(claims, alg=["RS256"], kid="first") + ".c2ln",
    "kid is a list": lambda liar, claims: _unsigned(claims, alg="RS256", kid=["first"]) + ".c2ln",
    "the header is a list": lambda liar, claims: f"{_json([])}.{_json(claims)}.c2ln",
    "critical": lambda liar, claims: _unsigned(claims, alg="RS256", kid="first", crit=["x"], x=1) + ".c2ln",
}


def _with_own_key(liar: LyingProvider, claims: dict[str, Any]) -> str:
    """The header brings the key to check it with."""
    key = RSAKey.generate_key(2_048)
    return liar.signed(claims, key, jwk=key.as_dict(private=False))


def _changed(token: str) -> str:
    header, _, signature = token.split(".")
    return f"{header}.{_json({'sub': 'admin'})}.{signature}"


@pytest.mark.parametrize("lie", LIES)
async def test_a_signature_that_is_not_the_providers(visit: Visit, lie: str) -> None:
    visit.liar.token = lambda claims: LIES[lie](visit.liar, claims)
    await visit.is_refused()


async def test_a_shared_key_among_the_published_ones_is_no_key(visit: Visit) -> None:
    shared = OctKey.generate_key(256, {"kid": "shared"})
    visit.liar.keys.append(dict(shared.as_dict(private=True)))
    visit.liar.token = lambda claims: visit.liar.signed(claims, shared, alg="HS256", kid="shared")
    await visit.is_refused()


@pytest.mark.parametrize("offered", [["HS256", "none"], [], None, "RS256", [7]])
async def test_a_provider_whose_signatures_anybody_can_make(visit: Visit, offered: Any) -> None:
    visit.liar.discovery["id_token_signing_alg_values_supported"] = offered
    await visit.is_refused(Code.PROVIDER_UNAVAILABLE)


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("PS256", RSAKey.generate_key(2_048, {"kid": "k"})),
        ("ES256", ECKey.generate_key("P-256", {"kid": "k"})),
        ("Ed25519", OKPKey.generate_key("Ed25519", {"kid": "k"})),
    ],
)
async def test_other_good_algorithms(visit: Visit, algorithm: str, key: Any) -> None:
    visit.liar.discovery["id_token_signing_alg_values_supported"] = [algorithm]
    visit.liar.keys = [{"kty": "new kind"}, {"kty": "RSA", "kid": "k"}, 7, key.as_dict(private=False)]  # type: ignore[list-item]
    visit.liar.token = lambda claims: visit.liar.signed(claims, key, alg=algorithm, kid="k", odd=1)
    assert (await visit.come_back()).subject == "u1"


# ---- keys


async def test_a_new_key_is_asked_for_but_not_all_the_time(visit: Visit) -> None:
    """Otherwise whoever sends bad tokens makes us ask and ask."""
    await visit.come_back()
    assert visit.liar.asked["/keys"] == 1
    new = RSAKey.generate_key(2_048, {"kid": "second"})
    visit.liar.token = lambda claims: visit.liar.signed(claims, new, kid="second")
    visit.liar.keys.append(dict(new.as_dict(private=False)))
    await visit.is_refused()
    assert visit.liar.asked["/keys"] == 1
    visit.at += oidc.UNKNOWN_KEY_SECONDS
    await visit.come_back()
    assert visit.liar.asked["/keys"] == 2
    visit.liar.token = lambda claims: visit.liar.signed(claims, new, kid="third")
    for _ in range(3):
        await visit.is_refused()
    assert visit.liar.asked["/keys"] == 2


async def test_what_is_published_is_kept_for_an_hour(visit: Visit) -> None:
    for _ in range(3):
        await visit.come_back()
    assert visit.liar.asked == {DISCOVERY: 1, "/keys": 1, "/token": 3}
    visit.at += oidc.KEPT_SECONDS
    await visit.is_refused()  # the token is too old by now
    assert visit.liar.asked == {DISCOVERY: 2, "/keys": 2, "/token": 4}


async def test_a_key_that_was_taken_back_is_not_believed_for_longer(visit: Visit) -> None:
    await visit.come_back()
    visit.liar.keys = [dict(RSAKey.generate_key(2_048, {"kid": "second"}).as_dict(private=False))]
    visit.at += oidc.KEPT_SECONDS
    await visit.is_refused(exp=int(visit.at) + 60)


async def test_many_at_once_ask_once(visit: Visit) -> None:
    await asyncio.gather(*(visit.page() for _ in range(20)))
    assert visit.liar.asked == {DISCOVERY: 1}


# ---- providers that do not work


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"{" * 100_000),
        (200, b"[]"),
        (200, b"\xff"),
        (200, json.dumps({"a": "x" * oidc.MAX_ANSWER}).encode()),
        (302, b"{}"),
        (404, b"{}"),
        (500, b"{}"),
    ],
    ids=["deep", "list", "bytes", "long", "moved", "missing", "broken"],
)
@pytest.mark.parametrize("path", [DISCOVERY, "/keys"])
async def test_an_answer_that_is_none(visit: Visit, path: str, answer: tuple[int, bytes]) -> None:
    visit.liar.answers[path] = answer
    await visit.is_refused(Code.PROVIDER_UNAVAILABLE)
    del visit.liar.answers[path]
    assert (await visit.come_back()).subject == "u1"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((200, b"{}"), Code.EXTERNAL_SIGN_IN_FAILED),
        ((401, b'{"error": "invalid_client"}'), Code.EXTERNAL_SIGN_IN_FAILED),
        ((503, b"{}"), Code.PROVIDER_UNAVAILABLE),
        ((502, b"<html>"), Code.PROVIDER_UNAVAILABLE),
    ],
)
async def test_a_code_that_is_not_taken(visit: Visit, answer: tuple[int, bytes], code: Code) -> None:
    visit.liar.answers["/token"] = answer
    await visit.is_refused(code)


@pytest.mark.parametrize(
    "said",
    [
        {"issuer": "https://other.example"},
        {"token_endpoint": "http://other.example/token"},
        {"jwks_uri": "ftp://127.0.0.1/keys"},
        {"jwks_uri": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": 7},
    ],
    ids=str,
)
async def test_a_description_that_leads_astray(visit: Visit, said: dict[str, Any]) -> None:
    visit.liar.discovery |= said
    await visit.is_refused(Code.PROVIDER_UNAVAILABLE)


async def test_a_provider_that_says_nothing(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "ANSWER_SECONDS", 0.05)
    visit.liar.may_answer.clear()
    await visit.is_refused(Code.PROVIDER_UNAVAILABLE)


async def test_who_goes_away_leaves_the_others_their_answer(visit: Visit) -> None:
    visit.liar.may_answer.clear()
    impatient = asyncio.ensure_future(visit.page())
    patient = asyncio.ensure_future(visit.page())
    await asyncio.to_thread(visit.liar.reached.wait)
    impatient.cancel()
    visit.liar.may_answer.set()
    assert "code_challenge" in await patient
    assert visit.liar.asked == {DISCOVERY: 1}


# ---- settings


def test_providers_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [{"name": "school", "issuer": "https://id.school.example", "client_id": "a", "client_secret": "hush"}]
    monkeypatch.setenv("COSCRIBE_OIDC", json.dumps(given))
    (provider,) = Settings().oidc
    assert (provider.name, provider.client_secret) == ("school", "hush")
    assert provider.scopes == ("openid", "profile", "email")
    assert "hush" not in repr(provider)


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "http://id.school.example"},
        {"issuer": "https://id.school.example/?a=b"},
        {"issuer": "https://id.school.example/#a"},
        {"issuer": "id.school.example"},
        {"name": "My School"},
        {"name": ""},
        {"client_id": ""},
        {"client_secrets": "mistyped"},
    ],
    ids=str,
)
def test_settings_that_are_wrong(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        OidcProvider(**{"name": "school", "issuer": "https://id.school.example", "client_id": "a", **wrong})  # type: ignore[arg-type]


def test_two_providers_of_one_name_or_issuer() -> None:
    one = {"name": "one", "issuer": "https://one.example", "client_id": "a"}
    two = {"name": "two", "issuer": "https://two.example", "client_id": "a"}
    assert len(Settings(oidc=(one, two)).oidc) == 2  # type: ignore[arg-type]
    for same in ("name", "issuer"):
        with pytest.raises(ValidationError, match="of its own"):
            Settings(oidc=(one, {**two, same: one[same]}))  # type: ignore[arg-type]


def test_which_addresses_are_protected() -> None:
    good = ("https://id.example", "http://127.0.0.1:9400", "http://[::1]:1/x", "http://localhost")
    bad = ("http://id.example", "http://localhost.evil.example", "https://", "//id.example", "http://[", "")
    assert [is_protected(url) for url in good] == [True] * len(good)
    assert [is_protected(url) for url in bad] == [False] * len(bad)
