"""The count of finished workers says no for one that hangs, is missing, or is older than the configuration."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploys.lib.render import ROOT

PROGRAM = ROOT / "payload" / "litellm" / "workers.py"
# A master, two workers forked from it as gunicorn does, and a child that is something else. Real processes, because
# /proc is asked about them.
MASTER = """
import os, signal, subprocess, sys, time
workers = []
for _ in range(2):
    worker = os.fork()
    if not worker:
        time.sleep(60)
        os._exit(0)
    workers.append(worker)
other = subprocess.Popen(["sleep", "60"])
print(*workers, flush=True)
sys.stdin.read()
for pid in [*workers, other.pid]:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
"""


@dataclass
class Unit:
    """A running unit in play: its processes, what its workers noted, and its configuration."""

    master: int
    workers: list[int]
    folder: Path

    def finished(self, *pids: int, began: str = "") -> None:
        """Note workers as they do when they finish starting; ``began`` instead of when they really did."""
        for pid in pids:
            ticks = began or Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
            (self.folder / "workers" / str(pid)).write_text(ticks)

    def ending(self, pid: int) -> None:
        self.finished(pid)
        note = self.folder / "workers" / str(pid)
        note.write_text(f"ending {note.read_text()}")

    def main_pid(self, pid: int) -> None:
        path = self.folder / "systemctl"
        path.write_text(f"#!/bin/sh\necho {pid}\n")
        path.chmod(0o755)

    def ask(self, count: int = 2) -> tuple[int, str]:
        environment = {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"}
        arguments = ["litellm.service", str(count), str(self.folder / "config.yaml"), str(self.folder / "workers")]
        done = subprocess.run(
            [sys.executable, str(PROGRAM), *arguments], capture_output=True, text=True, check=False, env=environment
        )
        assert not done.stderr
        return done.returncode, done.stdout.strip()


@pytest.fixture
def unit(tmp_path: Path) -> Iterator[Unit]:
    (tmp_path / "config.yaml").write_text("model_list: []\n")
    (tmp_path / "workers").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", MASTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        made = Unit(process.pid, [int(word) for word in process.stdout.readline().split()], tmp_path)
        made.main_pid(process.pid)
        yield made
        process.communicate("")


def test_all_finished(unit: Unit) -> None:
    unit.finished(*unit.workers)
    assert unit.ask() == (0, "2 of 2 workers finished starting")


def test_one_hangs_while_it_starts(unit: Unit) -> None:
    unit.finished(unit.workers[0])
    assert unit.ask() == (1, "1 of 2 workers finished starting, 1 have not")


def test_one_that_only_ends_its_requests_is_no_worker_any_more(unit: Unit) -> None:
    """A stream may go on for minutes after a reload, with the configuration it began with."""
    unit.finished(unit.workers[0])
    unit.ending(unit.workers[1])
    assert unit.ask(count=1) == (0, "1 of 1 workers finished starting, 1 more end the requests they have")
    assert unit.ask(count=2)[0] == 1


def test_one_never_began(unit: Unit) -> None:
    unit.finished(*unit.workers)
    assert unit.ask(count=3) == (1, "2 of 3 workers finished starting")


def test_a_note_of_an_earlier_process_with_the_same_number_does_not_count(unit: Unit) -> None:
    unit.finished(unit.workers[0])
    unit.finished(unit.workers[1], began="12345")
    assert unit.ask() == (1, "1 of 2 workers finished starting, 1 have not")


def test_a_note_of_a_worker_that_ended_does_not_count(unit: Unit) -> None:
    unit.finished(unit.workers[0])
    unit.finished(2**22 + 1, began="1")
    assert unit.ask()[0] == 1


def test_workers_older_than_the_configuration(unit: Unit) -> None:
    unit.finished(*unit.workers)
    (unit.folder / "config.yaml").write_text("model_list: [changed]\n")
    # They began at most a second after the file was written, and the clock of /proc is coarse.
    os.utime(unit.folder / "config.yaml", (time.time() + 2.2,) * 2)
    status, said = unit.ask()
    assert status == 1 and "2 are older than" in said


def test_the_unit_does_not_run(unit: Unit) -> None:
    unit.main_pid(0)
    assert unit.ask() == (1, "litellm.service does not run")


def test_workers_in_a_container_are_those_of_the_program_behind_its_init(unit: Unit) -> None:
    init = unit.folder / "docker-init"
    init.symlink_to(sys.executable)
    behind = "import subprocess, sys; subprocess.run([sys.argv[1], '-c', sys.argv[2]])"
    command = [str(init), "-c", behind, sys.executable, MASTER]
    docker = unit.folder / "docker"
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        workers = [int(word) for word in process.stdout.readline().split()]
        docker.write_text(f"#!/bin/sh\ncase $1 in ps) echo 0123abcd ;; inspect) echo {process.pid} ;; esac\n")
        docker.chmod(0o755)
        unit.finished(*workers)
        said = unit.ask()
        unit.finished(workers[0], began="1")
        hung = unit.ask()
        process.communicate("")
    assert said == (0, "2 of 2 workers finished starting")
    assert hung == (1, "1 of 2 workers finished starting, 1 have not")
