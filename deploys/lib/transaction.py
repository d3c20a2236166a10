"""The pure half of changing a component: what is compared, and what a difference is called."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf
from shlex import quote

from deploys.lib import programs
from deploys.lib.bundle import Change, members
from deploys.lib.component import ConfigFile, Effect, Link
from deploys.lib.provenance import UNMARKED, body
from deploys.lib.render import ROOT

STATE = "/var/lib/portcullis"
# What undoing may take on the host: back_seconds of payload/host/transact-confirm, and five minutes for the rest.
UNDO_SECONDS = 1200
# What a bundle has for going back and no file of the component shows; payload/host/ledger_data.py and `ledger tell`.
KEPT = ("provisions.json", "data.sh", "store.sh")
# The digest of nothing at all, which is what a host has of it before the first run.
NOTHING = hashlib.sha256().hexdigest()
# The program that switches files on the host, and what it reads when it starts.
PROGRAM = tuple(
    ROOT / "payload" / "host" / name
    for name in (
        "ledger_entries.py",
        "ledger_shown.py",
        "ledger_plan.py",
        "ledger_data.py",
        "ledger_prune.py",
        "guard-lib",
        "ledger",
        "transact-lib",
        "transact-confirm",
        "transact",
    )
)


@cache
def program_folder() -> str:
    """The folder of ``PROGRAM`` on a host."""
    return programs.program_folder("transact", PROGRAM)


@dataclass(frozen=True)
class Found:
    """What a host has at one path: ``content`` is the sha256 of a file's ``body``, and the target of a link."""

    kind: str
    content: str = ""
    mode: str = ""
    owner: str = ""
    changed: float = 0.0


@dataclass(frozen=True)
class State:
    """What a host has of a component: its files, its unit's state and times, and ``now`` (seconds since the epoch)."""

    files: dict[str, Found]
    active: bool = True
    enabled: bool = True
    started: float = 0.0
    reloaded: float = 0.0
    pending: bool = False
    outdated: tuple[str, ...] = ()
    obsolete: tuple[str, ...] = ()
    kept: str = ""
    now: float = inf


def calendar_checks(items: Iterable[ConfigFile | Link]) -> list[str]:
    """Shell text that refuses a timer whose time systemd does not understand: enabling it would fail half-way."""
    checks = []
    for item in items:
        if isinstance(item, ConfigFile) and item.path.endswith(".timer"):
            for time in re.findall(r"^OnCalendar=(.+)$", item.text, re.MULTILINE):
                why = f"{item.path}: {time!r} is no time that systemd understands; see: man systemd.time"
                checks.append(
                    f"systemd-analyze calendar {quote(time)} >/dev/null 2>&1 || {{ echo {quote(why)}; exit 1; }}"
                )
    return checks


def question(change: Change) -> str:
    """The shell command whose output ``parse`` reads. Nothing secret is in it or comes out of it."""
    lines = [
        'look() { if [ -L "$1" ]; then printf \'link\\t%s\\t%s\\t%s\\n\' "$1" "$(stat -c %.9Y "$1")" '
        '"$(readlink "$1")"; '
        'elif [ -f "$1" ]; then printf \'file\\t%s\\t%s\\t%s\\t%s\\t%s\\n\' "$1" "$(stat -c %.9Y "$1")" '
        f'"$({UNMARKED} <"$1" | sha256sum | cut -c 1-64)" "$(stat -c %a "$1")" "$(stat -c \'%U %G\' "$1")"; '
        "else printf 'absent\\t%s\\n' \"$1\"; fi; }"
    ]
    lines += [f"look {quote(path)}" for path in change.paths]
    lines.append(f"[ -s {STATE}/pending/{change.component} ] && echo pending")
    served = f"{STATE}/served/{change.component}"
    kept = " ".join(f"{served}/{name}" for name in KEPT)
    lines.append(f"printf 'kept\\t%s\\n' \"$(cat {kept} 2>/dev/null | sha256sum | cut -c 1-64)\"")
    lines.append(f"cut -s -f 6 {served}/files.tsv 2>/dev/null | sed 's/^/listed\\t/'")
    if change.unit:
        unit = quote(change.unit)
        lines.append(
            f"moment() {{ t=$(systemctl show --timestamp=us+utc -p $1 --value {unit} 2>/dev/null); "
            '[ -n "$t" ] && t=$(date -d "$t" +%s.%N) || t=0; printf \'%s\\t%s\\n\' "$1" "$t"; }'
        )
        lines.append(f"printf 'active\\t%s\\n' \"$(systemctl is-active {unit} 2>/dev/null)\"")
        lines.append(f"printf 'enabled\\t%s\\n' \"$(systemctl is-enabled {unit} 2>/dev/null)\"")
        lines += ["moment ExecMainStartTimestamp", "moment StateChangeTimestamp", "date '+now%t%s.%N'"]
    for extra in change.extra_units:
        lines.append(
            f"systemctl is-active --quiet {quote(extra)} && systemctl is-enabled --quiet {quote(extra)} "
            f"|| echo 'enabled\tno'"
        )
    for probe in change.outdated:
        lines.append(f"( {probe.command} ) >/dev/null 2>&1 || printf 'outdated\\t%s\\n' {quote(probe.name)}")
    for stopped in change.stopped_units:
        lines.append(f"systemctl is-active --quiet {quote(stopped)} && echo 'enabled\tno'")
    return "; ".join([*lines, "true"])


