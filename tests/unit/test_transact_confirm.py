"""Changes that could shut everybody out: kept when somebody has connected anew, else undone, whoever is still there."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import pytest

from deploys.lib.bundle import Change
from deploys.lib.render import ROOT
from tests.unit.ledger_box import LedgerBox, run_id
from tests.unit.sandbox import UNIT, Sandbox
from tests.unit.test_transact_killed import restore, snapshot
from tests.unit.thorough import stride, thorough

pytestmark = thorough
EVERY = stride(7)
UNDO = "portcullis-undo-x.service"
BEGIN = "x: it was ended before anybody had connected anew; "


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    return begun(tmp_path)


def begun(root: Path) -> Sandbox:
    """A host with the first version in place."""
    made = Sandbox(root / "box")
    assert made.run(version(made, "one", 0, note=False), "R0").code == 0
    made.calls()
    return made


def version(box: Sandbox, main: str, seconds: int = 1, note: bool = True, **how: object) -> Change:
    items = [box.file(UNIT, "unit\n"), box.file("main.conf", f"{main}\n"), box.link("current", f"/opt/{main}")]
    items += [box.file("note.conf", "note\n", "none")] if note else []
    return box.change(*items, **{"ready": box.serves(main), "confirm_seconds": seconds, **how})  # type: ignore[arg-type]


def confirm(box: Sandbox, run: str = "R1") -> None:
    (box.state / "staged" / f"x.{run}" / "confirmed").write_text("")


def armed(box: Sandbox) -> bool:
    """Whether the next start of the host would undo something."""
    there = (box.units / UNDO).exists()
    assert there == (box.units / "sysinit.target.wants" / UNDO).is_symlink()
    return there


def at_rest(box: Sandbox) -> None:
    assert not armed(box) and not (box.units / "sysinit.target.wants").exists()
    assert not list((box.root / "run").glob("*"))
    for folder in ("staged", "pending"):
        assert not list((box.state / folder).iterdir()), folder


def test_a_change_after_which_somebody_connects_stays(box: Sandbox) -> None:
    seen: list[bool] = []
    done = box.run(version(box, "two", 20), waits=lambda: (seen.append(armed(box)), confirm(box)))
    assert (done.code, done.sentence) == (0, "")
    assert seen == [True], "a restart of the host at that moment would have undone it"
    assert box.running() == "two\n" and done.out.splitlines()[-1] == "waiting 20 s for a new connection"
    at_rest(box)
    kept = box.backups / "R1" / "components" / "x"
    assert not (kept / "confirmed").exists(), "what is kept says nothing of who has connected"


@pytest.mark.parametrize("early", [False, True])
def test_a_change_after_which_nobody_connects_is_taken_back(box: Sandbox, early: bool) -> None:
    before = box.tree()
    wanted = version(box, "two")
    box.stage(wanted)
    if early:  # before the change: this says nothing of how it is after it
        confirm(box)
    done = box.run()
    assert done.code == 1 and box.tree() == before and box.running() == "one\n"
    assert done.sentence == (
        f"x: nobody could connect anew within 1 s; the previous files were put back and {UNIT} serves with them"
    )
    at_rest(box)


def test_nobody_is_waited_for_when_nothing_has_changed(box: Sandbox) -> None:
    done = box.run(version(box, "one", 20, note=False))
    assert (done.code, done.out, done.sentence) == (0, "", "")
    at_rest(box)


def test_a_service_that_was_only_restarted_is_waited_for(box: Sandbox) -> None:
    (box.fake / f"active.{UNIT}").write_text("inactive\n")
    done = box.run(version(box, "one", note=False))
    assert done.sentence == f"x: nobody could connect anew within 1 s; no file had been changed, and {UNIT} is stopped"
    assert (box.fake / f"active.{UNIT}").read_text() == "inactive\n"


def test_a_unit_that_was_only_switched_is_waited_for_and_switched_back(box: Sandbox) -> None:
    (box.units / "more.service").write_text("more\n")
    (box.fake / "active.more.service").write_text("inactive\n")
    done = box.run(version(box, "one", note=False, extra_units=("more.service",)))
    assert done.sentence == "x: nobody could connect anew within 1 s; no file had been changed"
    assert (box.fake / "active.more.service").read_text() == "inactive\n"


def test_other_components_wait_for_nobody_and_leave_nothing_for_the_next_start(box: Sandbox) -> None:
    check = f"[ ! -e {box.units}/{UNDO} ]"
    done = box.run(version(box, "two", 0, check=check))
    assert (done.code, done.sentence) == (0, "") and "waiting" not in done.out


def test_a_component_that_comes_for_the_first_time_is_gone_when_nobody_connects(tmp_path: Path) -> None:
    box = Sandbox(tmp_path / "box")
    done = box.run(version(box, "one"))
    assert done.sentence == (
        f"x: nobody could connect anew within 1 s; there was no earlier version to go back to, so {UNIT} is stopped"
    )
    assert box.tree() == {}
    at_rest(box)


@pytest.mark.parametrize("word", ["undo", "boot"])
def test_a_run_that_is_killed_while_it_waits_is_undone(box: Sandbox, word: str) -> None:
    before = box.tree()
    log = box.state / "switched" / "x.R1" / "log"
    log.parent.mkdir(parents=True)
    log.write_text("waiting 20 s for a new connection\n")
    assert box.run(version(box, "two", 20), waits=lambda: kill(box)).code == -9
    assert armed(box) and box.running() == "two\n"
    box.calls()
    done = box.run(word=word)
    assert done.code == 0 and box.tree() == before
    at_rest(box)
    if word == "undo":
        assert done.sentence == f"{BEGIN}the previous files were put back and {UNIT} serves with them"
        assert box.running() == "one\n"
    else:
        assert done.sentence == (
            "x: the host was restarted before anybody had connected anew; the previous files were put back while the "
            "host starts"
        )
        assert log.read_text().splitlines()[-1] == done.sentence, "a deploy that still waits passes it on"
        assert box.calls() == [], "what is started then, starts after this: waiting for it would never end"
    assert box.run(word=word).sentence == "", "and nothing is left to undo"


def kill(box: Sandbox) -> None:
    subprocess.run(["kill", "-9", "--", f"-{(box.fake / 'pid').read_text().strip()}"], check=True)


def test_a_run_that_ends_by_itself_leaves_nothing_to_undo(box: Sandbox) -> None:
    assert box.run(version(box, "two", 20), waits=lambda: confirm(box)).code == 0
    wanted = box.tree()
    done = box.run(word="undo")
    assert (done.code, done.sentence) == (0, "") and box.tree() == wanted


def test_what_a_host_undoes_while_it_stops_is_files_alone(box: Sandbox) -> None:
    before = box.tree()
    assert box.run(version(box, "two", 20), waits=lambda: kill(box)).code == -9
    systemctl = box.fake / "bin" / "systemctl"
    stopping = 'case "$*" in\n*system-running*) echo stopping ;;\n'
    systemctl.write_text(systemctl.read_text().replace('case "$*" in\n', stopping, 1))
    box.calls()
    done = box.run(word="undo")
    assert done.sentence == f"{BEGIN}the previous files were put back while the host stops"
    assert box.tree() == before and box.calls() == []


def test_wherever_a_run_is_killed_it_is_undone_or_done(tmp_path: Path) -> None:
    box = begun(tmp_path)
    before, base = box.tree(), snapshot(box, "base")
    assert box.run(version(box, "two", 20), waits=lambda: confirm(box)).code == 0
    wanted, undone, kept, step = box.tree(), 0, 0, 0
    for step in itertools.count(1, EVERY):
        restore(box, base)
        done = box.run(version(box, "two", 20), kill_before=step, waits=lambda: confirm(box))
        if done.code == 0:
            break
        # The service manager calls it when the run has ended, however that was; or the host does when it starts.
        word = ("undo", "boot")[step % 2]
        if word == "boot" and not (box.units / "sysinit.target.wants" / UNDO).is_symlink():
            word = "undo"
            there = {name: found for name, found in box.tree().items() if UNDO not in name}
            assert there in (before, wanted), f"step {step}: nothing would undo it"
        done = box.run(word=word)
        assert box.tree() in ([before] if done.sentence else [before, wanted]), f"step {step}: {done.sentence}"
        kept += box.tree() == wanted
        assert done.code == 0
        undone += bool(done.sentence)
        at_rest(box)
        assert (box.state / "served" / "x").readlink().parts[-3] == ("R1" if box.tree() == wanted else "R0"), step
    assert undone > 20 // EVERY and kept < step / 2, "most steps are before anybody has connected"


def test_the_unit_that_undoes_runs_before_what_the_change_is_about(box: Sandbox) -> None:
    texts: list[str] = []
    mark = box.root / "run" / "x.unconfirmed"
    box.run(version(box, "two"), waits=lambda: texts.extend([(box.units / UNDO).read_text(), str(mark.exists())]))
    text, marked = texts
    # It is wanted by a target that every start of a service asks for, the one that is being confirmed among them.
    assert f"\nConditionPathExists=!{mark}\n" in text and marked == "True", "not before the next start of the host"
    assert f"\nBefore=sysinit.target systemd-sysctl.service network-pre.target shutdown.target {UNIT} \n" in text
    assert f"\nExecStart=/bin/sh {box.program} x R1 {box.backups} boot\n" in text
    assert (ROOT / "payload" / "host" / "transact-confirm").is_file()


def test_going_back_waits_as_long_as_either_version_asks_for(tmp_path: Path) -> None:
    box = LedgerBox(tmp_path / "box")
    one, two, three, staged = run_id(1), run_id(2), run_id(3), box.state / "staged" / "x.R9"
    box.deploy(one, box.beside("y 1\n"))
    box.deploy(two, box.version(1))
    box.hold(three)
    assert box.ledger("begin", three, "x").code == 0
    assert box.run(box.version(2, confirm_seconds=20), three, waits=lambda: confirm(box, three)).code == 0
    box.end(three)
    for target in (one, two):  # to before there was one, and to a version that asked for nothing
        (part,) = box.plan(target)["components"]
        assert (part["component"], part["confirm_seconds"]) == ("x", 20)
        assert box.ledger("stage", str(box.backups), target, "x", str(staged)).code == 0
        lines = [line for line in (staged / "plan").read_text().splitlines() if "confirm" in line]
        assert lines == ["confirm_seconds=20"]
    box.hold(run_id(4), "rollback")
    assert box.ledger("begin", run_id(4), "x").code == 0
    assert box.ledger("stage", str(box.backups), two, "x", str(box.state / "staged" / f"x.{run_id(4)}")).code == 0
    assert box.run(None, run_id(4), waits=lambda: confirm(box, run_id(4))).code == 0
    assert box.running().endswith("main 1\n") and not armed(box)


def test_a_component_that_goes_back_to_nothing_is_confirmed_too(tmp_path: Path) -> None:
    box = LedgerBox(tmp_path / "box")
    box.deploy(run_id(1), box.beside("y 1\n"))
    box.hold(run_id(2))
    assert box.ledger("begin", run_id(2), "x").code == 0
    assert box.run(box.version(1, confirm_seconds=1), run_id(2), waits=lambda: confirm(box, run_id(2))).code == 0
    box.end(run_id(2))
    there = box.tree()
    box.hold(run_id(3), "rollback")
    stage = ("stage", str(box.backups), run_id(1), "x", str(box.state / "staged" / f"x.{run_id(3)}"))
    assert box.ledger(*stage).code == 0
    done = box.run(None, run_id(3))
    assert done.sentence.startswith("x: nobody could connect anew within 1 s; ") and box.tree() == there
    assert box.ledger(*stage).code == 0
    assert box.run(None, run_id(3), waits=lambda: confirm(box, run_id(3))).code == 0
    assert {"etc/y.conf"} == set(box.tree()) and not armed(box)
