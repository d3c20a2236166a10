"""The controlling machine as the place where images are built: its engine, and each image once for all hosts."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from deploys.lib.image_cache import Say, alone, digest_of, folder_of, note, noted, unusable, workplace
from deploys.lib.images import Image, made_of, making
from deploys.lib.render import ROOT
from deploys.lib.shipping import Inputs, arrival, stem
from deploys.lib.steps import SHOW_SECONDS

# The first whose own BuildKit takes folders beside the build's own (--build-context).
ENGINE = 23
ENGINE_SECONDS = 30
# What Docker calls an architecture that Debian calls otherwise.
ARCHITECTURES = {"armhf": "arm", "i386": "386"}
ASK_REGISTRY = ROOT / "payload" / "engine" / "manifest.py"


class WorkshopError(Exception):
    """An image could not be made on this machine; the message is for a person."""


@dataclass(frozen=True)
class Order:
    """An image for hosts that have ``given``.

    ``fetch`` puts what is needed of the host into a folder: host.tar.gz, and folders/NAME for each of the image's
    contexts. ``say`` shows a line.
    """

    image: Image
    given: Inputs
    fetch: Callable[[Path], None]
    say: Say


@dataclass(frozen=True)
class Archive:
    """An image that ``docker load`` takes, compressed."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class Registry:
    """Where images are pushed to: a registry with a folder in it; and registries that are asked without TLS."""

    name: str
    insecure: tuple[str, ...] = ()


def _docker(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["docker", *words], capture_output=True, text=True, timeout=ENGINE_SECONDS)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 1, "", f"no answer after {ENGINE_SECONDS} s")


def unable(cache: str, architecture: str) -> str:
    """Why this machine cannot build images for a host of ``architecture`` (Debian's word); empty when it can."""
    if not shutil.which("docker"):
        return "there is no docker on this machine, which is to build the images"
    asked = _docker("version", "--format", "{{.Server.Version}} {{.Server.Arch}}")
    if asked.returncode:
        said = asked.stderr.strip().splitlines() or ["it does not say why"]
        return f"the Docker engine of this machine does not answer: {said[-1]}"
    version, _, ours = asked.stdout.strip().partition(" ")
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < ENGINE:
        return f"the Docker engine of this machine is {version}, and {ENGINE}.0 is needed"
    if _docker("buildx", "version").returncode:
        return "there is no docker buildx on this machine, which is to build the images"
    if ours != ARCHITECTURES.get(architecture, architecture):
        return f"the Docker engine of this machine builds for {ours}, and the host is {architecture}"
    return unusable(cache)


def archive(cache: str, order: Order) -> Archive:
    """The archive of an image: as it was kept, or built now."""
    folder, name, tag = folder_of(cache), stem(order.image, order.given), arrival(order.image, order.given)
    path, its = folder / f"{name}.tar.gz", folder / f"{name}.json"
    pack = (
        f"echo 'packing {tag}'\n"
        f'{{ docker save {tag} 2>"$work/said" && : >"$work/saved" || true; }} | gzip -4 >"$work/image.tar.gz"\n'
        f'[ -e "$work/saved" ] || {{ echo "packing {tag} failed: $(tail -n 1 "$work/said")"; exit 1; }}\n'
    )
    with alone(folder, name, order.say):
        if path.is_file() and (sha256 := digest_of(path)) == noted(its).get("sha256"):
            return Archive(path, sha256)
        with workplace(folder, name) as work:
            _build(folder, name, order, work, tag, pack)
            made = work / "image.tar.gz"
            made.chmod(0o600)
            sha256 = digest_of(made)
            made.replace(path)
            note(its, sha256=sha256)
        return Archive(path, sha256)


