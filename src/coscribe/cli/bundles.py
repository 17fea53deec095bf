"""Verifies a bundle, with nothing but the public key and what was kept: no folder, no server, no database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from coscribe.cli.common import err, fail
from coscribe.cli.keeping import KeptAll, read_key
from coscribe.documents.bundle_audit import BundleAudit, BundleReport, audit_bundle
from coscribe.persistence.signing import has_signed

LINE_BYTES = 200_000_000
"""A line is no longer: the longest holds the text of a file."""


class FoundWrong(msgspec.Struct, rename="camel"):
    """A finding as it is shown. ``line`` 0: at no line."""

    line: int
    sequence: int | None
    detail: str


class BundleVerdict(msgspec.Struct, rename="camel"):
    """What is to say about a bundle."""

    bundle: str
    workspace: str
    clean: bool
    lines: int
    entries: int
    sequence: int
    files: int
    states: int
    events: int
    checkpoints: int
    history_pruned: int
    redacted: int
    findings: list[FoundWrong]
    more: int


def verify_bundle(path: Path, key: str, kept: KeptAll) -> BundleVerdict:
    """Ends with advice where it cannot be read, or no key is given."""
    if not key:
        fail("a bundle is verified with the public key of its server", "Give --key; `coscribe audit key` prints it.")
    audit = BundleAudit(read_key(key), has_signed)
    for item in kept.checkpoints:
        audit.hold(item.checkpoint, item.name)
    for source, _, digests in kept.entries:
        audit.hold_entries(digests, source)
    try:
        with path.open("rb") as file:
            return _verdict(path, audit_bundle(audit, _lines(file, path.stat().st_size)))
    except OSError as error:
        fail(f"cannot read {path}: {error.strerror}", "Give a file that `coscribe audit export` has written.")


def _lines(file: IO[bytes], size: int) -> Iterator[bytes]:
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("verifying", total=size)
        while line := file.readline(LINE_BYTES):
            yield line
            progress.advance(task, len(line))


def _verdict(path: Path, report: BundleReport) -> BundleVerdict:
    return BundleVerdict(
        str(path),
        report.workspace_id,
        report.clean,
        report.lines,
        report.entries,
        report.sequence,
        report.files,
        report.states,
        report.events,
        report.checkpoints,
        report.pruned,
        report.redacted,
        [FoundWrong(*found) for found in report.findings],
        report.total - len(report.findings),
    )
