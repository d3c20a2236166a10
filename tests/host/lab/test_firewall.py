"""A site whose hosts are closed: every port asked from every host; and no change that shuts the operator out stays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploys.components.firewall import RULES, UNIT
from tests.host.lab.conftest import Deployed, Site
from tests.host.support import Server
from tests.host.support_lab import SITE, VERIFY, Running, run, until
from tests.host.support_ledger import ROLLBACK, last_run, state
from tests.host.support_network import (
    assert_open_to_those_who_need_it,
    inside,
    kind,
    operator,
    reached,
    reboot,
    stranger_of,
)
from tests.host.support_watch import differences

ONLY = {"components": "firewall"}
SHUT = "tcp dport 22 drop"
UNDO = "/etc/systemd/system/portcullis-undo-firewall.service"
PENDING = "/var/lib/portcullis/pending/firewall"


def closed(**more: object) -> dict[str, object]:
    return {"firewall_ingress": "needed", "firewall_operator_networks": [operator()], **ONLY, **more}


def ruleset(server: Server, what: str = "table inet portcullis") -> str:
    """What the kernel has, without how often a rule was used. Of Docker's own there are rules of the lab's in `all`."""
    if what == "all":
        return inside(server, "nft --stateless --terse list ruleset 2>/dev/null")
    return inside(server, f"nft --stateless --terse list {what} 2>/dev/null || true")


@pytest.fixture(scope="module")
def site(split: Deployed) -> Iterator[Deployed]:
    """The spread-out site with every host closed, and open again afterwards."""
    before = {server.name: state(server) for server in split.servers}
    done = run(split.name, SITE, **closed())
    assert done.status == 0, done.problem
    assert done.log.count("connected anew: the change stays") == len(split.servers)
    yield split
    done = run(split.name, SITE, **ONLY)
    assert done.status == 0, done.problem
    for server in split.servers:
        after = state(server)
        assert differences(before[server.name], {name: after[name] for name in before[server.name]}) == []
        assert not inside(server, f"ls {RULES} /etc/systemd/system/{UNIT} 2>/dev/null || true")
        assert ruleset(server) == ""


@pytest.fixture(scope="module")
def cache(site: Deployed) -> Server:
    return next(server for server in site.servers if kind(server) == "cache")


@pytest.fixture(scope="module")
def stranger(site: Deployed) -> Server:
    return stranger_of(site.name, site.servers[0])


def test_every_port_is_open_to_those_who_need_it_and_to_nobody_else(site: Deployed, stranger: Server) -> None:
    assert_open_to_those_who_need_it(site.servers, stranger)


def test_the_second_run_changes_nothing_and_the_site_works(site: Deployed) -> None:
    again = run(site.name, SITE, **closed())
    assert again.status == 0 and again.totals["no_change"] == again.totals["hosts"] > 0, again.problem
    verified = run(site.name, VERIFY, **{**closed(), "components": "all"})
    assert verified.status == 0, verified.problem
    assert verified.log.count("has the rules that it should") == len(site.servers)


def test_rules_that_somebody_has_changed_are_noticed_and_loaded_again(site: Deployed, cache: Server) -> None:
    wanted = ruleset(cache)
    for change in ("nft insert rule inet portcullis input accept", "nft flush ruleset"):
        inside(cache, change)
        assert run(site.name, VERIFY, "--limit", cache.name, **closed()).status == 1
        assert run(site.name, SITE, "--limit", cache.name, **closed()).status == 0
        assert ruleset(cache) == wanted, change


def test_debians_own_unit_takes_nothing_away_whatever_it_does(cache: Server) -> None:
    wanted = ruleset(cache)
    for word in ("start", "reload", "restart", "stop"):
        inside(cache, f"systemctl {word} nftables")
        assert ruleset(cache) == wanted, word


def test_a_run_from_elsewhere_than_it_allows_is_refused(site: Site, cache: Server) -> None:
    before = state(cache), ruleset(cache)
    refused = run(site.name, SITE, **closed(firewall_operator_networks=["198.51.100.0/24"]))
    assert refused.status == 1 and "nothing was changed: " in refused.log, refused.problem
    assert f"this run comes from {operator()}, which is in none of 198.51.100.0/24; it would shut itself out" in (
        " ".join(refused.log.split())
    )
    assert (state(cache), ruleset(cache)) == before


def test_rules_that_nft_does_not_understand_are_not_used(site: Site, cache: Server) -> None:
    before = state(cache), ruleset(cache)
    done = run(site.name, SITE, "--limit", cache.name, **closed(firewall_extra_rules="tcp dprt 22 accept"))
    assert done.status == 1 and "the new files did not pass their check: " in done.log, done.problem
    assert (state(cache), ruleset(cache)) == before


def test_rules_that_shut_us_out_are_put_back(site: Site, cache: Server) -> None:
    """Also for connections that were there before: the run loses its own."""
    before = state(cache), ruleset(cache)
    done = run(site.name, SITE, "--limit", cache.name, **closed(firewall_extra_rules=SHUT))
    assert done.status == 1, done.problem
    said = [line for line in done.log.splitlines() if "nobody could connect anew within 60 s" in line]
    assert len(said) == 1 and f"the previous files were put back and {UNIT} serves with them (a new" in said[0], said
    assert (state(cache), ruleset(cache)) == before and done.seconds < 180
    assert run(site.name, SITE, "--limit", cache.name, **closed()).changed == []


def waiting(lab: str, server: Server) -> Running:
    """A run that shuts us out, at the moment at which the host waits for somebody to connect."""
    going = Running(lab, SITE, "--limit", server.name, **closed(firewall_extra_rules=SHUT))
    # Earlier logs end with the same words; the unit is there only now.
    log = f"[ ! -e {UNDO} ] || tail -q -n 1 /var/lib/portcullis/switched/firewall.*/log | tail -n 1"
    until(lambda: "for a new connection" in inside(server, log), 120, "the host waits")
    assert inside(server, f"cat {PENDING}")
    return going


def back(server: Server, before: tuple[object, object], seconds: float) -> None:
    until(lambda: not inside(server, f"cat {PENDING} 2>/dev/null || true"), seconds, "it is put back")
    until(lambda: ruleset(server) == before[1], 30, "the rules are as before")
    assert (state(server), ruleset(server)) == before
    assert inside(server, f"ls {UNDO} 2>/dev/null || true") == ""


@pytest.mark.parametrize("what", ["our machine dies", "the program is killed", "the host is restarted"])
def test_rules_that_shut_us_out_are_put_back_although(site: Site, cache: Server, what: str) -> None:
    before = state(cache), ruleset(cache)
    going = waiting(site.name, cache)
    if what == "our machine dies":
        going.kill()
        back(cache, before, 90)
        return
    if what == "the program is killed":
        inside(cache, "systemctl kill -s KILL portcullis-transact-firewall.service")
        back(cache, before, 30)
    else:
        said = "journalctl -o cat -u 'portcullis-undo-*' | grep -c 'was restarted before anybody' || true"
        told = int(inside(cache, said))
        reboot(cache)
        back(cache, before, 30)
        assert int(inside(cache, said)) == told + 1
        assert inside(cache, "systemctl is-active redis-server ssh " + UNIT)
    done = going.finish()
    assert done.status == 1, done.problem


def test_a_closed_host_is_closed_when_it_starts(site: Site, cache: Server, stranger: Server) -> None:
    wanted = ruleset(cache)
    reboot(cache)
    assert ruleset(cache) == wanted
    assert reached(stranger, cache.address, [22, 6379]) == {22: "dropped", 6379: "dropped"}
    assert run(site.name, SITE, "--limit", cache.name, **closed()).changed == []


def test_going_back_is_confirmed_and_takes_all_of_it_away(site: Deployed, cache: Server) -> None:
    inside(cache, "nft add table inet somebodys; nft add chain inet somebodys c")
    assert run(site.name, SITE, "--limit", cache.name, **ONLY).status == 0
    home, at_home = last_run(cache), (state(cache), ruleset(cache, "all"))
    assert "portcullis" not in at_home[1] and "somebodys" in at_home[1]
    assert run(site.name, SITE, "--limit", cache.name, **closed()).status == 0
    done = run(site.name, ROLLBACK, "--limit", cache.name, run=home)
    assert done.status == 0 and "connected anew: the change stays" in done.log, done.problem
    assert (state(cache), ruleset(cache, "all")) == at_home and inside(cache, f"ls {RULES} 2>/dev/null || true") == ""
    assert run(site.name, SITE, "--limit", cache.name, **closed()).status == 0
    inside(cache, "nft delete table inet somebodys")


PUBLISH = """
export DEBIAN_FRONTEND=noninteractive
apt-get -qq install -y --no-install-recommends docker.io docker-cli iptables busybox-static >/dev/null
cd /tmp && mkdir -p image/bin image/www && cp /bin/busybox image/bin/ && echo published >image/www/index.html
tar -C image -c . | docker import - tiny:1 >/dev/null
for port in 8081 8082; do
    docker run -d --name p$port -p 0.0.0.0:$port:80 tiny:1 /bin/busybox httpd -f -p 80 -h /www >/dev/null
