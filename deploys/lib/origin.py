"""Where a setting was set: the layers that a host's data is made of, and lines of files that are read and never run."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Layer:
    """A part of a host's data: its ``keys``, and ``words`` for it where no file says more.

    ``variables`` are files in which a key is a variable's name, as in group_data; of two the later one wins.
    ``inventory`` is a file in which a key is written inside the data of ``entry``, a host or a group.
    """

    keys: Collection[str]
    words: str
    variables: tuple[Path, ...] = ()
    inventory: Path | None = None
    entry: str = ""


@cache
def _tree(path: Path) -> ast.Module:
    # pyinfra has read the file already; one that it could and we cannot has no lines to tell.
    try:
        return ast.parse(path.read_text())
    except (OSError, ValueError, SyntaxError):
        return ast.Module([], [])


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield child
            yield from _outside_functions(child)


def _variable(path: Path, name: str) -> tuple[int, ast.expr | None] | None:
    """The line that gives the variable its last value, and that value where it is written out."""
    found: tuple[int, ast.expr | None] | None = None
    values: dict[int, ast.expr | None] = {}
    for node in _outside_functions(_tree(path)):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                values[id(target)] = node.value
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store):
            found = (node.lineno, values.get(id(node)))
    return found


def _keys(tree: ast.AST, name: str) -> dict[int, ast.expr]:
    """Lines where ``name`` is a key of a dictionary, with what it stands for."""
    found: dict[int, ast.expr] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == name:
                    found[key.lineno] = value
        elif isinstance(node, ast.Call):
            found |= {word.value.lineno: word.value for word in node.keywords if word.arg == name}
    return found


def _data(tree: ast.AST) -> Iterator[tuple[object, ast.expr]]:
    """Hosts and groups with the data beside them, as in ``("gw", {...})`` and ``litellm = (["gw"], {...})``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.elts[0], ast.Constant):
            yield node.elts[0].value, node.elts[1]
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == 2:
            hosts, data = node.value.elts
            if not isinstance(hosts, ast.Constant):
                yield from ((name.id, data) for name in node.targets if isinstance(name, ast.Name))


def _in_inventory(path: Path, entry: str, name: str) -> tuple[int, ast.expr] | None:
    """The line of the key in the data of ``entry``, or the only one that is nobody's; None when it may be another."""
    tree = _tree(path)
    own: dict[int, ast.expr] = {}
    others: dict[int, ast.expr] = {}
    for whose, data in _data(tree):
        (own if whose == entry else others).update(_keys(data, name))
    found = own or {line: value for line, value in _keys(tree, name).items() if line not in others}
    return next(iter(found.items())) if len(found) == 1 else None


def _inside(line: int, value: ast.expr | None, rest: str) -> int:
    """The line of what ``rest``, such as ``[1].api_key``, names inside ``value``; ``line`` where it is not seen."""
    while rest:
        if isinstance(value, ast.List) and (index := re.match(r"\[(\d+)\]", rest)):
            if int(index[1]) >= len(value.elts):
                break
            value, rest = value.elts[int(index[1])], rest[index.end() :]
            line = value.lineno
        elif isinstance(value, ast.Dict):
            # A name may have a dot in it, so the longest one that fits.
            fitting = [
                (str(key.value), key.lineno, inner)
                for key, inner in zip(value.keys, value.values, strict=True)
                if isinstance(key, ast.Constant) and re.match(rf"\.{re.escape(str(key.value))}(?![\w-])", rest)
            ]
            if not fitting:
                break
            name, line, value = max(fitting, key=lambda each: len(each[0]))
            rest = rest[len(name) + 1 :]
        else:
            break
    return line


def place(path: str, layers: Iterable[Layer], root: Path) -> str:
    """Where the key that ``path`` begins with was set, as in ``in group_data/all.py:7``; empty for a default.

    ``layers`` are the host's, the strongest first; files are shown as seen from ``root``.
    """
    found = re.match(r"\w+", path)
    key, rest = (found[0], path[found.end() :]) if found else ("", "")
    layer = next((layer for layer in layers if key in layer.keys), None)
    if layer is None:
        return ""

    def shown(file: Path) -> str:
        return str(file.relative_to(root) if file.is_relative_to(root) else file)

    files = [file for file in layer.variables if file.is_file()]
    for file in reversed(files):
        if where := _variable(file, key):
            return f"in {shown(file)}:{_inside(*where, rest)}"
    if layer.inventory:
        if entry := _in_inventory(layer.inventory, layer.entry, key):
            return f"in {shown(layer.inventory)}:{_inside(*entry, rest)}"
        if not files:
            return f"in {shown(layer.inventory)}, {layer.words}"
    # Made by other means than an assignment, such as `from common import *`.
    return f"in {shown(files[0])}" if len(files) == 1 else layer.words


def located(problem: str, where: Callable[[str], str]) -> str:
    """``problem`` with the place of each key it names, said once; keys of its advice, after a semicolon, are left out.

    ``where`` answers with the place of a key, or of what is inside its value, and with nothing for a default.
    """
    body, given, value = problem.partition(" (given: ")
    statement = body.partition("; ")[0]
    head = statement.partition(": ")[0] if ": " in statement else ""
    head = head if re.fullmatch(r"\w\S*", head) else ""
    first = re.match(r"\w+", head)
    own = first[0] if first else ""
    said = [f"set {place}"] if head and (place := where(head)) else []
    # A word with an underscore is meant as a key; `components` in the middle of a sentence may be just a word.
    for key in dict.fromkeys(re.findall(r"\b[a-z]\w*_\w+", statement.removeprefix(head))):
        if key != own and (place := where(key)):
            said.append(f"{key} set {place}")
    if not said:
        return problem
    clause = ", ".join(said)
    return f"{problem.removesuffix(')')}; {clause})" if given and value.endswith(")") else f"{problem} ({clause})"
