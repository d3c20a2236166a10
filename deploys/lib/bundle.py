"""What is sent to a host for one component: everything it should have, in the form the ledger keeps as well."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from dataclasses import dataclass
from shlex import quote

from deploys.lib.component import ConfigFile, Link, Probe, Provision


@dataclass(frozen=True)
class Change:
    """Everything one component wants changed on one host, ready to be compared and sent."""

    component: str
    items: tuple[ConfigFile | Link, ...]
    unit: str = ""
    extra_units: tuple[str, ...] = ()
    stopped_units: tuple[str, ...] = ()
    guard: tuple[str, ...] = ()
    data: str = ""
    store: str = ""
    check: tuple[str, ...] = ()
    ready: str = "true"
    ready_seconds: int = 60
    check_seconds: int = 120
    confirm_seconds: int = 0
    back: str = ""
    outdated: tuple[Probe, ...] = ()
    note: str = "{}"
    provisions: tuple[Provision, ...] = ()
    probes: tuple[Probe, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(item.path for item in self.items)


def provisions_text(change: Change) -> str:
    """What the service is told once it answers, secrets included, as JSON."""
    return json.dumps(
        [
            {
                "name": one.name,
                "test": one.test,
                "command": one.command,
                "stdin": one.stdin.get_secret_value() if one.stdin else "",
            }
            for one in change.provisions
        ]
    )


def _script(lines: tuple[str, ...]) -> str:
    return "".join(f"{line}\n" for line in ("set -e", *lines)) if lines else ""


def members(change: Change) -> dict[str, str]:
    """The bundle's files by name; ``payload/host/transact`` says what each is."""
    rows, made = [], dict[str, str]()
    for number, item in enumerate(change.items, 1):
        if isinstance(item, Link):
            rows.append(["link", "-", "-", "-", item.effect, item.path, item.target])
        else:
            rows.append(["file", item.mode, item.user, item.group, item.effect, item.path, ""])
            made[f"f/{number}"] = item.text
    plan = {
        "unit": change.unit,
        "extra_units": " ".join(change.extra_units),
        "stopped_units": " ".join(change.stopped_units),
        "ready_seconds": str(change.ready_seconds),
        "check_seconds": str(change.check_seconds),
        "confirm_seconds": str(change.confirm_seconds),
    }
    return made | {
        "files.tsv": "".join("\t".join(row) + "\n" for row in rows),
        "plan": "".join(f"{name}={quote(value)}\n" for name, value in plan.items()),
        "secret": "".join(f"{item.path}\n" for item in change.items if isinstance(item, ConfigFile) and item.secret),
        "guard.sh": _script(change.guard),
        "data.sh": f"{change.data}\n" if change.data else "",
        "store.sh": f"{change.store}\n" if change.store else "",
        "back.sh": f"{change.back}\n" if change.back else "",
        "check.sh": _script(change.check),
        "ready.sh": change.ready + "\n",
        "provisions.json": provisions_text(change),
        "probes.json": json.dumps([[one.name, one.command, one.seconds] for one in change.probes]),
        "provenance.json": change.note,
    }


def bundle(change: Change) -> str:
    """What ``payload/host/transact`` works from, as base64 of a tar archive.

    It travels over standard input into a folder only root can enter: no secret is in a command line, and none lies
    in a temporary file that others could read on the way.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=6) as archive:
        for name, text in members(change).items():
            data = text.encode()
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o600
            archive.addfile(info, io.BytesIO(data))
    return base64.encodebytes(buffer.getvalue()).decode()
