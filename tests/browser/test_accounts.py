"""Accounts, as people make, use, lose and end them: every page on the way in, one's own pages, an administrator's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.access.oidc_providers import CLIENT_ID, CLIENT_SECRET, real_provider
from tests.browser.places import (
    Place,
    Visitors,
    button,
    choose,
    dialog,
    field,
    fill_account,
    greeted,
    heading,
    link,
    make_document,
    see,
    serving,
    set_up,
    share,
    shown_once,
    shows,
    sign_in,
    sign_up,
    visiting,
)
from tests.browser.windows import eventually
from tests.e2e.people import PASSWORD

pytestmark = pytest.mark.slow

NEW_PASSWORD = "another fine passphrase"


async def test_from_the_first_administrator_to_two_people_in_one_document(tmp_path: Path) -> None:
    with serving(tmp_path) as place:
        async with visiting(place) as visitors:
            early = await visitors.page()
            await early.goto(place.http)
            await see(early, "This server has no administrator yet.")

            ada = await set_up(place, visitors)
            assert "#" not in ada.url, "the secret has stayed in the address"
            await make_document(ada, "Plans", "Hello Bob! ")

            bob = await sign_up(visitors, "Bob Builder", "bob")
            await share(ada, "bob")
            await bob.reload()
            invitation = bob.get_by_role("region", name="Invitation")
            await see(invitation, "Ada Lovelace invites you to “Plans” as editor.")
            await button(invitation, "Accept").click()
            await shows(bob, "Hello Bob! ")
            for page, other in ((ada, "Bob Builder"), (bob, "Ada Lovelace")):
                await button(page, "One other person is here").click()
                await see(page.get_by_role("list", name="Who is here"), other)
                await page.keyboard.press("Escape")

            # Both at once: neither loses anything.
            for page, key in ((ada, "Control+Home"), (bob, "Control+End")):
                await page.locator(".cm-content").focus()
                await page.keyboard.press(key)
            await ada.keyboard.type("Ada was here. ")
            await bob.keyboard.type("Bob too.")
            for page in (ada, bob):
                await shows(page, "Ada was here. Hello Bob! Bob too.")
                await button(page, "State: Saved").wait_for()

            # The link that made the administrator is used up.
            await early.goto(place.setup_link)
            await fill_account(early, "Eve", "eve")
            await button(early, "Create the administrator").click()
            await see(early.get_by_role("alert"), "It was used already")


async def test_invited_to_a_server_that_is_closed(tmp_path: Path) -> None:
    with serving(tmp_path, COSCRIBE_SIGN_UP="invitation") as place:
        async with visiting(place) as visitors:
            ada = await set_up(place, visitors)
            stranger = await visitors.page()
            for address in ("/", "/sign-up"):
                await stranger.goto(f"{place.http}{address}")
                await see(stranger, "Accounts here are by invitation")

            await link(ada, "Administration").click()
            await link(ada, "Invitations").click()
            await button(ada, "Invite").click()
            invitation = await shown_once(ada)
            await stranger.goto(invitation)
            await heading(stranger, "You are invited").wait_for()
            await link(stranger, "Create an account").click()
            await fill_account(stranger, "Cleo", "cleo")
            await button(stranger, "Create account").click()
            await greeted(stranger)
            await stranger.goto(invitation)
            await button(stranger, "Accept").click()
            await heading(stranger, "This link does not work any more").wait_for()

            await link(ada, "Documents").click()
            await make_document(ada, "Plans", "Hello")
            await share(ada, "dan@example.org")
            dan = await visitors.page()
            await dan.goto(await place.link_in_mail("invitation"))
            await link(dan, "Create an account").click()
            await fill_account(dan, "Dan", "dan")
            await button(dan, "Create account").click()
            await link(dan, "Documents").click()
            await link(dan, "Plans").click()
            await shows(dan, "Hello")


async def test_an_address_is_verified_and_a_password_reset(place: Place, visitors: Visitors) -> None:
    bob = await sign_up(visitors, "Bob Builder", "bob", "bob@example.org")
    await choose(bob, "You are Bob Builder", "Account")
    await see(bob, "not verified")
    verify = await place.link_in_mail("verify")
    await bob.goto(verify)
    await heading(bob, "Your address is verified").wait_for()
    await bob.goto(f"{place.http}/account")
    await bob.get_by_text("verified", exact=True).wait_for()
    await bob.goto(verify)
    await see(bob, "It was used already")

    await choose(bob, "You are Bob Builder", "Sign out")
    await link(bob, "Forgot your password?").click()
    await field(bob, "E-mail").fill("bob@example.org")
    await button(bob, "Send the link").click()
    await see(bob, "If the address belongs to an account")
    await bob.goto(await place.link_in_mail("reset"))
    await field(bob, "New password").fill("password12")
    await button(bob, "Set the password").click()
    await see(bob.get_by_role("alert"), "Choose another")
    await field(bob, "New password").fill(NEW_PASSWORD)
    await button(bob, "Set the password").click()
    await sign_in(bob, "BOB@example.org", NEW_PASSWORD)
    await heading(bob, "Documents").wait_for()


async def test_guessing_is_answered_kindly(place: Place, visitors: Visitors) -> None:
    await visitors.account("guessed")
    page = await visitors.page()
    await page.goto(place.http)
    told = ""
    while "try again in" not in told:
        await sign_in(page, "guessed", "a guess")
        await eventually(page, "!document.querySelector('form [data-busy]') && document.querySelector('[role=alert]')")
        told = await page.get_by_role("alert").inner_text()
    assert await field(page, "Handle or e-mail").input_value() == "guessed"


async def test_ones_own_pages(place: Place, visitors: Visitors) -> None:
    await visitors.account("carl", "Carl Carpenter")
    carl, other = await visitors.page("carl"), await visitors.page("carl")
    await carl.goto(f"{place.http}/account")
    await field(carl, "Your name").fill("Carlo")
    await button(carl, "Save the profile").click()
    await see(carl, "Your profile is saved.")
    await button(carl, "You are Carlo").wait_for()

    await link(carl, "API tokens").click()
    await field(carl, "Name").fill("release bot")
    assert await field(carl, "Days it lasts").input_value() == "90"
    await button(carl, "Create a token").click()
    secret = await shown_once(carl)
    assert secret.startswith("cst_")
    await dialog(carl).wait_for(state="hidden")
    assert secret not in await carl.content()
    await button(carl, "Revoke release bot").click()
    await button(dialog(carl), "Revoke").click()
    await carl.get_by_text(re.compile("^revoked")).wait_for()

    await other.goto(f"{place.http}/account/sessions")
    await see(other.get_by_role("list", name="Sessions"), "this one")
    await other.goto(f"{place.http}/account/tokens")
    await see(other, "release bot")
    await link(carl, "Profile").click()
    password = carl.get_by_role("region", name="Password")
    await field(password, "Your present password").fill("a wrong one")
    await field(password, "New password").fill(NEW_PASSWORD)
    await button(password, "Change the password").click()
    await see(password.get_by_role("alert"), "Wrong credentials.")
    await field(password, "Your present password").fill(PASSWORD)
    await button(password, "Change the password").click()
    await see(carl, "Your password is changed.")
    await link(other, "Profile").click()
    await see(other, "You have been signed out.")

    await button(carl, "Delete my account").click()
    await field(dialog(carl), "Your present password").fill(NEW_PASSWORD)
    await button(dialog(carl), "Delete my account").click()
    await see(carl, "Your account is deleted.")
    await heading(carl, "Sign in").wait_for()


async def test_an_administrator_locks_somebody(place: Place, visitors: Visitors) -> None:
    dora = await visitors.account("dora", "Dora Deep")
    document_id = await visitors.document(dora, "Dora's own", "Hello")
    root, hers = await visitors.page("ada"), await visitors.page("dora")
    await hers.goto(f"{place.http}/d/{document_id}")
    await shows(hers, "Hello")
    await root.goto(f"{place.http}/admin")
    await choose(root, "Actions for Dora Deep", "Lock")
    await button(dialog(root), "Lock").click()
    await see(root.locator(".row", has_text="Dora Deep"), "locked")
    await see(hers, "You have been signed out.")
    await sign_in(hers, "dora")
    await see(hers.get_by_role("alert"), "Ask an administrator.")
    await link(root, "All documents").click()
    await field(root, "Find documents by name").fill("dora")
    await see(root.get_by_role("list", name="All documents"), "Dora's own")
    await choose(root, "Actions for Dora's own", "Move to trash")
    await see(root, "Moved to the trash.")
    await link(root, "Events").click()
    await see(root.get_by_role("list", name="Events"), "user changed")


async def test_signing_in_elsewhere(tmp_path: Path) -> None:
    with real_provider() as school:
        school.knows("s1", name="Sue Student", preferred_username="sue")
        one = {"name": "school", "issuer": school.issuer, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        offered = json.dumps([{**one, "label": "Our school"}])

        async def agree(page: Page, subject: str) -> None:
            await page.wait_for_url(f"{school.issuer}/**")
            await page.locator("input[name=sub]").fill(subject)
            await page.locator("form button").first.click()

        with serving(tmp_path, COSCRIBE_OIDC=offered) as place:
            async with visiting(place) as visitors:
                ada = await set_up(place, visitors)
                sue = await visitors.page()
                await sue.goto(place.http)
                await button(sue, "Continue with Our school").click()
                await agree(sue, "s1")
                await greeted(sue)
                await button(sue, "You are Sue Student").wait_for()

                await ada.goto(f"{place.http}/account/sessions")
                await button(ada, "Link Our school").click()
                await field(dialog(ada), "Your present password").fill(PASSWORD)
                await button(dialog(ada), "Link Our school").click()
                await agree(ada, "a1")
                await see(ada, "You can sign in there from now on.")
                await ada.get_by_text(re.compile("^linked")).wait_for()
                assert ada.url == f"{place.http}/account/sessions"
                await choose(ada, "You are Ada Lovelace", "Sign out")
                await button(ada, "Continue with Our school").click()
                await agree(ada, "a1")
                await button(ada, "You are Ada Lovelace").wait_for()

                await choose(sue, "You are Sue Student", "Sign out")
                await heading(sue, "Sign in").wait_for()
                await sue.goto(f"{place.http}/#error=sign_up_closed")
                await see(sue, "accounts are by invitation")
                assert "#" not in sue.url
