"""A fixture is one file that holds several: each begins with a line ==> NAME <==, as `tail` prints it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from deploys.auditing.cli import as_files, parser
from deploys.auditing.load import Files, report_on, subject_of
from deploys.auditing.report import Report

HERE = Path(__file__).parent
OPTIONS = {
    ".env": "--env",
    "litellm.service": "--unit",
    "docker-compose.yml": "--compose",
    "redis.conf": "--redis-conf",
}


def parts(path: Path) -> dict[str, str]:
    """The files of a fixture by name."""
    pieces = re.split(r"^==> (.*) <==\n", path.read_text(), flags=re.M)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def arguments(path: Path, folder: Path) -> list[str]:
    """The command line that audits a fixture, its files written to ``folder``."""
    made = parts(path)
    words = shlex.split(made.pop("options", ""))
    for name, text in made.items():
        (folder / name).write_text(text)
    words += [str(folder / "config.yaml")]
    for name in made:
        if name != "config.yaml":
            words += [OPTIONS.get(name, "--also"), str(folder / name)]
    return words


def files(words: list[str]) -> Files:
    """What a command line names."""
    return as_files(parser().parse_args(words))


def report(words: list[str]) -> Report:
    return report_on(*subject_of(files(words)))


def applied(text: str, diff: str) -> str:
    """``text`` with a unified diff applied; AssertionError where the diff does not fit."""
    old, new, at = text.splitlines(), [], 0
    for line in diff.splitlines():
        if found := re.match(r"@@ -(\d+)(?:,(\d+))? ", line):
            start = int(found.group(1)) - (0 if found.group(2) == "0" else 1)
            new += old[at:start]
            at = start
        elif line.startswith(("--- ", "+++ ")) and not at and not new:
            continue
        elif line.startswith("+"):
            new.append(line[1:])
        else:
            assert old[at] == line[1:], (at, old[at], line)
            new += [old[at]] if line.startswith(" ") else []
            at += 1
    return "\n".join([*new, *old[at:]]) + "\n"
