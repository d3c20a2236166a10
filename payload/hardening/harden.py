#!/usr/bin/python3 -B
"""Make true on this host what a hardening plan asks for, say whether it holds, and undo it to what was there before.

harden.py apply             what the plan asks for; what an earlier plan asked for and this one does not is undone
harden.py undo              all of it, for ever (the unit's stop; not while the system shuts down)
harden.py test [PLAN]       whether the host's own checkers take the files of a plan; changes nothing
harden.py check [AREA]      exit 0 when all of it holds, and a sum; 1 and what does not
harden.py report [--json]   every control: holds, fails, waived, or not applicable here, with the reason
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harden_host import Services, container, unmet, valid
from harden_kinds import Entry, File, Kind, Mode, Sysctl
from harden_ssh import HostKey, Moduli, Sshd, effective
from harden_state import PLAN, First, Item, at, read_plan

KINDS: dict[str, Kind] = {
    "file": File(),
    "entry": Entry(),
    "mode": Mode(),
    "sysctl": Sysctl(),
    "sshd": Sshd(),
    "hostkey": HostKey(),
    "moduli": Moduli(),
}
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


def inapplicable(item: Item, first: First) -> str:
    """Why ``item`` means nothing on this host; empty when it has to hold."""
    if why := unmet(item.get("when", {})) or first.refused.get(key(item), ""):
        return why
    if item["kind"] == "sysctl" and not Sysctl().path(item["name"]).exists():
        return f"this kernel has no {item['name']}"
    if item["kind"] in ("entry", "mode", "moduli") and not at(item["path"]).exists():
        return f"there is no {item['path']} here"
    return ""


def make(item: Item, first: First) -> None:
    """Make ``item`` so. What the kernel does not let a container do is the machine's: noted, and no failure."""
    first.errors.pop(key(item), None)
    first.refused.pop(key(item), None)
    try:
        KINDS[item["kind"]].apply(item)
    except FAILED as error:
        if item["kind"] == "sysctl" and container() and isinstance(error, OSError):
            first.refused[key(item)] = f"this is a container ({container()}), and its machine decides"
        else:
            first.errors[key(item)] = str(error)


def take_back(first: First, keys: list[str]) -> None:
    """Undo ``keys``, the last one first. What cannot be undone stays noted, with the error."""
    for one in reversed(keys):
        noted = first.items[one]
        try:
            KINDS[noted["item"]["kind"]].undo(noted["item"], noted["before"])
        except FAILED as error:
            first.errors[one] = f"cannot be undone: {error}"
            print(f"{one}: cannot be undone: {error}")
        else:
            del first.items[one]
            first.errors.pop(one, None)
            print(f"undone: {one}")
    for noted_only in (first.errors, first.refused):
        for one in [one for one in noted_only if one in keys and one not in first.items]:
            del noted_only[one]


def services_of(items: Iterable[Item]) -> set[str]:
    return {item["service"] for item in items if item.get("service")}


def apply(plan: Item) -> None:
    """Note what is there, then change it: stage by stage, because a package brings what later stages change."""
    first = First()
    first.refused.clear()
    services = Services(first)
    wanted = {key(item): item for item in plan["items"]}
    gone = [one for one in first.items if one not in wanted]
    concerned = services_of([first.items[one]["item"] for one in gone]) | set(first.loaded)
    take_back(first, gone)
    for stage in sorted({item.get("stage", 1) for item in wanted.values()}):
        here = {
            one: item for one, item in wanted.items() if item.get("stage", 1) == stage and not inapplicable(item, first)
        }
        for one, item in here.items():
            if item["kind"] in ASKED:
                continue
            # The first state stays, whatever has become of it since.
            noted = first.items.get(one) or {"before": KINDS[item["kind"]].capture(item)}
            first.items[one] = {"item": item, "before": noted["before"]}
        first.save()
        todo = [one for one, item in here.items() if item["kind"] not in ASKED and wrong(item, first)]
        services.remember([here[one] for one in todo])
        for one in todo:
            make(here[one], first)
            print(f"{one}: {first.errors[one]}" if one in first.errors else f"done: {one}")
    effective.cache_clear()
    still = services_of(plan["items"])
    services.settle(concerned | still, concerned - still)
    first.save()


