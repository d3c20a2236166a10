"""Every setting of the gateway has a proof: a test that is there, and that has the setting in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from deploys.components.litellm.bootstrap import Team, VirtualKey
from deploys.components.litellm.catalogue import ModelEntry
from deploys.components.litellm.routing import Alias
from deploys.components.litellm.settings import LitellmSettings
from deploys.lib.render import ROOT
from deploys.lib.settings import Settings
from tests.unit.litellm_proofs import NOT_SHOWN, PROOFS, WORDS, Proofs


def fields(proofs: Mapping[type[Settings], Proofs]) -> Iterator[tuple[str, type[Settings], str]]:
    """Every test with a class and each of its fields that the test proves."""
    for kind, tests in proofs.items():
        for test, names in tests.items():
            yield from ((test, kind, name) for name in names.split())


EACH = sorted({(test, name) for test, _, name in fields(PROOFS)})


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def used(path: Path) -> Iterator[Path]:
    """Modules of the tests that a module takes something from, itself first."""
    yield path
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests"):
            room = ROOT / (node.module or "").replace(".", "/")
            yield from (found for alias in node.names if (found := room / f"{alias.name}.py").is_file())
            if room.with_suffix(".py").is_file():
                yield room.with_suffix(".py")


@cache
def words(path: Path) -> frozenset[str]:
    """Words that a program has in its texts, calls and attributes; comments and docstrings are none of it."""
    found = set()
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            found |= {word.removeprefix("litellm_") for word in re.findall(r"[\w.]+", node.value)}
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.keyword) and node.arg:
            found.add(node.arg.removeprefix("litellm_"))
        elif isinstance(node, ast.Name):
            found.add(node.id)
    return frozenset(found)


def sources(test: str) -> set[Path]:
    """The test's module, what it uses, and what gives it its settings: fixtures and, for hosts, the inventory."""
    module = ROOT / "tests" / f"{test.partition('::')[0]}.py"
    found = {*used(module)}
    if (shared := module.parent / "conftest.py").is_file():
        found |= {*used(shared)}
    return found | ({ROOT / "inventories" / "lab.py"} if test.startswith("host/") else set())


def test_every_setting_has_a_proof_or_a_reason_why_it_cannot_have_one() -> None:
    for kind in (LitellmSettings, ModelEntry, Alias, Team, VirtualKey):
        proved = {name for _, owner, name in fields(PROOFS) if owner is kind}
        excused = NOT_SHOWN.get(kind, {})
        assert set(kind.model_fields) - proved - set(excused) == set(), f"{kind.__name__}: nothing shows these"
        assert (proved | set(excused)) - set(kind.model_fields) == set(), f"{kind.__name__} has no such settings"
        assert proved & set(excused) == set()
        assert all(len(reason) > 20 for reason in excused.values())


@pytest.mark.parametrize("test", sorted({test for test, _ in EACH}))
def test_every_proof_is_there(test: str) -> None:
    module, _, name = test.partition("::")
    path = ROOT / "tests" / f"{module}.py"
    assert path.is_file(), f"{path} is gone"
    assert name in {node.name for node in tree(path).body if isinstance(node, ast.FunctionDef)}, f"{name} is gone"


@pytest.mark.parametrize(("test", "field"), EACH)
def test_every_proof_has_the_setting_in_it(test: str, field: str) -> None:
    word = WORDS.get(field, field)
    assert any(word in words(path) for path in sources(test)), f"{test} and its settings say nothing of {word}"
