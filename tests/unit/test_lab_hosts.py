"""The lab's pure parts: names, topologies, networks, capabilities, command line. No Docker."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from types import SimpleNamespace

import pytest
from paramiko import Ed25519Key
from pyinfra.connectors.ssh import connector_data_meta

from tests.lab import cli, engine, hosts, images, inventory, lab, network
from tests.lab.cache import LabError

HOST = hosts.Host("demo-gw", "demo", "192.0.2.7", hosts.GROUPS, "trixie", "operator", "single", "running")


@pytest.mark.parametrize("name", ["", "Demo", "1a", "a b", "shared", "a_b", "-a", "x" * 40])
def test_bad_lab_names_are_refused(name: str) -> None:
    with pytest.raises(LabError, match="lab name"):
        lab.Lab(name)


def test_every_topology_has_every_group() -> None:
    for members in lab.TOPOLOGIES.values():
        # A host for backups, and an edge, are somebody's choice; everything else a gateway needs.
        assert {group for groups in members.values() for group in groups} - {"backup", "edge"} == set(hosts.GROUPS)


def test_image_names_differ_by_suite_and_unknown_suites_are_named() -> None:
    assert len({images.tag(suite) for suite in images.SUITES}) == len(images.SUITES)
    with pytest.raises(LabError, match="suite 'sid' is not one of bookworm, trixie"):
        images.tag("sid")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("I: Retrieving libc6 2.41-12", "retrieving libc6"),
        ("I: Unpacking libstdc++6...", "unpacking libstdc++6..."),
        ("I: Checking component main on http://mirror.example/debian...", None),
        ("W: something", None),
    ],
)
def test_debootstrap_output_is_summarised(line: str, shown: str | None) -> None:
    assert images._debootstrap_line(line) == shown


def test_only_capabilities_the_machine_lacks_are_dropped(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text(f"CapBnd:\t{(1 << 41) - 1:016x}\n")
    assert hosts._lacking_capabilities(status) == []
    status.write_text(f"CapBnd:\t{(1 << 41) - 1 - (1 << 24):016x}\n")
    assert hosts._lacking_capabilities(status) == ["SYS_RESOURCE"]
    assert hosts._lacking_capabilities(tmp_path / "none") == []


def test_routes_are_read_without_the_default_one(tmp_path: Path) -> None:
    table = tmp_path / "route"
    table.write_text(
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    assert list(network._routes(table)) == [ipaddress.IPv4Network("192.0.2.0/24")]


def test_name_servers_on_loopback_are_no_use_in_a_host(tmp_path: Path) -> None:
    stub, real = tmp_path / "stub", tmp_path / "real"
    stub.write_text("nameserver 127.0.0.53\noptions edns0\n")
    real.write_text("search example.org\nnameserver 192.0.2.53\n")
    assert network.nameservers((stub, real)) == "nameserver 192.0.2.53\n"
    assert network.nameservers((stub, tmp_path / "none")) == ""


def test_address_of_a_stopped_host_is_not_given_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "subnet", lambda _: ipaddress.IPv4Network("192.0.2.0/24"))

    def container(**settings: object) -> SimpleNamespace:
        return SimpleNamespace(attrs={"NetworkSettings": {"Networks": {network.NAME: settings}}})

    stopped = container(IPAddress="", IPAMConfig={"IPv4Address": "192.0.2.10"})
    running = container(IPAddress="192.0.2.11", IPAMConfig=None)
    client = SimpleNamespace(containers=SimpleNamespace(list=lambda **_: [stopped, running]))
    assert network.free_address(client) == "192.0.2.12"  # type: ignore[arg-type]


def test_connection_uses_keys_pyinfra_knows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(inventory, "ssh_key", lambda: tmp_path / "key")
    data = inventory.connection(HOST)
    assert set(data) <= set(connector_data_meta)
    assert (data["ssh_hostname"], data["ssh_user"]) == ("192.0.2.7", "operator")


@pytest.mark.parametrize(
    ("status", "message"), [("exited", "demo-gw of lab 'demo' do not run"), ("", "does not exist")]
)
def test_lab_that_is_not_up_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, status: str, message: str) -> None:
    found = [hosts.Host(**{**vars(HOST), "status": status})] if status else []
    monkeypatch.setattr(engine, "running", lambda: None)
    monkeypatch.setattr(inventory, "hosts", lambda *_: found)
    with pytest.raises(LabError, match=message):
        inventory.groups("demo")


def test_key_is_made_once_and_private(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = hosts.ssh_key()
    assert path.stat().st_mode & 0o777 == 0o600
    assert Ed25519Key.from_private_key_file(str(path)).get_base64() == path.with_suffix(".pub").read_text().split()[1]
    before = path.read_bytes()
    assert hosts.ssh_key().read_bytes() == before


def test_groups_follow_the_labels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(inventory, "ssh_key", lambda: tmp_path / "key")
    monkeypatch.setattr(engine, "running", lambda: None)
    monkeypatch.setattr(inventory, "hosts", lambda *_: [HOST])
    assert {group: [name for name, _ in members] for group, members in inventory.groups("demo").items()} == {
        group: ["demo-gw"] for group in hosts.GROUPS
    }


def test_leftovers_of_a_killed_engine_are_cleared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pid, sock, containerd = (tmp_path / name for name in ("docker.pid", "docker.sock", "containerd.pid"))
    for path in (pid, sock, containerd):
        path.write_text("1")  # alive, but another program: process numbers are used again
    monkeypatch.setattr(engine, "PID_FILE", pid)
    monkeypatch.setattr(engine, "SOCKET", sock)
    monkeypatch.setattr(engine, "CONTAINERD_PID_FILE", containerd)
    assert not engine._runs(pid, "dockerd")
    engine._clear_leftovers()
    assert list(tmp_path.iterdir()) == []


def test_without_an_engine_or_the_right_to_start_one_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.os, "geteuid", lambda: 1000)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    with pytest.raises(LabError, match=r"install and start Docker \(Debian and Ubuntu: package docker.io\)"):
        engine._start()
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    with pytest.raises(LabError, match=r"at DOCKER_HOST 'tcp://192\.0\.2\.1:2375'"):
        engine._start()


def test_errors_are_one_message_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["down"]) == 1
    assert capsys.readouterr().err == "lab: name the labs to remove, or give --all\n"


def test_up_passes_on_what_was_asked_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[object] = []
    monkeypatch.setattr(lab.Lab, "up", lambda self, *a, **k: asked.append((self.name, a, k)) or [HOST])
    assert cli.main(["up", "demo", "--topology", "split", "--ssh-user", "operator", "--hosts-only"]) == 0
    assert asked == [("demo", ("split", "trixie", "operator"), {"artefacts": False})]
    assert "demo-gw" in capsys.readouterr().out
