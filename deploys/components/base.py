"""What every host needs before any component: trusted authorities, a few packages, and the tool that switches files."""

from __future__ import annotations

import re
from pathlib import Path

from pyinfra.operations import files

from deploys import operations
from deploys.lib.component import Component, ConfigFile, Here
from deploys.lib.render import ROOT
from deploys.lib.settings import Settings
from deploys.lib.sizing import Demand, Machine
from deploys.lib.transaction import TOOLS

PACKAGES = ["ca-certificates", "curl", "iproute2", "procps", "python3", "zstd"]
AUTHORITIES = "/usr/local/share/ca-certificates"


class BaseSettings(Settings):
    """Nothing of its own: keys such as ``extra_ca_certificates`` belong to the run."""


def demand(s: BaseSettings, machine: Machine, tenants: frozenset[str]) -> Demand:
    """Nothing runs, so nothing is asked for: the host's reserve covers it."""
    return Demand(0)


def install(here: Here) -> None:
    operations.packages(name="base | Packages", names=PACKAGES)
    files.put(
        name="base | The tool that switches files",
        src=str(ROOT / "payload" / "host" / "transact"),
        dest=f"{TOOLS}/transact",
        mode="755",
        user="root",
        group="root",
    )


def authorities(here: Here) -> list[ConfigFile]:
    """Certificate authorities to trust as well, as files on the host."""
    return [
        ConfigFile(f"{AUTHORITIES}/portcullis-{Path(path).stem}.crt", Path(path).read_text(), effect="none")
        for path in here.member.host.extra_ca_certificates
    ]


def problems(here: Here) -> list[str]:
    """Certificate files that cannot be used."""
    found = []
    for path in here.member.host.extra_ca_certificates:
        try:
            text = Path(path).read_text()
        except (OSError, UnicodeDecodeError) as error:
            found.append(f"extra_ca_certificates: {path} cannot be read: {error.__class__.__name__}")
            continue
        if not re.fullmatch(r"[A-Za-z0-9._-]+", Path(path).name):
            found.append(
                f"extra_ca_certificates: {path}: letters, digits, dots, dashes and underscores only, in its name"
            )
        if [Path(other).stem for other in here.member.host.extra_ca_certificates].count(Path(path).stem) > 1:
            found.append(f"extra_ca_certificates: {path} has the same name as another one; rename one of them")
        if "-----BEGIN CERTIFICATE-----" not in text or "PRIVATE KEY" in text:
            found.append(f"extra_ca_certificates: {path} is not a PEM certificate")
    return found


def provision(here: Here) -> None:
    wanted = authorities(here)
    operations.step(
        name="base | Trust the extra authorities",
        key="base-authorities",
        script=f"for file in {AUTHORITIES}/portcullis-*.crt; do\n"
        # One that is no longer in the settings must no longer be trusted.
        f'    case $file in {" | ".join([file.path for file in wanted] or ["-"])}) ;; *) rm -f "$file" ;; esac\n'
        "done\nupdate-ca-certificates --fresh",
        inputs="".join(f"{file.path}\n{file.text}" for file in wanted),
    )


BASE = Component(
    name="base",
    settings=BaseSettings,
    demand=demand,
    install=install,
    files=authorities,
    problems=problems,
    provision=provision,
    group="all",
)
