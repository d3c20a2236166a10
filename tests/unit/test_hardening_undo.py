"""What undoing hardening leaves of other people's: their lines, their links, their packages, and the way in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.hardened import LOGIN, RELOAD, SSH, Host, entry, file, mode, planned

FAILLOCK = "/etc/security/faillock.conf"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.parametrize("again", [False, True], ids=["at once", "after another run"])
def test_our_line_goes_and_the_administrators_stays(host: Host, again: bool) -> None:
    path = host.put(FAILLOCK, "# deny = 3\n")
    host.run("apply", items=[entry("deny", "5", " = ", FAILLOCK)])
    path.write_text(path.read_text() + "deny = 10\nsilent\n")
    if again:
        host.run("apply")
        assert path.read_text() == "# deny = 3\ndeny = 5\ndeny = 5\nsilent\n", "the last one counts"
    host.run("undo")
    assert path.read_text() == ("# deny = 3\nsilent\n" if again else "# deny = 3\ndeny = 10\nsilent\n")


def test_a_line_that_is_not_ours_any_more_stays_as_it_is(host: Host) -> None:
    path = host.at(LOGIN)
    host.run("apply", items=[entry("UMASK", "027"), entry("LOGIN_RETRIES", "3")])
    path.write_text("UMASK 077\nLOGIN_RETRIES 2\n")
    host.run("undo")
    assert path.read_text() == "UMASK 077\nLOGIN_RETRIES 2\n"


def test_what_is_ours_is_told_from_the_same_words_of_somebody_else(host: Host) -> None:
    path = host.put(LOGIN, "UMASK 027\nUMASK 022\n")
    host.run("apply", items=[entry("UMASK", "027")])
    assert path.read_text() == "UMASK 027\nUMASK 027\n"
    host.run("undo")
    assert path.read_text() == "UMASK 027\nUMASK 022\n"


def test_our_line_of_an_earlier_plan_is_ours_too(host: Host) -> None:
    """A run that was cut off in front of the new one has left it; what an earlier plan asked for may hold as well."""
    before = host.tree()
    host.run("apply", items=[entry("UMASK", "027"), entry("LOGIN_RETRIES", "3")])
    ours = host.at(LOGIN).read_text()
    host.run("apply", items=[entry("UMASK", "077"), entry("LOGIN_RETRIES", "2")])
    host.at(LOGIN).write_text(ours)
    host.run("undo")
    assert host.tree() == before


def test_what_a_link_leads_to_gets_back_its_mode(host: Host) -> None:
    target = host.put("/run/motd", "hello\n", 0o664)
    host.at("/etc/motd").symlink_to(target)
    host.run("apply", items=[mode("/etc/motd", "0644")])
    assert host.run("check") == (0, "1 hold\n") and target.stat().st_mode & 0o777 == 0o644
    host.run("undo")
    assert target.stat().st_mode & 0o777 == 0o664 and host.at("/etc/motd").is_symlink()


def test_a_link_that_leads_elsewhere_by_now_gives_nothing_else_that_mode(host: Host) -> None:
    target, other = host.put("/run/motd", "hello\n", 0o666), host.put("/run/private", "", 0o600)
    host.at("/etc/motd").symlink_to(target)
    host.run("apply", items=[mode("/etc/motd", "0644")])
    host.at("/etc/motd").unlink()
    host.at("/etc/motd").symlink_to(other)
    host.run("undo")
    assert other.stat().st_mode & 0o777 == 0o600


# Notes which of its profiles are in use, and makes a line of each, as the real one does.
PAM = r"""#!/bin/sh
echo "$*" >>"$FAKE/calls"
notes=$PORTCULLIS_ROOT/var/lib/pam/password common=$PORTCULLIS_ROOT/etc/pam.d/common-password
shift; how=$1; shift
for name; do sed -i "/^Module: $name$/d" "$notes"; [ "$how" != --enable ] || echo "Module: $name" >>"$notes"; done
{
    echo 'password required pam_unix.so'
    sed 's/Module: portcullis-/password requisite pam_/; s/$/.so/' "$notes"
} >"$common"
"""


def profiles(*names: str) -> dict[str, object]:
    return {
        "kind": "pam",
        "profiles": [f"portcullis-{name}" for name in names],
        "modules": [f"pam_{name}.so" for name in names],
    }


def test_a_profile_of_pam_that_is_not_asked_for_any_more_goes(host: Host) -> None:
    (host.fake / "pam-auth-update").write_text(PAM)
    (host.fake / "pam-auth-update").chmod(0o755)
    host.put("/var/lib/pam/password", "")
    common = host.put("/etc/pam.d/common-password", "password required pam_unix.so\n")
    before = host.tree()
    host.run("apply", items=[profiles("faillock", "pwhistory")])
    assert "pam_pwhistory.so" in common.read_text() and host.run("check")[0] == 0
    # A plan of the version before had left the line there: it is found, and made good.
    code, said = host.run("check", items=[profiles("faillock")])
    assert code == 1 and "portcullis-pwhistory is in use in /etc/pam.d/common-* still" in said
    host.run("apply")
    assert host.run("check")[0] == 0 and common.read_text().splitlines()[1:] == ["password requisite pam_faillock.so"]
    assert "--package --remove portcullis-pwhistory" in host.calls()
    host.run("undo")
    assert host.tree() == before and host.calls() == [], "to the last byte: only we have changed it"


def test_a_waiver_takes_its_profile_of_pam_out() -> None:
    def asked(*waived: str) -> list[str]:
        waivers = [{"control": one, "until": "2999-12-31", "reason": "a reason that is good"} for one in waived]
        made = planned(level="strict", waivers=waivers)
        return [name for item in made["items"] if item["kind"] == "pam" for name in item["profiles"]]

    faillock = ["portcullis-faillock", "portcullis-faillock-first"]
    assert asked() == [*faillock, "portcullis-pwhistory"]
    assert asked("pam-history") == faillock
    assert asked("pam-wrong-passwords") == ["portcullis-pwhistory"]
    assert asked("pam-history", "pam-wrong-passwords") == []


SLOW = {"kind": "package", "name": "tool", "stage": 0}
APT_GET = r"""#!/bin/sh
echo "$*" >>"$FAKE/calls"
case "$*" in
*" -s "*) ;;
*" install "*) echo "tool	1" >>"$FAKE/packages" ;;
*" purge "*) sed -i '/^tool/d' "$FAKE/packages" ;;
esac
"""


@pytest.fixture
def slow(host: Host) -> Host:
    """A host with an apt-get that is called last when somebody has to be let in."""
    scripts = {"apt-get": APT_GET, "dpkg-query": "#!/bin/sh\nsed 's/^/installed\\t/' \"$FAKE/packages\"\n"}
    for name, script in (scripts | dict.fromkeys(("apt-mark", "apt-cache", "dpkg"), "#!/bin/sh\n")).items():
        (host.fake / name).write_text(script)
        (host.fake / name).chmod(0o755)
    (host.fake / "packages").write_text("base\t1\n")
    return host


def order(host: Host) -> list[str]:
    """In which order sshd was told and packages were installed or purged."""
    known = {RELOAD: "ssh", "install tool": "apt", "purge tool": "apt"}
    return [
        name for line in host.calls() if " -s " not in line for word, name in known.items() if line.endswith(word)
    ]  # fmt: skip


STRICT = [file(SSH, "LogLevel VERBOSE", service="ssh"), SLOW]


def test_who_is_locked_out_is_let_in_before_any_package_goes(slow: Host) -> None:
    before = slow.tree()
    slow.run("apply", items=STRICT)
    assert order(slow) == ["apt", "ssh"]
    slow.run("undo")
    assert slow.tree() == before and order(slow) == ["ssh", "apt"]
    slow.run("apply", items=STRICT)
    slow.calls()
    slow.run("apply", items=[])
    assert slow.tree() == before and order(slow) == ["ssh", "apt"]


def test_going_back_to_an_earlier_plan_begins_with_the_door(slow: Host) -> None:
    slow.run("apply", items=[file(SSH, "LogLevel INFO", service="ssh"), SLOW])
    slow.run("apply", items=STRICT[:1])
    slow.calls()
    slow.run("back", items=[file(SSH, "LogLevel INFO", service="ssh"), SLOW])
    assert order(slow) == ["ssh", "apt"] and slow.run("check") == (0, "2 hold\n")


def test_who_goes_on_with_what_is_undone_is_named_until_it_has_read_its_files(host: Host) -> None:
    host.run("apply", items=[file(SSH, "LogLevel VERBOSE", service="ssh")])
    theirs = host.put("/etc/ssh/sshd_config.d/60-x.conf", "wrong\n")
    host.calls()
    host.run("undo")
    (host.state / "plan.json").unlink()
    assert not host.at(SSH).exists() and host.calls() == []
    code, said = host.run("left")
    assert code == 1 and said.startswith("service ssh: has not read its files as they are now: sshd -t: line 1: wrong")
    noted = host.state / "hardening" / "first.json"
    before = noted.read_text()
    assert host.run("forget", "service ssh") == (0, "") and host.run("left") == (0, "") and not noted.exists()
    noted.write_text(before)
    theirs.unlink()
    host.run("undo")
    assert host.calls() == [RELOAD] and host.run("left") == (0, "") and not noted.exists()
