from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from coscribe.persistence.migrate import migrate
from coscribe.persistence.sharing import FOLDER_ID, NotShared, check_shared


def checks(where: Path | str, folder: Path) -> None:
    one, other = folder / "one", folder / "other"
    check_shared(where, one, b"secret")
    check_shared(where, one, b"secret")
    check_shared(where, None, b"secret")
    with pytest.raises(NotShared, match="COSCRIBE_TOKEN_SECRET"):
        check_shared(where, None, b"another")
    with pytest.raises(NotShared, match=f"{other} is not the folder"):
        check_shared(where, other, b"secret")
    (other / FOLDER_ID).write_text((one / FOLDER_ID).read_text())
    check_shared(where, other, b"secret")


def test_all_instances_have_one_folder_and_one_secret(tmp_path: Path) -> None:
    migrate(tmp_path / "coscribe.db")
    checks(tmp_path / "coscribe.db", tmp_path)


def test_so_they_have_on_postgresql(postgres: Callable[[], str], tmp_path: Path) -> None:
    checks(postgres(), tmp_path)


def test_a_gateway_that_came_first_says_nothing_of_folders(tmp_path: Path) -> None:
    migrate(tmp_path / "coscribe.db")
    check_shared(tmp_path / "coscribe.db", None, b"secret")
    check_shared(tmp_path / "coscribe.db", tmp_path / "one", b"secret")
    with pytest.raises(NotShared):
        check_shared(tmp_path / "coscribe.db", tmp_path / "other", b"secret")
