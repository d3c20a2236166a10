"""What a control is, and the words in which its items are written.

An item says what has to be so on a host, as data. How each kind is captured, made so, checked and undone is known by
the program on the host: payload/hardening/harden_kinds.py and its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from deploys.components.hardening.settings import HardeningSettings
from deploys.components.hardening.strictness import ENTRY, SSHD, SYSCTL, Rule

Item = dict[str, Any]
Level = Literal["baseline", "strict"]


@dataclass(frozen=True)
class Want:
    """What a host is hardened for: its settings, its release of Debian, its turn if it is a gateway, and whether runs
    begin on the host itself, so that the next one needs no SSH."""

    s: HardeningSettings
    release: str
    turn: int | None = None
    local: bool = False

    @property
    def strict(self) -> bool:
        return self.s.level == "strict"


@dataclass(frozen=True)
class Control:
    """One thing that is made safer.

    ``what`` says how it is then, ``why`` what comes of the opposite, ``source`` who says so. ``cis`` is its number in
    the CIS benchmark for Debian 12, ``devsec`` its name in dev-sec's baselines; empty where they have none.
    """

    id: str
    area: str
    level: Level
    what: str
    why: str
    source: str
    items: Callable[[Want], list[Item]] = field(repr=False)
    cis: str = ""
    devsec: str = ""


def line(file: str, *texts: str) -> list[Item]:
    """Lines of the file of ours that files.py knows as ``file``."""
    return [{"kind": "line", "file": file, "text": text} for text in texts]


def yielding(item: Item, rules: dict[str, Rule], text: str = "") -> Item:
    """``item`` with what is stricter than it, and the line of ours that is left out where a host is."""
    rule = rules.get(item.get("name") or item["option"])
    return {**item, "accepts": rule, **({"line": text} if text else {})} if rule else item


def sysctl(**values: int) -> list[Item]:
    """Settings of the kernel, now and at every boot; `__` stands for a dot."""
    found: list[Item] = []
    for name, value in values.items():
        dotted = name.replace("__", ".")
        # Without the dash a kernel that does not have one would make systemd-sysctl fail.
        text = f"-{dotted} = {value}"
        found += [yielding({"kind": "sysctl", "name": dotted, "value": value}, SYSCTL, text), *line("sysctl", text)]
    return found


def sshd(option: str, *values: str, asked: tuple[str, ...] | None = None) -> list[Item]:
    """An option of sshd: the line, and what sshd itself says of it afterwards, which may be in other words."""
    said = list(asked if asked is not None else (" ".join(values),))
    text = f"{option} {' '.join(values)}"
    return [*line("ssh", text), yielding({"kind": "sshd", "option": option.lower(), "value": said}, SSHD, text)]


def whole(path: str, bits: str, *lines: str, **when: Any) -> Item:
    """A file that is ours as a whole, without a comment."""
    made = {"kind": "file", "path": path, "mode": bits, "lines": [*lines]}
    return {**made, **({"when": when} if when else {})}


def package(name: str, absent: bool = False, **when: Any) -> Item:
    """A package of Debian that is there, or is not. Before everything else: it brings files that others change."""
    made: Item = {"kind": "package", "name": name, "stage": 0, **({"absent": True} if absent else {})}
    return {**made, **({"when": when} if when else {})}


def mode(path: str, bits: str, owner: str = "", **when: Any) -> Item:
    """No bit of the mode of ``path`` beyond ``bits``, and its ``owner`` as `user:group`."""
    return {"kind": "mode", "path": path, "mode": bits, "owner": owner, **({"when": when} if when else {})}


def entry(path: str, name: str, value: str | int, between: str = " ", **when: Any) -> Item:
    """The line ``name``, ``between``, ``value`` in a file that a package has made."""
    made = yielding({"kind": "entry", "path": path, "name": name, "value": str(value), "between": between}, ENTRY)
    return {**made, **({"when": when} if when else {})}
