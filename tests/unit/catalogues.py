"""Entries of the model catalogue for tests: one from data, and random ones that the types admit."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from pydantic import Field, SecretStr

from deploys.components.litellm.catalogue import ModelEntry
from deploys.components.litellm.provider_rules import USELESS, mode_problem
from deploys.components.litellm.providers import PROVIDERS
from deploys.lib.settings import Settings, settings_from
from tests.unit import site


class CatalogueSettings(Settings):
    """What the gateway's settings have of the catalogue."""

    models: list[ModelEntry] = Field(default_factory=list, description="Models.")


def catalogue(entries: Any, values: Mapping[str, str] | None = None) -> list[ModelEntry]:
    """Entries as ``litellm_models`` has them; ``values`` are secrets by the name of their variable."""

    def resolve(reference: str) -> SecretStr:
        name = reference.removeprefix("env:")
        return SecretStr(values[name]) if values and name in values else site.resolve(reference)

    return settings_from({"litellm_models": entries}, "litellm_", CatalogueSettings, resolve).models


def entry(data: Mapping[str, Any], values: Mapping[str, str]) -> ModelEntry:
    (made,) = catalogue([data], values)
    return made


# One right entry of some providers, to make others from.
OPENAI = {"name": "a", "provider": "openai", "model": "gpt-4o", "api_key": "env:KEY_A"}
OLLAMA = {"name": "a", "provider": "ollama", "model": "llama3.2:3b", "api_base": "http://h:11434"}
VLLM = {"name": "a", "provider": "vllm", "model": "Qwen/Q", "api_base": "http://h:8000/v1"}
OTHER = {"name": "a", "provider": "openai_compatible", "model": "m", "api_base": "https://h/v1", "api_key": "none"}
COHERE = {"name": "a", "provider": "cohere", "model": "rerank-v3.5", "api_key": "env:KEY_A"}
AZURE = {"name": "a", "provider": "azure", "model": "d", "api_base": "https://n.openai.azure.com"}
AZURE |= {"api_key": "env:KEY_A", "api_version": "2024-10-21", "base_model": "azure/gpt-4o"}

WORDS = st.text("abcdefgh0123456789", min_size=1, max_size=6)
# Few names, so that groups have several entries; colons, slashes and dots must survive.
NAMES = st.sampled_from(["fast", "gpt-4o", "team/a:b", "x.y_z", "0"])
KEYS = {f"KEY_{letter}": f"secret-{letter * 24}" for letter in "ABC"}
SIZES = st.integers(1, 2**31)
BASES = {
    "": ["http://127.0.0.1:11434", "https://h.example/sub"],
    "*": ["https://h.example/v1", "https://h.example/v1beta/openai"],
}


@st.composite
def data(draw: st.DrawFn) -> dict[str, Any]:
    """One entry as a person may write it: only what its provider needs, and anything of what it may have."""
    provider = draw(st.sampled_from(sorted(PROVIDERS)))
    p = PROVIDERS[provider]
    mode = draw(st.sampled_from(sorted(p.routes)))
    assert not mode_problem(provider, mode)
    stem = draw(st.sampled_from(["ollama-ish", "m", "Qwen", "openai"] if p.slashes else ["ollama-ish", "m"]))
    slash = draw(st.sampled_from(["", "/", ":"])) if p.slashes else ""
    made: dict[str, Any] = {"name": draw(NAMES), "provider": provider, "mode": mode}
    made["model"] = stem + (slash + draw(WORDS) if slash else draw(WORDS))
    bases = BASES.get(p.path, [f"http://10.0.0.5:8000{p.path}", p.example.replace("NAME", "n")])
    if p.base == "needed" or "ollama" in made["model"] or draw(st.booleans()):
        made["api_base"] = draw(st.sampled_from(bases))
    if p.key == "needed" or ((provider, mode) != ("ollama", "embedding") and draw(st.booleans())):
        made["api_key"] = f"env:{draw(st.sampled_from(sorted(KEYS)))}"
    elif p.key == "stated":
        made["api_key"] = "none"
    optional: dict[str, st.SearchStrategy[Any]] = {
        **{name: SIZES for name in ("max_output_tokens", "rpm", "tpm", "max_parallel_requests", "weight", "order")},
        **{name: st.integers(1, 6000) for name in ("timeout", "stream_timeout", "health_check_timeout")},
        "context_window": SIZES,
        "tags": st.lists(WORDS, max_size=2),
        "health_check": st.booleans(),
    }
    if "num_ctx" in p.takes:
        optional |= {"num_ctx": SIZES, "keep_alive": st.sampled_from(["30m", "-1m", -1, 0, 3600])}
    for name, values in optional.items():
        if mode not in USELESS.get(name, ()) and draw(st.booleans()):
            made[name] = draw(values)
    if made.get("context_window", 0) > made.get("num_ctx", 2**31):
        del made["context_window"]
    if p.priced or ((mode != "rerank" or p.reranks_by_token) and draw(st.booleans())):
        made["input_cost_per_token"] = draw(st.floats(0, 0.01))
        if mode not in ("embedding", "rerank"):
            made["output_cost_per_token"] = draw(st.floats(0, 0.01))
    if "api_version" in p.takes:
        made |= {"api_version": "2024-10-21", "base_model": "azure/gpt-4o"}
    return made


CATALOGUES = st.lists(data(), min_size=1, max_size=8)


def random_catalogues(number: int) -> list[list[ModelEntry]]:
    """The same ``number`` of catalogues on every run."""
    found: list[list[ModelEntry]] = []

    @seed(20261106)
    @settings(max_examples=number, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(CATALOGUES)
    def collect(entries: list[dict[str, Any]]) -> None:
        found.append(catalogue(entries, KEYS))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collect()
    return found
