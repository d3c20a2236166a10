"""Entries of the run ledger: begun before a run's first change, ended by one rename, believed only when whole.

An entry is a folder `BACKUP_ROOT/RUN`, for root alone:

    run.json        who, what, when and how it ended; `outcome` is `open` until then
    log             what the run began to do, one line each, written before it was done
    files, absent   what was there before (contents, modes, owners), under its own path
    components/C    everything component C had when the run was over: what going back to this run puts in place
    manifest.json   digests of it all, versions, packages, units: written last, before the outcome
"""

from __future__ import annotations

import grp
import hashlib
import json
import os
import pwd
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

STATE = Path(os.environ.get("PORTCULLIS_STATE", "/var/lib/portcullis"))
TOOLS = Path(os.environ.get("PORTCULLIS_TOOLS", "/usr/local/lib/portcullis"))
Entry = dict[str, Any]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def read(path: Path, otherwise: Any = None) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return otherwise


def write(path: Path, what: Any) -> None:
    """Replace ``path`` by JSON for root alone; a reader, or a host that loses its power, sees the old or the new."""
    part = path.with_name(f".{path.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(json.dumps(what, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def look(path: Path) -> dict[str, str]:
    """What is at ``path``: a link's target, or a file's digest, mode and owner."""
    if path.is_symlink():
        return {"kind": "link", "content": os.readlink(path)}
    if not path.is_file():
        return {"kind": "absent"}
    found = path.stat()
    try:
        names = f"{pwd.getpwuid(found.st_uid).pw_name} {grp.getgrgid(found.st_gid).gr_name}"
    except KeyError:
        names = f"{found.st_uid} {found.st_gid}"
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"kind": "file", "content": content, "mode": f"{found.st_mode & 0o7777:04o}", "owner": names}


def rows(bundle: Path) -> list[list[str]]:
    """Lines of a bundle's files.tsv: kind, mode, user, group, effect, path, target."""
    return [line.split("\t") for line in (bundle / "files.tsv").read_text().splitlines()]


