"""Debian packages that a control wants, or does not want: what came with one goes, what it has changed comes back."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import re
from functools import cache
from typing import Any

from harden_kinds import run, waiting
from harden_state import STATE, Item, at, copy, look, part_of, put_back, write
from harden_system import must

# What is in /etc before an installation that was cut off; removed when it is over.
SNAPSHOT = STATE / "etc.json.gz"
# A line for each account or group: others may have come since.
ACCOUNTS = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid")
APT = (
    "apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Options::=--force-confdef",
    "-o", "Dpkg::Options::=--force-confold", "--no-install-recommends",
)  # fmt: skip
# What etckeeper keeps there, and changes at each installation: put back in part, its repository would be broken.
KEEPERS = (".git", ".hg", ".bzr", "_darcs", ".etckeeper")
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}


@cache
def installed() -> dict[str, str]:
    """Versions of all packages that are completely installed."""
    lines = must("dpkg-query", "-W", "-f", "${db:Status-Status}\t${Package}\t${Version}\n").splitlines()
    return {name: version for status, name, version in (line.split("\t") for line in lines) if status == "installed"}


def tree() -> dict[str, Item]:
    """All of /etc, as `copy` has it, but what keeps its history."""
    root = at("/etc")
    found = {}
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in KEEPERS]
        files = [name for name in files if name not in KEEPERS]
        for name in (*folders, *files):
            path = root.__class__(folder) / name
            found[f"/etc/{path.relative_to(root)}"] = copy(path)
    return found


def digest(found: Item) -> str:
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def forget() -> None:
    """Remove how /etc was before an installation, which is good for that one alone: secrets are in it, and it ages."""
    SNAPSHOT.unlink(missing_ok=True)


def own(items: dict[str, Item]) -> None:
    """Note which packages came with each item, and not with another one: those that were not there right before it."""
    done = [was for was in items.values() if was["item"]["kind"] == "package" and was.get("after")]
    for was in done:
        if "came" in was["after"]:
            continue
        there, earlier = {*was["after"]["all"]}, was.pop("then", None)
        if earlier is None:
            # The program of before has noted them once, ahead of all packages: what was there when another one had been
            # installed came with that.
            others = [{*other["after"]["all"]} for other in done]
            earlier = {*was["before"]["all"]}.union(*(found for found in others if found < there))
        was["after"]["came"] = sorted(there - {*earlier})


class Package:
    """A package that is installed, or with ``absent`` is not: ``name``."""

    def key(self, item: Item) -> str:
        return f"package {item['name']}"

    def capture(self, item: Item) -> Any:
        there = installed()
        return {"version": there.get(item["name"], ""), "all": [] if item.get("absent") else sorted(there)}

    def ahead(self, item: Item) -> Any:
        """All packages right before the installation: what comes with it is told from that."""
        return None if item.get("absent") else sorted(installed())

    def wrong(self, item: Item) -> str:
        there = item["name"] in installed()
        if item.get("absent"):
            return f"{item['name']} is installed" if there else ""
        return "" if there else f"{item['name']} is not installed"

    def apply(self, item: Item) -> None:
        if item.get("absent"):
            self.remove([item["name"]], "remove", [item["name"]])
            return
        STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(SNAPSHOT, gzip.compress(json.dumps({"for": item["name"], "etc": tree()}).encode(), 1), 0o600)
        if not re.search(r"Candidate: \d", run("apt-cache", "policy", item["name"]).stdout):
            must(*APT, "update", seconds=600)
        self.run("install", item["name"])

    def after(self, item: Item) -> Any:
        """What came with the package, and what it has changed in /etc: how that was, and how it is now."""
        if item.get("absent") or not SNAPSHOT.exists() or item["name"] not in installed():
            return None
        said, is_now = json.loads(gzip.decompress(SNAPSHOT.read_bytes())), tree()
        # The program of before has written /etc alone.
        was = said.get("etc", said)
        if said.get("for", item["name"]) != item["name"]:
            return None
        etc = []
        for path in sorted({*was, *is_now}):
            then, now = was.get(path, {"kind": "absent", "missing": []}), is_now.get(path)
            if now is None or digest(then) != digest(now):
                added = []
                if path in ACCOUNTS and now is not None:
                    old = at(path).read_text().splitlines() if path not in was else self.text(then)
                    added = [line for line in self.text(now) if line not in old]
                etc.append({"path": path, "was": then, "is": digest(now) if now else "", "added": added})
        SNAPSHOT.unlink()
        return {"all": sorted(installed()), "etc": etc}

    def text(self, found: Item) -> list[str]:
        return base64.b64decode(found.get("content", "")).decode(errors="replace").splitlines()

    def run(self, *words: str) -> None:
        try:
            # An installation that was cut off, of ours or of somebody else's, is finished first.
            if run("dpkg", "--audit").stdout.strip():
                must("dpkg", "--configure", "-a", "--force-confdef", "--force-confold", seconds=600, **QUIET)
            must(*APT, *words, seconds=900, **QUIET)
        finally:
            installed.cache_clear()

    def remove(self, names: list[str], how: str, allowed: list[str]) -> None:
        """Remove ``names``; not when somebody else's packages would go with them."""
        planned = must(*APT, "-s", how, *names, **QUIET)
        others = set(re.findall(r"^(?:Remv|Purg) (\S+)", planned, re.MULTILINE)) - {*allowed}
        if others:
            raise OSError(f"{', '.join(sorted(others))} would go with {' '.join(names)}")
        if how == "purge":
            self.stop(names)
        self.run(how, *names)

    def undo(self, item: Item, before: Any, after: Any) -> None:
        there = installed()
        if item.get("absent"):
            if before["version"] and item["name"] not in there:
                try:
                    self.run("install", f"{item['name']}={before['version']}")
                except OSError:  # the archive has only a newer one
                    self.run("install", item["name"])
            return
        if before["version"]:
            return
        after = after or {"came": [], "etc": []}
        # Somebody has asked for those by name since.
        kept = {*must("apt-mark", "showmanual").split()} - {item["name"]}
        came = sorted(({item["name"], *after["came"]} & {*there}) - kept)
        if came:
            self.remove(came, "purge", came)
        for change in reversed(after["etc"]):
            if not {*change["path"].split("/")} & {*KEEPERS}:
                self.put_back(change)

    def stop(self, names: list[str]) -> None:
        """End the services of packages that go: not every one does that itself, as unattended-upgrades does not."""
        paths = "".join(run("dpkg-query", "-L", name).stdout for name in names)
        units = set(re.findall(r"/systemd/system/([^/\n]+\.(?:service|timer))$", paths, re.MULTILINE))
        # A template without a name for what it stands for is nothing that runs.
        if own := sorted(unit for unit in units if "@." not in unit):
            run("systemctl", "stop", *waiting(), *own)

    def put_back(self, change: Item) -> None:
        """What the package has left, or changed, as it was; but not what others have changed since."""
        path, was = at(change["path"]), change["was"]
        is_now = copy(path)
        if is_now["kind"] == "absent" and was["kind"] == "absent":
            return
        if was["kind"] == "folder" or (is_now["kind"] == "folder" and was["kind"] == "absent"):
            self.folder(path, was, is_now)
        elif digest(is_now) == change["is"]:
            put_back(path, was)
        elif change["added"]:
            lines = path.read_text().splitlines(keepends=True)
            kept = [line for line in lines if line.rstrip("\n") not in change["added"]]
            found = look(path)
            write(path, "".join(kept).encode(), found["mode"], found["uid"], found["gid"])

    def folder(self, path: Any, was: Item, is_now: Item) -> None:
        if was["kind"] == "absent":
            part_of(path).unlink(missing_ok=True)
            if not any(path.iterdir()):
                path.rmdir()
        elif is_now["kind"] == "absent":
            path.mkdir()
            os.chown(path, was["uid"], was["gid"])
            path.chmod(was["mode"])
