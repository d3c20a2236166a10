#!/usr/bin/python3
"""Count the gateway's workers that finished starting: exit 0 when all of them have, and none is older than its config.

    workers.py UNIT COUNT CONFIG FOLDER

LiteLLM's own readiness answers from any one worker, so a worker that hangs while it starts is not noticed by it.
Every worker that has finished leaves a file in FOLDER (launch.py). Runs as root with the system's Python.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A process: its parent, and when it began in clock ticks since boot."""

    pid: int
    parent: int
    began: int
    command: bytes


def processes() -> list[Process]:
    found = []
    for folder in PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue  # it has just ended
        found.append(Process(int(folder.name), int(fields[1]), int(fields[19]), command))
    return found


def since_epoch(ticks: int) -> float:
    """Clock ticks since boot as seconds since the epoch, to about a second."""
    boot = next(int(line.split()[1]) for line in (PROC / "stat").read_text().splitlines() if line[:5] == "btime")
    return boot + ticks / os.sysconf("SC_CLK_TCK")


def finished(process: Process, folder: Path) -> bool:
    try:
        return int((folder / str(process.pid)).read_text()) == process.began
    except (OSError, ValueError):
        return False


def main() -> int:
    unit, count, config, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
    shown = subprocess.run(["systemctl", "show", "-p", "MainPID", "--value", unit], capture_output=True, text=True)
    master = int(shown.stdout.strip() or 0)
    if not master:
        print(f"{unit} does not run")
        return 1
    running = processes()
    command = next((process.command for process in running if process.pid == master), b"")
    # gunicorn forks its workers, so they have the master's own command line; other children have not.
    workers = [process for process in running if process.parent == master and process.command == command]
    changed = config.stat().st_mtime
    done = [process for process in workers if finished(process, folder)]
    old = [process for process in done if since_epoch(process.began) + 1 < changed]
    good = len(done) - len(old)
    hung = len(workers) - len(done)
    print(f"{good} of {count} workers finished starting", end="")
    print(f", {hung} have not" if hung else "", end="")
    print(f", {len(old)} are older than {config}" if old else "")
    return 0 if good == count and not hung and not old else 1


if __name__ == "__main__":
    sys.exit(main())
