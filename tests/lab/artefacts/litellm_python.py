"""A Python with the gateway's own packages on this machine, from the set that hosts install, for tests of both."""

from __future__ import annotations

import sys
from pathlib import Path

from deploys.components.litellm.settings import DEFAULT_VERSION, PAYLOAD
from tests.lab import cache
from tests.lab.progress import run, step

REQUIREMENTS = PAYLOAD / DEFAULT_VERSION / "requirements.txt"
UV = Path(sys.prefix) / "bin" / "uv"


def ensure() -> Path:
    """The interpreter; installs its packages the first time, in half a minute."""
    key = cache.hash_of(REQUIREMENTS, sys.version)

    def build(target: Path) -> None:
        with step(f"Installing LiteLLM {DEFAULT_VERSION} for the tests of this machine") as say:
            # It is moved to its final place when it is complete.
            run([UV, "venv", "--relocatable", "--python", sys.executable, target / "venv"], say)
            python = target / "venv" / "bin" / "python"
            # A company's proxy is trusted through the system's store.
            install = [UV, "pip", "install", "--system-certs", "--python", python]
            run([*install, "--require-hashes", "-r", REQUIREMENTS], say)

    return cache.build_once("litellm", key, build) / "venv" / "bin" / "python"
