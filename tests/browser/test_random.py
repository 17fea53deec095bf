"""Random editing: five people in five browser windows, a link that delays, stalls and cuts, two thousand edits.

The seed is in the name of each test: `pytest "tests/browser/test_random.py::test_everybody_ends_with_one_text[SEED]"`
plays it again (the edits and the faults; not the moments at which they meet). `COSCRIBE_BROWSER_SEEDS=20` plays twenty.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter

import pytest

from tests.browser.faulty_link import FaultyLink
from tests.browser.windows import Room

pytestmark = pytest.mark.slow

SEEDS = range(1, 1 + int(os.environ.get("COSCRIBE_BROWSER_SEEDS", "2")))
HANDLES = ("ada", "ben", "cleo", "dan", "eve")
EDITS = 2_000

_EDIT = """async ([seed, count, name]) => {
  const { view, document: file } = document.querySelector('.co-editor').coscribe;
  let state = seed >>> 0;
  const random = (below) => {  // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
  const pieces = ['a', 'word ', '\\n', '🙂', 'e\\u0301', 'שלום', ' line of text\\n', '👩‍👩‍👧'];
  let inserted = 0;
  for (let edit = 0; edit < count; edit++) {
    const { length } = view.state.doc;
    const kind = random(20);
    if (kind < 2) file.undo();
    else if (kind < 3) file.redo();
    else if (kind < 8 && length > 0) {
      const from = random(length);
      view.dispatch({ changes: { from, to: Math.min(length, from + 1 + random(4)) }, userEvent: 'delete.forward' });
    } else {
      const at = random(length + 1);
      view.dispatch({ changes: { from: at, insert: pieces[random(pieces.length)] }, userEvent: 'input.type' });
    }
    if (edit % 50 === 0) {  // a mark that nobody else can make, at the end, where no delete reaches it for long
      const mark = `<${name}${String(edit).padStart(3, '0')}>`;
      view.dispatch({ changes: { from: view.state.doc.length, insert: mark }, userEvent: 'input.type' });
      inserted++;
    }
    if (random(4) === 0) await new Promise((resolve) => setTimeout(resolve, random(20)));
  }
  return inserted;
}"""


@pytest.mark.parametrize("seed", SEEDS)
async def test_everybody_ends_with_one_text(room: Room, seed: int) -> None:
    async with FaultyLink(room.server.port, seed) as link:
        windows = [await room.join(handle, through=link.port) for handle in HANDLES]
        each = EDITS // len(windows)
        await asyncio.gather(
            *(
                window.page.evaluate(_EDIT, [seed * 100 + index, each, window.who.handle])
                for index, window in enumerate(windows)
            )
        )
        link.faults = False
        text = await room.agree()
        assert link.cuts > 0, "no connection was cut: this seed tells nothing"
        assert [mark for mark, times in Counter(marks(text)).items() if times > 1] == [], "an edit was applied twice"
        print(f"seed {seed}: {EDITS} edits, {link.cuts} cuts, {len(text)} characters")


def marks(text: str) -> list[str]:
    """The marks of everybody that are still whole: one of which something was deleted is shorter than any."""
    return re.findall(rf"<(?:{'|'.join(HANDLES)})\d{{3}}>", text)
