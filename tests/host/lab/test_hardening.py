"""Hardening a host and taking it back: all of it and each area alone, to the last byte, and nobody is locked out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from deploys.components.hardening.settings import AREAS
from tests.host.lab.conftest import Site, lab
from tests.host.support_hardened import difference, looks
from tests.host.support_lab import SITE, VERIFY, Run, run, say
from tests.host.support_ledger import ROLLBACK
from tests.lab import engine, hosts

HARDEN = "deploys/harden.py"
KINDS = ("sudo", "pam", "sysctl", "mounts", "console", "upgrades", "packages", "banners")
# Without what is recommended beside it: a mail server gives up in a lab that has no IPv6.
INSTALL = "apt-get -q -y --no-install-recommends install"
# Controls of what a bare host of the lab does not have.
IN_NO_CONTAINER = ("cron-files", "cron-users", "logs-sudo")
PASSWORD = "lab-Password-0123456789"


@pytest.fixture(scope="module", params=["trixie", "bookworm"])
def bare(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A host that nothing was deployed to but what every host gets first, without hardening."""
    for name in lab(f"ht-{request.param}-hard", "single", request.param, "root"):
        site = Site(name)
        # Something that is to go, and to come back; and what a machine has that is no container. An installation may
        # renew what is there already, for good: so it is done before.
        packages = "inetutils-telnet cron at logrotate"
        site.server.out(f"apt-get -q update && apt-get -q -y upgrade && {INSTALL} {packages}", 300)
        done = run(name, HARDEN, hardening_level="off")
        assert done.status == 0, done.problem
        yield site


def harden(site: Site, **data: object) -> Run:
    done = run(site.name, HARDEN, **data)
    assert done.status == 0, done.problem
    return done


def answers(site: Site) -> dict[str, tuple[str, str]]:
    found = json.loads(site.server.out("portcullis-hardening report --json"))
    return {one["id"]: (one["answer"], one["why"]) for one in found}


@pytest.mark.parametrize("level", ["baseline", "strict"])
def test_all_of_it_is_made_true_and_undone_to_the_last_byte(bare: Site, level: str) -> None:
    before = looks(bare.server)
    first = harden(bare, hardening_level=level)
    said = answers(bare)
    assert [name for name, (answer, _) in said.items() if answer == "fails"] == [], said
    assert [name for name in IN_NO_CONTAINER if said[name] != ("holds", "")] == [], said
    assert all(why for answer, why in said.values() if answer == "not applicable")
    assert len([1 for answer, _ in said.values() if answer == "holds"]) > 40
    assert difference(before, looks(bare.server)), "something is other than it was"
    again = harden(bare, hardening_level=level)
    assert again.changed == []
    verify = run(bare.name, VERIFY, hardening_level=level, components="base")
    assert verify.status == 0, verify.problem
    undone = harden(bare, undo=True)
    say(f"      {level}: {first.seconds:.0f} s, again {again.seconds:.0f} s, undone in {undone.seconds:.0f} s")
    assert difference(before, looks(bare.server)) == []
    assert bare.server.sh("ls /var/lib/portcullis/hardening/first.json").status != 0


def test_each_area_alone_is_undone_and_leaves_the_others(bare: Site) -> None:
    nothing = looks(bare.server)
    harden(bare, hardening_level="strict", only="ssh")
    before = looks(bare.server)
    # Each kind of thing once; all areas take ten minutes.
    for area in AREAS if os.environ.get("PORTCULLIS_THOROUGH") else KINDS:
        if area != "ssh":
            harden(bare, hardening_level="strict", only=area)
            harden(bare, hardening_level="strict", only=area, undo=True)
            assert difference(before, looks(bare.server)) == [], area
    harden(bare, only="ssh", undo=True)
    assert difference(nothing, looks(bare.server)) == []


def test_drift_is_found_and_made_good(bare: Site) -> None:
    before = looks(bare.server)
    harden(bare, hardening_level="baseline")
    hardened = looks(bare.server)
    bare.server.out(
        "rm /etc/sudoers.d/portcullis; chmod 0644 /etc/ssh/sshd_config; sysctl -q -w net.ipv4.tcp_syncookies=0"
    )
    verify = run(bare.name, VERIFY, hardening_level="baseline", components="base")
    assert verify.status == 1 and "hardening sudo" in verify.log and "hardening sysctl" in verify.log, verify.problem
    harden(bare, hardening_level="baseline")
    assert difference(hardened, looks(bare.server)) == []
    bare.server.out("sysctl -q -w net.ipv4.tcp_syncookies=0")
    harden(bare, undo=True)
    assert difference(before, looks(bare.server)) == [], "the first state, not the one that drift had left"


