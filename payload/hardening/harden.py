#!/usr/bin/python3 -B
"""Make true on this host what a hardening plan asks for, say whether it holds, and undo it to what was there before.

harden.py apply             what the plan asks for; what an earlier plan asked for and this one does not is undone
harden.py undo              all of it, for good (the unit's stop; not while the system shuts down)
harden.py back              the one or the other, by whether there is a plan: what a run that failed has put back
harden.py test [PLAN]       whether the host's own checkers take the files of a plan; changes nothing
harden.py check [AREA]      exit 0 when all of it holds, and a sum; 1 and what does not
harden.py left              exit 0 when nothing is left of what is no longer asked for; 1 and what could not be undone
harden.py forget ITEM       never undo this one, as `left` names it: somebody has decided that it stays
harden.py report [--json]   every control: holds, fails, overruled (a Match of sshd's sets it otherwise for
                            some, or it would delete something), waived, or not applicable here, with the reason
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from harden_answers import check, left, leftover, report, test
from harden_fitted import fitted, read_plan, was_stricter
from harden_host import DOOR, Services, container
from harden_items import ASKED, FAILED, KINDS, MACHINES, key, meaningless, wrong
from harden_packages import forget, own
from harden_ssh import effective
from harden_state import PLAN, First, Item


def make(item: Item, first: First) -> None:
    """Make ``item`` so, and note what has come of it."""
    first.errors.pop(key(item), None)
    first.refused.pop(key(item), None)
    was = first.items[key(item)]
    if item["kind"] == "pam" and "after" in was and KINDS["pam"].capture(item) == was["after"]:
        del was["after"]  # nobody but us has changed it, so what comes of it now is ours as a whole again
    ahead = getattr(KINDS[item["kind"]], "ahead", None)
    try:
        if ahead and not {"after", "then"} & {*was} and (found := ahead(item)) is not None:
            was["then"] = found
            first.save()
        KINDS[item["kind"]].apply(item)
    except FAILED as error:
        with suppress(*FAILED):
            if ahead and "then" in was and was["then"] == ahead(item):
                del was["then"]  # nothing has come of it; what comes until the next attempt is somebody else's
        if item["kind"] in MACHINES and container():
            first.refused[key(item)] = f"this is a container ({container()}), and its machine decides"
        else:
            first.errors[key(item)] = str(error)
    else:
        finish(first, key(item))


def noted(first: First, one: str, item: Item) -> bool:
    """Whether what was there first is known; it stays, whatever has become of it since. What is not is not touched."""
    if was := first.items.get(one):
        if was["item"].get("value") != item.get("value") and was["item"] not in was.get("earlier", ()):
            was["earlier"] = [*was.get("earlier", ()), was["item"]]
        was["item"] = item
        return True
    try:
        first.items[one] = {"item": item, "before": KINDS[item["kind"]].capture(item)}
    except FAILED as error:
        first.errors[one] = f"what is there cannot be noted: {error}"
    return one in first.items


def finish(first: First, one: str) -> None:
    """Note what has come of an item that was made so; also when the run that did it was cut off before."""
    was = first.items[one]
    after = getattr(KINDS[was["item"]["kind"]], "after", None)
    if after and was.get("begun") and "after" not in was and (found := after(was["item"])) is not None:
        was["after"] = found
        own(first.items)
        first.save()


def take_back(first: First, keys: list[str]) -> None:
    """Undo ``keys``, the last one first. What cannot be undone stays noted, with the error."""
    for one in reversed(keys):
        was = first.items[one]
        try:
            finish(first, one)
            item = {**was["item"], "earlier": was.get("earlier", ())}
            KINDS[item["kind"]].undo(item, was["before"], was.get("after"))
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


def door(item: Item) -> bool:
    """Whether whoever is locked out waits for ``item``: it is taken back ahead of what takes long, such as packages."""
    # What sshd reads too: a mode that is set after sshd has read its files looks like a change that it has not.
    return item.get("service") in DOOR or item.get("path", "").startswith("/etc/ssh/")


def apply(plan: Item, going_back: bool = False) -> None:
    """Note what is there, then change it: stage by stage, because a package brings what later stages change."""
    first = First()
    own(first.items)
    first.refused.clear()
    services = Services(first)
    wanted = {key(item): item for item in plan["items"]}
    gone = [one for one, was in first.items.items() if one not in wanted or was_stricter(wanted[one], was)]
    still = services_of(plan["items"])
    concerned = services_of([first.items[one]["item"] for one in gone]) | set(first.loaded)
    doors = [one for one in gone if door(first.items[one]["item"])]
    take_back(first, doors)
    if going_back:
        bring({one: item for one, item in wanted.items() if door(item)}, first, services)
    if doors or going_back:
        services.settle((concerned | still) & DOOR, (concerned - still) & DOOR)
        concerned -= DOOR - still
        first.save()
    take_back(first, [one for one in gone if one not in doors])
    wanted = {key(item): item for item in fitted(plan)["items"]}
    for stage in sorted({item.get("stage", 1) for item in wanted.values()}):
        bring({one: item for one, item in wanted.items() if item.get("stage", 1) == stage}, first, services)
    effective.cache_clear()
    services.settle(concerned | still, concerned - still)
    forget()
    first.save()


def bring(wanted: dict[str, Item], first: First, services: Services) -> None:
    """Make true what does not hold of ``wanted``, all of which may be there at the same time."""
    here = {one: item for one, item in wanted.items() if not meaningless(item)}
    here = {one: item for one, item in here.items() if item["kind"] not in ASKED and noted(first, one, item)}
    for one in here:
        finish(first, one)
    todo = [one for one, item in here.items() if wrong(item, first)]
    for one in todo:
        first.items[one]["begun"] = True
    first.save()
    services.remember([here[one] for one in todo])
    for one in todo:
        make(here[one], first)
        print(f"{one}: {first.errors[one]}" if one in first.errors else f"done: {one}")


def undo() -> None:
    """Everything, in the reverse order, but the door first. Programs that have read the files read them anew."""
    first = First()
    own(first.items)
    services = Services(first)
    concerned = services_of(was["item"] for was in first.items.values()) | set(first.loaded)
    doors = [one for one, was in first.items.items() if door(was["item"])]
    rest = [one for one in first.items if one not in doors]
    take_back(first, doors)
    services.settle(concerned & DOOR, concerned & DOOR)
    first.save()
    take_back(first, rest)
    services.settle(concerned - DOOR, concerned - DOOR)
    forget()
    first.end()
    first.save()


def forgotten(one: str) -> int:
    """Drop what was there before ``one``, which is not asked for any more and could not be undone."""
    first = First()
    if one not in leftover(read_plan(), first):
        print(f"{one}: nothing of that name is left to be undone")
        return 1
    first.items.pop(one, None)
    first.loaded.pop(one.removeprefix("service "), None)
    first.errors.pop(one, None)
    if not PLAN.exists():
        first.end()
    first.save()
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
        case ["back"]:
            return apply(read_plan(), going_back=True) if PLAN.exists() else undo()
        case ["test", *path]:
            return test(read_plan(Path(path[0]) if path else PLAN))
        case ["check", *area]:
            return check(read_plan(), area[0] if area else "")
        case ["left"]:
            return left(read_plan())
        case ["forget", one]:
            return forgotten(one)
        case ["report", *options]:
            return report(read_plan(), "--json" in options)
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
