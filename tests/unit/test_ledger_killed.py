"""A host that loses its power at any step of the ledger's program: no entry is torn, and the next run goes on."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.unit.ledger_box import LedgerBox, run_id
from tests.unit.thorough import stride, thorough

pytestmark = thorough
STRIDE = stride(4)
ONE, TWO, THREE, FOUR, NEXT = (run_id(number) for number in range(1, 6))
Listed = dict[str, dict[str, Any]]
Check = Callable[[Listed, int], None]


def kept(box: LedgerBox) -> None:
    """What a host that lost its power has on its disk: everything but the lock."""
    for name in ("state", "backups", "opt"):
        shutil.rmtree(box.root / "cut" / name, ignore_errors=True)
        shutil.copytree(box.root / name, box.root / "cut" / name, symlinks=True)


def restored(box: LedgerBox) -> None:
    for name in ("state", "backups", "opt"):
        shutil.rmtree(box.root / name)
        shutil.copytree(box.root / "cut" / name, box.root / name, symlinks=True)


def believable(box: LedgerBox, step: int) -> Listed:
    """Nothing the ledger says is wrong or half, and what is served is there; what it says."""
    found: Listed = box.listed()
    for run, entry in found.items():
        assert entry["outcome"] in ("open", "done", "cut off", "failed"), f"step {step}"
        assert entry["damage"] == "", f"step {step}: {run}"
        assert {"kind", "who", "began", "revision", "command"} <= set(entry), f"step {step}: {run}"
    for path in (*box.backups.glob("2*/run.json"), *box.backups.glob("2*/manifest.json")):
        assert json.loads(path.read_text())["run"] == path.parent.name, f"step {step}"
    for path in (box.state / "served").iterdir():
        assert not path.is_symlink() or (path / "files.tsv").is_file(), f"step {step}: {path.name} dangles"
    return found


def cut_off(box: LedgerBox, words: tuple[str, ...], first: int, check: Check) -> int:
    """Kill the ledger before each step it takes for ``words``; how many there are.

    What the disk has then is believable, and stays so when a run comes to a good end after it.
    """
    kept(box)
    lock = (box.root / "lock").read_text()
    for step in itertools.count(first, STRIDE):
        restored(box)
        (box.root / "lock").write_text(lock)
        done = box.ledger(*words, kill_before=step)
        if done.code == 0:
            return box.steps
        assert done.code == -9, f"step {step}: {done}"
        check(believable(box, step), step)
        # The next run, without a change of its own but for the first word of it.
        box.hold(NEXT, keep_runs=3)
        assert box.ledger("begin", NEXT, "x").code == 0, f"step {step}"
        box.end(NEXT)
        found = believable(box, step)
        assert found[NEXT]["outcome"] == "done" and found[NEXT]["touches"] == {}, f"step {step}"
        assert not [run for run, entry in found.items() if entry["outcome"] == "open"], f"step {step}"
        # Neither what a link was about to be nor half an entry counts as anything.
        assert box.links().keys() >= {"x", "y"}, f"step {step}"
        manifest = json.loads((box.backups / NEXT / "manifest.json").read_text())
        assert set(manifest["components"]) == {"x", "y"}, f"step {step}"
        assert {box.links()[name].parent.parent.name for name in ("x", "y")} == {NEXT}, f"step {step}"
        check(found, step)
    raise AssertionError


def deployed(root: Path) -> LedgerBox:
    box = LedgerBox(root)
    box.deploy(ONE, box.version(1), box.beside("y 1\n"))
    box.deploy(TWO, box.version(2))
    return box


def test_the_ledger_that_is_killed_when_a_run_begins_is_believable_and_goes_on(tmp_path: Path) -> None:
    box = deployed(tmp_path)
    box.hold(THREE)
    assert box.ledger("begin", THREE, "x").code == 0  # it was cut off: the next one has that to note as well
    box.hold(FOUR)

    def check(found: Listed, step: int) -> None:
        assert found[THREE]["outcome"] in ("open", "cut off"), f"step {step}"
        assert found[TWO]["outcome"] == "done", f"step {step}"

    assert cut_off(box, ("begin", FOUR, "x"), 1, check) > 10


def test_the_ledger_that_is_killed_when_a_run_ends_is_believable_and_goes_on(tmp_path: Path) -> None:
    box = deployed(tmp_path)
    box.hold(THREE)
    assert box.ledger("begin", THREE, "x").code == 0
    assert box.run(box.version(3), THREE).code == 0
    whole = box.whole()

    def check(found: Listed, step: int) -> None:
        # It is how the host is now, or nothing to go back to; and every earlier state is still there for that.
        assert (found[THREE]["outcome"] in ("open", "cut off")) or found[THREE]["touches"] == {}, f"step {step}"
        assert found[TWO]["touches"] == {"x": 3}, f"step {step}"
        assert box.whole() == whole, "the ledger's end touches nothing but the ledger"

    assert cut_off(box, ("end", THREE, "done"), 2, check) > 25


def test_a_link_that_was_about_to_take_anothers_place_is_no_component(tmp_path: Path) -> None:
    box = deployed(tmp_path)
    (box.state / "served" / "x.part").symlink_to(box.backups / ONE / "components" / "x")
    assert [part["component"] for part in box.plan(ONE)["components"]] == ["x"]
    box.deploy(THREE, box.version(3))
    believable(box, 0)
    assert set(json.loads((box.backups / THREE / "manifest.json").read_text())["components"]) == {"x", "y"}


def test_the_ledger_that_is_killed_while_it_removes_old_entries_ends_that_the_next_time(tmp_path: Path) -> None:
    box = deployed(tmp_path)
    box.deploy(THREE, box.version(3))
    box.hold(FOUR)
    assert box.ledger("begin", FOUR, "x").code == 0
    kept(box)
    box.end(FOUR)
    ended = box.steps
    for step in itertools.count(ended, stride(13)):  # one file after another, for most of it
        restored(box)
        box.hold(FOUR, keep_runs=2)
        done = box.ledger("end", FOUR, "done", kill_before=step)
        if done.code == 0:
            break
        assert {THREE, FOUR} <= set(believable(box, step)), f"step {step}"
        box.hold(NEXT, keep_runs=2)
        assert box.ledger("begin", NEXT, "x").code == 0
        box.end(NEXT)
        assert list(believable(box, step)) == [FOUR, NEXT], f"step {step}"
        assert not list(box.backups.glob(".*")), f"step {step}: half an entry is left for good"
        assert [path.name for path in (box.root / "opt").iterdir()] == ["3"], f"step {step}: no run points at it"
    assert box.steps > ended + 40
