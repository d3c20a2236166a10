"""Builds the images lab hosts start from: a bare Debian with systemd and sshd, one per suite."""

from __future__ import annotations

import io
import os
import re
import shutil
import tarfile
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import docker
from docker.errors import APIError, ImageNotFound

from tests.lab import cache, engine
from tests.lab.cache import LabError
from tests.lab.progress import Say, run, step

SUITES = ("bookworm", "trixie")
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "sudo",
    "python3",
    "ca-certificates",
    "iproute2",
    "procps",
)
SETUP = Path(__file__).parent / "image" / "setup.sh"
# A registry that is out of reach must not hold up the build: debootstrap takes less than a minute.
PULL_PATIENCE_SECONDS = 8.0


def tag(suite: str) -> str:
    """The name of a suite's image; another input gives another name, so an old image is never taken for a new one."""
    if suite not in SUITES:
        raise LabError(f"suite '{suite}' is not one of {', '.join(SUITES)}")
    return f"portcullis-lab:{suite}-{cache.hash_of(SETUP, ' '.join(PACKAGES))}"


def ensure(client: docker.DockerClient, suite: str) -> str:
    """Build the suite's image unless it is there, and return its name."""
    name = tag(suite)
    if _present(client, name):
        return name
    with cache.lock(f"image-{suite}"):
        if not _present(client, name):
            with step(f"Building the {suite} image") as say:
                _build(client, suite, name, say)
    return name


def _present(client: docker.DockerClient, name: str) -> bool:
    try:
        client.images.get(name)
    except ImageNotFound:
        return False
    return True


def _build(client: docker.DockerClient, suite: str, name: str, say: Say) -> None:
    base = f"debian:{suite}"
    if _present(client, base) or _pulled(client, base, say):
        _from_base(client, suite, name, say)
    elif can_bootstrap():
        _from_debootstrap(client, suite, name, say)
    else:
        raise LabError(
            f"image '{base}' cannot be pulled; run as root on Debian or Ubuntu, where the lab builds the image itself"
        )


def _pulled(client: docker.DockerClient, base: str, say: Say) -> bool:
    """Pull the official image; give up when the registry has sent nothing after a few seconds."""
    say(f"asking the registry for {base}")
    begun, ended, ok = threading.Event(), threading.Event(), []

    def pull() -> None:
        try:
            for event in client.api.pull(base, stream=True, decode=True):
                if "error" in event:
                    return
                begun.set()
                say(f"{base}: {event.get('status', '')}")
            ok.append(True)
        except (APIError, OSError):
            pass
        finally:
            ended.set()

    threading.Thread(target=pull, daemon=True).start()
    for _ in range(int(PULL_PATIENCE_SECONDS * 10)):
        if begun.is_set() or ended.wait(0.1):
            break
    if begun.is_set():
        ended.wait()
    return bool(ok) and _present(client, base)


def _from_base(client: docker.DockerClient, suite: str, name: str, say: Say) -> None:
    dockerfile = f"""\
FROM debian:{suite}
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {" ".join(PACKAGES)}
COPY setup.sh /setup.sh
RUN sh /setup.sh {suite} && rm /setup.sh
CMD ["/lib/systemd/systemd"]
"""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for path, data in (("Dockerfile", dockerfile.encode()), ("setup.sh", SETUP.read_bytes())):
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    context.seek(0)
    tail: list[str] = []
    for event in client.api.build(fileobj=context, custom_context=True, tag=name, rm=True, forcerm=True, decode=True):
        if line := event.get("stream", "").strip():
            tail = [*tail[-14:], line]
            say(line)
        if "error" in event:
            raise LabError("the image could not be built:\n" + "\n".join([*tail, event["error"]]))


def _from_debootstrap(client: docker.DockerClient, suite: str, name: str, say: Say) -> None:
    with tempfile.TemporaryDirectory(prefix="image-", dir=cache.root()) as folder:
        tree, archive = Path(folder) / "tree", Path(folder) / "image.tar"
        debootstrap(suite, tree, PACKAGES, say)
        shutil.copy(SETUP, tree / "setup.sh")
        run(["chroot", tree, "sh", "/setup.sh", suite], say)
        (tree / "setup.sh").unlink()
        say("importing")
        run(["tar", "-C", tree, "--numeric-owner", "-cf", archive, "."], say)
        repository, _, label = name.partition(":")
        client.api.import_image_from_file(
            str(archive), repository=repository, tag=label, changes='CMD ["/lib/systemd/systemd"]'
        )


def can_bootstrap() -> bool:
    """Whether this machine lets the lab build a Debian itself."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def debootstrap(suite: str, tree: Path, packages: Sequence[str], say: Say) -> None:
    """Fill ``tree`` with a minimal Debian and ``packages``."""
    if shutil.which("debootstrap") is None:
        # Ubuntu has debootstrap without Debian's signing keys.
        engine.install(["debootstrap", "debian-archive-keyring"])
    words = ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", suite, tree]
    run(words, say, detail=_debootstrap_line)


def _debootstrap_line(line: str) -> str | None:
    """The part of debootstrap's output worth showing: what it works on, not its chatter."""
    found = re.match(r"I: (Retrieving|Validating|Extracting|Unpacking|Configuring) ([\w.+-]+)", line)
    return f"{found[1].lower()} {found[2]}" if found else None
