"""What backups need on a host before anything is configured: pgBackRest, its folders, the programs that drive it."""

from __future__ import annotations

from shlex import quote

from deploys import operations
from deploys.components.backups_site import PROGRAMS, STATE, Backups
from deploys.lib.programs import program_folder
from deploys.lib.tools import put_programs


def install(prefix: str, plan: Backups, keeps: bool) -> None:
    """Operations, their names after ``prefix``; ``keeps`` says whether the repository is a folder of this host."""
    operations.packages(name=f"{prefix} | Packages for backups", names=["pgbackrest"])
    # Whoever gathers metrics may look for them; what is noted beside them is no secret, and closed by its own mode.
    modes = {STATE: "755", f"{STATE}/metrics": "755", f"{STATE}/lock": "750", **({plan.s.path: "750"} if keeps else {})}
    operations.unless(
        name=f"{prefix} | Folders for backups",
        test=" && ".join(f'[ "$(stat -c "%a %U" {quote(d)})" = "{mode} postgres" ]' for d, mode in modes.items()),
        command=" && ".join(f"install -d -m {mode} -o postgres -g postgres {quote(d)}" for d, mode in modes.items()),
    )
    what = f"{prefix} | What makes, tries and restores backups"
    put_programs(what, program_folder("backups", PROGRAMS), PROGRAMS)
