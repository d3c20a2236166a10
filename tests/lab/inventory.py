"""What an inventory needs to know of a running lab; only reads, never builds or starts anything."""

from __future__ import annotations

import resource
from typing import Any

from tests.lab import edge, engine, mirror
from tests.lab.artefacts import base_image, ollama
from tests.lab.cache import LabError
from tests.lab.hosts import Host, known_hosts, ssh_key
from tests.lab.lab import Lab, hosts

InventoryHost = tuple[str, dict[str, Any]]


def connection(host: Host) -> dict[str, Any]:
    """The data pyinfra's SSH connector needs to reach a host without a question."""
    return {
        "ssh_hostname": host.address,
        "ssh_user": host.ssh_user,
        "ssh_key": str(ssh_key()),
        "ssh_known_hosts_file": str(known_hosts(host.name)),
        "ssh_strict_host_key_checking": "yes",
        # Keys of the user's own agent would be tried first, and sshd counts them as failures.
        "ssh_allow_agent": False,
        "ssh_look_for_keys": False,
    }


def groups(lab: str) -> dict[str, list[InventoryHost]]:
    """Each group of the lab with its hosts and how to reach them."""
    found = hosts(engine.running(), lab)
    if not found:
        raise LabError(f"lab '{lab}' does not exist; run `python -m tests.lab up {lab}`")
    if stopped := [h.name for h in found if h.status != "running"]:
        raise LabError(f"{', '.join(stopped)} of lab '{lab}' do not run; run `python -m tests.lab up {lab}`")
    result: dict[str, list[InventoryHost]] = {}
    fronted = any("edge" in host.groups for host in found)
    for host in found:
        for group in host.groups:
            result.setdefault(group, []).append((host.name, {**connection(host), **_placed(host, fronted)}))
    return result


def _placed(host: Host, fronted: bool) -> dict[str, Any]:
    """Where a host listens when there is an edge: the gateways for it alone."""
    if "edge" in host.groups:
        own = {"litellm_listen": "127.0.0.1"} if "litellm" in host.groups else {}
        return {**edge.settings(host.lab, host.address), **own}
    if fronted and "litellm" in host.groups:
        # Two gateways use the one's database, beside everything else on a small host.
        pools = {"litellm_database_connection_pool_limit": 6}
        return {"litellm_listen": host.address, "health_listen": host.address, **pools}
    return {}


def suite_of(lab: str) -> str:
    """The suite of a running lab's hosts."""
    return next((host.suite for host in hosts(engine.running(), lab) if host.suite), mirror.SUITE)


def settings(ollama_version: str = ollama.VERSIONS[0], suite: str = mirror.SUITE) -> dict[str, Any]:
    """The product's settings that point it at the mirror, for hosts of a suite."""
    client = engine.running()
    base, artefacts = mirror.base_url(client), mirror.served(client)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return {
        "ollama_version": ollama_version,
        "ollama_url": f"{base}/{ollama.archive_path(ollama_version)}",
        "ollama_sha256": artefacts.ollama_sha256(ollama_version),
        "ollama_registry": base,
        "litellm_prisma_mirror": base,
        "extra_ca_certificates": [str(path) for path in Lab.ca_certificates()],
        # A machine without CAP_SYS_RESOURCE cannot give its hosts more than it has itself; programs without containers
        # get as many.
        "engine_open_files": 65_535 if most == resource.RLIM_INFINITY else min(65_535, most),
        **_images(base.removeprefix("http://"), suite),
    }


def _images(registry: str, suite: str) -> dict[str, Any]:
    digest = base_image.digest(suite)
    if not digest:
        return {}  # the product's default, which a machine that does not build its own can reach
    return {
        "engine_base_image": f"{registry}/{base_image.NAME}@{digest}",
        "engine_insecure_registries": [registry],
    }
