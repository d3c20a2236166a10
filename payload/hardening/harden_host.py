"""Questions to the host itself: what means nothing here, and which of its programs check a file and read it anew."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from shutil import which
from typing import Any

from harden_kinds import run, said, waiting
from harden_sshd import folder, has_read
from harden_state import First, Item, at


@cache
def container() -> str:
    """The kind of container that this host is, such as `docker`; empty on a machine of its own."""
    found = run("systemd-detect-virt", "--container").stdout.strip()
    return "" if found == "none" else found


def unmet(when: Mapping[str, Any]) -> str:
    """Why a condition of an item does not hold here, in words; empty when all do."""
    for path in when.get("paths", ()):
        if not at(path).exists():
            return f"there is no {path} here"
    for path in when.get("no_paths", ()):
        if at(path).exists():
            return f"there is {path} here"
    for name in when.get("programs", ()):
        if not which(name):
            return f"{name} is not installed here"
    for name in when.get("no_programs", ()):
        if which(name):
            return f"{name} is installed here, and needs it otherwise"
    if when.get("machine") and container():
        return f"this is a container ({container()}), and its machine decides"
    return ""


def valid(service: str, new: Path, path: str) -> str:
    """Why the host's own checker does not take the file ``new``, which will be ``path``; empty when it does."""
    if service == "sudo":
        done = run("visudo", "-c", "-q", "-f", str(new), seconds=20)
    elif service == "ssh":
        # The first value of an option counts, so in front of the whole of it.
        whole = new.with_name("whole")
        whole.write_bytes(new.read_bytes() + b"\n" + at("/etc/ssh/sshd_config").read_bytes())
        folder()
        done = run("sshd", "-t", "-f", str(whole), seconds=20)
    else:
        return ""
    return said(done) if done.returncode else ""


# Programs that read files of a control: which of them, what must be there of the program, how it checks all of its
# files, and how it reads them anew.
SERVICES: dict[str, Item] = {
    "ssh": {
        "files": ["/etc/ssh/sshd_config.d/00-portcullis.conf", "/etc/ssh/moduli", "/etc/ssh/portcullis_*_key.pub"],
        "needs": "sshd",
        "check": ["sshd", "-t"],
        "reload": ["systemctl", "try-reload-or-restart", "ssh.service"],
    },
    "journald": {
        "files": ["/etc/systemd/journald.conf.d/portcullis.conf"],
        "needs": "journalctl",
        "reload": ["systemctl", "restart", "systemd-journald.service"],
    },
    "audit": {
        "files": ["/etc/audit/rules.d/portcullis.rules", "/etc/audit/auditd.conf"],
        "needs": "augenrules",
        "reload": ["augenrules", "--load"],
    },
    "upgrades": {
        "files": ["/etc/systemd/system/apt-daily-upgrade.timer.d/portcullis.conf"],
        "needs": "systemctl",
        "reload": ["sh", "-c", "systemctl daemon-reload && systemctl try-restart apt-daily-upgrade.timer"],
    },
    "sudo": {"files": ["/etc/sudoers.d/portcullis"], "needs": "visudo", "check": ["visudo", "-c", "-q"]},
}
# Through these whoever is locked out comes in again.
DOOR = {"ssh", "sudo"}


class Services:
    """What programs have read last, as digests: a run that was cut off before they read it is made up for."""

    def __init__(self, first: First) -> None:
        self.first = first
        self.earlier: dict[str, list[tuple[Path, bytes | None]]] = {}

    def there(self, name: str) -> bool:
        return which(SERVICES[name]["needs"]) is not None

    def digest(self, name: str) -> str:
        whole = hashlib.sha256()
        for pattern in SERVICES[name]["files"]:
            for path in sorted(at("/").glob(pattern.lstrip("/"))):
                if path.is_file():
                    whole.update(f"{path}\0".encode() + path.read_bytes() + b"\0")
        return whole.hexdigest()

    def remember(self, items: list[Item]) -> None:
        """Keep what is in the files that are about to change: what a program does not take is put back at once."""
        for item in items:
            if item["kind"] == "file" and item.get("service"):
                path = at(item["path"])
                old = path.read_bytes() if path.is_file() else None
                self.earlier.setdefault(item["service"], []).append((path, old))

    def settle(self, concerned: set[str], done_with: set[str]) -> None:
        """Have the programs ``concerned`` read what is new; for the last time those that are ``done_with``.

        One that does not is told again by the next run, and by `left` who is done with it: it goes on with the old.
        """
        for name in sorted(concerned):
            problem = ""
            if self.there(name) and self.first.loaded.get(name) != (digest := self.digest(name)):
                if problem := self.read_anew(name):
                    print(f"{name}: {problem}")
                    self.put_back(name, problem)
                    self.first.errors[f"service {name}"] = f"has not read its files as they are now: {problem}"
                else:
                    self.first.loaded[name] = digest
                    self.first.read = has_read() if name == "ssh" else self.first.read
            if not problem:
                self.first.errors.pop(f"service {name}", None)
            if name in done_with and problem:
                self.first.loaded.setdefault(name, "")
            elif name in done_with:
                self.first.loaded.pop(name, None)

    def read_anew(self, name: str) -> str:
        """Why a program does not take its files, or could not be told of them; empty when it goes on with them."""
        if name == "ssh":
            folder()
        for step in ("check", "reload"):
            if command := SERVICES[name].get(step):
                # Nothing is waited for while the host starts or stops: it would wait for whoever asks.
                options = waiting() if command[0] == "systemctl" else []
                done = run(*command[:2], *options, *command[2:], seconds=60)
                if done.returncode:
                    return f"{' '.join(command)}: {said(done)}"
        print(f"read anew: {name}")
        return ""

    def put_back(self, name: str, problem: str) -> None:
        for path, old in reversed(self.earlier.get(name, [])):
            self.first.errors[f"file /{path.relative_to(at('/'))}"] = problem
            path.unlink(missing_ok=True) if old is None else path.write_bytes(old)

    def behind(self, item: Item) -> str:
        """Why ``item`` is not in effect although its file is right: the program has not read it."""
        name = item.get("service", "")
        if not name or not self.there(name) or self.first.loaded.get(name) == self.digest(name):
            return ""
        return f"{name} has not read its files as they are now"
