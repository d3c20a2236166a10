"""The lab's command line: `python -m tests.lab up|down|list|mirror|litellm|programs|env`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from docker.errors import DockerException
from rich.console import Console
from rich.table import Table

from tests.lab import engine, images, inventory, mirror, programs
from tests.lab import lab as labs
from tests.lab.artefacts import base_image, litellm_python, tree
from tests.lab.cache import LabError
from tests.lab.hosts import SSH_USERS, Host


def parser() -> argparse.ArgumentParser:
    """The arguments and their help."""
    top = argparse.ArgumentParser(prog="python -m tests.lab", description="Disposable Debian hosts on this machine.")
    commands = top.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start a lab; quick where it runs already")
    up.add_argument("name")
    up.add_argument("--topology", choices=list(labs.TOPOLOGIES), default="single")
    up.add_argument("--suite", choices=images.SUITES, default="trixie")
    up.add_argument("--ssh-user", choices=SSH_USERS, default="root")
    up.add_argument("--hosts-only", action="store_true", help="do not build or start the artefact mirror")
    down = commands.add_parser("down", help="remove labs with everything in them")
    down.add_argument("names", nargs="*", metavar="NAME")
    down.add_argument("--all", action="store_true", help="remove every lab, the mirror and the network")
    commands.add_parser("list", help="show the hosts of every lab")
    commands.add_parser("mirror", help="build the artefacts, start the mirror, print its base URL")
    commands.add_parser(
        "litellm", help="install the gateway's packages on this machine, print the path of their Python"
    )
    commands.add_parser("programs", help="install the servers that some tests run on this machine itself")
    env = commands.add_parser("env", help="print the settings and ssh commands of a running lab")
    env.add_argument("name")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; an error is one message and status 1."""
    try:
        _run(parser().parse_args(arguments))
    except (LabError, DockerException) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


def _run(given: argparse.Namespace) -> None:
    if given.command == "up":
        lab = labs.Lab(given.name)
        _show(lab.up(given.topology, given.suite, given.ssh_user, artefacts=not given.hosts_only))
    elif given.command == "down":
        if given.all == bool(given.names):
            raise LabError("name the labs to remove, or give --all")
        removed = labs.down_all() if given.all else [h for name in given.names for h in labs.Lab(name).down()]
        print(f"removed {', '.join(removed)}" if removed else "nothing to remove")
    elif given.command == "list":
        _show(labs.hosts(engine.running()))
    elif given.command == "mirror":
        base_image.ensure(mirror.SUITE)
        print(mirror.ensure(engine.connect(), tree.ensure()))
    elif given.command == "litellm":
        print(litellm_python.ensure())
    elif given.command == "programs":
        print(f"installed {', '.join(found)}" if (found := programs.ensure()) else "nothing to install")
    elif given.command == "env":
        _environment(labs.Lab(given.name))


def _show(hosts: list[Host]) -> None:
    table = Table("lab", "host", "address", "suite", "user", "status", "groups", box=None, pad_edge=False)
    for host in hosts:
        row = (host.lab, host.name, host.address, host.suite, host.ssh_user, host.status, ",".join(host.groups))
        table.add_row(*row)
    Console().print(table)


def _environment(lab: labs.Lab) -> None:
    for key, value in inventory.settings(suite=inventory.suite_of(lab.name)).items():
        print(f"{key} = {value!r}")
    for host in lab.hosts():
        data = inventory.connection(host)
        options = f"-i {data['ssh_key']} -o UserKnownHostsFile={data['ssh_known_hosts_file']} -o IdentitiesOnly=yes"
        print(f"ssh {options} {host.ssh_user}@{host.address}  # {host.name}")
