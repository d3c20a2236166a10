"""What every provider must be sent for an entry of the catalogue: entries, calls, and what the double then has seen.

Used by unit tests against a LiteLLM on this machine and by the host tier against a gateway in the lab.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Call = Literal["chat", "stream", "embedding", "rerank", "completion"]
ANSWER = "pong from the double"
# What clients of the gateway send, by call: the path and the body without the model.
MESSAGES = {"messages": [{"role": "user", "content": "ping"}]}
CALLS: Mapping[Call, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {**MESSAGES, "max_tokens": 16}),
    "stream": ("/v1/chat/completions", {**MESSAGES, "max_tokens": 16, "stream": True}),
    "embedding": ("/v1/embeddings", {"input": ["ping", "pong"]}),
    "rerank": ("/v1/rerank", {"query": "ping", "documents": ["ping", "pong"]}),
    "completion": ("/v1/completions", {"prompt": "ping", "max_tokens": 16}),
}
# The gateway's own settings of a deployment: none of them may reach a provider.
OWN = {"rpm": 600, "tpm": 900000, "max_parallel_requests": 50, "timeout": 60, "weight": 2, "order": 1, "tags": ["lab"]}
NEVER = {*OWN, "api_key", "api_base", "api_version", "model_info", "stream_timeout", "max_input_tokens", "mode"}


@dataclass(frozen=True)
class Expected:
    """One call and the request that the provider must get for it.

    ``entry`` is a row of ``litellm_models`` with BASE for the double's address; ``auth`` the only header with a key
    and its value; ``body`` what the request must at least have.
    """

    entry: Mapping[str, Any]
    call: Call
    path: str
    auth: tuple[str, str] | None
    body: Mapping[str, Any]
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.entry['name']}-{self.call}"

    def request(self) -> tuple[str, dict[str, Any]]:
        """Path and body of the call to the gateway."""
        path, body = CALLS[self.call]
        return path, {**body, "model": self.entry["name"]}

    def wrong(self, record: Mapping[str, Any]) -> list[str]:
        """How a line of the double's log differs from what it should be."""
        found = []
        seen = (record["method"], record["path"], record["query"])
        if seen != ("POST", self.path, dict(self.query)):
            found.append(f"asked {seen}, not {('POST', self.path, dict(self.query))}")
        kinds = ("authorization", "x-api-key", "x-goog-api-key", "api-key")
        keys = {name: record["headers"][name] for name in kinds if name in record["headers"]}
        if keys != (dict([self.auth]) if self.auth else {}):
            found.append(f"keys in {keys}, not in {self.auth}")
        body = record["body"]
        found += [
            f"{name} is {body.get(name)!r}, not {want!r}" for name, want in self.body.items() if body.get(name) != want
        ]
        found += [f"{name} of the gateway reached the provider" for name in sorted(NEVER & set(body))]
        return found


def key_of(provider: str) -> str:
    """The variable of the controlling machine with a provider's key."""
    return f"DOUBLE_{provider.upper()}_KEY"


def _value(provider: str) -> str:
    return f"double-{provider}-0123456789abcdef"


def _entry(provider: str, mode: str, model: str, path: str, key: bool | str = True, **more: Any) -> dict[str, Any]:
    reference = {"api_key": f"env:{key_of(provider)}"} if key is True else {"api_key": key} if key else {}
    name = f"double-{provider.replace('_', '-')}-{mode}{'' if key is True else '-keyless'}"
    return {
        "name": name,
        "provider": provider,
        "model": model,
        "mode": mode,
        "api_base": f"BASE{path}",
        **reference,
        **OWN,
        **more,
    }


def _bearer(provider: str) -> tuple[str, str]:
    return "authorization", f"Bearer {_value(provider)}"


def _openai(
    provider: str, model: str, modes: tuple[str, ...], key: bool | str = True, none: str = ""
) -> list[Expected]:
    """Rows of a provider that speaks OpenAI's protocol: the model in the body, the key as bearer."""
    auth = _bearer(provider) if key is True else ("authorization", f"Bearer {none}") if none else None
    paths = {"chat": "chat/completions", "embedding": "embeddings", "rerank": "rerank", "completion": "completions"}
    rows = []
    for mode in modes:
        paid = {"input_cost_per_token": 1e-07, **({} if mode == "embedding" else {"output_cost_per_token": 2e-07})}
        entry = _entry(provider, mode, model, "/v1", key, **(paid if provider == "openai_compatible" else {}))
        calls: tuple[Call, ...] = ("chat", "stream") if mode == "chat" else (mode,)  # type: ignore[assignment]
        for call in calls:
            body = {"model": model, **({"stream": True} if call == "stream" else {})}
            # LiteLLM's client for vLLM asks for embeddings without a key where there is none.
            mine = None if (provider, mode, key) == ("vllm", "embedding", False) else auth
            rows.append(Expected(entry, call, f"/v1/{paths[mode]}", mine, body))
    return rows


