"""Archives that people send: what comes of good ones, and the table of those that are refused, which prints itself."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coscribe.core.errors import Code
from coscribe.documents.archives import Archived, Format, archive
from coscribe.documents.file_system import NewFile
from coscribe.documents.unpacking import unpack
from coscribe.documents.unpacking.intake import REASONS, Bounds, ImportRefused, Reason
from tests.documents.test_file_system import ANN, WS, shelf
from tests.documents.unpacking.made import Member, deflated, info, squeezed, tar_of, tarred, zipped

SMALL = Bounds(
    packed_bytes=2_000_000,
    unpacked_bytes=3_000_000,
    ratio=100,
    ratio_floor=100_000,
    entries=100,
    file_bytes=1_500_000,
    head_bytes=20_000,
)
FOLDER = Path("/tmp")


def unpacked(content: bytes, bounds: Bounds = SMALL, *, folds_case: bool = False) -> list[NewFile]:
    intake = unpack(io.BytesIO(content), FOLDER, bounds, folds_case=folds_case)
    try:
        return list(intake.files())
    finally:
        intake.close()


Make = Callable[[str], bytes]
"""An archive with one file of that name."""


def a_zip(name: str) -> bytes:
    return zipped(Member(name.encode("utf-8", "surrogateescape"), b"x"))


def a_tar(name: str) -> bytes:
    return tar_of([name])


def a_tar_gz(name: str) -> bytes:
    return squeezed(tar_of([name]))


NAMES: dict[str, tuple[str, Reason]] = {
    "above the top": ("../x", "up"),
    "above, further down": ("a/../../x", "up"),
    "above and in again": ("a/../x", "up"),
    "ends above": ("a/..", "up"),
    "absolute": ("/etc/passwd", "absolute"),
    "two slashes": ("//server/share", "absolute"),
    "drive letter": ("C:/x", "drive"),
    "drive letter without slash": ("c:x", "drive"),
    "backslash": ("a\\b", "backslash"),
    "backslash and above": ("..\\x", "backslash"),
    "an empty name": ("a//b", "empty_name"),
    "a dot inside": ("a/./b", "empty_name"),
    "256 bytes": ("n" * 256, "long_name"),
    "256 bytes in 128 characters": ("é" * 128, "long_name"),
    "a long path": ("/".join(["n" * 200] * 21), "long_path"),
    "65 levels": ("/".join("a" * 65), "depth"),
    ".git": (".git/hooks/pre-commit", "git"),
    ".GIT inside": ("lib/.GIT/config", "git"),
    ".git as a file": ("sub/.git", "git"),
}

LINK = 0o120777


def a_link(path: bytes, target: bytes) -> Member:
    return Member(path, target, mode=LINK)


BOMB = b"\0" * 1_400_000

OTHERS: dict[str, tuple[bytes, Reason]] = {
    "NUL (zip)": (zipped(Member(b"a\0b", b"x")), "nul"),
    "twice (zip)": (zipped(Member(b"a", b"1"), Member(b"a", b"2")), "duplicate"),
    "twice (tar)": (tar_of(["a", "a"]), "duplicate"),
    "a file, then in it": (tar_of(["a", "a/b"]), "inside_file"),
    "in it, then a file": (tar_of(["a/b", "a"]), "duplicate"),
    "a link, then through it": (zipped(a_link(b"a", b"b"), Member(b"a/x", b"x")), "inside_file"),
    "link up": (zipped(a_link(b"a", b"../x")), "link_outside"),
    "link up from a folder": (zipped(a_link(b"d/a", b"../../x")), "link_outside"),
    "link to a root": (zipped(a_link(b"a", b"/etc/passwd")), "link_outside"),
    "link to a drive": (zipped(a_link(b"a", b"C:/x")), "link_outside"),
    "link with a backslash": (zipped(a_link(b"a", b"..\\x")), "link_outside"),
    "link through a link": (zipped(a_link(b"d/up", b".."), a_link(b"x", b"d/up/../y")), "link_outside"),
    "link (tar)": (tarred((info("a", type=tarfile.SYMTYPE, linkname="../../x"), b"")), "link_outside"),
    "link to nothing": (zipped(a_link(b"a", b"")), "link_target"),
    "link that is no UTF-8": (zipped(a_link(b"a", b"\xff")), "link_target"),
    "link with NUL": (zipped(a_link(b"a", b"x\0y")), "link_target"),
    "link of 4,096 bytes": (zipped(a_link(b"a", b"x" * 4_096)), "link_target"),
    "hard link": (tarred((info("a"), b"x"), (info("b", type=tarfile.LNKTYPE, linkname="a"), b"")), "hard_link"),
    "character device": (tarred((info("a", type=tarfile.CHRTYPE), b"")), "special"),
    "block device": (tarred((info("a", type=tarfile.BLKTYPE), b"")), "special"),
    "pipe": (tarred((info("a", type=tarfile.FIFOTYPE), b"")), "special"),
    "of no known type": (tarred((info("a", type=b"Z"), b"")), "special"),
    "device (zip)": (zipped(Member(b"a", mode=0o020666)), "special"),
    "pipe (zip)": (zipped(Member(b"a", mode=0o010666)), "special"),
    "holes": (
        tarred((info("a", pax_headers={"GNU.sparse.map": "0,1", "GNU.sparse.size": "1000000000000"}), b"x")),
        "sparse",
    ),
    "encrypted": (zipped(Member(b"a", b"x", flags=1)), "encrypted"),
    "strongly encrypted": (zipped(Member(b"a", b"x", flags=0x41)), "encrypted"),
    "packed by bzip2": (zipped(Member(b"a", b"x", method=12)), "packing"),
    "two that share bytes": (zipped(Member(b"a", b"x" * 99), Member(b"a", b"x" * 99, offset=0)), "overlap"),
    "one inside of another": (
        zipped(Member(b"a", zipped(Member(b"b", b"x")), method=0), Member(b"b", b"x", offset=31)),
        "overlap",
    ),
    "says that it is shorter": (zipped(Member(b"a", b"x" * 99, size=9, raw=deflated(b"x" * 99))), "size"),
    "says that it is longer": (zipped(Member(b"a", b"x" * 9, size=99, raw=deflated(b"x" * 9))), "size"),
    "says two lengths": (zipped(Member(b"a", b"x" * 9, local_size=8)), "size"),
    "is called two things": (zipped(Member(b"a", b"x", local_name=b"b")), "damaged"),
    "something behind the content": (zipped(Member(b"a", b"x", raw=deflated(b"x") + b"more")), "size"),
    "a folder with a content": (zipped(Member(b"a/", b"x")), "size"),
    "another checksum": (zipped(Member(b"a", b"x", crc=7)), "damaged"),
    "stored, another checksum": (zipped(Member(b"a", b"x", method=0, crc=7)), "damaged"),
    "something before it": (b"PK\3\4" + zipped(Member(b"a", b"x"), count=1), "damaged"),
    "fewer in the directory": (zipped(Member(b"a", b"x"), Member(b"b", b"x"), count=1), "damaged"),
    "more in the directory": (zipped(Member(b"a", b"x"), count=2), "damaged"),
    "no directory": (zipped(Member(b"a", b"x"))[:-22], "damaged"),
    "something behind the end": (zipped(Member(b"a", b"x")) + b"x", "damaged"),
    "cut off (tar)": (tarred((info("a"), b"x" * 5_000))[:4_000], "damaged"),
    "no end (tar)": (tarred((info("a"), b"x"))[:1_024], "damaged"),
    "a bad head in the middle": (tarred((info("a"), b"x"))[:1_024] + b"\1" * 2_048, "damaged"),
    "cut off (gzip)": (squeezed(tar_of(["a"]))[:-9], "damaged"),
    "another checksum (gzip)": (squeezed(tar_of(["a"]))[:-8] + b"12345678", "damaged"),
    "nothing": (b"", "unknown"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(600), "unknown"),
    "bomb (zip)": (zipped(Member(b"a", BOMB)), "ratio"),
    "bomb (gzip)": (squeezed(tarred((info("a"), BOMB))), "ratio"),
    "bomb of several": (zipped(*(Member(b"%d" % n, os.urandom(1) * 100_000) for n in range(2))), "ratio"),
    "goes on behind the end": (squeezed(tar_of(["a"]) + Random(1).randbytes(50_000)), "head_bytes"),
    "a bomb of a head": (squeezed(tarred((info("a", pax_headers={"comment": "x" * 99_000}), b""))), "head_bytes"),
    "heads in heads": (tarred((info("a", pax_headers={"x": "y" * 30_000}), b"x")), "head_bytes"),
    "too many (zip)": (zipped(*(Member(b"%d" % n) for n in range(101))), "entries"),
    "too many (tar)": (tar_of([str(n) for n in range(101)]), "entries"),
    "too many folders above": (tar_of([f"{n}/{n}" for n in range(51)]), "entries"),
    "too large a file": (zipped(Member(b"a", bytes(1_600_000), method=0)), "file_bytes"),
    "a file of 8 EB (tar)": (
        tarred((info("a"), b"x")).replace(b"00000000001\0", b"\x80\0\0\0" + b"\x7f" * 8),
        "damaged",
    ),
    "too long an archive": (bytes(2_000_001), "packed_bytes"),
    "too much when unpacked": (
        squeezed(tarred(*((info(str(n)), Random(n).randbytes(11_000) * 99) for n in range(3)))),
        "unpacked_bytes",
    ),
}


def _cases() -> list[tuple[str, bytes, Reason]]:
    cases = [
        (f"{what} ({form})", make(name), reason)
        for what, (name, reason) in NAMES.items()
        for form, make in (("zip", a_zip), ("tar", a_tar), ("tar.gz", a_tar_gz))
    ]
    return cases + [(what, content, reason) for what, (content, reason) in OTHERS.items()]


CASES = _cases()


@pytest.mark.parametrize(("content", "reason"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_refused(content: bytes, reason: Reason) -> None:
    with pytest.raises(ImportRefused) as refused:
        unpacked(content)
    assert refused.value.reason == reason, refused.value
    assert refused.value.code is Code.IMPORT_REFUSED
    assert REASONS[reason] in refused.value.detail


def test_the_table_of_refusals(capsys: pytest.CaptureFixture[str]) -> None:
    seen: set[Reason] = set()
    lines = []
    for what, content, _ in CASES:
        with pytest.raises(ImportRefused) as refused:
            unpacked(content)
        seen.add(refused.value.reason)
        lines.append(f"{what:<40} {refused.value.reason:<15} {refused.value.detail[:100]}")
    with capsys.disabled():
        print("", f"{len(lines)} archives, all refused:", *lines, sep="\n")
    assert seen == set(get_args(Reason))


def test_names_that_differ_in_case_are_one_where_the_workspace_says_so() -> None:
    for names in (["readme", "README"], ["a/x", "A/y"], ["caf\u00e9", "cafe\u0301"]):
        for content in (tar_of(names), zipped(*(Member(name.encode(), b"x") for name in names))):
            assert len([new for new in unpacked(content) if new.kind == "file"]) == 2
            with pytest.raises(ImportRefused) as refused:
                unpacked(content, folds_case=True)
            assert refused.value.reason == "duplicate"


def test_a_link_that_leads_round_and_round_leads_nowhere() -> None:
    content = zipped(a_link(b"a", b"b"), a_link(b"b", b"a"), a_link(b"c", b"c/c/c"))
    assert [new.content for new in unpacked(content)] == [b"b", b"a", b"c/c/c"]


def test_an_archive_in_an_archive_stays_a_file() -> None:
    inner = zipped(Member(b"../x", b"x"))
    (new,) = unpacked(zipped(Member(b"inner.zip", inner, method=0)))
    assert new == NewFile("inner.zip", "file", inner)


GOOD = [
    NewFile("docs", "directory"),
    NewFile("docs/empty", "directory"),
    NewFile("docs/a.txt", "file", b"one\r\ntwo\r\n"),
    NewFile("docs/r\u00e9ad \U0001f642", "file", b"\xef\xbb\xbfmark\n"),
    NewFile("run", "file", b"#!/bin/sh\n", {"mode": "755"}),
    NewFile("way", "symlink", b"docs/a.txt"),
    NewFile("deep", "directory"),
    NewFile("deep/way", "symlink", b"../way"),
    NewFile("picture", "file", bytes(range(256)) * 400),
    NewFile("caf\\xe9", "file", b"old", {"diskName": "Y2Fm6Q=="}),
    NewFile("nothing", "file", b""),
]


def _raw_name(new: NewFile) -> bytes:
    return b"caf\xe9" if "diskName" in new.properties else new.path.encode()


def _tar_info(new: NewFile) -> tuple[tarfile.TarInfo, bytes]:
    name = _raw_name(new).decode("utf-8", "surrogateescape")
    if new.kind == "directory":
        return info(name, type=tarfile.DIRTYPE, mode=0o755), b""
    if new.kind == "symlink":
        return info(name, type=tarfile.SYMTYPE, linkname=new.content.decode()), b""
    return info(name, mode=0o755 if "mode" in new.properties else 0o644), new.content


def _member(new: NewFile) -> Member:
    if new.kind == "directory":
        return Member(_raw_name(new) + b"/", mode=0o040755)
    mode = LINK if new.kind == "symlink" else 0o100755 if "mode" in new.properties else 0o100644
    return Member(_raw_name(new), new.content, mode=mode)


FORMS: dict[str, bytes] = {
    "pax": tarred(*map(_tar_info, GOOD)),
    "gnu": tarred(*map(_tar_info, GOOD), form=tarfile.GNU_FORMAT),
    "tar.gz": squeezed(tarred(*map(_tar_info, GOOD))),
    "zip": zipped(*map(_member, GOOD)),
    "joined": squeezed(tarred(*map(_tar_info, GOOD))[:3_000])
    + squeezed(tarred(*map(_tar_info, GOOD))[3_000:])
    + bytes(9),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_good_comes_out_as_it_went_in(form: str) -> None:
    assert unpacked(FORMS[form]) == GOOD
    assert unpacked(FORMS[form]) == GOOD


def test_folders_that_nobody_names_are_there() -> None:
    assert [new.path for new in unpacked(tar_of(["./a/b/c", "./a/d"]))] == ["a", "a/b", "a/b/c", "a/d"]


def test_what_other_programs_make_is_read(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a/b.txt", "text\n" * 1_000)
        with made.open("wide", "w", force_zip64=True) as file:
            file.write(b"wide")
    assert [(new.path, len(new.content)) for new in unpacked(out.getvalue())] == [
        ("a", 0),
        ("a/b.txt", 5_000),
        ("wide", 4),
    ]

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: object) -> int:
            raise OSError("a pipe")

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("sizes behind", "text\n" * 1_000)
    assert [len(new.content) for new in unpacked(pipe.getvalue())] == [5_000]


@pytest.mark.parametrize("form", ["zip", "tar.gz"])
async def test_what_is_sent_out_as_an_archive_comes_in_again(form: Format) -> None:
    sent = [new for new in GOOD if not new.properties.get("diskName")]

    async def files() -> AsyncIterator[Archived]:
        for new in sent:
            yield Archived(new.path, "text" if new.kind == "file" else new.kind, new.content, new.properties)

    content = b"".join([piece async for piece in archive(form, files(), 1_700_000_000)])
    assert unpacked(content) == sent


async def test_it_becomes_a_tree() -> None:
    async with shelf() as at:
        intake = unpack(io.BytesIO(FORMS["tar.gz"]), FOLDER, SMALL)
        done = await at.files.import_files(ANN, WS, intake.files(), "import")
        assert done.files == len(GOOD)
        assert await at.files.import_files(ANN, WS, intake.files(), "import") == done
        for new in GOOD:
            entry = await at.files.stat(ANN, WS, new.path)
            assert new.properties.items() <= entry.properties.items()
            if new.kind != "directory":
                assert (await at.files.read_bytes(ANN, WS, new.path))[1] == new.content
        assert (await at.files.stat(ANN, WS, "docs/a.txt")).properties == {"eol": "crlf"}
        intake.close()


async def test_a_folder_of_which_the_name_is_no_utf8_keeps_it() -> None:
    async with shelf() as at:
        content = tarred((info("caf\udce9", type=tarfile.DIRTYPE), b""), (info("caf\udce9/x"), b"x"))
        await at.files.import_files(ANN, WS, unpacked(content), "import")
        assert (await at.files.stat(ANN, WS, "caf\\xe9")).properties == {"diskName": "Y2Fm6Q=="}


def test_what_was_refused_leaves_no_file(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ImportRefused):
        unpack(io.BytesIO(zipped(Member(b"a", b"x"), Member(b"../b", b"x"))), tmp_path, SMALL)
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == before


@given(st.sampled_from(sorted(FORMS)), st.randoms(use_true_random=False), st.integers(1, 6))
def test_no_flipped_bytes_do_more_than_be_refused(form: str, random: Random, count: int) -> None:
    content = bytearray(FORMS[form])
    for _ in range(count):
        place = random.randrange(len(content))
        content[place] = random.randrange(256)
    if random.random() < 0.3:
        del content[random.randrange(len(content)) :]
    _good_or_refused(bytes(content))


@given(st.binary(max_size=2_000), st.sampled_from([b"PK\3\4", b"PK\5\6", b"\x1f\x8b\x08", b""]))
def test_no_bytes_do_more_than_be_refused(content: bytes, head: bytes) -> None:
    _good_or_refused(head + content)


NAME = st.one_of(
    st.sampled_from(["a", "b", "..", ".", "", ".git", "a\\b", "C:", "/", "way", "\0", "n" * 300]), st.text(max_size=4)
)


@given(
    st.lists(st.tuples(st.lists(NAME, min_size=1, max_size=4), st.booleans(), st.lists(NAME, max_size=3)), max_size=6)
)
def test_no_names_and_links_come_out_that_lead_out(entries: list[tuple[list[str], bool, list[str]]]) -> None:
    members = [
        Member(
            "/".join(path).encode("utf-8", "surrogatepass"),
            "/".join(target).encode("utf-8", "surrogatepass"),
            mode=LINK if link else 0o100644,
        )
        for path, link, target in entries
    ]
    _good_or_refused(zipped(*members))


def _good_or_refused(content: bytes) -> None:
    """Refused, or what comes out can be written to a disk as it is, and every link on it stays inside."""
    try:
        files = unpacked(content)
    except ImportRefused:
        return
    links = {new.path: new.content.decode() for new in files if new.kind == "symlink"}
    seen: set[str] = set()
    for new in files:
        names = new.path.split("/")
        assert new.path not in seen
        seen.add(new.path)
        assert all(name not in ("", ".", "..") and name.lower() != ".git" and "\0" not in name for name in names)
        assert all(len(name.encode()) <= 255 for name in names)
        assert "/".join(names[:-1]) in seen or len(names) == 1
        assert not any("/".join(names[:end]) in links for end in range(1, len(names)))
    for path, target in links.items():
        assert _followed(path.split("/"), links) is not None, (path, target, links)


def _followed(names: list[str], links: dict[str, str], hops: int = 0) -> list[str] | None:
    """Where a path comes to, by an oracle of its own: one link at a time is put in. None: out."""
    for end in range(1, len(names) + 1):
        before, name, behind = names[: end - 1], names[end - 1], names[end:]
        if name == "..":
            return None if not before else _followed(before[:-1] + behind, links, hops)
        if name in ("", "."):
            return _followed(before + behind, links, hops)
        target = links.get("/".join(names[:end]))
        if target is not None:
            if target.startswith("/"):
                return None
            return _followed(before + target.split("/") + behind, links, hops + 1) if hops < 40 else []
    return names


def test_a_wide_zip_says_its_numbers_once() -> None:
    content = zipped(Member(b"a", b"x"))
    end = bytearray(content[-22:])
    struct.pack_into("<L", end, 16, 0xFFFFFFFF)
    with pytest.raises(ImportRefused):
        unpacked(content[:-22] + bytes(end))
