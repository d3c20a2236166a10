"""What cannot be undone: it keeps nothing else, is named at the end of every run, and ends when somebody says so."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deploys.components.hardening import component
from deploys.components.hardening.component import COMMAND, HARDENING, LEFT, PROGRAM
from tests.unit import site
from tests.unit.hardened import SSH, Host, file, here, mode


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def stuck(host: Host) -> None:
    """Where something of ours was, somebody has put something that cannot go."""
    host.at("/etc/new").unlink()
    host.put("/etc/new/kept", "")


@pytest.mark.parametrize(
    ("noted", "unit", "undone"),
    [
        (False, "", True),
        (True, "inactive", True),
        (True, "active", False),
        (True, "failed", False),
    ],
)
def test_one_item_that_stays_does_not_bring_back_the_others(
    tmp_path: Path, noted: bool, unit: str, undone: bool
) -> None:
    """Ready means that the unit has come to its end: a switch that is not ready would put it, and all, back."""
    left = tmp_path / "first.json"
    if noted:
        left.write_text('{"errors": {"mode /x": "cannot be undone: no"}}')
    (tmp_path / "systemctl").write_text(f'#!/bin/sh\n[ "$1" = "is-{unit}" ]\n')
    (tmp_path / "systemctl").chmod(0o755)
    command = HARDENING.ready(here(level="off")).replace(LEFT, str(left))
    done = subprocess.run(["sh", "-c", command], env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert (done.returncode == 0) == undone


def test_a_host_that_is_not_hardened_has_the_program_while_something_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    off = here(level="off")
    (remark,) = HARDENING.remarks(off)
    assert remark.command == f"[ ! -e {LEFT} ] || {PROGRAM} left"
    for noted in (False, True):
        monkeypatch.setattr(component, "noted", lambda noted=noted: noted)
        calls = site.recorded(HARDENING, off, monkeypatch)
        assert (PROGRAM in [arguments.get("dest") for _, arguments in calls]) == noted
        assert [arguments["command"] for _, arguments in calls if COMMAND in arguments.get("command", "")] == (
            [f"ln -sfnT {PROGRAM} {COMMAND}"] if noted else []
        )


def test_the_rest_is_undone_and_what_stays_is_named_with_what_ends_it(host: Host) -> None:
    host.run("apply", items=[file("/etc/new", "x"), file(SSH, "LogLevel VERBOSE", service="ssh")])
    command = host.at(COMMAND)
    command.parent.mkdir(parents=True)
    command.symlink_to("/nowhere/harden.py")
    stuck(host)
    host.run("undo")
    (host.state / "plan.json").unlink()
    assert not host.at(SSH).exists()
    code, said = host.run("left")
    assert code == 1 and said.startswith("file /etc/new: cannot be undone: ") and len(said.splitlines()) == 1
    assert said.endswith(
        "; to let it stay: portcullis-hardening forget 'file /etc/new'; to try again: portcullis-hardening undo\n"
    )
    assert host.run("forget", "file /etc/new") == (0, "") and host.run("left") == (0, "")
    assert not (host.state / "hardening" / "first.json").exists() and not command.is_symlink()


def test_the_last_line_which_a_deploy_shows_counts_the_others(host: Host) -> None:
    host.run("apply", items=[file("/etc/new", "x"), file("/etc/other", "y")])
    stuck(host)
    host.at("/etc/other").unlink()
    host.put("/etc/other/kept", "")
    host.run("apply", items=[])
    first, last = host.run("left")[1].splitlines()
    assert first.startswith("file /etc/new: ") and last.startswith("file /etc/other: ")
    assert " (and 1 more: portcullis-hardening left); to let it stay: " in last and "undo" not in last.split(";")[-1]


def test_an_error_of_what_was_never_noted_does_not_stay_for_ever(host: Host) -> None:
    host.run("apply", items=[{"kind": "insert", "path": "/etc/ssh", "line": "x", "after": "y"}, mode("/etc", "0700")])
    assert host.run("check")[0] == 1
    host.run("undo")
    assert not (host.state / "hardening" / "first.json").exists()
