"""What a host was like before it was hardened: noted ahead of every change, and kept until that is undone."""

from __future__ import annotations

import base64
import grp
import json
import os
import pwd
import stat
from pathlib import Path
from typing import Any

ROOT = Path(os.environ.get("PORTCULLIS_ROOT", "/"))
STATE = Path(os.environ.get("PORTCULLIS_STATE", "/var/lib/portcullis")) / "hardening"
# The program for people; it goes with the plan, or with what was left without one.
COMMAND = "/usr/local/sbin/portcullis-hardening"
# Not in /etc, which looks as it did when all is undone.
PLAN = Path(os.environ.get("PORTCULLIS_PLAN", STATE / "plan.json"))
Item = dict[str, Any]


def at(path: str) -> Path:
    """Where ``path`` of a host is; below another root in tests."""
    return ROOT / path.lstrip("/")


def part_of(path: Path) -> Path:
    """Where the next version of ``path`` is made ready."""
    return path.with_name(f".{path.name}.portcullis")


def write(path: Path, data: bytes, mode: int, uid: int = -1, gid: int = -1) -> None:
    """Replace ``path`` as a whole; a reader, or a host that loses its power, sees the old or the new file."""
    part = part_of(path)
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        if uid >= 0 or gid >= 0:
            os.fchown(file.fileno(), uid, gid)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def look(path: Path) -> Item:
    """Mode and owner of what is at ``path``; ``kind`` is `absent` where nothing is."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return {"kind": "absent"}
    kinds = {stat.S_IFLNK: "link", stat.S_IFREG: "file", stat.S_IFDIR: "folder"}
    kind = kinds.get(stat.S_IFMT(found.st_mode), "other")
    return {"kind": kind, "mode": stat.S_IMODE(found.st_mode), "uid": found.st_uid, "gid": found.st_gid}


def copy(path: Path) -> Item:
    """All that putting ``path`` back needs; where nothing is, the folders on the way that are missing too."""
    found = look(path)
    if found["kind"] == "file":
        found["content"] = base64.b64encode(path.read_bytes()).decode()
    elif found["kind"] == "link":
        found["target"] = os.readlink(path)
    elif found["kind"] == "absent":
        found["missing"] = [str(folder) for folder in path.parents if not folder.exists()]
    return found


def put_back(path: Path, found: Item) -> None:
    """Make ``path`` what ``copy`` has found there, to the last byte, with mode and owner."""
    if found["kind"] == "absent":
        # A run that was killed may have left the other one.
        for left in (path, part_of(path)):
            left.unlink(missing_ok=True)
        for folder in found["missing"]:
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                continue
            except OSError:  # somebody else's files are in it
                break
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if found["kind"] == "file":
        write(path, base64.b64decode(found["content"]), found["mode"], found["uid"], found["gid"])
    elif found["kind"] == "link":
        path.unlink(missing_ok=True)
        path.symlink_to(found["target"])
        os.lchown(path, found["uid"], found["gid"])


def user(name: str) -> int:
    return int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid


def group(name: str) -> int:
    return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid


class First:
    """The first states of a host by item, in the order in which they were noted, and what the last run found wrong."""

    def __init__(self) -> None:
        self.path = STATE / "first.json"
        try:
            said = json.loads(self.path.read_text())
        except FileNotFoundError:
            said = {}
        self.items: dict[str, Item] = said.get("items", {})
        self.errors: dict[str, str] = said.get("errors", {})
        self.refused: dict[str, str] = said.get("refused", {})
        self.loaded: dict[str, str] = said.get("loaded", {})
        # What sshd read last, and when: the next run asks whether somebody has changed its files since.
        self.read: str = said.get("read", "")
        self.saved = json.dumps(said)

    def save(self) -> None:
        """On disk before the change that it is for; no file once nothing is left to undo."""
        said = {"items": self.items, "errors": self.errors, "refused": self.refused, "loaded": self.loaded}
        text = json.dumps({**said, "read": self.read}, indent=1)
        if not (self.items or self.errors or self.refused or self.loaded):
            self.path.unlink(missing_ok=True)
        elif text != self.saved:
            STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
            write(self.path, text.encode() + b"\n", 0o600)
        self.saved = text

    def end(self) -> None:
        """Nothing is asked for any more: what is said of items that are not left is over; and the command, with all."""
        left = {*self.items, *(f"service {name}" for name in self.loaded)}
        self.errors = {one: why for one, why in self.errors.items() if one in left}
        self.refused.clear()
        if not left and not PLAN.exists() and at(COMMAND).is_symlink():
            at(COMMAND).unlink()


def read_plan(path: Path = PLAN) -> Item:
    """What is wanted of this host; nothing at all where there is no plan."""
    try:
        plan: Item = json.loads(path.read_text())
    except FileNotFoundError:
        return {"controls": [], "items": []}
    return plan
