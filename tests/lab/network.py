"""The lab's own network, with fixed addresses, and its shared cache volumes."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

import docker
from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool

from tests.lab.cache import LabError, lock

NAME = "portcullis-lab"
LABEL = "portcullis.lab"
SHARED = {LABEL: "shared"}
# Not in the ranges Docker itself hands out, one of which a host with Docker inside will use.
CANDIDATES = tuple(f"10.{second}.77.0/24" for second in range(213, 223))
MIRROR_OFFSET = 2
FIRST_HOST_OFFSET = 10
# Fetched once for all hosts; both tools lock their own files, so that hosts can share them.
CACHES = {"portcullis-lab-uv": "/root/.cache", "portcullis-lab-npm": "/root/.npm"}


def ensure(client: docker.DockerClient) -> None:
    """Create the network and the cache volumes where they are missing."""
    with lock("network"):
        if _subnet(client) is None:
            _create(client)
        for volume in CACHES:
            try:
                client.volumes.get(volume)
            except NotFound:
                client.volumes.create(volume, labels=SHARED)


def subnet(client: docker.DockerClient) -> ipaddress.IPv4Network:
    """The network's addresses."""
    found = _subnet(client)
    if found is None:
        raise LabError("the lab's network does not exist; run `python -m tests.lab up NAME`")
    return found


def mirror_address(client: docker.DockerClient) -> str:
    """The mirror's address; it never changes, because names of pulled models contain it."""
    return str(subnet(client)[MIRROR_OFFSET])


def own_address(client: docker.DockerClient) -> str:
    """The address under which hosts reach the machine that the lab runs on: Docker takes the first one."""
    return str(subnet(client)[1])


def free_address(client: docker.DockerClient) -> str:
    """An address no host has, stopped ones included: theirs must still be free when they start again."""
    addresses = subnet(client)
    taken = set()
    for container in client.containers.list(all=True, filters={"label": LABEL}):
        settings = container.attrs["NetworkSettings"]["Networks"].get(NAME, {})
        taken.add(((settings.get("IPAMConfig") or {}).get("IPv4Address")) or settings.get("IPAddress"))
    for offset in range(FIRST_HOST_OFFSET, addresses.num_addresses - 1):
        if (address := str(addresses[offset])) not in taken:
            return address
    raise LabError("the lab's network is full; remove labs with `python -m tests.lab down --all`")


def _subnet(client: docker.DockerClient) -> ipaddress.IPv4Network | None:
    try:
        network = client.networks.get(NAME)
    except NotFound:
        return None
    return ipaddress.IPv4Network(network.attrs["IPAM"]["Config"][0]["Subnet"])


def _create(client: docker.DockerClient) -> None:
    for candidate in CANDIDATES:
        if any(ipaddress.IPv4Network(candidate).overlaps(route) for route in _routes()):
            continue
        pool = IPAMConfig(pool_configs=[IPAMPool(subnet=candidate)])
        try:
            client.networks.create(NAME, driver="bridge", labels=SHARED, ipam=pool)
        except APIError as error:
            if "overlap" not in str(error):
                raise
        else:
            return
    raise LabError(f"none of the networks {CANDIDATES[0]} to {CANDIDATES[-1]} is free on this machine")


def _routes(table: Path = Path("/proc/net/route")) -> Iterator[ipaddress.IPv4Network]:
    """This machine's routes but the default one, so that the lab does not hide a network of the user's."""
    for line in table.read_text().splitlines()[1:] if table.exists() else []:
        fields = line.split()
        destination, mask = (int.from_bytes(bytes.fromhex(fields[i]), "little") for i in (1, 7))
        if mask:
            yield ipaddress.IPv4Network((destination & mask, bin(mask).count("1")))


def nameservers(files: tuple[Path, ...] = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))) -> str:
    """The resolv.conf of a host: this machine's name servers, those on loopback excepted.

    Docker's own resolver for such networks works through NAT rules inside the host,
    and is gone as soon as a host loads a firewall that begins with `flush ruleset`.
    """
    for path in files:
        lines = path.read_text().splitlines() if path.exists() else []
        usable = [line for line in lines if line.startswith("nameserver") and not line.split()[1].startswith("127.")]
        if usable:
            return "\n".join(usable) + "\n"
    return ""
