"""YAML as values that know where each key stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from deploys.auditing.masking import mask_tokens
from deploys.auditing.sources import Place, Source, Unauditable, place_in, read_source

# A few anchors that name one another make a file of a kilobyte into values that fill the memory.
MOST_VALUES = 100_000

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Mark:
    """Where a key and its value stand: line and column from 0, as PyYAML counts them."""

    source: Source
    key: tuple[int, int, int, int] | None
    value: tuple[int, int, int, int]

    @property
    def line(self) -> int:
        return (self.key or self.value)[0]


@dataclass(frozen=True)
class Duplicate:
    """A key given twice in one mapping; PyYAML takes the last and says nothing."""

    path: KeyPath
    first: Place
    place: Place


@dataclass
class Document:
    """A YAML file: plain values, where each of them stands, and keys that were given twice."""

    source: Source
    data: dict[str, Any] = field(default_factory=dict)
    marks: dict[KeyPath, Mark] = field(default_factory=dict)
    duplicates: list[Duplicate] = field(default_factory=list)

    def get(self, *path: str | int, default: Any = None) -> Any:
        """The value at ``path``; ``default`` when some part of it is not there."""
        value: Any = self.data
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return default
        return value

    def has(self, *path: str | int) -> bool:
        return path in self.marks

    def section(self, *path: str | int) -> Mapping[str, Any]:
        """The mapping at ``path``; an empty one when there is none."""
        found = self.get(*path)
        return found if isinstance(found, dict) else {}

    def place(self, *path: str | int) -> Place:
        """Where the key at ``path`` stands, or the nearest part above it."""
        for length in range(len(path), 0, -1):
            if mark := self.marks.get(path[:length]):
                return place_in(mark.source, mark.line + 1)
        return Place(self.source.name)

    def walk(self) -> Iterator[tuple[KeyPath, Any]]:
        """Every path with its value, in the order of the file."""
        for path in self.marks:
            yield path, self.get(*path)


def _why(source: Source, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", "") or "")
    where = f"{source.name}:{mark.line + 1}" if mark else source.name
    line = source.lines[mark.line] if mark and mark.line < len(source.lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in problem:
        return f"{where} is indented with a tab, which YAML does not allow; use spaces"
    if "single document" in str(getattr(error, "context", "")):
        return f"{where} begins a second YAML document (---), and LiteLLM loads a file with one"
    if "undefined alias" in problem:
        return f"{where} uses an alias (*name) that no anchor (&name) before it defines"
    # Only PyYAML's own words: a message that quotes the file could quote anything.
    words = problem.partition("'")[0].partition('"')[0].strip(" ,")
    return f"{where} is not valid YAML: {words or 'it cannot be read'}"


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.count = 0
        self.scalars = yaml.constructor.SafeConstructor()

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self.count += 1
        if self.count > MOST_VALUES:
            raise Unauditable(f"{self.document.source.name} has more than {MOST_VALUES} values, aliases followed")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            made = []
            for index, item in enumerate(node.value):
                self.mark((*path, index), None, item)
                made.append(self.value(item, (*path, index)))
            return made
        try:
            value = self.scalars.construct_object(node)
            # Written with escapes, a secret can pass by the masking of lines.
            return mask_tokens(value) if isinstance(value, str) else value
        except yaml.YAMLError:
            where = f"{self.document.source.name}:{node.start_mark.line + 1}"
            raise Unauditable(f"{where} has a YAML tag (!...) that LiteLLM cannot load") from None
        except ValueError:
            return str(node.value)

    def mark(self, path: KeyPath, key: yaml.Node | None, value: yaml.Node) -> None:
        def span(node: yaml.Node) -> tuple[int, int, int, int]:
            return node.start_mark.line, node.start_mark.column, node.end_mark.line, node.end_mark.column

        self.document.marks[path] = Mark(self.document.source, span(key) if key else None, span(value))

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        made: dict[str, Any] = {}
        own: set[str] = set()
        merged = [pair for pair in node.value if pair[0].tag == "tag:yaml.org,2002:merge"]
        for _, value in merged:
            for item in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if isinstance(item, yaml.MappingNode):
                    made = {**self.mapping(item, path), **made}
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            here = (*path, name)
            if name in own:
                first = self.document.place(*here)
                place = place_in(self.document.source, key.start_mark.line + 1)
                self.document.duplicates.append(Duplicate(here, first, place))
                for old in [old for old in self.document.marks if old[: len(here)] == here]:
                    del self.document.marks[old]
            own.add(name)
            self.mark(here, key, value)
            made[name] = self.value(value, here)
        return made


def parse_yaml(source: Source) -> Document:
    """``source`` as a document. Raises Unauditable when it is not a mapping that LiteLLM could load."""
    document = Document(source)
    try:
        root = yaml.compose(source.text, Loader=yaml.SafeLoader)
        if root is None:
            raise Unauditable(f"{source.name} is empty: there is nothing to audit")
        if not isinstance(root, yaml.MappingNode):
            kind = "a list" if isinstance(root, yaml.SequenceNode) else "a single value"
            raise Unauditable(f"{source.name} is {kind}, and a configuration is a mapping with keys like model_list")
        document.data = _Reader(document).mapping(root, ())
    except yaml.YAMLError as error:
        raise Unauditable(_why(source, error)) from None
    except RecursionError:
        raise Unauditable(f"{source.name} is nested too deeply, or an anchor in it contains itself") from None
    return document


def with_includes(document: Document, folder: Path) -> Document:
    """``document`` with the files it includes, put together as LiteLLM does: lists grow, other keys are replaced."""
    names = document.get("include")
    for name in names if isinstance(names, list) else []:
        path = folder / str(name)
        if not path.is_file():
            raise Unauditable(
                f"{document.source.name} includes {name}, which is not beside it; LiteLLM would not start"
            )
        other = parse_yaml(read_source(path, is_yaml=True))
        for key, value in other.data.items():
            old = document.data.get(key)
            shift = len(old) if isinstance(old, list) and isinstance(value, list) else 0
            if not shift:
                document.marks = {p: m for p, m in document.marks.items() if p[0] != key}
            document.data[key] = [*old, *value] if shift and isinstance(old, list) else value
            for path_, mark in other.marks.items():
                if path_[0] == key:
                    index = (
                        (path_[1] + shift,) if shift and len(path_) > 1 and isinstance(path_[1], int) else path_[1:2]
                    )
                    document.marks.setdefault((key, *index, *path_[2:]), mark)
        document.duplicates += other.duplicates
    return document
