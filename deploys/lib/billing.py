"""The bill of materials of one host, asked for and written on the controlling machine; nothing changes on the host."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pyinfra import host

from deploys import facts
from deploys.lib import provenance
from deploys.lib.apply import selected, stop
from deploys.lib.bill import BillError, parts
from deploys.lib.bill_document import document
from deploys.lib.component import Component, Here
from deploys.lib.pyinfra_host import release
from deploys.lib.render import ROOT
from deploys.lib.report import say

# The key of `--data` that says where bills go, and where they go without it.
KEY, FOLDER = "to", "sbom"


def write_bill(components: Sequence[Component], place: Here) -> None:
    """Write ``FOLDER/HOST.cdx.json``. Stops, with nothing written, when a part of the host cannot be asked."""
    commands = {one.name: one.bill(place) for one in components if selected(one, place) and one.bill(place)}
    if not commands:
        say("nothing of Portcullis is on this host")
        return
    folder = ROOT / str(host.data.get(KEY) or FOLDER)
    try:
        found = parts(host.get_fact(facts.Bill, commands=commands).splitlines())
    except BillError as error:
        stop([f"{host.name}: {error}; has everything been deployed there?"])
    text = document(host.name, release(host.name), found, provenance.revision())
    try:
        path = _write(folder / f"{host.name.replace('/', '_')}.cdx.json", text)
    except OSError as error:
        stop([f"{KEY}: {folder}: {error.strerror}"])
    counts = {kind: sum(part.kind == kind for part in found) for kind in dict.fromkeys(part.kind for part in found)}
    say(f"{path}: {', '.join(f'{count} {kind}' for kind, count in counts.items())}")


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(text)
    os.replace(part, path)
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
