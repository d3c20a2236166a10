"""How programs of ours get onto a host; and those that change one and remember what they changed, before any other."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pyinfra.operations import files

from deploys import operations
from deploys.lib.programs import TOOLS
from deploys.lib.render import ROOT
from deploys.lib.transaction import PROGRAM, program_folder

VERSION = ROOT / "payload" / "host" / "portcullis-version"


def put_programs(what: str, folder: str, paths: Iterable[Path]) -> None:
    """Upload what ``folder`` misses of ``paths``, in their order; the names of its operations begin with ``what``.

    Users that are not root run some of them. The umask of whoever deploys may keep others out of folders it makes.
    """
    if folder.startswith(TOOLS):
        folders = list(dict.fromkeys((TOOLS, folder)))
        operations.unless(
            name=f"{what}, folder",
            test=" && ".join(f"[ \"$(stat -c '%a %U' {one})\" = '755 root' ]" for one in folders),
            command=f"install -d -m 0755 -o root -g root {' '.join(folders)}",
        )
    for path in paths:
        files.put(
            name=f"{what}, {path.name}",
            src=str(path),
            dest=f"{folder}/{path.name}",
            mode="755",
            user="root",
            group="root",
        )


def install_tools(prefix: str) -> None:
    """Upload what is missing; the names of its operations begin with ``prefix``."""
    put_programs(f"{prefix} | The tool that switches files and keeps the ledger", program_folder(), PROGRAM)
    put_programs(f"{prefix} | The command that says what made this host", "/usr/local/bin", [VERSION])
