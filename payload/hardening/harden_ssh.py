"""What a control may ask for that is about SSH: what sshd makes of its files, a host key of its own, strong moduli."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from harden_kinds import run, said
from harden_sshd import MAIN, OWN, folder, is_included, lines, options, says
from harden_state import Item, at, copy, look, part_of, put_back, write
from harden_strict import stricter


@cache
def effective() -> dict[str, list[str]]:
    """What sshd itself says it does, by option in small letters."""
    folder()
    return options(run("sshd", "-T", seconds=20))


class Sshd:
    """What sshd makes of all its files: ``option``, ``value``. Only asked; the files are items of their own."""

    def key(self, item: Item) -> str:
        return f"sshd {item['option']}"

    def capture(self, item: Item) -> Any:
        raise NotImplementedError

    def apply(self, item: Item) -> None:
        raise NotImplementedError

    def wrong(self, item: Item) -> str:
        return self.judged(item, effective())

    def judged(self, item: Item, found: dict[str, list[str]]) -> str:
        """Why ``item`` does not hold with what sshd says; the same name twice is one."""
        if "error" in found:
            return f"sshd -T: {found['error'][0]}"
        is_now = found.get(item["option"], ["nothing"])
        if {one.lower() for one in is_now} == {one.lower() for one in item["value"]} or stricter(item, is_now[0]):
            return ""
        return f"sshd has {item['option']} {' '.join(is_now)}, not {' '.join(item['value'])}"

    def undo(self, item: Item, before: Any, after: Any) -> None:
        raise NotImplementedError


def beaten(item: Item, own: Path) -> str:
    """Why ``item`` would not hold with ``own`` as our file: a line of somebody else's counts as well, or instead."""
    why = Sshd().judged(item, says(own))
    if not why or why.startswith("sshd -T: "):
        return why
    if not is_included():
        return (
            f"{MAIN} does not read {OWN}: put `Include {OWN.rpartition('/')[0]}/*.conf` in front of its other lines "
            f"({why})"
        )
    theirs = [line for line in lines() if line.option == item["option"] and not line.match and line.file != OWN]
    places = ", ".join(f"{line.place} ({line.option} {line.value})" for line in theirs)
    return f"{why}, because of {places or 'its other files'}; take that out, or give the control a waiver"


def excepted(item: Item) -> str:
    """Where a Match sets an option otherwise for some, which is what they get; empty when none does."""
    wanted = [one.lower() for one in item["value"]]
    for line in lines():
        if not line.match or line.option != item["option"]:
            continue
        is_now = {"prohibit-password": "without-password"}.get(line.value.lower(), line.value.lower())
        if is_now not in wanted and not stricter(item, is_now):
            return f"not for Match {line.match}: {line.place} has {line.option} {line.value}"
    return ""


class HostKey:
    """An RSA host key of ours beside those that the host has: ``path``, ``bits``."""

    def key(self, item: Item) -> str:
        return f"hostkey {item['path']}"

    def paths(self, item: Item) -> tuple[str, str]:
        return item["path"], f"{item['path']}.pub"

    def capture(self, item: Item) -> Any:
        return [copy(at(path)) for path in self.paths(item)]

    def apply(self, item: Item) -> None:
        path = at(item["path"])
        # Made under another name: half a key is none, and sshd would have to do without.
        part = part_of(path)
        self.clear(part)
        done = run("ssh-keygen", "-q", "-t", "rsa", "-b", str(item["bits"]), "-N", "", "-C", "", "-f", str(part))
        if done.returncode:
            raise OSError(f"ssh-keygen: {said(done)}")
        part.with_name(f"{part.name}.pub").replace(path.with_name(f"{path.name}.pub"))
        part.replace(path)

    def clear(self, part: Path) -> None:
        """Remove what a run that was killed has left."""
        for old in (part, part.with_name(f"{part.name}.pub")):
            old.unlink(missing_ok=True)

    def wrong(self, item: Item) -> str:
        if any(look(at(path))["kind"] != "file" for path in self.paths(item)):
            return f"{item['path']} is not there"
        done = run("ssh-keygen", "-l", "-f", str(at(item["path"])))
        bits = done.stdout.partition(" ")[0]
        return "" if bits == str(item["bits"]) else f"{item['path']} has {bits or 'no'} bits, not {item['bits']}"

    def undo(self, item: Item, before: Any, after: Any) -> None:
        self.clear(part_of(at(item["path"])))
        for path, found in zip(self.paths(item), before, strict=True):
            put_back(at(path), found)


class Moduli:
    """Groups for Diffie-Hellman with fewer than ``bits`` bits are taken out of ``path``."""

    def key(self, item: Item) -> str:
        return f"moduli {item['path']}"

    def split(self, item: Item) -> tuple[list[str], list[str]]:
        """All lines, and those that stay. The fifth column is one less than the size."""
        lines = at(item["path"]).read_text().splitlines(keepends=True)
        weak = {
            line for line in lines if not line.startswith("#") and int((line.split() + ["0"] * 5)[4]) < item["bits"]
        }
        return lines, [line for line in lines if line not in weak]

    def capture(self, item: Item) -> Any:
        return copy(at(item["path"]))

    def apply(self, item: Item) -> None:
        path = at(item["path"])
        is_now = look(path)
        _, strong = self.split(item)
        if not any(not line.startswith("#") for line in strong):
            raise OSError(f"{item['path']} has no group of {item['bits']} bits or more; all are left")
        write(path, "".join(strong).encode(), is_now["mode"], is_now["uid"], is_now["gid"])

    def wrong(self, item: Item) -> str:
        lines, strong = self.split(item)
        weak = len(lines) - len(strong)
        return f"{item['path']} has {weak} groups with fewer than {item['bits']} bits" if weak else ""

    def undo(self, item: Item, before: Any, after: Any) -> None:
        put_back(at(item["path"]), before)
