"""What the ledger keeps no longer: old entries, the versions that only they pointed at, earlier tools."""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ledger_entries import STATE, TOOLS, entries, good, rows, served

TOOLS_DAYS = 7  # a switch that an earlier tool has begun is long over


def prune(root: Path, keep_runs: int, keep_days: int, run: str) -> None:
    """Remove entries beyond ``keep_runs``, or older than ``keep_days``; of those that ended well the last two stay.

    With an entry go the version folders that it alone has pointed at.
    """
    whole = entries(root)
    # What the host has at present lies in the entry of the last run that changed something, however it ended.
    present = {bundle.parent.parent.name for bundle in served().values()}
    # And what a switch that was cut off would put back lies in that of its run.
    noted = {
        line.partition("\t")[0] for path in (STATE / "pending").glob("*") for line in path.read_text().splitlines()
    }
    cut_off = {Path(folder).name for folder in noted if folder.startswith("/")}
    safe = {run, *present, *cut_off, *(entry["run"] for entry in good(root)[-2:])}
    # A run is named by the clock of whoever began it; where the host's is another, nothing can be said of ages.
    here, there = datetime.now(UTC), datetime.strptime(run[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    agree = abs(here - there) < timedelta(days=1)
    oldest = f"{min(here, there) - timedelta(days=keep_days):%Y%m%dT%H%M%SZ}" if agree else ""
    names = [entry["run"] for entry in whole]
    gone = [name for n, name in enumerate(names) if name not in safe and (n < len(names) - keep_runs or name < oldest)]
    for name in gone:
        # Renamed first: what is half removed is no entry.
        (root / name).rename(root / f".{name}.gone")
    doomed = sorted(root.glob(".*.gone"))
    left = {target for entry in doomed for target in targets(entry)}
    kept = {target for name in names if name not in gone for target in targets(root / name, now=True)}
    for target in left - kept:
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target, ignore_errors=True)
    # After the versions it names: a kill in between leaves the next run to finish it.
    for entry in doomed:
        shutil.rmtree(entry, ignore_errors=True)


def targets(entry: Path, now: bool = False) -> set[Path]:
    """Version folders that the links of a run point at; with ``now`` also what they point at on the host.

    A run that was cut off may have switched a link to a version that no kept run had.
    """
    found = set()
    for bundle in entry.glob("components/*/files.tsv"):
        for kind, *_, path, target in rows(bundle.parent):
            if now and kind == "link" and os.path.islink(path):
                found.add(Path(os.readlink(path)))
            # Folders such as /opt/litellm/1.2-abc: three deep at least, and beside the link.
            if kind == "link" and target.startswith("/opt/") and target.count("/") >= 3:
                found.add(Path(target))
    return found


def prune_tools(own: Path) -> None:
    """Remove tools of earlier revisions; a shell reads its script while it runs it, so not at once."""
    for folder in TOOLS.glob("transact-*"):
        if folder != own and time.time() - folder.stat().st_mtime > TOOLS_DAYS * 86400:
            shutil.rmtree(folder, ignore_errors=True)
