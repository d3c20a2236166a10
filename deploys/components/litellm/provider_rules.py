"""What is wrong with an entry of the model catalogue and what to write instead, in one sentence each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from deploys.components.litellm.providers import OLLAMA_ALONE, PROVIDERS, Mode, Name
from deploys.lib.patterns import worded

# A mock that proves authentication and routing without a model behind it; every probe asks it.
SELFTEST = "toolkit-selftest"
# What clients may call a model or a group.
NAME = worded(
    r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$",
    "up to 128 letters, digits and . _ : / @ + -, beginning with a letter or a digit",
)
# LiteLLM gives these names of models a meaning of its own.
RESERVED = {"all-team-models", "all-proxy-models", "no-default-models"}
# Keys of LiteLLM's own model_list, and what one writes here.
FOREIGN = ("model_name", "litellm_params", "model_info")
OURS = (
    "write it as {'name': 'gpt-4o', 'provider': 'openai', 'model': 'gpt-4o', 'api_key': 'env:OPENAI_API_KEY'}, all in "
    "one level"
)
# Words of LiteLLM's that are no names of providers here.
WORDS: Mapping[str, Name] = {
    "hosted_vllm": "vllm",
    "ollama_chat": "ollama",
    "custom_openai": "openai_compatible",
    "text_completion_openai": "openai",
}
# The ends of whole addresses that people copy out of a provider's manual.
FUNCTION = re.compile(r"(/chat/completions|/completions|/embeddings|/rerank|/messages|/models(/.*)?)$")
ROOT = re.compile(r"(/api(/\w+)?|/openai(/.*)?|/v\d+\w*)$")
VERSION = re.compile(r"/v\d+\w*$")
# Settings that nothing reads in these modes.
USELESS: Mapping[str, tuple[Mode, ...]] = {
    "stream_timeout": ("embedding", "rerank"),
    "max_output_tokens": ("embedding", "rerank"),
    "output_cost_per_token": ("embedding", "rerank"),
    "context_window": ("rerank",),
}


def provider_problem(word: str) -> str:
    """Which provider was meant by one of LiteLLM's words or by another spelling; empty for anything else."""
    plain = re.sub(r"[ -]", "_", word.strip().lower())
    meant = plain if plain in PROVIDERS else WORDS.get(plain)
    return f"is not a provider here; did you mean {meant}?" if meant and word != meant else ""


def mode_problem(provider: Name, mode: Mode) -> str:
    """Why ``provider`` cannot do ``mode``; empty when it can."""
    p = PROVIDERS[provider]
    return "" if mode in p.routes else f"{p.title} does not do this here; it does {' and '.join(p.routes)}"


def model_problem(provider: Name, model: str) -> str:
    """What is wrong with a model's name; empty when nothing is."""
    p = PROVIDERS[provider]
    prefix, slash, rest = model.partition("/")
    # On these servers `openai/gpt-oss-20b` is the name of a model, so `openai/` is not taken for LiteLLM's word.
    words = {provider, *p.routes.values()} - ({"openai"} if p.slashes else set())
    if slash and (prefix in words or not p.slashes):
        return f"LiteLLM's word before the name is added by itself; write {rest!r}"
    plain = re.sub(r"[-:]cloud$", "", model)
    if provider.startswith("ollama") and plain != model:
        return (
            "a name with cloud at its end belongs to an Ollama server somebody signed in to; use provider "
            f"'ollama_cloud' with {plain!r} and a key"
        )
    return ""


def base_needed(provider: Name, model: str) -> str:
    """Why an entry without ``api_base`` cannot work; empty when it can."""
    p = PROVIDERS[provider]
    if p.base == "needed":
        return f"is needed for {p.title}, such as {p.example!r}: {p.why_base}"
    if "ollama" in model and not p.default_base:
        return f"is needed because 'ollama' is in the model's name; write {p.example!r}: {OLLAMA_ALONE}"
    return ""


def base_problem(provider: Name, base: str) -> str:
    """What is wrong with an address and what to write; empty when nothing is."""
    p = PROVIDERS[provider]
    url = urlsplit(base)
    if base.endswith("/"):
        return f"{base!r} ends with a slash, which would be doubled; write {base.rstrip('/')!r}"
    if url.query or url.fragment or not url.hostname:
        return f"has a question mark or a fragment, and LiteLLM puts a path behind it; write it as {p.example!r}"
    if provider == "ollama" and url.hostname.removeprefix("www.") == "ollama.com":
        return f"{base!r} is Ollama's cloud; use provider 'ollama_cloud'"
    stem = FUNCTION.sub("", base)
    if p.path == "*":
        if stem != base:
            return f"{base!r} is the address of one function; write {stem!r}"
        if not re.search(r"/v\d+\w*(/|$)", url.path):
            return f"{base!r} has no version in its path, under which such servers answer; write {base + '/v1'!r}"
        return ""
    stem = VERSION.sub("", stem) if p.path else ROOT.sub("", ROOT.sub("", stem))
    if base == stem + p.path:
        return ""
    if p.path:
        return f"{base!r} must end with {p.path}, under which {p.title} answers; write {stem + p.path!r}"
    return f"{base!r} must not end with {base.removeprefix(stem)}, which LiteLLM adds; write {stem!r}"


def key_problem(provider: Name, mode: Mode, given: bool, none: bool, base: str) -> str:
    """Why an entry with or without a key, or with the word ``none`` for it, cannot work; empty when it can."""
    p = PROVIDERS[provider]
    if none and p.key == "needed":
        return f"{p.title} answers nobody without a key; write a reference such as env:{p.variable}"
    if not given and not none and p.key != "optional":
        word = ", or none for a server that asks for no key" if p.key == "stated" else ""
        return f"is needed for {p.title}; write a reference such as env:{p.variable}{word}"
    if given and (provider, mode) == ("ollama", "embedding"):
        return (
            "LiteLLM sends no key to Ollama when it asks for embeddings; use provider 'openai_compatible' with "
            f"api_base {base + '/v1'!r}"
        )
    return ""


def field_problem(provider: Name, mode: Mode, name: str, given: bool) -> str:
    """Why a setting is missing or without effect for ``provider`` in ``mode``; empty when neither."""
    p = PROVIDERS[provider]
    users = [other.title for other in PROVIDERS.values() if name in other.takes]
    if given and users and name not in p.takes:
        return f"is for {' and '.join(users)} only; leave it out"
    if not given and p.takes.get(name):
        return f"is needed for {p.title}: {p.takes[name]}"
    if not given and p.priced and name == "input_cost_per_token":
        return f"is needed for {p.title}: LiteLLM would count every request as free; write 0.0 if it is"
    if given and name == "input_cost_per_token" and mode == "rerank" and not p.reranks_by_token:
        return f"{p.title} bills a rerank by search, which LiteLLM has in its table; leave it out"
    if given and mode in USELESS.get(name, ()):
        return f"has no effect on a model of mode {mode}; leave it out"
    return ""
