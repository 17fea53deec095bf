"""Tokens signed by the server itself."""

from __future__ import annotations

import time

import pytest

from coscribe.core.errors import Code, CoscribeError
from coscribe.gateway.auth import SignedTokens, make_token

SECRET = b"s" * 32


@pytest.mark.parametrize(("ahead", "is_good"), [(0, True), (20, True), (-20, True), (60, False)])
async def test_the_clock_of_who_signs_may_be_a_little_ahead(ahead: int, is_good: bool) -> None:
    token = make_token(SECRET, "ann", "editor", 3_600, now=lambda: time.time() + ahead)
    if is_good:
        assert (await SignedTokens(SECRET).authenticate(token)).user_id == "ann"
        return
    with pytest.raises(CoscribeError) as refused:
        await SignedTokens(SECRET).authenticate(token)
    assert refused.value.code is Code.AUTHENTICATION_FAILED


async def test_a_token_ends_when_it_says() -> None:
    token = make_token(SECRET, "ann", "editor", 10, now=lambda: time.time() - 11)
    with pytest.raises(CoscribeError, match="has expired"):
        await SignedTokens(SECRET).authenticate(token)
