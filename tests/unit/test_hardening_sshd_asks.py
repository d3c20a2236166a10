"""What sshd's own files are asked before anything changes: who comes in by them, and whether they read ours."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deploys.components.hardening.component import HARDENING
from deploys.components.hardening.refusals import CAME
from tests.unit.hardened import SSH, Host, here

ROOT, OURS_IS_READ = "whoever deploys as root may go on to", "sshd reads a file of ours"


def refused(host: Host, name: str, user: str = "root") -> str:
    (command,) = [probe.command for probe in HARDENING.refusals(here()) if probe.name == name]
    command = command.replace(CAME, f"user={user}").replace("/etc/ssh/", f"{host.at('/etc/ssh')}/")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert bool(done.returncode) is bool(done.stdout) and done.stderr == "", done
    return done.stdout.replace(str(host.root), "").strip()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    made.put("/etc/ssh/sshd_config", "Include sshd_config.d/*.conf\nLogLevel INFO\n")
    return made


def test_root_that_only_a_line_of_ours_lets_in_is_told_before_that_goes(host: Host) -> None:
    assert refused(host, ROOT) == ""
    host.put(SSH, "PermitRootLogin prohibit-password\n")
    host.put("/etc/ssh/sshd_config", "Include sshd_config.d/*.conf\nPermitRootLogin no\n")
    assert refused(host, ROOT).startswith(
        "hardening_ssh_root: /etc/ssh/sshd_config has PermitRootLogin no, which is str"
    )
    assert refused(host, ROOT, "ada") == "" == refused(host, ROOT, "''")
    # The first value counts, and of a Match none.
    host.put("/etc/ssh/sshd_config.d/50-cloud.conf", 'PermitRootLogin="yes"\n')
    assert refused(host, ROOT) == ""
    host.put("/etc/ssh/sshd_config.d/50-cloud.conf", "Match User ada\n  PermitRootLogin no\n")
    host.put("/etc/ssh/sshd_config", "Include sshd_config.d/*.conf\n")
    assert refused(host, ROOT) == ""


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Include /etc/ssh/sshd_config.d/*.conf\n", True),
        ('\tinclude="/etc/ssh/sshd_config.d/*.conf"\r\n', True),
        ("Include sshd_config.d/*\n", True),
        ("# Include /etc/ssh/sshd_config.d/*.conf\nPort 22\n", False),
        ("", False),
    ],
)
def test_an_sshd_that_reads_no_file_of_ours_is_told_first(host: Host, text: str, read: bool) -> None:
    host.put("/etc/ssh/sshd_config", text)
    said = refused(host, OURS_IS_READ)
    assert (said == "") is read and (read or said.startswith("hardening_level: /etc/ssh/sshd_config does not read"))
