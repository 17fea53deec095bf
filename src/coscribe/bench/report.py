"""The report as tables for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from coscribe.bench.machine import is_durable
from coscribe.bench.measure import FIGURES
from coscribe.bench.runner import Report, ScenarioResult


def show(report: Report, console: Console) -> None:
    """Prints where the figures come from, then a table for each scenario."""
    machine = report.machine
    pinned = (
        f"server on processor {report.server_cpu}, load generator on {report.load_cpu}"
        if report.server_cpu is not None
        else "server and load generator are NOT pinned to processors"
    )
    lines = [
        f"machine     {machine.processor} x {machine.processors}, {machine.memory_mb:,} MB, {machine.system}",
        f"            {machine.python}; {pinned}",
        f"durability  {report.durability}: an operation is acknowledged when it is on disk ({machine.filesystem})",
        f"disk        12 KB + fdatasync: {report.fsync_ms:.3f} ms (median, in the same runs)",
    ]
    if report.settings:
        lines.append("settings    " + " ".join(f"{key}={value}" for key, value in sorted(report.settings.items())))
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not is_durable(machine.filesystem):
        console.print("[yellow]warning:[/yellow] the data is in memory here, so an fsync costs nothing; give --folder.")
    for name, result in report.scenarios.items():
        console.print()
        console.print(_table(name, result))


def _table(name: str, result: ScenarioResult) -> Table:
    parameters = ", ".join(f"{key}={value}" for key, value in result.parameters.items())
    table = Table(title=f"{name}   [dim]{parameters}[/dim]", title_justify="left", highlight=False)
    table.add_column("")
    several = len(result.runs) > 1
    table.add_column("median" if several else "figure", justify="right")
    if several:
        for number in range(1, len(result.runs) + 1):
            table.add_column(f"run {number}", justify="right", style="dim")
    table.add_column("target", justify="right")
    targets = {target.figure: target for target in result.target}
    for figure, title in FIGURES.items():
        if figure not in result.median:
            continue
        target = targets.get(figure)
        verdict = ""
        if target is not None:
            mark = "[green]met[/green]" if target.met else "[red]NOT met[/red]"
            verdict = f"{target.relation} {number_text(target.bound)} {mark}"
        runs = [number_text(run[figure]) for run in result.runs] if several else []
        table.add_row(title, number_text(result.median[figure]), *runs, verdict)
    return table


def number_text(value: float) -> str:
    """A number with as many digits as it deserves."""
    if value >= 1_000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 100 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"
