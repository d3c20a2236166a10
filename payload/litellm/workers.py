#!/usr/bin/python3
"""Count the gateway's workers that finished starting: exit 0 when all of them have, and none is older than its config.

    workers.py UNIT COUNT CONFIG FOLDER

LiteLLM's own readiness answers from any one worker, so a worker that hangs while it starts is not noticed by it.
Every worker that has finished leaves a file in FOLDER (litellm_serving.py), named by its number where it runs: in a
container that is another one than here. One that only ends the requests it has says so there and does not count: a
stream may go on for minutes with the configuration it began with. Runs as root with the system's Python.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
# What Docker puts before the program of a container, to reap its orphans.
INIT = "docker-init"


@dataclass(frozen=True)
class Process:
    """A process: its parent, and when it began in clock ticks since boot."""

    pid: int
    parent: int
    began: int
    command: bytes
    name: str = ""


def processes() -> list[Process]:
    found = []
    for folder in PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            name, _, rest = (folder / "stat").read_text().partition("(")[2].rpartition(")")
            fields = rest.split()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue  # it has just ended
        found.append(Process(int(folder.name), int(fields[1]), int(fields[19]), command, name))
    return found


def since_epoch(ticks: int) -> float:
    """Clock ticks since boot as seconds since the epoch, to about a second."""
    boot = next(int(line.split()[1]) for line in (PROC / "stat").read_text().splitlines() if line[:5] == "btime")
    return boot + ticks / os.sysconf("SC_CLK_TCK")


def inside(pid: int) -> str:
    """The number of a process in the container it runs in; the same where it runs in none."""
    lines = (PROC / str(pid) / "status").read_text().splitlines()
    return next((line.split()[-1] for line in lines if line.startswith("NSpid:")), str(pid))


def note(process: Process, folder: Path) -> str:
    """When the process that wrote the note began, that with `ending` before it, or nothing."""
    try:
        return (folder / inside(process.pid)).read_text().strip()
    except OSError:
        return ""


def output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        return ""


def main_pid(unit: str) -> int:
    """The main process of a unit, or of the container that the unit has started; 0 where it does not run."""
    container = output("docker", "ps", "--quiet", "--filter", f"label=portcullis.unit={unit}")
    if container:
        return int(output("docker", "inspect", "--format", "{{.State.Pid}}", container) or 0)
    return int(output("systemctl", "show", "-p", "MainPID", "--value", unit) or 0)


def main() -> int:
    unit, count, config, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
    master = main_pid(unit)
    if not master:
        print(f"{unit} does not run")
        return 1
    running = processes()
    known = {process.pid: process for process in running}
    if master in known and known[master].name == INIT:
        master = next((process.pid for process in running if process.parent == master), 0)
    command = known[master].command if master in known else b""
    # gunicorn forks its workers, so they have the master's own command line; other children have not.
    workers = [process for process in running if process.parent == master and process.command == command]
    notes = {process: note(process, folder) for process in workers}
    changed = config.stat().st_mtime
    done = [process for process in workers if notes[process] == str(process.began)]
    ending = [process for process in workers if notes[process] == f"ending {process.began}"]
    old = [process for process in done if since_epoch(process.began) + 1 < changed]
    good = len(done) - len(old)
    hung = len(workers) - len(done) - len(ending)
    print(f"{good} of {count} workers finished starting", end="")
    print(f", {hung} have not" if hung else "", end="")
    print(f", {len(old)} are older than {config}" if old else "", end="")
    print(f", {len(ending)} more end the requests they have" if ending else "")
    return 0 if good == count and not hung and not old else 1


if __name__ == "__main__":
    sys.exit(main())
