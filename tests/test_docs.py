"""The documents say what is true: links lead somewhere, commands exist, every setting and error is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from coscribe.core.errors import Code

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!http)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_targets_exist(page: Path) -> None:
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.M)) - made == set()


def test_paths_named_in_the_documents_exist() -> None:
    named = {
        match
        for page in (ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md")
        for match in re.findall(r"`((?:tests|examples|tools|contract|docs)/[\w./-]+)`", page.read_text())
    }
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_protocol_page_has_every_error() -> None:
    page = (ROOT / "docs/protocol.md").read_text()
    assert [code.value.code for code in Code if f"`{code.value.code}`" not in page] == []


def test_every_line_of_the_security_page_names_a_test_that_exists() -> None:
    page = (ROOT / "docs/security.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| attack |")]
    named = {line: re.findall(r"`([\w/]+\.py)::(\w+)`", line) for line in lines}
    assert [line for line, tests in named.items() if not tests] == []
    defined = {path: (ROOT / "tests" / path).read_text() for tests in named.values() for path, _ in tests}
    assert [name for tests in named.values() for path, name in tests if f"def {name}(" not in defined[path]] == []
