"""One host in both runtimes, one after the other: what it keeps, what its users notice, and that they are equal."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploys.components.litellm.config import SELFTEST
from deploys.components.litellm.encryption import opens
from deploys.components.postgres_install import as_postgres as sql
from tests.host.lab.conftest import Deployed, suite
from tests.host.lab.test_changes import alive_url
from tests.host.lab.test_compose import SERVICES
from tests.host.support import Server
from tests.host.support_contained import (
    OF_ONE,
    WAYS,
    Portrait,
    chosen,
    containers,
    portrait,
    ready_url,
)
from tests.host.support_http import Gateway
from tests.host.support_lab import SITE, VERIFY, hosts_of, run, say, until
from tests.host.support_ledger import ROLLBACK, last_run, state, torn
from tests.host.support_older import CONTENT, SPEND
from tests.host.support_watch import differences, polling

pytestmark = pytest.mark.usefixtures("in_containers")
# A host that was kept from an earlier time has that time's.
NAME = f"kept-{secrets.token_hex(4)}"
BACKUP = "deploys/backup.py"
SEEN: dict[str, Portrait] = {}
# A key and a credential that are made before the first switch, and the runs and files of each runtime.
KEPT: dict[str, str] = {}
STATES: dict[str, tuple[str, dict[str, str]]] = {}


def ask(server: Server, query: str) -> str:
    return server.out(sql(server.here, query, "litellm"))


def rows_of_spend(server: Server) -> int:
    return int(ask(server, SPEND))


def nothing_is_lost(server: Server) -> None:
    """The rows to the byte, the key's use, the credential with the salt key of before; and the sum goes on."""
    gateway = Gateway(server)
    assert ask(server, CONTENT) == KEPT["content"]
    stored = ask(
        server,
        f"SELECT credential_values->>'api_key' FROM \"LiteLLM_CredentialsTable\" WHERE credential_name = '{NAME}'",
    )
    assert opens(stored, gateway.settings.salt_key.get_secret_value()) == "sk-secret"
    count = rows_of_spend(server)
    assert count >= int(KEPT["spend"])
    assert gateway.chat(SELFTEST, key=KEPT["key"], text=f"still there? {time.time()}").status == 200
    until(lambda: rows_of_spend(server) > count, 90, "the spend is written")
    KEPT["spend"] = str(rows_of_spend(server))


@contextmanager
def downtime(server: Server, what: str) -> Iterator[None]:
    """States how long a client would have noticed what happens in the block."""
    with polling({"gateway": alive_url(server), "ready": ready_url(server)}) as failures:
        yield
    spans = [f"{name} {found[-1][0] - found[0][0]:.1f} s" for name, found in failures.items() if found]
    say(f"      {what}: away for {', '.join(spans) or 'nobody'}")


def test_a_key_and_a_credential_are_stored_and_used(contained: Deployed) -> None:
    server = contained.server
    gateway = Gateway(server)
    credential = {"credential_name": NAME, "credential_values": {"api_key": "sk-secret"}, "credential_info": {}}
    assert gateway.ask("/credentials", credential).status == 200
    KEPT["key"] = str(gateway.ask("/key/generate", {"key_alias": NAME}).json()["key"])
    before = rows_of_spend(server)
    for _ in range(3):
        assert gateway.chat(SELFTEST, key=KEPT["key"]).status == 200
    until(lambda: rows_of_spend(server) >= before + 3, 90, "the spend is written")
    KEPT.update(content=ask(server, CONTENT), spend=str(rows_of_spend(server)))
    STATES["compose"] = (last_run(server), state(server))


def test_a_host_goes_from_containers_to_systemd_and_nothing_is_lost(contained: Deployed) -> None:
    with downtime(contained.server, "compose to systemd"), chosen("systemd"):
        done = run(contained.name)
    assert done.status == 0, done.problem
    say(f"      compose to systemd in {done.seconds:.0f} s")
    with chosen("systemd"):
        (server,) = hosts_of(contained.name)
        assert containers(server) == {}
        nothing_is_lost(server)
        # Before anything else is asked: there are more metrics the more has happened.
        SEEN["systemd"] = portrait(contained.name)
        STATES["systemd"] = (last_run(server), state(server))
        suite(contained.name)