def digest(bundle: Path) -> str:
    """One digest of every file of a bundle and its name."""
    whole = hashlib.sha256()
    for path in sorted(path for path in bundle.rglob("*") if path.is_file()):
        whole.update(f"{path.relative_to(bundle)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return whole.hexdigest()


def output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def packages() -> dict[str, str]:
    """Versions of all installed Debian packages."""
    lines = output("dpkg-query", "-W", "-f", "${db:Status-Abbrev}\t${Package}\t${Version}\n").splitlines()
    parts = [line.split("\t") for line in lines if line.startswith("ii")]
    return {name: version for _, name, version in parts}


def served() -> dict[str, Path]:
    """The bundle of every component that Portcullis has in place, by name."""
    # One that ends in `.part` was about to replace another when its writer was killed.
    links = [path for path in sorted((STATE / "served").glob("*")) if path.is_symlink() and path.suffix != ".part"]
    found = {path.name: path for path in links}
    return {name: path.resolve() for name, path in found.items() if (path / "files.tsv").is_file()}


def units_of(bundle: Path, *keys: str) -> list[str]:
    """Names of a component's units: its own and those beside it, or those of ``keys`` in its plan."""
    plan = dict(line.partition("=")[::2] for line in (bundle / "plan").read_text().splitlines())
    return [name for key in keys or ("unit", "extra_units") for name in plan.get(key, "").strip("'").split()]


def units(bundle: Path) -> dict[str, str]:
    """Whether each unit of a component is enabled and runs."""
    names = units_of(bundle, "unit", "extra_units", "stopped_units")
    return {
        name: f"{output('systemctl', 'is-enabled', name) or 'absent'} {output('systemctl', 'is-active', name)}"
        for name in names
    }


def before(entry: Path, path: str) -> dict[str, str] | None:
    """What was at ``path`` before the run of ``entry`` changed it; None when it did not."""
    if (entry / "absent" / path.lstrip("/")).exists():
        return {"kind": "absent"}
    copy = entry / "files" / path.lstrip("/")
    return look(copy) if copy.is_symlink() or copy.exists() else None


def same_file(source: str, target: str) -> None:
    """Another name for a file; a copy where that cannot be, as for a ``backup_root`` that was moved."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def described(entry: Path, bundle: Path, changed: bool) -> Entry:
    """A component as the manifest has it."""
    note = read(bundle / "provenance.json", {})
    files = []
    for kind, *_, path, _ in rows(bundle):
        if kind != "absent":
            was = before(entry, path)
            files.append({"path": path, **look(Path(path)), **({"before": was} if was else {})})
    version = output("sh", "-c", note["version"]) if note.get("version") else ""
    return {
        "bundle": digest(bundle),
        "changed": changed,
        "version": version.splitlines()[0] if version else "",
        "revision": note.get("revision", "unknown"),
        "input": note.get("input", "unknown"),
        "files": files,
        "units": units(bundle),
    }


def begin(lock: Entry, word: str) -> None:
    """Begin the entry of the run that holds ``lock``, unless it has begun, and note ``word``: what is done next."""
    root, run = Path(lock["root"]), lock["run"]
    entry = root / run
    if not root.parent.is_dir():
        # The way to it is for everyone to pass; only what is in it is for root alone.
        was = os.umask(0o022)
        root.parent.mkdir(parents=True, exist_ok=True)
        os.umask(was)
    entry.mkdir(0o700, parents=True, exist_ok=True)
    if not (entry / "run.json").exists():
        for other in entries(root):
            # Whoever wrote it would hold the lock: nobody will end it any more.
            if other["outcome"] == "open":
                write(root / other["run"] / "run.json", {**other, "outcome": "cut off", "ended": now()})
        write(entry / "packages.json", packages())
        kept = ("run", "kind", "who", "machine", "revision", "command")
        write(entry / "run.json", {**{key: lock.get(key, "") for key in kept}, "began": now(), "outcome": "open"})
    with (entry / "log").open("a") as log:
        log.write(f"{now()}\t{word}\n")


def end(lock: Entry, outcome: str, problem: str) -> None:
    """End the entry of the run that holds ``lock``, if it changed anything."""
    root, run = Path(lock["root"]), lock["run"]
    entry = root / run
    note = read(entry / "run.json")
    if not note or note["outcome"] != "open":
        return
    components = {}
    for name, bundle in served().items():
        own = entry / "components" / name
        changed = own.is_dir()
        if not changed:
            # The same files under another name: an entry is whole whatever becomes of the others.
            shutil.rmtree(own.with_name(f"{name}.part"), ignore_errors=True)
            own.parent.mkdir(exist_ok=True)
            shutil.copytree(bundle, own.with_name(f"{name}.part"), copy_function=same_file)
            own.with_name(f"{name}.part").rename(own)
        components[name] = described(entry, own, changed)
    was, present = read(entry / "packages.json", {}), packages()
    moved = {name: [was.get(name, ""), present.get(name, "")] for name in {**was, **present}}
    moved = {name: versions for name, versions in sorted(moved.items()) if versions[0] != versions[1]}
    write(entry / "manifest.json", {"run": run, "components": components, "packages": moved})
    write(entry / "run.json", {**note, "outcome": outcome, "problem": problem, "ended": now()})
    for name in components:
        link = STATE / "served" / name
        part = link.with_name(f"{name}.part")
        part.unlink(missing_ok=True)
        part.symlink_to(entry / "components" / name)
        part.replace(link)


def entries(root: Path) -> list[Entry]:
    """What the ledger knows of every run, the first one first. A folder without run.json is none of them."""
    found = [read(path) for path in sorted(root.glob("*/run.json"))]
    return [entry for entry in found if entry and (root / entry["run"]).is_dir()]


def damage(root: Path, run: str) -> str:
    """Why an entry cannot be gone back to although it ended well; empty when it is whole."""
    manifest = read(root / run / "manifest.json")
    if not manifest:
        return "its manifest is missing or torn"
    for name, part in manifest["components"].items():
        bundle = root / run / "components" / name
        if not bundle.is_dir() or digest(bundle) != part["bundle"]:
            return f"what it kept of {name} is not what it wrote"
    return ""


def good(root: Path) -> list[Entry]:
    """Runs that ended well and can be gone back to, the first one first."""
    return [entry for entry in entries(root) if entry["outcome"] == "done" and not damage(root, entry["run"])]
