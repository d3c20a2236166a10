"""payload/host/transact, run for real: what it writes, when it restarts, and that a failure leaves all as it was."""

from __future__ import annotations

import dataclasses
import subprocess
import time
from pathlib import Path

import pytest

from deploys.lib.bundle import Change
from deploys.lib.component import ConfigFile, Link
from deploys.lib.render import ROOT
from tests.unit.sandbox import UNIT, Sandbox


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


def first(box: Sandbox, main: str = "one\n") -> Change:
    return box.change(
        box.file(UNIT, "unit 1\n"),
        box.file("main.conf", main, mode="0640"),
        box.file("users.conf", "users 1\n", "reload", mode="0600"),
        box.file("note.conf", "note 1\n", "none"),
        box.link("current", "/opt/1"),
        ready=box.serves(main.strip()),
    )


def altered(box: Sandbox, *items: ConfigFile | Link, **more: object) -> Change:
    """The first version with ``items`` in place of its own of the same path, or besides them."""
    whole = {item.path: item for item in (*first(box).items, *items)}
    return dataclasses.replace(first(box), items=tuple(whole.values()), **{"ready": "true", **more})  # type: ignore[arg-type]


def deployed(box: Sandbox) -> dict[str, tuple[str, str, str]]:
    """A sandbox with the first version in place and served; what is there."""
    done = box.run(first(box), "R0")
    assert (done.code, done.sentence) == (0, ""), done
    box.calls()
    return box.tree()


def test_shellcheck_has_nothing_to_say() -> None:
    programs = [str(ROOT / "payload" / "host" / name) for name in ("transact", "guard-lib")]
    # What it reads is checked with it, where it is known which variables are there.
    command = [str(ROOT / ".venv/bin/shellcheck"), "-x", "-a", "-P", "SCRIPTDIR", *programs]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_first_deploy_writes_everything_with_its_mode_and_starts_the_service(box: Sandbox) -> None:
    done = box.run(first(box))
    assert (done.code, done.sentence) == (0, "")
    assert box.tree() == {
        "etc/current": ("link", "", "/opt/1"),
        "etc/main.conf": ("file", "0o640", "one\n"),
        "etc/note.conf": ("file", "0o644", "note 1\n"),
        "etc/users.conf": ("file", "0o600", "users 1\n"),
        "units/x.service": ("file", "0o644", "unit 1\n"),
    }
    assert done.out.splitlines()[-1] == f"start {UNIT}"
    assert box.calls() == [f"enable --quiet {UNIT}", f"restart {UNIT}"]
    assert not list((box.state / "staged").iterdir()) and not list((box.state / "pending").iterdir())


def test_a_second_run_writes_nothing_and_touches_no_service(box: Sandbox) -> None:
    deployed(box)
    before = {path: path.stat().st_ctime_ns for path in box.etc.iterdir() if not path.is_symlink()}
    done = box.run(first(box))
    assert (done.code, done.out, done.sentence, box.calls()) == (0, "", "", [])
    assert before == {path: path.stat().st_ctime_ns for path in before}


@pytest.mark.parametrize(
    ("name", "effect", "asked"),
    [
        ("main.conf", "restart", [f"restart {UNIT}"]),
        ("users.conf", "reload", [f"reload {UNIT}"]),
        ("note.conf", "none", []),
    ],
)
def test_a_service_is_restarted_reloaded_or_left_alone_as_its_file_asks(
    box: Sandbox, name: str, effect: str, asked: list[str]
) -> None:
    deployed(box)
    wanted = altered(box, box.file(name, "two\n", effect))  # type: ignore[arg-type]
    done = box.run(wanted)
    assert (done.code, box.calls()) == (0, asked)
    assert done.out.splitlines()[0] == f"wrote {box.etc}/{name}"
    done = box.run(wanted)
    assert (done.code, done.out, box.calls()) == (0, "", []), "and not a second time"


@pytest.mark.parametrize("what", ["mode", "link", "link instead of a file", "file instead of a link"])
def test_what_was_changed_by_hand_is_put_right(box: Sandbox, what: str) -> None:
    wanted = deployed(box)
    main, current = box.etc / "main.conf", box.etc / "current"
    if what == "mode":
        main.chmod(0o666)
    elif what == "link":
        current.unlink()
        current.symlink_to("/opt/other")
    elif what == "link instead of a file":
        main.rename(box.etc / "elsewhere")
        main.symlink_to(box.etc / "elsewhere")
    else:
        current.unlink()
        current.write_text("a file\n")
    assert box.run(first(box)).code == 0
    assert {name: found for name, found in box.tree().items() if name != "etc/elsewhere"} == wanted


def test_a_copy_of_every_changed_file_stays_in_the_runs_folder(box: Sandbox) -> None:
    deployed(box)
    box.run(altered(box, box.file("main.conf", "two\n"), box.link("current", "/opt/2"), box.file("extra.conf", "x\n")))
    copies = box.backups / "R1"
    kept = copies / f"files{box.etc}"
    assert (kept / "main.conf").read_text() == "one\n" and oct((kept / "main.conf").stat().st_mode & 0o777) == "0o640"
    assert (kept / "current").readlink() == Path("/opt/1")
    assert (copies / f"absent{box.etc}/extra.conf").read_text() == ""
    assert not (kept / "users.conf").exists(), "what does not change is not copied"
    for folder in (box.backups, copies, box.state):
        assert oct(folder.stat().st_mode & 0o777) == "0o700", "copies may be of secrets"


