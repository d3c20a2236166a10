"""The mirror: one container for all labs that serves the artefacts and caches apt's downloads."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from pathlib import Path

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from tests.lab import cache, images, network
from tests.lab.artefacts import base_image, tree
from tests.lab.cache import LabError
from tests.lab.containers import put_file, remove
from tests.lab.progress import step

NAME = "portcullis-lab-mirror"
PORT = 8080
SERVER = Path(__file__).parent / "image" / "mirror_server.py"
PACKAGES_VOLUME = "portcullis-lab-apt"
INPUTS = "portcullis.inputs"
ARTEFACTS = "portcullis.artefacts"
# The default suite of a lab, so that no second image has to be built for the mirror.
SUITE = "trixie"
READY_SECONDS = 30
PROXY_VARIABLES = ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY")


def base_url(client: docker.DockerClient) -> str:
    """Where hosts reach the mirror."""
    return f"http://{network.mirror_address(client)}:{PORT}"


def served(client: docker.DockerClient) -> tree.Tree:
    """What the running mirror serves, which may be older than the present sources."""
    container = _existing(client)
    path = container.labels.get(ARTEFACTS) if container is not None and container.status == "running" else None
    if not path or not Path(path).is_dir():
        raise LabError("the lab's mirror does not serve the artefacts; run `python -m tests.lab mirror`")
    return tree.Tree(Path(path))


def ensure(client: docker.DockerClient, artefacts: tree.Tree | None) -> str:
    """Start the mirror, or replace one that serves something else; without artefacts it is apt's cache only."""
    image = images.ensure(client, SUITE)
    network.ensure(client)
    with cache.lock("mirror"):
        container = _existing(client)
        inputs = cache.hash_of(SERVER, image, str(artefacts.path) if artefacts else "none")
        if container is not None and not _usable(container, inputs, artefacts):
            remove(container)
            container = None
        if container is None or container.status != "running":
            with step("Starting the mirror"):
                (container or _create(client, image, inputs, artefacts)).start()
                _wait(base_url(client))
    return base_url(client)


def _existing(client: docker.DockerClient) -> Container | None:
    try:
        return client.containers.get(NAME)
    except NotFound:
        return None


def _usable(container: Container, inputs: str, artefacts: tree.Tree | None) -> bool:
    if container.status not in ("running", "exited"):
        return False  # half-made or half-stopped
    # Who needs only the cache must not take the artefacts away from those who need them.
    return container.labels.get(INPUTS) == inputs or (artefacts is None and container.status == "running")


def _create(client: docker.DockerClient, image: str, inputs: str, artefacts: tree.Tree | None) -> Container:
    binds = [f"{PACKAGES_VOLUME}:/srv/packages"]
    if artefacts is not None:
        # Images of all suites, also of those that are built later.
        binds += [f"{artefacts.path}:/srv/artefacts:ro", f"{base_image.folder()}:/srv/images:ro"]
    endpoint = client.api.create_endpoint_config(ipv4_address=network.mirror_address(client))
    try:
        client.volumes.get(PACKAGES_VOLUME)
    except NotFound:
        client.volumes.create(PACKAGES_VOLUME, labels=network.SHARED)
    try:
        created = client.api.create_container(
            image,
            command=["sh", "-c", "mkdir -p /srv/artefacts && exec python3 /srv/mirror_server.py"],
            name=NAME,
            hostname=NAME,
            labels={**network.SHARED, INPUTS: inputs, ARTEFACTS: str(artefacts.path) if artefacts else ""},
            environment={name: os.environ[name] for name in PROXY_VARIABLES if name in os.environ},
            host_config=client.api.create_host_config(binds=binds, network_mode=network.NAME),
            networking_config=client.api.create_networking_config({network.NAME: endpoint}),
        )
    except APIError as error:
        raise LabError(f"the mirror's container could not be made: {error}") from error
    container = client.containers.get(created["Id"])
    put_file(container, "/srv/mirror_server.py", SERVER.read_bytes())
    return container


def _wait(url: str) -> None:
    limit = time.monotonic() + READY_SECONDS
    # Not through a proxy of the user's: the address is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            with opener.open(url, timeout=2):
                return
        except (urllib.error.URLError, OSError) as error:
            if time.monotonic() > limit:
                message = f"the mirror did not answer at {url} within {READY_SECONDS} s; see `docker logs {NAME}`"
                raise LabError(message) from error
            time.sleep(0.2)
