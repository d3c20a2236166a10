"""Images that are built on this machine and sent over SSH. The host's own engine plays this machine's."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploys.lib import workshop
from deploys.lib.shipping import FOLDER
from tests.host.lab.conftest import Deployed
from tests.host.lab.test_refusals import told
from tests.host.support import Server
from tests.host.support_contained import containers, others
from tests.host.support_lab import SITE, VERIFY, run, say
from tests.lab import engine

pytestmark = pytest.mark.usefixtures("in_containers")
PLUGIN = "/usr/libexec/docker/cli-plugins/docker-buildx"


def wrapper(folder: Path, text: str) -> dict[str, str]:
    """Variables for a run whose `docker` is ``text``."""
    folder.mkdir()
    (folder / "docker").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "docker").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def of_the_host(server: Server, folder: Path) -> dict[str, str]:
    """The same with this machine's program for the host's engine, and the host's way to build."""
    client = shutil.which("docker")
    if not client or os.geteuid():
        pytest.skip("needs root and docker's own program on this machine, to reach an engine inside a host of the lab")
    container = engine.connect().containers.get(server.name)
    plugin = folder / "cli-plugins" / "docker-buildx"
    plugin.parent.mkdir()
    with tarfile.open(fileobj=io.BytesIO(b"".join(container.get_archive(PLUGIN)[0]))) as tar:
        packed = tar.extractfile(plugin.name)
        assert packed
        plugin.write_bytes(packed.read())
    plugin.chmod(0o755)
    socket = f"unix:///proc/{container.attrs['State']['Pid']}/root/run/docker.sock"
    return wrapper(folder / "bin", f'DOCKER_HOST={socket} DOCKER_CONFIG={folder} exec {client} "$@"')


@pytest.fixture
def without_redis(contained: Deployed) -> Iterator[str]:
    """The tag of an image that the host has no longer, although its container runs on."""
    server = contained.server
    tag = server.out("docker image ls --format '{{.Repository}}:{{.Tag}}' portcullis-redis")
    server.out(f"docker tag {tag} lab-kept:1 && docker image rm {tag}")
    yield tag
    server.out("docker image rm --force lab-kept:1")


def test_an_image_comes_from_this_machine_and_only_what_is_missing_does(
    contained: Deployed, without_redis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, cache = contained.server, tmp_path / "cache"
    there = containers(server)
    data = {"engine_images_from": "controller", "engine_images_cache": str(cache)}
    off = run(contained.name, SITE, environment=wrapper(tmp_path / "off", "echo 'it is off' >&2; exit 1"), **data)
    told(off, "nothing was changed", "engine_images_from", "it is off")
    assert others(there, containers(server)) == set()

    machine = of_the_host(server, tmp_path)
    monkeypatch.setenv("PATH", machine["PATH"])
    if why := workshop.unable(str(cache), server.out("dpkg --print-architecture")):
        pytest.skip(f"nothing can be built from here: {why}")
    first = run(contained.name, SITE, environment=machine, **data)
    assert first.status == 0, first.problem
    say(f"      built here, sent and used in {first.seconds:.0f} s")
    assert [name for name in first.changed if " | Image portcullis-" in name] == [f"redis | Image {without_redis}"]
    # It is another image under its name, so its service was restarted; nothing else was touched.
    assert others(there, containers(server)) == {"redis"}
    assert sorted(path.suffix for path in cache.iterdir()) == [".gz", ".json", ".lock"]
    left = f"ls -A {FOLDER}; ls -d /run/portcullis-gather*; docker image ls -q 'portcullis-redis:*-*-*'; true"
    assert server.out(f"{{ {left}; }} 2>/dev/null") == ""

    for second in (run(contained.name, SITE, environment=machine, **data), run(contained.name)):
        assert second.status == 0, second.problem
        assert second.totals["no_change"] == second.totals["hosts"] > 0, second.problem
    assert run(contained.name, VERIFY).status == 0
