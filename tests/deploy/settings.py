"""Which variables there are, for whatever names some in files of deploy/."""

from __future__ import annotations

import re

from coscribe.config import Settings

BESIDE_SETTINGS = {"COSCRIBE_PURE"}
"""Read by other parts of the program."""


def unknown(text: str) -> set[str]:
    """The variables in a text that set nothing."""
    named = set(re.findall(r"\bCOSCRIBE_[A-Z0-9_]+", text))
    known = {f"COSCRIBE_{name.upper()}" for name in Settings.model_fields} | BESIDE_SETTINGS
    return {name for name in named if name.partition("__")[0] not in known}
