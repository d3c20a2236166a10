"""Finds the Docker engine the lab runs on, and installs and starts one where the machine allows it."""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import docker
from docker.errors import DockerException
from requests.exceptions import RequestException

from tests.lab.cache import LabError, lock
from tests.lab.progress import Say, run, step

LOG = Path("/var/log/portcullis-dockerd.log")
PID_FILE = Path("/var/run/docker.pid")
SOCKET = Path("/var/run/docker.sock")
CONTAINERD_PID_FILE = Path("/var/run/docker/containerd/containerd.pid")
START_SECONDS = 60
# Calls that copy a whole image take longer than the package's default of 60 s.
CALL_SECONDS = 600


@functools.cache
def connect() -> docker.DockerClient:
    """A client of a running engine; where none answers, one is installed and started."""
    client = _answering()
    if client is None:
        with lock("engine"):
            client = _answering() or _start()
    return client


def running() -> docker.DockerClient:
    """A client of an engine that already runs; changes nothing on this machine."""
    client = _answering()
    if client is None:
        raise LabError("no Docker engine answers; run `python -m tests.lab up NAME` to start the lab")
    return client


def _listens() -> bool:
    """Whether something accepts connections on the engine's socket.

    Asked with a socket of our own: docker's package forgets to close the one whose connection was refused.
    """
    address = os.environ.get("DOCKER_HOST", f"unix://{SOCKET}")
    if not address.startswith("unix://"):
        return True
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(address.removeprefix("unix://")) == 0


def _answering() -> docker.DockerClient | None:
    if not _listens():
        return None
    client = None
    try:
        client = docker.from_env(timeout=CALL_SECONDS)
        client.ping()
    except (DockerException, RequestException):
        if client is not None:
            client.close()
        return None
    return client


def _start() -> docker.DockerClient:
    if os.environ.get("DOCKER_HOST"):
        raise LabError(f"no Docker engine answers at DOCKER_HOST '{os.environ['DOCKER_HOST']}'")
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise LabError(
            "no Docker engine answers; install and start Docker (Debian and Ubuntu: package docker.io) and let this "
            "user reach it, or run as root on Debian or Ubuntu, where the lab does that itself"
        )
    missing = [p for p, tool in {"docker.io": "dockerd", "iptables": "iptables"}.items() if shutil.which(tool) is None]
    if missing:
        install(missing)
    with step("Starting the Docker engine") as say:
        if Path("/run/systemd/system").is_dir():
            run(["systemctl", "start", "docker"], say)
        elif not _runs(PID_FILE, "dockerd"):
            _clear_leftovers()
            _detach()
        return _wait(say)


def install(packages: list[str]) -> None:
    """Install Debian packages on this machine, or say which ones are missing."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise LabError(f"the lab needs these packages on this machine: {', '.join(packages)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step(f"Installing {', '.join(packages)} on this machine") as say, lock("apt"):
        run(["apt-get", "update"], say, env=environment)
        # The wait is for another apt run on this machine, such as unattended-upgrades.
        run(
            ["apt-get", "-o", "DPkg::Lock::Timeout=300", "install", "-y", "--no-install-recommends", *packages],
            say,
            env=environment,
        )


def _clear_leftovers() -> None:
    """Remove what a killed engine leaves behind: dockerd refuses to start while its pid file names a live process."""
    PID_FILE.unlink(missing_ok=True)
    SOCKET.unlink(missing_ok=True)
    # dockerd uses a containerd of its own that is still there, and starts one where this file is missing.
    if not _runs(CONTAINERD_PID_FILE, "containerd"):
        CONTAINERD_PID_FILE.unlink(missing_ok=True)


def _runs(pid_file: Path, program: str) -> bool:
    """Whether the process a pid file names is that program; numbers are used again, and a zombie is dead."""
    try:
        status = Path(f"/proc/{int(pid_file.read_text())}/status").read_text()
    except (OSError, ValueError):
        return False
    return f"Name:\t{program}\n" in status and "State:\tZ" not in status


def _detach() -> None:
    with LOG.open("ab") as log:
        # A session of its own, or the engine and every host would die with the terminal that started it; and nobody's
        # child, so that it is no zombie of ours should it end.
        command = ["setsid", "--fork", "dockerd"]
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", check=True)


def _wait(say: Say) -> docker.DockerClient:
    limit = time.monotonic() + START_SECONDS
    while time.monotonic() < limit:
        if client := _answering():
            return client
        say("waiting for its socket")
        time.sleep(0.5)
    raise LabError(f"the Docker engine did not answer within {START_SECONDS} s; its log is {LOG}")
