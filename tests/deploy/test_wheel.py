"""A wheel holds the compiled core where there is one, and is then for one Python on one platform."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hatch_build import CompiledCore

from coscribe import compiled


def built(root: Path, version: str) -> dict[str, Any]:
    """What the hook makes of a build of a checkout."""
    data: dict[str, Any] = {"force_include": {}, "pure_python": True, "infer_tag": False}
    hook = CompiledCore(str(root), {}, None, None, str(root / "dist"), "wheel")  # type: ignore[arg-type]  # unused
    hook.initialize(version, data)
    return data


@pytest.mark.parametrize("version", ["standard", "editable"])
def test_without_a_compiled_core_a_wheel_is_pure(tmp_path: Path, version: str) -> None:
    assert built(tmp_path, version) == {"force_include": {}, "pure_python": True, "infer_tag": False}


def test_a_compiled_core_is_where_it_is_looked_for(tmp_path: Path) -> None:
    folder = tmp_path / "build" / "compiled"
    folder.mkdir(parents=True)
    (folder / "fingerprint").touch()
    place = compiled.IN_WHEEL.relative_to(compiled.SOURCES.parent).as_posix()
    assert built(tmp_path, "standard") == {
        "force_include": {str(folder): place},
        "pure_python": False,
        "infer_tag": True,
    }
    assert built(tmp_path, "editable")["pure_python"], "what is edited is compiled in its checkout"
