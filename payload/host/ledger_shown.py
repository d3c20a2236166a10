"""What a person sees of the difference between two files of a host: never anything secret."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from ledger_entries import rows

SHOWN_LINES = 60
VALUE = re.compile(r"""^[A-Za-z_][A-Za-z0-9_.-]*\s*[=: ]\s*['"]?(.{8,}?)['"]?$""")
# Addresses and numbers stand in files that everybody reads.
PLAIN = re.compile(r"[0-9.:/]+")


def secrets_in(bundles: list[Path]) -> list[str]:
    """Values of the files that are marked as secret, the longest first."""
    found = set()
    for bundle in bundles:
        secret = set((bundle / "secret").read_text().splitlines()) if (bundle / "secret").exists() else set()
        for number, row in enumerate(rows(bundle), 1):
            if row[5] in secret:
                lines = (bundle / "f" / str(number)).read_text(errors="replace").splitlines()
                found |= {
                    match[1] for line in lines if (match := VALUE.match(line.strip())) and not PLAIN.fullmatch(match[1])
                }
    return sorted(found, key=len, reverse=True)


def text_of(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def without_mark(path: Path) -> list[str]:
    return [line for line in text_of(path) if not line.startswith("# Portcullis revision ")]


def shown(now: Path, then: Path, secret: bool, masked: list[str]) -> list[str]:
    """The difference between two files, without anything secret."""
    if secret:
        return ["(a file with secrets: what differs is not shown)"]
    lines = list(difflib.unified_diff(text_of(now), text_of(then), "now", "then", n=1, lineterm=""))[2:]
    lines = [line for line in lines if "# Portcullis revision " not in line]
    for value in masked:
        lines = [line.replace(value, "********") for line in lines]
    cut = [f"... and {len(lines) - SHOWN_LINES} lines more"] if len(lines) > SHOWN_LINES else []
    return lines[:SHOWN_LINES] + cut


def secret_paths(*bundles: Path | None) -> set[str]:
    """Files that are marked as secret in one of ``bundles``."""
    return {path for one in bundles if one for path in (one / "secret").read_text().splitlines()}