def undo() -> None:
    """Everything, in the reverse order. The programs that have read the files are told to read them anew."""
    first = First()
    concerned = services_of(noted["item"] for noted in first.items.values()) | set(first.loaded)
    take_back(first, list(first.items))
    Services(first).settle(concerned, concerned)
    first.save()


def judged(control: Item, items: list[Item], first: First, services: Services) -> tuple[str, str]:
    """The answer of one control and why."""
    if control.get("waived"):
        return "waived", control["waived"]
    # A file that the next start reads says nothing where what it is for means nothing.
    effects = [item for item in items if item["kind"] != "file"] or items
    elsewhere = [why for item in effects if (why := inapplicable(item, first))]
    if len(elsewhere) == len(effects):
        return "not applicable", elsewhere[0] if elsewhere else "its settings ask for nothing"
    for item in items:
        if not inapplicable(item, first) and (why := wrong(item, first) or services.behind(item)):
            return "fails", why
    return "holds", f"in part: {elsewhere[0]}" if elsewhere else ""


def judge(plan: Item) -> list[Item]:
    """Every control with its answer: `holds`, `fails`, `waived` or `not applicable`, and why."""
    first = First()
    services = Services(first)
    found: list[Item] = []
    for control in plan["controls"]:
        items = [item for item in plan["items"] if control["id"] in item["controls"]]
        answer, why = judged(control, items, first, services)
        found.append({**control, "answer": answer, "why": why})
    return found


def total(found: list[Item]) -> str:
    """How many controls have which answer, in words."""
    words = {"holds": "hold", "fails": "fail", "waived": "waived", "not applicable": "not applicable here"}
    counts = {answer: sum(one["answer"] == answer for one in found) for answer in words}
    return (
        ", ".join(f"{counts[answer]} {word}" for answer, word in words.items() if counts[answer]) or "nothing is asked"
    )


def check(plan: Item, area: str) -> int:
    found = [one for one in judge(plan) if area in ("", one["area"])]
    failing = [one for one in found if one["answer"] == "fails"]
    for one in failing:
        print(f"{one['id']}: {one['why']}")
    print(f"{failing[0]['id']}: {failing[0]['why']}; {total(found)}" if failing else total(found))
    return 1 if failing else 0


def report(plan: Item, as_json: bool) -> None:
    found = judge(plan)
    if as_json:
        print(json.dumps(found))
        return
    for one in found:
        print(f"{one['id']:32} {one['level']:9} {one['answer']}{': ' if one['why'] else ''}{one['why']}")
    print(total(found))


def test(plan: Item) -> int:
    """Ask the host's checkers about new files, where they lie for that alone."""
    with tempfile.TemporaryDirectory() as folder:
        for item in plan["items"]:
            if item["kind"] == "file" and not unmet(item.get("when", {})):
                new = Path(folder) / "new"
                new.write_bytes(File().text(item))
                if why := valid(item.get("service", ""), new, item["path"]):
                    print(f"{item['path']}: {why}")
                    return 1
    return 0


def stopping() -> bool:
    """Whether the system shuts down, or the unit is about to start again: no time to undo anything."""
    state = subprocess.run(["systemctl", "is-system-running"], capture_output=True, text=True).stdout.strip()
    jobs = subprocess.run(["systemctl", "list-jobs", "--no-legend", "--plain"], capture_output=True, text=True).stdout
    again = any(line.split()[1:3] == ["portcullis-hardening.service", "restart"] for line in jobs.splitlines())
    return state == "stopping" or again


def main(words: list[str]) -> Any:
    # Whoever asks may not have root's.
    os.environ["PATH"] = f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/local/sbin:/usr/sbin:/sbin"
    match words:
        case ["apply"]:
            return apply(read_plan())
        case ["undo"]:
            return None if stopping() else undo()
        case ["test", *path]:
            return test(read_plan(Path(path[0]) if path else PLAN))
        case ["check", *area]:
            return check(read_plan(), area[0] if area else "")
        case ["report", *options]:
            return report(read_plan(), "--json" in options)
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
