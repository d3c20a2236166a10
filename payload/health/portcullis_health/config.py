"""The settings of the health app, how they are read from its JSON file, and which combinations are refused."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portcullis_health.reader import Reader

DATABASE_SECRET = "HEALTH_DATABASE_PASSWORD"
REDIS_SECRET = "HEALTH_REDIS_PASSWORD"

STALE_INTERVALS = 3
"""Age in intervals, and one timeout, from which an observation counts as unknown: two probes may be lost, not three."""


class ConfigError(Exception):
    """The settings cannot be used; the message is one line that names every key at fault."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where the gateway listens, and what is known of its service."""

    url: str
    unit: str | None


@dataclass(frozen=True, slots=True)
class Database:
    """The PostgreSQL database that the gateway uses."""

    host: str
    port: int
    name: str
    user: str
    tls: bool
    ca_file: str | None


@dataclass(frozen=True, slots=True)
class Redis:
    """The Redis server that the gateway uses."""

    host: str
    port: int
    username: str | None
    tls: bool
    ca_file: str | None


@dataclass(frozen=True, slots=True)
class Model:
    """One model of the gateway: kind is ``ollama`` (url, tag), ``http`` (url) or ``static`` (neither)."""

    name: str
    kind: str
    url: str = ""
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything in the settings file; durations are in seconds."""

    host: str
    port: int
    gateway: Gateway
    database: Database | None
    redis: Redis | None
    redis_required: bool
    models: tuple[Model, ...]
    probe_interval: float
    timeout: float
    dependency_interval: float
    unresponsive_after: float
    drain_file: Path
    stopping_file: Path | None

    def stale_after(self, interval: float) -> float:
        """Return the age in seconds from which an observation made every `interval` seconds is not believed."""
        return STALE_INTERVALS * interval + self.timeout


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """The two passwords; without a repr, so that no log line or traceback can show them."""

    database: str | None
    redis: str | None


def load(path: Path) -> Config:
    """Read and check the settings file.

    Raises ConfigError: it cannot be read, is not a JSON object, or a key is missing, unknown or out of its limits.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        # Only JSONDecodeError has a position; its message never quotes the file, which might hold a secret by mistake.
        place = f" at line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else ""
        raise ConfigError(f"{path}: not valid JSON{place}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: must hold one JSON object")
    return parse(data, str(path))


def parse(data: dict[str, Any], source: str) -> Config:
    """Check the settings in `data`; `source` begins the error message.

    Raises:
        ConfigError: with every problem found, on one line.
    """
    problems: list[str] = []
    top = Reader(data, "", problems)
    top.text("_comment", None)  # JSON has no comments, and a generated file should say where it comes from.
    host, port = "127.0.0.1", 4001
    if listen := top.section("listen"):
        host, port = listen.host("host", host), listen.whole("port", 1, 65535, port)
        listen.finish()
    gateway = Gateway("", None)
    if section := top.section("gateway", required=True):
        gateway = Gateway(section.url("url"), section.text("unit", None) or None)
        if gateway.unit and "/" in gateway.unit:
            section.wrong("unit", "must be a systemd unit name such as portcullis-litellm.service")
        section.finish()
    config = Config(
        host=host,
        port=port,
        gateway=gateway,
        database=_database(top),
        redis=_redis(top),
        redis_required=top.flag("redis_required", True),
        models=_models(top),
        probe_interval=top.seconds("probe_interval_seconds", 0.05, 60, 1.0),
        timeout=top.seconds("timeout_seconds", 0.05, 60, 2.0),
        dependency_interval=top.seconds("dependency_interval_seconds", 0.05, 600, 5.0),
        unresponsive_after=top.seconds("unresponsive_after_seconds", 0.1, 600, 5.0),
        drain_file=Path(top.text("drain_file", "/run/portcullis-health/drain")),
        stopping_file=Path(stopping) if (stopping := top.text("stopping_file", None)) else None,
    )
    # One lost probe must never be enough to call the gateway unresponsive: a load balancer would take it away.
    if not problems and config.unresponsive_after < config.probe_interval + config.timeout:
        top.wrong(
            "unresponsive_after_seconds",
            f"must be at least probe_interval_seconds + timeout_seconds = {config.probe_interval + config.timeout:g}, "
            f"or one lost probe counts as an unresponsive gateway; it is {config.unresponsive_after:g}",
        )
    for name, path in (("drain_file", config.drain_file), ("stopping_file", config.stopping_file)):
        if path and not path.is_absolute():
            top.wrong(name, "must be an absolute path")
    top.finish()
    if problems:
        raise ConfigError(f"{source}: " + "; ".join(problems))
    return config


def _database(top: Reader) -> Database | None:
    hint = f" (a password does not belong in this file: it is read from the environment, {DATABASE_SECRET})"
    if (section := top.section("database", hint=hint)) is None:
        return None
    database = Database(
        section.host("host"),
        section.whole("port", 1, 65535, 5432),
        section.text("name"),
        section.text("user"),
        section.flag("tls", False),
        section.text("ca_file", None) or None,
    )
    section.finish()
    return database


def _redis(top: Reader) -> Redis | None:
    hint = f" (a password does not belong in this file: it is read from the environment, {REDIS_SECRET})"
    if (section := top.section("redis", hint=hint)) is None:
        return None
    redis = Redis(
        section.host("host"),
        section.whole("port", 1, 65535, 6379),
        section.text("username", None) or None,
        section.flag("tls", False),
        section.text("ca_file", None) or None,
    )
    section.finish()
    return redis


def _models(top: Reader) -> tuple[Model, ...]:
    models: dict[str, Model] = {}
    for section in top.sections("models"):
        name, kind = section.text("name"), section.text("kind")
        url = tag = ""
        if kind == "ollama":
            url, tag = section.url("api_base"), section.text("model")
            # Ollama lists "tiny:latest" for a model pulled as "tiny"; a port in a registry name is not a tag.
            tag = tag if ":" in tag.rpartition("/")[2] else f"{tag}:latest"
        elif kind == "http":
            url = section.url("url")
        elif kind and kind != "static":
            section.wrong("kind", f'must be "ollama", "http" or "static", not "{kind[:40]}"')
        if name in models:
            section.wrong("name", f'"{name}" is listed twice')
        models[name] = Model(name, kind, url, tag)
        section.finish()
    if not models and not top.problems:
        top.wrong("models", 'at least one is needed; use kind "static" for a model that must not be probed')
    return tuple(models.values())


def secrets_from(environ: Mapping[str, str], config: Config) -> Secrets:
    """Read the passwords from the environment.

    Raises:
        ConfigError: a database is configured but its variable is not set. Set to nothing means "no password".
    """
    if config.database is not None and DATABASE_SECRET not in environ:
        raise ConfigError(f"{DATABASE_SECRET} is not set, but a database is configured; set it, if need be to nothing")
    return Secrets(environ.get(DATABASE_SECRET) or None, environ.get(REDIS_SECRET) or None)


def check_ca_files(config: Config) -> None:
    """Refuse a CA file that cannot be read, because every later TLS failure would look like the server's fault.

    Raises:
        ConfigError: naming the key.
    """
    for key, part in (("database", config.database), ("redis", config.redis)):
        if part is not None and part.ca_file and not os.access(part.ca_file, os.R_OK):
            raise ConfigError(f'{key}.ca_file: "{part.ca_file}" cannot be read')
