"""What is audited: one deployment's configuration, environment, ways it is started, and facts of its host."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from deploys.auditing.document import Document, KeyPath
from deploys.auditing.inputs import Directive, Launch, Variable
from deploys.auditing.sources import Place, Source, place_in

ENVIRON = "os.environ/"
# Addresses and names that lead to this host or a private network.
PRIVATE = re.compile(
    r"localhost|127\.|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|192\.0\.2\.|host\.docker|[\w-]+$|.*\.(internal|local|lan)$"
)


@dataclass(frozen=True)
class Live:
    """What is true on a host; a fact that could not be had is None or empty.

    ``models`` are the configuration's names of models that the installed LiteLLM's table of prices has, with modes.
    """

    host: str
    version: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    stray_pth: tuple[str, ...] = ()
    modes: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] | None = None
    max_connections: int | None = None
    connections: int | None = None
    redis_policy: str = ""
    workers_mb: tuple[int, ...] = ()
    restarts: int | None = None
    older_than_files: bool = False
    served: tuple[str, ...] | None = None
    statuses: Mapping[str, int] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    listening: tuple[str, ...] = ()
    backup_hours: float | None = None
    backups: bool = False

    @property
    def place(self) -> Place:
        return Place(self.host)


@dataclass(frozen=True)
class Deployment:
    """One entry of model_list."""

    index: int
    name: str
    params: Mapping[str, Any]
    info: Mapping[str, Any]

    def path(self, *more: str) -> KeyPath:
        return ("model_list", self.index, *more)

    @property
    def model(self) -> str:
        return str(self.params.get("model") or "")

    @property
    def custom_provider(self) -> str:
        return str(self.params.get("custom_llm_provider") or "")

    @property
    def provider(self) -> str:
        own = self.custom_provider
        return own if own else self.model.partition("/")[0] if "/" in self.model else ""

    @property
    def api_base(self) -> str:
        return str(self.params.get("api_base") or self.params.get("base_url") or "")

    @property
    def mocked(self) -> bool:
        return "mock_response" in self.params

    @property
    def local(self) -> bool:
        """Whether it answers on this host or a private network, as far as its address says."""
        found = re.match(r"https?://\[?([^/:\]]+)", self.api_base)
        host = found.group(1) if found else ""
        if self.provider in ("ollama", "ollama_chat") and "ollama.com" not in self.api_base:
            return True
        return bool(PRIVATE.match(host))

    @property
    def mode(self) -> str:
        return str(self.info.get("mode") or "")


@dataclass
class Subject:
    """Everything the rules may look at. Texts are masked: no rule can see a secret, or show one."""

    config: Document
    version: str
    version_place: Place | None = None
    env: Mapping[str, Variable] | None = None
    launches: Sequence[Launch] = ()
    redis: Sequence[Directive] = ()
    postgres: Sequence[Directive] = ()
    others: Sequence[Source] = ()
    max_connections: int | None = None
    live: Live | None = None

    @cached_property
    def number(self) -> tuple[int, int, int]:
        """The LiteLLM version as numbers."""
        parts = [int(part) for part in re.findall(r"\d+", self.version)[:3]]
        return (parts[0], parts[1], parts[2]) if len(parts) == 3 else (1, 106, 2)

    @cached_property
    def variables(self) -> dict[str, Variable]:
        """Environment variables of the gateway from wherever they are set; the configuration's own win, as there."""
        found: dict[str, Variable] = dict(self.env or {})
        for launch in self.launches:
            found.update(launch.variables)
        for name, value in self.config.section("environment_variables").items():
            text = "" if value is None else str(value)
            found[str(name)] = Variable(text, self.config.place("environment_variables", name))
        return found

    @cached_property
    def knows_environment(self) -> bool:
        """Whether a variable that is not in ``variables`` is really not set."""
        return self.env is not None or any(launch.variables and not launch.env_files for launch in self.launches)

    def variable(self, *names: str) -> str:
        """The value of the first of ``names`` that is set; empty when none is."""
        return next((self.variables[name].value for name in names if name in self.variables), "")

    def resolve(self, value: Any) -> str | None:
        """What LiteLLM gets for a value of its YAML: None for a reference to a variable that is known not to be set."""
        if not isinstance(value, str):
            return None if value is None else str(value)
        if value.startswith(ENVIRON):
            name = value.removeprefix(ENVIRON)
            if name in self.variables:
                return self.variables[name].value
            return None if self.knows_environment else value
        return value

    @cached_property
    def deployments(self) -> list[Deployment]:
        found = []
        entries = self.config.get("model_list")
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            if isinstance(entry, dict):
                params, info = entry.get("litellm_params"), entry.get("model_info")
                found.append(
                    Deployment(
                        index,
                        str(entry.get("model_name") or ""),
                        params if isinstance(params, dict) else {},
                        info if isinstance(info, dict) else {},
                    )
                )
        return found

    @cached_property
    def groups(self) -> set[str]:
        return {deployment.name for deployment in self.deployments}

    @property
    def workers(self) -> int | None:
        """Worker processes of the largest gateway; None when nothing says how it is started."""
        return max((launch.workers for launch in self.launches), default=None)

    def callbacks(self, *keys: str) -> Iterator[tuple[KeyPath, str]]:
        """Names in litellm_settings' lists of callbacks, with their paths."""
        for key in keys or ("callbacks", "success_callback", "failure_callback", "service_callback"):
            value = self.config.get("litellm_settings", key)
            for index, name in enumerate(value if isinstance(value, list) else []):
                yield ("litellm_settings", key, index), str(name)
            if isinstance(value, str):
                yield ("litellm_settings", key), value

    def setting(self, key: str, *sections: str) -> tuple[KeyPath, Any] | None:
        """The first of ``sections`` that has ``key``, with the value."""
        for section in sections:
            if self.config.has(section, key):
                return (section, key), self.config.get(section, key)
        return None

    def texts(self) -> Iterator[tuple[Place, str]]:
        """Every line of files that only surround the gateway, and every health check of a compose file."""
        for source in self.others:
            for number, line in enumerate(source.lines, 1):
                yield place_in(source, number), line
        for launch in self.launches:
            for probe in launch.probes:
                yield probe.place, probe.value
            for name in ("ExecStartPost", "ExecCondition", "ExecStartPre"):
                for directive in launch.directives.get(name, ()):
                    yield directive.place, directive.value
