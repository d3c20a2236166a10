"""The source of one LiteLLM release as a tree to ask: classes, constants, signatures, and who reads which key of what.

Nothing is imported or executed: a release that the index later withdraws as malicious can still be looked at.
"""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# What a mapping goes through unchanged on its way from the configuration to who reads it.
WRAPPERS = {"cast", "dict", "deepcopy", "copy", "MappingProxyType", "validate_python"}
BUILDERS = {"model_validate", "validate_python"}
CONVERSIONS: dict[str, Callable[[Any], object]] = {"int": int, "float": float, "bool": bool, "str": str}


@dataclass(frozen=True)
class Found:
    """A key as the source has it: the type and the default as far as they can be read."""

    type: str = ""
    default: object = None


def dotted(node: ast.AST | None) -> str:
    """The last part of a name, such as ``get`` of ``os.environ.get``."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def assigned(node: ast.AST) -> tuple[str, ast.expr] | None:
    """Name and value of a plain assignment, with or without an annotation."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id, node.value
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        return node.target.id, node.value
    if isinstance(node, ast.NamedExpr):
        return node.target.id, node.value
    return None


def annotation(node: ast.expr | None) -> str:
    """A type in words of today's Python, without the wrappers that say nothing about the value."""
    if node is None:
        return ""
    text = ast.unparse(node).strip("'\"")
    text = re.sub(r"\b(typing|t|datetime)\.", "", text)
    while (
        inner := re.fullmatch(r"(?:Final|ClassVar|ReadOnly|Required|NotRequired|Annotated)\[(.*)\]", text)
    ) is not None:
        text = inner.group(1)
    while (inner := re.fullmatch(r"Optional\[(.*)\]", text)) is not None:
        text = f"{inner.group(1)} | None"
    text = re.sub(r"\b(List|Dict|Set|Tuple|Type)\b", lambda match: match.group(0).lower(), text)
    text = re.sub(r"\bUnion\[([^\[\]]*)\]", lambda match: match.group(1).replace(", ", " | "), text)
    if "Literal" not in text:
        text = text.replace("'", "")
    return text if len(text) <= 60 else text.split("[")[0] if "[" in text[:30] else text[:57] + "..."


