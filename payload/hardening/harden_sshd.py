"""The files that sshd reads: which they are, what it has read of them, and what stands in them line by line."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from harden_kinds import run
from harden_state import at

MAIN = "/etc/ssh/sshd_config"
OWN = "/etc/ssh/sshd_config.d/00-portcullis.conf"


@dataclass(frozen=True)
class Line:
    """An option as it stands in a file; ``match`` is the condition under which it counts, empty for always."""

    file: str
    number: int
    option: str
    value: str
    match: str

    @property
    def place(self) -> str:
        return f"{self.file} line {self.number}"


def included(pattern: str) -> list[str]:
    """The files of an Include, in the order in which sshd reads them; hidden ones are none for it either."""
    whole = pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"
    root = at("/")
    found = [root / name for name in glob(whole.lstrip("/"), root_dir=root)]
    return sorted(f"/{path.relative_to(root)}" for path in found if path.is_file())


def lines(file: str = MAIN, match: str = "", depth: int = 0) -> Iterator[Line]:
    """Every option of ``file`` and of what it includes, in sshd's order. A Match ends with its file."""
    try:
        text = at(file).read_text(errors="replace")
    except OSError:
        return
    for number, line in enumerate(text.splitlines(), 1):
        found = re.match(r"\s*([A-Za-z0-9]+)(?:\s*=\s*|\s+)(.*?)\s*(?:\s#.*)?$", line)
        if not found:
            continue
        option, value = found[1].lower(), found[2].replace('"', "")
        if option == "match":
            match = "" if value.lower() == "all" else value
        yield Line(file, number, option, value, match)
        if option == "include" and depth < 16:
            for pattern in value.split():
                for name in included(pattern):
                    yield from lines(name, match, depth + 1)


def reads() -> list[str]:
    """What sshd reads beside our own file, by name."""
    names = {MAIN}
    for line in lines():
        if line.option == "include":
            names |= {name for pattern in line.value.split() for name in included(pattern)}
    return sorted(name for name in names - {OWN} if at(name).is_file())


def has_read() -> str:
    """When sshd has last read its files, in seconds, and a digest of them; the next run's question compares it."""
    whole = hashlib.sha256()
    for name in reads():
        whole.update(f"{name}\n".encode() + at(name).read_bytes())
    asked = ("systemctl", "show", "--timestamp=unix", "-P", "StateChangeTimestamp", "ssh.service")
    when = run(*asked, seconds=20).stdout.strip().removeprefix("@")
    return f"{when} {whole.hexdigest()}" if when.isdigit() else ""


def folder() -> None:
    """Where sshd shuts itself in. Its unit makes it; without it, sshd does not even check its files."""
    path: Path = at("/run/sshd")
    if path.parent.is_dir():
        path.mkdir(mode=0o755, exist_ok=True)
