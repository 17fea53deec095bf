"""What people do with the page, in a real browser and with a real server."""

from __future__ import annotations

import json

import pytest

from tests.access.oidc_providers import CLIENT_ID, CLIENT_SECRET, real_provider
from tests.web.browser import Browser, Page
from tests.web.place import PASSWORD, SHOWN, TYPED, Place, fill_account, make_document, share, shown_once

pytestmark = pytest.mark.slow


async def test_from_the_first_administrator_to_two_people_in_one_document(place: Place, browser: Browser) -> None:
    place.start()
    early = await browser.page()
    await early.go(place.http)
    await early.see("This server has no administrator yet.")

    ada = await place.set_up(browser)
    assert await ada.run("location.href") == f"{place.http}/", "the secret has stayed in the address"
    await make_document(ada, "Plans", "Hello Bob 🎉\n")

    bob = await place.sign_up(browser, "Bob Builder", "bob")
    await share(ada, "bob")
    await bob.go(place.http)
    await bob.see("invites you to")
    await bob.click("Accept")
    await bob.wait(f"{SHOWN} === 'Hello Bob 🎉\\n'")
    await bob.see("Ada Lovelace")
    await ada.see("Bob Builder")

    # Both at once: neither loses anything.
    await ada.click("Edit")
    await ada.run("document.querySelector('textarea').setSelectionRange(0, 0)")
    await ada.insert("Ada 😀 was here. ")
    await bob.click("Edit")
    await bob.run("document.querySelector('textarea').setSelectionRange(1e9, 1e9)")
    await bob.insert("Bob too 🙂\n")
    await bob.click("Save")
    await bob.see("Saved")
    await ada.see("what others have written meanwhile stays")
    await ada.press("s", control=True)
    both = "Ada 😀 was here. Hello Bob 🎉\nBob too 🙂\n"
    await ada.wait(f"{TYPED} === {json.dumps(both)}")
    await bob.wait(f"{TYPED} === {json.dumps(both)}")
    assert await ada.run("document.querySelector('textarea').selectionStart") == len("Ada 😀 was here. ") + 1

    # The link that made the administrator is used up.
    await early.go(place.setup_link)
    await fill_account(early, "Eve", "eve")
    await early.click("Create the administrator")
    await early.see("The link was used")


async def test_what_is_typed_stays_when_the_right_to_edit_goes(place: Place, browser: Browser) -> None:
    place.start()
    ada = await place.set_up(browser)
    await make_document(ada, "Plans", "Hello\n")
    bob = await place.sign_up(browser, "Bob Builder", "bob")
    await share(ada, "bob")
    await bob.go(place.http)
    await bob.click("Accept")
    await bob.click("Edit")
    await bob.insert("My long text ")

    await ada.click("Share")
    await ada.choose("Role of Bob Builder", "viewer")
    await bob.see("You may only view this document now")
    await bob.click("Save")
    await bob.see("It was not saved.")
    assert await bob.run(TYPED) == "My long text Hello\n"

    await ada.choose("Role of Bob Builder", "editor")
    await bob.lose("It was not saved.")
    await bob.click("Save")
    await bob.see("Saved")
    await bob.insert("and more ")

    await ada.click("Remove")
    await ada.click("Remove")
    await bob.see("You cannot see this document any more.")
    await bob.see("What you have typed stays here")
    assert await bob.run(TYPED) == "My long text and more Hello\n"
    assert await bob.run("document.querySelector('pre.text')?.textContent ?? ''") == ""
    await bob.click("Documents")
    await bob.see("Leave without saving?")
    await bob.click("Cancel")
    assert await bob.run(TYPED) == "My long text and more Hello\n"
    await bob.click("Documents")
    await bob.click("Leave")
    await bob.see("No documents yet")
    await ada.click("Close")
    await ada.wait(f"{SHOWN} === 'My long text Hello\\n'")


async def test_a_save_whose_answer_is_lost_is_made_once(place: Place, browser: Browser) -> None:
    place.start()
    ada = await place.set_up(browser)
    document_id = await make_document(ada, "Plans", "one\n")
    await ada.click("Edit")
    await ada.insert("zero\n")
    await ada.lose_answers("*/content")
    await ada.click("Save")
    await ada.see("Not known yet whether it is saved")
    async with place.as_program("ada") as program:
        content = (await program.get(f"/documents/{document_id}/content")).json()
        assert content["text"] == "zero\none\n", "the first request was carried out"
        await ada.keep_answers()
        await ada.see("Saved")
        assert await ada.run(TYPED) == "zero\none\n"
        assert (await program.get(f"/documents/{document_id}/content")).json() == content


