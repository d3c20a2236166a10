"""The programs that change a host and remember what they changed, put there before anything else."""

from __future__ import annotations

from pyinfra.operations import files

from deploys.lib.render import ROOT
from deploys.lib.transaction import PROGRAM, program_folder

VERSION = ROOT / "payload" / "host" / "portcullis-version"


def install_tools(prefix: str) -> None:
    """Upload what is missing; the names of its operations begin with ``prefix``."""
    programs = [("The tool that switches files and keeps the ledger", path, program_folder()) for path in PROGRAM]
    programs.append(("The command that says what made this host", VERSION, "/usr/local/bin"))
    for what, path, folder in programs:
        files.put(
            name=f"{prefix} | {what}, {path.name}",
            src=str(path),
            dest=f"{folder}/{path.name}",
            mode="755",
            user="root",
            group="root",
        )
