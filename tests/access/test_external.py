"""Identities and accounts where much happens at once, and the names that are made; the rest is in tests/api."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select

from coscribe.access.accounts import Accounts
from coscribe.access.caller import Origin
from coscribe.access.events import Notes
from coscribe.access.external import Answer, Begun, ExternalSignIn, suggested_handle
from coscribe.access.oidc import Profile
from coscribe.access.passwords import Passwords
from coscribe.access.sessions import Device, Opened
from coscribe.access.throttle import LoginGuard
from coscribe.config import OidcProvider
from coscribe.core.errors import Code, CoscribeError
from coscribe.persistence.schema import external_identities, users
from tests.access.oidc_providers import CLIENT_ID, LyingProvider, lying_provider
from tests.access.world import URL, World

pytestmark = pytest.mark.slow

PHONE = Device("phone", Origin("192.0.2.1"))


@pytest.fixture
def provider() -> Iterator[LyingProvider]:
    with lying_provider() as provider:
        yield provider


@pytest.fixture
async def elsewhere(world: World, provider: LyingProvider) -> AsyncIterator[ExternalSignIn]:
    await world.person("ada", administrator=True)
    passwords, notes = Passwords(), Notes(world.database)
    accounts = Accounts(
        world.database,
        passwords,
        LoginGuard(time.monotonic),
        world._changed,
        world.mails.append,
        notes,
        public_url=URL,
        open_sign_up=True,
    )
    service = ExternalSignIn(
        world.database,
        accounts,
        notes,
        [OidcProvider(name="school", issuer=provider.issuer, client_id=CLIENT_ID)],
        public_url=URL,
        clock=time.time,
        monotonic=time.monotonic,
    )
    yield service
    await service.close()
    await passwords.close()
    await notes.close()


async def finish(service: ExternalSignIn, begun: Begun, back: str) -> Opened | None:
    query = parse_qs(urlsplit(back).query)
    return await service.finish("school", Answer(query["state"][0], query["code"][0], "", ""), begun.binding, PHONE)


async def test_of_two_that_come_back_at_once_one_gets_in(elsewhere: ExternalSignIn, provider: LyingProvider) -> None:
    begun = await elsewhere.begin("school", "", PHONE.origin)
    attempts = (finish(elsewhere, begun, provider.agree(begun.url)) for _ in range(5))
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(outcome, Opened) for outcome in outcomes) == 1
    codes = {outcome.code for outcome in outcomes if isinstance(outcome, CoscribeError)}
    assert codes == {Code.EXTERNAL_SIGN_IN_FAILED}


async def test_somebody_new_on_two_devices_at_once_has_one_account(
    world: World, elsewhere: ExternalSignIn, provider: LyingProvider
) -> None:
    begun = [await elsewhere.begin("school", "", PHONE.origin) for _ in range(5)]
    said = {"preferred_username": "ann"}
    opened = await asyncio.gather(*(finish(elsewhere, one, provider.agree(one.url, "u7", **said)) for one in begun))
    accounts = {one.user_id for one in opened if one is not None}
    assert len(accounts) == 1
    handles = await world.run(lambda connection: connection.execute(select(users.c.handle)).scalars().all())
    assert sorted(handles) == ["ada", "ann"]
    kept = await world.run(lambda connection: connection.execute(select(external_identities)).all())
    assert [(row.issuer, row.subject, row.user_id) for row in kept] == [(provider.issuer, "u7", *accounts)]


async def test_without_a_secret_the_provider_is_told_who_we_are(
    elsewhere: ExternalSignIn, provider: LyingProvider
) -> None:
    begun = await elsewhere.begin("school", "", PHONE.origin)
    await finish(elsewhere, begun, provider.agree(begun.url))
    assert provider.authorizations == [None]
    assert provider.forms[0]["client_id"] == CLIENT_ID and "client_secret" not in provider.forms[0]
    assert provider.forms[0]["redirect_uri"] == f"{URL}/api/session/external/school/callback"


@pytest.mark.parametrize(
    ("username", "name", "handle"),
    [
        ("Ann.Example@school.example", "", "ann.example"),
        ("", "Zoë  Müller-Ray", "zoe-muller-ray"),
        ("_._", "李", "person"),
        ("", "", "person"),
        ("a" * 80, "", "a" * 30),
        ("a" * 29 + "-b", "", "a" * 29),
        ("\ud800ann\0", "", "ann"),
    ],
)
def test_a_handle_looks_like_the_name_elsewhere(username: str, name: str, handle: str) -> None:
    assert suggested_handle(Profile("s", username, name, "")) == handle
