"""Forty clients of an edge while LiteLLM itself goes up by a release, with its migrations, up again, and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploys.components.litellm.settings import DEFAULT_VERSION
from tests.host.lab.conftest import Deployed, lab
from tests.host.support_clients import Traffic, during
from tests.host.support_edge import busy, change, doubles, gateways, go_back
from tests.host.support_lab import SITE, run
from tests.host.support_older import OLD

# Without migrations of its own: going back over it needs no dump, and so nobody has to stop.
NEWER = "1.106.12"


@pytest.fixture(scope="module")
def older() -> Iterator[Deployed]:
    """An edge and two gateways of the release before the present one."""
    for name in lab("ht-older", "fronted", "trixie", "root"):
        first = run(name, SITE, litellm_version=OLD)
        assert first.status == 0, first.problem
        with doubles(Deployed(name, first), litellm_version=OLD) as site:
            yield site


@pytest.fixture(scope="module")
def traffic(older: Deployed) -> Iterator[Traffic]:
    with busy(older) as going:
        yield going


def versions(site: Deployed) -> set[str]:
    """Of the processes that serve: where what they have loaded lies."""
    asked = "grep -o -m 1 '/opt/litellm/[0-9.]*' /proc/$(systemctl show -P MainPID litellm.service)/maps"
    return {Path(server.out(asked)).name for server in gateways(site)}


def test_a_release_with_migrations_loses_nothing(older: Deployed, traffic: Traffic) -> None:
    assert versions(older) == {OLD}
    assert during(f"{OLD} to {DEFAULT_VERSION}, with migrations", traffic, lambda: change(older)) == []
    assert versions(older) == {DEFAULT_VERSION}


def test_a_release_without_migrations_loses_nothing(older: Deployed, traffic: Traffic) -> None:
    up = f"{DEFAULT_VERSION} to {NEWER}"
    assert during(up, traffic, lambda: change(older, litellm_version=NEWER)) == []
    assert versions(older) == {NEWER}


def test_going_back_to_the_release_before_loses_nothing(older: Deployed, traffic: Traffic) -> None:
    assert during(f"rollback to {DEFAULT_VERSION}", traffic, lambda: go_back(older)) == []
    assert versions(older) == {DEFAULT_VERSION}
