"""Compiles the hot modules with mypyc into build/compiled, where there is a C compiler: python tools/compile.py

The sources stay the reference. `coscribe.compiled` uses the compiled modules only while they were made from exactly
these sources; after any edit the pure ones are used until this runs again. COSCRIBE_PURE=1 switches them off.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from coscribe.compiled import FOLDER, MODULES, SOURCES, fingerprint


def main() -> int:
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        print("No C compiler: the engine runs as pure Python, about two thirds as fast. (Debian: gcc libc6-dev)")
        return 0
    if (FOLDER / "fingerprint").exists() and (FOLDER / "fingerprint").read_text() == fingerprint():
        return 0
    print("Compiling the core (half a minute) ...", flush=True)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        shutil.copytree(SOURCES, work / "coscribe", ignore=shutil.ignore_patterns("__pycache__"))
        files = [str(Path(*module.split("."))) + ".py" for module in MODULES]
        command = [sys.executable, "-m", "mypyc", "--strict", *files]
        result = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
        if result.returncode:
            print(result.stdout[-1_500:], result.stderr[-1_500:], "Not compiled; pure Python is used.", sep="\n")
            return 0
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        for library in [*work.glob("*.so"), *work.glob("coscribe/**/*.so")]:
            shutil.copy(library, FOLDER / ".".join(library.relative_to(work).parts))
    (FOLDER / "fingerprint").write_text(fingerprint())
    return 0


if __name__ == "__main__":
    sys.exit(main())
