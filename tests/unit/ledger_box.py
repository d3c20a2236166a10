"""The sandbox with the ledger's real program: whole runs in it, and going back, as deploys/operations.py does both."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from deploys.lib.bundle import Change
from deploys.lib.component import ConfigFile, Link, Provision
from deploys.lib.provenance import body
from tests.unit.ledger_server import served
from tests.unit.sandbox import UNIT, Done, Sandbox

# Every Debian package this host has, as `$FAKE/packages` says it.
DPKG = '#!/bin/sh\n[ "$1" != -S ] || exit 1\ncat "$FAKE/packages"\n'


def run_id(number: int) -> str:
    """A run's name; a later one sorts after an earlier one."""
    return f"20260101T0000{number:02d}Z-{number:04x}"


class LedgerBox(Sandbox):
    """``backups`` is the ledger's folder; components are `x`, with a service, and `y`, which only has a file."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        (self.fake / "bin" / "dpkg-query").write_text(DPKG)
        (self.fake / "bin" / "dpkg-query").chmod(0o755)
        self.packages(curl="8.1-1")
        self.steps = 0
        for version in (1, 2, 3):
            (root / "opt" / str(version)).mkdir(parents=True)

    def packages(self, **versions: str) -> None:
        lines = [f"ii \t{name}\t{version}\n" for name, version in versions.items()]
        (self.fake / "packages").write_text("".join(lines) + "rc \tremoved\t1-1\n")

    def version(self, number: int, *more: ConfigFile | Link, main: int = 0, **how: Any) -> Change:
        """Version ``number`` of `x`; with ``main`` as that version, but for the line that says what made its files."""
        mark = f"# Managed by Portcullis from x.j2; edit that\n# Portcullis revision {number:012d}, input abc\n"
        made, number = number, main or number
        stated = {
            "ready": self.serves(f"main {number}"),
            "note": json.dumps({"revision": f"{made:012d}", "input": "abc", "version": f"echo '{number}.0 of x'"}),
            **how,
        }
        items = (
            self.file(UNIT, f"{mark}unit\n"),
            self.file("main.conf", f"{mark}main {number}\n", mode="0640" if number % 2 else "0600"),
            self.file("key.env", f"{mark}API_KEY=secret-value-{number}\n", mode="0600", secret=True),
            self.file("note.conf", f"{mark}this stays\n", "none"),
            self.link("current", f"{self.root}/opt/{number}"),
        )
        return self.change(*items, *more, **stated)

    def beside(self, text: str) -> Change:
        """What `y` wants: one file, and no service."""
        return dataclasses.replace(self.change(self.file("y.conf", text), unit=""), component="y")

    def told(self, name: str, what: str, stdin: str = "") -> Provision:
        """Something a service is told: it lands in a file of its own, with a line in `$FAKE/told` for each time."""
        place = self.fake / f"knows.{name}"
        command = f"cat >/dev/null; echo {what} >{place}; echo '{name} {what}' >>{self.fake}/told"
        return Provision(name, f"grep -qx {what} {place}", command, SecretStr(stdin) if stdin else None)

    def tellings(self) -> list[str]:
        path = self.fake / "told"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def hold(self, run: str, kind: str = "deploy", keep_runs: int = 30, keep_days: int = 36500) -> None:
        """Give ``run`` the lock of this host."""
        lock = {"run": run, "kind": kind, "who": "ada@desk", "machine": "desk 1", "revision": "abc", "command": "site"}
        kept = {"root": str(self.backups), "keep_runs": keep_runs, "keep_days": keep_days}
        (self.root / "lock").write_text(json.dumps({**lock, **kept}) + "\n")

    def ledger(self, *words: str, kill_before: int = 0) -> Done:
        """Run the ledger's program, or until before its changing step ``kill_before``; how far, is in ``steps``."""
        code, out, error, self.steps = served(self.root / "ledger", words, self.environment(), kill_before)
        return Done(code, out, error.strip())

    def told_by(self, *words: str) -> Any:
        """What the ledger's program answers, from its JSON."""
        done = self.ledger(*words)
        assert (done.code, done.sentence) == (0, ""), done
        return json.loads(done.out)

    def listed(self) -> dict[str, dict[str, Any]]:
        return {entry["run"]: entry for entry in self.told_by("list", str(self.backups))}

    def plan(self, target: str, only: str = "") -> dict[str, Any]:
        found: dict[str, Any] = self.told_by("plan", str(self.backups), target, only)
        return found

    def deploy(self, run: str, *changes: Change, keep_runs: int = 30) -> None:
        """A whole run that puts ``changes`` in place, to a good end."""
        self.hold(run, keep_runs=keep_runs)
        for change in changes:
            assert self.ledger("begin", run, change.component).code == 0
            done = self.run(change, run)
            assert (done.code, done.sentence) == (0, ""), done
        self.end(run)

    def end(self, run: str, outcome: str = "done", problem: str = "") -> None:
        done = self.ledger("end", run, outcome, *([problem] if problem else []))
        assert (done.code, done.sentence) == (0, ""), done

    def go_back(self, target: str, run: str, only: str = "") -> dict[str, Done]:
        """Go back to ``target`` as a run of its own; how it went, by component. Empty when nothing had to change."""
        self.hold(run, "rollback")
        plan = self.plan(target, only)
        assert plan["problems"] == [], plan
        went: dict[str, Done] = {}
        for part in plan["components"]:
            name = part["component"]
            assert self.ledger("begin", run, f"{name} back to {plan['run']}").code == 0
            staged = self.state / "staged" / f"{name}.{run}"
            assert self.ledger("stage", str(self.backups), plan["run"], name, str(staged)).code == 0
            went[name] = self.run(None, run, component=name)
            if went[name].code == 0 and (said := self.ledger("tell", str(self.backups), plan["run"], name)).code:
                went[name] = said
        self.end(run, "done" if all(done.code == 0 for done in went.values()) else "failed")
        return went

    def whole(self) -> str:
        """A digest of every managed path (kind, mode, contents), of what runs, and of what the service has read."""
        units = sorted(path.name for path in self.fake.glob("active.*") if path.read_text() == "active\n")
        units += sorted(path.name for path in self.fake.glob("enabled.*"))
        return hashlib.sha256(repr((self.tree(), units, body(self.running()))).encode()).hexdigest()

    def links(self) -> dict[str, Path]:
        """Where each component's link in `served` points."""
        return {path.name: path.readlink() for path in (self.state / "served").iterdir() if path.is_symlink()}
