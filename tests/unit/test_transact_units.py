"""What transact leaves of a host beside its files: units as they were after a failure, and folders not its own."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from deploys.components import COMPONENTS
from deploys.lib.apply import change_for
from deploys.lib.bundle import Change
from deploys.lib.component import ConfigFile, Link
from deploys.lib.render import ROOT
from deploys.lib.transaction import PROGRAM, UNDO_SECONDS, calendar_checks, program_folder
from deploys.switch import switch
from tests.unit import site
from tests.unit.sandbox import UNIT, Sandbox

TIMERS = ("wanted.timer", "unwanted.timer")


def with_timers(root: Path) -> Sandbox:
    """A host with the first version, one timer that is off and one that is on."""
    made = Sandbox(root)
    assert made.run(version(made, "one"), "R0").code == 0
    for timer in TIMERS:
        (made.units / timer).write_text("timer\n")
    turn(made, UNIT, True)
    turn(made, "wanted.timer", False)
    turn(made, "unwanted.timer", True)
    made.calls()
    return made


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    return with_timers(tmp_path)


def version(box: Sandbox, main: str, **more: object) -> Change:
    items: tuple[ConfigFile, ...] = (box.file("main.conf", f"{main}\n"), box.file(UNIT, "unit\n"))
    return box.change(*items, **{"ready": box.serves(main), **more})  # type: ignore[arg-type]


def turn(box: Sandbox, unit: str, on: bool) -> None:
    (box.fake / f"active.{unit}").write_text("active\n" if on else "inactive\n")
    if on:
        (box.fake / f"enabled.{unit}").write_text("")
    else:
        (box.fake / f"enabled.{unit}").unlink(missing_ok=True)


def units(box: Sandbox) -> dict[str, tuple[bool, str]]:
    """Whether each unit is enabled, and its state."""
    return {
        unit: ((box.fake / f"enabled.{unit}").exists(), (box.fake / f"active.{unit}").read_text().strip())
        for unit in (UNIT, *TIMERS)
    }


def swapped(box: Sandbox, main: str, **more: object) -> Change:
    """A version that wants the one timer and not the other."""
    return version(box, main, extra_units=("wanted.timer",), stopped_units=("unwanted.timer",), **more)


@pytest.mark.parametrize("main", ["dies", "two"])
def test_units_that_a_failed_version_switched_on_or_off_are_as_they_were(box: Sandbox, main: str) -> None:
    turn(box, UNIT, False)
    (box.fake / f"active.{UNIT}").write_text("active\n")  # started by hand, not enabled
    before = units(box)
    done = box.run(swapped(box, main, ready="exit 1"))
    assert done.code == 1 and units(box) == before
    assert {"enable --quiet --now wanted.timer", "disable --quiet --now unwanted.timer"} <= set(box.calls())
    assert not list((box.state / "pending").iterdir())


def test_units_are_as_they_were_although_no_file_differed(box: Sandbox) -> None:
    before = units(box)
    done = box.run(swapped(box, "one", ready="echo no; exit 1"))
    assert done.sentence == "x: not ready after 0 s: no; no file had been changed"
    assert units(box) == before and not list((box.state / "pending").iterdir())


def test_a_version_that_serves_keeps_its_units(box: Sandbox) -> None:
    assert box.run(swapped(box, "two")).code == 0
    assert units(box) == {
        UNIT: (True, "active"),
        "wanted.timer": (True, "active"),
        "unwanted.timer": (False, "inactive"),
    }


def test_a_backup_folder_that_was_there_is_not_closed_to_others(box: Sandbox, tmp_path: Path) -> None:
    there = tmp_path / "var"
    there.mkdir(mode=0o755)
    there.chmod(0o755)
    assert box.run(version(box, "two"), backups=there).code == 0
    assert oct(there.stat().st_mode & 0o777) == "0o755", "closed, everything below it would be lost to its users"
    assert oct((there / "R1").stat().st_mode & 0o777) == "0o700", "copies may be of secrets"


def test_a_backup_folder_is_made_for_root_and_the_way_to_it_for_all(box: Sandbox, tmp_path: Path) -> None:
    assert box.run(version(box, "two"), backups=tmp_path / "new" / "backups").code == 0
    modes = [oct(path.stat().st_mode & 0o777) for path in (tmp_path / "new", tmp_path / "new" / "backups")]
    assert modes == ["0o755", "0o700"]


def test_a_backup_folder_that_cannot_be_made_is_said(box: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = box.run(version(box, "two"), backups=tmp_path / "file")
    assert done.code == 1
    assert done.sentence.splitlines()[-1] == f"x: cannot make the folder {tmp_path}/file/R1; no file had been changed"
    assert (box.etc / "main.conf").read_text() == "one\n"


def test_another_version_of_the_program_has_another_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # A shell reads its script while it runs it; what a killed run left at work must not find another in its place.
    before = program_folder.__wrapped__()
    copies = [tmp_path / path.name for path in PROGRAM]
    for copy, path in zip(copies, PROGRAM, strict=True):
        copy.write_text(path.read_text())
    monkeypatch.setattr("deploys.lib.transaction.PROGRAM", tuple(copies))
    assert program_folder.__wrapped__() == before
    for copy in copies:
        copy.write_text(f"{copy.read_text()}# changed\n")
        assert program_folder.__wrapped__() != before
        before = program_folder.__wrapped__()


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("[Timer]\nOnCalendar=*-*-* 03:30:00\nOnCalendar=Sun 04:00\n", 0, ""),
        (
            "[Timer]\nOnCalendar=daily\nOnCalendar=quarter to 'nine'\n",
            1,
            "/etc/systemd/system/x.timer: \"quarter to 'nine'\" is no time that systemd understands; see: man systemd.time",  # noqa: E501
        ),
        ("[Timer]\nOnBootSec=5min\nOnCalendar=\n", 0, ""),
    ],
)
def test_a_timer_with_a_time_that_systemd_does_not_understand_fails_its_check(
    text: str, status: int, said: str, tmp_path: Path
) -> None:
    program = tmp_path / "systemd-analyze"
    program.write_text('#!/bin/sh\necho "Original form: $2"; case $2 in *nine*) exit 1 ;; esac\n')
    program.chmod(0o755)
    checks = calendar_checks(
        [ConfigFile("/etc/a", ""), Link("/etc/b.timer", "/etc/c"), ConfigFile("/etc/systemd/system/x.timer", text)]
    )
    script = "\n".join(["set -e", *checks])
    done = subprocess.run(
        ["sh", "-c", script], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip()) == (status, said)
    assert calendar_checks([ConfigFile("/etc/x.conf", text)]) == []


def test_every_timer_of_a_component_is_checked_before_it_is_enabled() -> None:
    here, found = site.whole(), 0
    for component in COMPONENTS:
        change = change_for(component, here)
        for item in change.items:
            if isinstance(item, ConfigFile) and "\nOnCalendar=" in item.text:
                found += 1
                assert [line for line in change.check if line.startswith("systemd-analyze") and item.path in line]
    assert found, "the gateway's are recycled by one"


@pytest.mark.parametrize(("name", "packaged"), [("x.service", "x.service"), ("x@1-main.service", "x@.service")])
def test_a_unit_of_a_package_is_gone_back_to_where_one_of_ours_stood_over_it(
    tmp_path: Path, name: str, packaged: str
) -> None:
    box = Sandbox(tmp_path)
    (tmp_path / "packaged").mkdir()
    (tmp_path / "packaged" / packaged).write_text("the package's own\n")
    first = box.change(box.file("main.conf", "one\n"), unit=name, ready=box.serves("one"))
    assert box.run(first, "R0").code == 0
    box.calls()
    over = (box.file("main.conf", "dies\n"), box.file(name, "over it\n"))
    done = box.run(box.change(*over, unit=name, ready=box.serves("dies")))
    assert done.sentence.endswith(f"; the previous files were put back and {name} serves with them"), done.sentence
    assert not (box.units / name).exists() and "one" in box.running()


def test_whoever_waits_for_an_undoing_waits_longer_than_it_may_take(tmp_path: Path) -> None:
    """Cut off, it would leave a host half undone, and nobody to go on with it."""
    box = Sandbox(tmp_path)
    source = (ROOT / "payload" / "host" / "transact-confirm").read_text()
    (longest,) = map(int, re.findall(r"^back_seconds=(\d+)$", source, re.MULTILINE))
    undo, texts = box.units / "portcullis-undo-x.service", []
    change = box.change(box.file("main.conf", "one\n"), confirm_seconds=1)
    box.run(change, "R1", waits=lambda: texts.append(undo.read_text()))
    assert f"\nTimeoutStartSec={UNDO_SECONDS}\n" in texts[0] and longest + 300 == UNDO_SECONDS
    command = next(switch("x", "R1", "/var/backups/x", 60))
    assert f" -p TimeoutStopSec={UNDO_SECONDS} " in str(command)
