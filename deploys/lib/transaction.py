"""The pure half of changing a component: what is compared, what is sent to the host, what a difference is called."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from shlex import quote

from deploys.lib.component import ConfigFile, Effect, Link, Probe
from deploys.lib.provenance import MARK, body
from deploys.lib.render import ROOT

STATE = "/var/lib/portcullis"
TOOLS = "/usr/local/lib/portcullis"
# The program that switches files on the host, and what it reads when it starts.
PROGRAM = tuple(ROOT / "payload" / "host" / name for name in ("transact-lib", "transact"))


@cache
def program_folder() -> str:
    """The folder of ``PROGRAM`` on a host, by its content.

    A shell reads its script while it runs it: one that an earlier run left at work must not find another in its place.
    """
    whole = b"\0".join(path.read_bytes() for path in PROGRAM)
    return f"{TOOLS}/transact-{hashlib.sha256(whole).hexdigest()[:12]}"


@dataclass(frozen=True)
class Change:
    """Everything one component wants changed on one host, ready to be compared and sent."""

    component: str
    items: tuple[ConfigFile | Link, ...]
    unit: str = ""
    extra_units: tuple[str, ...] = ()
    stopped_units: tuple[str, ...] = ()
    check: tuple[str, ...] = ()
    ready: str = "true"
    ready_seconds: int = 60
    check_seconds: int = 120
    outdated: tuple[Probe, ...] = ()
    note: str = "{}"

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(item.path for item in self.items)


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
    """What a host has of a component: its files, and its unit's state and times (seconds since the epoch)."""

    files: dict[str, Found]
    active: bool = True
    enabled: bool = True
    started: float = 0.0
    reloaded: float = 0.0
    pending: bool = False
    outdated: tuple[str, ...] = ()


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
        f'"$(sed "/^{MARK}/d" <"$1" | sha256sum | cut -c 1-64)" "$(stat -c %a "$1")" "$(stat -c \'%U %G\' "$1")"; '
        "else printf 'absent\\t%s\\n' \"$1\"; fi; }"
    ]
    lines += [f"look {quote(path)}" for path in change.paths]
    lines.append(f"[ -s {STATE}/pending/{change.component} ] && echo pending")
    if change.unit:
        unit = quote(change.unit)
        lines.append(
            f"moment() {{ t=$(systemctl show --timestamp=us+utc -p $1 --value {unit} 2>/dev/null); "
            '[ -n "$t" ] && t=$(date -d "$t" +%s.%N) || t=0; printf \'%s\\t%s\\n\' "$1" "$t"; }'
        )
        lines.append(f"printf 'active\\t%s\\n' \"$(systemctl is-active {unit} 2>/dev/null)\"")
        lines.append(f"printf 'enabled\\t%s\\n' \"$(systemctl is-enabled {unit} 2>/dev/null)\"")
        lines += ["moment ExecMainStartTimestamp", "moment StateChangeTimestamp"]
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
        else:
            words[kind] = rest[0] if rest else "yes"
    return State(
        files,
        active=words.get("active", "active") in ("active", "reloading"),
        enabled=words.get("enabled", "enabled") in ("enabled", "enabled-runtime", "static", "alias", "indirect"),
        started=float(words.get("ExecMainStartTimestamp", 0)),
        reloaded=float(words.get("StateChangeTimestamp", 0)),
        pending="pending" in words,
        outdated=tuple(outdated),
    )


def digest(item: ConfigFile) -> str:
    return hashlib.sha256(body(item.text).encode()).hexdigest()


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
    """What the service needs because it is older than its files: ``start``, ``restart``, ``reload`` or nothing."""
    if not change.unit:
        return ""
    if not state.active:
        return "start"
    needed: Effect | str = ""
    for item in change.items:
        changed = state.files.get(item.path, Found("absent")).changed
        if item.effect == "restart" and changed > state.started:
            return "restart"
        if item.effect == "reload" and changed > max(state.started, state.reloaded):
            needed = "reload"
    return needed


def reasons(change: Change, state: State) -> list[str]:
    """Why this component has to be worked on, as short clauses; empty when everything is as wanted."""
    why = [f"{path} differs" for path in differing(change, state)]
    if needed := effect(change, state):
        why.append({"start": f"{change.unit} does not run"}.get(needed, f"{change.unit} is older than its files"))
    if not state.enabled:
        why.append("a unit is not enabled, or runs and should not")
    if state.pending:
        why.append("an earlier run was cut off")
    return [*why, *state.outdated]


def _member(archive: tarfile.TarFile, name: str, text: str) -> None:
    data = text.encode()
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o600
    archive.addfile(info, io.BytesIO(data))


def bundle(change: Change) -> str:
    """What ``payload/host/transact`` works from, as base64 of a tar archive.

    It travels over standard input into a folder only root can enter: no secret is in a command line, and none lies
    in a temporary file that others could read on the way.
    """
    rows = []
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=6) as archive:
        for number, item in enumerate(change.items, 1):
            if isinstance(item, Link):
                rows.append(["link", "-", "-", "-", item.effect, item.path, item.target])
            else:
                rows.append(["file", item.mode, item.user, item.group, item.effect, item.path, ""])
                _member(archive, f"f/{number}", item.text)
        _member(archive, "files.tsv", "".join("\t".join(row) + "\n" for row in rows))
        plan = {
            "unit": change.unit,
            "extra_units": " ".join(change.extra_units),
            "stopped_units": " ".join(change.stopped_units),
            "ready_seconds": str(change.ready_seconds),
            "check_seconds": str(change.check_seconds),
        }
        _member(archive, "plan", "".join(f"{name}={quote(value)}\n" for name, value in plan.items()))
        _member(archive, "check.sh", "".join(f"{line}\n" for line in ("set -e", *change.check)) if change.check else "")
        _member(archive, "ready.sh", change.ready + "\n")
        _member(archive, "provenance.json", change.note)
    return base64.encodebytes(buffer.getvalue()).decode()
