"""Finds the compiled form of the hot modules, if there is one and it was made from exactly these sources.

`tools/compile.py` makes it (mypyc), and `hatch_build.py` takes it into a wheel. The pure modules are the reference and
always work; which of the two runs is said by `is_compiled`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from hashlib import sha256
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

MODULES = (
    "coscribe.core.dedup",
    "coscribe.core.document_state",
    "coscribe.core.op_window",
    "coscribe.core.operation",
    "coscribe.core.text_buffer",
    "coscribe.core.tree",
    "coscribe.core.tree_state",
    "coscribe.documents.opened",
    "coscribe.documents.session",
    "coscribe.protocol.codec",
)
SOURCES = Path(__file__).parent
IN_WHEEL = SOURCES / "built"
FOLDER = IN_WHEEL if IN_WHEEL.is_dir() else SOURCES.parents[1] / "build" / "compiled"


def fingerprint() -> str:
    """What the compiled modules depend on: the Python, and every source of the packages they are in."""
    digest = sha256(sys.version.encode())
    for folder in ("core", "protocol", "documents"):
        for path in sorted((SOURCES / folder).glob("*.py")):
            digest.update(path.read_bytes())
    digest.update((SOURCES / "model.py").read_bytes())
    return digest.hexdigest()


class _Finder(MetaPathFinder):
    def __init__(self, libraries: dict[str, Path]) -> None:
        self._libraries = libraries

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        library = self._libraries.get(fullname)
        return None if library is None else spec_from_file_location(fullname, library)


def install() -> None:
    """Called once, before anything else of the package is imported."""
    stamp = FOLDER / "fingerprint"
    if os.environ.get("COSCRIBE_PURE") or not stamp.exists() or stamp.read_text() != fingerprint():
        return
    libraries = {library.name.rsplit(".", 2)[0]: library for library in FOLDER.glob("*.so")}
    sys.meta_path.insert(0, _Finder(libraries))


def is_compiled() -> bool:
    """Whether the core in use is the compiled one."""
    operation = sys.modules.get("coscribe.core.operation")
    return operation is not None and not str(operation.__file__).endswith(".py")
