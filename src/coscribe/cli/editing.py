"""A text in somebody's own editor. What was typed is never thrown away: where it cannot be used, its file stays."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coscribe.cli.common import err, fail


@contextmanager
def edited(text: str, name: str) -> Iterator[str]:
    """The text as it is when the editor closes. A block that fails leaves the file, and says where it is."""
    command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    safe = "".join(char if char.isalnum() else "-" for char in name)[:40]
    descriptor, path_text = tempfile.mkstemp(prefix=f"{safe}-", suffix=".txt")
    path = Path(path_text)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode())
    try:
        _run([*command, path_text])
        yield _read(path, text)
    except BaseException:
        if path.read_bytes() == text.encode():
            path.unlink()
        else:
            err.print(f"Your text is in {path}", highlight=False, markup=False, soft_wrap=True)
        raise
    path.unlink()


def _run(command: list[str]) -> None:
    try:
        code = subprocess.run(command, check=False).returncode
    except OSError as error:
        fail(f"cannot start the editor {command[0]}: {error.strerror}", "Set EDITOR to the editor that you use.")
    if code:
        fail(f"the editor {command[0]} ended with code {code}; nothing was sent", code=1)


def _read(path: Path, before: str) -> str:
    """Editors like to end a text with a new line: where there was none, that one is not meant."""
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        fail(f"the text is not UTF-8: {error.reason} at byte {error.start}", code=1)
    return text.removesuffix("\n") if before and not before.endswith("\n") else text
