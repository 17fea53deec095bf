"""Contents of files, whatever is in them: bytes in, bytes out; who may name a blob; many files at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from hashlib import sha256

import pytest

from coscribe.core.document_state import Limits
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents import file_system
from coscribe.documents.collaboration import Planned
from coscribe.documents.file_system import NewFile, Written
from coscribe.documents.quota import Allowance
from coscribe.protocol import messages
from tests.documents.test_file_system import ANN, CID, MAX_BLOB, WS, Shelf, refused, shelf

PICTURE = b"\x89PNG\r\n\x1a\n\0" + bytes(range(256))
OTHER = b"\0other"


def hash_of(content: bytes) -> str:
    return sha256(content).hexdigest()


async def content(at: Shelf, path: str) -> bytes:
    return (await at.files.read_bytes(ANN, WS, path))[1]


async def tag(at: Shelf, path: str) -> str:
    return (await at.files.open(ANN, WS, path)).tag


async def put(at: Shelf, path: str, content: bytes, base: str | None = None, **properties: str) -> Written:
    return await at.files.write_bytes(ANN, WS, path, content, at.series(), base=base, properties=properties)


async def over(at: Shelf, path: str, content: bytes, **properties: str) -> Written:
    """Over what is there, which was read just now."""
    return await put(at, path, content, await tag(at, path), **properties)


BYTES = {
    "lf": b"one\ntwo\n",
    "crlf": b"one\r\ntwo\r\n",
    "cr": b"one\rtwo\r",
    "mark": b"\xef\xbb\xbfone\n",
    "utf-16": "\ufeffnaïve\r\n".encode("utf-16-le"),
    "latin-1": "naïve\n".encode("latin-1"),
    "mixed": b"one\r\ntwo\n",
    "picture": PICTURE,
    "no utf-8": b"\xff\xfe\xfd",
    "nothing": b"",
}
TEXTS = ("lf", "crlf", "cr", "mark", "utf-16", "latin-1", "nothing")


@pytest.mark.parametrize("what", BYTES)
async def test_bytes_come_back_bit_for_bit(what: str) -> None:
    async with shelf() as at:
        written = await put(at, "new", BYTES[what], mode="755")
        found, back = await at.files.read_bytes(ANN, WS, "new")
        assert back == BYTES[what]
        assert found.size == len(back)
        assert found.entry.kind == ("text" if what in TEXTS else "binary")
        assert found.entry.properties["mode"] == "755"
        assert written.tag == found.tag


@pytest.mark.parametrize("first", BYTES)
@pytest.mark.parametrize("second", BYTES)
async def test_anything_may_become_anything(first: str, second: str) -> None:
    async with shelf() as at:
        made = await put(at, "new", BYTES[first])
        for what in (second, first, second):
            written = await over(at, "new", BYTES[what])
            found, back = await at.files.read_bytes(ANN, WS, "new")
            assert (back, found.entry.file_id, found.tag) == (BYTES[what], made.file_id, written.tag)
        assert (await over(at, "new", BYTES[second])).place is None


async def test_a_text_stays_one_and_what_others_wrote_since_stays() -> None:
    async with shelf() as at:
        made = await put(at, "new", b"one\r\ntwo\r\n")
        await put(at, "new", b"ONE\r\ntwo\r\n", made.tag)
        written = await at.files.write_bytes(CID, WS, "new", b"one\r\ntwo\r\nthree\r\n", "cid", base=made.tag)
        assert await content(at, "new") == b"ONE\r\ntwo\r\nthree\r\n"
        assert written.version == "3"
        await put(at, "new", b"ONE\ntwo\nthree\n", written.tag, mode="600")  # only its line ends, and whose it is
        assert await content(at, "new") == b"ONE\ntwo\nthree\n"
        assert (await at.files.stat(ANN, WS, "new")).properties == {"mode": "600"}


async def test_a_text_without_line_ends_keeps_those_it_had() -> None:
    async with shelf() as at:
        await put(at, "new", b"one\r\n")
        await over(at, "new", b"one")
        assert (await at.files.stat(ANN, WS, "new")).properties == {"eol": "crlf"}
        await over(at, "new", "naïve\n".encode("latin-1"))
        await over(at, "new", b"naive\n")
        assert (await at.files.stat(ANN, WS, "new")).properties == {"encoding": "latin-1"}
        assert await content(at, "new") == b"naive\n"


async def test_where_one_of_the_two_is_no_text_it_must_be_what_was_read() -> None:
    async with shelf() as at:
        picture = await put(at, "picture", PICTURE)
        text = await put(at, "text", b"text\n")
        await put(at, "picture", OTHER, picture.tag)
        await put(at, "text", b"text, edited\n", text.tag)
        for path, base in (("picture", picture.tag), ("text", text.tag)):
            for new in (b"late\n", PICTURE):
                if (path, new) == ("text", b"late\n"):
                    continue
                async with refused(Code.PRECONDITION_FAILED):
                    await put(at, path, new, base)
        async with refused(Code.PRECONDITION_FAILED):
            await at.files.link(ANN, WS, "text", "elsewhere", at.series(), base=text.tag)
        await at.files.rename(ANN, WS, "text", "picture", at.series(), overwrite=True)
        async with refused(Code.PRECONDITION_FAILED):  # another file is there
            await put(at, "picture", b"x", f"{picture.file_id}:{hash_of(OTHER)}")
        async with refused(Code.INVALID_PATH):
            await put(at, "src", b"x", "src:1")
        async with refused(Code.CONFLICT):
            await put(at, "picture", PICTURE)
        assert await content(at, "picture") == b"text, edited\n"


async def test_a_text_that_becomes_something_else_is_closed_and_goes_on_where_it_was() -> None:
    async with shelf() as at:
        made = await put(at, "new", b"a text\n")
        await over(at, "new", PICTURE)
        async with refused(Code.NOT_A_TEXT):
            await at.server.collaboration.text(ANN, made.file_id)
        written = await over(at, "new", b"another\n")
        assert int(written.version) > 1
        assert await at.text("new") == "another\n"


async def test_long_texts_take_several_operations_and_too_long_ones_are_kept_whole() -> None:
    async with shelf() as at:
        at.server.collaboration.limits = Limits(file_length=1_000, operation_length=7)
        await put(at, "new", b"0123456789" * 9)
        await over(at, "new", PICTURE)
        await over(at, "new", b"9876543210" * 8)
        assert await content(at, "new") == b"9876543210" * 8
        await put(at, "long", b"x" * 1_001)
        assert (await at.files.stat(ANN, WS, "long")).kind == "binary"


async def test_links_are_kept_as_links() -> None:
    async with shelf() as at:
        made = await at.files.link(ANN, WS, "link", "../../etc/passwd", at.series(), base=None)
        found, back = await at.files.read_bytes(ANN, WS, "link")
        assert (found.entry.kind, back, found.tag) == ("symlink", b"../../etc/passwd", made.tag)
        await at.files.link(ANN, WS, "link", "free", at.series(), base=made.tag)
        async with refused(Code.PRECONDITION_FAILED):
            await at.files.link(ANN, WS, "link", "docs", at.series(), base=made.tag)
        await over(at, "link", b"a text\n")
        assert await at.text("link") == "a text\n"
        await at.files.link(ANN, WS, "link", "free", at.series(), base=await tag(at, "link"))
        assert await content(at, "link") == b"free"
        assert await at.text("free") == "this is free\n"


async def test_what_comes_in_pieces_is_a_text_or_not_as_well() -> None:
    async with shelf() as at:
        for name, whole in BYTES.items():
            async with at.files.blobs.draft() as draft:
                for start in range(0, len(whole), 5):
                    await draft.write(whole[start : start + 5])
                await at.files.write_bytes(ANN, WS, name, draft, at.series(), base=None)
            assert await content(at, name) == whole
            assert (await at.files.stat(ANN, WS, name)).kind == ("text" if name in TEXTS else "binary")


async def test_old_contents_are_read_by_hash_by_those_who_may_see_the_file() -> None:
    async with shelf() as at:
        made = await put(at, "secret/picture", PICTURE)
        await put(at, "secret/picture", OTHER, made.tag)
        await put(at, "free picture", OTHER + b"1")
        for digest, whole in ((hash_of(PICTURE), PICTURE), (hash_of(OTHER), OTHER)):
            found = await at.files.open_past(ANN, WS, made.file_id, digest)
            assert b"".join([piece async for piece in found.pieces]) == whole
            async with refused(Code.FILE_NOT_FOUND):
                await at.files.open_past(CID, WS, made.file_id, digest)
        async with refused(Code.FILE_NOT_FOUND):
            await at.files.open_past(ANN, WS, made.file_id, hash_of(OTHER + b"1"))  # that of another file
        await at.files.delete(ANN, WS, "secret/picture", at.series())
        assert (await at.files.open_past(ANN, WS, made.file_id, hash_of(PICTURE))).size == len(PICTURE)


async def test_nobody_learns_what_others_have_by_naming_it() -> None:
    """A hash that nobody has, one of a file that a rule hides, one of another workspace, one that is only in the
    store: all get the same answer, and it is the one that a wrong guess gets."""
    async with shelf() as at:
        await at.storage.create_tree("other", 1)
        await at.files.write_bytes(ANN, "other", "picture", b"\0elsewhere", at.series(), base=None)
        await put(at, "secret/picture", PICTURE)
        await at.store.put([b"\0in the store"])
        said = set()
        for guess in (b"\0nobody's", PICTURE, b"\0elsewhere", b"\0in the store"):
            for edit in (
                messages.CreateNode(WS, "guess", "binary", hash_of(guess)),
                messages.PutContent((await at.files.stat(CID, WS, "free")).file_id, "binary", hash_of(guess)),
            ):
                with pytest.raises(CoscribeError) as error:
                    await at.server.collaboration.edit_tree(
                        CID,
                        WS,
                        at.series(),
                        lambda _, __, edit=edit: Planned([edit]),  # type: ignore[misc]  # the default binds the loop's value
                    )
                said.add((error.value.code, error.value.detail.replace(hash_of(guess), "HASH"), error.value.file_id))
        assert said == {(Code.FILE_NOT_FOUND, "there is no content HASH that you may read here", None)}
        made = messages.CreateNode(WS, "mine", "binary", hash_of(PICTURE))
        await at.server.collaboration.edit_tree(ANN, WS, at.series(), lambda _, __: Planned([made]))
        assert await content(at, "mine") == PICTURE
        open_to_cid = messages.CreateNode(WS, "mine too", "binary", hash_of(PICTURE))
        await at.server.collaboration.edit_tree(CID, WS, at.series(), lambda _, __: Planned([open_to_cid]))


async def test_a_copy_has_pictures_and_links() -> None:
    async with shelf() as at:
        await put(at, "src/picture", PICTURE)
        await at.files.link(ANN, WS, "src/link", "picture", at.series(), base=None)
        await put(at, "src/text", b"one\r\n")
        await at.files.copy(ANN, WS, "src", "copy", at.series())
        for name in ("picture", "link", "text"):
            assert await content(at, f"copy/{name}") == await content(at, f"src/{name}")
        assert (await at.files.stat(ANN, WS, "copy/link")).kind == "symlink"


async def test_what_is_refused_leaves_nothing_in_the_store() -> None:
    async with shelf() as at:
        kept = await put(at, "picture", PICTURE)
        for path, new, base, code in (
            ("picture", OTHER, None, Code.CONFLICT),
            ("picture", PICTURE, None, Code.CONFLICT),
            ("no/folder", OTHER, None, Code.FILE_NOT_FOUND),
            ("picture", OTHER, f"{kept.file_id}:{hash_of(b'x')}", Code.PRECONDITION_FAILED),
            ("x" * 256, OTHER, None, Code.INVALID_PAYLOAD),
            ("large", b"\0" * (MAX_BLOB + 1), None, Code.FILE_TOO_LARGE),
        ):
            async with refused(code):
                await put(at, path, new, base)
        async with refused(Code.PERMISSION_DENIED):
            await at.files.write_bytes(CID, WS, "docs/new", OTHER, at.series(), base=None)
        assert set(at.store.contents) == {hash_of(PICTURE)}


async def test_what_somebody_else_is_bringing_stays_when_one_is_refused() -> None:
    async with shelf() as at:
        for number in range(30):
            new = b"\0%d" % number
            good = put(at, f"good {number}", new)
            bad = put(at, "free", new)
            first, second = (good, bad) if number % 2 else (bad, good)
            done = await asyncio.gather(first, second, return_exceptions=True)
            assert sum(isinstance(each, CoscribeError) for each in done) == 1
            assert await content(at, f"good {number}") == new


async def test_what_became_of_a_commit_is_not_known_so_the_content_stays() -> None:
    async with shelf() as at:
        at.server.log.fail(written=True)
        async with refused(Code.STORAGE_UNAVAILABLE):
            await put(at, "picture", PICTURE)
        assert await content(at, "picture") == PICTURE


async def test_contents_count_for_whoever_made_the_workspace() -> None:
    async with shelf() as at:
        session = at.server.collaboration.router.sessions[WS]
        session.allowance = Allowance(1_000, 0, lambda: None)
        await put(at, "one", b"\0" * 600)
        assert session.allowance.used == 600
        async with refused(Code.QUOTA_EXCEEDED):
            await put(at, "two", b"\1\0" * 300)
        assert session.allowance.used == 600
        await at.files.copy(ANN, WS, "one", "three", at.series())  # it is there once
        assert session.allowance.used == 600


# ---- many at once


def project(count: int) -> list[NewFile]:
    files = [NewFile("docs/empty", "directory"), NewFile("src/link", "symlink", b"../free")]
    for number in range(count):
        folder = f"src/{number % 7}/deep" if number % 3 else "docs"
        whole = b"\0%d" % number if number % 5 == 0 else b"text %d\r\n" % number
        files.append(NewFile(f"{folder}/{number}", "file", whole, {"mode": "755"} if number % 2 else {}))
    return files


async def check_project(at: Shelf, files: list[NewFile]) -> None:
    for new in files:
        if new.kind == "directory":
            assert (await at.files.stat(ANN, WS, new.path)).kind == "directory"
        else:
            found, back = await at.files.read_bytes(ANN, WS, new.path)
            assert back == new.content
            assert found.entry.properties.get("mode") == new.properties.get("mode")


async def test_many_files_take_few_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_system, "MAX_UNIT", 100)
    async with shelf() as at:
        files = project(340)
        before = (await at.files.list(ANN, WS, "")).sequence
        done = await at.files.import_files(ANN, WS, files, "import")
        sequence = (await at.files.list(ANN, WS, "")).sequence
        assert sequence == before + 4 + sum(b"text" in new.content for new in files)
        assert done.files == 342
        await check_project(at, files)
        assert await at.files.import_files(ANN, WS, files, "import") == done
        assert (await at.files.list(ANN, WS, "")).sequence == sequence


async def test_an_import_goes_on_where_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_system, "MAX_UNIT", 50)
    async with shelf() as at:
        files = project(200)
        for written in (True, False, True):

            def half(ending: bool = written) -> Iterator[NewFile]:
                for number, new in enumerate(files):
                    if number == 120:
                        at.server.log.fail(written=ending)
                    yield new

            async with refused(Code.STORAGE_UNAVAILABLE):
                await at.files.import_files(ANN, WS, half(), "import")
        await at.files.import_files(ANN, WS, files, "import")
        await check_project(at, files)
        assert len([path for path in await at.paths() if path.rpartition("/")[2].isdigit()]) >= 200


async def test_of_a_part_that_is_refused_nothing_is_made() -> None:
    async with shelf() as at:
        before = await at.paths()
        for files, code in (
            ([NewFile("new", "file", PICTURE), NewFile("free", "file", b"x")], Code.CONFLICT),
            ([NewFile("new", "file", PICTURE), NewFile("new", "file", b"x")], Code.CONFLICT),
            ([NewFile("new", "file", PICTURE), NewFile("free/x", "file", b"x")], Code.INVALID_PATH),
            ([NewFile("new", "file", PICTURE), NewFile("../x", "file", b"x")], Code.INVALID_PATH),
            ([NewFile("new", "file", PICTURE), NewFile(".git/hooks/x", "file", b"x")], Code.INVALID_PAYLOAD),
            ([NewFile("new", "file", PICTURE), NewFile("link", "symlink", b"\xff")], Code.INVALID_PAYLOAD),
        ):
            async with refused(code):
                await at.files.import_files(ANN, WS, files, at.series())
        assert await at.paths() == before
        assert not at.store.contents
        async with refused(Code.FILE_NOT_FOUND):
            await at.files.import_files(CID, WS, [NewFile("secret/x", "file", b"x")], at.series())
