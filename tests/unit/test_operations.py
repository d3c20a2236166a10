"""Our operations as pyinfra runs them: what reaches the host, and what stays out of everything that is shown."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from deploys import facts, operations
from deploys.lib import ledger, steps


def commands(monkeypatch: pytest.MonkeyPatch, answer: bool, **arguments: Any) -> list[Any]:
    noops: list[str] = []
    fake = SimpleNamespace(get_fact=lambda fact, command: answer, noop=noops.append)
    monkeypatch.setattr(operations, "host", fake)
    made = list(operations.unless._inner(**arguments))
    assert bool(noops) is answer
    return made


def test_a_secret_on_standard_input_is_text_on_the_way_to_the_host_only(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = {"test": "false", "command": "psql", "secret_stdin": SecretStr("ALTER ROLE x PASSWORD 'y'")}
    assert "PASSWORD" not in repr(arguments), "what pyinfra keeps and may show"
    (command,) = commands(monkeypatch, False, **arguments)
    assert command.connector_arguments["_stdin"] == "ALTER ROLE x PASSWORD 'y'"
    assert "PASSWORD" not in f"{command!r} {command} {command.get_raw_value()}"


def test_nothing_is_run_when_it_is_already_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert commands(monkeypatch, True, test="true", command="psql", secret_stdin=SecretStr("x")) == []
    noted = ledger.begins("tell it once it answers")
    assert commands(monkeypatch, False, test="false", command="createdb x") == [f"{noted}createdb x"]


def begin(monkeypatch: pytest.MonkeyPatch, operation: Any, **arguments: Any) -> str:
    """The first command of ``operation`` on a host where nothing is done yet."""
    fake = SimpleNamespace(get_fact=lambda fact, **asked: [] if fact is facts.ComponentState else False)
    monkeypatch.setattr(operations, "host", fake)
    monkeypatch.setattr(operations, "watch", lambda unit, folder: None)
    return str(next(operation._inner(**arguments)).get_raw_value())


def test_a_step_that_hangs_ends_before_it_holds_up_the_next_day(monkeypatch: pytest.MonkeyPatch) -> None:
    started = begin(monkeypatch, operations.step, key="x", script="true")
    assert "--unit=portcullis-step-x " in started and " -p RuntimeMaxSec=14400 sh " in started


@pytest.mark.parametrize(
    "simulated", ["Inst docker.io (26)", "Remv podman-docker [5]\nInst docker.io (26)\nRemv kubelet [1]"]
)
def test_nothing_of_somebody_elses_is_removed_for_a_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, simulated: str
) -> None:
    scripts: list[str] = []
    fake = SimpleNamespace(get_fact=lambda fact, names: ["docker.io", "iptables"])
    monkeypatch.setattr(operations, "host", fake)
    monkeypatch.setattr(operations.step, "_inner", lambda script, **other: scripts.append(script) or iter(()))
    list(operations.packages._inner(names=["docker.io", "iptables", "docker-cli"]))
    programs = {"dpkg": "", "apt-get": f'echo "$*" >>calls; case $1 in -s) printf "%s\\n" "{simulated}" ;; esac'}
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["sh", "-euc", scripts[0]], cwd=tmp_path, env=environment, capture_output=True, text=True)
    calls = (tmp_path / "calls").read_text().splitlines()
    installed = [call for call in calls if call.endswith(" install docker.io iptables") and not call.startswith("-s ")]
    if "Remv" in simulated:
        assert (done.returncode, installed) == (1, [])
        assert done.stdout.splitlines() == [
            "docker.io iptables cannot be installed beside kubelet podman-docker, which apt would remove; "
            "remove what nothing needs, or use another host"
        ]
    else:
        assert done.returncode == 0 and len(installed) == 1 and " --no-remove " in installed[0]


def test_a_step_that_is_ended_from_outside_says_so_and_is_not_done(tmp_path: Path) -> None:
    text = steps.step_text("echo begun; sleep 30", str(tmp_path), "0" * 64)
    log = tmp_path / "log"
    with log.open("w") as out:
        unit = subprocess.Popen(["sh", "-c", text], stdout=out, stderr=out, start_new_session=True)
    try:
        limit = time.monotonic() + 10
        while log.read_text() != "begun\n" and time.monotonic() < limit:
            time.sleep(0.02)
        time.sleep(0.2)
        os.killpg(unit.pid, signal.SIGTERM)  # systemd ends every process of a unit
        assert unit.wait(10) == 1
    finally:
        unit.kill()
    assert log.read_text().splitlines()[-1] == (
        "ended from outside before it was over: by systemctl, or because it had taken 4 h"
    )
    assert not (tmp_path / "done").exists()


def test_a_step_that_ends_by_itself_leaves_its_seal(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", steps.step_text('echo "$HOME $DATA"', str(tmp_path), "seal")], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"/root {tmp_path}/data\n")
    assert (tmp_path / "done").read_text() == "seal\n"
