"""Servers that some tests run on this machine itself: without them those are skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab import engine

PROGRAMS = ("haproxy", "redis-server")
# Where Debian puts some of them is on root's way only.
WAY = f"{os.environ.get('PATH', '')}:/usr/sbin"
# Asked by every package that would start a service (invoke-rc.d(8)); 101 forbids it.
POLICY = Path("/usr/sbin/policy-rc.d")


@contextmanager
def _starting_nothing() -> Iterator[None]:
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def ensure() -> list[str]:
    """Install what is missing, started neither now nor with the machine, and say which that was.

    Raises LabError where packages cannot be installed.
    """
    missing = [name for name in PROGRAMS if shutil.which(name, path=WAY) is None]
    if missing:
        with _starting_nothing():
            engine.install(missing)
        if shutil.which("systemctl"):
            subprocess.run(["systemctl", "disable", "--quiet", *missing], capture_output=True, check=False)
    return missing
