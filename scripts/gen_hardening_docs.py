"""Write the tables of controls in docs/hardening.md: `python scripts/gen_hardening_docs.py [--check]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from deploys.components.hardening.controls import Control  # noqa: E402
from deploys.components.hardening.registry import CONTROLS  # noqa: E402
from deploys.components.hardening.settings import AREAS  # noqa: E402

PAGE = ROOT / "docs" / "hardening.md"
BEGIN, END = "<!-- controls: made by `make docs`; edits are overwritten -->\n", "<!-- end of controls -->\n"


def cell(text: str) -> str:
    """``text`` inside a table: no bar that would end the cell, no star that would make it bold."""
    return text.replace("|", "\\|").replace("*", "\\*")


def row(control: Control) -> str:
    benchmarks = {"CIS": control.cis, "dev-sec": control.devsec}
    mapped = "; ".join(f"{name} {number}" for name, number in benchmarks.items() if number)
    cells = (f"`{control.id}`", control.level, control.what, control.why, control.source, mapped)
    return f"| {' | '.join(map(cell, cells))} |"


def tables() -> str:
    """A table for each area."""
    parts = []
    for area in AREAS:
        rows = [row(control) for control in CONTROLS if control.area == area]
        head = ["| control | level | how it is then | why | source | mapping |", "|---|---|---|---|---|---|"]
        parts.append(f"### {area}\n\n" + "\n".join([*head, *rows]) + "\n")
    return "\n" + "\n".join(parts) + "\n"


def page(text: str) -> str:
    """``text`` of the page with its tables as they should be."""
    head, _, rest = text.partition(BEGIN)
    return head + BEGIN + tables() + END + rest.partition(END)[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the tables are not up to date")
    text = PAGE.read_text()
    wanted = page(text)
    if parser.parse_args().check:
        if wanted == text:
            return 0
        print(f"{PAGE.relative_to(ROOT)} is not up to date; run: make docs", file=sys.stderr)
        return 1
    PAGE.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
