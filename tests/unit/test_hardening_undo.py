"""What undoing hardening leaves of other people's: their lines, their links, their packages, and the way in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.hardened import LOGIN, Host, entry, mode

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


def test_what_a_link_leads_to_gets_back_its_mode(host: Host) -> None:
    target = host.put("/run/motd", "hello\n", 0o664)
    host.at("/etc/motd").symlink_to(target)
    host.run("apply", items=[mode("/etc/motd", "0644")])
    assert host.run("check") == (0, "1 hold\n") and target.stat().st_mode & 0o777 == 0o644
    host.run("undo")
    assert target.stat().st_mode & 0o777 == 0o664 and host.at("/etc/motd").is_symlink()
