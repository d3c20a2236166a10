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
from tests.unit.hardened import ALL, SSH, Host, file, here

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


def unread(host: Host, read: int | str, question: str = UNREAD) -> str:
    """What the question before the run says when sshd has read its files at ``read``; the host's root left out."""
    (host.fake / "read").write_text(f"{read}")
    noted = host.state / "hardening" / "first.json"
    command = question.replace("/etc/ssh", str(host.at("/etc/ssh"))).replace(NOTED, str(noted))
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
    assert unread(host, BEFORE + 100) == "", "a restart of the host has read the same"
    host.at("/etc/ssh/sshd_config.d/50-cloud.conf").rename(host.at("/etc/gone"))
    assert "has changed since sshd read it" in unread(host, BEFORE)
    host.put("/etc/ssh/sshd_config.d/50-cloud.conf", "PasswordAuthentication yes\n")
    assert unread(host, BEFORE) == ""
    host.put("/etc/ssh/sshd_config", "DenyUsers ada\nInclude sshd_config.d/*.conf\n")
    assert "/etc/ssh/sshd_config" in unread(host, BEFORE)
    host.run("undo")
    assert not (host.state / "hardening" / "first.json").exists()


def test_it_is_asked_wherever_sshd_will_be_told_to_read() -> None:
    for data, always in (
        ({"areas": "ssh"}, True), ({"areas": "banners"}, True), ({"areas": "sudo"}, False), ({"level": "off"}, False),
    ):  # fmt: skip
        (probe,) = [
            one for one in HARDENING.refusals(here(**data)) if one.name == "sshd has read its files as they are"
        ]
        assert (probe.command == UNREAD) is always and probe.command.endswith(UNREAD), data


def test_undoing_asks_where_sshd_has_read_our_file(host: Host) -> None:
    (probe,) = HARDENING.refusals(here(level="off"))
    assert unread(host, BEFORE, probe.command) == "", "nothing will be undone"
    (host.fake / "read").write_text(f"{BEFORE}")
    host.run("apply", items=ALL)
    assert unread(host, BEFORE, probe.command) == ""
    host.put("/etc/ssh/sshd_config.d/60-x.conf", "AllowUsers nobody\n")
    assert "60-x.conf has changed" in unread(host, BEFORE, probe.command)


LOG = {"kind": "sshd", "option": "loglevel", "value": ["VERBOSE"]}
OURS = [file(SSH, "LogLevel VERBOSE", service="ssh"), LOG]


@pytest.mark.parametrize(
    ("conf", "more", "said"),
    [
        ("Include sshd_config.d/*.conf\nLogLevel INFO\n", "", ""),
        ("# Include sshd_config.d/*.conf\nloglevel verbose\n", "", ""),
        (
            "Port 22\nLogLevel INFO\nInclude sshd_config.d/*.conf\n", "",
            "c-1: sshd has loglevel INFO, not VERBOSE, because of /etc/ssh/sshd_config line 2 (loglevel INFO); take "
            "that out, or give the control a waiver\n",
        ),
        (
            "LogLevel INFO\n", "",
            "c-1: /etc/ssh/sshd_config does not read /etc/ssh/sshd_config.d/00-portcullis.conf: put `Include "
            "/etc/ssh/sshd_config.d/*.conf` in front of its other lines (sshd has loglevel INFO, not VERBOSE)\n",
        ),
        (
            "Include sshd_config.d/*.conf\n", "LogLevel  QUIET",
            "c-1: sshd has loglevel QUIET, not VERBOSE, because of /etc/ssh/sshd_config.d/00-first.conf line 1 "
            "(loglevel QUIET); take that out, or give the control a waiver\n",
        ),
    ],
)  # fmt: skip
def test_what_our_file_would_not_win_over_is_found_before_anything_changes(
    host: Host, conf: str, more: str, said: str
) -> None:
    host.put("/etc/ssh/sshd_config", conf)
    if more:
        host.put("/etc/ssh/sshd_config.d/00-first.conf", f"{more}\n")
    before = host.tree()
    assert host.run("test", items=OURS) == (1 if said else 0, said)
    assert host.tree() == before


