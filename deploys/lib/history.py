"""What people see of a host's ledger: the table of its runs, and what going back to one of them would change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

# How payload/host/ledger_plan.py calls a file that is the same but for the line of deploys/lib/provenance.py.
MARKED = "says that another run made it"
Row = Mapping[str, Any]


def _outcome(entry: Row) -> str:
    if entry["damage"]:
        return f"done, but {entry['damage']}"
    if entry["outcome"] == "open":
        return "at work, or killed since"
    return f"{entry['outcome']}: {entry['problem']}" if entry.get("problem") else str(entry["outcome"])


def _changed(entry: Row) -> str:
    parts = list(entry["changed"])
    # Of what was begun and left no files: software, users, things a service was told.
    others = [word for word in dict.fromkeys(entry["began_with"]) if word not in parts]
    if entry["packages"]:
        parts.append(f"{entry['packages']} Debian packages")
    return ", ".join(parts) or (f"began {', '.join(others[:6])}" if others else "nothing that was kept")


def _touches(entry: Row) -> str:
    if entry["outcome"] != "done" or entry["damage"]:
        return "it is nothing to go back to"
    touched = ", ".join(f"{name} ({count} files)" for name, count in entry["touches"].items())
    return f"going back to it touches {touched}" if touched else "it is how the host is now"


def _took(entry: Row) -> str:
    if not entry.get("ended") or entry["outcome"] == "cut off":
        return ""
    seconds = datetime.fromisoformat(entry["ended"]) - datetime.fromisoformat(entry["began"])
    return f" in {seconds.total_seconds():.0f} s"


def table(host: str, entries: Sequence[Row]) -> list[str]:
    """The runs of one host, the newest first, a few lines each."""
    if not entries:
        return [f"{host}: no run has changed anything here, or its ledger is elsewhere (see backup_root)"]
    found = [f"{host}: {len(entries)} runs have changed something, the newest first"]
    for entry in reversed(entries):
        found += [
            f"{entry['run']}  {entry['kind']}{_took(entry)}, by {entry['who']}, Portcullis {entry['revision']}",
            f"    {_outcome(entry)}",
            *([f"    {entry['command']}"] if entry["command"] else []),
            f"    changed: {_changed(entry)}",
            f"    {_touches(entry)}",
        ]
    return found


def way_back(host: str, plan: Row) -> list[str]:
    """What going back would change on one host, file by file, secrets masked."""
    later = [f"{host}: {', '.join(stays)} came with a later run, and stays" for stays in [plan.get("stays")] if stays]
    if not plan["components"]:
        return [f"{host}: is as it was after run {plan['run']}; nothing has to change", *later]
    found = [f"{host}: going back to how it was after run {plan['run']}"]
    for part in plan["components"]:
        version = f", version {part['version']}" if part["version"] else ""
        found.append(f"  {part['component']}{version}")
        marks = [change["path"] for change in part["changes"] if change["what"] == MARKED]
        for change in part["changes"]:
            if change["what"] == MARKED:
                continue
            found.append(f"    {change['path']} {change['what']}")
            found += [f"        {line}" for line in change["lines"]]
        if marks:
            found.append(f"    {len(marks)} files change only in the line that says what made them")
        found += [f"    {name}: told again" for name in part["untold"]]
        if part["stopped"]:
            found.append(f"    {part['stopped']} does not run, and is started")
        if part["pending"]:
            found.append("    a run was cut off in the middle of it, which is put right")
    return [*found, *later]
