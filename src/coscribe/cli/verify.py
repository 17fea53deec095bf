"""``coscribe verify``: is everything that was ever acknowledged still there, and unchanged?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from coscribe.cli.common import DEFAULT_FOLDER, Folder, Json, Server, Token, err, out, print_json

if TYPE_CHECKING:
    from coscribe.documents.audit import FileReport, Finding, Report

DAMAGED = 1


def verify(
    files: Annotated[list[str] | None, typer.Argument(metavar="FILE", help="Only these; all if left out.")] = None,
    data: Folder = DEFAULT_FOLDER,
    server: Server = "",
    token: Token = "",
    json: Json = False,
) -> None:
    """Prove that the log is whole: recompute its hashes, replay it, compare with every snapshot.

    With --server also with what the server shows right now. Works while a server runs on the folder. The exit code is 0
    where all is well, 1 where something is damaged, 2 where it could not be checked.

    Examples:

        coscribe verify

        coscribe verify notes --data /var/lib/coscribe

        coscribe verify --server http://127.0.0.1:8777 --json
    """
    from coscribe.cli.verifying import verify_folder  # here: SQLAlchemy takes long to import

    audits = verify_folder(data, files or (), server, token)
    clean = all(report.clean for report in audits.values())
    if json:
        print_json({"clean": clean, "files": [entry for name in audits for entry in _json(name, audits[name])]})
    else:
        for report in audits.values():
            _print(report)
        if not audits:
            out.print("The log is empty: nothing has been written yet.", highlight=False)
    if not clean:
        err.print("[red]Damaged.[/red] Keep a copy of the folder as it is, then restore it from a backup.")
        raise typer.Exit(DAMAGED)


def _findings_of(report: Report, file: FileReport) -> list[Finding]:
    """What concerns a file: findings about it and about its workspace as a whole."""
    return [finding for finding in report.findings if finding.file_key in (None, file.file.key)]


def _print(report: Report) -> None:
    width = max((len(file.file.file_id) for file in report.files), default=0)
    for file in report.files:
        findings = _findings_of(report, file)
        state = "[red]DAMAGED[/red]" if findings else "[green]ok[/green]     "
        compared = f"{file.compared.get(SNAPSHOT, 0)} snapshots" + (", live text" if LIVE in file.compared else "")
        out.print(
            f"{state} {file.file.file_id:<{width}}  {file.entries:,} entries, version {file.version:,}, {compared}",
            highlight=False,
            soft_wrap=True,
        )
        for finding in findings:
            _print_finding(finding)
    if not report.files:
        for finding in report.findings:
            _print_finding(finding)
    if report.total > len(report.findings):
        out.print(f"        and {report.total - len(report.findings):,} more", highlight=False)


def _print_finding(finding: Finding) -> None:
    where = "" if finding.sequence is None else f"sequence {finding.sequence}: "
    out.print(f"        {where}{finding.detail} ({finding.kind})", highlight=False, markup=False, soft_wrap=True)


def _json(workspace_id: str, report: Report) -> list[dict[str, Any]]:
    if not report.files:
        return [{"workspace": workspace_id, "clean": report.clean, "findings": [_finding(f) for f in report.findings]}]
    return [
        {
            "workspace": workspace_id,
            "file": file.file.file_id,
            "clean": not _findings_of(report, file),
            "entries": file.entries,
            "version": file.version,
            "snapshots": file.compared.get(SNAPSHOT, 0),
            "live": LIVE in file.compared,
            "findings": [_finding(found) for found in _findings_of(report, file)],
            "findingsInWorkspace": report.total,
        }
        for file in report.files
    ]


def _finding(finding: Finding) -> dict[str, Any]:
    return {"kind": finding.kind, "sequence": finding.sequence, "detail": finding.detail}
