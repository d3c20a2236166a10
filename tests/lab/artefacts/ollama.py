"""Lays out the Ollama part of the mirror: release archives and a model registry."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard

from tests.lab.artefacts import tiny_model

# The second one is for upgrade and downgrade tests.
VERSIONS = ("0.35.1", "0.33.3")
STANDIN = Path(__file__).parent / "standin"
ARCHIVE = "ollama-linux-amd64.tar.zst"
HUGE_BYTES = 40_000_000_000
COMMON = {
    "model_format": "gguf",
    "model_family": "llama",
    "model_families": ["llama"],
    "model_type": "141.38K",
    "file_type": "F16",
    "model_info": {"general.architecture": "llama", "llama.context_length": 8192, "llama.embedding_length": 64},
}


def digest(data: bytes) -> str:
    """The name of a blob."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def archive_path(version: str) -> str:
    """Where a release lies, as on the official download site."""
    return f"ollama/ollama/releases/download/v{version}/{ARCHIVE}"


def standin_program() -> bytes:
    """The stand-in as one executable file: a zip archive that Python runs."""
    # Not through env: the kernel then names the process after this file, as it names the real one.
    data = io.BytesIO(b"#!/usr/bin/python3\n")
    data.seek(0, io.SEEK_END)
    with zipfile.ZipFile(data, "a", zipfile.ZIP_DEFLATED) as archive:
        # Fixed times and order, so that the same sources give the same checksum.
        for path in sorted(STANDIN.glob("*.py")):
            name = "__main__.py" if path.name == "__main__.py" else f"standin/{path.name}"
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), path.read_bytes())
    return data.getvalue()


def _members(version: str, llama_server: Path) -> Iterator[tuple[str, bytes, int]]:
    yield "bin/ollama", standin_program(), 0o755
    yield "lib/ollama/llama-server", llama_server.read_bytes(), 0o755
    yield "lib/ollama/STANDIN_VERSION", f"{version}\n".encode(), 0o644
    # A file name that differs by version shows whether an upgrade left the old folder's files behind.
    yield f"lib/ollama/libstandin-{version}.so", b"", 0o644
    # What a CPU-only installation must leave out.
    yield "lib/ollama/cuda_v13/libggml-cuda.so", b"not a library", 0o644
    yield "lib/ollama/vulkan/libggml-vulkan.so", b"not a library", 0o644


def write_release(root: Path, version: str, llama_server: Path) -> None:
    """Write one release, its checksum file, and a damaged copy below /broken."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, data, mode in _members(version, llama_server):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            tar.addfile(entry, io.BytesIO(data))
    data = zstandard.compress(plain.getvalue(), 9)
    target = root / archive_path(version)
    target.parent.mkdir(parents=True)
    target.write_bytes(data)
    # Upstream's form of the line: two spaces, then ./name.
    (target.parent / "sha256sum.txt").write_text(f"{digest(data)[7:]}  ./{ARCHIVE}\n")
    broken = root / "broken" / archive_path(version)
    broken.parent.mkdir(parents=True)
    broken.write_bytes(data + b"damaged")


def write_models(root: Path) -> None:
    """Write the registry's models."""
    gguf = root / "tiny.gguf"
    tiny_model.write(gguf)
    weights = gguf.read_bytes()
    gguf.unlink()
    chat = {**COMMON, "template": "{{ if .Tools }}tools{{ end }}", "capabilities": ["completion", "tools"]}
    _write_model(root, "tiny", weights, chat)
    _write_model(root, "tiny-embed", weights, {**COMMON, "capabilities": ["embedding"]})
    # Only the manifest is true to form: a host without the room must refuse before it asks for the data.
    missing = {"mediaType": "application/vnd.ollama.image.model", "digest": digest(b"huge"), "size": HUGE_BYTES}
    _write_manifest(root, "huge", chat, missing)
    # Its blob is not what the manifest promises: a pull must end with "digest mismatch".
    promised = {**missing, "digest": digest(b"promised"), "size": len(b"promised")}
    _write_manifest(root, "corrupt", chat, promised)
    (root / "v2/library/corrupt/blobs" / promised["digest"]).write_bytes(b"delivered")


def _write_model(root: Path, name: str, weights: bytes, config: dict[str, Any]) -> None:
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": digest(weights), "size": len(weights)}
    _write_manifest(root, name, config, layer)
    (root / "v2/library" / name / "blobs" / digest(weights)).write_bytes(weights)


def _write_manifest(root: Path, name: str, config: dict[str, Any], layer: dict[str, Any]) -> None:
    base, data = root / "v2/library" / name, json.dumps(config).encode()
    (base / "blobs").mkdir(parents=True)
    (base / "manifests").mkdir()
    (base / "blobs" / digest(data)).write_bytes(data)
    entry = {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": digest(data), "size": len(data)}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": entry,
        "layers": [layer],
    }
    (base / "manifests" / "latest").write_text(json.dumps(manifest))
