"""Several people in one document at once, in real browsers: nothing is lost, words stay whole, all have one text."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.browser.windows import Room, Window

pytestmark = pytest.mark.slow

HANDLES = ("ada", "ben", "cleo", "dan", "eve")
WORDS = 12


@pytest.mark.parametrize("count", [2, 5])
async def test_typing_at_the_same_spot(room: Room, count: int) -> None:
    """Everybody types at one caret position; each typed word stays in one piece, in the order it was typed."""
    await room.write("<>")
    windows = [await room.join(handle) for handle in HANDLES[:count]]
    for window in windows:
        await window.caret(1)
    await asyncio.gather(*(type_words(window) for window in windows))
    text = await room.agree()
    assert text.startswith("<") and text.endswith(">")
    for window in windows:
        found = re.findall(rf"{window.who.handle}\d+\.", text)
        assert found == [f"{window.who.handle}{number}." for number in range(WORDS)]
    assert len(text) == 2 + sum(len(f"{w.who.handle}{n}.") for w in windows for n in range(WORDS))


async def type_words(window: Window) -> None:
    for number in range(WORDS):
        await window.type(f"{window.who.handle}{number}.")


async def test_undo_takes_back_ones_own_edits_only(room: Room) -> None:
    await room.write("one two three")
    ada, ben = await room.join("ada"), await room.join("ben")
    await ada.caret(3)
    await ada.type("X")
    await ada.until("text === 'oneX two three'")
    await ben.until("text === 'oneX two three'")
    await ben.caret(8)
    await ben.type("Y")
    await ada.until("text === 'oneX twoY three'")
    await ada.press("Control+z")
    assert await room.agree() == "one twoY three"
    await ada.press("Control+z")  # there is nothing more of ada's
    assert await room.agree() == "one twoY three"
    await ada.press("Control+y")
    assert await room.agree() == "oneX twoY three"
    await ben.press("Control+z")
    assert await room.agree() == "oneX two three"


async def test_a_word_is_taken_back_at_once_although_another_types(room: Room) -> None:
    ada, ben = await room.join("ada"), await room.join("ben")
    await ada.type("hello")
    await ben.until("text === 'hello'")
    await ben.caret(5)
    await asyncio.gather(ben.type(" from ben"), ada.type(" you"))
    await room.agree()
    await ada.press("Control+z")
    await ada.press("Control+z")
    text = await room.agree()
    assert sorted(text) == sorted(" from ben")


async def test_two_tabs_of_one_person(room: Room) -> None:
    context = await room.context("ada")
    left, right = await room.join("ada", context=context), await room.join("ada", context=context)
    await asyncio.gather(left.type("left"), right.type("RIGHT"))
    text = await room.agree()
    assert "left" in text and "RIGHT" in text and len(text) == 9
    await left.page.reload()
    await left.until("status.isSaved")
    assert await room.agree() == text


PASTED = "\r\n".join(("first", "second 🙂", "", "fourth"))
STRANGE = (
    "🙂👩‍👩‍👧‍👦🇺🇳 astral and joined\n"
    "e\u0301a\u0308o\u0302 combining marks\n"
    "שלום עולם and مرحبا بالعالم right to left\n"
    "𠀀𝕏 beyond the first plane\ttabs\u00a0and\u200bodd blanks"
)


async def test_crlf_emoji_combining_and_right_to_left(room: Room) -> None:
    """What is pasted arrives whole, lines ending with LF; typing and deleting beside emoji cuts none in two."""
    ada, ben = await room.join("ada"), await room.join("ben")
    await ada.paste(PASTED)
    await ben.until("text.includes('fourth')")
    assert await room.agree() == PASTED.replace("\r\n", "\n")
    assert await room.kinds() == ["paste"]
    await ben.press("Control+a")
    await ben.paste(STRANGE)
    await ada.until("text.includes('odd blanks')")
    assert await room.agree() == STRANGE
    await ada.caret(0)
    await ada.press("ArrowRight")
    await asyncio.gather(ada.type("typed 🙂"), ben.press("Backspace", "Backspace"))
    text = await room.agree()
    assert text == STRANGE[0] + "typed 🙂" + STRANGE[1:-2]
    assert await room.kinds() == ["paste", "human", "paste"]
    await ada.press("Backspace")
    assert await room.agree() == text.replace("typed 🙂", "typed ")


async def test_a_megabyte_is_pasted(room: Room) -> None:
    """While another one types; as one operation."""
    ada, ben = await room.join("ada"), await room.join("ben")
    big = "".join(f"line {number} of a long text that is pasted 🙂\n" for number in range(26_000))
    assert len(big.encode()) > 1_000_000
    await ben.type("before ")
    await ada.until("text === 'before '")
    await ada.caret(7)
    await asyncio.gather(ada.paste(big), ben.type("and after"))
    text = await room.agree()
    assert big in text
    assert text.replace(big, "") == "before and after"


async def test_an_input_method_composes_while_others_write(room: Room) -> None:
    """A composition goes on while remote edits come in before and behind it, and is there once when it ends."""
    await room.write("start  end")
    ada, ben = await room.join("ada"), await room.join("ben")
    await ada.caret(6)
    devtools = await ada.devtools()
    await ben.caret(0)
    for composed in ("n", "ni", "に", "にh", "にほ", "にほん", "日本"):
        await devtools.send(
            "Input.imeSetComposition",
            {"text": composed, "selectionStart": len(composed), "selectionEnd": len(composed)},
        )
        await ben.press("Home")
        await ben.type("b")
        await ben.press("Control+End")
        await ben.type("e")
        await ada.until(f"text.endsWith({'e' * 1!r})")
    await devtools.send("Input.insertText", {"text": "日本"})
    text = await room.agree()
    assert text == "bbbbbbbstart 日本 end" + "e" * 7