class Source:
    """Every module of an unpacked release under ``root``, parsed once."""

    def __init__(self, root: Path) -> None:
        texts = {str(path.relative_to(root)): path.read_text(errors="replace") for path in root.rglob("*.py")}
        self.data = {
            str(path.relative_to(root)): json.loads(path.read_text()) for path in root.rglob("*_callbacks.json")
        }
        self._index({name: ast.parse(text) for name, text in sorted(texts.items())}, texts)

    def only(self, *endings: str) -> Source:
        """The same source with the modules whose path ends so, and no others."""
        part = Source.__new__(Source)
        names = [name for name in self.modules if name.endswith(endings)]
        part._index({name: self.modules[name] for name in names}, {name: self.texts[name] for name in names})
        return part

    def _index(self, modules: dict[str, ast.Module], texts: dict[str, str]) -> None:
        self.modules, self.texts = modules, texts
        self.classes: dict[str, list[tuple[str, ast.ClassDef]]] = defaultdict(list)
        self.functions: dict[str, list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]] = defaultdict(list)
        self.constants: dict[str, dict[str, ast.expr]] = {}
        self.everywhere: dict[str, list[ast.expr]] = defaultdict(list)
        for name, tree in self.modules.items():
            self.constants[name] = own = {}
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    self.classes[node.name].append((name, node))
                elif isinstance(node, FUNCTIONS):
                    self.functions[node.name].append((name, node))
            for node in tree.body:
                if (pair := assigned(node)) is not None:
                    own[pair[0]] = pair[1]
                    self.everywhere[pair[0]].append(pair[1])

    def constant(self, module: str, name: str) -> ast.expr | None:
        """The value of a module's own constant, or of the only constant of that name in the release."""
        if (own := self.constants[module].get(name)) is not None:
            return own
        return self.everywhere[name][0] if len(self.everywhere.get(name, ())) == 1 and name.isupper() else None

    def find(self, name: str, module: str = "") -> tuple[str, ast.ClassDef] | None:
        """A class by name, the one in a module whose path contains ``module`` before all others."""
        found = self.classes.get(name, [])
        return next((item for item in found if module in item[0]), found[0] if found and not module else None)

    def value(self, module: str, node: ast.expr | None, depth: int = 0) -> object:
        """What an expression is when it is plain enough to know: literals, constants, defaults of variables."""
        if node is None or depth > 4:
            return None
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError):
            pass
        if isinstance(node, ast.Name):
            return self.value(module, self.constant(module, node.id), depth + 1)
        if not isinstance(node, ast.Call):
            return None
        name = dotted(node.func)
        if name == "Field":
            given = [word.value for word in node.keywords if word.arg == "default"] or node.args
            return self.value(module, given[0], depth + 1) if given and not _is_ellipsis(given[0]) else None
        if name in CONVERSIONS and len(node.args) == 1:
            inner = self.value(module, node.args[0], depth + 1)
            try:
                return None if inner is None else CONVERSIONS[name](inner)
            except (TypeError, ValueError):
                return None
        if re.fullmatch(r"getenv|get_env_\w+|get", name) and len(node.args) == 2:
            return self.value(module, node.args[1], depth + 1)
        return None

    def fields(self, name: str, module: str = "") -> dict[str, Found]:
        """Fields of a class and of the classes it is made from, under the names a configuration uses."""
        at = self.find(name, module)
        if at is None:
            return {}
        where, node = at
        found: dict[str, Found] = {}
        for base in node.bases:
            inherited = dotted(base)
            if inherited not in ("", name):
                found |= self.fields(inherited, where) or self.fields(inherited)
        for item in node.body:
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                key = item.target.id
                if key.startswith("_") or key == "model_config" or "ClassVar" in ast.unparse(item.annotation):
                    continue
                for alias in _aliases(item.value) or (key,):
                    found[alias] = Found(annotation(item.annotation), self.value(where, item.value))
        return found

    def arguments(self, function: str, module: str, owner: str = "") -> dict[str, Found]:
        """Parameters of a function, or of a class's method, except ``self`` and the collecting ones."""
        if owner:
            at = self.find(owner, module)
            body = at[1].body if at else []
            nodes = [(module, node) for node in body if isinstance(node, FUNCTIONS) and node.name == function]
            nodes = [(at[0], node) for _, node in nodes] if at else []
        else:
            nodes = [item for item in self.functions.get(function, []) if module in item[0]]
        found: dict[str, Found] = {}
        for where, node in nodes[:1]:
            args = [*node.args.posonlyargs, *node.args.args]
            defaults = [None] * (len(args) - len(node.args.defaults)) + list(node.args.defaults)
            for arg, default in [
                *zip(args, defaults, strict=True),
                *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True),
            ]:
                if arg.arg not in ("self", "cls"):
                    found[arg.arg] = Found(annotation(arg.annotation), self.value(where, default))
        return found

    def strings(
        self,
        module: str,
        node: ast.expr | None,
        local: dict[str, frozenset[str]] | None = None,
        followed: frozenset[str] = frozenset(),
    ) -> frozenset[str]:
        """Every text that an expression can be or contain, through constants and the given local names."""
        found: set[str] = set()
        todo: list[ast.AST] = [node] if node is not None else []
        while todo:
            part = todo.pop()
            if isinstance(part, ast.JoinedStr):
                continue  # a piece of a name is not a name
            todo += ast.iter_child_nodes(part)
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                found.add(part.value)
            elif isinstance(part, ast.Name):
                if local is not None and part.id in local:
                    found |= local[part.id]
                elif part.id not in followed and (constant := self.constant(module, part.id)) is not None:
                    found |= self.strings(module, constant, None, followed | {part.id})
            elif isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.attr != "value":
                found |= self._member(part.value.id, part.attr)
        return frozenset(found)

    def _member(self, enum: str, name: str) -> set[str]:
        at = self.find(enum)
        pairs = [assigned(node) for node in at[1].body] if at else []
        return {
            pair[1].value
            for pair in pairs
            if pair and pair[0] == name and isinstance(pair[1], ast.Constant) and isinstance(pair[1].value, str)
        }

    def members(self, enum: str, module: str = "") -> dict[str, Found]:
        """The values of an enumeration of texts."""
        if (at := self.find(enum, module)) is None:
            return {}
        pairs = [pair for node in at[1].body if (pair := assigned(node)) is not None]
        return {word: Found() for _, value in pairs for word in self.strings(at[0], value)}

    def classes_in(self, folder: str) -> Iterator[str]:
        """Names of the classes of the modules under a path."""
        for name, places in self.classes.items():
            if any(folder in where for where, _ in places):
                yield name


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _aliases(node: ast.expr | None) -> tuple[str, ...]:
    if not (isinstance(node, ast.Call) and dotted(node.func) in ("Field", "field")):
        return ()
    for word in node.keywords:
        if word.arg in ("alias", "validation_alias", "metadata"):
            names = [part.value for part in ast.walk(word.value) if isinstance(part, ast.Constant)]
            if word.arg != "metadata" or (isinstance(word.value, ast.Call) and "wire" in dotted(word.value.func)):
                return tuple(name for name in names if isinstance(name, str))
    return ()
