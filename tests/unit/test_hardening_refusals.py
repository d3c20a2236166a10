"""Who deploys is not locked out by hardening: what the host is asked before anything changes."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploys.components.hardening.component import HARDENING
from deploys.components.hardening.refusals import CAME
from tests.unit.hardened import here


def refusal(asked: str, came_as: str, functions: str = "", port: str = "22", **data: Any) -> str:
    """What the host says to ``asked`` when sshd has let in ``came_as`` at ``port``; empty when nothing is refused."""
    (probe,) = [probe for probe in HARDENING.refusals(here(**data)) if asked in probe.name]
    assert probe.command.count(CAME) == 1
    # How that is found out is test_way_in.py's.
    connection = f"203.0.113.9 50000 192.0.2.1 {port}" if came_as else ""
    command = probe.command.replace(CAME, f"user='{came_as}'; connection='{connection}'")
    played = f"id() {{ echo staff ssh-people; }}\nsystemctl() {{ false; }}\n{functions}\n"
    done = subprocess.run(["sh", "-c", played + command], capture_output=True, text=True)
    assert bool(done.returncode) is bool(done.stdout), done
    return done.stdout.strip()


def test_nobody_who_deploys_is_locked_out() -> None:
    assert refusal("among the users", "ada", ssh_users=["ada", "bob"]) == ""
    assert refusal("among the users", "eve", ssh_users=["ada", "bob"]) == (
        "hardening_ssh_users: eve, as whom this run has come, is none of ada bob"
    )
    assert refusal("among the users", "", ssh_users=["ada"]) == "", "who has not come over SSH is not kept out by it"
    assert refusal("in one of the groups", "ada", ssh_groups=["wheel", "ssh-people"]) == ""
    assert refusal("in one of the groups", "ada", ssh_groups=["wheel"]) == (
        "hardening_ssh_groups: ada, as whom this run has come, is in none of wheel"
    )
    assert refusal("is not root", "ada", ssh_root="no") == ""
    assert refusal("is not root", "root", ssh_root="no").startswith("hardening_ssh_root: is no, and this run has come")
    assert refusal("exchange such keys", "ada", ssh_key_exchange="post-quantum").startswith(
        "hardening_ssh_key_exchange"
    )
    assert refusal("exchange such keys", "", ssh_key_exchange="post-quantum") == ""


def test_who_has_no_key_is_not_left_without_a_password(tmp_path: Path) -> None:
    sshd = "sshd() { echo 'authorizedkeysfile .ssh/authorized_keys'; echo 'authorizedkeyscommand none'; }"
    passwd = f"getent() {{ echo x:x:1:1::{tmp_path}:/bin/sh; }}"
    asked = "has a key"
    assert refusal(asked, "ada", f"{sshd}\n{passwd}").startswith(
        "hardening_level: ada has no key that lets it in with any command, and passw"
    )
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "authorized_keys").write_text("# nothing\n")
    assert refusal(asked, "ada", f"{sshd}\n{passwd}") != ""
    (tmp_path / ".ssh" / "authorized_keys").write_text("ssh-ed25519 AAAA ada\n")
    assert refusal(asked, "ada", f"{sshd}\n{passwd}") == ""
    keys = tmp_path / ".ssh" / "authorized_keys"
    for line, has in (
        ("# ssh-ed25519 AAAA retired key of bob", False),
        ("  #ssh-ed25519 AAAA retired", False),
        ("ssh-ed25519", False),
        ("""no-pty,command="echo 'log in as debian'" ssh-rsa AAAA root""", False),
        ("""from="192.0.2.0/24",no-agent-forwarding ssh-rsa AAAA ada""", True),
        ("""environment="A=a b" ecdsa-sha2-nistp256 AAAA ada""", True),
        ("""environment="A=#b",Command="x" ssh-rsa AAAA ada""", False),
        ("ssh-ed25519 AAAA command=ada", True),
        ("cert-authority sk-ssh-ed25519@openssh.com AAAA people", True),
    ):
        keys.write_text(f"{line}\n")
        assert (refusal(asked, "ada", f"{sshd}\n{passwd}") == "") is has, line
    keys.write_text("command=x ssh-rsa AAAA backup\nssh-rsa AAAA ada # command=\n")
    assert refusal(asked, "ada", f"{sshd}\n{passwd}") == ""
    assert refusal(asked, "ada", f"sshd() {{ return 255; }}\n{passwd}") == "", (
        "another server let in, with the same keys"
    )
    by_authority = "sshd() { echo 'trustedusercakeys /etc/ssh/ca.pub'; }"
    assert refusal(asked, "ada", f"{by_authority}\n{passwd}") == ""


def test_a_port_that_sshd_is_about_to_leave_is_seen_before_it_is_reloaded() -> None:
    asked = "the port that this run came in at"

    def listens(*ports: int) -> str:
        lines = "".join(f"listenaddress [::]:{port}\\nlistenaddress 0.0.0.0:{port}\\n" for port in ports)
        return f"sshd() {{ printf 'port 22\\n{lines}'; }}"

    assert refusal(asked, "ada", listens(22)) == "" == refusal(asked, "ada", listens(2222, 22), port="2222")
    assert refusal(asked, "ada", listens(2222, 2022)) == (
        "hardening_level: this run has come in at port 22, and from its next reload on sshd listens at 2022 2222: "
        "nobody could come back; put its files right, or reload it and come in there"
    )
    assert refusal(asked, "", listens(2222)) == "", "who has not come over SSH is not kept out by it"
    socket = f"{listens(2222)}\nsystemctl() {{ [ \"$*\" = 'is-active --quiet ssh.socket' ]; }}"
    assert refusal(asked, "ada", socket) == "", "systemd listens for it, where its own unit says"
    assert refusal(asked, "ada", "sshd() { return 255; }") == "", "files that it does not read are its own checker's"


def test_questions_are_only_those_that_mean_something() -> None:
    assert [probe.name for probe in HARDENING.refusals(here())] == [
        "the port that this run came in at stays open",
        "sshd has read its files as they are",
        "sshd reads a file of ours",
        "whoever deploys has a key",
        "whoever deploys as root may go on to",
    ]
    assert [probe.name for probe in HARDENING.refusals(here(areas="sudo"))] == ["sshd has read its files as they are"]
    everything = here(ssh_users=["ada"], ssh_groups=["a"], ssh_root="no", ssh_key_exchange="post-quantum")
    assert len(HARDENING.refusals(everything)) == 8
    assert len(HARDENING.refusals(here("12", ssh_key_exchange="post-quantum"))) == 5, "Debian 12 has its list anyway"
    itself = here(ssh_key_exchange="post-quantum")
    itself = replace(itself, member=replace(itself.member, name="@local"))
    assert len(HARDENING.refusals(itself)) == 5, "whoever has come to the host with OpenSSH can come back"
