"""What a limit of ours would delete of a journal that is there: nothing brings it back, undoing neither."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

from harden_state import Item, at

CONF = "/etc/systemd/journald.conf.d/portcullis.conf"
# An archived file's name ends with the time of its first entry, in microseconds; journald goes by it as well.
STARTED = re.compile(r"@(?:[0-9a-f]{32}-[0-9a-f]{16}-)?([0-9a-f]{16})(?:-[0-9a-f]{16})?\.journal~?$")
MEGABYTE, DAY = 1024 * 1024, 86_400


def files() -> Iterator[Path]:
    for path in at("/var/log/journal").glob("*/*.journal*"):
        if path.is_file():
            yield path


def would_delete(line: str) -> str:
    """What would go when ``line`` were read, in words; empty when nothing would."""
    name, _, value = line.partition("=")
    number = int(re.sub(r"\D", "", value) or 0)
    if name == "SystemMaxUse":
        takes = sum(path.stat().st_blocks * 512 for path in files()) // MEGABYTE
        if takes > number:
            return (
                f"hardening_journal_max_mb: this host has {takes} MB of journal, and {takes - number} would be "
                f"deleted; raise it, or remove them yourself (journalctl --vacuum-size={number}M)"
            )
    if name == "MaxRetentionSec":
        started = [int(found[1], 16) / 1e6 for path in files() if (found := STARTED.search(path.name))]
        days = int((time.time() - min(started, default=time.time())) // DAY)
        if days > number:
            return (
                f"hardening_journal_keep_days: this host's journal goes back {days} days, and what is older than "
                f"{number} would be deleted; raise it, or remove it yourself (journalctl --vacuum-time={number}d)"
            )
    return ""


def spared(item: Item) -> Item:
    """``item`` without limits that would delete something, and why; but those that are in force already stay."""
    if item["path"] != CONF:
        return item
    path = at(CONF)
    in_force = path.read_text().splitlines() if path.is_file() else []
    why = {line: said for line in item["lines"] if line not in in_force and (said := would_delete(line))}
    if not why:
        return item
    lines = [line for line in item["lines"] if line not in why]
    return {**item, "lines": lines, "spared": "; ".join(why.values())}