def second(box: Sandbox, **how: object) -> Change:
    """A version that changes, adds and relinks; ``how`` says what goes wrong with it."""
    return box.change(
        box.file(UNIT, "unit 2\n"),
        box.file("main.conf", f"{how.pop('main', 'two')}\n"),
        box.file("users.conf", "users 2\n", "reload"),
        box.file("new/deep.conf", "new\n", mode="0600"),
        box.link("current", "/opt/2"),
        **{"ready": box.serves("two"), **how},  # type: ignore[arg-type]
    )


def test_a_failed_check_puts_everything_back_and_the_service_never_notices(box: Sandbox) -> None:
    before = deployed(box)
    done = box.run(second(box, check="echo 'line 7: no such thing'; exit 1"))
    assert done.code == 1 and box.tree() == before and box.calls() == []
    assert done.sentence == (
        f"x: the new files did not pass their check: line 7: no such thing; the previous files were put back; {UNIT} "
        "was not touched"
    )
    assert not list((box.state / "staged").iterdir()), "no secret stays behind"


def test_a_check_that_never_ends_is_a_failed_one(box: Sandbox) -> None:
    before = deployed(box)
    done = box.run(second(box, check="sleep 20", check_seconds=1))
    assert done.code == 1 and box.tree() == before
    assert done.sentence.startswith("x: the check was not over after 1 s; what it started may still be at work; ")


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"main": "dies"}, f"{UNIT} did not start: it dies"),
        ({"ready": "echo not yet; exit 1"}, "not ready after 0 s: not yet"),
    ],
)
def test_a_service_that_does_not_get_ready_is_back_with_its_previous_files(
    box: Sandbox, how: dict[str, object], why: str
) -> None:
    before = deployed(box)
    done = box.run(second(box, **how))
    assert done.code == 1 and box.tree() == before
    assert box.running() == "one\n", "restarted with the earlier files"
    assert done.sentence == f"x: {why}; the previous files were put back and {UNIT} serves with them"


def test_a_service_that_serves_with_neither_is_said_so(box: Sandbox) -> None:
    before = deployed(box)
    (box.state / "served" / "x" / "ready.sh").write_text("exit 1\n")
    done = box.run(second(box, ready="exit 1"))
    assert box.tree() == before
    assert done.sentence.endswith(
        f"the previous files were put back, but {UNIT} does not serve; see: journalctl -u {UNIT}"
    )


def test_a_unit_that_keeps_stopping_is_given_up_early(box: Sandbox) -> None:
    deployed(box)
    restarts = box.fake / "restarts"
    more = f"echo $(($(cat {restarts} 2>/dev/null || echo 0) + 2)) >{restarts}; exit 1"
    began = time.monotonic()
    done = box.run(second(box, ready=more, seconds=60))
    assert done.sentence.startswith(f"x: {UNIT} keeps stopping; ") and time.monotonic() - began < 10


def test_a_failed_first_deploy_leaves_nothing_and_stops_what_it_started(box: Sandbox) -> None:
    timer = box.file("x.timer", "timer\n", "none")
    done = box.run(second(box, ready="exit 1", extra_units=("x.timer",)))
    assert done.code == 1 and done.sentence.endswith(
        f"there was no earlier version to go back to, so {UNIT} is stopped"
    )
    assert box.tree() == {}
    assert f"disable --quiet --now {UNIT}" in box.calls()
    wanted = second(box, ready="exit 1", extra_units=("x.timer",))
    box.run(Change("x", (*wanted.items, timer), wanted.unit, ("x.timer",), ready="exit 1", ready_seconds=0))
    assert "disable --quiet --now x.timer" in box.calls()
    assert not (box.fake / "enabled.x.timer").exists() and box.tree() == {}


def test_a_timer_runs_when_it_is_wanted_and_stops_when_it_is_not(box: Sandbox) -> None:
    deployed(box)
    timer = box.file("x.timer", "timer\n", "none")
    assert box.run(altered(box, timer, extra_units=("x.timer",))).code == 0
    assert box.calls() == ["enable --quiet --now x.timer"]
    assert box.run(altered(box, timer, stopped_units=("x.timer",))).code == 0
    assert box.calls() == ["disable --quiet --now x.timer"]


def test_nothing_staged_is_said(box: Sandbox) -> None:
    assert box.run().sentence == "x: nothing is staged"


def test_what_another_operator_stages_meanwhile_is_neither_used_nor_lost(box: Sandbox) -> None:
    deployed(box)
    box.stage(box.change(box.file("main.conf", "another operator's\n")), "R2")
    assert box.run(box.change(box.file("main.conf", "two\n")), "R1").code == 0
    assert box.running() == "two\n"
    assert box.run(None, "R2").code == 0
    assert box.running() == "another operator's\n"


def test_a_folder_in_the_way_is_named_before_anything_changes(box: Sandbox) -> None:
    (box.etc / "main.conf").mkdir()
    (box.etc / "main.conf" / "kept").write_text("kept\n")
    done = box.run(box.change(box.file("main.conf", "one\n")))
    assert (done.code, done.sentence) == (1, f"x: {box.etc}/main.conf is a folder; no file had been changed")
    assert (box.etc / "main.conf" / "kept").read_text() == "kept\n"
    assert not list((box.state / "staged").iterdir()), "what was staged may be secret"


def test_a_component_without_a_service_only_writes(box: Sandbox) -> None:
    done = box.run(box.change(box.file("main.conf", "one\n"), unit=""))
    assert (done.code, box.calls()) == (0, [])
    done = box.run(box.change(box.file("main.conf", "two\n"), unit="", check="exit 1"))
    assert done.sentence == "x: the new files did not pass their check; the previous files were put back"
