"""sshd's files that are not ours: what has changed since it read them, and what in them keeps ours from counting."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from deploys.components.hardening.component import HARDENING
from deploys.components.hardening.sshd_files import NOTED, UNREAD
from tests.unit.hardened import ALL, SSH, Host, here

# Files of tests are as old as the tests, so sshd has read them in the future, or long before.
LATER, BEFORE = int(time.time()) + 10_000, int(time.time()) - 10_000


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    # Relative to /etc/ssh; what is absolute there would be this machine's own.
    made.put("/etc/ssh/sshd_config", "Include sshd_config.d/*.conf\nLogLevel INFO\n")
    made.put("/etc/ssh/sshd_config.d/50-cloud.conf", "PasswordAuthentication yes\n")
    said = f'is-active) ;; show) echo "@$(cat {made.fake}/read)"'
    path = made.fake / "systemctl"
    path.write_text(path.read_text().replace("is-system-running)", f"{said} ;; is-system-running)"))
    path.with_name("read").write_text(f"{LATER}")
    return made


def unread(host: Host, read: int | str) -> str:
    """What the question before the run says when sshd has read its files at ``read``; the host's root left out."""
    (host.fake / "read").write_text(f"{read}")
    noted = host.state / "hardening" / "first.json"
    command = UNREAD.replace("/etc/ssh", str(host.at("/etc/ssh"))).replace(NOTED, str(noted))
    # The names of files are part of what was noted.
    command = command.replace('do echo "$file"', f'do echo "${{file#{host.root}}}"')
    done = subprocess.run(
        ["sh", "-c", command], env={"PATH": f"{host.fake}:/usr/bin:/bin", "FAKE": str(host.fake)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert bool(done.returncode) is bool(done.stdout) and done.stderr == "", done
    return done.stdout.replace(str(host.root), "").strip()


def test_a_file_that_sshd_has_not_read_is_not_put_to_use_by_us(host: Host) -> None:
    assert unread(host, LATER) == "", "as a cloud's image has them: written before sshd starts"
    assert unread(host, int(time.time())) == "", "or in the same second"
    said = unread(host, BEFORE)
    assert said == (
        "hardening_level: /etc/ssh/sshd_config.d/50-cloud.conf has changed since sshd read it, and this run would have "
        "it read anew, whoever it keeps out; reload sshd (systemctl reload ssh) and come in again, or put it back"
    )
    assert unread(host, "") == "" == unread(host, "n/a"), "nobody knows when"
    (host.fake / "systemctl").write_text("#!/bin/sh\nexit 3\n")
    assert unread(host, BEFORE) == "", "sshd does not run, or is started for each connection"


def test_what_is_included_anywhere_counts_and_our_own_file_does_not(host: Host) -> None:
    for path in ("/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/50-cloud.conf"):
        host.at(path).unlink()
    assert unread(host, BEFORE) == ""
    host.put(SSH, "LogLevel VERBOSE\n")
    host.put("/etc/ssh/sshd_config", 'Port 22\n include = "sshd_config.d/*.conf"\n')
    os.utime(host.at("/etc/ssh/sshd_config"), (1, 1))
    assert "/etc/ssh/sshd_config has changed" in unread(host, BEFORE), "whatever time it pretends to have"
    host.put("/etc/ssh/sshd_config.d/60-more.conf", "Match User x\n  Include other/*\n")
    host.put("/etc/ssh/other/deep", "AllowUsers nobody\n")
    assert "/etc/ssh/other/deep has changed" in unread(host, BEFORE)


def test_a_second_run_goes_by_what_was_there_when_we_had_it_read(host: Host) -> None:
    (host.fake / "read").write_text(f"{BEFORE}")
    # As an editor leaves them, and in an order that is another in most languages.
    for name in (".50-cloud.conf.conf", "50-cloud.conf~", "B.conf", "a.conf", "_.conf"):
        host.put(f"/etc/ssh/sshd_config.d/{name}", f"# {name}\n")
    host.run("apply", items=ALL)
    noted = json.loads((host.state / "hardening" / "first.json").read_text())
    assert noted["read"].startswith(f"{BEFORE} ")
    assert unread(host, BEFORE) == "" == unread(host, BEFORE + 2), "sshd says a moment later that it has read them"
    host.at("/etc/ssh/sshd_config").chmod(0o600)
    assert unread(host, BEFORE) == "", "a mode is not read"
    assert unread(host, BEFORE + 100) != "", "somebody else has had it read since: what we know is old"
    host.at("/etc/ssh/sshd_config.d/50-cloud.conf").rename(host.at("/etc/gone"))
    assert "has changed since sshd read it" in unread(host, BEFORE)
    host.put("/etc/ssh/sshd_config.d/50-cloud.conf", "PasswordAuthentication yes\n")
    assert unread(host, BEFORE) == ""
    host.put("/etc/ssh/sshd_config", "DenyUsers ada\nInclude sshd_config.d/*.conf\n")
    assert "/etc/ssh/sshd_config" in unread(host, BEFORE)
    host.run("undo")
    assert not (host.state / "hardening" / "first.json").exists()


def test_it_is_asked_wherever_sshd_will_be_told_to_read() -> None:
    for areas, asked in (("ssh", True), ("banners", True), ("sudo", False)):
        names = [probe.name for probe in HARDENING.refusals(here(areas=areas))]
        assert ("sshd has read its files as they are" in names) is asked, areas
