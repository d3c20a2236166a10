"""Which hosts the tests ask: every deployed host of --inventory, by what it runs."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from deploys.lib.secrets import SecretError
from deploys.lib.settings import SettingsError
from tests.host.support import Server, servers
from tests.host.support_http import Gateway

# Fixture -> the component its hosts have; every host has "base".
FIXTURES = {
    "server": "base",
    "postgres_server": "postgres",
    "backups_server": "backups",
    "redis_server": "redis",
    "ollama_server": "ollama",
    "litellm_server": "litellm",
    "health_server": "health",
}
NONE_GIVEN = "give the inventory to ask: pytest tests/host --inventory inventories/production.py"


def _deployed(config: pytest.Config) -> tuple[Server, ...]:
    inventory = config.getoption("--inventory")
    return servers(inventory) if inventory else ()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Ask for the hosts before anything is collected: later each module of tests would end with a traceback of it."""
    try:
        _deployed(session.config)
    except (RuntimeError, SettingsError, SecretError, AssertionError, subprocess.TimeoutExpired) as error:
        pytest.exit(f"{session.config.getoption('--inventory')}: {sentence(str(error))}", returncode=2)


def sentence(said: str) -> str:
    """What went wrong, out of everything that is said when an inventory cannot be read or a host not be asked."""
    lines = [line.strip() for line in said.splitlines()]
    for form in (r"--> pyinfra error(?: in .+ line \d+)?: (.+)", r"(\w+Error: .+)"):
        for line in reversed(lines):
            if found := re.match(form, line):
                return found[1]
    return " ".join(lines)[:400]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    wanted = [name for name in FIXTURES if name in metafunc.fixturenames]
    if not wanted:
        return
    found = _deployed(metafunc.config)
    for name in wanted:
        hosts = [server for server in found if server.has(FIXTURES[name])]
        reason = f"no host of the inventory runs {FIXTURES[name]}" if found else NONE_GIVEN
        if "component" in metafunc.fixturenames and name == "server":
            pairs = [pytest.param(s, c, id=f"{s.name}-{c.name}") for s in hosts for c in s.components]
            nothing = [pytest.param(None, None, marks=pytest.mark.skip(reason=reason), id="no-host")]
            metafunc.parametrize(("server", "component"), pairs or nothing, scope="session")
            continue
        hosts_or_none = [pytest.param(server, id=server.name) for server in hosts] or [
            pytest.param(None, marks=pytest.mark.skip(reason=reason), id="no-host")
        ]
        metafunc.parametrize(name, hosts_or_none, scope="session")


@pytest.fixture(scope="session")
def inventory_servers(pytestconfig: pytest.Config) -> tuple[Server, ...]:
    """Every host of the inventory, for questions that one asks of another."""
    return _deployed(pytestconfig)


@pytest.fixture(scope="session")
def gateway(litellm_server: Server) -> Gateway:
    """The gateway of each host that has one."""
    return Gateway(litellm_server)


@pytest.fixture(scope="session")
def key(gateway: Gateway) -> Iterator[str]:
    """A virtual key that works for the length of the tests."""
    made = gateway.new_key(key_alias=None, metadata={"purpose": "portcullis tests"})
    yield made
    gateway.delete_key(made)
