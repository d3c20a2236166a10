"""A host whose clock was ahead when its services were started, and was set back: what is written then still arrives."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploys.lib.bundle import Change
from deploys.lib.component import ConfigFile
from deploys.lib.transaction import Found, State, effect, parse, question, reasons
from tests.unit.sandbox import UNIT, Sandbox

READ, TOLD, UNREAD = (ConfigFile(f"/etc/{kind}", "", effect=kind) for kind in ("restart", "reload", "none"))


def state(item: ConfigFile, changed: float, **more: float) -> State:
    """A host on which it is 99, and the service was started at 100."""
    return State({item.path: Found("file", changed=changed)}, **{"started": 100.0, "now": 99.0, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("item", [READ, TOLD])
def test_a_start_that_the_clock_has_yet_to_reach_proves_nothing(item: ConfigFile) -> None:
    change, found = Change("x", (item,), unit="x.service"), state(item, 50)
    assert effect(change, found) == "restart"
    assert "x.service was started later than it is now by the host's clock, which was set back" in reasons(
        change, found
    )
    assert effect(change, dataclasses.replace(found, now=100.0)) == ""
    assert effect(change, dataclasses.replace(found, active=False)) == "start"


def test_a_service_that_reads_no_file_again_is_left_alone() -> None:
    assert effect(Change("x", (UNREAD,), unit="x.service"), state(UNREAD, 50)) == ""


def test_a_reload_that_the_clock_has_yet_to_reach_proves_nothing() -> None:
    change = Change("x", (TOLD,), unit="x.service")
    assert effect(change, state(TOLD, 150, now=160, reloaded=900)) == "reload"
    assert effect(change, state(TOLD, 150, now=160, reloaded=155)) == ""


def test_the_host_says_what_its_clock_has(tmp_path: Path) -> None:
    (tmp_path / "systemctl").write_text("#!/bin/sh\n")
    (tmp_path / "systemctl").chmod(0o755)
    command = ["sh", "-c", question(Change("x", (), unit="x.service"))]
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin", "TZ": "America/New_York"}
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=path).stdout
    assert abs(parse(said.splitlines()).now - time.time()) < 60


@pytest.mark.parametrize("files_too", [True, False])
@pytest.mark.parametrize("kind", ["restart", "reload"])
def test_a_file_written_after_the_clock_was_set_back_reaches_its_service_once(
    tmp_path: Path, kind: str, files_too: bool
) -> None:
    box = Sandbox(tmp_path)

    def version(text: str) -> Change:
        return box.change(box.file("main.conf", text, kind), box.file("other.conf", "same\n"))  # type: ignore[arg-type]

    assert box.run(version("one\n"), "R0").code == 0
    ahead = time.time() + 3600
    for name in ("started", "moved"):
        (box.fake / name).write_text(f"{datetime.fromtimestamp(ahead, UTC):%a %Y-%m-%d %H:%M:%S.%f UTC}\n")
    for name in ("main.conf", "other.conf") if files_too else ():
        os.utime(box.etc / name, (ahead - 5, ahead - 5))
    box.calls()
    assert box.run(version("two\n"), "R1").code == 0
    assert (box.calls(), box.running()) == ([f"restart {UNIT}"], "two\n")
    for run in ("R2", "R3"):
        assert box.run(version("two\n"), run).code == 0
        assert box.calls() == [], "once is enough, whatever time files of before have"


def test_a_service_that_was_stopped_meanwhile_is_started_once(tmp_path: Path) -> None:
    box = Sandbox(tmp_path)
    change = box.change(box.file("main.conf", "one\n"))
    assert box.run(change, "R0").code == 0
    os.utime(box.etc / "main.conf", (time.time() + 3600, time.time() + 3600))
    (box.fake / f"active.{UNIT}").write_text("inactive\n")
    box.calls()
    for run, calls in (("R1", [f"restart {UNIT}"]), ("R2", [])):
        assert box.run(change, run).code == 0
        assert box.calls() == calls
