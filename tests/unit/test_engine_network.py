"""Whom the engine's own network would cut off, asked before Docker is there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deploys.components import engine_foreign
from deploys.components.engine_files import DAEMON
from deploys.lib.component import Here
from deploys.lib.way_in import came
from tests.unit import site
from tests.unit.test_engine import run

DEFAULT = "default via 192.0.2.254 dev eth0"


def asked(folder: Path, connection: str, other: str, routes: str, **programs: str) -> tuple[int, str]:
    hosts = [
        site.host("gateway", runtime="compose", private_address="192.0.2.1"),
        site.host("keeper", ("backup",), private_address=other),
    ]
    (member, *_) = found = site.look(*hosts)
    command = engine_foreign.cut_off(Here(member, found)).replace(DAEMON, str(folder / "daemon.json"))
    assert came() in command
    command = command.replace(came(), f"connection='{connection}'")
    assert subprocess.run(["sh", "-n", "-c", command]).returncode == 0
    return run(command, folder, ip=f"printf '%s\\n' '{routes}'", **programs)


@pytest.mark.parametrize(
    ("connection", "other", "routes", "who"),
    [
        ("192.0.2.9 50000 192.0.2.1 22", "192.0.2.2", DEFAULT, ""),
        ("172.17.3.4 50000 192.0.2.1 22", "192.0.2.2", DEFAULT, "172.17.3.4"),
        ("", "172.17.5.6", DEFAULT, "172.17.5.6"),
        ("172.17.3.4 50000 172.17.3.1 22", "172.17.5.6", f"{DEFAULT}\n172.17.0.0/16 dev eth0 scope link", ""),
        ("172.18.3.4 50000 192.0.2.1 22", "192.0.2.2", DEFAULT, ""),
    ],
)
def test_who_is_behind_a_router_in_the_engines_network_is_not_cut_off(
    connection: str, other: str, routes: str, who: str, tmp_path: Path
) -> None:
    status, said = asked(tmp_path, connection, other, routes, dockerd="exit 127")
    assert (status, said.startswith("Docker takes the network 172.17.0.0/16")) == (int(bool(who)), bool(who))
    assert f"and {who} is there, behind a router: it would be cut off. " in said or not who
    assert said.endswith('such as {"bip": "192.168.213.1/24"}, and the same to engine_extra_config') or not who
    assert asked(tmp_path, connection, other, routes, dockerd="true") == (0, ""), "it is there, and has its network"
    (tmp_path / "daemon.json").write_text('{"bip": "192.168.213.1/24"}')
    assert asked(tmp_path, connection, other, routes, dockerd="exit 127") == (0, "")
