"""Positions and edits as the page's script computes them, in a real browser: the frozen vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.web.browser import Browser, Page
from tests.web.place import Place

VECTORS = Path(__file__).parents[2] / "contract" / "conformance"

pytestmark = pytest.mark.slow


def vectors(name: str) -> list[Any]:
    found: list[Any] = json.loads((VECTORS / f"{name}.json").read_text())["cases"]
    return found


def edits(op: list[Any]) -> list[list[Any]]:
    """The edits (position, deleted, inserted) of a vector's operation."""
    found: list[list[Any]] = []
    position = 0
    for part in op:
        if isinstance(part, int):
            position += part
        elif isinstance(part, str):
            found.append([position, 0, part])
        else:
            found.append([position, part["d"], ""])
            position += part["d"]
    return found


async def computed(page: Page, cases: list[Any], expression: str) -> list[Any]:
    """What an expression of ``each`` gives for each case, with the page's script as ``text``."""
    results = f"{json.dumps(cases)}.map((each) => {expression})"
    answer = await page.run(f"import('/assets/text.js').then((text) => JSON.stringify({results}))")
    found: list[Any] = json.loads(answer)
    return found


async def test_the_vectors(place: Place, browser: Browser) -> None:
    place.start()
    page = await browser.page()
    await page.go(place.http)

    positions = vectors("positions")
    offsets = await computed(page, positions, "new text.Text(each.text).advance(0, each.codePoint)")
    assert offsets == [case["utf16"] for case in positions]

    applied = [{"text": case["text"], "edits": edits(case["op"])} for case in vectors("apply")]
    apply = "{ const changed = new text.Text(each.text); changed.apply(each.edits); return changed.value; }"
    results = await computed(page, applied, f"(() => {apply})()")
    assert results == [case["result"] for case in vectors("apply")]

    wire = vectors("wire")
    base = "0123456789" * 10
    forms = await computed(
        page,
        [{**case, "edits": edits(case["op"])} for case in wire],
        f"['edits', 'form'].map((kind) => {{ const changed = new text.Text('{base}');"
        " changed.apply(kind === 'edits' ? each.edits : text.editsOf(each)); return changed.value; })",
    )
    assert len(forms) == len(wire)
    assert [case for case, (expected, got) in zip(wire, forms, strict=True) if expected != got] == []


async def test_where_the_caret_goes(place: Place, browser: Browser) -> None:
    cases = [
        ("abc", "abc", 2, 2),
        ("abc", "Xabc", 2, 3),
        ("abc", "abcX", 2, 2),
        ("abcdef", "abXef", 3, 2),
        ("abcdef", "abXef", 5, 4),
        ("abc", "", 2, 0),
        ("", "abc", 0, 0),
    ]
    place.start()
    page = await browser.page()
    await page.go(place.http)
    carets = await computed(page, [case[:3] for case in cases], "text.carry(...each)")
    assert carets == [case[3] for case in cases]