def parse(lines: Sequence[str]) -> State:
    """Read the output of ``question``."""
    files: dict[str, Found] = {}
    words: dict[str, str] = {}
    outdated: list[str] = []
    listed: list[str] = []
    for line in lines:
        kind, *rest = line.split("\t")
        if kind == "file" and len(rest) == 5:
            path, changed, digest, mode, owner = rest
            files[path] = Found("file", digest, mode, owner, float(changed))
        elif kind == "link" and len(rest) == 3:
            files[rest[0]] = Found("link", rest[2], changed=float(rest[1]))
        elif kind == "absent":
            files[rest[0]] = Found("absent")
        elif kind == "enabled":
            # One unit that is not enabled is enough.
            words["enabled"] = rest[0] if words.get("enabled") != "no" else "no"
        elif kind == "outdated":
            outdated.append(rest[0])
        elif kind == "listed":
            listed.append(rest[0])
        else:
            words[kind] = rest[0] if rest else "yes"
    return State(
        files,
        active=words.get("active", "active") in ("active", "reloading"),
        enabled=words.get("enabled", "enabled") in ("enabled", "enabled-runtime", "static", "alias", "indirect"),
        started=float(words.get("ExecMainStartTimestamp", 0)),
        reloaded=float(words.get("StateChangeTimestamp", 0)),
        now=float(words.get("now", inf)),
        pending="pending" in words,
        outdated=tuple(outdated),
        obsolete=tuple(path for path in listed if path not in files),
        kept=words.get("kept", ""),
    )


def digest(item: ConfigFile) -> str:
    return hashlib.sha256(body(item.text).encode()).hexdigest()


def kept(change: Change) -> str:
    """The digest of what a host's ledger keeps of a component beside its files."""
    made = members(change)
    return hashlib.sha256("".join(made[name] for name in KEPT).encode()).hexdigest()


def _differs(item: ConfigFile | Link, found: Found) -> bool:
    if isinstance(item, Link):
        return (found.kind, found.content) != ("link", item.target)
    wanted = ("file", digest(item), item.mode.lstrip("0"), f"{item.user} {item.group}")
    return (found.kind, found.content, found.mode, found.owner) != wanted


def differing(change: Change, state: State) -> list[str]:
    """Paths whose content, mode or owner is not as wanted."""
    absent = Found("absent")
    return [item.path for item in change.items if _differs(item, state.files.get(item.path, absent))]


def effect(change: Change, state: State) -> str:
    """What the service needs because it is older than its files: ``start``, ``restart``, ``reload`` or nothing.

    A start that the host's clock has yet to reach is from before it was set back: what is written now looks older.
    """
    if not change.unit:
        return ""
    if not state.active:
        return "start"
    if _from_the_future(change, state):
        return "restart"
    needed: Effect | str = ""
    reloaded = state.reloaded if state.reloaded <= state.now else 0
    for item in change.items:
        changed = state.files.get(item.path, Found("absent")).changed
        if item.effect == "restart" and changed > state.started:
            return "restart"
        if item.effect == "reload" and changed > max(state.started, reloaded):
            needed = "reload"
    return needed


def _from_the_future(change: Change, state: State) -> bool:
    there = (
        state.files.get(item.path, Found("absent")).kind != "absent" for item in change.items if item.effect != "none"
    )
    return state.started > state.now and any(there)


def _leaves_no_trace(change: Change, state: State) -> bool:
    """Whether a component has nothing to put in place here, and no run before has had; the ledger does not name it."""
    units = (change.unit, *change.extra_units, *change.stopped_units)
    wanted = (*change.items, *units, *change.provisions, *change.probes, change.data, change.store)
    return not any(wanted) and not state.pending and state.kept in ("", NOTHING)


def reasons(change: Change, state: State) -> list[str]:
    """Why this component has to be worked on, as short clauses; empty when everything is as wanted."""
    if _leaves_no_trace(change, state):
        return []
    why = [f"{path} differs" for path in differing(change, state)]
    if needed := effect(change, state):
        older = f"{change.unit} is older than its files"
        if _from_the_future(change, state):
            older = f"{change.unit} was started later than it is now by the host's clock, which was set back"
        why.append(f"{change.unit} does not run" if needed == "start" else older)
    if not state.enabled:
        why.append("a unit is not enabled, or runs and should not")
    if state.pending:
        why.append("an earlier run was cut off")
    why += [f"{path} is no longer wanted" for path in state.obsolete]
    if state.kept != kept(change):
        # What the ledger keeps must be what is told and asked now, or going back would do something older.
        why.append("what it is told once it answers, or asked about its data, differs")
    return [*why, *state.outdated]
