"""What hatchling asks for beside pyproject.toml: a wheel holds the compiled core, if `tools/compile.py` has made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledCore(BuildHookInterface[Any]):
    """Puts build/compiled where `coscribe.compiled` looks for it. Such a wheel is for one Python on one platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        compiled = Path(self.root, "build", "compiled")
        if version == "editable" or not (compiled / "fingerprint").exists():
            return
        build_data["force_include"][str(compiled)] = "coscribe/built"
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
