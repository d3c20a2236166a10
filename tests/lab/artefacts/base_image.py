"""Builds the base image of containers on lab hosts: a slim Debian with Python per suite, as a registry keeps it."""

from __future__ import annotations

import gzip
import hashlib
import json
import platform
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.lab import cache, images
from tests.lab.progress import step

NAME = "portcullis/base"
KIND = "base-image"
PACKAGES = ("python3", "ca-certificates")
# As the official slim image: nothing to read, nothing that can be fetched or compiled again. What is kept beside the
# packages, such as logs and caches with times in them, would make every build another image.
LEFT_OUT = (
    "usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian",
    "var/cache", "var/lib/apt/lists", "var/log", "tmp", "var/tmp", "run", "dev", "proc", "sys", "debootstrap",
)  # fmt: skip
# Of this machine, and filled or made by whoever runs the image.
OWN = ("etc/machine-id", "etc/hostname", "etc/resolv.conf", ".dockerenv")
# Nothing in the image is younger.
CLOCK = 1_767_225_600
CREATED = "2026-01-01T00:00:00Z"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
MEDIA = "application/vnd.docker"


def key(suite: str) -> str:
    """The name of what the present sources give for a suite; raises LabError for one the lab does not have."""
    images.tag(suite)
    return f"{suite}-{cache.hash_of(' '.join(PACKAGES), Path(__file__))}"


def folder() -> Path:
    """Where the images of all suites lie, for the mirror."""
    made = cache.root() / KIND
    made.mkdir(exist_ok=True)
    return made


def digest(suite: str) -> str:
    """The digest of a suite's image; empty where none was built."""
    found = cache.find(KIND, key(suite))
    return (found / "digest").read_text() if found else ""


def ensure(suite: str) -> None:
    """Build a suite's image unless it is there, or cannot be made on this machine.

    Who is not root has the hosts' own image from a registry, and can have the product's default base from there too.
    """
    if images.can_bootstrap():
        cache.build_once(KIND, key(suite), lambda target: _build(suite, target))


def _build(suite: str, target: Path) -> None:
    tree = target / "tree"
    with step(f"Building the {suite} base image for containers") as say:
        images.debootstrap(suite, tree, PACKAGES, say)
        _complete_sources(suite, tree / "etc/apt/sources.list")
        say("packing")
        write(target, tree)
    shutil.rmtree(tree)


def _complete_sources(suite: str, sources: Path) -> None:
    """debootstrap names the main suite only; what is installed in the image must be as new as what hosts have."""
    archive = sources.read_text().split()[1].rstrip("/")
    security = f"{archive.removesuffix('/debian')}/debian-security {suite}-security"
    suites = (f"{archive} {suite}", f"{archive} {suite}-updates", security)
    sources.write_text("".join(f"deb {one} main\n" for one in suites))


def write(target: Path, tree: Path) -> str:
    """Write the tree as layer, configuration and manifest below ``target``, each named by its digest; returns the last.

    The same tree gives the same digest.
    """
    blobs = target / "blobs"
    blobs.mkdir(parents=True)
    layer, plain = blobs / "layer", hashlib.sha256()
    with layer.open("wb") as file, gzip.GzipFile("", "wb", 1, file, mtime=0) as packed:
        _pack(tree, _Both(packed.write, plain.update))
    config = json.dumps(
        {
            "architecture": MACHINES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "created": CREATED,
            "config": {
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "Cmd": ["python3"],
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{plain.hexdigest()}"]},
            "history": [{"created": CREATED, "created_by": f"debootstrap {' '.join(PACKAGES)}"}],
        }
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{MEDIA}.distribution.manifest.v2+json",
        "config": _kept(blobs, config.encode(), f"{MEDIA}.container.image.v1+json"),
        "layers": [_named(layer, f"{MEDIA}.image.rootfs.diff.tar.gzip")],
    }
    entry = _kept(blobs, json.dumps(manifest).encode(), "")
    (target / "digest").write_text(entry["digest"])
    return str(entry["digest"])


def _kept(blobs: Path, data: bytes, media: str) -> dict[str, Any]:
    (blobs / "new").write_bytes(data)
    return _named(blobs / "new", media)


def _named(path: Path, media: str) -> dict[str, Any]:
    """Name a blob after its content; what a manifest says of it."""
    with path.open("rb") as file:
        name = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    done = path.rename(path.with_name(name))
    return {"mediaType": media, "size": done.stat().st_size, "digest": name}


class _Both:
    """A file to write to, whose every part goes to two."""

    def __init__(self, *sinks: Callable[[bytes], object]) -> None:
        self.sinks = sinks

    def write(self, data: bytes) -> int:
        for sink in self.sinks:
            sink(data)
        return len(data)


def _pack(tree: Path, sink: _Both) -> None:
    """Write the tree as an archive in a fixed order, without what is left out; empty folders stay."""
    with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(tree.rglob("*")):
            name = str(path.relative_to(tree))
            inside = any(name.startswith(f"{one}/") for one in LEFT_OUT)
            if not inside and name not in OWN and name != "debootstrap" and "__pycache__" not in path.parts:
                _add(archive, path, name)


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    entry = archive.gettarinfo(path, name)
    entry.uname = entry.gname = ""
    entry.mtime = min(int(entry.mtime), CLOCK)
    if entry.isreg():
        with path.open("rb") as file:
            archive.addfile(entry, file)
    else:
        archive.addfile(entry)
