"""Assembles everything the mirror serves in one folder, built once for each set of inputs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tests.lab import cache
from tests.lab.artefacts import llama_server, ollama, prisma_engines, tiny_model
from tests.lab.cache import LabError
from tests.lab.progress import step

HERE = Path(__file__).parent


def key() -> str:
    """The name of the tree the present sources give."""
    sources = [HERE / "standin", *(Path(str(m.__file__)) for m in (ollama, prisma_engines, tiny_model))]
    return cache.hash_of(llama_server.KEY, prisma_engines.key(), *sources)


@dataclass(frozen=True)
class Tree:
    """A finished artefact tree."""

    path: Path

    def ollama_sha256(self, version: str = ollama.VERSIONS[0]) -> str:
        """The checksum of one release archive."""
        return hashlib.sha256((self.path / ollama.archive_path(version)).read_bytes()).hexdigest()


def built() -> Tree:
    """The tree, which must have been built before."""
    folder = cache.find("artefacts", key())
    if folder is None:
        raise LabError("the lab's artefacts are not built; run `python -m tests.lab mirror`")
    return Tree(folder)


def ensure() -> Tree:
    """The tree; builds what is missing."""
    if (folder := cache.find("artefacts", key())) is not None:
        return Tree(folder)
    server, engines = llama_server.ensure(), prisma_engines.ensure()

    def build(target: Path) -> None:
        with step("Packing the artefacts of the mirror"):
            for version in ollama.VERSIONS:
                ollama.write_release(target, version, server)
            ollama.write_models(target)
            prisma_engines.write(target, engines)

    return Tree(cache.build_once("artefacts", key(), build))