def pushed(cache: str, registry: Registry, order: Order) -> str:
    """The name of an image in ``registry``, with its digest: as it was pushed, or built and pushed now."""
    folder, name = folder_of(cache), stem(order.image, order.given)
    place, _, version = arrival(order.image, order.given).partition(":")
    its, tag = folder / f"{name}.pushed", f"{registry.name}/{place}:{version}"
    push = (
        f"echo 'pushing {tag}'\n"
        f'docker push {tag} >"$work/said" 2>&1 || {{ '
        f'echo "pushing {tag} failed: $(tail -n 1 "$work/said")"; exit 1; }}\n'
        'sed -nE \'s/^.*digest: (sha256:[0-9a-f]{64}) .*/\\1/p\' "$work/said" | tail -n 1 >"$work/digest"\n'
        f'[ -s "$work/digest" ] || {{ echo "pushing {tag}: the registry names no digest"; exit 1; }}\n'
    )
    with alone(folder, name, order.say):
        known = noted(its)
        reference = f"{registry.name}/{place}@{known.get('digest')}"
        if known.get("registry") == registry.name and _is_there(reference, registry):
            return reference
        with workplace(folder, name) as work:
            _build(folder, name, order, work, tag, push)
            digest = (work / "digest").read_text().strip()
        note(its, registry=registry.name, digest=digest)
        return f"{registry.name}/{place}@{digest}"


def _is_there(reference: str, registry: Registry) -> bool:
    """Whether the registry still has what was pushed to it, or wants a login before it says so."""
    asked = json.dumps({"insecure": registry.insecure, "mirrors": [], "unverified": False})
    return subprocess.run([sys.executable, str(ASK_REGISTRY), reference, asked], capture_output=True).returncode == 0


def script(order: Order, work: Path, tag: str, then: str) -> str:
    """Shell text that builds the image on this machine from what is in ``work``, and goes on with ``then``."""
    image = order.image
    return (
        f'set -eu; umask 022; work={quote(str(work))}; context=$work/context; mkdir "$context"\n'
        # An archive or a registry has it from then on; what BuildKit keeps is this machine's own affair.
        f"trap 'docker image rm {tag} >/dev/null 2>&1 || true' EXIT\n"
        + "".join(f"{name}={quote(value)}\n" for name, value in order.given.values)
        + f"{made_of(image)}{making(image, tag, [(name, f'$work/folders/{name}') for name, _ in image.contexts])}{then}"
    )


def _build(folder: Path, name: str, order: Order, work: Path, tag: str, then: str) -> None:
    """Build an image in ``work``, and show from time to time what is done."""
    order.fetch(work)
    (work / "build.sh").write_text(script(order, work, tag, then))
    log = folder / f"{name}.log"
    lines: list[str] = []
    began = shown = time.monotonic()
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    with (
        log.open("w") as file,
        subprocess.Popen(["sh", f"{work}/build.sh"], stdin=null, stdout=pipe, stderr=subprocess.STDOUT) as build,
    ):
        assert build.stdout
        for raw in build.stdout:
            line = raw.decode(errors="replace").rstrip()
            file.write(f"{line}\n")
            lines += [line] if line else []
            if (now := time.monotonic()) - shown >= SHOW_SECONDS and line:
                order.say(f"{int(now - began)} s: {line[:120]}")
                shown = now
    if build.returncode:
        said = "\n".join(lines[-8:]) or f"building {tag} ended without a word"
        raise WorkshopError(f"{log} on the controlling machine has the whole log, which ends so:\n{said}")
    log.unlink()


def unpack(packed: Path, sha256: str, folder: Path) -> None:
    """Unpack a folder of the host, which must be the one whose digest was asked for."""
    try:
        with gzip.open(packed) as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, EOFError):
        found = ""
    if found != sha256:
        raise WorkshopError(f"the host's folder for {folder.name} changed while it was fetched; run again")
    folder.mkdir(parents=True)
    done = subprocess.run(["tar", "-xzpf", str(packed), "-C", str(folder)], capture_output=True, text=True)
    if done.returncode:
        raise WorkshopError(f"the host's folder for {folder.name} cannot be unpacked here: {done.stderr.strip()}")
