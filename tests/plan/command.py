"""pyinfra's real command line on hosts that do not exist: how it is started, and what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploys.lib.render import ROOT
from tests.forks import Server

MARK = "TopSecret"
SECRETS = {
    "LITELLM_MASTER_KEY": f"sk-{MARK}-master-0123456789abcdefghij",
    "LITELLM_SALT_KEY": f"{MARK}-salt-0123456789abcdefghijklmnop",
    "POSTGRES_PASSWORD": f"{MARK}-pg'-0123456789",
    "POSTGRES_HEALTH_PASSWORD": f"{MARK}-pg-health-0123456789",
    "REDIS_PASSWORD": f"{MARK}-redis-0123456789",
    "REDIS_HEALTH_PASSWORD": f"{MARK}-redis-health-0123456789",
    "BACKUPS_PASSPHRASE": f"{MARK}-backups-0123456789",
    "BACKUPS_CONFIGURATION_PASSPHRASE": f"{MARK}-configured-0123456789",
    "BACKUPS_TLS_SECRET": f"{MARK}-between-0123456789",
    "SITE_TLS_SECRET": f"{MARK}-inside-0123456789",
}


PROGRAM = str(Path(sys.executable).with_name("pyinfra"))
VARIABLES = {
    "PATH": os.environ["PATH"],
    "HOME": os.environ.get("HOME", "/"),
    "PYINFRA_PROGRESS": "off",
    "PYINFRA_FAKE_DELAY": "0",
    "PYINFRA_FAKE_DELAY_JITTER": "0",
}
# Importing pyinfra takes longer than most of these runs do then. Nothing of the project is imported before a run.
PRELUDE = r"""
import pyinfra_cli.main
import cryptography.x509, gevent, jinja2, nacl.secret, pydantic, yaml

def prepare(asked):
    pass

def run(asked, number):
    gevent.reinit()
    sys.path[0] = os.path.dirname(sys.argv[0])
    pyinfra_cli.main.main()
"""
_SERVERS = threading.local()


@dataclass
class Ran:
    """One finished command. ``text`` is what a person saw, without the JSON on standard output."""

    code: int
    out: str
    text: str

    @property
    def plan(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.out)["plan"]
        return found

    @property
    def executed(self) -> list[str]:
        """What the fake hosts were told to do, as `HOST: COMMAND`, in order; only with --debug."""
        mark = "[fake] simulating command on "
        return [line.partition(mark)[2] for line in self.text.splitlines() if mark in line]

    @property
    def error(self) -> str:
        """The last thing that was said, without pyinfra's own words in front."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        return lines[-1].partition(": ")[2] if lines[-1].startswith("--> pyinfra error") else lines[-1]


def pyinfra(
    *arguments: str, inventory: str | Path = "inventories/fake.py", cwd: Path = ROOT, **environment: str | None
) -> Ran:
    """Run pyinfra with ``arguments``; a variable that is None is not set."""
    if not hasattr(_SERVERS, "mine"):
        _SERVERS.mine = Server(PRELUDE, VARIABLES)
    server: Server = _SERVERS.mine
    words = [PROGRAM, str(inventory), *arguments]
    code, out, text, _ = server.run(words, _variables(environment), str(cwd), seconds=120)
    return Ran(code, out, text)


def started(*arguments: str, inventory: str | Path = "inventories/fake.py") -> Ran:
    """The same, as a person starts it."""
    command = [PROGRAM, str(inventory), *arguments]
    null = subprocess.DEVNULL
    done = subprocess.run(
        command, cwd=ROOT, env=_variables({}), stdin=null, capture_output=True, text=True, timeout=120
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def _variables(more: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in {**VARIABLES, **SECRETS, **more}.items() if value is not None}
