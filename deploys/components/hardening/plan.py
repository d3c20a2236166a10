"""The plan that a host is given: every control with its items, and the files of ours that are made of their lines."""

from __future__ import annotations

import json
from typing import Any

from deploys.components.hardening.controls import Control, Item, Want
from deploys.components.hardening.registry import asked_for

# Files of our own: path, mode, the program that reads it, which checks it and is told when it is another, and the line
# that they begin with.
FILES: dict[str, tuple[str, str, str, str]] = {
    # The first value that sshd finds is the one it takes, and it reads these by name, before the rest of its settings.
    "ssh": ("/etc/ssh/sshd_config.d/00-portcullis.conf", "0600", "ssh", ""),
    "sudo": ("/etc/sudoers.d/portcullis", "0440", "sudo", ""),
    "sysctl": ("/etc/sysctl.d/70-portcullis-hardening.conf", "0644", "", ""),
    "modprobe": ("/etc/modprobe.d/portcullis-hardening.conf", "0644", "", ""),
    "limits": ("/etc/security/limits.d/portcullis.conf", "0644", "", ""),
    "coredump": ("/etc/systemd/coredump.conf.d/portcullis.conf", "0644", "", "[Coredump]"),
    "pwquality": ("/etc/security/pwquality.conf.d/portcullis.conf", "0644", "", ""),
    "profile": ("/etc/profile.d/portcullis-hardening.sh", "0644", "", ""),
    "journald": ("/etc/systemd/journald.conf.d/portcullis.conf", "0644", "journald", "[Journal]"),
    "audit": ("/etc/audit/rules.d/portcullis.rules", "0640", "audit", ""),
    "apt": ("/etc/apt/apt.conf.d/52portcullis-hardening", "0644", "", ""),
    "timer": ("/etc/systemd/system/apt-daily-upgrade.timer.d/portcullis.conf", "0644", "upgrades", "[Timer]"),
}
HEAD = "# Managed by Portcullis (hardening); edits are overwritten. Each line is after the name of its control."
# What an item needs of the host, beside its own path: without it the control means nothing there.
NEEDS: dict[str, Item] = {"ssh": {"programs": ["sshd"]}, "sudo": {"programs": ["sudo"]}, "audit": {"machine": True}}


def items(want: Want, controls: list[Control]) -> list[Item]:
    """The items of ``controls``; lines of one file are one item, and what several controls ask for is asked once."""
    made: dict[str, Item] = {}
    lines: dict[str, list[tuple[str, str]]] = {}
    for control in controls:
        for item in control.items(want):
            if item["kind"] == "line":
                lines.setdefault(item["file"], []).append((control.id, item["text"]))
                continue
            if needs := NEEDS.get("ssh" if item["kind"] == "sshd" else control.area):
                item = {**item, "when": {**needs, **item.get("when", {})}}
            key = json.dumps(item, sort_keys=True)
            made.setdefault(key, {**item, "controls": []})["controls"].append(control.id)
    return [*(own_file(file, found) for file, found in lines.items()), *made.values()]


def own_file(file: str, found: list[tuple[str, str]]) -> Item:
    path, mode, service, first = FILES[file]
    text = [HEAD, *([first] if first else [])]
    last = ""
    for control, line in found:
        if control != last:
            text.append(f"# {control}")
        text.append(line)
        last = control
    item: Item = {"kind": "file", "path": path, "mode": mode, "lines": text, "controls": list(dict(found))}
    if service:
        item["service"] = service
    return {**item, "when": NEEDS[file]} if file in NEEDS else item


def plan(want: Want) -> dict[str, Any]:
    """Everything, for the program on the host. Nothing in it changes from run to run by itself."""
    waived = {waiver.control: f"until {waiver.until}: {waiver.reason}" for waiver in want.s.waivers}
    asked = asked_for(want.s)
    held = [control for control in asked if control.id not in waived]
    about = [
        {
            "id": control.id,
            "area": control.area,
            "level": control.level,
            **({"waived": waived[control.id]} if control.id in waived else {}),
        }
        for control in asked
    ]
    return {"level": want.s.level, "controls": about, "items": items(want, held)}


def text(want: Want) -> str:
    """The plan with a line for each control and item, and for each line of a file: a difference is read as one."""
    made = plan(want)
    rows = {name: ",\n".join(f"  {row(entry)}" for entry in made[name]) for name in ("controls", "items")}
    return (
        f'{{\n "level": {json.dumps(made["level"])},\n "controls": [\n{rows["controls"]}\n ],\n'
        f' "items": [\n{rows["items"]}\n ]\n}}\n'
    )


def row(entry: Item) -> str:
    if "lines" not in entry:
        return json.dumps(entry)
    lines = ",\n".join(f"    {json.dumps(line)}" for line in entry["lines"])
    rest = {name: value for name, value in entry.items() if name != "lines"}
    return f'{json.dumps(rest)[:-1]}, "lines": [\n{lines}\n  ]}}'
