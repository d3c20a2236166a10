"""What is answered when somebody asks: every control's answer, their sum, and whether new files would be taken."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from shlex import quote

from harden_host import Services, unmet, valid
from harden_items import inapplicable, key, wrong
from harden_kinds import File
from harden_ssh import beaten, excepted
from harden_sshd import OWN
from harden_state import PLAN, First, Item


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
    for item in items:
        if why := excepted(item) if item["kind"] == "sshd" else item.get("spared", ""):
            return "overruled", why
    return "holds", f"in part: {elsewhere[0]}" if elsewhere else ""


def judge(plan: Item) -> list[Item]:
    """Every control with its answer: `holds`, `fails`, `overruled`, `waived` or `not applicable`, and why.

    Overruled is what a Match of sshd's sets otherwise for some, or what would delete a journal: no run mends that.
    """
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
    words = {"holds": "hold", "fails": "fail", "overruled": "overruled", "waived": "waived"}
    words["not applicable"] = "not applicable here"
    counts = {answer: sum(one["answer"] == answer for one in found) for answer in words}
    return (
        ", ".join(f"{counts[answer]} {word}" for answer, word in words.items() if counts[answer]) or "nothing is asked"
    )


def check(plan: Item, area: str) -> int:
    found = [one for one in judge(plan) if area in ("", one["area"])]
    failing = [one for one in found if one["answer"] == "fails"]
    for one in failing[1:]:
        print(f"{one['id']}: {one['why']}")
    print(f"{failing[0]['id']}: {failing[0]['why']}; {total(found)}" if failing else total(found))
    return 1 if failing else 0


def leftover(plan: Item, first: First) -> list[str]:
    """Items that are no longer asked for and not undone, by name; and programs that go on with what is undone."""
    wanted = {key(item) for item in plan["items"]} | {f"service {item.get('service')}" for item in plan["items"]}
    return [one for one in (*first.items, *(f"service {name}" for name in first.loaded)) if one not in wanted]


def left(plan: Item) -> int:
    """What is left, a line for each; in the last one, which a deploy shows, how many there are and what ends it."""
    first = First()
    names = leftover(plan, first)
    found = [f"{one}: {first.errors.get(one, 'is not undone yet')}" for one in names]
    for line in found[:-1]:
        print(line)
    if found:
        more = f" (and {len(found) - 1} more: portcullis-hardening left)" if found[:-1] else ""
        again = "" if PLAN.exists() else "; to try again: portcullis-hardening undo"
        print(f"{found[-1]}{more}; to let it stay: portcullis-hardening forget {quote(names[-1])}{again}")
    return 1 if found else 0


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
    here = [item for item in plan["items"] if not unmet(item.get("when", {}))]
    with tempfile.TemporaryDirectory() as folder:
        for item in here:
            if item["kind"] == "file":
                new = Path(folder) / "new"
                new.write_bytes(File().text(item))
                if why := valid(item.get("service", ""), new, item["path"]):
                    print(f"{item['path']}: {why}")
                    return 1
        for own in [item for item in here if item["kind"] == "file" and item["path"] == OWN]:
            new = Path(folder) / "sshd"
            new.write_bytes(File().text(own))
            for item in here:
                if item["kind"] == "sshd" and (why := beaten(item, new)):
                    print(f"{', '.join(item['controls'])}: {why}")
                    return 1
    return 0
