"""A host that is stricter than a control asks for stays as it is, also when it restarts and when all is undone."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploys.components.hardening.plan import FILES
from deploys.components.hardening.ssh import CIPHERS
from tests.unit.hardened import LOGIN, SSH, Host, planned

DEBIANS = ",".join(sorted(CIPHERS.split(",")))
FAILLOCK = "/etc/security/faillock.conf"
KERNEL = "/proc/sys/kernel/yama/ptrace_scope"
BOOT = FILES["sysctl"][0]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def items(*names: str, **data: Any) -> list[dict[str, Any]]:
    """The items of a plan that are about ``names``, and the files of ours with nothing but their lines."""
    found = [one for one in planned(**data)["items"] if (one.get("name") or one.get("option")) in names]
    assert len(found) >= len(names)
    lines = [one["line"] for one in found if "line" in one]
    own = [one for one in planned(**data)["items"] if one["kind"] == "file" and set(lines) & set(one["lines"])]
    kept = [{**one, "lines": [line for line in one["lines"] if line in lines]} for one in own]
    return [{key: value for key, value in one.items() if key not in ("controls", "when")} for one in [*kept, *found]]


def test_what_somebody_has_set_stricter_stays(host: Host) -> None:
    host.put(LOGIN, "UMASK 077\nPASS_MIN_DAYS 7\nPASS_MAX_DAYS 90\n")
    host.put(FAILLOCK, "deny = 3\nunlock_time = 0\n")
    host.put(KERNEL, "3\n")
    host.put("/proc/sys/net/ipv4/conf/all/rp_filter", "1\n")
    host.put("/proc/sys/kernel/unprivileged_bpf_disabled", "1\n")
    before = host.tree()
    names = ("UMASK", "PASS_MIN_DAYS", "PASS_MAX_DAYS", "deny", "unlock_time")
    kernel = ("kernel.yama.ptrace_scope", "net.ipv4.conf.all.rp_filter", "kernel.unprivileged_bpf_disabled")
    asked = items(*names, level="strict") + items(*kernel)
    host.run("apply", items=asked)
    assert host.run("check")[0] == 0, host.run("check")
    tree = host.tree()
    assert tree.pop(BOOT.lstrip("/"))[1] == "", "nor is it made laxer when the host starts"
    assert {name: found for name, found in tree.items() if not name.startswith("etc/sysctl.d")} == before
    host.run("undo")
    assert host.tree() == before


@pytest.mark.parametrize(
    ("name", "text", "holds"),
    [
        ("UMASK", "UMASK 022", False), ("UMASK", "UMASK 037", True), ("UMASK", "UMASK 072", False),
        ("HOME_MODE", "HOME_MODE 0500", True), ("HOME_MODE", "HOME_MODE 0750", False),
        ("LOGIN_TIMEOUT", "LOGIN_TIMEOUT 0", False), ("LOGIN_TIMEOUT", "LOGIN_TIMEOUT 30", True),
        ("PASS_MIN_DAYS", "PASS_MIN_DAYS 0", False), ("PASS_MIN_DAYS", "PASS_MIN_DAYS many", False),
        ("PASS_MAX_DAYS", "PASS_MAX_DAYS -1", False), ("ENCRYPT_METHOD", "ENCRYPT_METHOD SHA512", False),
    ],
)  # fmt: skip
def test_what_is_laxer_or_makes_no_sense_is_changed(host: Host, name: str, text: str, holds: bool) -> None:
    host.put(LOGIN, f"{text}\n")
    host.run("apply", items=items(name, level="strict"))
    assert (host.at(LOGIN).read_text() == f"{text}\n") is holds


@pytest.mark.parametrize(
    ("option", "theirs", "stays"),
    [
        ("permitrootlogin", "PermitRootLogin no", True), ("permitrootlogin", "PermitRootLogin yes", False),
        ("maxauthtries", "MaxAuthTries 2", True), ("maxauthtries", "MaxAuthTries 6", False),
        ("allowtcpforwarding", "AllowTcpForwarding no", True),
        ("allowtcpforwarding", "AllowTcpForwarding yes", False), ("ciphers", "Ciphers aes256-gcm@openssh.com", True),
        ("ciphers", "Ciphers aes256-gcm@openssh.com,aes256-cbc", False), ("ciphers", f"Ciphers {DEBIANS}", False),
        ("logingracetime", "LoginGraceTime 0", False),
    ],
)  # fmt: skip
def test_no_line_of_ours_comes_before_a_stricter_one_of_sshds(
    host: Host, option: str, theirs: str, stays: bool
) -> None:
    host.put("/etc/ssh/sshd_config", f"Include /etc/ssh/sshd_config.d/*.conf\n{theirs}\n")
    before, asked = host.tree(), items(option)
    host.run("apply", items=asked)
    assert host.at(SSH).read_text() == ("" if stays else f"{asked[-1]['line']}\n")
    assert host.run("check")[0] == 0, host.run("check")
    during = host.tree()
    host.run("apply")
    assert host.tree() == during, "and the second run sees it the same way"
    host.put("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\n")
    host.run("apply")
    assert host.at(SSH).read_text() == f"{asked[-1]['line']}\n", "what is not said any more is said by us"
    host.put("/etc/ssh/sshd_config", f"Include /etc/ssh/sshd_config.d/*.conf\n{theirs}\n")
    host.run("undo")
    assert host.tree() == before


def test_what_an_older_revision_has_made_laxer_comes_back(host: Host) -> None:
    host.put(LOGIN, "UMASK 077\n")
    host.put(KERNEL, "2\n")
    before = host.tree()
    asked = items("UMASK", "kernel.yama.ptrace_scope")
    older = [{key: value for key, value in one.items() if key not in ("accepts", "line")} for one in asked]
    host.run("apply", items=older)
    assert host.at(LOGIN).read_text() == "UMASK 027\n" and host.at(KERNEL).read_text() == "1\n"
    host.run("apply", items=asked)
    assert host.at(LOGIN).read_text() == "UMASK 077\n" and host.at(KERNEL).read_text() == "2\n"
    assert host.at(BOOT).read_text() == "" and host.run("check")[0] == 0
    host.run("undo")
    assert host.tree() == before


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize(
    ("own", "is_now"),
    [
        ("umask 022", "0027 900"), ("umask 077", "0077 900"), ("TMOUT=300", "0027 300"), ("TMOUT=0", "0027 900"),
        ("readonly TMOUT=300", "0027 300"), ("readonly TMOUT=3600", "0027 3600"),
    ],
)  # fmt: skip
def test_a_shell_that_is_stricter_stays_so(shell: str, own: str, is_now: str) -> None:
    profile = next(item for item in planned()["items"] if item.get("path") == FILES["profile"][0])
    text = "\n".join([own if "umask" in own else f"umask 022; {own}", *profile["lines"], 'echo "$(umask) $TMOUT"'])
    done = subprocess.run([shell, "-c", text], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == (is_now, "")
