"""Who deploys is not locked out by hardening: what the host is asked before anything changes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from deploys.components.hardening.component import HARDENING
from tests.unit.hardened import here


def refusal(asked: str, came_as: str, functions: str = "", **data: Any) -> str:
    """What the host says to ``asked`` when sshd has let in ``came_as``; empty when nothing is refused."""
    (probe,) = [probe for probe in HARDENING.refusals(here(**data)) if asked in probe.name]
    # The chain of processes, played: this shell is a child of the user's sshd, which is one of root's.
    comm = "sshd-session" if came_as else "init"
    played = f"""
cat() {{ case $1 in /proc/*/comm) echo {comm} ;; *) command cat "$@" ;; esac; }}
ps() {{ case "$*" in *user*"-p 7") echo root ;; *user*) echo "{came_as}" ;; *"-p 7") echo 1 ;; *) echo 7 ;; esac; }}
id() {{ echo staff ssh-people; }}
{functions}
"""
    done = subprocess.run(["sh", "-c", played + probe.command], capture_output=True, text=True)
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
        "hardening_level: ada has come without a key, and passw"
    )
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "authorized_keys").write_text("# nothing\n")
    assert refusal(asked, "ada", f"{sshd}\n{passwd}") != ""
    (tmp_path / ".ssh" / "authorized_keys").write_text("ssh-ed25519 AAAA ada\n")
    assert refusal(asked, "ada", f"{sshd}\n{passwd}") == ""
    by_authority = "sshd() { echo 'trustedusercakeys /etc/ssh/ca.pub'; }"
    assert refusal(asked, "ada", f"{by_authority}\n{passwd}") == ""


def test_questions_are_only_those_that_mean_something() -> None:
    assert [probe.name for probe in HARDENING.refusals(here())] == ["whoever deploys has a key"]
    assert HARDENING.refusals(here(areas="sudo")) == []
    everything = here(ssh_users=["ada"], ssh_groups=["a"], ssh_root="no", ssh_key_exchange="post-quantum")
    assert len(HARDENING.refusals(everything)) == 5
    assert len(HARDENING.refusals(here("12", ssh_key_exchange="post-quantum"))) == 1, "Debian 12 has its list anyway"
