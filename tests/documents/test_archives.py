"""Files as archives: what others unpack of them, and that the same files give the same bytes."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from coscribe.documents.archives import Archived, Format, archive

MOMENT = 1_700_000_000
FILES = [
    Archived("docs", "directory", b"", {}),
    Archived("docs/empty", "directory", b"", {"mode": "700"}),
    Archived("docs/r\u00e9ad \U0001f642.txt", "text", b"one\r\ntwo\r\n", {"eol": "crlf"}),
    Archived("docs/way", "symlink", b"../../etc/passwd", {}),
    Archived("run.sh", "text", b"#!/bin/sh\n", {"mode": "755"}),
    Archived("z" * 255, "binary", bytes(range(256)) * 4_000, {}),
    Archived("..\\up", "text", b"", {}),
]


async def made(form: Format, files: list[Archived] = FILES, moment: int = MOMENT) -> bytes:
    async def stream() -> AsyncIterator[Archived]:
        for file in files:
            yield file

    return b"".join([piece async for piece in archive(form, stream(), moment)])


@pytest.mark.parametrize("form", ["zip", "tar.gz"])
async def test_the_same_files_give_the_same_bytes(form: Format) -> None:
    one = await made(form)
    assert one == await made(form)
    assert one != await made(form, moment=MOMENT + 100)
    assert one != await made(form, FILES[1:])


async def test_a_tar_unpacks_to_what_was_put_in(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(await made("tar.gz"))
    subprocess.run(["tar", "-xzf", "a.tar.gz"], cwd=tmp_path, check=True)
    (tmp_path / "a.tar.gz").unlink()
    for file in FILES:
        path = tmp_path / file.path
        if file.kind == "symlink":
            assert path.readlink() == Path(file.content.decode())
        elif file.kind != "directory":
            assert path.read_bytes() == file.content
            assert path.stat().st_mode & 0o777 == int(file.properties.get("mode", "644"), 8)
            assert path.stat().st_mtime == MOMENT
    assert (tmp_path / "docs/empty").stat().st_mode & 0o777 == 0o700
    assert len(list(tmp_path.rglob("*"))) == len(FILES)


async def test_a_zip_holds_what_was_put_in() -> None:
    with zipfile.ZipFile(io.BytesIO(await made("zip"))) as found:
        assert found.testzip() is None
        infos = {info.filename: info for info in found.infolist()}
        assert list(infos) == [
            *("docs/", "docs/empty/", "docs/r\u00e9ad \U0001f642.txt", "docs/way", "run.sh", "z" * 255, "..%5Cup")
        ]
        assert found.read("docs/r\u00e9ad \U0001f642.txt") == b"one\r\ntwo\r\n"
        assert found.read("z" * 255) == bytes(range(256)) * 4_000
        assert found.read("docs/way") == b"../../etc/passwd"
    modes = {name: info.external_attr >> 16 for name, info in infos.items()}
    assert (modes["docs/way"], modes["run.sh"], modes["docs/empty/"]) == (0o120777, 0o100755, 0o40700)
    assert infos["run.sh"].date_time == (2023, 11, 14, 22, 13, 20)


async def test_before_there_were_zips() -> None:
    with zipfile.ZipFile(io.BytesIO(await made("zip", moment=0))) as found:
        assert found.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)
    with tarfile.open(fileobj=io.BytesIO(await made("tar.gz", [], 0))) as empty:
        assert empty.getnames() == []


@pytest.mark.skipif(sys.platform != "linux", reason="asks the system how much memory it has")
@pytest.mark.parametrize("form", ["zip", "tar.gz"])
async def test_no_more_than_one_file_is_in_memory(form: Format) -> None:
    content = Random(1).randbytes(300_000)

    async def stream() -> AsyncIterator[Archived]:
        for number in range(20):
            yield Archived(f"f{number}", "binary", content, {})

    longest = total = 0
    async for piece in archive(form, stream(), 0):
        longest, total = max(longest, len(piece)), total + len(piece)
    assert longest < total / 10
