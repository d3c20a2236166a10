"""The table of rules in docs/audit.md, from the rules themselves: python -m deploys.auditing.docs writes it anew."""

from __future__ import annotations

from deploys.auditing.rules import rules
from deploys.lib.render import ROOT

PAGE = ROOT / "docs" / "audit.md"
BEGIN, END = "<!-- rules: made by python -m deploys.auditing.docs -->\n", "<!-- end of rules -->\n"


def table() -> str:
    """Every rule as a row."""
    rows = ["| rule | | what is found | what comes of it | what to do | source |", "|---|---|---|---|---|---|"]
    for rule in rules().values():
        cells = [rule.id, rule.severity.name, rule.title, rule.effect, rule.advice, rule.source]
        rows.append("| " + " | ".join(cell.replace("|", "\\|").replace("*", "\\*") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def page(text: str) -> str:
    """``text`` of the page with its table as it should be."""
    head, _, rest = text.partition(BEGIN)
    return head + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
