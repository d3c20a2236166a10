"""The model store on disk: names, manifests, blobs, pull, copy and delete."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from standin.common import ApiError, models_dir, setting

DEFAULT_HOST, DEFAULT_NAMESPACE = "registry.ollama.ai", "library"
MODEL_LAYER = "application/vnd.ollama.image.model"
Manifest = dict[str, Any]


class Name:
    """`[scheme://][host/][namespace/]model[:tag]` with Ollama's defaults."""

    def __init__(self, raw: str | None) -> None:
        if not raw:
            raise ApiError(400, "model is required")
        scheme, _, rest = raw.rpartition("://")
        parts = rest.split("/")
        base, _, tag = parts[-1].partition(":")
        self.scheme = scheme or "https"
        self.tag, self.model = tag or "latest", base
        self.namespace = parts[-2] if len(parts) > 1 else DEFAULT_NAMESPACE
        self.host = "/".join(parts[:-2]) or DEFAULT_HOST
        for part in (self.host, self.namespace, self.model, self.tag):
            if not re.fullmatch(r"[\w.:-]+", part) or part.startswith("."):
                raise ApiError(400, "invalid model name")

    @property
    def short(self) -> str:
        """The name without what the defaults add."""
        text = f"{self.model}:{self.tag}"
        if (self.host, self.namespace) != (DEFAULT_HOST, DEFAULT_NAMESPACE):
            text = f"{self.namespace}/{text}"
        return text if self.host == DEFAULT_HOST else f"{self.host}/{text}"

    def manifest_path(self) -> Path:
        """Where the store keeps this model's manifest."""
        return models_dir() / "manifests" / self.host / self.namespace / self.model / self.tag

    def url(self, insecure: bool) -> str:
        """This model's address in its registry; `insecure` means plain HTTP there, as in the real program."""
        if self.scheme == "http" and not insecure:
            raise ApiError(400, "insecure protocol http")
        registry = setting("STANDIN_REGISTRY").rstrip("/")
        base = registry if self.host == DEFAULT_HOST and registry else ""
        base = base or f"{'http' if insecure else self.scheme}://{self.host}"
        return f"{base}/v2/{self.namespace}/{self.model}"


def blob_path(digest: str) -> Path:
    """Where the store keeps this blob."""
    if not re.fullmatch(r"sha256[:-][0-9a-f]{64}", digest):
        raise ApiError(400, "invalid digest format")
    return models_dir() / "blobs" / digest.replace(":", "-")


def load(name: Name) -> Manifest:
    """A model's manifest, with the digest it is known by."""
    try:
        data = name.manifest_path().read_bytes()
    except OSError:
        raise ApiError(404, f"model '{name.short}' not found") from None
    manifest: Manifest = json.loads(data)
    manifest["_digest"] = hashlib.sha256(data).hexdigest()
    return manifest


def blobs(manifest: Manifest) -> list[dict[str, Any]]:
    """What a manifest refers to."""
    return [*manifest["layers"], manifest["config"]]


def weights(manifest: Manifest) -> Path:
    """The GGUF of a model."""
    return blob_path(next(x["digest"] for x in manifest["layers"] if x["mediaType"] == MODEL_LAYER))


def describe(name: Name) -> tuple[dict[str, Any], dict[str, Any]]:
    """A model as /api/tags lists it, and its config blob."""
    manifest = load(name)
    try:
        config: dict[str, Any] = json.loads(blob_path(manifest["config"]["digest"]).read_text())
    except OSError:
        config = {}
    details = {
        "parent_model": "",
        "format": config.get("model_format", "gguf"),
        "family": config.get("model_family", ""),
        "families": config.get("model_families"),
        "parameter_size": config.get("model_type", ""),
        "quantization_level": config.get("file_type", ""),
    }
    changed = datetime.fromtimestamp(name.manifest_path().stat().st_mtime, UTC)
    listed = {
        "name": name.short,
        "model": name.short,
        "modified_at": changed.isoformat().replace("+00:00", "Z"),
        "size": sum(x["size"] for x in blobs(manifest)),
        "digest": manifest["_digest"],
        "details": details,
    }
    return listed, config


def names() -> list[Name]:
    """Every model in the store."""
    root = models_dir() / "manifests"
    paths = (path.relative_to(root).parts for path in root.glob("*/*/*/*"))
    return [Name(f"{host}/{namespace}/{model}:{tag}") for host, namespace, model, tag in paths]


def listing() -> list[dict[str, Any]]:
    """Every model as /api/tags lists it, the newest first."""
    return sorted((describe(n)[0] for n in names()), key=lambda m: str(m["modified_at"]), reverse=True)


def pull(raw: str | None, insecure: bool) -> Iterator[dict[str, Any]]:
    """Fetch a model, with the progress objects of the real server in its order."""
    name = Name(raw)
    base = name.url(insecure)
    yield {"status": "pulling manifest"}
    data = _fetch_manifest(f"{base}/manifests/{name.tag}")
    for layer in blobs(json.loads(data)):
        yield from _fetch_blob(base, layer)
    yield {"status": "verifying sha256 digest"}
    yield {"status": "writing manifest"}
    name.manifest_path().parent.mkdir(parents=True, exist_ok=True)
    name.manifest_path().write_bytes(data)
    yield {"status": "success"}


def _fetch_manifest(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            data: bytes = response.read()
            return data
    except urllib.error.HTTPError as error:
        with error:
            problem = "file does not exist" if error.code == 404 else str(error)
    except OSError as error:
        problem = str(error)
    raise ApiError(500, f"pull model manifest: {problem}")


def _fetch_blob(base: str, layer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    digest: str = layer["digest"]
    target = blob_path(digest)
    line = {"status": f"pulling {digest[7:19]}", "digest": digest, "total": layer["size"]}
    if target.exists():
        yield {**line, "completed": layer["size"]}
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part, sha, done = target.with_name(f"{target.name}-partial"), hashlib.sha256(), 0
    try:
        with urllib.request.urlopen(f"{base}/blobs/{digest}", timeout=30) as response, part.open("wb") as file:
            while chunk := response.read(1 << 16):
                file.write(chunk)
                sha.update(chunk)
                done += len(chunk)
                yield {**line, "completed": done}
    except urllib.error.HTTPError as error:
        with error:
            raise ApiError(500, f"pull model: {error}") from None
    except OSError as error:
        raise ApiError(500, f"pull model: {error}") from None
    if sha.hexdigest() != digest[7:]:
        part.unlink()
        got = f"want {digest}, got sha256:{sha.hexdigest()}"
        raise ApiError(500, f"digest mismatch, file must be downloaded again: {got}")
    part.rename(target)


def copy(source: str | None, destination: str | None) -> None:
    """Give a model a second name: a copy of its manifest, the same blobs."""
    old, new = Name(source), Name(destination)
    if not old.manifest_path().exists():
        raise ApiError(404, f'model "{source}" not found')
    if old.manifest_path() != new.manifest_path():
        new.manifest_path().parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(old.manifest_path(), new.manifest_path())


def delete(raw: str | None) -> str:
    """Remove a name, and the blobs no other name uses; returns the name."""
    name = Name(raw)
    gone = load(name)
    name.manifest_path().unlink()
    for folder in name.manifest_path().parents[:3]:  # as the real program does, empty folders go too
        if any(folder.iterdir()):
            break
        folder.rmdir()
    used = {x["digest"] for other in names() for x in blobs(load(other))}
    for layer in blobs(gone):
        if layer["digest"] not in used:
            blob_path(layer["digest"]).unlink(missing_ok=True)
    return name.short
