"""Settings of the container engine: which one, from where, what images are made from, and what its log may take."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from deploys.lib.component import Here
from deploys.lib.containers import Log
from deploys.lib.patterns import IMAGE, URL, URL_NO_SLASH, worded
from deploys.lib.runtime import contained
from deploys.lib.settings import Secret, Settings

FINGERPRINT = worded(r"^[0-9A-F]{40}$", "a key's fingerprint: 40 digits, 0 to 9 and A to F, without spaces")
IMAGE_REGISTRY = worded(
    r"^([a-z0-9-]+\.)*[a-z0-9-]+(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$",
    "a registry and a folder in it, in small letters, without https:// and without a tag, such as "
    "registry.example.org/portcullis",
)
REGISTRY = worded(
    r"^[A-Za-z0-9.-]+(:[0-9]+)?(/[0-9]+)?$",
    "a registry without http://, such as registry.example.org:5000, or a network such as 10.0.0.0/24",
)
# Keys of daemon.json that are not for extra lines, and what to do instead.
KEPT = {
    "allow-direct-routing": "what a container publishes would be open to other hosts",
    "default-cgroupns-mode": "a container must not see the host's cgroups",
    "default-network-opts": "a port that a container publishes would be open to other hosts",
    "default-runtime": "what holds containers in is runc, as the host's packages have it",
    "default-ulimits": "use engine_open_files",
    "hosts": "systemd opens the engine's socket, and who reaches another one is root on this host",
    "icc": "containers reach one another by networks that say so",
    "insecure-registries": "use engine_insecure_registries",
    "ip": "a port that a container publishes would be open to other hosts",
    "ip6tables": "its rules keep containers from one another, and what they publish from other hosts",
    "iptables": "its rules keep containers from one another, and what they publish from other hosts",
    "live-restore": "services must go on while the engine restarts",
    "log-driver": "use engine_log_max_mb and engine_log_files",
    "log-opts": "use engine_log_max_mb and engine_log_files",
    "no-new-privileges": "a program in a container must not become root by its file's mode",
    "registry-mirrors": "use engine_registry_mirrors",
    "runtimes": "what holds containers in is runc, as the host's packages have it",
    "seccomp-profile": "containers have Docker's own, which keeps system calls from them",
    "userland-proxy": "it hides from a service who its client is",
    "userns-remap": "services have the numbers of the host's users, whose files they read and write",
}
# Where the engine finds what it has, and its networks, with its defaults. One that starts with another does not know
# the containers that run: https://docs.docker.com/engine/daemon/live-restore/. The snapshotter is one of `features`.
ROOTED = {
    "bip": None,
    "bridge": None,
    "containerd": None,
    "containerd-namespace": "moby",
    "containerd-snapshotter": None,
    "data-root": "/var/lib/docker",
    "exec-root": "/var/run/docker",
    "storage-driver": None,
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
    images_from: Literal["host", "controller", "registry"] = Field(
        "host",
        description="Where the host has its images from: `host` builds them itself; `controller` gets them from the "
        "machine that runs pyinfra, which builds each once for all hosts; `registry` fetches them by digest from "
        "`engine_image_registry`, where that machine has pushed them.",
    )
    image_registry: str | None = Field(
        None,
        pattern=IMAGE_REGISTRY,
        description='Registry for `engine_images_from = "registry"`, with a folder in it, such as '
        "registry.example.org/portcullis. The machine that runs pyinfra is logged in to it by `docker login`.",
    )
    registry_user: str | None = Field(
        None,
        pattern=worded(r"^[A-Za-z0-9._@$+-]+$", "a user's name, of letters, digits and . _ @ $ + -"),
        description="Name by which hosts log in to `engine_image_registry`, for as long as they fetch an image; where "
        "it wants a login.",
    )
    registry_password: Secret | None = Field(None, description="Its password or token, as a reference.")
    images_cache: str = Field(
        "~/.cache/portcullis/images",
        description="Folder on the machine that runs pyinfra for what it builds; nobody else may use it.",
    )
    images_cache_days: int = Field(
        30, ge=1, le=3650, description="Days after which that folder loses an image that no run has named."
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
        description='More keys of daemon.json, as a JSON object such as `{"max-concurrent-downloads": 2}`. Everybody '
        "on the host can read them. Keys that would undo what Portcullis secures are refused, and while containers "
        "run another place for what the engine has, such as `data-root`.",
    )

    @model_validator(mode="after")
    def _registry(self) -> EngineSettings:
        if self.images_from == "registry" and not self.image_registry:
            raise ValueError("engine_images_from is `registry`, and engine_image_registry does not say which")
        if bool(self.registry_user) != bool(self.registry_password):
            raise ValueError("engine_registry_user and engine_registry_password go together")
        return self

    @field_validator("extra_config")
    @classmethod
    def _keys(cls, value: str) -> str:
        try:
            extra = json.loads(value or "{}")
        except ValueError as error:
            raise ValueError(f"is no JSON: {error}") from None
        if not isinstance(extra, dict):
            raise ValueError('is no JSON object, such as {"max-concurrent-downloads": 2}')
        if refused := sorted(set(extra) & set(KEPT)):
            raise ValueError("; ".join(f"{key} is not for these keys: {KEPT[key]}" for key in refused))
        return value

    @property
    def extra(self) -> dict[str, Any]:
        """The keys of ``extra_config``."""
        found: dict[str, Any] = json.loads(self.extra_config or "{}")
        return found


def built_elsewhere(here: Here) -> bool:
    """Whether the host's services run in containers whose images another machine builds."""
    s: EngineSettings = here.settings(EngineSettings)
    return contained(here) and s.images_from != "host"


def log(here: Here) -> Log:
    """What Docker keeps of the output of each container of the host."""
    s: EngineSettings = here.settings(EngineSettings)
    return Log(s.log_max_mb, s.log_files)
