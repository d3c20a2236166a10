"""Starts and stops single lab hosts: containers that run systemd and sshd like a Debian machine."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from pathlib import Path

import docker
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from tests.lab import cache, containers, images, network
from tests.lab.cache import LabError
from tests.lab.containers import execute

GROUPS = ("postgres", "redis", "ollama", "litellm", "health")
SSH_USERS = ("root", "operator")
READY_SECONDS = 60
# Those of linux/capability.h that a machine may lack and a host can do without.
DISPENSABLE_CAPABILITIES = {16: "SYS_MODULE", 17: "SYS_RAWIO", 24: "SYS_RESOURCE", 25: "SYS_TIME"}
APT_PROXY_PORT = 3142


@dataclass(frozen=True)
class Host:
    """One host as it runs now."""

    name: str
    lab: str
    address: str
    groups: tuple[str, ...]
    suite: str
    ssh_user: str
    topology: str
    status: str

    @classmethod
    def of(cls, container: Container) -> Host:
        """Read a host from its container's labels and state."""
        labels = container.labels
        address = container.attrs["NetworkSettings"]["Networks"].get(network.NAME, {}).get("IPAddress", "")
        groups = tuple(g for g in labels.get("portcullis.groups", "").split(",") if g)
        return cls(
            name=container.name or "",
            lab=labels[network.LABEL],
            address=address,
            groups=groups,
            suite=labels.get("portcullis.suite", ""),
            ssh_user=labels.get("portcullis.ssh_user", "root"),
            topology=labels.get("portcullis.topology", ""),
            status=container.status,
        )


def start_host(
    client: docker.DockerClient,
    lab: str,
    name: str,
    *,
    suite: str = "trixie",
    groups: tuple[str, ...] = (),
    ssh_user: str = "root",
    topology: str = "",
) -> Host:
    """Start one host and wait until it answers; a running one is left as it is, a broken one is replaced."""
    if ssh_user not in SSH_USERS:
        raise LabError(f"SSH user '{ssh_user}' is not one of {', '.join(SSH_USERS)}")
    image = images.ensure(client, suite)
    network.ensure(client)
    container = _existing(client, lab, name)
    if container is not None and not _revive(client, container):
        remove(container)
        container = None
    is_new = container is None
    if container is None:
        labels = {
            network.LABEL: lab,
            "portcullis.groups": ",".join(groups),
            "portcullis.suite": suite,
            "portcullis.ssh_user": ssh_user,
            "portcullis.topology": topology,
        }
        container = _create(client, name, image, labels)
        _prepare(client, container)
    # A host that was in use may well come back with a failed unit; that is for its user to see, not a broken lab.
    wait_ready(container, accept_failed_units=not is_new)
    container.reload()
    host = Host.of(container)
    _remember_host_keys(container, host)
    return host


def _revive(client: docker.DockerClient, container: Container) -> bool:
    """Bring an existing host back; False where it is beyond that, as after an engine that was killed half-way."""
    try:
        if container.status != "running":
            container.start()
        _prepare(client, container)
    except (APIError, LabError):
        return False
    return True


def _existing(client: docker.DockerClient, lab: str, name: str) -> Container | None:
    try:
        container = client.containers.get(name)
    except NotFound:
        return None
    if container.labels.get(network.LABEL) != lab:
        raise LabError(f"container '{name}' exists and is not part of lab '{lab}'; remove it or take another name")
    return container


def _create(client: docker.DockerClient, name: str, image: str, labels: dict[str, str]) -> Container:
    # The free address is only taken once the container exists.
    with cache.lock("addresses"):
        address = network.free_address(client)
        endpoint = client.api.create_endpoint_config(ipv4_address=address)
        config = client.api.create_host_config(
            cgroupns="host",
            binds=["/sys/fs/cgroup:/sys/fs/cgroup:rw", *(f"{v}:{path}" for v, path in network.CACHES.items())],
            # Not --privileged: that asks for every capability there is, and fails where the machine lacks one.
            cap_add=["ALL"],
            cap_drop=_lacking_capabilities(),
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            tmpfs={"/run": "exec,mode=755", "/tmp": "exec,mode=1777"},
            network_mode=network.NAME,
        )
        # The command line's systempaths=unconfined. Under Docker's masked /proc, units with ProtectProc= or
        # PrivateUsers= end with 217/USER; Debian's own redis-server is one.
        config.update(MaskedPaths=[], ReadonlyPaths=[])
        created = client.api.create_container(
            image,
            name=name,
            hostname=name,
            labels=labels,
            environment={"container": "docker"},
            # A volume of its own, so that Docker inside the host gets a file system overlay2 works on.
            volumes=["/var/lib/docker"],
            host_config=config,
            networking_config=client.api.create_networking_config({network.NAME: endpoint}),
            stop_signal="SIGRTMIN+3",  # what systemd takes as "power off"
        )
    container = client.containers.get(created["Id"])
    container.start()
    return container