done
docker inspect -f '{{.NetworkSettings.IPAddress}}' p8081
"""


def test_ports_that_containers_publish_are_closed_as_well(site: Deployed, cache: Server, stranger: Server) -> None:
    address = inside(cache, PUBLISH)
    try:
        way = f"ip route replace {address}/32 via {cache.address}"
        inside(stranger, way)
        assert reached(stranger, cache.address, [8081, 8082]) == {8081: "dropped", 8082: "dropped"}
        assert reached(stranger, address, [80]) == {80: "dropped"}, "a container's own address"
        friend = next(server for server in site.servers if kind(server) == "llm")
        opened = closed(firewall_extra_ports=[{"port": 8081, "networks": [friend.address]}])
        assert run(site.name, SITE, "--limit", cache.name, **opened).status == 0
        assert reached(friend, cache.address, [8081, 8082]) == {8081: "open", 8082: "dropped"}
        assert reached(stranger, cache.address, [8081, 8082]) == {8081: "dropped", 8082: "dropped"}
        # What containers ask of others is theirs, and the host still asks them.
        mirror = f"docker exec p8081 /bin/busybox wget -q -T 5 -O - http://{friend.address}:1 2>&1 || true"
        assert "refused" in inside(cache, mirror) or "timed out" in inside(cache, mirror)
        assert inside(cache, f"curl -s --noproxy '*' http://{address}") == "published"
        assert inside(cache, "iptables -t nat -S DOCKER | grep -c 8081") == "1", "Docker's rules are still its own"
    finally:
        inside(cache, "docker rm -f p8081 p8082 >/dev/null; apt-get -qq purge -y docker.io >/dev/null 2>&1; true")


def test_what_a_host_may_ask_can_be_held_to_what_it_needs(site: Deployed) -> None:
    done = run(site.name, SITE, **closed(firewall_egress="needed"))
    assert done.status == 0, done.problem
    by_kind = {kind(server): server for server in site.servers}
    gateway, database, cache = by_kind["gw"], by_kind["db"], by_kind["cache"]
    assert reached(gateway, database.address, [5432, 22]) == {5432: "open", 22: "dropped"}
    assert reached(gateway, cache.address, [6379]) == {6379: "open"}
    # On this machine nothing listens at these: one is asked, the others are not.
    assert reached(gateway, operator(), [80, 25, 9999]) == {80: "refused", 25: "dropped", 9999: "dropped"}
    assert reached(database, operator(), [80]) == {80: "refused"}
    for server, user in ((database, "postgres"), (cache, "redis")):
        assert reached(server, operator(), [80, 443, 53], user) == dict.fromkeys([80, 443, 53], "dropped"), user
        assert reached(server, "127.0.0.1", [9], user) == {9: "refused"}
    everything = {**closed(firewall_egress="needed"), "components": "all"}
    verified = run(site.name, VERIFY, **everything)
    assert verified.status == 0, verified.problem
    again = run(site.name, SITE, **everything)
    assert again.status == 0 and again.totals["no_change"] == again.totals["hosts"] > 0, again.problem
    assert run(site.name, SITE, **closed()).status == 0
