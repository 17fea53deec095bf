"""How a bug is planted: something is another, until the context is left."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

Plant = Callable[[], AbstractContextManager[object]]


def instead(owner: object, name: str, replacement: object) -> Plant:
    """The replacement is there instead of what the owner has by that name."""
    return lambda: patch.object(owner, name, replacement)


def around(owner: Any, name: str, make: Callable[[Any], object]) -> Plant:
    """The replacement is made from what it replaces."""
    return lambda: patch.object(owner, name, make(getattr(owner, name)))