def test_a_package_that_something_else_needs_keeps_nothing_else_from_being_undone(bare: Site) -> None:
    before = looks(bare.server)
    harden(bare, hardening_level="baseline")
    bare.server.out(
        "mkdir -p /tmp/theirs/DEBIAN; printf 'Package: theirs\\nVersion: 1\\nArchitecture: all\\nDepends: debsums\\n"
        "Maintainer: x <x@example.org>\\nDescription: x\\n' >/tmp/theirs/DEBIAN/control; "
        "dpkg-deb -b /tmp/theirs /tmp/theirs.deb; dpkg -i /tmp/theirs.deb; rm -r /tmp/theirs /tmp/theirs.deb"
    )
    for again in (False, True):
        said = harden(bare, undo=True)
        assert "hardening: package debsums: cannot be undone: theirs would go with " in said.log, said.log
        assert "to let it stay: portcullis-hardening forget" in said.log and (not again or said.changed == [])
        assert bare.server.sh("ls /etc/ssh/sshd_config.d/00-portcullis.conf").status != 0
        assert bare.server.sh("systemctl cat portcullis-hardening").status != 0
    bare.server.out("dpkg -P theirs; portcullis-hardening undo")
    assert difference(before, looks(bare.server)) == []
    assert bare.server.sh("ls /usr/local/sbin/portcullis-hardening").status != 0


def test_a_restart_of_the_host_keeps_it_and_going_back_undoes_it(bare: Site) -> None:
    before = looks(bare.server)
    harden(bare, hardening_level="strict")
    hardened = looks(bare.server)
    container = engine.connect().containers.get(bare.server.name)
    container.restart(timeout=60)
    hosts.wait_ready(container, 120, accept_failed_units=True)
    assert bare.server.out("portcullis-hardening check").endswith("not applicable here")
    assert difference(hardened, looks(bare.server)) == []
    back = run(bare.name, ROLLBACK)
    assert back.status == 0, back.problem
    assert difference(before, looks(bare.server)) == []


def test_what_would_lock_out_or_cannot_be_is_refused_before_anything_changes(bare: Site) -> None:
    before = looks(bare.server)
    waiver = {"control": "ssh-log", "until": "2020-01-31", "reason": "a reason that was good"}
    for data, sentence in (
        (
            {"hardening_ssh_users": ["nobody"]},
            "hardening_ssh_users: root, as whom this run has come, is none of nobody",
        ),
        ({"hardening_ssh_groups": ["adm"]}, "hardening_ssh_groups: root, as whom this run has come, is in none of adm"),
        ({"hardening_ssh_root": "no"}, "hardening_ssh_root: is no, and this run has come as root"),
        ({"hardening_ssh_key_exchange": "post-quantum"}, "hardening_ssh_key_exchange: is post-quantum"),
        ({"hardening_waivers": [waiver]}, "the waiver for ssh-log was over on 2020-01-31"),
        (
            {"hardening_waivers": [{**waiver, "control": "ssh-lgo"}]},
            "there is no control 'ssh-lgo'; did you mean ssh-log?",
        ),
    ):
        if "hardening_ssh_key_exchange" in data and bare.server.here.member.release == "12":
            continue  # its sshd has none that pyinfra's SSH would lack
        refused = run(bare.name, SITE, hardening_level="baseline", components="base", **data)
        assert refused.status == 1 and sentence in refused.log, refused.problem
    assert difference(before, looks(bare.server)) == []


def test_a_change_that_nobody_can_confirm_is_undone_by_the_host(bare: Site) -> None:
    """Root has a key, as the question before the run finds; but whoever deploys has only the password."""
    conf = "/etc/ssh/sshd_config.d/50-lab.conf"
    bare.server.out(
        f"printf 'PermitRootLogin yes\\nPasswordAuthentication yes\\n' >{conf}; echo root:{PASSWORD} | chpasswd; "
        "systemctl reload ssh"
    )
    before = looks(bare.server)
    way = {"ssh_password": PASSWORD, "ssh_key": ""}
    harden(bare, hardening_level="off", **way)
    cut = run(bare.name, HARDEN, hardening_level="baseline", **way)
    assert cut.status == 1 and "nobody could connect anew within 60 s" in cut.log, cut.problem
    assert difference(before, looks(bare.server)) == []
    harden(bare, hardening_level="off", **way)
    bare.server.out(f"rm {conf}; passwd -q -d root; passwd -q -l root; systemctl reload ssh")
