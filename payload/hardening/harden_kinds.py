"""Kinds of things that a control may ask for: how each is captured before it changes, made so, checked and undone.

Each kind has ``key`` (what it is about; two items with one key are about the same thing), ``capture``, ``apply``,
``wrong`` (why it does not hold, or nothing) and ``undo``; some have ``after``, which is noted once an item was made so
and given to ``undo`` too. What cannot be done is an OSError with words.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any, Protocol

from harden_state import Item, at, copy, group, look, put_back, user, write
from harden_strict import accepts


class Kind(Protocol):
    def key(self, item: Item) -> str: ...
    def capture(self, item: Item) -> Any: ...
    def apply(self, item: Item) -> None: ...
    def wrong(self, item: Item) -> str: ...
    def undo(self, item: Item, before: Any, after: Any) -> None: ...


def run(*command: str, seconds: int = 300, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """A program of the host, ended when it takes too long; without one the status is 127."""
    try:
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=seconds, env={**os.environ, **more}
        )
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", f"there is no {command[0]}")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"{command[0]} was not over after {seconds} s")


def said(done: subprocess.CompletedProcess[str]) -> str:
    """The last line that a program said."""
    lines = [line.strip() for line in (done.stderr.strip() or done.stdout).splitlines() if line.strip()]
    return lines[-1] if lines else f"it ended with {done.returncode} and said nothing"


def waiting() -> list[str]:
    """Whether something may be waited for: while the host starts or stops, it would wait for whoever asks."""
    state = run("systemctl", "is-system-running").stdout.strip()
    return [] if state in ("running", "degraded") else ["--no-block"]


class File:
    """A file of our own, as a whole: ``path``, ``mode``, ``lines``."""

    def key(self, item: Item) -> str:
        return f"file {item['path']}"

    def text(self, item: Item) -> bytes:
        return "".join(f"{line}\n" for line in item["lines"]).encode()

    def capture(self, item: Item) -> Any:
        return copy(at(item["path"]))

    def apply(self, item: Item) -> None:
        path = at(item["path"])
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if path.is_symlink() or path.is_dir():
            raise OSError(f"{item['path']} is a link or a folder, which somebody else has made")
        root = 0 if os.geteuid() == 0 else -1
        write(path, self.text(item), int(item["mode"], 8), root, root)

    def wrong(self, item: Item) -> str:
        path = at(item["path"])
        found = look(path)
        if found["kind"] != "file":
            return f"{item['path']} is not there"
        if path.read_bytes() != self.text(item):
            return f"{item['path']} is another than was written"
        if found["mode"] != int(item["mode"], 8):
            return f"{item['path']} has mode {found['mode']:04o}, not {item['mode']}"
        return ""

    def undo(self, item: Item, before: Any, after: Any) -> None:
        put_back(at(item["path"]), before)


class Entry:
    """A line ``NAME VALUE`` in a file of somebody else's: ``path``, ``name``, ``value``, ``between`` (such as ` = `).

    The last active line of that name is exchanged, in its place; without one a line is added at the end. Undone, that
    line is what it was, whatever else of the file has changed meanwhile; one that somebody else has written stays.
    """

    def key(self, item: Item) -> str:
        return f"entry {item['path']} {item['name']}"

    def named(self, item: Item, lines: list[str]) -> list[int]:
        pattern = re.compile(rf"\s*{re.escape(item['name'])}(\s*=|\s|$)")
        return [number for number, line in enumerate(lines) if pattern.match(line)]

    def found(self, item: Item, lines: list[str]) -> int | None:
        return next(reversed(self.named(item, lines)), None)

    def read(self, item: Item) -> list[str]:
        return at(item["path"]).read_text(errors="surrogateescape").splitlines(keepends=True)

    def store(self, item: Item, lines: list[str]) -> None:
        path = at(item["path"])
        is_now = look(path)
        write(path, "".join(lines).encode(errors="surrogateescape"), is_now["mode"], is_now["uid"], is_now["gid"])

    def line(self, item: Item) -> str:
        return f"{item['name']}{item['between']}{item['value']}".rstrip(" ")

    def capture(self, item: Item) -> Any:
        lines = self.read(item)
        number = self.found(item, lines)
        ended = not lines or lines[-1].endswith("\n")
        others = [lines[one].rstrip("\n") for one in self.named(item, lines)[:-1]]
        return {"line": None if number is None else lines[number], "ended": ended, "others": others}

    def apply(self, item: Item) -> None:
        lines = self.read(item)
        number = self.found(item, lines)
        if number is None:
            if lines and not lines[-1].endswith("\n"):
                lines[-1] += "\n"
            lines.append(f"{self.line(item)}\n")
        else:
            lines[number] = self.line(item) + ("\n" if lines[number].endswith("\n") else "")
        self.store(item, lines)

    def wrong(self, item: Item) -> str:
        lines = self.read(item)
        number = self.found(item, lines)
        there = "not there" if number is None else lines[number].strip()
        words = re.split(r"\s*=\s*|\s+", there, maxsplit=1)
        if number is not None and accepts(item.get("accepts", {}), (words[1:] or [""])[0], str(item["value"])):
            return ""
        return f"{item['name']} of {item['path']} is {there!r}, not {self.line(item)!r}"

    def undo(self, item: Item, before: Any, after: Any) -> None:
        if look(at(item["path"]))["kind"] == "absent":
            return
        lines = self.read(item)
        # What an earlier plan asked for may be there still.
        texts = [self.line(one) for one in (item, *item.get("earlier", ()))]
        same = [number for number, line in enumerate(lines) if line.rstrip("\n") in texts]
        # Those that were there before ours, in its very words, are not ours; the program of before has not noted them.
        ours = same[len([line for line in before.get("others", ()) if line in texts]) :]
        if not ours:
            return
        last = ours[-1] == len(lines) - 1
        kept = [line for number, line in enumerate(lines) if number not in ours]
        if before["line"] is not None:
            # It may have been the last one, without an end, and is that no longer.
            place = ours[0]
            kept.insert(place, before["line"] if place == len(kept) else before["line"].removesuffix("\n") + "\n")
        elif last and not before["ended"] and kept:
            kept[-1] = kept[-1].removesuffix("\n")
        self.store(item, kept)


class Mode:
    """Mode and owner of what is there: ``path``, ``mode`` (no bit beyond it, `0` for those to keep), ``owner``.

    A link has none of its own: it is about what the link leads to.
    """

    def key(self, item: Item) -> str:
        return f"mode {item['path']}"

    def real(self, item: Item) -> Path:
        return Path(os.path.realpath(at(item["path"])))

    def wanted(self, item: Item, found: Item) -> tuple[int, int, int]:
        # Never more than it has: a stricter mode that somebody has set stays.
        mode = found["mode"] & int(item["mode"], 8)
        name, _, of = item.get("owner", "").partition(":")
        return mode, user(name) if name else found["uid"], group(of) if of else found["gid"]

    def capture(self, item: Item) -> Any:
        path = self.real(item)
        return {**look(path), "real": str(path)}

    def apply(self, item: Item) -> None:
        path = self.real(item)
        found = look(path)
        mode, uid, gid = self.wanted(item, found)
        if (uid, gid) != (found["uid"], found["gid"]):
            os.chown(path, uid, gid)
        path.chmod(mode)

    def wrong(self, item: Item) -> str:
        found = look(self.real(item))
        mode, uid, gid = self.wanted(item, found)
        if (uid, gid) != (found["uid"], found["gid"]):
            return f"{item['path']} does not belong to {item['owner']}"
        return "" if mode == found["mode"] else f"{item['path']} has mode {found['mode']:04o}, not {mode:04o} at most"

    def undo(self, item: Item, before: Any, after: Any) -> None:
        path = self.real(item)
        found = look(path)
        if found["kind"] != before["kind"] or found["kind"] == "link" or before.get("real", str(path)) != str(path):
            return  # it is gone, or something else, or the link leads elsewhere by now
        if (before["uid"], before["gid"]) != (found["uid"], found["gid"]):
            os.chown(path, before["uid"], before["gid"])
        path.chmod(before["mode"])


class Sysctl:
    """A setting of the running kernel: ``name``, ``value``."""

    def key(self, item: Item) -> str:
        return f"sysctl {item['name']}"

    def path(self, name: str) -> Path:
        # With slashes where a part of the name has a dot of its own, as `eth0.100` has.
        return at(f"/proc/sys/{name if '/' in name else name.replace('.', '/')}")

    def capture(self, item: Item) -> Any:
        # A write to one place may be a write to all: `net.ipv4.conf.default` is copied to interfaces.
        family = re.fullmatch(r"(net\.ipv[46]\.conf)\.(all|default)\.(\w+)", item["name"])
        names = [item["name"]]
        if family:
            folder = self.path(family[1])
            names += [str(one.relative_to(at("/proc/sys"))) for one in sorted(folder.glob(f"*/{family[3]}"))]
        return {name: self.path(name).read_text().strip() for name in dict.fromkeys(names)}

    def apply(self, item: Item) -> None:
        self.path(item["name"]).write_text(f"{item['value']}\n")

    def wrong(self, item: Item) -> str:
        is_now = " ".join(self.path(item["name"]).read_text().split())
        if accepts(item.get("accepts", {}), is_now, str(item["value"])):
            return ""
        return f"{item['name']} is {is_now}, not {item['value']}"

    def undo(self, item: Item, before: Any, after: Any) -> None:
        for name, value in before.items():
            path = self.path(name)
            if path.exists() and path.read_text().strip() != value:
                path.write_text(f"{value}\n")