def test_keys_and_users_of_others_that_would_count_beside_ours_are_named(host: Host) -> None:
    (host.fake / "sshd").write_text(
        '#!/bin/sh\n[ $1 = -t ] || for one in $(sed -n "s/^Include //p" "$3"); do cat $one; done | '
        "sed -n 's/^HostKey/hostkey/p; s/^AllowUsers/allowusers/p'\n"
    )
    theirs = "/etc/ssh/sshd_config.d/50-cloud.conf"
    ours = [
        file(SSH, "HostKey /etc/a", "AllowUsers ada", service="ssh"),
        {"kind": "sshd", "option": "hostkey", "value": ["/etc/a"]},
        {"kind": "sshd", "option": "allowusers", "value": ["ada"]},
    ]
    host.put(theirs, "HostKey /etc/a\nAllowUsers ada\n")
    assert host.run("test", items=ours) == (0, ""), "the same twice is one"
    host.put(theirs, "HostKey /etc/b\n")
    assert host.run("test")[1].startswith(
        f"c-1: sshd has hostkey /etc/a /etc/b, not /etc/a, because of {theirs} line 1"
    )
    host.put(theirs, "# Users\nAllowUsers bob\n")
    assert f"because of {theirs} line 2 (allowusers bob)" in host.run("test")[1]


def test_what_a_match_sets_otherwise_does_not_count_as_holding_and_fails_no_run(host: Host) -> None:
    host.put("/etc/ssh/sshd_config.d/60-x.conf", "Match Address 10.0.0.0/8\n  LogLevel VERBOSE\n")
    host.run("apply", items=OURS)
    assert host.run("check") == (0, "2 hold\n"), "the same for them is nothing else"
    host.put("/etc/ssh/sshd_config", "Include sshd_config.d/*.conf\nMatch User bob\n  LogLevel QUIET\n")
    assert host.run("check") == (0, "1 hold, 1 overruled\n")
    assert (
        "overruled: not for Match User bob: /etc/ssh/sshd_config line 3 has loglevel QUIET\n" in host.run("report")[1]
    )
    host.put("/etc/ssh/sshd_config", "Include sshd_config.d/*.conf\nMatch User bob\n  LogLevel QUIET\nMatch all\n")
    assert host.run("check")[1] == "1 hold, 1 overruled\n"


def test_an_sshd_that_does_not_run_can_check_its_files(host: Host) -> None:
    """Its folder is made by its unit, when that starts."""
    sshd = host.fake / "sshd"
    sshd.write_text(
        sshd.read_text().replace("#!/bin/sh\n", '#!/bin/sh\n[ -d "$PORTCULLIS_ROOT/run/sshd" ] || exit 1\n')
    )
    host.at("/run").mkdir()
    assert host.run("test", items=OURS) == (0, "")
    assert host.at("/run/sshd").stat().st_mode & 0o777 == 0o755
    host.at("/run/sshd").rmdir()
    host.run("apply", items=OURS)
    host.at("/run/sshd").rmdir()
    assert host.run("check") == (0, "2 hold\n")


def test_a_name_with_a_space_and_ends_of_lines_of_another_system_change_nothing(host: Host) -> None:
    (host.fake / "read").write_text(f"{BEFORE}")
    host.put("/etc/ssh/sshd_config", "Include sshd_config.d/*.conf\r\nLogLevel INFO\r\n")
    host.put("/etc/ssh/sshd_config.d/my own.conf", "MaxAuthTries 2\n")
    host.run("apply", items=ALL)
    assert unread(host, BEFORE) == ""


def test_a_mode_of_sshds_files_is_set_before_it_reads_them(host: Host) -> None:
    """Set back afterwards, it would look to the next run as if somebody had changed the file meanwhile."""
    asked = [*ALL, {"kind": "mode", "path": "/etc/ssh/sshd_config", "mode": "0600"}]
    host.run("apply", items=asked)
    assert host.at("/etc/ssh/sshd_config").stat().st_mode & 0o777 == 0o600
    program = host.fake / "systemctl"
    noting = f"case $* in *reload*ssh*) stat -c %a {host.at('/etc/ssh/sshd_config')} >>{host.fake}/modes ;; esac"
    program.write_text(program.read_text().replace("#!/bin/sh\n", f"#!/bin/sh\n{noting}\n", 1))
    host.run("undo")
    assert (host.fake / "modes").read_text().split()[0] == "644"


def test_going_back_asks_where_sshd_was_told_nothing_by_us_too() -> None:
    """It may go back over an undoing, after which nothing is noted."""
    assert [probe.command for probe in HARDENING.back_refusals] == [UNREAD]
