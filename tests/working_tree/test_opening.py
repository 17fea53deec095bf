"""Many files that nobody has open are read together, and put together."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.working_tree import opening
from tests.working_tree.bench import WS

pytestmark = pytest.mark.slow  # processes of their own


def test_a_folder_is_filled_from_storage(tmp_path: Path) -> None:
    bare, ours = opening.measure_in(tmp_path, 300, 1)
    expected = opening.contents(300)
    tree = tmp_path / "trees0" / WS
    assert {str(path.relative_to(tree)): path.read_text() for path in tree.rglob("*.py")} == expected
    print(opening.shown(300, bare, ours))
