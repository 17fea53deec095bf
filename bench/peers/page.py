"""The page docs/benchmarks.md and its picture, from a report. The words that are not figures are in page.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import Template

from bench.peers.plot import Panel, short, svg
from bench.peers.report import SCENARIOS, Lead, Measure, Report, leads
from bench.peers.systems import OURS, SYSTEMS, System

_TEMPLATE = Path(__file__).parent / "page.md"
_NO_FIGURE = "-"
_QUIET = 0.5
_STOLEN = 0.02

_PANELS = (
    ("busy", "opsPerCpuSecond", "Busy document: operations per second of server CPU", "more is better"),
    ("busy", "seenP99Ms", "Busy document: seen by another, p99, ms", "less is better; closed loop"),
    ("steady", "seenP99Ms", "The same offered load: seen by another, p99, ms", "less is better"),
    ("many", "serverCpuUsPerOp", "Many documents: server CPU per operation, us", "less is better"),
    ("idle", "rssPerDocumentKb", "An idle document with its socket: RSS, KB", "less is better"),
    ("join", "joinMs", "A new client has a long history's text, ms", "less is better"),
)


def write(report: Report, folder: Path) -> None:
    """Writes benchmarks.md and benchmarks.svg into the folder."""
    (folder / "benchmarks.md").write_text(markdown(report))
    (folder / "benchmarks.svg").write_text(picture(report))


def picture(report: Report) -> str:
    panels = []
    for scenario, figure, title, note in _PANELS:
        values = {}
        for name in report.runs.get(scenario, {}):
            figures = report.median(scenario, name)
            if figure in figures:
                values[SYSTEMS[name].title] = figures[figure]
        if values:
            panels.append(Panel(title, note, values, SYSTEMS[OURS].title))
    return svg(f"Coscribe and its peers, {report.date}: medians of {report.repeat}", panels)


def markdown(report: Report) -> str:
    ran = [name for name in SYSTEMS if any(name in systems for systems in report.runs.values())]
    return Template(_TEMPLATE.read_text()).substitute(
        conditions=_conditions(report),
        durability=_durability([SYSTEMS[name] for name in ran]),
        versions=", ".join(f"{name} {version}" for name, version in report.versions.items()),
        ahead=_ahead(leads(report, OURS)),
        **{name: table(report, name) for name in SCENARIOS},
    )


def table(report: Report, scenario: str) -> str:
    """One scenario: a row for each system, medians; the range of all runs behind the first figure."""
    _, measures = SCENARIOS[scenario]
    if not report.runs.get(scenario):
        return "Not measured in this run."
    columns = ["System", *(measure.title for measure in measures)]
    is_loaded = any("loadCpuShare" in report.median(scenario, name) for name in report.runs[scenario])
    if is_loaded:
        columns.append("server / generator busy, %")
    rows = []
    for name in report.runs[scenario]:
        figures = report.median(scenario, name)
        if not figures:
            rows.append([SYSTEMS[name].title, "no figures: every run failed", *[_NO_FIGURE] * (len(columns) - 2)])
            continue
        row = [f"**{SYSTEMS[name].title}**" if SYSTEMS[name].is_ours else SYSTEMS[name].title]
        row += [_cell(report, scenario, name, measure, index == 0) for index, measure in enumerate(measures)]
        if is_loaded:
            row.append(f"{figures['serverCpuShare'] * 100:.0f} / {figures['loadCpuShare'] * 100:.0f}")
        rows.append(row)
    given = ", ".join(f"{name} {value}" for name, value in report.parameters[scenario].items())
    return f"{_rows(columns, rows)}\n\n({given})"


def _cell(report: Report, scenario: str, system: str, measure: Measure, with_range: bool) -> str:
    figures = report.median(scenario, system)
    if measure.figure not in figures:
        return _NO_FIGURE
    text = short(figures[measure.figure])
    if with_range and report.repeat > 1:
        least, most = report.spread(scenario, system, measure.figure)
        text += f" ({short(least)} to {short(most)})"
    return text


def _conditions(report: Report) -> str:
    machine = report.machine
    pinned = (
        f"server on processor {report.server_cpu}, load generator on processor {report.load_cpu}"
        if report.server_cpu is not None
        else "server and load generator were NOT pinned: only one processor could be used"
    )
    return (
        f"{report.date}. {machine.processors} x {machine.processor}, {machine.memory_mb:,} MB, {machine.system}, "
        f"{machine.python}; {pinned}. Data on {machine.filesystem}, 12 KB + fdatasync: {report.fsync_ms:.2f} ms. "
        f"Core of Coscribe: {'compiled' if report.compiled else 'pure Python'}. "
        f"Medians of {report.repeat} interleaved runs, figure by figure; in brackets the least and the greatest."
        f"{_disturbance(report)}"
        + "".join(f"\n\nFailed, and not in the medians: {failure.splitlines()[0]}" for failure in report.failures)
    )


def _disturbance(report: Report) -> str:
    said = ""
    if report.load_average is not None and report.load_average >= _QUIET:
        said += (
            f"\n\n**Others were using the machine**: its load average in the minute before the first run was "
            f"{report.load_average:.1f} on {report.machine.processors} processors. Latencies of such a run are worth "
            "little; processor time and memory are hurt less."
        )
    if report.stolen is not None and report.stolen >= _STOLEN:
        said += (
            f"\n\n**The host took {report.stolen * 100:.0f} % of a processor away** meanwhile (steal time "
            "of the virtual machine). Whatever runs then stands still for some milliseconds: it is in the p99 of every "
            "system, and differences of a few milliseconds there mean little."
        )
    return said


def _durability(systems: Sequence[System]) -> str:
    return _rows(
        ["System", "What there is when an operation is acknowledged"],
        [[f"**{system.title}**" if system.is_ours else system.title, system.durability] for system in systems],
    )


def _ahead(found: Sequence[Lead]) -> str:
    if not found:
        return "No peer is ahead in any figure of this run."
    lines: dict[str, list[str]] = {}
    for lead in found:
        key = f"{SCENARIOS[lead.scenario][0]}, {lead.measure.title}"
        lines.setdefault(f"{key} (Coscribe {short(lead.ours)})", []).append(
            f"{SYSTEMS[lead.system].title} {short(lead.theirs)} ({lead.times:.2f} x)"
        )
    return "\n".join(f"- {key}: {', '.join(peers)}." for key, peers in lines.items())


def _rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