def test_it_goes_into_containers_again_back_in_one_run_and_forward(contained: Deployed) -> None:
    server = contained.server
    with downtime(server, "systemd to compose"):
        done = run(contained.name)
    assert done.status == 0, done.problem
    say(f"      systemd to compose in {done.seconds:.0f} s")
    assert set(containers(server)) == SERVICES
    nothing_is_lost(server)
    SEEN["compose"] = portrait(contained.name)
    files = STATES["systemd"][1]
    with downtime(server, "rollback to systemd"):
        back = run(contained.name, ROLLBACK)
    assert back.status == 0, back.problem
    say(f"      back to systemd in {back.seconds:.0f} s")
    with chosen("systemd"):
        (native,) = hosts_of(contained.name)
        assert containers(native) == {} and differences(files, state(native)) == []
        nothing_is_lost(native)
        assert run(contained.name, VERIFY).status == 0
    assert torn(server) == []
    forward = run(contained.name, ROLLBACK, run=STATES["compose"][0])
    assert forward.status == 0, forward.problem
    assert set(containers(server)) == SERVICES
    then, now = STATES["compose"][1], state(server)
    # What only the other runtime has was not known then, and is gone.
    assert differences(then, {path: is_now for path, is_now in now.items() if path in then or is_now != "absent"}) == []
    nothing_is_lost(server)


def test_both_runtimes_are_the_same_host_to_everybody(contained: Deployed) -> None:
    native, inside = SEEN["systemd"], SEEN["compose"]
    assert native.listening == inside.listening
    assert native.reached == inside.reached == {22, Gateway(contained.server).settings.port}
    assert native.health == inside.health
    assert native.metrics == inside.metrics
    assert set(native.programs) == set(inside.programs)
    for unit, one in native.programs.items():
        other = inside.programs[unit]
        for what in ("user", "capabilities", "no_new_privileges"):
            assert one[what] == other[what], (unit, what, one[what], other[what])
        # A filter of system calls; numbers that a container never has more of than a program of the host.
        assert one["seccomp"] == other["seccomp"] == "2", unit
        assert one["tasks"] is None or other["tasks"] <= one["tasks"], unit
        assert int(other["files"]) >= int(one["files"]), unit
    # The engine's own share is taken from what has no need of its own.
    for unit, component in (("litellm.service", "litellm"), ("ollama.service", "ollama")):
        limits = [seen.programs[unit]["memory"] / seen.shares[component] for seen in (native, inside)]
        assert limits[0] == pytest.approx(limits[1], rel=0.01), unit
    for unit in ("portcullis-health.service", "litellm-metrics.service"):
        assert native.programs[unit]["memory"] == inside.programs[unit]["memory"] is not None, unit
    one, other = (seen.programs["litellm.service"]["environment"] for seen in (native, inside))
    assert set(one) - OF_ONE == set(other) - OF_ONE
    assert {name for name in one if name in other and one[name] != other[name]} <= WAYS
    for name, seconds in native.medians.items():
        say(
            f"      {name}: p50 {seconds * 1000:.1f} ms under systemd, {inside.medians[name] * 1000:.1f} in a container"
        )
        assert inside.medians[name] < 3 * seconds + 0.01


def test_a_backup_is_made_and_the_database_goes_back_to_a_moment(contained: Deployed) -> None:
    """Last: a restore writes pgBackRest's file without the line that says what made it, which would be a difference."""
    server = contained.server
    done = run(contained.name, BACKUP)
    assert done.status == 0, done.problem
    assert server.sh("systemctl start portcullis-restore-drill.service", 300).status == 0
    moment = ask(server, "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '+00'")
    time.sleep(1.5)
    ask(server, 'DROP TABLE "LiteLLM_SpendLogs" CASCADE')
    piece = ask(server, "SELECT pg_walfile_name(pg_switch_wal())")
    last = "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver"
    until(lambda: ask(server, last) >= piece, 60, "the log is in the repository")
    back = run(contained.name, SITE, restore=moment, restore_over="replace")
    assert back.status == 0, back.problem
    say(f"      back at {moment} after {back.seconds:.0f} s")
    assert set(containers(server)) == SERVICES
    nothing_is_lost(server)
