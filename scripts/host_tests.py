"""The tests that need hosts, in two rows: the second begins when the first has left what measures seconds.

From there on they run side by side, each with labs of its own, because much of each is waiting for a host. The last
lines are what failed and why, since of a long run often only the end is kept. Ends with 1 when one of the two did not
pass.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOSTS = "tests/host/lab"
SECOND = [f"{HOSTS}/test_{name}.py" for name in ("interrupted", "backups", "compose", "switch")]
# Asked for by name: backups in an S3 store, minutes of waiting until hosts put back what shut everybody out, until
# images are built again or on five hosts, while many clients ask, of runs that are killed after each operation.
NAMED = (
    "killed",
    "store",
    "firewall",
    "hardening",
    "scores",
    "strictness",
    "lockout",
    "first_switch",
    "shipping",
    "inside",
    "edge",
    "edge_traffic",
    "edge_upgrade",
    "edge_acme",
    "canary",
    "rotation",
    "split_contained",
)
BY_NAME = [f"{HOSTS}/test_{name}.py" for name in NAMED]
ROWS = {
    "first": ["tests/lab", HOSTS, *(f"--ignore={path}" for path in [*SECOND, *BY_NAME])],
    "second": SECOND,
}
WIDTH = max(map(len, ROWS))
# Of the tests before this one some allow a few seconds for what takes one when nobody else is at work.
FREE_FROM = f"{HOSTS}/test_refusals.py"
# How pytest's summary names what did not pass; its reasons are cut at the width of the screen.
FAILED = re.compile(r"(FAILED|ERROR) tests/\S+")
REASON = 600
# What fills a line of that width: between a test's name and its share, or on both sides of a title.
PADDING = re.compile(r"([ =_-])\1{49,}")
SHORTER = r"\1" * 5


def start(name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-u", "-m", "pytest", *ROWS[name], "-v", "--durations=25", *sys.argv[1:]]
    wide = {**os.environ, "COLUMNS": str(REASON)}
    return subprocess.Popen(command, cwd=ROOT, env=wide, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def follow(name: str, run: subprocess.Popen[str], free: threading.Event, failed: list[str]) -> None:
    """Show what a row says and keep what failed; ``free`` is set when it is where the other may begin, or over."""
    assert run.stdout is not None
    with run.stdout:
        for line in run.stdout:
            if line.startswith(FREE_FROM):
                free.set()
            if line.strip():
                print(f"{name:{WIDTH}} | {PADDING.sub(SHORTER, line.rstrip())}", flush=True)
            if FAILED.match(line):
                failed.append(line.strip()[:REASON])
    free.set()


def main() -> int:
    # Both rows need them, and only one may make them.
    make = [sys.executable, "scripts/make_secrets.py", "inventories/lab.py"]
    subprocess.run(make, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    began, free, runs, watchers = time.monotonic(), threading.Event(), {}, []
    failed: list[str] = []
    try:
        for name in ROWS:
            runs[name] = start(name)
            watchers.append(threading.Thread(target=follow, args=(name, runs[name], free, failed)))
            watchers[-1].start()
            free.wait()
        codes = {name: run.wait() for name, run in runs.items()}
    except BaseException:
        for run in runs.values():
            run.terminate()
        raise
    for watcher in watchers:
        watcher.join()
    words = ", ".join(f"the {name} row {'passed' if not code else f'failed ({code})'}" for name, code in codes.items())
    print(f"{words}, in {time.monotonic() - began:.0f} s", *failed, sep="\n", flush=True)
    # A row that was killed has a number below zero.
    return int(any(codes.values()))


if __name__ == "__main__":
    sys.exit(main())