def _rows() -> list[Expected]:
    chat = _entry("ollama", "chat", "llama3.2:3b", "", False, keep_alive="30m", num_ctx=4096)
    keyed = _entry("ollama", "chat", "qwen3:4b", "")
    embed = _entry("ollama", "embedding", "nomic-embed-text", "", False, keep_alive=-1)
    cloud = _entry("ollama_cloud", "chat", "gpt-oss:120b", "")
    options = {"num_ctx": 4096, "num_predict": 16}
    rows = [
        Expected(
            chat,
            "chat",
            "/api/chat",
            None,
            {"model": "llama3.2:3b", "stream": False, "keep_alive": "30m", "options": options},
        ),
        Expected(
            chat,
            "stream",
            "/api/chat",
            None,
            {"model": "llama3.2:3b", "stream": True, "keep_alive": "30m", "options": options},
        ),
        Expected(keyed, "chat", "/api/chat", _bearer("ollama"), {"model": "qwen3:4b"}),
        Expected(
            embed,
            "embedding",
            "/api/embed",
            None,
            {"model": "nomic-embed-text", "input": ["ping", "pong"], "keep_alive": -1},
        ),
        Expected(cloud, "chat", "/api/chat", _bearer("ollama_cloud"), {"model": "gpt-oss:120b"}),
        Expected(cloud, "stream", "/api/chat", _bearer("ollama_cloud"), {"model": "gpt-oss:120b", "stream": True}),
    ]
    rows += _openai("llamacpp", "tiny.gguf", ("chat", "embedding", "completion"), False, "none")
    rows += _openai("llamacpp", "tiny.gguf", ("chat",))
    rows += _openai("vllm", "Qwen/Qwen2.5-7B-Instruct", ("chat", "embedding", "rerank", "completion"))
    rows += _openai("vllm", "Qwen/Qwen2.5-7B-Instruct", ("chat", "embedding"), False, "fake-api-key")
    rows += _openai("voyage", "voyage-3.5", ("embedding",)) + _openai("voyage", "rerank-2.5", ("rerank",))
    rows += _openai("openai", "gpt-4o", ("chat",))
    rows += _openai("openai", "text-embedding-3-small", ("embedding",))
    rows += _openai("openai", "gpt-3.5-turbo-instruct", ("completion",))
    rows += _openai("openai_compatible", "openai/gpt-oss-20b", ("chat", "embedding", "completion"))
    rows += _openai("openai_compatible", "openai/gpt-oss-20b", ("chat",), "none", "none")
    cohere = _entry("cohere", "rerank", "rerank-v3.5", "")
    rows.append(Expected(cohere, "rerank", "/v2/rerank", _bearer("cohere"), {"model": "rerank-v3.5", "query": "ping"}))
    google, claude = ("x-goog-api-key", _value("gemini")), ("x-api-key", _value("anthropic"))
    flash, vectors = "/v1beta/models/gemini-2.5-flash", "/v1beta/models/gemini-embedding-001"
    gemini = _entry("gemini", "chat", "gemini-2.5-flash", "/v1beta")
    rows += [
        Expected(gemini, "chat", f"{flash}:generateContent", google, {}),
        Expected(gemini, "stream", f"{flash}:streamGenerateContent", google, {}, {"alt": "sse"}),
        Expected(
            _entry("gemini", "embedding", "gemini-embedding-001", "/v1beta"),
            "embedding",
            f"{vectors}:batchEmbedContents",
            google,
            {},
        ),
    ]
    anthropic = _entry("anthropic", "chat", "claude-sonnet-4-5", "")
    said = {"model": "claude-sonnet-4-5", "max_tokens": 16}
    rows.append(Expected(anthropic, "chat", "/v1/messages", claude, said))
    rows.append(Expected(anthropic, "stream", "/v1/messages", claude, {**said, "stream": True}))
    version = {"api_version": "2024-10-21"}
    azure = _entry("azure", "chat", "my-gpt", "", base_model="azure/gpt-4o", **version)
    small = _entry("azure", "embedding", "my-vectors", "", base_model="azure/text-embedding-3-small", **version)
    key, query = ("api-key", _value("azure")), {"api-version": "2024-10-21"}
    deployed = "/openai/deployments"
    rows += [
        Expected(azure, "chat", f"{deployed}/my-gpt/chat/completions", key, {}, query),
        Expected(azure, "stream", f"{deployed}/my-gpt/chat/completions", key, {"stream": True}, query),
        Expected(small, "embedding", f"{deployed}/my-vectors/embeddings", key, {"input": ["ping", "pong"]}, query),
    ]
    return rows


ROWS = _rows()
# What the variables that the entries name must hold.
KEYS = {
    key_of(row.entry["provider"]): _value(row.entry["provider"])
    for row in ROWS
    if "env:" in str(row.entry.get("api_key"))
}


def entries(base: str) -> list[dict[str, Any]]:
    """The catalogue of every row, for a double at ``base``: data for the key ``litellm_models``."""
    unique = {row.entry["name"]: row.entry for row in ROWS}
    return [{**entry, "api_base": entry["api_base"].replace("BASE", base)} for entry in unique.values()]
