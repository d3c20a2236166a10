"""What others' judges say of a host as a deploy leaves it: Lynis, and ssh-audit's policy for the release."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploys.lib.render import ROOT
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

# The toolkit on the host itself, made ready as README.md says.
TOOLKIT = "/opt/toolkit"
PARTS = (
    "Makefile", "config.py", "pyproject.toml", "uv.lock", "deploys", "group_data", "inventories", "payload", "scripts",
    "templates",
)  # fmt: skip
ITSELF = """
set -e
cd {toolkit}; log=/root/toolkit.log
[ -x .venv/bin/pyinfra ] || scripts/bootstrap >/dev/null
printf '_gateway = ("@local", {{}})\\npostgres = redis = ollama = litellm = [_gateway]\\n' >inventories/itself.py
.venv/bin/python scripts/make_secrets.py inventories/itself.py >/dev/null
.venv/bin/pyinfra -y --json inventories/itself.py deploys/harden.py {words} 2>$log || {{ cat $log; exit 1; }}
"""


def harden_itself(server: Server, **data: str) -> dict[str, int]:
    """Let a host harden itself, and count what became of it; whoever sees to that has come over SSH."""
    words = " ".join(f"--data {name}={value}" for name, value in data.items())
    said = json.loads(server.out(ITSELF.format(toolkit=TOOLKIT, words=words), 600))
    totals: dict[str, int] = said["results"]["totals"]
    return totals


def toolkit() -> bytes:
    """What a checkout has, as an archive."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        for part in PARTS:
            archive.add(ROOT / part, part, filter=lambda one: None if "__pycache__" in one.name else one)
    return written.getvalue()


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


def test_a_host_that_is_deployed_on_itself_passes_the_whole_policy_of_debian_13(judged: Deployed) -> None:
    """OpenSSH's clients, ours among them, know the key exchanges that pyinfra's SSH does not."""
    server = judged.server
    if server.here.member.release == "12":
        pytest.skip("the policy for Debian 12 is passed without")
    server.unpack(toolkit(), TOOLKIT)
    server.out("systemctl restart ssh")
    wanted = {"hardening_level": "strict", "hardening_ssh_key_exchange": "post-quantum"}
    harden_itself(server, **wanted)
    assert policy(server) == []
    server.out("systemctl restart ssh")
    second = harden_itself(server, **wanted)
    assert second["no_change"] == second["hosts"] > 0, second
    # For pyinfra, which comes from elsewhere again.
    harden_itself(server, hardening_level="strict")
    done = run(judged.name, SITE, hardening_level="strict")
    assert done.status == 0, done.problem
