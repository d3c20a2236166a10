"""What a control may ask for that is about the running system: units, kernel modules, mounts, profiles of PAM."""

from __future__ import annotations

import re
from typing import Any

from harden_kinds import run, said, waiting
from harden_state import Item, at, copy, look, put_back, write


def must(*command: str, seconds: int = 300, **more: str) -> str:
    """What a program of the host's says; an OSError with its last line when it fails."""
    done = run(*command, seconds=seconds, **more)
    if done.returncode:
        raise OSError(f"{' '.join(command[:2])}: {said(done)}")
    return done.stdout


class Unit:
    """A unit of systemd: ``name``, ``state``, which is `masked` or `enabled`."""

    def key(self, item: Item) -> str:
        return f"unit {item['name']}"

    def looks(self, item: Item) -> dict[str, str]:
        words = {"enabled": "is-enabled", "active": "is-active"}
        return {word: run("systemctl", asks, item["name"]).stdout.strip() for word, asks in words.items()}

    def capture(self, item: Item) -> Any:
        return self.looks(item)

    def apply(self, item: Item) -> None:
        must("systemctl", *(["mask", "--now"] if item["state"] == "masked" else ["enable", "--now"]), item["name"])

    def wrong(self, item: Item) -> str:
        found = self.looks(item)
        right = found["enabled"].startswith("masked") if item["state"] == "masked" else found["active"] == "active"
        return "" if right else f"{item['name']} is {found['enabled'] or 'not there'}, {found['active']}"

    def undo(self, item: Item, before: Any, after: Any) -> None:
        is_now = self.looks(item)
        if is_now["enabled"].startswith("masked") and not before["enabled"].startswith("masked"):
            must("systemctl", "unmask", item["name"])
        if item["state"] == "enabled" and before["enabled"] == "disabled":
            must("systemctl", "disable", item["name"])
        wanted = "start" if before["active"] == "active" else "stop"
        if (self.looks(item)["active"] == "active") != (wanted == "start"):
            must("systemctl", wanted, *waiting(), item["name"])


class Module:
    """A module that the kernel does not load: ``name``. Our file keeps it from being loaded, this ends it now."""

    def key(self, item: Item) -> str:
        return f"module {item['name']}"

    def loaded(self, item: Item) -> bool:
        names = [line.split()[0] for line in at("/proc/modules").read_text().splitlines()]
        return item["name"].replace("-", "_") in names

    def capture(self, item: Item) -> Any:
        return self.loaded(item)

    def apply(self, item: Item) -> None:
        must("modprobe", "-r", item["name"])

    def wrong(self, item: Item) -> str:
        return f"the module {item['name']} is loaded" if self.loaded(item) else ""

    def undo(self, item: Item, before: Any, after: Any) -> None:
        # Other items are undone first: nothing keeps it from being loaded any more.
        if before and not self.loaded(item):
            must("modprobe", item["name"])


OPPOSITE = {"noexec": "exec", "nosuid": "suid", "nodev": "dev"}


class Mount:
    """A mounted file system with ``options`` beside those that it has: ``path``, ``options``. Made so at each boot."""

    def key(self, item: Item) -> str:
        return f"mount {item['path']}"

    def options(self, path: str) -> list[str]:
        """Of the one that is mounted last there; none where nothing is."""
        lines = [line.split() for line in at("/proc/self/mountinfo").read_text().splitlines()]
        found = [line[5].split(",") for line in lines if line[4] == path]
        return found[-1] if found else []

    def capture(self, item: Item) -> Any:
        return self.options(item["path"])

    def apply(self, item: Item) -> None:
        must("mount", "-o", f"remount,{','.join(item['options'])}", item["path"])

    def wrong(self, item: Item) -> str:
        missing = [option for option in item["options"] if option not in self.options(item["path"])]
        return f"{item['path']} is mounted without {', '.join(missing)}" if missing else ""

    def undo(self, item: Item, before: Any, after: Any) -> None:
        is_now = self.options(item["path"])
        back = [OPPOSITE[one] for one in item["options"] if one in is_now and one not in before]
        if back:
            must("mount", "-o", f"remount,{','.join(back)}", item["path"])


