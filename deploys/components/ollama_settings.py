"""Settings of Ollama: which version, where it listens, which models."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from deploys.lib.checks import ip_addresses
from deploys.lib.component import Here
from deploys.lib.patterns import IP, RELEASE, SHA256, URL, worded
from deploys.lib.settings import Port, Settings

# Below it: CVE-2026-7482 (heap read through /api/create, fixed in 0.17.1), digest checks skipped for manifests with
# duplicate digests (fixed in 0.32.10), and 0.32.14's llama.cpp runs at half speed or less on a CPU.
FLOOR = (0, 32, 15)
ROOT = "/opt/ollama"
DEFAULT_VERSION = "0.35.1"
DEFAULT_SHA256 = "9fcd79ac4575b2bd31b992eee18b1000c8ad126b451627c8f8cd091714cfbb10"
NAME = re.compile(r"[a-z0-9][a-z0-9._/-]*(:[A-Za-z0-9._-]+)?")


class OllamaSettings(Settings):
    version: str = Field(DEFAULT_VERSION, pattern=RELEASE, description="Release to run. Set `ollama_sha256` with it.")
    sha256: str = Field(
        DEFAULT_SHA256,
        pattern=SHA256,
        description="SHA-256 of the archive; a different one is not unpacked.",
    )
    url: str = Field(
        "https://github.com/ollama/ollama/releases/download/v{version}/ollama-linux-amd64.tar.zst",
        pattern=URL,
        description="Where the archive is; `{version}` is replaced. A mirror inside your network works too.",
    )
    port: Port = Field(11434, description="TCP port to listen on.")
    bind: str | None = Field(
        None,
        pattern=IP,
        description="Address to listen on. Default: loopback, or this host's address when a gateway is elsewhere.",
    )
    requests: Literal["all", "inference"] = Field(
        "inference",
        description="What may be asked over the network: `inference`, HAProxy before it lets the gateways' hosts use "
        "models, and nobody change them; `all`, whoever reaches it may pull and delete models as well.",
    )
    allow_public_bind: bool = Field(
        False, description="Listen on an address that is not private, although Ollama has no authentication."
    )
    memory_mb: int | None = Field(
        None, ge=512, description="Memory for models in MiB. Default: this component's share of the host."
    )
    models: list[str] = Field(
        default_factory=lambda: ["llama3.2:3b"], description="Chat models to pull, the first one is used to test."
    )
    embedding_models: list[str] = Field(
        default_factory=lambda: ["nomic-embed-text"], description="Embedding models to pull."
    )
    digests: dict[str, str] = Field(
        default_factory=dict, description="Expected digest (hexadecimal, as /api/tags shows it) of models to pin."
    )
    models_size_bytes: dict[str, int] = Field(
        default_factory=dict,
        description="Size of a model's weights, for registries that the controlling machine cannot ask.",
    )
    registry: str = Field(
        "https://registry.ollama.ai",
        pattern=worded(
            r"^https?://[A-Za-z0-9.:\[\]-]+$",
            "http:// or https:// with a host, and a port if need be, and nothing after",
        ),
        description="Model registry, or a mirror of it inside your network.",
    )
    context_kib_per_token: dict[str, int] = Field(
        default_factory=dict,
        description="KiB of context per token of a model, where the toolkit's table has none: 2 x layers x key-value "
        "heads x head size x 2 bytes.",
    )
    context_length: int | None = Field(
        None, ge=512, le=131072, description="Tokens of context. Default: 4096 below 12 GiB of memory, else 8192."
    )
    num_parallel: int = Field(1, ge=1, le=16, description="Requests a model answers at once; each has its own context.")
    max_loaded_models: int = Field(2, ge=1, le=8, description="Models in memory at once.")
    max_queue: int = Field(32, ge=1, le=512, description="Requests that wait; above it 503, so the gateway falls back.")
    keep_alive: str = Field(
        "30m",
        pattern=worded(r"^(-1|\d+[smh]?)$", "a time such as 30m (s, m or h; seconds without one), or -1 for ever"),
        description="How long an idle model stays in memory.",
    )
    load_timeout: str = Field(
        "5m",
        pattern=worded(r"^\d+[smh]$", "a time with its unit, s, m or h, such as 5m"),
        description="How long loading a model may stall.",
    )
    kv_cache_type: str = Field(
        "f16",
        pattern=worded("^(f16|q8_0|q4_0)$", "f16, q8_0 or q4_0"),
        description="Precision of the context's memory.",
    )

    _addresses = ip_addresses("bind")

    @field_validator("version")
    @classmethod
    def _floor(cls, value: str) -> str:
        if tuple(int(part) for part in value.split(".")) < FLOOR:
            floor = ".".join(map(str, FLOOR))
            raise ValueError(f"is older than {floor}, the first release without known holes in model files and pulls")
        return value

    @field_validator("models", "embedding_models")
    @classmethod
    def _names(cls, value: list[str]) -> list[str]:
        for name in value:
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a model name such as llama3.2:3b")
            if name.endswith(("-cloud", ":cloud")):
                raise ValueError(f"{name!r} runs at ollama.com, not here, and needs a sign-in a server cannot do")
        if len(set(value)) != len(value):
            raise ValueError("names a model twice")
        return value

    @model_validator(mode="after")
    def _pinned_together(self) -> OllamaSettings:
        if self.version != DEFAULT_VERSION and self.sha256 == DEFAULT_SHA256:
            raise ValueError(
                f"ollama_version is {self.version}, but ollama_sha256 is that of {DEFAULT_VERSION}; set both"
            )
        return self

    @model_validator(mode="after")
    def _names_its_models(self) -> OllamaSettings:
        for name, digest in self.digests.items():
            if not re.fullmatch(r"[0-9a-f]{64}", digest):
                raise ValueError(f"ollama_digests: {name}: {digest!r} is not 64 hexadecimal digits")
        named_in: dict[str, dict[str, Any]] = {
            "digests": self.digests,
            "models_size_bytes": self.models_size_bytes,
            "context_kib_per_token": self.context_kib_per_token,
        }
        for key, named in named_in.items():
            for name in named:
                if name not in (*self.models, *self.embedding_models):
                    raise ValueError(
                        f"ollama_{key} names {name!r}, which is neither in ollama_models nor ollama_embedding_models"
                    )
        return self


def version_folder(here: Here) -> str:
    s: OllamaSettings = here.settings(OllamaSettings)
    # The checksum is part of the name: a corrected archive of the same version is a new folder, not a changed one.
    return f"{ROOT}/{s.version}-{s.sha256[:8]}"
