"""Models: how large they are before they are pulled, whether they fit, and how they are pulled and asked."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from shlex import quote
from typing import Literal

from deploys.components.ollama_settings import OllamaSettings
from deploys.lib.sizing import SizingError

MIB = 1024 * 1024
# Beside weights and context: compute buffers and the process, 0.35 GB in the published figures of llama3.1:8b.
OVERHEAD_MB = 350
# KiB of context per token at f16: 2 x layers x key-value heads x head size x 2 bytes, from the models' cards. A name
# without a tag stands for the tag that Ollama takes by default, and for no other: a larger model has more layers.
CONTEXT_KIB = {
    "llama3.2:1b": 32, "llama3.2:3b": 112, "llama3.2": 112, "llama3.1:8b": 128, "llama3.1": 128, "llama3:8b": 128,
    "llama3": 128, "llama3.1:70b": 320, "mistral:7b": 128, "mistral": 128, "phi3:mini": 384, "phi3": 384,
    "phi4-mini": 128, "qwen2.5-coder:1.5b": 28, "qwen2.5-coder:3b": 36, "qwen2.5-coder:7b": 56, "qwen2.5-coder": 56,
    "qwen2.5:7b": 56, "qwen2.5": 56, "qwen2.5:14b": 192, "qwen2.5:32b": 256, "qwen3:4b": 144, "qwen3:8b": 144,
    "qwen3": 144, "gemma2:2b": 104, "gemma3:1b": 26, "gemma3:4b": 136, "tinyllama": 22, "smollm2:135m": 23,
    "llama2:7b": 512, "llama2": 512, "codellama:7b": 512, "codellama": 512,
}  # fmt: skip
# For a model not in the table: that of a 7B model without grouped heads, the dearest kind: estimates err upwards.
CONTEXT_KIB_UNKNOWN = 512
KV_BYTES = {"f16": 1.0, "q8_0": 0.5, "q4_0": 0.25}


@dataclass(frozen=True)
class Model:
    """A model to pull and what it is for."""

    name: str
    mode: Literal["chat", "embedding"]
    digest: str = ""

    @property
    def full(self) -> str:
        """The name with its tag, as /api/tags shows it."""
        return self.name if ":" in self.name else f"{self.name}:latest"


def models_of(s: OllamaSettings) -> list[Model]:
    """Every model of the settings, chat models first."""
    chat = [Model(name, "chat", s.digests.get(name, "")) for name in s.models]
    return [*chat, *[Model(name, "embedding", s.digests.get(name, "")) for name in s.embedding_models]]


def manifest_path(name: str) -> str:
    """The registry's path of a model's manifest."""
    path, _, tag = name.partition(":")
    return f"/v2/{path if '/' in path else f'library/{path}'}/manifests/{tag or 'latest'}"


@cache
def fetch_size(registry: str, name: str) -> int | None:
    """Bytes of a model's layers as its manifest states them; None when the registry cannot be asked from here.

    Asked by the controlling machine, so that a model that does not fit is refused before anything is changed. The
    host asks again before it pulls.
    """
    request = urllib.request.Request(registry + manifest_path(name), headers={"Accept": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            manifest = json.load(answer)
        return sum(int(layer["size"]) for layer in manifest["layers"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def context_kib(s: OllamaSettings, name: str) -> int:
    """KiB of context per token for a model: as set, as the table has it, or the cautious value."""
    name = name.removesuffix(":latest")
    return s.context_kib_per_token.get(name, CONTEXT_KIB.get(name, CONTEXT_KIB_UNKNOWN))


def needed_mb(s: OllamaSettings, model: Model, size: int, context: int) -> tuple[int, str]:
    """Memory a loaded model takes in MiB, and the sum written out."""
    weights = -(-size // MIB)
    if model.mode == "embedding":
        # Embedding models have short contexts and no cache that grows with answers.
        return weights + OVERHEAD_MB, f"{model.name}: {weights:,} weights + {OVERHEAD_MB} overhead"
    per_token = context_kib(s, model.name) * KV_BYTES[s.kv_cache_type]
    cache_mb = -(-int(per_token * context * s.num_parallel) // 1024)
    written = f"{model.name}: {weights:,} weights + {cache_mb:,} context + {OVERHEAD_MB} overhead"
    return weights + cache_mb + OVERHEAD_MB, written


def budget_problems(s: OllamaSettings, sizes: Mapping[str, int], context: int, share_mb: int) -> list[str]:
    """Why the largest models that may be loaded at once do not fit into ``share_mb``; empty when they do."""
    known = [needed_mb(s, m, sizes[m.name], context) for m in models_of(s) if m.name in sizes]
    loaded = sorted(known, reverse=True)[: s.max_loaded_models]
    total = sum(need for need, _ in loaded)
    if total <= share_mb:
        return []
    error = SizingError(
        f"ollama_models: {'; '.join(written for _, written in loaded)} = {total:,} MiB, but Ollama's share of the host "
        f"is {share_mb:,} MiB; choose a smaller model, or lower ollama_context_length or ollama_max_loaded_models"
    )
    return [str(error)]


def has_model(url: str, model: Model) -> str:
    """A shell command that is true when the model is there, with the pinned digest if there is one."""
    # Only what an extended regular expression of grep knows: it warns of a backslash before any other character.
    name = re.escape(model.full).replace("\\-", "-")
    digest = f'[^}}]*"digest": *"(sha256:)?{model.digest}' if model.digest else ""
    pattern = f'"name": *"{name}"{digest}'
    return f"curl -fsS --max-time 10 {url}/api/tags | grep -E -q {quote(pattern)}"


def generation(url: str, model: Model) -> str:
    """A shell command that is true when the model answers a real request; prints a short piece of the answer."""
    if model.mode == "embedding":
        body = json.dumps({"model": model.full, "input": "ready?"})
        return (
            f"curl -fsS --max-time 280 {url}/api/embed -d {quote(body)} | grep -o '\"embeddings\": *\\[\\[[-0-9.e]*' "
        )
    body = json.dumps({"model": model.full, "prompt": "ready?", "stream": False, "options": {"num_predict": 8}})
    return f'curl -fsS --max-time 280 {url}/api/generate -d {quote(body)} | grep -o \'"response": *"[^"]\\{{1,60\\}}\''


def pull_script(url: str, s: OllamaSettings, model: Model, context: int, share_mb: int) -> str:
    """Pull a model with payload/ollama/pull.py at ``$DATA``; from a mirror, give it its short name.

    The host asks the manifest again and does the same sum: the controlling machine may not have been able to.
    """
    registry = s.registry
    beside, _ = needed_mb(s, model, 0, context)
    official = registry == "https://registry.ollama.ai"
    host = registry.partition("://")[2]
    path = model.full if "/" in model.full else f"library/{model.full}"
    source = model.full if official else f"{host}/{path}"
    lines = [
        f"size=$(curl -fsS --max-time 30 -H 'Accept: application/json' {registry}{manifest_path(model.name)} | "
        'python3 -c \'import json, sys; print(sum(layer["size"] for layer in json.load(sys.stdin)["layers"]))\') || '
        f"{{ echo 'the registry {registry} has no model {model.full}, or cannot be reached'; exit 1; }}",
        f'[ $((size / {MIB} + {beside})) -le {share_mb} ] || {{ echo "{model.full}: $((size / {MIB})) MiB + {beside} '
        f"context and overhead do not fit into Ollama's share of this host, {share_mb} MiB\"; exit 1; }}",
        "free=$(df --output=avail -B1 /var/lib/ollama/models | tail -n 1)",
        f'[ "$free" -gt $((size + size / 10)) ] || {{ echo "{model.full} needs $((size * 11 / 10 / {MIB})) MiB, '
        f'and /var/lib/ollama has $((free / {MIB}))"; exit 1; }}',
        f'python3 "$DATA" {url} {quote(source)}{" insecure" if registry.startswith("http://") else ""}',
    ]
    if not official:
        # Under its own name the mirror's address would be part of every configuration that uses the model.
        copy = json.dumps({"source": source, "destination": model.full})
        gone = json.dumps({"model": source})
        lines.append(f"curl -fsS {url}/api/copy -d {quote(copy)}")
        lines.append(f"curl -fsS -X DELETE {url}/api/delete -d {quote(gone)} || true")
    if model.digest:
        # Not kept under a name that clients use: it is another model than the one that was asked for.
        wrong = json.dumps({"model": model.full})
        lines.append(
            f"{has_model(url, model)} || {{ curl -fsS -X DELETE {url}/api/delete -d {quote(wrong)} || true; "
            f"echo 'the registry now has another {model.full} than the one pinned in ollama_digests; removed'; "
            "exit 1; }"
        )
    return "\n".join(lines)
