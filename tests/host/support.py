"""The hosts of an inventory as the tests ask them: what each should be, and a way to run things on it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import testinfra
from pydantic import SecretStr
from pyinfra.connectors.ssh import SSHConnector

from deploys import facts
from deploys.components import COMPONENTS
from deploys.lib.component import Component, Here
from deploys.lib.render import ROOT
from deploys.lib.secrets import read_env_file, read_secret
from deploys.lib.survey import HostData, survey

PYINFRA = ROOT / ".venv" / "bin" / "pyinfra"
COMPONENT_OF = {component.name: component for component in COMPONENTS}


@dataclass(frozen=True)
class Done:
    """What a command on a host said."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Transport:
    """How to reach one host: the command line that runs a shell there, and testinfra's name for it."""

    shell: tuple[str, ...]
    testinfra: str
    testinfra_options: Mapping[str, Any]


def transport(name: str, data: Mapping[str, Any]) -> Transport:
    """The way pyinfra takes to the host, for ssh and for testinfra."""
    sudo = bool(data.get("_sudo"))
    become = ("sudo", "-n") if sudo else ()
    if name == "@local":
        return Transport(become, "local://", {"sudo": sudo})
    if name.startswith("@docker/"):
        container = name.partition("/")[2]
        return Transport(("docker", "exec", "-i", container, *become), f"docker://{container}", {"sudo": sudo})
    address, port = str(data.get("ssh_hostname", name)), int(data.get("ssh_port", 22))
    options = ["-o", "BatchMode=yes", "-o", "ControlMaster=auto", "-o", "ControlPersist=60"]
    options += ["-o", "ControlPath=~/.ssh/portcullis-%C", "-o", "ConnectTimeout=15"]
    if known := data.get("ssh_known_hosts_file"):
        options += ["-o", f"UserKnownHostsFile={known}"]
    if key := data.get("ssh_key"):
        options += ["-i", str(key), "-o", "IdentitiesOnly=yes"]
    user = f"{data['ssh_user']}@" if data.get("ssh_user") else ""
    (Path.home() / ".ssh").mkdir(mode=0o700, exist_ok=True)
    return Transport(
        ("ssh", *options, "-p", str(port), f"{user}{address}", *become),
        f"ssh://{user}{address}:{port}",
        {"sudo": sudo, "ssh_extra_args": shlex.join(options).replace("'~/", "'" + str(Path.home()) + "/")},
    )


class Server:
    """One deployed host: what it should be (``here``), and how to ask it."""

    def __init__(self, name: str, data: Mapping[str, Any], stored: Mapping[str, str]) -> None:
        self.name = name
        self.data = data
        self.stored = stored
        self._way = transport(name, data)
        self.here: Here

    def sh(self, script: str, seconds: float = 60) -> Done:
        """Run a shell script as root. It travels over standard input, so nothing in it is in a command line."""
        return self._feed(("sh", "-s"), script, seconds)

    def python(self, script: str, seconds: float = 120) -> Done:
        """Run a Python script as root with the host's Python, over standard input too."""
        return self._feed(("python3", "-"), script, seconds)

    def _feed(self, program: Sequence[str], script: str, seconds: float) -> Done:
        done = subprocess.run(
            [*self._way.shell, *program], input=script, capture_output=True, text=True, timeout=seconds, check=False
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def unpack(self, archive: bytes, folder: str, seconds: float = 60) -> None:
        """Put the files of a tar archive into a new folder of the host."""
        self.out(f"mkdir -p {folder}")
        subprocess.run([*self._way.shell, "tar", "-xzf", "-", "-C", folder], input=archive, timeout=seconds, check=True)

    def out(self, script: str, seconds: float = 60) -> str:
        """What a shell script prints; a failing one fails the test."""
        done = self.sh(script, seconds)
        assert done.status == 0, f"{self.name}: `{script[:200]}` ended with {done.status}: {done.out}{done.err}"
        return done.out.strip()

    @cached_property
    def testinfra(self) -> Any:
        """The host as testinfra knows it."""
        return testinfra.get_host(self._way.testinfra, **self._way.testinfra_options)

    def has(self, component: str) -> bool:
        return self.here.member.has(component)

    @property
    def components(self) -> list[Component]:
        """Components this host has."""
        return [component for component in COMPONENTS if self.has(component.name)]

    @property
    def processes(self) -> list[tuple[Component, str]]:
        """Components with a unit whose process stays, and that unit: what changes the host itself has none."""
        units = [(component, unit) for component in self.components if (unit := component.unit_on(self.here))]
        types = self.out(f"systemctl show -P Type {' '.join(unit for _, unit in units)}").split()
        return [one for one, type_ in zip(units, types, strict=True) if type_ != "oneshot"]

    @property
    def address(self) -> str:
        """The address under which this machine reaches the host."""
        return str(self.data.get("ssh_hostname", self.name))


@cache
def debug_inventory(inventory: str, lab: str = "") -> list[dict[str, Any]]:
    """Every host of an inventory with its groups and data, as pyinfra sees them."""
    environment = {**os.environ, **({"PORTCULLIS_LAB": lab} if lab else {})}
    done = subprocess.run(
        [str(PYINFRA), inventory, "debug-inventory", "--json"],
        capture_output=True, text=True, cwd=ROOT, env=environment, check=False,
    )  # fmt: skip
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(f"pyinfra cannot read {inventory}: {done.stderr.strip()[-400:]}")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def secrets_of(groups: Sequence[str]) -> dict[str, str]:
    """Values of the secrets files that belong to these groups; the inventory's file is one of them."""
    values: dict[str, str] = {}
    for group in groups:
        path = ROOT / "secrets" / f"{group}.env"
        if path.is_file():
            values.update(read_env_file(path))
    return values


@cache
def servers(inventory: str, lab: str = "") -> tuple[Server, ...]:
    """The deployed hosts of an inventory, with the settings and sizes the project plans for them."""
    described = debug_inventory(inventory, lab)
    made = {one["name"]: Server(one["name"], one["data"], secrets_of(one["groups"])) for one in described}
    members = survey([_host_data(one, made[one["name"]]) for one in described], COMPONENTS)
    for member in members:
        made[member.name].here = Here(member, members)
    return tuple(made[member.name] for member in members if set(member.settings) - {"base"})


def _host_data(one: Mapping[str, Any], server: Server) -> HostData:
    hardware, release = facts.Hardware(), facts.Release()
    system = cache(lambda: release.process(server.out(release.command()).splitlines()))

    def resolve(reference: str) -> SecretStr:
        return read_secret(reference, server.stored, "secrets/")

    return HostData(
        name=one["name"],
        groups=tuple(one["groups"]),
        data=one["data"],
        connector_keys=frozenset(SSHConnector.data_meta),
        resolve=resolve,
        measure=lambda: hardware.process(server.out(hardware.command()).splitlines()),
        release=lambda: system().get("VERSION_ID", ""),
        name_servers=lambda: tuple(system().get("NAME_SERVERS", "").split()),
    )


def distinct(secret: str) -> str:
    """What a secret is looked for by; of a key in PEM a line from its middle: its first is in every key, and in
    programs."""
    lines = secret.splitlines()
    return lines[len(lines) // 2]


def secret_values(server: Server) -> dict[str, str]:
    """Every secret of the deployment by its name, those from the environment included."""
    found = dict(server.stored)
    for member in server.here.site:
        for component, settings in member.settings.items():
            for field in type(settings).model_fields:
                value = getattr(settings, field)
                if isinstance(value, SecretStr):
                    found[f"{component}_{field}"] = distinct(value.get_secret_value())
    return found
