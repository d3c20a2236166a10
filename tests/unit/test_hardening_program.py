"""The program that hardens a host, run for real on a tree of its own: apply, drift, another plan, a kill, undo."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.hardened import ALL, LOGIN, RELOAD, SSH, Host, entry, file, mode, sysctl


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_all_of_it_is_made_true_once_and_undone_to_the_last_byte(host: Host) -> None:
    before = host.tree()
    host.run("apply", items=ALL)
    assert host.run("check") == (0, "9 hold\n")
    assert host.calls() == [RELOAD]
    assert host.at(LOGIN).read_text() == "# UMASK of all\nUMASK 027\nPASS_MAX_DAYS\t99999\nLOGIN_RETRIES 3\n"
    assert host.at("/etc/passwd").stat().st_mode & 0o777 == 0o644
    assert host.at("/etc/ssh/moduli").read_text() == "# sizes\n1 2 6 100 3071 2 B\n"
    during = host.tree()
    assert host.run("apply") == (0, "") and host.tree() == during and host.calls() == [], "and a second time nothing"
    host.run("undo")
    assert host.tree() == before and host.calls() == [RELOAD]
    assert not (host.state / "hardening" / "first.json").exists()


def test_the_first_state_is_gone_back_to_whatever_was_there_in_between(host: Host) -> None:
    before = host.tree()
    host.run("apply", items=[file(SSH, "LogLevel VERBOSE"), entry("UMASK", "027"), mode("/etc/passwd", "0644")])
    host.run("apply", items=[file(SSH, "LogLevel DEBUG"), entry("UMASK", "077"), mode("/etc/passwd", "0600")])
    assert "UMASK 077\n" in host.at(LOGIN).read_text()
    host.at("/etc/passwd").chmod(0o666)
    assert host.run("check")[0] == 1
    host.run("apply")
    assert host.run("check")[0] == 0, "drift is made good"
    host.run("undo")
    assert host.tree() == before


def test_what_a_plan_no_longer_has_is_undone_and_the_rest_stays(host: Host) -> None:
    before = host.tree()
    host.run("apply", items=ALL)
    host.calls()
    for number, item in enumerate(ALL):
        rest = [other for other in ALL if other is not item]
        host.run("apply", items=rest)
        assert host.run("check")[0] == 0 or item["kind"] == "file", number
        host.run("apply", items=ALL)
        assert host.run("check") == (0, "9 hold\n")
    host.run("apply", items=[])
    assert host.tree() == before


def test_lines_that_others_have_added_meanwhile_stay(host: Host) -> None:
    host.run("apply", items=[entry("UMASK", "027"), entry("LOGIN_RETRIES", "3")])
    path = host.at(LOGIN)
    path.write_text("FIRST 1\n" + path.read_text() + "LAST 1\n")
    host.run("undo")
    assert path.read_text() == "FIRST 1\n# UMASK of all\nUMASK\t\t022\nPASS_MAX_DAYS\t99999\nLAST 1\n"


def test_every_interface_gets_back_what_it_had(host: Host) -> None:
    """Linux copies `default` to interfaces that have none of their own."""
    before = host.tree()
    host.run("apply", items=[sysctl("net.ipv4.conf.default.a", 0)])
    host.put("/proc/sys/net/ipv4/conf/eth0.1/a", "0\n")
    host.run("undo")
    assert host.tree() == before


def test_what_the_host_lacks_means_nothing_there_and_says_why(host: Host) -> None:
    host.run(
        "apply",
        items=[
            sysctl("kernel.nothing", 1), mode("/etc/nothing", "0600"), file("/etc/x", "x", when={"programs": ["nopr"]}),
            entry("A", "1", path="/etc/none"), {"controls": ["c-4"], **mode("/etc/passwd", "0600")},
        ],
    )  # fmt: skip
    code, said = host.run("report")
    assert code == 0 and [line.split(maxsplit=2)[2] for line in said.splitlines()[:-1]] == [
        "not applicable: this kernel has no kernel.nothing",
        "not applicable: there is no /etc/nothing here",
        "not applicable: nopr is not installed here",
        "not applicable: there is no /etc/none here",
        "holds",
    ]
    assert host.run("check")[1] == "1 hold, 4 not applicable here\n"
    assert not host.at("/etc/x").exists()


def test_what_a_machine_keeps_from_its_containers_is_not_passed_in_silence(tmp_path: Path) -> None:
    for kind, code, said in (("none", 1, "c-0: "), ("lxc", 0, "1 not applicable here\n")):
        host = Host(tmp_path / kind, kind)
        # Not even root writes to a folder.
        host.at("/proc/sys/net/ipv4/conf/all/a").unlink()
        host.at("/proc/sys/kernel").mkdir()
        host.put("/proc/sys/kernel/x", "0\n")
        script = host.put("/bin/x", "#!/bin/sh\n", 0o755)
        assert script.exists()
        subprocess.run(["chattr", "+i", str(host.at("/proc/sys/kernel/x"))], capture_output=True)
        if os.geteuid() != 0:
            host.at("/proc/sys/kernel/x").chmod(0o444)
        try:
            host.run("apply", items=[sysctl("kernel.x", 1)])
            if host.at("/proc/sys/kernel/x").read_text() != "0\n":
                pytest.skip("root writes to everything in this file system")
            found = host.run("check")
            assert found[0] == code and found[1].startswith(said), found
        finally:
            subprocess.run(["chattr", "-i", str(host.at("/proc/sys/kernel/x"))], capture_output=True)


@pytest.mark.parametrize(("kind", "code"), [("none", 1), ("docker", 0)])
def test_what_another_container_of_the_machine_sets_is_no_drift_of_this_one(
    tmp_path: Path, kind: str, code: int
) -> None:
    host = Host(tmp_path, kind)
    name = "/proc/sys/fs/protected_fifos"
    host.put(name, "2\n")
    host.run("apply", items=[sysctl("fs.protected_fifos", 2)])
    assert host.run("check") == (0, "1 hold\n"), "and nothing had to be done for it"
    host.put(name, "1\n")
    assert host.run("check")[0] == code


def test_settings_of_the_network_are_a_containers_own(tmp_path: Path) -> None:
    host = Host(tmp_path, "docker")
    host.put("/proc/sys/net/ipv4/tcp_x", "1\n")
    host.run("apply", items=[sysctl("net.ipv4.tcp_x", 1)])
    host.put("/proc/sys/net/ipv4/tcp_x", "0\n")
    assert host.run("check")[0] == 1