async def test_the_server_goes_and_comes_back(place: Place, browser: Browser) -> None:
    place.start()
    ada = await place.set_up(browser)
    await make_document(ada, "Plans", "one\n")
    await ada.click("Edit")
    await ada.insert("two\n")
    place.kill()
    await ada.see("No connection; trying again")
    await ada.click("Save")
    await ada.see("Not known yet whether it is saved")
    place.start()
    await ada.see("Saved")
    await ada.click("Done")
    await ada.wait(f"{SHOWN} === 'two\\none\\n'")
    await ada.see("Live")


async def test_a_shared_link_for_a_guest_and_for_somebody_with_an_account(place: Place, browser: Browser) -> None:
    place.start()
    ada = await place.set_up(browser)
    document_id = await make_document(ada, "Plans", "Hello\n")
    await ada.click("Share")
    await ada.click("New link to edit")
    link = await shown_once(ada)

    guest = await browser.page()
    await guest.go(link)
    assert "csl_" not in await guest.run("location.href")
    await guest.wait(f"{SHOWN} === 'Hello\\n'")
    await guest.see("with an account you can edit it")
    async with place.as_program("ada") as program:
        edit = {"operationId": "p:1", "operationType": "insert", "position": 5, "payload": " 🎉"}
        for number, operation in enumerate((edit, {**edit, "operationId": "p:2", "position": 7, "payload": "!"})):
            body = {"baseVersion": 1 + number, "operations": [operation]}
            (await program.post(f"/documents/{document_id}/operations", json=body)).raise_for_status()
    await guest.wait(f"{SHOWN} === 'Hello 🎉!\\n'")

    await guest.click("Create an account")
    await fill_account(guest, "Guy", "guy")
    await guest.click("Create account")
    await guest.click("Edit")
    await guest.insert("I may write. ")
    await guest.click("Done")
    await guest.wait(f"{SHOWN} === 'I may write. Hello 🎉!\\n'")

    other = await browser.page()
    await other.go(link)
    await other.see("Guest")
    await ada.click("Switch off")
    await ada.click("Switch off")
    await other.see("You cannot see this document any more.")
    await guest.see("You cannot see this document any more.")


async def test_invited_to_a_server_that_is_closed(place: Place, browser: Browser) -> None:
    place.environment["COSCRIBE_SIGN_UP"] = "invitation"
    place.start()
    ada = await place.set_up(browser)
    stranger = await browser.page()
    await stranger.go(place.http)
    await stranger.see("Accounts here are by invitation")
    await stranger.go(f"{place.http}/#/sign-up")
    await stranger.see("Accounts here are by invitation")

    await ada.click("Administration")
    await ada.click("Invite")
    link = await shown_once(ada)
    await stranger.go(link)
    await stranger.see("You are invited")
    await stranger.click("Create an account")
    await fill_account(stranger, "Cleo", "cleo")
    await stranger.click("Create account")
    await stranger.see("No documents yet")
    await stranger.go(link)
    await stranger.click("Accept")
    await stranger.see("That did not work")

    await ada.click("Documents")
    await ada.see("No documents yet")
    await make_document(ada, "Plans", "Hello\n")
    await share(ada, "dan@example.org")
    dan = await browser.page()
    await dan.go(await place.link_in_mail("invitation"))
    await dan.click("Create an account")
    await fill_account(dan, "Dan", "dan")
    await dan.click("Create account")
    await dan.click("Plans")
    await dan.wait(f"{SHOWN} === 'Hello\\n'")


async def test_an_address_is_verified_and_a_password_reset(place: Place, browser: Browser) -> None:
    place.start()
    await place.set_up(browser)
    bob = await place.sign_up(browser, "Bob Builder", "bob", "bob@example.org")
    await bob.click("Account")
    await bob.see("not verified")
    link = await place.link_in_mail("verify")
    await bob.go(link)
    await bob.see("Your address is verified")
    await bob.go(link)
    await bob.see("The link was used")
    await bob.click("To your documents")
    await bob.click("Sign out")
    await bob.click("Forgot your password?")
    await bob.type("E-mail", "bob@example.org")
    await bob.click("Send the link")
    await bob.see("If the address belongs to an account")
    await bob.go(await place.link_in_mail("reset"))
    await bob.type("New password", "password12")
    await bob.click("Set the password")
    await bob.see("Choose another")
    await bob.type("New password", "another fine passphrase")
    await bob.click("Set the password")
    await bob.type("Handle or e-mail", "BOB@example.org")
    await bob.type("Password", "another fine passphrase")
    await bob.press("Enter")
    await bob.see("No documents yet")


