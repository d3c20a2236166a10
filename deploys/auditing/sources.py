"""Files as the audit has them: text without secrets, and places in it."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from pathlib import Path

from deploys.auditing.masking_text import mask_text

LARGEST = 2 * 1024 * 1024


class Unauditable(Exception):
    """What was given cannot be audited; the message is one sentence that says why."""


@dataclass(frozen=True)
class Source:
    """A file without its secrets, under the name that reports show."""

    name: str
    text: str = field(repr=False)

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


@dataclass(frozen=True)
class Place:
    """Where evidence stands: a file, a line counted from 1 (0 for the file as a whole), and the line's text."""

    source: str
    line: int = 0
    text: str = ""

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


def place_in(source: Source, line: int) -> Place:
    """The place of line ``line`` of ``source``, counted from 1."""
    lines = source.lines
    return Place(source.name, line, lines[line - 1].strip()[:160] if 0 < line <= len(lines) else "")


def _too_large(name: str, size: int) -> Unauditable:
    most = LARGEST // 1024 // 1024
    return Unauditable(f"{name} has {size / 1024 / 1024:.1f} MB, and a configuration has at most {most} MB")


def make_source(name: str, raw: bytes, is_yaml: bool) -> Source:
    """``raw`` as text without secrets. Raises Unauditable for what is no text, or too much of it."""
    if len(raw) > LARGEST:
        raise _too_large(name, len(raw))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unauditable(f"{name} is not a text file in UTF-8") from None
    if any(ord(sign) < 32 and sign not in "\t\n\r\f" for sign in text):
        raise Unauditable(f"{name} is not a text file: it has control characters in it")
    return Source(name, mask_text(text, is_yaml))


def read_source(path: Path, is_yaml: bool = False) -> Source:
    """The file at ``path`` without its secrets."""
    try:
        # A pipe without a writer would be waited for, and /dev/zero read, for ever.
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            raise Unauditable(f"{path} is no regular file but a pipe, socket or device; give a file")
        if found.st_size > LARGEST:
            raise _too_large(str(path), found.st_size)
        with path.open("rb") as file:
            return make_source(str(path), file.read(LARGEST + 1), is_yaml)
    except OSError as error:
        raise Unauditable(f"{path} cannot be read: {error.strerror or type(error).__name__}") from None
