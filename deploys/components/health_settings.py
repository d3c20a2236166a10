"""Settings of the health app, and where it lies on a host."""

from __future__ import annotations

import hashlib

from pydantic import Field

from deploys.lib import pyenv
from deploys.lib.patterns import IP
from deploys.lib.programs import TOOLS
from deploys.lib.render import ROOT
from deploys.lib.settings import Port, Settings

PAYLOAD = ROOT / "payload" / "health"
FOLDER = "/opt/portcullis/health"
CODE = f"{TOOLS}/health"
CONFIG = "/etc/portcullis/health.json"
# Its presence means: the gateway is about to stop, ask another one. A folder, made by the gateway's unit.
STOPPING = "/run/portcullis-health/stopping"
# Seconds without a sign of life after which the app is ended and started again: by systemd, in a container by itself.
WATCHDOG_SECONDS = 30


class HealthSettings(Settings):
    listen: str = Field(
        "127.0.0.1",
        pattern=IP,
        description="Address to listen on. Its answers name models and need no key: for your load balancer only.",
    )
    port: Port = Field(4001, description="TCP port to listen on.")
    probe_interval_seconds: float = Field(1.0, ge=0.2, le=60, description="Seconds between two looks at the gateway.")
    timeout_seconds: float = Field(2.0, ge=0.1, le=30, description="Seconds one look may take.")
    dependency_interval_seconds: float = Field(
        5.0, ge=0.5, le=300, description="Seconds between two looks at PostgreSQL, Redis and the models."
    )
    unresponsive_after_seconds: float = Field(
        5.0, ge=1, le=300, description="Seconds without an answer after which the gateway no longer counts as alive."
    )
    redis_required: bool = Field(
        True, description="Whether the gateway counts as not ready while Redis is away; it serves, but without limits."
    )


def environment_folder() -> str:
    """The Python environment's folder, by its lock: what serves is never changed."""
    lock = (PAYLOAD / "requirements.txt").read_text() + pyenv.venv_script("FOLDER")
    return f"{FOLDER}/{hashlib.sha256(lock.encode()).hexdigest()[:8]}"


def python() -> str:
    return f"{environment_folder()}/venv/bin/python"
