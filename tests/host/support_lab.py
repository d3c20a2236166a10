"""Runs of pyinfra against a lab, and a way to cut one off at a chosen moment."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploys.components import health
from deploys.lib import runtime
from deploys.lib.render import ROOT
from tests.host.support import PYINFRA, Server, debug_inventory, servers

INVENTORY = "inventories/lab.py"
SITE, VERIFY, AUDIT = "deploys/site.py", "deploys/verify.py", "deploys/audit.py"
# Nothing that takes longer may be silent.
SILENT_SECONDS = 20.0
COLOUR = re.compile(r"\x1b\[[0-9;]*m")

_how: list[Callable[[str], None]] = [print]


def say(line: str) -> None:
    """A line about progress, for the person who waits."""
    _how[-1](line)


def announce(how: Callable[[str], None]) -> None:
    """From now on lines about progress go to ``how``."""
    _how.append(how)


@dataclass(frozen=True)
class Run:
    """A finished run of pyinfra: its exit status, what it said, how long it took, its results as JSON."""

    status: int
    log: str
    seconds: float
    results: Mapping[str, Any]

    @property
    def totals(self) -> Mapping[str, int]:
        found: Mapping[str, int] = self.results["totals"]
        return found

    @property
    def changed(self) -> list[str]:
        """Operations that changed a host."""
        return [one["name"] for one in self.results.get("operations", ()) if one["success"]]

    @property
    def problem(self) -> str:
        """What changed, and the end of the log, for the message of a failed test."""
        what = f"exit status {self.status} after {self.seconds:.0f} s, changed: {self.changed}"
        return f"{what}\n{self.log[-3000:]}"


class Running:
    """A run of pyinfra that goes on; its log can be watched, and it can be cut off."""

    def __init__(
        self, lab: str, deploy: str = SITE, *options: str, inventory: str = INVENTORY, cwd: Path = ROOT,
        environment: Mapping[str, str] | None = None, **data: object,
    ) -> None:  # fmt: skip
        command = [str(PYINFRA), inventory, deploy, "-y", "--json", *options]
        for name, value in data.items():
            command += ["--data", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
        self.began = time.monotonic()
        self._out, self._log = tempfile.TemporaryFile("w+"), tempfile.NamedTemporaryFile("r", suffix=".log")  # noqa: SIM115
        with open(self._log.name, "w") as log:
            self._process = subprocess.Popen(
                command, stdout=self._out, stderr=log, stdin=subprocess.DEVNULL, cwd=cwd, start_new_session=True,
                env={**os.environ, "PORTCULLIS_LAB": lab, "PYINFRA_PROGRESS": "off", **(environment or {})},
            )  # fmt: skip
        self.shown = time.monotonic()

    @property
    def log(self) -> str:
        return COLOUR.sub("", Path(self._log.name).read_text(errors="replace"))

    @property
    def operation(self) -> str:
        """Name of the operation that was started last."""
        started = re.findall(r"--> Starting (?:serial )?operation: (.*?) *$", self.log, re.MULTILINE)
        return started[-1] if started else "preparing"

    def alive(self) -> bool:
        """Whether the run goes on; from time to time says how far it is."""
        if time.monotonic() - self.shown > SILENT_SECONDS:
            self.shown = time.monotonic()
            say(f"      {self.shown - self.began:.0f} s: {self.operation}")
        return self._process.poll() is None

    def kill(self) -> None:
        """End the run at once with everything it started on this machine: no handler of its own runs."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._close()

    def finish(self, seconds: float = 900) -> Run:
        limit = time.monotonic() + seconds
        try:
            while self.alive():
                if time.monotonic() > limit:
                    raise TimeoutError(f"the run did not end within {seconds:.0f} s: {self.operation}")
                time.sleep(0.2)
        except BaseException:
            # Ctrl-C too: a run nobody waits for would go on changing hosts.
            self.kill()
            raise
        took = time.monotonic() - self.began
        self._out.seek(0)
        text = self._out.read()
        empty = {"operations": [], "totals": {"hosts": 0, "success": 0, "error": 0, "no_change": 0}, "failed_hosts": []}
        results = json.loads(text)["results"] if text.strip().startswith("{") else empty
        run = Run(self._process.returncode, self.log, took, results)
        self._close()
        return run

    def _close(self) -> None:
        self._out.close()
        self._log.close()


def run(lab: str, deploy: str = SITE, *options: str, **more: Any) -> Run:
    """One whole run of pyinfra; further named arguments are data."""
    return Running(lab, deploy, *options, **more).finish()


def hosts_of(lab: str) -> tuple[Server, ...]:
    """The lab's hosts, read anew: their settings may be others than a moment ago."""
    debug_inventory.cache_clear()
    servers.cache_clear()
    return servers(INVENTORY, lab)


def main_pid(server: Server, unit: str) -> int:
    return int(server.out(runtime.main_pid(unit)))


def until(look: Callable[[], object], seconds: float, what: str) -> float:
    """Wait until ``look()`` is true; returns the seconds it took. ``what`` ends the message when it never is."""
    began = shown = time.monotonic()
    while not look():
        now = time.monotonic()
        assert now - began < seconds, f"after {seconds:.0f} s still not so: {what}"
        if now - shown > SILENT_SECONDS:
            shown = now
            say(f"      {now - began:.0f} s: waiting until {what}")
        time.sleep(0.1)
    return time.monotonic() - began


def cut_off(lab: str, server: Server, when: str, then: str = "true", **data: object) -> str:
    """Start a run; once the shell test ``when`` is true on the host, do ``then`` there and kill the run.

    Returns the operation that was cut off. Fails when the run ends without the moment having come.
    """
    ambush: list[str] = []
    tick = "n=$((n + 1)); [ $n -lt 12000 ] || exit 9; sleep 0.02"
    script = f"n=0; while ! ( {when} ) >/dev/null 2>&1; do {tick}; done; {then}"

    def wait() -> None:
        ambush.append(str(server.sh(script, 400).status))

    waiter = threading.Thread(target=wait, daemon=True)
    waiter.start()
    going = Running(lab, **data)  # type: ignore[arg-type]
    while waiter.is_alive() and going.alive():
        time.sleep(0.05)
    if waiter.is_alive():
        done = going.finish()
        raise AssertionError(f"the run ended before `{when}` was true: {done.problem}")
    operation = going.operation
    assert ambush == ["0"], f"the moment `{when}` did not come within 400 s (in {operation!r})"
    assert going.alive(), "the run was over already"
    going.kill()
    return operation


def health_url(server: Server) -> str:
    return health.answer_url(server.here)