async def test_guessing_is_answered_kindly(place: Place, browser: Browser) -> None:
    place.start()
    await place.set_up(browser)
    page = await browser.page()
    await page.go(place.http)
    await page.type("Handle or e-mail", "ada")
    told = ""
    while "Please try again in" not in told:
        await page.type("Password", "guess")
        await page.click("Sign in")
        told = await page.wait(
            "document.querySelector('form [type=submit]').getAttribute('aria-disabled') === null"
            " && document.querySelector('[role=alert]').innerText"
        )


async def test_account_page(place: Place, browser: Browser) -> None:
    place.start()
    await place.set_up(browser)
    bob = await place.sign_up(browser, "Bob Builder", "bob")
    await bob.click("Account")
    await bob.type("Your name", "Robert")
    await bob.click("Save the profile")
    await bob.see("Your profile is saved.")
    await bob.see("Robert")

    await bob.type("Name", "release bot")
    await bob.click("Create a token")
    secret = await shown_once(bob)
    assert secret.startswith("cst_")
    assert await bob.run("document.querySelector('[name=days]').value") == "90"
    await bob.wait(f"!document.documentElement.outerHTML.includes({json.dumps(secret)})")
    await bob.click("Revoke release bot")
    await bob.click("Revoke")
    await bob.see("revoked")

    other = await browser.page()
    await other.go(place.http)
    await other.type("Handle or e-mail", "bob")
    await other.type("Password", PASSWORD)
    await other.click("Sign in")
    await other.see("No documents yet")
    await bob.go(f"{place.http}/#/account")
    await bob.type("Your present password", "a wrong one", within="Password")
    await bob.type("New password", "another fine passphrase")
    await bob.click("Change the password")
    await bob.see("Wrong credentials.")
    await bob.type("Your present password", PASSWORD, within="Password")
    await bob.click("Change the password")
    await bob.see("Your password is changed.")
    await other.click("Account")
    await other.see("You have been signed out.")

    await bob.click("Delete my account")
    await bob.type("Your present password", "another fine passphrase")
    await bob.click("Delete my account")
    await bob.see("Your account is deleted.")
    await bob.see("Sign in")


async def test_an_administrator_locks_somebody(place: Place, browser: Browser) -> None:
    place.start()
    ada = await place.set_up(browser)
    bob = await place.sign_up(browser, "Bob Builder", "bob")
    await make_document(bob, "Bob's own", "Hello\n")
    await ada.click("Administration")
    await ada.click("Actions for Bob Builder")
    await ada.click("Lock")
    await ada.click("Lock")
    await ada.see("locked")
    await bob.see("You have been signed out.")
    await bob.type("Handle or e-mail", "bob")
    await bob.type("Password", PASSWORD)
    await bob.click("Sign in")
    await bob.see("Ask an administrator.")
    await ada.click("All documents")
    await ada.see("Bob's own")


async def test_documents_come_and_go(place: Place, browser: Browser) -> None:
    place.start()
    ada = await place.set_up(browser)
    await make_document(ada, "Plans", "Hello\n")
    await ada.click("Rename")
    await ada.type("Name", "Better plans")
    await ada.click("Rename")
    await ada.wait("document.querySelector('h1').innerText === 'Better plans'")
    await ada.click("Documents")
    await ada.click("Actions for Better plans")
    await ada.click("Duplicate")
    await ada.wait(f"{SHOWN} === 'Hello\\n'")
    await ada.click("Documents")
    await ada.see("Copy of Better plans")
    await ada.type("Find by name", "copy")
    await ada.wait("document.querySelectorAll('.rows > li').length === 1")
    await ada.click("Actions for Copy of Better plans")
    await ada.click("Move to trash")
    await ada.see("No document has “copy” in its name.")
    await ada.click("Trash")
    await ada.click("Actions for Copy of Better plans")
    await ada.click("Delete for good")
    await ada.click("Delete for good")
    await ada.see("The trash is empty.")
    await ada.click("All")
    await ada.click("Actions for Better plans")
    await ada.click("Archive")
    await ada.see("No documents yet")
    await ada.click("Archived")
    await ada.click("Better plans")
    await ada.see("This document is archived")
    await ada.see("view only")


