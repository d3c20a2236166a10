"""Forty clients of an edge while its gateways are reloaded, restarted, changed, gone back and killed: none is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.host.lab.conftest import Deployed
from tests.host.support_clients import Traffic, during
from tests.host.support_edge import POSTED, busy, change, doubles, gateways, go_back
from tests.host.support_http import Gateway
from tests.host.support_lab import main_pid, say, until


@pytest.fixture(scope="module")
def played(fronted: Deployed) -> Iterator[Deployed]:
    with doubles(fronted) as site:
        yield site


@pytest.fixture(scope="module")
def traffic(played: Deployed) -> Iterator[Traffic]:
    with busy(played) as going:
        yield going
    say(f"      {going.total} requests in all")


def test_a_reload_loses_nothing(played: Deployed, traffic: Traffic) -> None:
    def reload() -> None:
        for server in gateways(played):
            server.out("systemctl reload litellm", 120)
            time.sleep(15)

    assert during("reload of both gateways", traffic, reload, 15) == []


def test_a_restart_loses_nothing(played: Deployed, traffic: Traffic) -> None:
    def restart() -> None:
        for server in gateways(played):
            server.out("systemctl restart litellm", 120)
            until(lambda server=server: Gateway(server).chat(POSTED).status == 200, 90, "it answers again")
            time.sleep(4)

    assert during("restart of both gateways, one after the other", traffic, restart) == []


def test_a_change_of_the_configuration_loses_nothing(played: Deployed, traffic: Traffic) -> None:
    def both() -> None:
        change(played, litellm_cooldown_time=31, litellm_environment={"PORTCULLIS_TEST": "1"})

    assert during("deploy of a change that restarts", traffic, both) == []


def test_going_back_loses_nothing(played: Deployed, traffic: Traffic) -> None:
    assert during("rollback", traffic, lambda: go_back(played)) == []


def test_a_change_of_the_edge_itself_loses_nothing(played: Deployed, traffic: Traffic) -> None:
    def shorter() -> None:
        change(played, edge_max_body_mb=31)
        change(played)

    assert during("two reloads of the edge", traffic, shorter) == []


def test_a_killed_gateway_loses_only_what_it_had_begun_to_answer(played: Deployed, traffic: Traffic) -> None:
    first = gateways(played)[0]

    def kill() -> None:
        pid = main_pid(first, "litellm.service")
        first.out(f"systemctl kill -s KILL litellm || kill -9 {pid}")
        until(lambda: Gateway(first).chat(POSTED).status == 200, 90, "it answers again")

    failed = during("kill -9 of a gateway", traffic, kill, 10)
    assert [one for one in failed if one[1] != "stream"] == [], "what has not begun is asked of the other one"
    # Twenty streams of two to three seconds, half of them on that gateway.
    assert len(failed) <= 20


def test_both_away_is_waited_for(played: Deployed, traffic: Traffic) -> None:
    def restart() -> None:
        for server in gateways(played):
            server.out("systemctl --no-block restart litellm")
        time.sleep(10)
        for server in gateways(played):
            until(lambda server=server: Gateway(server).chat(POSTED).status == 200, 150, "it answers again")

    assert during("restart of both at once", traffic, restart, 10) == []
