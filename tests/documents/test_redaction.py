"""A text is taken out of a log: nothing of it is left in any version, and nothing else is another one."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

import pytest

from coscribe.core.errors import CoscribeError
from coscribe.core.operation import Component, Delete, from_edits, know_deleted, normalise
from coscribe.core.text_buffer import TextBuffer
from coscribe.core.tree import Create, Effect, Move, Tree
from coscribe.core.tree import Delete as Trash
from coscribe.documents.redaction import (
    FILLER,
    SHADES,
    WIDE_FILLER,
    ByteFinder,
    Finder,
    Others,
    Pattern,
    Rewriter,
    brings,
    expression,
    fill,
    fill_bytes,
    filled,
    literal,
    renamed,
)
from coscribe.documents.withheld import MAX_PATTERNS, Withheld
from coscribe.model import LogEntry, decode_effect, decode_payload, encode_effect, encode_payload

SEED = int(os.environ.get("COSCRIBE_SEED", "1"))
KEY = 7
SECRET = "hunter2"


class Log:
    """A log of one text, and every text that it had."""

    def __init__(self) -> None:
        self.text = TextBuffer()
        self.entries: list[LogEntry] = []
        self.texts = [""]

    def add(self, parts: Sequence[Component]) -> None:
        operation = normalise(parts)
        removed = self.text.apply(operation)
        payload = encode_payload(know_deleted(operation, removed), removed, ())
        number = len(self.entries) + 1
        self.entries.append(
            LogEntry(number, KEY, number, number - 1, f"x:{number}", "ann", 1, b"", 0, payload, b"", b"")
        )
        self.texts.append(str(self.text))

    def insert(self, position: int, text: str) -> None:
        self.add((position, text))

    def delete(self, position: int, count: int) -> None:
        self.add((position, Delete(count)))

    def redacted(self, pattern: Pattern) -> tuple[list[str], list[LogEntry], Finder]:
        """Every text that the log has afterwards, its entries, and what was found."""
        finder = Finder(pattern, {KEY: str(self.text)})
        for entry in reversed(self.entries):
            finder.take_back(entry)
        assert finder.finish() == {}
        rewriter = Rewriter(finder.marks, Others({}, {}), {}, Tree())
        text, texts, entries = TextBuffer(), [""], []
        for entry in self.entries:
            entries.append(entry._replace(payload=rewriter.entry(entry)))
            parts, _, origin = decode_payload(entries[-1].payload)
            assert origin == decode_payload(entry.payload).origin
            removed = text.apply(parts)
            assert removed == "".join(part.text or "" for part in parts if isinstance(part, Delete))
            texts.append(str(text))
            assert rewriter.content(KEY, is_tree=False) == texts[-1]
        return texts, entries, finder


def test_what_was_typed_letter_by_letter_is_found_where_it_was_whole() -> None:
    log = Log()
    log.insert(0, "password: , and more")
    for at, letter in enumerate(SECRET):
        log.insert(10 + at, letter)
    log.delete(10, len(SECRET))
    log.insert(0, "x")
    texts, _, finder = log.redacted(literal(SECRET))
    assert texts[8] == f"password: {FILLER * 7}, and more"
    assert texts[4] == f"password: {FILLER * 3}, and more"
    assert texts[-1] == "xpassword: , and more"
    assert [place.version for place in finder.places] == [8]


def test_what_became_whole_by_deleting_or_from_its_middle_is_found() -> None:
    log = Log()
    log.insert(0, "hun---ter2")
    log.delete(3, 3)
    texts, _, finder = log.redacted(literal(SECRET))
    assert texts[1:] == [f"{FILLER * 3}---{FILLER * 4}", FILLER * 7]
    assert [place.version for place in finder.places] == [2]
    log = Log()
    log.insert(0, "hr2")
    log.insert(1, "unte")
    log.insert(3, "***")
    assert log.redacted(literal(SECRET))[0][-1] == f"{FILLER * 3}***{FILLER * 4}"


def test_what_is_part_of_it_and_never_was_whole_stays() -> None:
    log = Log()
    log.insert(0, "hunter")
    log.delete(0, 6)
    log.insert(0, "hunter 2")
    texts, entries, finder = log.redacted(literal(SECRET))
    assert (texts, entries, finder.total) == (log.texts, log.entries, 0)


def test_lengths_stay_what_they_are_in_code_points_and_in_utf_16() -> None:
    secret = "a\U0001f600b\nc\N{COMBINING ACUTE ACCENT}"
    assert fill(secret) == f"{FILLER}{WIDE_FILLER}{FILLER}\n{FILLER * 2}"
    assert len(fill(secret).encode("utf-16-le")) == len(secret.encode("utf-16-le"))


def some_log(random_bits: random.Random, secret: str) -> Log:
    """Edits anywhere, and a secret that is typed, pasted, torn apart, deleted and brought back, whole or in pieces."""
    log = Log()
    for _ in range(60):
        length, choice = len(log.text), random_bits.random()
        position = random_bits.randrange(length + 1)
        if choice < 0.15:
            log.insert(position, secret)
        elif choice < 0.3:
            for at, letter in enumerate(secret):
                log.insert(position + at, letter)
        elif choice < 0.5:
            log.insert(position, random_bits.choice(["x", "hun", "ter2", "2", "h", "\U0001f600", secret[2:] + secret]))
        elif choice < 0.85 and length:
            log.delete(position := random_bits.randrange(length), random_bits.randint(1, min(9, length - position)))
        elif length > 4:
            middle = random_bits.randrange(1, length - 2)
            log.add(
                (random_bits.choice(["hu", "y"]), middle, Delete(1), random_bits.choice(["r2", secret]), 1, Delete(1))
            )
    return log


@pytest.mark.parametrize("number", range(60))
def test_nothing_of_it_is_left_and_nothing_else_is_another_one(number: int) -> None:
    log = some_log(random.Random(SEED * 1_000 + number), SECRET)
    pattern = literal(SECRET)
    texts, entries, finder = log.redacted(pattern)
    said = f"COSCRIBE_SEED={SEED}, {number}"
    for before, after in zip(log.texts, texts, strict=True):
        assert len(before) == len(after), said
        assert SECRET not in after, said
        hidden = "".join(new if new == FILLER else old for old, new in zip(before, after, strict=True))
        assert hidden == after, said  # what is no block is what it was
    assert not any(SECRET.encode() in entry.payload for entry in entries), said
    assert (finder.total > 0) == any(SECRET in text for text in log.texts), said
    # Everything that is hidden was part of a match in some version: a log without any stays as it is, byte for byte.
    again = Log()
    again.entries, again.texts, again.text = entries, texts, TextBuffer(texts[-1])
    assert again.redacted(pattern)[1] == entries, said


def test_a_pattern_takes_what_fits() -> None:
    log = Log()
    log.insert(0, "key AKIA1234ABCD and AKIA9")
    assert log.redacted(expression("AKIA[0-9A-Z]{8}"))[0][-1] == f"key {FILLER * 12} and AKIA9"


@pytest.mark.parametrize("pattern", ["", "a*", ".", "(", r"\S+", f"[{FILLER}]"])
def test_what_fits_too_much_or_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(CoscribeError):
        expression(pattern)


def test_names_become_others_each_its_own() -> None:
    pattern = literal("secret")
    names = renamed(pattern, ["secret.txt", "other", "Secret.txt", "my secret", f"{FILLER * 6}.txt"])
    assert set(names) == {"secret.txt", "my secret"}
    assert names["my secret"] == f"my {FILLER * 6}"
    assert names["secret.txt"].endswith(".txt")
    assert names["secret.txt"] != f"{FILLER * 6}.txt"
    assert set(names["secret.txt"][:6]) <= set(SHADES)
    assert len({*renamed(expression("a[0-9]"), ["a1", "a2", "a3"]).values()}) == 3
    (long,) = renamed(literal("s" * 250), ["s" * 250]).values()
    assert len(long.encode()) == 250
    with pytest.raises(CoscribeError):
        renamed(literal("x"), ["x", FILLER, *SHADES, *"_-+="])


def test_a_tree_goes_on_fitting() -> None:
    tree, entries = Tree(), list[LogEntry]()
    ids = [f"f{'a' * 24}{letter}" for letter in "abc"]

    def do(*operations: Create | Move | Trash) -> None:
        effect = tree.apply(operations)
        number = len(entries) + 1
        payload = encode_effect(Effect(effect.changes))
        entries.append(LogEntry(number, KEY, 0, 0, f"x:{number}", "ann", 1, b"", 0, payload, b"", b""))

    do(Create(ids[0], "", "secret", "directory"))
    do(Create(ids[1], ids[0], "a secret thing", "text"))
    do(Create(ids[2], "", "link", "symlink", "secret/a secret thing"))
    do(Move(ids[0], name="plain"))
    do(Create(f"f{'a' * 24}d", "", "secret", "directory"))
    do(Trash(ids[0]))
    pattern = literal("secret")
    finder = Finder(pattern, {})
    for entry in reversed(entries):
        finder.take_back(entry)
    finder.finish()
    assert [place.sequence for place in finder.places] == [1, 2, 3, 5]
    rewriter = Rewriter({}, Others(renamed(pattern, finder.names), {}), {}, Tree())
    again = Tree()
    for entry in entries:
        effect, _ = decode_effect(rewriter.entry(entry))
        again.take_in(effect)
    assert "secret" not in again.encode().decode()
    assert rewriter.content(KEY, is_tree=True) == again.encode().decode()
    assert len(again) == len(tree)
    assert again.state(ids[0]).name == "plain"
    assert filled(pattern, "a secret thing") == again.state(ids[1]).name


ENCODINGS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be")


@pytest.mark.parametrize("number", range(30))
def test_bytes_are_filled_wherever_they_begin(number: int) -> None:
    random_ = random.Random(SEED * 1_000 + number)
    encoding = random_.choice(ENCODINGS)
    secret = random_.choice(["hunter2", "p\xe4ssword", "hunter2 \N{GRINNING FACE}" if encoding != "latin-1" else "x=y"])
    pattern = literal(secret)
    content, wanted = bytearray(), bytearray()
    for _ in range(random_.randrange(6)):
        noise = bytes(random_.randrange(1, 256) for _ in range(random_.randrange(40)))  # with a NUL it has two readings
        raw = secret.encode(encoding)
        content += noise + raw
        wanted += noise + b"#" * len(raw)
    content += b"\xff"
    wanted += b"\xff"
    finder, at, parts = ByteFinder(pattern), 0, list[bytes]()
    while at < len(content):
        size = random_.randrange(1, 30)
        parts.append(bytes(content[at : at + size]))
        finder.take(parts[-1])
        at += size
    spans, filled_parts, at = finder.spans(), bytearray(), 0
    for part in parts:
        filled_parts += fill_bytes(pattern, part, spans, at)
        at += len(part)
    assert filled_parts == wanted, f"COSCRIBE_SEED={SEED}, {number}"


def test_what_crosses_the_parts_that_are_looked_at_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coscribe.documents.redaction.BYTES_AT_ONCE", 10_000)
    content = b"\xff" * 9_999 + b"hunter2" + b"\xfe" * 20_000 + b"hunter2"
    finder = ByteFinder(literal("hunter2"))
    for at in range(0, len(content), 777):
        finder.take(content[at : at + 777])
    assert finder.spans() == [(9_999, 10_006), (30_006, 30_013)]


def test_what_an_edit_brings() -> None:
    pattern = literal("secret")
    assert brings(pattern, "a  thing", [from_edits([(2, 0, "secret")])])
    assert brings(pattern, "sec-ret", [from_edits([(3, 1, "")])])
    assert brings(pattern, "", [from_edits([(0, 0, "sec")]), from_edits([(3, 0, "ret")])])
    assert brings(pattern, "ab", [from_edits([(0, 1, "x" * 50), (2, 0, "secret")])])
    assert not brings(pattern, "a thing", [from_edits([(2, 5, "secre")])])
    assert not brings(pattern, "secret", [from_edits([(0, 0, "a "), (6, 0, " thing")])])
    assert not brings(pattern, "a secret", [from_edits([(3, 4, "")])])


def test_withheld_is_forgotten_from_the_oldest_on() -> None:
    withheld = Withheld()
    for number in range(MAX_PATTERNS + 1):
        withheld.add(literal(f"secret-{number:03}"))
    withheld.check_new_text("secret-000", "x:1")
    with pytest.raises(CoscribeError, match="text_redacted"):
        withheld.check_new_text("secret-001", "x:1")
    assert withheld.filled(b"\0secret-001\0secret-000") == b"\0##########\0secret-000"
