"""What an audit finds: severities, findings with their evidence, and the fix as a diff."""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable
from dataclasses import dataclass, field

from deploys.auditing.document import Document, KeyPath
from deploys.auditing.sources import Place, Source


class Severity(enum.IntEnum):
    """How soon; the lower the number, the sooner."""

    P0 = 0
    P1 = 1
    P2 = 2

    @property
    def meaning(self) -> str:
        return {0: "fix now", 1: "soon", 2: "optional"}[self.value]


@dataclass(frozen=True)
class Edit:
    """Lines ``first`` to ``last`` (from 0, ``last`` not included) of a file become ``lines``."""

    source: Source
    first: int
    last: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, with everything a reader needs to judge and to mend it."""

    rule: str
    severity: Severity
    title: str
    place: Place
    detail: str
    effect: str
    source: str
    fix: str = ""
    advice: str = ""
    path: KeyPath = field(default=(), compare=False)

    @property
    def order(self) -> tuple[int, str, str, int]:
        return (self.severity.value, self.rule, self.place.source, self.place.line)


def diff(edits: Iterable[Edit]) -> str:
    """``edits`` of files as one unified diff. The files are masked already, and so is the diff."""
    whole: list[str] = []
    by_name: dict[str, list[Edit]] = {}
    for edit in edits:
        by_name.setdefault(edit.source.name, []).append(edit)
    for name, group in by_name.items():
        old = group[0].source.lines
        new = list(old)
        for edit in sorted(group, key=lambda edit: edit.first, reverse=True):
            new[edit.first : edit.last] = edit.lines
        whole += difflib.unified_diff(old, new, f"a/{name.lstrip('/')}", f"b/{name.lstrip('/')}", n=2, lineterm="")
    return "\n".join(whole)


def _spot(document: Document, path: KeyPath) -> tuple[Source, list[str], tuple[int, int, int, int]] | None:
    mark = document.marks.get(path)
    if mark is None or mark.value[0] != mark.value[2]:
        return None
    return mark.source, mark.source.lines, mark.value


def set_value(document: Document, path: KeyPath, text: str) -> list[Edit]:
    """The one-line value at ``path`` replaced by ``text``; nothing when it is not on one line."""
    if (found := _spot(document, path)) is None:
        return []
    source, lines, (line, start, _, end) = found
    return [Edit(source, line, line + 1, (lines[line][:start] + text + lines[line][end:],))]


def rename_key(document: Document, path: KeyPath, name: str) -> list[Edit]:
    """The key at ``path`` under another name."""
    mark = document.marks.get(path)
    if mark is None or mark.key is None or mark.key[0] != mark.key[2]:
        return []
    line, start, _, end = mark.key
    text = mark.source.lines[line]
    return [Edit(mark.source, line, line + 1, (text[:start] + name + text[end:],))]


def _own_lines(document: Document, path: KeyPath) -> tuple[Source, int, int, str] | None:
    """First and last line of a key that shares its lines with no other, and its indentation."""
    mark = document.marks.get(path)
    if mark is None or mark.key is None:
        return None
    lines, (first, column, _, _) = mark.source.lines, mark.key
    last, end = mark.value[2], mark.value[3]
    before = lines[first][:column]
    if before.strip() or (end and last < len(lines) and lines[last][end:].partition("#")[0].strip()):
        return None
    # The value of a block ends where the next key begins, at the start of its line.
    stop = last if end == 0 and last > first else last + 1
    if last > first and end and last < len(lines) and not lines[last][:end].strip():
        stop = last
    while stop > first + 1 and (not lines[stop - 1].strip() or lines[stop - 1].lstrip().startswith("#")):
        stop -= 1
    return mark.source, first, stop, before


def remove_key(document: Document, path: KeyPath) -> list[Edit]:
    """The key at ``path`` and its value gone; with its parent, when that would be left empty."""
    parent = document.get(*path[:-1])
    if len(path) > 1 and isinstance(parent, dict) and len(parent) == 1 and isinstance(path[-2], str):
        return remove_key(document, path[:-1])
    found = _own_lines(document, path)
    return [Edit(found[0], found[1], found[2], ())] if found else []


def add_key(document: Document, section: KeyPath, lines: Iterable[str]) -> list[Edit]:
    """``lines`` (without indentation) as new keys of a mapping; of the file's end when there is no such section."""
    section_value = document.get(*section) if section else document.data
    if not section:
        end = len(document.source.lines)
        return [Edit(document.source, end, end, tuple(lines))]
    if not isinstance(section_value, dict) or not section_value:
        if len(section) == 1 and section not in document.marks:
            return add_key(document, (), [f"{section[0]}:", *(f"  {line}" for line in lines)])
        return []
    first = min(document.marks[(*section, key)].key or (0, 0, 0, 0) for key in section_value)
    mark = document.marks[(*section, next(iter(section_value)))]
    text = mark.source.lines[first[0]]
    if text[: first[1]].strip("- "):
        return []
    indent = " " * first[1]
    if text[: first[1]].strip():
        # `- key: value`: new keys go below the item's first one.
        own = mark.value[2] + (0 if mark.value[3] == 0 else 1)
        return [Edit(mark.source, own, own, tuple(indent + line for line in lines))]
    return [Edit(mark.source, first[0], first[0], tuple(indent + line for line in lines))]


def move_key(document: Document, path: KeyPath, section: KeyPath) -> list[Edit]:
    """The key at ``path`` taken out and put into ``section`` as it is; only out, when it is there already."""
    if document.has(*section, path[-1]):
        return remove_key(document, path)
    found = _own_lines(document, path)
    if found is None:
        return []
    source, first, stop, before = found
    lines = [line.removeprefix(before) for line in source.lines[first:stop]]
    added = add_key(document, section, lines)
    return [*remove_key(document, path), *added] if added else []
