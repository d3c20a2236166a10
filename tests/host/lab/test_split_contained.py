"""Five hosts whose services run in containers: the site they are without, and no port more or less, closed or open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.host.lab import test_split
from tests.host.lab.conftest import Deployed, lab, suite
from tests.host.lab.conftest import deployed as deploy
from tests.host.lab.test_firewall import closed
from tests.host.support import Server
from tests.host.support_contained import chosen, containers, others
from tests.host.support_lab import SITE, VERIFY, hosts_of, run, say
from tests.host.support_network import (
    SERVICES,
    all_open,
    assert_open_to_those_who_need_it,
    kind,
    operator,
    reached,
    stranger_of,
)

pytestmark = pytest.mark.usefixtures("in_containers")
CONTAINERS = {"db": {"postgres"}, "cache": {"redis"}, "llm": {"ollama"}, "gw": {"litellm", "litellm-metrics", "health"}}
EVERYTHING = {"components": "all"}


@pytest.fixture(scope="module")
def site(in_containers: None) -> Iterator[Deployed]:
    for name in lab("ht-apart", "split", "trixie", "root"):
        yield deploy(name)


@pytest.fixture(scope="module")
def stranger(site: Deployed) -> Server:
    return stranger_of(site.name, site.servers[0])


def firewalled(site: Deployed, **more: object) -> Deployed:
    done = run(site.name, SITE, **closed(**more))
    assert done.status == 0, done.problem
    assert done.log.count("connected anew: the change stays") == len(site.servers)
    return site


@pytest.fixture(scope="module")
def shut(site: Deployed) -> Deployed:
    """The same site with every host closed, from here to the end."""
    return firewalled(site)


@pytest.fixture(scope="module")
def held(shut: Deployed) -> Deployed:
    """The same with what hosts may ask held to what they need, until the last test."""
    return firewalled(shut, firewall_egress="needed")


def test_every_host_has_its_containers_and_every_answer_is_right(site: Deployed) -> None:
    for server in site.servers:
        assert set(containers(server)) == CONTAINERS[kind(server)], server.name
    test_split.test_verify_asks_every_host(site)


def test_the_second_run_changes_nothing_and_makes_no_container_anew(site: Deployed) -> None:
    before = {server.name: containers(server) for server in site.servers}
    test_split.test_the_second_run_changes_nothing_on_any_host(site)
    for server in site.servers:
        assert others(before[server.name], containers(server)) == set(), server.name


def test_everything_asked_of_any_inventory_holds(site: Deployed) -> None:
    suite(site.name)


def test_another_host_finds_ssh_and_what_the_host_is_for_and_no_other_port(site: Deployed, stranger: Server) -> None:
    """Without a firewall, of all 65,535: what Docker and containers bring along is for the host alone."""
    for target in site.servers:
        assert all_open(stranger, target.address) == {22, SERVICES[kind(target)]}, target.name
    test_split.test_database_and_cache_are_closed_to_hosts_that_need_neither(site)


def test_two_gateways_are_changed_one_after_the_other(site: Deployed) -> None:
    test_split.test_two_gateways_are_changed_one_after_the_other(site)


def test_when_the_first_gateway_fails_the_second_is_left_alone(site: Deployed) -> None:
    before = {server.name: containers(server) for server in site.servers}
    test_split.test_when_the_first_gateway_fails_the_second_is_left_alone(site)
    touched = {server.name for server in site.servers if others(before[server.name], containers(server))}
    assert len(touched) == 1, touched
    # What this test and the one before it have left is taken back.
    assert run(site.name).status == 0


def test_closed_hosts_answer_those_who_need_them_and_nobody_else(shut: Deployed, stranger: Server) -> None:
    assert_open_to_those_who_need_it(shut.servers, stranger)


def test_database_and_cache_reach_nobody_from_inside_their_containers(held: Deployed, stranger: Server) -> None:
    for server in held.servers:
        for service in CONTAINERS[kind(server)] & {"postgres", "redis"}:
            # At 80 the lab's machine would refuse, as it does whoever may ask.
            assert reached(server, operator(), [80, 443, 53], container=service) == dict.fromkeys(
                [80, 443, 53], "dropped"
            ), service
            assert reached(server, stranger.address, [22], container=service) == {22: "dropped"}, service
            assert reached(server, "127.0.0.1", [9], container=service) == {9: "refused"}, service


def test_the_closed_site_works_and_a_second_run_changes_nothing(held: Deployed) -> None:
    wanted = {**closed(firewall_egress="needed"), **EVERYTHING}
    verified = run(held.name, VERIFY, **wanted)
    assert verified.status == 0, verified.problem
    assert verified.log.count("has the rules that it should") == len(held.servers)
    again = run(held.name, SITE, **wanted)
    assert again.status == 0 and again.totals["no_change"] == again.totals["hosts"] > 0, again.problem


def test_the_closed_site_goes_to_systemd_in_one_run_and_the_same_ports_answer(held: Deployed, stranger: Server) -> None:
    wanted = {**closed(), **EVERYTHING}
    with chosen("systemd"):
        done = run(held.name, SITE, **wanted)
        assert done.status == 0, done.problem
        say(f"      five hosts from compose to systemd in {done.seconds:.0f} s")
        servers = hosts_of(held.name)
        assert [containers(server) for server in servers] == [{}] * len(servers)
        assert_open_to_those_who_need_it(servers, stranger)
        assert run(held.name, VERIFY, **wanted).status == 0
