"""The plan as it fits this host: without lines of ours that are laxer than what it has, or cost it something."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import harden_state
from harden_journal import spared
from harden_sshd import says
from harden_state import PLAN, Item, at
from harden_strict import stricter


def without_us(item: Item) -> str:
    """What a host has of ``item`` in spite of us, or without us; empty when nobody knows."""
    try:
        if item["kind"] == "sysctl":
            name = item["name"]
            return " ".join(at(f"/proc/sys/{name.replace('.', '/')}").read_text().split())
        return says(None).get(item["option"], [""])[0]
    except OSError:
        return ""


def fitted(plan: Item) -> Item:
    """``plan`` without those lines of our files that are laxer than what the host has, or would delete its journal.

    Of sshd's options the first counts, and ours come first; the kernel's are set by the last file at each boot.
    """
    yields = [item for item in plan["items"] if item.get("accepts") and item.get("line")]
    out = {item["line"] for item in yields if stricter(item, without_us(item))}
    items: list[dict[str, Any]] = []
    for item in plan["items"]:
        if item["kind"] == "file" and out & set(item["lines"]):
            item = {**item, "lines": [line for line in item["lines"] if line not in out]}
        items.append(spared(item) if item["kind"] == "file" else item)
    return {**plan, "items": items}


def was_stricter(item: Item, was: Item) -> bool:
    """Whether what an older revision has changed was stricter than what it was changed to: it comes back."""
    before = was.get("before")
    if not was.get("begun") or not isinstance(before, dict):
        return False
    found = before.get(item["name"], "") if item["kind"] == "sysctl" else ""
    if item["kind"] == "entry":
        found = (re.split(r"\s*=\s*|\s+", (before["line"] or "").strip(), maxsplit=1)[1:] or [""])[0]
    return bool(found) and stricter(item, found)


def read_plan(path: Path = PLAN) -> Item:
    return fitted(harden_state.read_plan(path))
