"""What every host needs before any component: trusted authorities, a few packages, and the tool that switches files."""

from __future__ import annotations

import re
from pathlib import Path

from deploys import operations
from deploys.lib import bill, pyenv
from deploys.lib.component import Component, ConfigFile, Here, Probe, Provision
from deploys.lib.settings import Settings
from deploys.lib.sizing import Demand, Machine
from deploys.lib.tools import install_tools
from deploys.lib.transaction import STATE

PACKAGES = ["ca-certificates", "curl", "iproute2", "procps", "python3", "zstd"]
AUTHORITIES = "/usr/local/share/ca-certificates"
TRUSTED = f"{STATE}/authorities"


class BaseSettings(Settings):
    """Nothing of its own: keys such as ``extra_ca_certificates`` belong to the run."""


def demand(s: BaseSettings, machine: Machine, tenants: frozenset[str]) -> Demand:
    """Nothing runs, so nothing is asked for: the host's reserve covers it."""
    return Demand(0)


def install(here: Here) -> None:
    operations.packages(name="base | Packages", names=PACKAGES)
    install_tools("base")


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


def refusals(here: Here) -> list[Probe]:
    """A ``backup_root`` that somebody else uses: who owns it or writes to it can exchange what is put back to /etc."""
    root = here.member.host.backup_root
    refuse = f"refuse() {{ echo 'backup_root: {root}' \"$1\"; exit 1; }}"
    return [
        Probe(
            "backup_root is a folder of its own",
            f"{refuse}; [ -e {root} ] || [ -L {root} ] || exit 0; [ -d {root} ] || refuse 'is not a folder'; "
            f"owner=$(stat -L -c %U {root}) mode=$(stat -L -c %a {root}); "
            '[ "$owner" = root ] || refuse "belongs to $owner; name a folder that is for root alone"; '
            # One for root alone may be what an earlier run has made, with its copies in it.
            f'[ "$mode" != 700 ] || exit 0; [ -z "$(ls -A {root})" ] || refuse "has other things in it and is open to '
            'other users (mode $mode); name a new folder, such as /var/backups/portcullis"; '
            'case $mode in *[2367]? | *[2367]) refuse "can be written to by others (mode $mode)" ;; esac',
        ),
        Probe(
            "backup_root has room",
            f'near={root}; while [ ! -e "$near" ]; do near=$(dirname "$near"); done; '
            'free=$(df --output=avail -m "$near" | tail -n 1 | tr -d " "); [ "$free" -ge 20 ] || { '
            f'echo "backup_root: {root} has $free MB left, and a copy of whatever changes goes there; make room, '
            'or name another folder"; exit 1; }',
        ),
    ]


def provisions(here: Here) -> list[Provision]:
    """The host trusts exactly the extra authorities that are there; told again when a run brings others back."""
    wanted = f"cat {AUTHORITIES}/portcullis-*.crt 2>/dev/null | sha256sum"
    return [
        Provision(
            "Trust the extra authorities",
            f'[ "$({wanted})" = "$(cat {TRUSTED} 2>/dev/null)" ]',
            f"update-ca-certificates --fresh >/dev/null && {wanted} >{TRUSTED}.part && mv -f {TRUSTED}.part {TRUSTED}",
        )
    ]


def materials(here: Here) -> list[str]:
    """Every package of the host, and what installs Python environments, where it has been needed."""
    uv = bill.installed(pyenv.UV, f"{pyenv.UV}.txt")
    return [bill.PACKAGES, f"[ ! -d {pyenv.UV} ] || {uv}"]


BASE = Component(
    name="base",
    settings=BaseSettings,
    demand=demand,
    install=install,
    files=authorities,
    problems=problems,
    refusals=refusals,
    provisions=provisions,
    bill=materials,
    group="all",
)
