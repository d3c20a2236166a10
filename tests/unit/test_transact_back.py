"""What a component's earlier files alone do not take back: its own command, run whenever they were put back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.sandbox import Sandbox


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


def backs(box: Sandbox) -> list[str]:
    """What main.conf was each time the command ran."""
    path = box.fake / "backs"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def test_it_runs_after_the_files_are_back_and_only_then(box: Sandbox) -> None:
    command = f"cat {box.etc}/main.conf >>{box.fake}/backs 2>/dev/null || echo none >>{box.fake}/backs"
    good = box.change(box.file("main.conf", "one\n"), ready=box.serves("one"), back=command)
    assert box.run(box.change(box.file("main.conf", "zero\n"), ready="false", back=command), "R0").code == 1
    assert backs(box) == ["none"], "there was nothing before it"
    assert box.run(good, "R1").code == 0 and backs(box) == []
    assert box.run(box.change(box.file("main.conf", "two\n"), ready="false", back=command), "R2").code == 1
    assert backs(box) == ["one"]
    refused = box.change(box.file("main.conf", "three\n"), guard=("false",), back=command)
    assert box.run(refused, "R3").code == 1 and backs(box) == [], "nothing had been changed"
