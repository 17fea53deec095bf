"""Folders in memory, where a disk would be asked to be sure of each of thousands of commits that nothing depends on."""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path

import psutil

_MEMORY = Path("/dev/shm")
_ENOUGH = 4_000_000_000
"""Bytes, free there and in memory at all: what the tests of two processes leave at one time, several times over."""


@functools.cache
def in_memory() -> Path | None:
    """Where such folders can be made; None: not here, or there is little of it, or no program may run from there."""
    if not _MEMORY.is_dir() or os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC:
        return None
    free = min(shutil.disk_usage(_MEMORY).free, psutil.virtual_memory().available)
    return _MEMORY if free >= _ENOUGH else None
