"""A count of the gateway's worker processes, read from its control group."""

from pathlib import Path

from portcullis_health.memory import Finding


def count_children(unit: str, cgroups: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc")) -> int | None:
    """Return how many children the unit's main process has, or None when that cannot be seen from here.

    gunicorn's workers are children of its main process. Other children may exist, so the number is an upper
    limit of the workers: too few is certain, enough is not. None is also the answer inside a unit with
    ``ProtectProc=invisible``, which hides other users' processes.
    """
    for pattern in (f"*.slice/{unit}/cgroup.procs", f"*.slice/*.slice/{unit}/cgroup.procs"):
        for path in sorted(cgroups.glob(pattern)):
            try:
                members = set(path.read_text(encoding="ascii").split())
            except OSError:
                return None
            parents: dict[str, str] = {}
            for pid in members:
                try:
                    # The command name, in parentheses, may contain spaces; the parent is the second field after it.
                    parents[pid] = (proc / pid / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
                except (OSError, IndexError):
                    continue  # it has just ended, or it is hidden
            mains = {pid for pid, parent in parents.items() if parent not in members}
            return sum(parent in mains for parent in parents.values()) if mains else None
    return None


def judge_workers(unit: str | None, expected: int | None) -> Finding:
    """Say whether the gateway lacks workers; "unknown" is ok, because not seeing them proves nothing."""
    if unit is None or expected is None:
        return Finding(True, "unknown", "no unit or number of workers is configured")
    children = count_children(unit)
    if children is None:
        return Finding(True, "unknown", f"the processes of {unit} cannot be seen from here")
    # With one worker the gateway may run it in the main process.
    if children < expected and expected > 1:
        return Finding(False, "short", f"{children} of {expected} worker processes exist")
    return Finding(True, "ok", f"{children} child processes exist for {expected} workers")
