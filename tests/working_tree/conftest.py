from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def tmp_path(disk_path: Path) -> Path:
    """On a disk: numbers of files come back, changes have their order."""
    return disk_path
