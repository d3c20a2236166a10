"""The files that sshd reads: which they are, what it has read of them, and what stands in them line by line."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from glob import glob
from pathlib import Path

from harden_kinds import run, said
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
    # Those with a space in their names are left out, as they are by the question before a run.
    return sorted(name for name in names - {OWN} if at(name).is_file() and not re.search(r"\s", name))


def has_read() -> str:
    """When sshd has last read its files, in seconds, and a digest of them; the next run's question compares it."""
    whole = hashlib.sha256()
    for name in reads():
        whole.update(f"{name}\n".encode() + at(name).read_bytes())
    asked = ("systemctl", "show", "--timestamp=unix", "-P", "StateChangeTimestamp", "ssh.service")
    when = run(*asked, seconds=20).stdout.strip().removeprefix("@")
    return f"{when} {whole.hexdigest()}" if when.isdigit() else ""


def takes_own(pattern: str) -> bool:
    """Whether our file is among those of an Include."""
    return fnmatch(OWN, pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}")


def is_included() -> bool:
    """Whether sshd_config reads our file for everybody."""
    found = [line for line in lines() if line.option == "include" and not line.match]
    return any(takes_own(pattern) for line in found for pattern in line.value.split())


def as_if(own: Path | None, folder: Path) -> Path:
    """A copy of sshd_config that reads ``own`` in place of our file; without one it reads no file of ours."""
    text = []
    for line in at(MAIN).read_text(errors="surrogateescape").splitlines():
        words = line.replace('"', "").replace("=", " ").split()
        if words and words[0].lower() == "include" and any(map(takes_own, words[1:])):
            names = [name for pattern in words[1:] for name in included_or(pattern)]
            paths = [str(own if name == OWN else at(name)) for name in names if own or name != OWN]
            line = f"Include {' '.join(paths)}" if paths else ""
        text.append(line)
    made = folder / "sshd_config"
    made.write_text("\n".join([*text, ""]), errors="surrogateescape")
    return made


def included_or(pattern: str) -> list[str]:
    """The files of an Include as if ours were there."""
    return sorted({*included(pattern), *([OWN] if takes_own(pattern) else [])})


def options(done: subprocess.CompletedProcess[str]) -> dict[str, list[str]]:
    """What `sshd -T` has said, by option in small letters; under `error`, why it has not."""
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition(" ")
        found.setdefault(name, []).append(value)
    return found if done.returncode == 0 else {"error": [said(done)]}


@cache
def says(own: Path | None) -> dict[str, list[str]]:
    """What sshd would do with ``own`` in place of our file, or without one."""
    folder()
    try:
        with tempfile.TemporaryDirectory() as made:
            return options(run("sshd", "-T", "-f", str(as_if(own, Path(made))), seconds=20))
    except OSError as error:
        return {"error": [str(error)]}


def folder() -> None:
    """Where sshd shuts itself in. Its unit makes it; without it, sshd does not even check its files."""
    path: Path = at("/run/sshd")
    if path.parent.is_dir():
        path.mkdir(mode=0o755, exist_ok=True)
