"""The run ledger and the lock of a host, as text: what is asked there, what the answers mean, what people are told."""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from shlex import quote
from typing import Any

from deploys.lib.programs import TOOLS
from deploys.lib.provenance import revision, who
from deploys.lib.transaction import program_folder

# Taken once per process, in an imported module, so that all hosts of a run share it. UTC, and sorts by time; two
# operators who begin in the same second have runs of their own.
RUN_ID = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
# On a file system that a restart empties: no run survives one.
LOCK = "/run/portcullis"


def program() -> str:
    """The ledger's program on a host."""
    return f"{program_folder()}/ledger"


def there() -> str:
    """Shell text that sets `$ledger` to the program a host has: of another revision, when that was there last."""
    return f"ledger={program()}; [ -x $ledger ] || ledger=$(ls -t {TOOLS}/transact-*/ledger 2>/dev/null | head -n 1)"


def begins(word: str) -> str:
    """Shell text that stands before every change: it is noted first, and not made by a run that lost its lock.

    A bare host has no Python yet to note it with; what comes first there is that.
    """
    return f"[ ! -x {program()} ] || {program()} begin {RUN_ID} {quote(word)} || exit 1; "


@cache
def machine() -> str:
    """This controlling machine, as far as a lock has to tell it from others."""
    path = Path("/etc/machine-id")
    known = path.read_text().strip()[:12] if path.is_file() else ""
    # Processes of another container are not seen here, and would all look dead.
    space = os.readlink("/proc/self/ns/pid") if os.path.islink("/proc/self/ns/pid") else ""
    return " ".join(word for word in (socket.gethostname(), known, space) if word)


def _born(pid: int) -> str:
    """When a process of this machine began, in clock ticks since boot; empty when there is none such."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        pass  # somebody else's, of which one may not ask more
    return "alive"


def lock(kind: str, command: str, root: str, keep_runs: int, keep_days: int) -> dict[str, Any]:
    """What a run writes into a host's lock, and from there into its entry of the ledger."""
    return {
        "run": RUN_ID,
        "kind": kind,
        "who": who(),
        "machine": machine(),
        "pid": os.getpid(),
        "born": _born(os.getpid()),
        "revision": revision(),
        "command": command,
        "root": root,
        "keep_runs": keep_runs,
        "keep_days": keep_days,
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def is_dead(holder: Mapping[str, Any]) -> bool:
    """Whether the run that holds a lock was of this machine and has ended: then nobody can be disturbed."""
    if holder.get("machine") != machine():
        return False
    born = _born(int(holder.get("pid", 0)))
    # Without /proc it is known only that there is such a process.
    return born == "" or (born != holder.get("born") and "alive" not in (born, holder.get("born")))


def take(text: Mapping[str, Any], instead_of: str) -> str:
    """Shell text that takes a host's lock, also from the run ``instead_of``; its output is for ``taken``."""
    known = 'sed -n \'s/.*"run": "\\([^"]*\\)".*/\\1/p\' lock 2>/dev/null'
    return (
        f"umask 077; mkdir -p {LOCK} && cd {LOCK} || exit 1; exec 9>guard; flock 9; holder=$({known}); "
        f'case "$holder" in "" | {RUN_ID} | {quote(instead_of or RUN_ID)}) '
        f"printf '%s\\n' {quote(json.dumps(text))} >lock.part && mv -f lock.part lock && echo taken ;; "
        "*) cat lock; echo $(($(date +%s) - $(stat -c %Y lock))); systemctl list-units --no-legend --plain "
        "--state=active,activating,deactivating 'portcullis-step-*' 'portcullis-transact-*' | cut -d ' ' -f 1 ;; esac"
    )


@dataclass(frozen=True)
class Taken:
    """The answer to ``take``: who holds the lock when it was not given, how long ago it gave a sign of life."""

    held: Mapping[str, Any] = field(default_factory=dict)
    silent_seconds: int = 0
    at_work: tuple[str, ...] = ()


def taken(output: Sequence[str]) -> Taken:
    """Read the output of ``take``."""
    if list(output) == ["taken"]:
        return Taken()
    holder: dict[str, Any] = json.loads(output[0])
    return Taken(holder, int(output[1]), tuple(output[2:]))


def span(seconds: int) -> str:
    """A time in the largest unit that says something."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def explain(host: str, answer: Taken) -> str:
    """Why a run cannot begin on a host, and what to do."""
    holder = answer.held
    work = f"; on the host {', '.join(answer.at_work)} is at work" if answer.at_work else ""
    return (
        f"{host}: run {holder.get('run')} of {holder.get('who')} ({holder.get('command')}, since "
        f"{holder.get('since')}) holds the lock; its last sign of life was {span(answer.silent_seconds)} ago{work}. "
        "Wait until it is over; "
        f"if you know that it is dead, take its place: --data take_over={holder.get('run')}"
    )


def let_go(outcome: str, problem: str) -> str:
    """Shell text that ends this run on a host: its entry of the ledger, then its lock."""
    end = f"{program()} end {RUN_ID} {outcome} {quote(problem)}" if problem else f"{program()} end {RUN_ID} {outcome}"
    return (
        f'cd {LOCK} 2>/dev/null || exit 0; grep -q \'"run": "{RUN_ID}"\' lock 2>/dev/null || exit 0; '
        f"[ ! -x {program()} ] || {end}; done=$?; exec 9>guard; flock 9; "
        f'grep -q \'"run": "{RUN_ID}"\' lock && rm -f lock; exit $done'
    )