class Pam:
    """Profiles of PAM that are in use: ``profiles``, by files that are other items, and the ``modules`` they bring."""

    NAMES = ("account", "auth", "password", "session", "session-noninteractive")
    FILES = tuple(f"/etc/pam.d/common-{name}" for name in NAMES)
    NOTES = tuple(f"/var/lib/pam/{name}" for name in (*NAMES, "seen"))

    def key(self, item: Item) -> str:
        return "pam profiles"

    def capture(self, item: Item) -> Any:
        return {path: copy(at(path)) for path in (*self.FILES, *self.NOTES)}

    def surplus(self, item: Item) -> list[str]:
        """Profiles of ours that pam-auth-update has in use by its own notes, and that are not asked for (any more)."""
        text = "".join(at(path).read_text() for path in self.NOTES if at(path).exists())
        return sorted({*re.findall(r"^Module: (portcullis-\S+)$", text, re.MULTILINE)} - {*item["profiles"]})

    def apply(self, item: Item) -> None:
        if surplus := self.surplus(item):
            must("pam-auth-update", "--package", "--remove", *surplus, DEBIAN_FRONTEND="noninteractive")
        must("pam-auth-update", "--package", "--enable", *item["profiles"], DEBIAN_FRONTEND="noninteractive")

    def after(self, item: Item) -> Any:
        return self.capture(item)

    def wrong(self, item: Item) -> str:
        if surplus := self.surplus(item):
            return f"{', '.join(surplus)} is in use in /etc/pam.d/common-* still; were they edited by hand?"
        text = "".join(at(path).read_text() for path in self.FILES if at(path).exists())
        missing = [word for word in item["modules"] if not re.search(rf"^[^#]*\b{word}\b", text, re.MULTILINE)]
        return f"{', '.join(missing)} is in none of /etc/pam.d/common-*; were they edited by hand?" if missing else ""

    def undo(self, item: Item, before: Any, after: Any) -> None:
        if after == self.capture(item):
            for path, found in before.items():
                put_back(at(path), found)
        else:
            # Somebody has changed them since, such as the installation of another profile.
            ours = [*item["profiles"], *self.surplus(item)]
            must("pam-auth-update", "--package", "--remove", *ours, DEBIAN_FRONTEND="noninteractive")


class Insert:
    """A line of ours in a file of somebody else's: ``path``, ``line``, and ``after``, a pattern of the line before."""

    def key(self, item: Item) -> str:
        return f"insert {item['path']} {item['line']}"

    def lines(self, item: Item) -> list[str]:
        return at(item["path"]).read_text().splitlines(keepends=True)

    def store(self, item: Item, lines: list[str]) -> None:
        path = at(item["path"])
        found = look(path)
        write(path, "".join(lines).encode(), found["mode"], found["uid"], found["gid"])

    def capture(self, item: Item) -> Any:
        return f"{item['line']}\n" in self.lines(item)

    def apply(self, item: Item) -> None:
        lines = self.lines(item)
        places = [number for number, line in enumerate(lines) if re.match(item["after"], line)]
        if not places:
            raise OSError(f"{item['path']} has no line to put it after: {item['after']}")
        self.store(item, [*lines[: places[0] + 1], f"{item['line']}\n", *lines[places[0] + 1 :]])

    def wrong(self, item: Item) -> str:
        return "" if f"{item['line']}\n" in self.lines(item) else f"{item['path']} is without {item['line']!r}"

    def undo(self, item: Item, before: Any, after: Any) -> None:
        lines = self.lines(item)
        if not before and f"{item['line']}\n" in lines:
            lines.remove(f"{item['line']}\n")
            self.store(item, lines)
