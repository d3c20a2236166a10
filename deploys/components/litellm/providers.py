"""Facts of every model provider in one table: what it can do, where it answers, who pays for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Mode = Literal["chat", "embedding", "rerank", "completion"]
Name = Literal[
    "ollama", "ollama_cloud", "llamacpp", "vllm", "voyage", "cohere", "gemini", "openai", "anthropic", "azure",
    "openai_compatible",
]  # fmt: skip


@dataclass(frozen=True)
class Provider:
    """How LiteLLM 1.106.2 talks to one provider; tests/lab/doubles/expected.py has what it then sends.

    ``routes`` is LiteLLM's word before the model's name by mode, the default mode first. ``path`` is what ``api_base``
    ends with: nothing where LiteLLM adds the whole path, ``*`` for any version. ``key`` says whether an entry must
    have one: ``needed``, ``optional``, or ``stated``: a reference or the word none. ``free`` is for servers without
    a price per token, ``probed`` for those whose models a background health check may ask without being told to.
    """

    title: str
    routes: Mapping[Mode, str]
    example: str
    path: str = ""
    base: Literal["needed", "optional"] = "optional"
    why_base: str = ""
    default_base: str = ""
    key: Literal["needed", "optional", "stated"] = "needed"
    # Sent when there is no key: LiteLLM answers 500 to an `openai/` entry without one.
    placeholder: str = ""
    variable: str = ""
    free: bool = False
    # Whether an entry must state its price, because LiteLLM's table cannot have it.
    priced: bool = False
    # Whether reranks are billed by token; the others' are by search, whatever an entry says.
    reranks_by_token: bool = False
    # The word instead for a model whose name begins with the word itself: LiteLLM would look it up without, find
    # nothing, log an error for each request and check no limit.
    again: Mapping[Mode, str] = field(default_factory=dict)
    # LiteLLM registers a model of these under another provider, and then finds nothing either.
    registered: Mapping[Mode, str] = field(default_factory=dict)
    local_cpu: bool = False
    probed: bool = False
    # Names such as Qwen/Qwen2.5 are the provider's own; elsewhere a slash is a prefix of LiteLLM's.
    slashes: bool = False
    takes: Mapping[str, str] = field(default_factory=dict)


OLLAMA_ALONE = "without an address LiteLLM starts an Ollama server of its own"
# What only some providers read: the setting, and why it is needed (empty: it may be left out).
_AZURE = {
    "api_version": "a date such as '2024-10-21'",
    "base_model": "the model behind the deployment, such as 'azure/gpt-4o'; without it nothing is known of its price "
    "and size, and every request logs an error",
}
_AGAIN: Mapping[Mode, str] = {"chat": "custom_openai", "embedding": "hosted_vllm"}
PROVIDERS: Mapping[Name, Provider] = {
    "ollama": Provider(
        "Ollama",
        # `ollama/` flattens a chat into one prompt; for embeddings there is no other.
        {"chat": "ollama_chat", "embedding": "ollama"},
        "http://127.0.0.1:11434",
        base="needed",
        why_base=OLLAMA_ALONE,
        key="optional",
        free=True,
        local_cpu=True,
        slashes=True,
        registered={"chat": "ollama_chat"},
        takes={"keep_alive": "", "num_ctx": ""},
    ),
    "ollama_cloud": Provider(
        "Ollama's cloud",
        {"chat": "ollama_chat"},
        "https://ollama.com",
        why_base=OLLAMA_ALONE,
        default_base="https://ollama.com",
        variable="OLLAMA_CLOUD_API_KEY",
        free=True,
        slashes=True,
        registered={"chat": "ollama_chat"},
    ),
    "llamacpp": Provider(
        "llama.cpp's server",
        # `openai/` turns a completion into a chat when the model has the name of one of OpenAI's.
        {"chat": "openai", "embedding": "openai", "completion": "text-completion-openai"},
        "http://127.0.0.1:8080/v1",
        path="/v1",
        base="needed",
        why_base="LiteLLM would ask OpenAI instead",
        key="optional",
        placeholder="none",
        free=True,
        local_cpu=True,
        slashes=True,
        again=_AGAIN,
    ),
    "vllm": Provider(
        "vLLM",
        {"chat": "hosted_vllm", "embedding": "hosted_vllm", "rerank": "hosted_vllm", "completion": "hosted_vllm"},
        "http://10.0.0.5:8000/v1",
        path="/v1",
        base="needed",
        why_base="there is no address to assume",
        key="optional",
        free=True,
        probed=True,
        slashes=True,
    ),
    "voyage": Provider(
        "Voyage AI",
        {"embedding": "voyage", "rerank": "voyage"},
        "https://api.voyageai.com/v1",
        path="/v1",
        variable="VOYAGE_API_KEY",
        reranks_by_token=True,
    ),
    "cohere": Provider("Cohere", {"rerank": "cohere"}, "https://api.cohere.com", variable="COHERE_API_KEY"),
    "gemini": Provider(
        "Gemini",
        {"chat": "gemini", "embedding": "gemini"},
        "https://generativelanguage.googleapis.com/v1beta",
        path="/v1beta",
        variable="GEMINI_API_KEY",
    ),
    "openai": Provider(
        "OpenAI",
        {"chat": "openai", "embedding": "openai", "completion": "text-completion-openai"},
        "https://api.openai.com/v1",
        path="/v1",
        variable="OPENAI_API_KEY",
    ),
    "anthropic": Provider(
        "Anthropic", {"chat": "anthropic"}, "https://api.anthropic.com", variable="ANTHROPIC_API_KEY"
    ),
    "azure": Provider(
        "Azure OpenAI",
        {"chat": "azure", "embedding": "azure"},
        "https://NAME.openai.azure.com",
        base="needed",
        why_base="every resource has its own",
        variable="AZURE_API_KEY",
        takes=_AZURE,
    ),
    "openai_compatible": Provider(
        "an OpenAI-compatible endpoint",
        {"chat": "openai", "embedding": "openai", "completion": "text-completion-openai"},
        "https://llm.example.org/v1",
        path="*",
        base="needed",
        why_base="LiteLLM would ask OpenAI instead",
        key="stated",
        placeholder="none",
        variable="NAME_API_KEY",
        priced=True,
        again=_AGAIN,
        slashes=True,
    ),
}
assert tuple(PROVIDERS) == get_args(Name)


def default_mode(provider: Name) -> Mode:
    return next(iter(PROVIDERS[provider].routes))


def word(provider: Name, mode: Mode, model: str) -> str:
    """What LiteLLM wants before the model's name."""
    p = PROVIDERS[provider]
    usual = p.routes[mode]
    return p.again.get(mode, usual) if model.startswith(f"{usual}/") else usual
