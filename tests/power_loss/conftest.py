from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def tmp_path(disk_path: Path) -> Path:
    """On a disk: a shim that has to know what a file system does."""
    return disk_path