async def test_text_files_are_imported_and_exported(place: Place, browser: Browser) -> None:
    place.start()
    ada = await place.set_up(browser)
    good, bad = place.folder.parent / "good 🙂.md", place.folder.parent / "bad.txt"
    good.write_bytes("# Üben\r\n🎉\r\n".encode())
    bad.write_bytes(b"\xff\xfe\x00")
    await ada.choose_files("input[type=file]", [good, bad])
    await ada.see("1 imported.")
    await ada.see("bad.txt: ")
    await ada.click("good 🙂.md")
    await ada.wait(f"{SHOWN} === '# Üben\\n🎉\\n'")
    folder = place.folder.parent / "downloads"
    await ada.download_to(folder)
    await ada.click("Export")
    saved = await ada.downloaded(folder)
    assert (saved.name, saved.read_text()) == ("good 🙂.md", "# Üben\n🎉\n")


async def test_with_the_keyboard_alone(place: Place, browser: Browser) -> None:
    place.start()
    await place.set_up(browser)
    page = await browser.page()
    focus = "(document.activeElement?.innerText || document.activeElement?.name || document.activeElement?.ariaLabel)"

    async def go_to(name: str) -> None:
        for _ in range(40):
            if (await page.run(focus) or "").strip() == name:
                return
            await page.press("Tab")
        raise AssertionError(f"Tab does not lead to {name!r}")

    await page.go(place.http)
    await page.wait(f"{focus} === 'name'")
    await page.insert("ada")
    await page.press("Tab")
    await page.insert(PASSWORD)
    await page.press("Enter")
    await page.see("No documents yet")
    await page.wait(f"{focus} === 'Documents'")
    await go_to("New document")
    await page.press("Enter")
    await page.wait(f"{focus} === 'value'")
    await page.press("Escape")
    await page.wait(f"{focus} === 'New document'", "the focus does not come back")
    await page.press("Enter")
    await page.wait(f"{focus} === 'value'")
    await page.press("Enter")
    await page.see("Live")
    await go_to("Edit")
    await page.press("Enter")
    await page.wait("document.activeElement.tagName === 'TEXTAREA'")
    await page.insert("Written without a mouse")
    await page.press("s", control=True)
    await page.see("Saved")
    await go_to("Documents")
    await page.press("Enter")
    await page.see("Untitled")
    await go_to("⋯")
    await page.press("Enter")
    await go_to("Rename")
    await page.press("Escape")
    await page.wait("!document.querySelector('details[open]')")
    await page.wait(f"{focus} === '⋯'", "the focus does not come back")


async def test_signing_in_elsewhere(place: Place, browser: Browser) -> None:
    with real_provider() as school:
        school.knows("s1", name="Sue Student", preferred_username="sue")
        one = {"name": "school", "issuer": school.issuer, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        place.environment["COSCRIBE_OIDC"] = json.dumps([{**one, "label": "Our school"}])
        place.start()
        ada = await place.set_up(browser)

        async def agree(page: Page, subject: str) -> None:
            await page.wait(f"location.href.startsWith({json.dumps(school.issuer)})")
            await page.wait("document.querySelector('input[name=sub]') !== null")
            await page.run(f"document.querySelector('input[name=sub]').value = {json.dumps(subject)}")
            await page.run("document.querySelector('form button').click()")

        sue = await browser.page()
        await sue.go(place.http)
        await sue.click("Continue with Our school")
        await agree(sue, "s1")
        await sue.see("No documents yet")
        await sue.see("Sue Student")

        await ada.click("Account")
        await ada.click("Link")
        await ada.type("Your present password", PASSWORD)
        await ada.click("Link Our school")
        await agree(ada, "a1")
        await ada.see("You can sign in there from now on.")
        await ada.see("linked ")
        assert await ada.run("location.hash") == "#/account"
        await ada.click("Sign out")
        await ada.click("Continue with Our school")
        await agree(ada, "a1")
        await ada.see("Ada Lovelace")

        await sue.go(f"{place.http}/#error=sign_up_closed")
        await sue.see("accounts are by invitation")
        assert await sue.run("location.href") == f"{place.http}/"
