"""Small questions that the sections of a configuration ask of a LiteLLM source, and the form of their answers."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import asdict

from scripts.litellm_source import Found, Source, dotted

Section = dict[str, dict[str, object]]


def kinds(**parts: dict[str, Found]) -> Section:
    """One section of several sources: the first that has a key gives its kind, the first that knows more the rest."""
    section: Section = {}
    for kind, keys in parts.items():
        for key, found in keys.items():
            entry = section.setdefault(key, {"kind": kind})
            for name, value in asdict(found).items():
                if value not in (None, "") and name not in entry and _plain(value):
                    entry[name] = value
    return section


def _plain(value: object) -> bool:
    """Whether a default can be written down: short, and of types that JSON has."""
    if isinstance(value, list | tuple):
        return len(value) <= 20 and all(_plain(item) for item in value)
    if isinstance(value, dict):
        return len(value) <= 8 and all(isinstance(key, str) and _plain(item) for key, item in value.items())
    return value is None or isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= 120)


def names(words: Iterable[str]) -> dict[str, Found]:
    return {word: Found() for word in words}


def words(source: Source, module: str, constant: str) -> dict[str, Found]:
    name = next((name for name in source.modules if name.endswith(module)), "")
    value = source.constants.get(name, {}).get(constant)
    return names(source.strings(name, value) if value is not None else ())


def keys(source: Source, module: str, constant: str) -> dict[str, Found]:
    """The keys of a constant dictionary, with their values as defaults."""
    name = next((name for name in source.modules if name.endswith(module)), "")
    value = source.constants.get(name, {}).get(constant)
    literal = source.value(name, value) if value is not None else None
    if isinstance(literal, dict):
        return {key: Found("", default) for key, default in literal.items() if isinstance(key, str)}
    return words(source, module, constant)


def functions(source: Source, module: str, *names: str) -> Iterable[ast.AST]:
    return [node for name in names for where, node in source.functions.get(name, ()) if where.endswith(module)]


def compared(source: Source, module: str, variables: set[str], within: Iterable[ast.AST] = ()) -> dict[str, Found]:
    """What a variable is compared with: ``callback == "otel"``, ``key in {"a", "b"}``."""
    name = next((name for name in source.modules if name.endswith(module)), "")
    found: set[str] = set()
    for root in list(within) or ([source.modules[name]] if name else []):
        for node in ast.walk(root):
            if not (isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.In)):
                continue
            if isinstance(node.left, ast.Name) and node.left.id in variables:
                found |= source.strings(name, node.comparators[0])
    return names(found)


def used(source: Source) -> set[str]:
    """Attributes of the package that its code asks for: a setting that nobody reads has no effect."""
    found: set[str] = set()
    for tree in source.modules.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and dotted(node.value) == "litellm":
                found.add(node.attr)
            elif isinstance(node, ast.ImportFrom) and node.module == "litellm":
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Call) and dotted(node.func) in ("getattr", "hasattr") and len(node.args) > 1:
                owner, name = node.args[:2]
                found |= {str(name.value)} if dotted(owner) == "litellm" and isinstance(name, ast.Constant) else set()
    return found
