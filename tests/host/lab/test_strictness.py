"""A host that somebody has hardened by hand: what is stricter stays, and what sshd has not read yet is left to them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.host.lab.conftest import Site, lab
from tests.host.support_hardened import difference, looks
from tests.host.support_lab import run
from tests.host.support_ledger import ROLLBACK, last_run, runs

HARDEN = "deploys/harden.py"
CONF = "/etc/ssh/sshd_config.d/60-lab.conf"
STRICT = r"printf 'MaxAuthTries 2\nAllowTcpForwarding no\nMatch User nobody\n  X11Forwarding yes\n'"


@pytest.fixture(scope="module", params=["trixie", "bookworm"])
def own(request: pytest.FixtureRequest) -> Iterator[Site]:
    for name in lab(f"ht-{request.param}-own", "single", request.param, "root"):
        site = Site(name)
        done = run(name, HARDEN, hardening_level="off")
        assert done.status == 0, done.problem
        yield site


def test_what_is_stricter_stays_and_what_sshd_has_not_read_is_refused(own: Site) -> None:
    out = own.server.out
    out(f"{STRICT} >{CONF}; echo 'UMASK 077' >>/etc/login.defs")
    before = looks(own.server)
    refused = run(own.name, HARDEN, hardening_level="baseline", only="ssh,accounts")
    said = " ".join(refused.log.split())
    assert refused.status == 1 and f"{CONF} has changed since sshd read it" in said, refused.problem
    assert difference(before, looks(own.server)) == []
    out("systemctl reload ssh")
    before = looks(own.server)
    for changes in (True, False):
        done = run(own.name, HARDEN, hardening_level="baseline", only="ssh,accounts")
        assert done.status == 0, done.problem
        assert ("connected anew: the change stays" in done.log) is changes
    hardened = last_run(own.server)
    assert out("sshd -T | grep -E '^(maxauthtries|allowtcpforwarding|x11forwarding) ' | sort").splitlines() == [
        "allowtcpforwarding no", "maxauthtries 2", "x11forwarding no",
    ]  # fmt: skip
    assert out("grep ^UMASK /etc/login.defs | tail -1") == "UMASK 077"
    assert f"overruled: not for Match User nobody: {CONF} line 4" in out("portcullis-hardening report")
    # A mode is not read, and nobody is sent away for it; and sshd's folder is there only while it runs.
    out(f"chmod 0640 {CONF}; touch /etc/ssh/sshd_config")
    done = run(own.name, HARDEN, hardening_level="baseline", only="ssh,accounts")
    assert done.status == 0, done.problem
    out(f"echo 'AllowUsers nobody' >>{CONF}")
    first = min(one["run"] for one in runs(own.server))
    for deploy, data in ((HARDEN, {"undo": True}), (ROLLBACK, {"run": first})):
        refused = run(own.name, deploy, **data)
        said = " ".join(refused.log.split())
        assert refused.status == 1 and "has changed since sshd read it" in said, refused.problem
    out(f"{STRICT} >{CONF}; chmod 0644 {CONF}")
    done = run(own.name, HARDEN, undo=True)
    assert done.status == 0, done.problem
    assert difference(before, looks(own.server)) == []
    # Nothing is noted of what sshd was told by us, and going back would have it read what nobody has put into use.
    out(f"echo 'AllowUsers nobody' >>{CONF}")
    refused = run(own.name, ROLLBACK, run=hardened)
    assert refused.status == 1 and "has changed since sshd read it" in " ".join(refused.log.split()), refused.problem
    out(f"{STRICT} >{CONF}")
    assert difference(before, looks(own.server)) == []
