"""The audit finds what is wrong, says where, and finds nothing where nothing is."""

from __future__ import annotations

import pytest

from coscribe.documents.audit import MAX_FINDINGS, Claim, Report, audit
from coscribe.model import FileSnapshot, LogEntry, content_hash
from tests.cli.written import FILE_ID, FILE_KEY, Written, chained, rechained


def examine(written: Written, entries: list[LogEntry] | None = None, *claims: Claim) -> Report:
    """The audit of a history whose entries somebody has changed."""
    made = [Claim("snapshot", snapshot) for snapshot in written.snapshots]
    return audit(written.workspace, written.entries if entries is None else entries, [*made, *claims])


def kinds(report: Report) -> list[tuple[str, int | None]]:
    return [(finding.kind, finding.sequence) for finding in report.findings]


def test_a_whole_log_is_clean(written: Written) -> None:
    report = examine(written)
    assert report.clean
    assert report.entries == len(written.entries) == 11
    (file,) = report.files
    assert (file.file.file_id, file.entries, file.version) == (FILE_ID, 11, 10)
    assert file.compared == {"snapshot": 2}


def test_an_empty_log_is_clean() -> None:
    report = examine(Written())
    assert report.clean
    assert report.entries == 0


def test_a_live_text_is_compared_too(written: Written) -> None:
    text = written.text
    live = FileSnapshot(FILE_KEY, 10, 11, text, content_hash(text))
    assert examine(written, None, Claim("live text", live)).clean
    other = live._replace(content=text + "!", content_hash=content_hash(text + "!"))
    report = examine(written, None, Claim("live text", other))
    assert kinds(report) == [("claim", 11)]
    assert f"they part at {len(text)}" in report.findings[0].detail
    ahead = live._replace(sequence=12)
    assert kinds(examine(written, None, Claim("live text", ahead))) == [("claim", 12)]


def test_an_empty_file_may_be_claimed_before_the_first_entry(written: Written) -> None:
    empty = FileSnapshot(FILE_KEY, 0, 0, "", content_hash(""))
    assert examine(written, None, Claim("live text", empty)).clean
    assert examine(Written(), None, Claim("live text", empty)).clean


@pytest.mark.parametrize(
    "field_and_value",
    [
        ("author_ref", 2),
        ("time", 1),
        ("base_version", 0),
        ("operation_id", "ann:99"),
        ("salt", bytes(16)),
        ("payload", b'[[7,"thy "]]'),
    ],
)
def test_a_changed_field_breaks_the_chain_there(written: Written, field_and_value: tuple[str, object]) -> None:
    name, value = field_and_value
    entries = list(written.entries)
    entries[1] = entries[1]._replace(**{name: value})  # type: ignore[arg-type]  # whatever the field holds
    assert kinds(examine(written, entries))[0] == ("chain", 2)


def test_a_changed_digest_breaks_it_there_and_behind(written: Written) -> None:
    entries = list(written.entries)
    entries[4] = entries[4]._replace(digest=bytes(32))
    assert kinds(examine(written, entries)) == [("chain", 5), ("chain", 6)]


def test_a_missing_entry(written: Written) -> None:
    report = examine(written, [entry for entry in written.entries if entry.sequence != 4])
    assert kinds(report) == [("gap", 5)]
    assert "entry 4 before it is missing" in report.findings[0].detail
    assert report.files[0].compared == {}, "behind the gap nobody knows what the text was"


def test_the_last_entry_is_missing(written: Written) -> None:
    report = examine(written, written.entries[:-1])
    assert kinds(report) == [("head", None)]


def test_the_head_is_another_one(written: Written) -> None:
    report = audit(written.workspace._replace(chain_hash=bytes(32)), written.entries)
    assert kinds(report) == [("head", None)]


def test_swapped_entries(written: Written) -> None:
    entries = list(written.entries)
    entries[2], entries[3] = entries[3]._replace(sequence=3), entries[2]._replace(sequence=4)
    assert {("chain", 3), ("chain", 4)} <= set(kinds(examine(written, entries)))


def test_entries_that_come_twice(written: Written) -> None:
    again = [*written.entries, written.entries[-1]]
    assert kinds(examine(written, again))[:2] == [("gap", 11), ("duplicate_id", 11)]


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"version": 9}, "version"),
        ({"base_version": 8}, "base_version"),
        ({"payload": b'[[["Xn "]]]'}, "deleted_text"),
        ({"payload": b'[[1000,"far"]]'}, "position"),
        ({"payload": b"[[[]]]"}, "payload"),
        ({"payload": b"\xff"}, "payload"),
    ],
)
def test_a_forged_entry_is_found_by_replaying(written: Written, changed: dict[str, object], kind: str) -> None:
    """The forger has recomputed every digest, so the chain alone says nothing."""
    entries = list(written.entries)
    entries[6] = entries[6]._replace(**changed)  # type: ignore[arg-type]  # whatever the fields hold
    entries = rechained(entries)
    report = audit(written.workspace._replace(chain_hash=entries[-1].digest), entries)
    assert kinds(report) == [(kind, 7)]


def test_a_forged_insert_is_found_by_a_snapshot(written: Written) -> None:
    entries = list(written.entries)
    entries[1] = entries[1]._replace(payload=b'[[3,"two "]]')
    entries = rechained(entries)
    workspace = written.workspace._replace(chain_hash=entries[-1].digest)
    report = audit(workspace, entries, [Claim("snapshot", written.snapshots[0])])
    assert ("claim", 6) in kinds(report)


def test_a_snapshot_that_does_not_have_its_hash(written: Written) -> None:
    snapshot = written.snapshots[1]._replace(content_hash=bytes(32))
    report = audit(written.workspace, written.entries, [Claim("snapshot", snapshot)])
    assert kinds(report) == [("claim", 10)]


def test_a_snapshot_with_another_version(written: Written) -> None:
    snapshot = written.snapshots[1]._replace(version=10)
    report = audit(written.workspace, written.entries, [Claim("snapshot", snapshot)])
    assert kinds(report) == [("claim", 10)]
    assert "says version 10, the log says 9" in report.findings[0].detail


@pytest.mark.parametrize("field", ["sequence", "version", "author_ref", "salt", "payload", "operation_id"])
def test_a_field_of_another_kind(written: Written, field: str) -> None:
    """SQLite does not mind; the audit says so and does not stumble."""
    entries = list(written.entries)
    entries[2] = entries[2]._replace(**{field: None})  # type: ignore[arg-type]  # that is the point
    found = kinds(examine(written, entries))
    assert found[0][0] == "malformed"


def test_an_entry_of_a_file_that_is_not_there(written: Written) -> None:
    stray = chained(written.entries[0].digest, written.entries[1]._replace(file_key=7))
    report = audit(written.workspace._replace(last_sequence=2, chain_hash=stray.digest), [written.entries[0], stray])
    assert kinds(report) == [("unknown_file", 2)]


def test_findings_are_bounded_and_counted(written: Written) -> None:
    entries = [entry for entry in written.entries if entry.sequence % 2] * MAX_FINDINGS
    report = examine(written, entries)
    assert len(report.findings) == MAX_FINDINGS
    assert report.total > MAX_FINDINGS


def test_progress_is_told(written: Written) -> None:
    many = Written()
    for _ in range(3_000):
        many.add("ann", [(0, 0, "a")])
    told: list[int] = []
    assert audit(many.workspace, many.entries, progress=told.append).clean
    assert sum(told) == 2_048