def _lacking_capabilities(status: Path = Path("/proc/self/status")) -> list[str]:
    """Capabilities this machine cannot give; asking for them would stop the container from starting."""
    for line in status.read_text().splitlines() if status.exists() else []:
        if line.startswith("CapBnd:"):
            have = int(line.split()[1], 16)
            return [name for bit, name in DISPENSABLE_CAPABILITIES.items() if not have >> bit & 1]
    return []


def _prepare(client: docker.DockerClient, container: Container) -> None:
    """Give the host our SSH key, name servers and the shared package cache; none of it is baked into the image."""
    public, nameservers = ssh_key().with_suffix(".pub").read_text().strip(), network.nameservers()
    script = f"""
set -e
umask 077
for home in /root /home/operator; do
    grep -qsF '{public}' $home/.ssh/authorized_keys || echo '{public}' >> $home/.ssh/authorized_keys
done
chown operator: /home/operator/.ssh/authorized_keys
umask 022
# In place, because Docker mounts this file, and writes its own resolver into it at every start.
if [ -n '{nameservers.strip()}' ] && grep -qF 127.0.0.11 /etc/resolv.conf; then
    printf '%s' '{nameservers}' > /etc/resolv.conf
fi
"""
    execute(container, script)
    mirror = network.mirror_address(client)
    chooser = f"""\
#!/bin/sh
# The lab's package cache where it answers; a host must not depend on it.
case $1 in https:*) echo DIRECT; exit;; esac
if timeout 1 bash -c ': > /dev/tcp/{mirror}/{APT_PROXY_PORT}' 2>/dev/null
then echo http://{mirror}:{APT_PROXY_PORT}
else echo DIRECT
fi
"""
    containers.put_file(container, "/usr/local/lib/lab-apt-proxy", chooser.encode(), 0o755)
    setting = b'Acquire::http::Proxy-Auto-Detect "/usr/local/lib/lab-apt-proxy";\n'
    containers.put_file(container, "/etc/apt/apt.conf.d/00lab-cache", setting)


def wait_ready(container: Container, seconds: float = READY_SECONDS, *, accept_failed_units: bool = False) -> None:
    """Wait until systemd has started everything, without a failure unless told otherwise, and sshd answers."""
    limit, state = time.monotonic() + seconds, "not started"
    while time.monotonic() < limit:
        container.reload()
        if container.status != "running":
            tail = container.logs(tail=15).decode(errors="replace").strip()
            raise LabError(f"host '{container.name}' stopped while it started: {tail}")
        state = container.exec_run(["systemctl", "is-system-running"])[1].decode(errors="replace").strip()
        if state == "degraded" and not accept_failed_units:
            failed = execute(container, "systemctl --failed --no-legend --plain || true").strip()
            raise LabError(f"host '{container.name}' started with failed units: {failed}")
        if state in ("running", "degraded") and _ssh_answers(Host.of(container).address):
            return
        time.sleep(0.2)
    raise LabError(f"host '{container.name}' was not ready within {seconds:.0f} s; systemd says '{state}'")


def _ssh_answers(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=2) as connection:
            connection.settimeout(2)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def ssh_key() -> Path:
    """The lab's own private key, made at first use; the public one lies next to it."""
    path = cache.root() / "ssh" / "id_ed25519"
    with cache.lock("ssh-key"):
        if not path.exists():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            # Not ssh-keygen: paramiko brings this library, while the machine may have no SSH client.
            key = Ed25519PrivateKey.generate()
            public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
            path.with_suffix(".pub").write_bytes(public + b" portcullis-lab\n")
            path.touch(mode=0o600)
            path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return path


def known_hosts(name: str) -> Path:
    """The known_hosts file of one host; one file each, so that hosts can start at the same time."""
    return cache.root() / "known_hosts" / name


def _remember_host_keys(container: Container, host: Host) -> None:
    # sshd answers when it has its keys; under load what they are for others may be written a moment later.
    wait = "for i in $(seq 100); do [ -s /etc/ssh/ssh_host_ed25519_key.pub ] && break; sleep 0.1; done"
    keys = execute(container, f"{wait}; cat /etc/ssh/ssh_host_*_key.pub").splitlines()
    path = known_hosts(host.name)
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{host.address} {' '.join(key.split()[:2])}\n" for key in keys))


def remove(container: Container) -> None:
    """Remove a host, with everything in it and what we knew of it."""
    known_hosts(container.name or "").unlink(missing_ok=True)
    containers.remove(container)
