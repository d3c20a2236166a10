"""Settings of the LiteLLM gateway: version, sizes, secrets, where it listens."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from deploys.components.litellm.bootstrap import BootstrapSettings
from deploys.components.litellm.catalogue import ModelEntry
from deploys.components.litellm.observability import ObservabilitySettings
from deploys.components.litellm.reliability import ReliabilitySettings
from deploys.components.litellm.state import StateSettings
from deploys.components.litellm.timers import TimersSettings
from deploys.components.litellm.variables import problem as variable_problem
from deploys.lib.checks import ip_addresses, long_enough, weakness
from deploys.lib.component import Member
from deploys.lib.patterns import IMAGE, IP, RELEASE, SHA256, URL_NO_SLASH, URL_OR_FILE, worded
from deploys.lib.render import ROOT
from deploys.lib.settings import Port, Secret, secret
from deploys.lib.sizing import Machine

PAYLOAD = ROOT / "payload" / "litellm"
DEFAULT_VERSION = "1.106.2"

# Releases that must not run, newest rule first: (first, last, why). Bounds are inclusive.
REFUSED: tuple[tuple[tuple[int, int, int], tuple[int, int, int], str], ...] = (
    ((1, 82, 7), (1, 82, 8), "is malicious: a credential stealer published on 2026-03-24 (MAL-2026-2144)"),
    (
        (0, 0, 0),
        (1, 83, 6),
        "has CVE-2026-42208: SQL injection before authentication, used in attacks; fixed in 1.83.7",
    ),
    ((0, 0, 0), (1, 83, 13), "has CVE-2026-47101: any user becomes administrator; fixed in 1.83.14"),
    ((0, 0, 0), (1, 83, 999), "has CVE-2026-49468: the Host header passes by authentication; fixed in 1.84.0"),
)
# Memory of one gunicorn worker with its Prisma engine after some thousand requests: 0.38 GB and 0.11 GB measured,
# and room for what it grows between two reloads. The base is the master, imports shared by all, and migrations.
WORKER_MB = 600
BASE_MB = 400


def refusal(version: str) -> str:
    """Why a LiteLLM version must not run; empty when nothing is known against it."""
    number = tuple(int(part) for part in version.split("."))
    for first, last, why in REFUSED:
        if first <= number <= last:
            return f"LiteLLM {version} {why}"
    return ""


def locked_versions() -> list[str]:
    """Versions that the toolkit ships a hash-locked requirement set for."""
    return sorted(path.parent.name for path in PAYLOAD.glob("*/requirements.txt"))


class LitellmSettings(ReliabilitySettings, StateSettings, ObservabilitySettings, TimersSettings, BootstrapSettings):
    version: str = Field(
        DEFAULT_VERSION, pattern=RELEASE, description="Exact release; one the toolkit has a hash lock for."
    )
    image: str | None = Field(
        None,
        pattern=IMAGE,
        description="In containers only: image that LiteLLM's maintainers publish of that release, by digest, to start "
        "from instead of the hash lock.",
    )
    listen: str = Field(
        "0.0.0.0",
        pattern=IP,
        description="Address to listen on. Every route that costs or shows anything needs a key; put TLS before it "
        "where the network is not yours.",
    )
    port: Port = Field(
        4100,
        description="TCP port to listen on. 4000 is refused: LiteLLM silently takes a random port when 4000 is busy.",
    )
    master_key: Secret = secret(
        "env:LITELLM_MASTER_KEY", "Administrator's key, `sk-` and 32 characters or more, as a reference."
    )
    salt_key: Secret = secret(
        "env:LITELLM_SALT_KEY",
        "Key that encrypts stored credentials, as a reference. Never change it: they become unreadable.",
    )
    models: list[ModelEntry] = Field(
        default_factory=list,
        description="Models beside those of the Ollama hosts, one entry per deployment; see Models below.",
    )
    workers: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Worker processes. Default: one per vCPU, or one per two where Ollama computes on the same host.",
    )
    max_parallel_requests: int = Field(
        4, ge=1, le=1000, description="Requests in flight per local model and worker; one more is answered 429."
    )
    recycle: Literal["timer", "max_requests", "off"] = Field(
        "timer",
        description="How workers are renewed: `timer` reloads at `litellm_recycle_calendar`, new workers first; "
        "`max_requests` ends each after `litellm_max_requests`, and starts another then; `off`.",
    )
    recycle_calendar: str = Field(
        "Sun *-*-* 04:00:00",
        pattern=worded(r"^[A-Za-z0-9*:,./ -]+$", "a time in systemd's form, such as Sun 04:00:00"),
        description="When `timer` reloads (systemd calendar form).",
    )
    max_requests: int = Field(
        50000, ge=1000, description="Requests after which `max_requests` ends a worker (10 % jitter)."
    )
    prisma_mirror: str = Field(
        "https://binaries.prisma.sh",
        pattern=URL_NO_SLASH,
        description="Where Prisma's engines come from: its CDN, or a mirror with the same layout.",
    )
    prisma_query_engine: str | None = Field(
        None,
        pattern=URL_OR_FILE,
        description="URL (also file:///path on the host) of the query engine, uncompressed, instead of the mirror.",
    )
    prisma_schema_engine: str | None = Field(
        None,
        pattern=URL_OR_FILE,
        description="URL (also file:///path on the host) of the schema engine, uncompressed, instead of the mirror.",
    )
    prisma_query_engine_sha256: str | None = Field(
        None, pattern=SHA256, description="SHA-256 of the query engine. Default: the one the mirror states."
    )
    prisma_schema_engine_sha256: str | None = Field(
        None, pattern=SHA256, description="SHA-256 of the schema engine. Default: the one the mirror states."
    )
    prisma_engine_runtime: Literal["native", "node"] = Field(
        "native",
        description="`native` for Prisma's own engines; `node` for engines that run in Node (WebAssembly), which needs "
        "memory that is writable and executable: that one sandbox rule is then off.",
    )
    environment: dict[str, str] = Field(
        default_factory=dict,
        repr=False,  # somebody will put a key here all the same: its values are in no message
        description="More variables for the gateway's environment file. No secrets here.",
    )

    @field_validator("version")
    @classmethod
    def _sound(cls, value: str) -> str:
        if why := refusal(value):
            raise ValueError(why)
        if value not in locked_versions():
            raise ValueError(
                f"there is no hash lock for it; there is one for {', '.join(locked_versions())}. "
                f"Make one with: make lock VERSION={value}"
            )
        return value

    @field_validator("port")
    @classmethod
    def _said(cls, value: int) -> int:
        if value == 4000:
            raise ValueError("LiteLLM silently takes a random port when 4000 is busy; choose another, such as 4100")
        return value

    @field_validator("master_key")
    @classmethod
    def _master(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if not text.startswith("sk-"):
            raise ValueError("must begin with sk-; `make secrets` makes a strong one")
        if why := weakness(text, 35):
            raise ValueError(f"{why}; `make secrets` makes a strong one")
        return value

    @field_validator("environment")
    @classmethod
    def _plain(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not name.isidentifier() or name != name.upper():
                raise ValueError(f"{name!r} is not the name of a variable")
            if text.startswith("os.environ/"):
                raise ValueError(
                    f"{name}: os.environ/ is resolved in config.yaml only; here it would be the value itself"
                )
            if any(ord(character) < 32 for character in text):
                raise ValueError(f"{name}: a value is one line of text")
            if why := variable_problem(name):
                raise ValueError(why)
        return value

    @model_validator(mode="after")
    def _engines(self) -> LitellmSettings:
        if bool(self.prisma_query_engine) != bool(self.prisma_schema_engine):
            raise ValueError("litellm_prisma_query_engine and litellm_prisma_schema_engine go together")
        for url, digest, name in (
            (self.prisma_query_engine, self.prisma_query_engine_sha256, "query"),
            (self.prisma_schema_engine, self.prisma_schema_engine_sha256, "schema"),
        ):
            if url and not digest:
                raise ValueError(f"litellm_prisma_{name}_engine needs litellm_prisma_{name}_engine_sha256")
        return self

    _salt = long_enough("salt_key", minimum=32)
    _addresses = ip_addresses("listen")


def entry_timeout_problems(s: LitellmSettings) -> list[str]:
    """Timeouts of entries that are longer than what others are reckoned by."""
    found = []
    for index, entry in enumerate(s.models):
        where, longest = f"litellm_models[{index}]", max(s.request_timeout, s.stream_timeout)
        if entry.timeout and entry.timeout > s.request_timeout:
            found.append(
                f"{where}.timeout: {entry.timeout} s is above litellm_request_timeout, {s.request_timeout} s, which "
                "the proxy in front is reckoned by; raise that"
            )
        if entry.stream_timeout and entry.stream_timeout > longest:
            found.append(
                f"{where}.stream_timeout: {entry.stream_timeout} s is above litellm_request_timeout and "
                f"litellm_stream_timeout, {longest} s at most, which the proxy in front is reckoned by; raise that"
            )
        checked = entry.health_check_timeout or 0
        if s.background_health_checks and checked > s.health_check_interval:
            found.append(
                f"{where}.health_check_timeout: {checked} s is above litellm_health_check_interval, "
                f"{s.health_check_interval} s: the next round would begin before this one ends; raise that"
            )
    return found


def default_workers(machine: Machine, tenants: frozenset[str]) -> int:
    """One worker per vCPU, half of that beside local inference, and two at least where memory allows.

    LLM traffic waits more than it computes (about 11 ms of CPU per request), so inference gets the processors. A
    second worker keeps the gateway answering while one is renewed.
    """
    wanted = max(1, machine.vcpus // 2 if "ollama" in tenants else machine.vcpus)
    by_memory = max(1, (machine.memory_mb // 2 - BASE_MB) // WORKER_MB)
    return min(max(2, wanted), by_memory)


def workers_on(member: Member) -> int:
    """Worker processes of the gateway on ``member``."""
    s = member.settings["litellm"]
    assert isinstance(s, LitellmSettings)
    return s.workers or default_workers(member.machine, frozenset(member.settings))
