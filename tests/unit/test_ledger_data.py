"""The ledger's real program on data that no file shows: who is served by it, who keeps it, and a plan with a copy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploys.lib.bundle import Change
from tests.unit.ledger_box import LedgerBox, run_id
from tests.unit.sandbox import UNIT

ONE, TWO, THREE, FOUR = (run_id(number) for number in range(1, 5))


def version(box: LedgerBox, number: int) -> Change:
    """A version that the data serves while `$FAKE/data` has its number; its guard refuses it otherwise."""
    serves = f'[ "$(cat {box.fake}/data)" = {number} ]'
    # What is said beside the answer, and the new version of a file, as the guard sees it.
    needed = f"$(if {serves}; then echo false; else echo true; fi)"
    say = f"""echo '{{"needed": '{needed}', "file": "'$(new {box.etc}/key.env)'"}}'"""
    guard = f'[ -n "${{other_data:-}}" ] || {serves} || {{ echo "the data is not for {number}"; exit 1; }}'
    return box.version(number, data=f"echo beside >&2; {say}", guard=(guard,), store='echo "$1 of x"')


@pytest.fixture
def box(tmp_path: Path) -> LedgerBox:
    made = LedgerBox(tmp_path)
    for run, number in ((ONE, 1), (TWO, 2)):
        (made.fake / "data").write_text(str(number))
        made.deploy(run, version(made, number), made.beside(f"y {number}\n"))
    return made


def test_a_host_says_who_is_served_who_keeps_and_what_there_is(box: LedgerBox) -> None:
    for target, needed in ((ONE, True), (TWO, False)):
        found = box.told_by("data", str(box.backups), target)
        assert found["uses"]["x"]["needed"] is needed and set(found["uses"]) == {"x"}
        assert found["uses"]["x"]["file"].startswith(f"{box.backups}/"), "the file as it would come back"
        assert found["keeps"] == ["x"]
        assert found["present"] == {"x": f"{box.backups}/{TWO}", "y": f"{box.backups}/{TWO}"}
    assert box.told_by("data", str(box.backups), ONE, "y")["uses"] == {}
    assert box.told_by("data", str(box.backups), "20200101T000000Z-abcd")["uses"] == {}


def test_what_cannot_be_told_is_left_to_the_guard(box: LedgerBox) -> None:
    for script in ("exit 1", "echo no JSON"):
        for path in box.backups.glob("*/components/x/data.sh"):
            path.unlink()
            path.write_text(script)
        assert box.told_by("data", str(box.backups), ONE)["uses"] == {}
    for path in box.backups.glob("*/components/x/*.sh"):
        if path.name in ("data.sh", "store.sh"):
            path.unlink()
    found = box.told_by("data", str(box.backups), ONE)
    assert (found["uses"], found["keeps"]) == ({}, []), "an entry of an earlier toolkit"
    assert json.loads(json.dumps(found))["present"]


def test_a_plan_with_a_copy_of_the_data_asks_no_guard_about_the_present_one(box: LedgerBox) -> None:
    assert box.plan(ONE)["problems"] == ["x: the data is not for 1"]
    with_copy = box.told_by("plan", str(box.backups), ONE, "", "x")
    assert with_copy["problems"] == [] and [part["component"] for part in with_copy["components"]] == ["x", "y"]
    # Its files are as they should be, and it stops for its data: it has to be switched, which starts it.
    (same,) = box.told_by("plan", str(box.backups), TWO, "", "x")["components"]
    assert same["component"] == "x" and same["changes"] == []
    assert box.plan(TWO)["components"] == []


def test_the_switching_program_asks_the_guard_in_full(box: LedgerBox) -> None:
    staged = box.state / "staged" / f"x.{THREE}"
    for number, code in ((2, 1), (1, 0)):
        (box.fake / "data").write_text(str(number))
        assert box.ledger("stage", str(box.backups), ONE, "x", str(staged)).code == 0
        done = box.run(None, THREE)
        assert done.code == code, done


def test_what_cannot_use_the_data_that_came_back_stays_stopped_when_the_earlier_files_do_not_serve(
    box: LedgerBox,
) -> None:
    before = box.tree()
    (box.fake / "data").write_text("1")
    for path in box.backups.glob(f"{ONE}/components/x/ready.sh"):
        path.unlink()
        path.write_text("echo not yet; exit 1\n")
    assert box.ledger("stage", str(box.backups), ONE, "x", str(box.state / "staged" / f"x.{THREE}"), "data").code == 0
    done = box.run(None, THREE)
    assert (done.code, done.sentence) == (
        1,
        f"x: not ready after 0 s: not yet; the previous files were put back; {UNIT} is stopped until its data is "
        "back as well",
    )
    assert box.tree() == before and (box.fake / f"active.{UNIT}").read_text() == "inactive\n"


def test_one_run_may_switch_a_component_there_and_back(box: LedgerBox) -> None:
    """As when another host of the site could not follow."""
    before = box.whole()
    box.hold(THREE, "rollback")
    assert box.ledger("begin", THREE, "x").code == 0
    for target, number in ((ONE, 1), (TWO, 2)):
        (box.fake / "data").write_text(str(number))
        into = str(box.state / "staged" / f"x.{THREE}")
        # The second time from the entry that the first one has made.
        for source, more in ((target, ["data"]), (THREE, [])):
            assert box.ledger("stage", str(box.backups), source, "x", into, *more).code == 0
            done = box.run(None, THREE)
            assert (done.code, done.sentence) == (0, "")
    assert "other_data" not in (box.backups / THREE / "components" / "x" / "plan").read_text(), (
        "it was for that one only"
    )
    box.end(THREE, "failed", "another host failed")
    assert box.whole() == before and box.listed()[THREE]["outcome"] == "failed"
    assert box.plan(TWO)["components"] == []
    assert box.go_back(TWO, FOUR) == {}
