"""Settings and small conversions the stand-in's parts share."""

from __future__ import annotations

import os
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

# argv[0], because __file__ lies inside the packed file. Symlinks are resolved, as the real program does.
PROGRAM = Path(os.environ.get("STANDIN_PROGRAM") or sys.argv[0]).resolve()
LIB = PROGRAM.parent.parent / "lib" / "ollama"
FOREVER_SECONDS = 10 * 365 * 86400.0


def version() -> str:
    """The release this archive stands for."""
    try:
        return (LIB / "STANDIN_VERSION").read_text().strip()
    except OSError:
        return "0.0.0"


def setting(name: str, default: str = "") -> str:
    """An environment variable, without the quotes an EnvironmentFile may leave around it."""
    return os.environ.get(name, "").strip().strip("\"'") or default


class ApiError(Exception):
    """An error the API answers with this status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def host_port() -> tuple[str, int]:
    """Where the server listens and the commands connect to: OLLAMA_HOST."""
    value = setting("OLLAMA_HOST", "127.0.0.1:11434").split("://")[-1].split("/")[0]
    found = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::(\d+))?", value)
    if not found:
        return "127.0.0.1", 11434
    return found[1].strip("[]") or "127.0.0.1", int(found[2] or 11434)


def home() -> Path:
    """The home directory; without HOME the real program does not start either."""
    return Path(os.environ["HOME"])


def models_dir() -> Path:
    """The model store."""
    return Path(setting("OLLAMA_MODELS") or home() / ".ollama" / "models")


def seconds(value: str | float | None, default: float = 300.0) -> float:
    """A duration such as `5m`, `1h30m` or `-1`, in seconds; a bare number is seconds."""
    if value in (None, ""):
        return default
    if isinstance(value, (int, float)):
        return float(value)
    assert isinstance(value, str)
    if re.fullmatch(r"-?\d+", value):
        return float(value)
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    total = sum(float(n) * units[u] for n, u in re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", value))
    return -total if value.startswith("-") else total


def stamp(offset: float = 0.0) -> str:
    """The time in so many seconds, as the API writes it."""
    return (datetime.now(UTC) + timedelta(seconds=offset)).isoformat().replace("+00:00", "Z")
