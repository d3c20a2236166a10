"""Settings of the container engine: which one, from where, what images are made from, and what its log may take."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from deploys.lib.patterns import IMAGE, URL, URL_NO_SLASH, worded
from deploys.lib.settings import Settings

FINGERPRINT = worded(r"^[0-9A-F]{40}$", "a key's fingerprint: 40 digits, 0 to 9 and A to F, without spaces")
REGISTRY = worded(
    r"^[A-Za-z0-9.-]+(:[0-9]+)?(/[0-9]+)?$",
    "a registry without http://, such as registry.example.org:5000, or a network such as 10.0.0.0/24",
)
# Keys of daemon.json that are not for extra lines, and what to do instead.
KEPT = {
    "default-network-opts": "a port that a container publishes would be open to other hosts",
    "default-ulimits": "use engine_open_files",
    "hosts": "systemd opens the engine's socket, and who reaches another one is root on this host",
    "icc": "containers reach one another by networks that say so",
    "insecure-registries": "use engine_insecure_registries",
    "ip": "a port that a container publishes would be open to other hosts",
    "live-restore": "services must go on while the engine restarts",
    "log-driver": "use engine_log_max_mb and engine_log_files",
    "log-opts": "use engine_log_max_mb and engine_log_files",
    "no-new-privileges": "a program in a container must not become root by its file's mode",
    "registry-mirrors": "use engine_registry_mirrors",
    "userland-proxy": "it hides from a service who its client is",
}


class EngineSettings(Settings):
    packages: Literal["auto", "debian", "docker"] = Field(
        "auto",
        description="Whose packages: `debian` (docker.io, Debian 13 only), `docker` (docker-ce of "
        "`engine_repository`), `auto` for Debian's where they are new enough.",
    )
    repository: str = Field(
        "https://download.docker.com/linux/debian",
        pattern=URL_NO_SLASH,
        description="Docker's package repository, or a mirror of it.",
    )
    repository_key: str | None = Field(
        None,
        pattern=URL,
        description="Address of the key that signs the repository. Default: `engine_repository` with /gpg.",
    )
    # As Docker's documentation of the installation states it.
    repository_fingerprint: str = Field(
        "9DC858229FC7DD38854AE2D88D81803C0EBFCD88",
        pattern=FINGERPRINT,
        description="Fingerprint of that key; another one is not used.",
    )
    base_image: str | None = Field(
        None,
        pattern=IMAGE,
        description="Image that all others are made from, with its digest: a slim Debian of the host's release with "
        "Python. Default: Docker's official Python image for the release.",
    )
    log_max_mb: int = Field(
        20, ge=1, le=1024, description="Size in MiB at which a container's log file is closed and the next one begun."
    )
    log_files: int = Field(5, ge=2, le=100, description="Log files kept of each container.")
    # The default is what units of services that run natively have.
    open_files: int = Field(
        65_535,
        ge=1024,
        le=1_048_576,
        description="Files and connections that PostgreSQL, Redis, Ollama and LiteLLM may each have open at once in "
        "a container, and every other container of the host that says nothing else.",
    )
    insecure_registries: list[Annotated[str, Field(pattern=REGISTRY)]] = Field(
        default_factory=list,
        description="Registries that are asked without TLS, or without looking at their certificate.",
    )
    registry_mirrors: list[Annotated[str, Field(pattern=URL_NO_SLASH)]] = Field(
        default_factory=list, description="Mirrors of Docker Hub to ask first, as whole addresses."
    )
    extra_config: str = Field(
        "",
        description='More keys of daemon.json, as a JSON object such as `{"data-root": "/srv/docker"}`. Everybody on '
        "the host can read them. Keys that would undo what Portcullis secures are refused.",
    )

    @field_validator("extra_config")
    @classmethod
    def _keys(cls, value: str) -> str:
        try:
            extra = json.loads(value or "{}")
        except ValueError as error:
            raise ValueError(f"is no JSON: {error}") from None
        if not isinstance(extra, dict):
            raise ValueError('is no JSON object, such as {"data-root": "/srv/docker"}')
        if refused := sorted(set(extra) & set(KEPT)):
            raise ValueError("; ".join(f"{key} is not for these keys: {KEPT[key]}" for key in refused))
        return value

    @property
    def extra(self) -> dict[str, Any]:
        """The keys of ``extra_config``."""
        found: dict[str, Any] = json.loads(self.extra_config or "{}")
        return found
