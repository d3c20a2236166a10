"""A host's first time in containers, and back: what ends containers came with the run that is undone, and stays."""

from __future__ import annotations

from deploys.components.litellm.config import SELFTEST
from tests.host.lab.conftest import Deployed
from tests.host.lab.test_compose import SERVICES
from tests.host.lab.test_switch import downtime
from tests.host.support_contained import chosen, containers
from tests.host.support_http import Gateway
from tests.host.support_lab import VERIFY, run, say
from tests.host.support_ledger import ROLLBACK, state, torn
from tests.host.support_watch import differences


def test_the_first_switch_is_gone_back_from(trixie: Deployed) -> None:
    server = trixie.server
    gateway = Gateway(server)
    assert server.sh("command -v dockerd").status != 0, "this host has been in containers before"
    key = str(gateway.ask("/key/generate", {}).json()["key"])
    before = state(server)
    with chosen("compose"):
        done = run(trixie.name)
        assert done.status == 0, done.problem
        say(f"      first time in containers after {done.seconds:.0f} s, images and all")
        assert set(containers(server)) == SERVICES
        assert gateway.chat(SELFTEST, key=key).status == 200
    with downtime(server, "back to systemd"):
        back = run(trixie.name, ROLLBACK)
    assert back.status == 0, back.problem
    say(f"      back without containers after {back.seconds:.0f} s")
    assert containers(server) == {}
    assert server.out("systemctl is-active docker") == "active", "an engine that is gone cannot end a container"
    now = state(server)
    assert differences(before, {path: now[path] for path in before}) == []
    assert [path for path in now if path.startswith("/etc/portcullis/compose/") and now[path] != "absent"] == []
    assert gateway.chat(SELFTEST, key=key).status == 200
    assert torn(server) == []
    verified = run(trixie.name, VERIFY)
    assert verified.status == 0, verified.problem
