"""An audit's result for people: a table on the terminal, and a page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from deploys.auditing.findings import Finding, Severity
from deploys.auditing.report import Report
from deploys.auditing.rules import rules
from deploys.lib.render import render_page

COLOURS = {Severity.P0: "bold white on red", Severity.P1: "bold black on yellow", Severity.P2: "bold white on blue"}


def _finding(console: Console, finding: Finding) -> None:
    console.print(Text.assemble((f" {finding.rule} ", COLOURS[finding.severity]), " ", (finding.title, "bold")))
    text = f"  {finding.place.text}" if finding.place.text else ""
    rows = [
        ("where", f"{finding.place}{text}"),
        ("what", finding.detail),
        ("effect", finding.effect),
        ("do", finding.advice),
        ("source", finding.source),
    ]
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", style="dim", min_width=8)
    grid.add_column(overflow="fold")
    for word, value in rows:
        grid.add_row(word, Text(value))
    console.print(grid)
    for line in finding.fix.splitlines():
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[0] if line else "", "dim")
        # Whole, however long: a diff that was cut cannot be applied.
        console.print(Text(f"          {line}", style), soft_wrap=True)


def show(console: Console, reports: Sequence[Report]) -> None:
    """Findings by severity, each with its evidence and what to do, and one line at the end of each report."""
    for report in reports:
        for severity in Severity:
            own = [finding for finding in report.findings if finding.severity == severity]
            if own:
                console.print()
                console.rule(f"{severity.name}: {severity.meaning} ({len(own)})", align="left")
            for finding in own:
                _finding(console, finding)
        if report.notes:
            console.print()
            for note in report.notes:
                console.print(f"[dim]not judged: {escape(note)}[/dim]", soft_wrap=True)
        console.print()
        console.print(escape(report.summary), style="bold", soft_wrap=True)


def to_html(reports: Sequence[Report]) -> str:
    """All reports as one page: no script, nothing loaded from anywhere."""
    context: dict[str, Any] = {"reports": reports, "severities": list(Severity), "rules": len(rules())}
    return render_page("audit/report.html.j2", **context)
