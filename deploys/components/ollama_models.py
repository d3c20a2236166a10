"""Models: how large they are before they are pulled, whether they fit, and how they are pulled and asked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Literal

from deploys.components.ollama_settings import OllamaSettings
from deploys.lib.render import render

MIB = 1024 * 1024
# A proxy for the internet, which the host's /etc/environment may name, is not on the way to our own service.
CURL = "curl --noproxy '*' -fsS"
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


def context_kib(s: OllamaSettings, name: str) -> int:
    """KiB of context per token for a model: as set, as the table has it, or the cautious value."""
    name = name.removesuffix(":latest")
    return s.context_kib_per_token.get(name, CONTEXT_KIB.get(name, CONTEXT_KIB_UNKNOWN))


def beside(s: OllamaSettings, model: Model, context: int) -> tuple[int, str]:
    """Memory a loaded model takes beside its weights in MiB, and of what."""
    if model.mode == "embedding":
        # Embedding models have short contexts and no cache that grows with answers.
        return OVERHEAD_MB, f"{OVERHEAD_MB} overhead"
    per_token = context_kib(s, model.name) * KV_BYTES[s.kv_cache_type]
    cache_mb = -(-int(per_token * context * s.num_parallel) // 1024)
    return cache_mb + OVERHEAD_MB, f"{cache_mb:,} context + {OVERHEAD_MB} overhead"


def too_much(loaded: str, total: str, share_mb: int) -> str:
    """The refusal of models that do not fit, for the sum ``loaded``."""
    return (
        f"ollama_models: {loaded} = {total} MiB, but Ollama's share of the host is {share_mb:,} MiB; choose a smaller "
        "model, or lower ollama_context_length or ollama_max_loaded_models"
    )


def budget_problems(s: OllamaSettings, sizes: Mapping[str, int], context: int, share_mb: int) -> list[str]:
    """Why the largest models that may be loaded at once do not fit into ``share_mb``; empty when they do."""
    known = []
    for model in models_of(s):
        if model.name in sizes:
            weights, (more, words) = -(-sizes[model.name] // MIB), beside(s, model, context)
            known.append((weights + more, f"{model.name}: {weights:,} weights + {words}"))
    loaded = sorted(known, reverse=True)[: s.max_loaded_models]
    total = sum(need for need, _ in loaded)
    return [too_much("; ".join(words for _, words in loaded), f"{total:,}", share_mb)] if total > share_mb else []


def budget_question(url: str, s: OllamaSettings, context: int, share_mb: int) -> str:
    """The same sum as a shell command for the host, which asks the sizes that no setting states; empty without any.

    Asked by the host, because it is the one that pulls: the controlling machine may not reach the registry at all.
    """
    models = [
        {
            "name": model.name,
            "found": f'"name": *"{grep_word(model.full)}"[^{{}}]*"size": *[0-9]+',
            "manifest": s.registry + manifest_path(model.name),
            "size": s.models_size_bytes.get(model.name, 0),
            "beside": beside(s, model, context),
        }
        for model in models_of(s)
    ]
    if all(model["size"] for model in models):
        return ""
    refusal = too_much("$loaded", "$total", share_mb)
    return render("ollama/budget.sh.j2", s, models=models, curl=CURL, url=url, share=share_mb, refusal=refusal)


def grep_word(text: str) -> str:
    """``text`` as an extended regular expression of grep, which warns of a backslash before any other character."""
    return re.escape(text).replace("\\-", "-")


def has_model(url: str, model: Model) -> str:
    """A shell command that is true when the model is there, with the pinned digest if there is one."""
    digest = f'[^}}]*"digest": *"(sha256:)?{model.digest}' if model.digest else ""
    pattern = f'"name": *"{grep_word(model.full)}"{digest}'
    return f"{CURL} --max-time 10 {url}/api/tags | grep -E -q {quote(pattern)}"


def generation(url: str, model: Model) -> str:
    """A shell command that is true when the model answers a real request; prints a short piece of the answer."""
    if model.mode == "embedding":
        body = json.dumps({"model": model.full, "input": "ready?"})
        return f"{CURL} --max-time 280 {url}/api/embed -d {quote(body)} | grep -o '\"embeddings\": *\\[\\[[-0-9.e]*' "
    body = json.dumps({"model": model.full, "prompt": "ready?", "stream": False, "options": {"num_predict": 8}})
    return f'{CURL} --max-time 280 {url}/api/generate -d {quote(body)} | grep -o \'"response": *"[^"]\\{{1,60\\}}\''


def pull_script(url: str, s: OllamaSettings, model: Model, context: int, share_mb: int) -> str:
    """Pull a model with payload/ollama/pull.py at ``$DATA``; from a mirror, give it its short name.

    The manifest is asked again: it may be another one than before the run, and a bare host cannot ask every registry.
    """
    registry = s.registry
    more, _ = beside(s, model, context)
    official = registry == "https://registry.ollama.ai"
    host = registry.partition("://")[2]
    path = model.full if "/" in model.full else f"library/{model.full}"
    source = model.full if official else f"{host}/{path}"
    lines = [
        f"size=$(curl -fsS --max-time 30 -H 'Accept: application/json' {registry}{manifest_path(model.name)} | "
        'python3 -c \'import json, sys; print(sum(layer["size"] for layer in json.load(sys.stdin)["layers"]))\') || '
        f"{{ echo 'the registry {registry} has no model {model.full}, or cannot be reached'; exit 1; }}",
        f'[ $((size / {MIB} + {more})) -le {share_mb} ] || {{ echo "{model.full}: $((size / {MIB})) MiB + {more} '
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
        lines.append(f"{CURL} {url}/api/copy -d {quote(copy)}")
        lines.append(f"{CURL} -X DELETE {url}/api/delete -d {quote(gone)} || true")
    if model.digest:
        # Not kept under a name that clients use: it is another model than the one that was asked for.
        wrong = json.dumps({"model": model.full})
        lines.append(
            f"{has_model(url, model)} || {{ {CURL} -X DELETE {url}/api/delete -d {quote(wrong)} || true; "
            f"echo 'the registry now has another {model.full} than the one pinned in ollama_digests; removed'; "
            "exit 1; }"
        )
    return "\n".join(lines)


# The store says no release of a model but its tag.
_LISTED = """
import json, sys
for one in json.load(sys.stdin)["models"]:
    name, _, tag = one["name"].rpartition(":")
    print("model", name, tag, "sha256:" + one["digest"].removeprefix("sha256:"), sep="\\t")
"""


def listed(url: str) -> str:
    """A shell command that prints every model that is there, for the host's bill of materials."""
    return f"{CURL} --max-time 10 {url}/api/tags | python3 -I -B -c {quote(_LISTED)}"
