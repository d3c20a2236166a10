"""Going back with the real programs: to every byte of what was there; or, when that does not serve, nowhere."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import pytest

from deploys.lib.bundle import Change
from deploys.lib.render import ROOT
from deploys.lib.transaction import PROGRAM
from tests.unit.ledger_box import LedgerBox, run_id
from tests.unit.sandbox import UNIT

# In one process of `-n`: the host that most of them begin with is made once.
pytestmark = pytest.mark.xdist_group("back")
ONE, TWO, THREE, FOUR, FIVE, SIX = (run_id(number) for number in range(1, 7))


def changed(box: LedgerBox) -> dict[str, str]:
    """Three changes in a row, with everything a change can have; a digest of the host after each."""
    found = {}
    timer = box.file("x.timer", "timer\n", "none")
    box.deploy(ONE, box.version(1, provisions=(box.told("Role", "first", stdin="secret-value-told"),)))
    found[ONE] = box.whole()
    # A file and a timer of its own come, and another component.
    more = (box.file("new/deep.conf", "new\n", mode="0600"), timer)
    told = (box.told("Role", "second"),)
    box.deploy(TWO, box.version(2, *more, extra_units=("x.timer",), provisions=told), box.beside("y 1\n"))
    found[TWO] = box.whole()
    # They go again, and the service is as it was at first but for the line about its making.
    box.deploy(THREE, box.version(3, main=1), box.beside("y 2\n"))
    found[THREE] = box.whole()
    assert len(set(found.values())) == 3
    box.calls(), box.tellings()
    return found


@pytest.fixture
def box(tmp_path: Path) -> LedgerBox:
    return LedgerBox(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[LedgerBox, dict[str, str], Path]:
    """A host with three runs, made once; its state after each; and a copy of all its files."""
    made = LedgerBox(tmp_path_factory.mktemp("changed"))
    states = changed(made)
    return made, states, Path(shutil.copytree(made.root, tmp_path_factory.mktemp("copy") / "box", symlinks=True))


@pytest.fixture
def third(made: tuple[LedgerBox, dict[str, str], Path]) -> LedgerBox:
    """That host after its three runs."""
    shutil.rmtree(made[0].root)
    shutil.copytree(made[2], made[0].root, symlinks=True)
    return made[0]


def test_three_changes_and_back_to_each_of_them_to_the_last_byte(
    third: LedgerBox, made: tuple[LedgerBox, dict[str, str], Path]
) -> None:
    box, states = third, made[1]
    trees: dict[str, dict[str, tuple[str, str, str]]] = {}
    for number, target in enumerate((TWO, ONE, THREE, ONE, TWO, THREE), 4):
        went = box.go_back(target, run_id(number))
        assert went and all((done.code, done.sentence) == (0, "") for done in went.values()), f"{target}: {went}"
        assert box.whole() == states[target], f"back to {target} from {trees.keys()}"
        trees[target] = box.tree()
        # Whatever it was: a second time there is nothing to do, and nothing is written, told or asked of a service.
        before = {path: path.stat().st_ctime_ns for path in box.etc.rglob("*") if path.is_file()}
        box.calls(), box.tellings()
        assert box.go_back(target, run_id(number + 20)) == {}
        assert (box.calls(), box.tellings()) == ([], [])
        assert before == {path: path.stat().st_ctime_ns for path in before}
        assert run_id(number + 20) not in box.listed(), "and it leaves no entry"
    marks = {run: tree["etc/main.conf"][2].splitlines()[1] for run, tree in trees.items()}
    assert marks == {run: f"# Portcullis revision {n:012d}, input abc" for n, run in enumerate((ONE, TWO, THREE), 1)}
    box.calls()
    assert box.go_back(ONE, FIVE) and UNIT not in " ".join(box.calls()), "for another such line nothing is restarted"


def test_what_a_later_run_created_is_removed_and_its_units_end_first(third: LedgerBox) -> None:
    box = third
    assert box.go_back(TWO, FOUR)
    assert (box.fake / "enabled.x.timer").exists() and (box.etc / "new/deep.conf").read_text() == "new\n"
    box.calls()
    went = box.go_back(ONE, FIVE)
    assert {f"removed {box.etc}/new/deep.conf", f"removed {box.units}/x.timer"} <= set(went["x"].out.splitlines())
    assert not {"etc/new/deep.conf", "units/x.timer", "etc/y.conf"} & set(box.tree())
    assert "disable --quiet --now x.timer" in box.calls()
    assert not (box.fake / "enabled.x.timer").exists()
    assert (box.fake / "active.x.timer").read_text() == "inactive\n"
    assert "y" not in box.links(), "the component came later: there is nothing of it any more"


def test_only_some_components_go_back(third: LedgerBox) -> None:
    box = third
    before = {name: what for name, what in box.tree().items() if name != "etc/y.conf"}
    assert [part["component"] for part in box.plan(TWO, "y")["components"]] == ["y"]
    assert set(box.go_back(TWO, FOUR, "y")) == {"y"}
    assert (box.etc / "y.conf").read_text() == "y 1\n"
    assert {name: what for name, what in box.tree().items() if name != "etc/y.conf"} == before
    assert box.calls() == [], "the service of the other one never noticed"
    # The run that went back is a whole one: to it, and from it.
    assert box.go_back(ONE, FIVE) and box.go_back(FOUR, SIX)
    assert (box.etc / "y.conf").read_text() == "y 1\n" and "etc/new/deep.conf" not in box.tree()
    assert box.plan(FOUR, "z,y") == {"run": FOUR, "components": [], "stays": [], "problems": []}, (
        "a host without z has nothing to do"
    )


def broken(box: LedgerBox, name: str, text: str) -> None:
    """Make ``name`` of what the first run has kept say ``text``, as if it had been kept so."""
    bundle = box.backups / ONE / "components" / "x"
    (bundle / name).write_text(text)
    manifest = box.backups / ONE / "manifest.json"
    whole = json.loads(manifest.read_text())
    digest = hashlib.sha256()
    for path in sorted(path for path in bundle.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(bundle)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    whole["components"]["x"]["bundle"] = digest.hexdigest()
    manifest.write_text(json.dumps(whole))


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("ready.sh", "echo not yet; exit 1\n", "not ready after 0 s: not yet; the previous files were put back and "),
        ("check.sh", "echo no; exit 1\n", "the new files did not pass their check: no; the previous files were put "),
    ],
)
def test_a_state_that_does_not_serve_any_more_leaves_everything_as_it_was(
    third: LedgerBox, name: str, text: str, why: str
) -> None:
    box = third
    assert box.go_back(TWO, FOUR)
    before, links, tellings = box.whole(), box.links()["x"], box.tellings()
    assert tellings == ["Role second"]
    broken(box, name, text)
    went = box.go_back(ONE, FIVE, "x")
    assert went["x"].code == 1 and went["x"].sentence.startswith(f"x: {why}")
    assert box.whole() == before, "files, the timer that had to end for it, and what the service reads"
    assert box.tellings() == [], "a service that does not run the earlier files is not told the earlier things"
    assert box.links()["x"].parent.parent.name == FIVE and links.parent.parent.name == FOUR
    assert box.listed()[FIVE]["outcome"] == "failed"
    assert box.go_back(THREE, SIX)["x"].code == 0, "and from there everywhere else"


def guarded(box: LedgerBox, number: int) -> Change:
    """A version whose guard looks at the file that would come, and at one that has no new version."""
    ask = f'grep -q "main {number}" "$(new {box.etc}/main.conf)" || {{ echo "guard sees another"; exit 1; }}'
    same = f'[ "$(new {box.etc}/other)" = {box.etc}/other ] || {{ echo "guard sees nothing"; exit 1; }}'
    salt = (
        f'[ "$(cat {box.fake}/salt)" = {number} ] || {{ echo "key $(cat {box.fake}/salt) is not {number}"; exit 1; }}'
    )
    return box.version(number, guard=(ask, same, salt))


def test_a_guard_keeps_a_deploy_and_going_back_away_before_anything_changes(box: LedgerBox) -> None:
    (box.fake / "salt").write_text("1")
    box.deploy(ONE, guarded(box, 1))
    before = box.tree()
    refused = box.run(guarded(box, 2), TWO)
    assert (refused.code, refused.sentence) == (1, "x: refused: key 1 is not 2; no file had been changed")
    assert box.tree() == before and not list((box.state / "pending").iterdir())
    (box.fake / "salt").write_text("2")
    box.deploy(TWO, guarded(box, 2))
    plan = box.plan(ONE)
    assert plan["problems"] == ["x: key 2 is not 1"]
    # Should it have been different when the plan was made: the switching program asks again.
    before = box.tree()
    box.calls()
    staged = box.state / "staged" / f"x.{THREE}"
    assert box.ledger("stage", str(box.backups), ONE, "x", str(staged)).code == 0
    done = box.run(None, THREE)
    assert (done.code, done.sentence) == (1, "x: refused: key 2 is not 1; no file had been changed")
    assert box.tree() == before and box.calls() == [] and not staged.exists()


def test_the_ledger_asks_a_guard_as_the_switching_program_does() -> None:
    folder = ROOT / "payload" / "host"
    assert [path.name for path in PROGRAM if "\nnew() {" in path.read_text()] == ["guard-lib"]
    for name in ("transact", "ledger_plan.py"):
        assert '; . "$staged/guard.sh"' in (folder / name).read_text(), name


def test_a_version_that_is_gone_is_named_before_anything_changes(third: LedgerBox) -> None:
    box = third
    (box.root / "opt" / "2").rmdir()
    assert box.plan(TWO)["problems"] == [
        f"x: {box.etc}/current would point at {box.root}/opt/2, which is gone; deploy that version instead"
    ]
    assert box.plan(TWO, "y")["problems"] == [] and box.plan(ONE)["problems"] == []


def test_a_user_that_is_gone_is_named_before_anything_changes(box: LedgerBox) -> None:
    box.deploy(ONE, box.version(1))
    rows = (box.backups / ONE / "components" / "x" / "files.tsv").read_text()
    first = rows.splitlines()[0].split("\t")
    broken(box, "files.tsv", rows.replace("\t".join(first[:4]), "\t".join([*first[:2], "no-such-user", first[3]]), 1))
    assert box.plan(ONE)["problems"] == [
        f"x: {box.units}/{UNIT} would belong to no-such-user {first[3]}, and the host has no such user or group"
    ]


def test_an_image_that_is_gone_is_named_before_anything_changes(box: LedgerBox) -> None:
    image = "portcullis-x:1-0123abcd"
    made = box.file("x.yaml", f"services:\n  x:\n    image: {image}\n")
    box.deploy(ONE, box.version(1, made))
    box.deploy(TWO, box.version(2))
    docker = box.fake / "bin" / "docker"
    docker.write_text(f'#!/bin/sh\n[ "$*" = "image inspect {image}" ] && [ -e {box.root}/there ]\n')
    docker.chmod(0o755)
    assert box.plan(ONE)["problems"] == [f"x: its image {image} is gone; deploy that version instead"]
    (box.root / "there").touch()
    assert box.plan(ONE)["problems"] == []


def test_what_came_later_and_is_a_packages_service_stays(box: LedgerBox) -> None:
    """Such as the engine: services that were in containers are to be stopped by it when the way back comes to them."""
    box.deploy(ONE, box.version(1))
    later = dataclasses.replace(box.change(box.file("y.conf", "y\n"), unit="y.service"), component="y")
    (box.fake / "active.y.service").write_text("active\n")
    box.deploy(TWO, box.version(2), later)
    assert [part["component"] for part in box.plan(ONE)["components"]] == ["x", "y"]
    (box.root / "packaged").mkdir()
    (box.root / "packaged" / "y.service").touch()
    plan = box.plan(ONE)
    assert [part["component"] for part in plan["components"]] == ["x"] and plan["stays"] == ["y"]
    went = box.go_back(ONE, THREE)
    assert went["x"].code == 0 and "y" not in went and (box.fake / "active.y.service").read_text() == "active\n"
