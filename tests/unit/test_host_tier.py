"""Tests that ask hosts, before they ask any: what a wrong inventory ends in, and that listing them starts nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploys.lib.render import ROOT
from tests.host.conftest import sentence
from tests.host.lab import conftest as lab
from tests.lab.cache import LabError


@pytest.mark.parametrize(
    ("inventory", "said"),
    [
        ("inventories/prodction.py", "there is no inventory file inventories/prodction.py; nothing was changed"),
        ("tests/golden", "tests/golden is a folder, not an inventory; name one file; nothing was changed"),
    ],
)
def test_a_wrong_inventory_is_said_once(inventory: str, said: str) -> None:
    # As `make verify INV=...` does.
    command = [sys.executable, "-m", "pytest", "tests/host", "--inventory", inventory, "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.strip() == f"Exit: {inventory}: {said}"
    assert "Traceback" not in done.stdout and "conftest.py" not in done.stdout and "ERROR" not in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--> Loading\n--> pyinfra error in /x/guard.py line 7: no hosts: none; nothing\n", "no hosts: none; nothing"),
        ("--> pyinfra error: no\n", "no"),
        (
            "    x = = 1\nSyntaxError: invalid syntax\n\n--> The full traceback has been written to x.log",
            "SyntaxError: ",
        ),
        (
            "gw: `nproc` ended with 255: ssh: connect\n to host gw",
            "gw: `nproc` ended with 255: ssh: connect to host gw",
        ),
        ("", ""),
    ],
)
def test_what_went_wrong_is_found_in_all_that_is_said(words: str, said: str) -> None:
    assert sentence(words).startswith(said) and "\n" not in sentence(words)


class Item(SimpleNamespace):
    """A test as it is collected, with the markers it was given."""

    def add_marker(self, mark: Any) -> None:
        self.marks.append(mark.name)


def test_collecting_the_tests_that_break_hosts_does_not_start_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab.engine, "connect", lambda: pytest.fail("started an engine while collecting"))
    items = [
        Item(nodeid=f"tests/host/lab/test_{name}.py::test", path=Path(f"test_{name}.py"), marks=[])
        for name in ("interrupted", "deploy")
    ]
    asked: dict[str, str | None] = {"--inventory": None}
    config: Any = SimpleNamespace(getoption=lambda name: asked[name])
    lab.pytest_collection_modifyitems(config, items)  # type: ignore[arg-type]
    assert [(item.path.stem, item.marks) for item in items] == [("test_deploy", ["lab"]), ("test_interrupted", ["lab"])]
    asked["--inventory"] = "inventories/production.py"
    lab.pytest_collection_modifyitems(config, items)  # type: ignore[arg-type]
    assert all(item.marks[1:] == ["lab", "skip"] for item in items), "they break hosts, so never those of an inventory"


def test_without_docker_they_are_skipped_when_they_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise LabError("no Docker engine answers")

    monkeypatch.setattr(lab.engine, "connect", refuse)
    with pytest.raises(pytest.skip.Exception, match="docker is not usable here: no Docker engine answers"):
        lab.start_engine()
