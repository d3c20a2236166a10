"""The kinds of items by name, and what is said of one: why it does not hold, or why it means nothing on this host."""

from __future__ import annotations

import subprocess

from harden_host import container, unmet
from harden_kinds import Entry, File, Kind, Mode, Sysctl
from harden_packages import Package
from harden_ssh import HostKey, Moduli, Sshd
from harden_state import First, Item, at
from harden_system import Insert, Module, Mount, Pam, Unit

KINDS: dict[str, Kind] = {
    "file": File(),
    "entry": Entry(),
    "mode": Mode(),
    "sysctl": Sysctl(),
    "sshd": Sshd(),
    "hostkey": HostKey(),
    "moduli": Moduli(),
    "insert": Insert(),
    "unit": Unit(),
    "module": Module(),
    "mount": Mount(),
    "pam": Pam(),
    "package": Package(),
}
# Of a container these may be its machine's to decide: what it is not let do is noted, and is no failure.
MACHINES = ("sysctl", "mount", "module")
# Nothing is changed for these: they ask what a program makes of what others have changed.
ASKED = ("sshd",)
# Errors that are answers: the host says no, or is not as thought.
FAILED = (OSError, ValueError, KeyError, subprocess.SubprocessError)


def key(item: Item) -> str:
    return KINDS[item["kind"]].key(item)


def wrong(item: Item, first: First) -> str:
    """Why ``item`` does not hold, after the error that kept it from being made so."""
    try:
        why = KINDS[item["kind"]].wrong(item)
    except FAILED as error:
        why = f"{key(item)}: {error}"
    return f"{why}; {first.errors[key(item)]}" if why and key(item) in first.errors else why


def meaningless(item: Item) -> str:
    """Why there is nothing on this host that ``item`` could be about; empty when it may be made so."""
    if why := unmet(item.get("when", {})):
        return why
    if item["kind"] == "sysctl" and not Sysctl().path(item["name"]).exists():
        return f"this kernel has no {item['name']}"
    if item["kind"] in ("entry", "insert", "mode", "moduli") and not at(item["path"]).exists():
        return f"there is no {item['path']} here"
    if item["kind"] == "mount" and not Mount().options(item["path"]):
        return f"{item['path']} is no file system of its own here"
    return ""


def inapplicable(item: Item, first: First) -> str:
    """Why ``item`` means nothing on this host; empty when it has to hold.

    What a container was not let do, or its machine has set otherwise since, is the machine's.
    """
    if why := meaningless(item) or first.refused.get(key(item), ""):
        return why
    # Only the network's are a container's own. The others are right for as long as nobody on the machine sets them.
    shared = item["kind"] == "sysctl" and not item["name"].startswith("net.")
    tried = shared or first.items.get(key(item), {}).get("begun")
    if item["kind"] in MACHINES and tried and container() and (why := KINDS[item["kind"]].wrong(item)):
        return f"this is a container ({container()}), and its machine decides: {why}"
    return ""
