"""Five hosts: what is on one is not on another, and two gateways are never both away."""

from __future__ import annotations

from deploys.components.litellm.component import ENVIRONMENT
from tests.host.lab.conftest import Deployed, suite
from tests.host.lab.test_changes import alive_url
from tests.host.support import Server
from tests.host.support_lab import SITE, VERIFY, run
from tests.host.support_watch import (
    PATIENCE_SECONDS,
    assert_second_run_changes_nothing,
    differences,
    picture,
    polling,
)


def gateways(site: Deployed) -> list[Server]:
    return [server for server in site.servers if server.has("litellm")]


def test_the_second_run_changes_nothing_on_any_host(split: Deployed) -> None:
    assert_second_run_changes_nothing(split.name, split.servers)


def test_verify_asks_every_host(split: Deployed) -> None:
    verified = run(split.name, VERIFY)
    assert verified.status == 0, verified.problem
    assert verified.log.count("answers are right") == len(split.servers)


def test_everything_asked_of_any_inventory_holds_when_spread_out(split: Deployed) -> None:
    suite(split.name)


def test_database_and_cache_are_closed_to_hosts_that_need_neither(split: Deployed) -> None:
    by_name = {server.name.rpartition("-")[2]: server for server in split.servers}
    database, stranger = by_name["db"], by_name["llm"]
    refused = stranger.sh(
        f"PGPASSWORD=x timeout 5 python3 - {database.address} <<'P'\n"
        "import socket, struct, sys\n"
        "s = socket.create_connection((sys.argv[1], 5432), 4)\n"
        "body = struct.pack('!I', 196608) + b'user\\0litellm\\0database\\0litellm\\0\\0'\n"
        "s.sendall(struct.pack('!I', len(body) + 4) + body)\n"
        "print(s.recv(300).decode(errors='replace'))\nP"
    )
    assert "pg_hba.conf rejects" in refused.out, refused


def test_two_gateways_are_changed_one_after_the_other(split: Deployed) -> None:
    first, second = gateways(split)
    with polling({server.name: alive_url(server) for server in (first, second)}) as failures:
        done = run(split.name, SITE, litellm_environment={"PORTCULLIS_TEST": "1"}, litellm_cooldown_time=31)
    assert done.status == 0, done.problem
    for server in (first, second):
        assert "PORTCULLIS_TEST" in server.out(f"cat {ENVIRONMENT}")
    # Whoever was not answered has waited meanwhile.
    down = [
        [(moment, moment + (PATIENCE_SECONDS if "timed out" in why else 0)) for moment, why in failures[server.name]]
        for server in (first, second)
    ]
    assert all(down), "a restart that nobody can notice was none"
    apart = min(max(one[0] - other[1], other[0] - one[1]) for one in down[0] for other in down[1])
    assert apart > 0.5, f"both gateways were away within {apart:.1f} s"


def test_when_the_first_gateway_fails_the_second_is_left_alone(split: Deployed) -> None:
    """It passes its check and never becomes ready: the certificate it is told of is not there."""
    both = gateways(split)
    before = {server.name: picture(server) for server in both}
    with polling({server.name: alive_url(server) for server in both}) as failures:
        done = run(
            split.name,
            SITE,
            litellm_cooldown_time=31,
            litellm_environment={"SSL_CERTFILE_PATH": "/proc/nowhere", "SSL_KEYFILE_PATH": "/proc/nowhere"},
        )
    assert done.status == 1, done.problem
    assert "the previous files were put back and litellm.service serves with them" in done.log
    # pyinfra takes them in no particular order.
    (first,) = [server for server in both if f"left as it was, because {server.name} failed" in done.log]
    (second,) = [server for server in both if server.name != first.name]
    after = {server.name: picture(server) for server in both}
    assert differences(before[second.name], after[second.name]) == [], "the second gateway was touched"
    assert failures[second.name] == []
    changed = [name for name in differences(before[first.name], after[first.name]) if name != "litellm.service"]
    assert changed == [], "the first gateway is not as it was"
