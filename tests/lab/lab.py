"""Labs: named sets of hosts in one of a few topologies."""

from __future__ import annotations

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
from docker.models.containers import Container

from tests.lab import containers, edge, engine, images, mirror, network
from tests.lab.artefacts import base_image, tree
from tests.lab.cache import LabError
from tests.lab.hosts import GROUPS, Host, remove, start_host
from tests.lab.progress import step

# Name of a host within its lab -> the groups it is in.
TOPOLOGIES: dict[str, dict[str, tuple[str, ...]]] = {
    "single": {"gw": GROUPS},
    "pair": {"gw": GROUPS, "bk": ("backup",)},
    "split": {
        "db": ("postgres",),
        "cache": ("redis",),
        "llm": ("ollama",),
        "gw1": ("litellm", "health"),
        "gw2": ("litellm", "health"),
    },
    "whole": {"gw": (*GROUPS, "edge")},
    "fronted": {"gw1": GROUPS, "gw2": ("litellm", "health"), "front": ("edge",)},
}


class Lab:
    """One lab, running or not."""

    def __init__(self, name: str) -> None:
        # The name becomes part of host names; "shared" is the label of what all labs use together.
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name) or name == "shared":
            raise LabError(f"lab name '{name}' is not lower-case letters, digits and dashes, or is 'shared'")
        self.name = name

    def up(
        self, topology: str = "single", suite: str = "trixie", ssh_user: str = "root", *, artefacts: bool = True
    ) -> list[Host]:
        """Start the lab's hosts and the mirror; what runs already stays as it is."""
        if topology not in TOPOLOGIES:
            raise LabError(f"topology '{topology}' is not one of {', '.join(TOPOLOGIES)}")
        client = engine.connect()
        self._refuse_changes(client, topology, suite, ssh_user)
        mirror.ensure(client, tree.ensure() if artefacts else None)
        if artefacts:
            base_image.ensure(suite)
        images.ensure(client, suite)
        members = TOPOLOGIES[topology]

        def start(item: tuple[str, tuple[str, ...]]) -> Host:
            return start_host(
                client,
                self.name,
                f"{self.name}-{item[0]}",
                suite=suite,
                groups=item[1],
                ssh_user=ssh_user,
                topology=topology,
            )

        with step(f"Starting {len(members)} host(s) of lab '{self.name}'"), ThreadPoolExecutor(len(members)) as pool:
            started = list(pool.map(start, members.items()))
        for host in started:
            if "edge" in host.groups:
                edge.ensure(self.name, host.address)
        return started

    def _refuse_changes(self, client: docker.DockerClient, topology: str, suite: str, ssh_user: str) -> None:
        """A lab's hosts hold state of their own, so another shape needs an explicit `down` first."""
        for host in hosts(client, self.name):
            now = (host.topology, host.suite, host.ssh_user)
            if host.topology and now != (topology, suite, ssh_user):
                raise LabError(
                    f"lab '{self.name}' exists as {' / '.join(now)}, asked for {topology} / {suite} / {ssh_user}; "
                    f"run `python -m tests.lab down {self.name}` first"
                )

    def start_host(self, name: str, suite: str = "trixie", groups: Iterable[str] = (), ssh_user: str = "root") -> Host:
        """Start one more host in this lab, bare and outside of its topology."""
        return start_host(engine.connect(), self.name, name, suite=suite, groups=tuple(groups), ssh_user=ssh_user)

    def hosts(self) -> list[Host]:
        """The lab's hosts, in the order of their names."""
        return hosts(engine.running(), self.name)

    def down(self) -> list[str]:
        """Remove the lab's hosts with everything in them; returns their names."""
        return _remove_all(_containers(engine.running(), self.name))

    @staticmethod
    def ca_certificates() -> list[Path]:
        """Certificate authorities this machine trusts beyond Debian's, for `extra_ca_certificates`."""
        return sorted(Path("/usr/local/share/ca-certificates").glob("**/*.crt"))


def _containers(client: docker.DockerClient, lab: str | None = None) -> list[Container]:
    label = network.LABEL if lab is None else f"{network.LABEL}={lab}"
    found = client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
    return [c for c in found if lab is not None or c.labels[network.LABEL] != "shared"]


def hosts(client: docker.DockerClient, lab: str | None = None) -> list[Host]:
    """The hosts of one lab, or of all."""
    return sorted((Host.of(c) for c in _containers(client, lab)), key=lambda h: (h.lab, h.name))


def down_all() -> list[str]:
    """Remove every lab, the mirror and the network; the package caches, images and artefacts stay for the next time."""
    client = engine.running()
    removed = _remove_all(_containers(client))
    for container in client.containers.list(all=True, filters={"label": f"{network.LABEL}=shared"}):
        containers.remove(container)
    for net in client.networks.list(names=[network.NAME], filters={"label": f"{network.LABEL}=shared"}):
        net.remove()
    return removed


def _remove_all(found: list[Container]) -> list[str]:
    if not found:
        return []
    with ThreadPoolExecutor(len(found)) as pool:
        list(pool.map(remove, found))
    return sorted(c.name or "" for c in found)
