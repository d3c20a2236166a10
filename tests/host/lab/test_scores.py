"""What others' judges say of a host as a deploy leaves it: Lynis, and ssh-audit's policy for the release."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.lab.conftest import Deployed, deployed, lab
from tests.host.support import Server
from tests.host.support_lab import SITE, run, say

# Best of the Ansible roles that were measured: 76. A fresh host: 56.
INDEX = 80
POLICIES = {"12": "Hardened Debian 12 (version 3)", "13": "Hardened Debian 13 (version 1)"}
# From Debian's package, which is not installed: the host is judged as it is.
LYNIS = """
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"; chmod 0755 .
apt-get -q update >/dev/null; apt-get -q download lynis >/dev/null 2>&1; dpkg-deb -x lynis_*.deb .
cp -r usr/sbin/lynis etc/lynis/default.prf etc/lynis/plugins usr/share/lynis/; cd usr/share/lynis
./lynis audit system --quick --profile ./default.prf --logfile "$folder/log" --report-file "$folder/report" >/dev/null
sed -n 's/^hardening_index=//p' "$folder/report"
"""


@pytest.fixture(scope="module", params=["trixie", "bookworm"])
def judged(request: pytest.FixtureRequest) -> Iterator[Deployed]:
    """A gateway on one host, deployed with the settings that a lab has: what is said here is true of `baseline`."""
    for name in lab(f"ht-{request.param}-judged", "single", request.param, "root"):
        yield deployed(name)


def index(server: Server) -> int:
    return int(server.out(LYNIS, 300))


def policy(server: Server) -> list[str]:
    """What ssh-audit's policy for the host's release finds wrong, seen from here."""
    command = [str(Path(sys.executable).with_name("ssh-audit")), "-j", "-P", POLICIES[server.here.member.release]]
    done = subprocess.run([*command, server.address], capture_output=True, text=True, timeout=120, check=False)
    answer = json.loads(done.stdout)
    assert answer["passed"] is (done.returncode == 0)
    return sorted(error["mismatched_field"] for error in answer["errors"])


def test_lynis_finds_a_deployed_host_harder_than_any_role_makes_it(judged: Deployed) -> None:
    found = index(judged.server)
    say(f"      Lynis: {found}")
    assert found >= INDEX


def test_the_policy_for_the_release_is_passed_but_for_what_pyinfra_needs(judged: Deployed) -> None:
    """`baseline` leaves the host's RSA key; `strict` makes one of 4096 bits. Debian 13's policy has no Curve25519."""
    server = judged.server
    needed = {"12": [], "13": ["Key exchanges"]}[server.here.member.release]
    say(f"      ssh-audit, baseline: {policy(server)}")
    # It has not been polite: sshd of Debian 13 has no time for who leaves before logging in, for a while.
    server.out("systemctl restart ssh")
    strict = run(judged.name, SITE, hardening_level="strict")
    assert strict.status == 0, strict.problem
    found = policy(server)
    say(f"      ssh-audit, strict: {found}; Lynis, strict: {index(server)}")
    assert found == needed
