"""What the edge's configuration does, shown by a running HAProxy before a stand-in for a gateway."""

from __future__ import annotations

import time

import pytest

from tests.unit.haproxy import OTHER, PROGRAM, Streams, running

pytestmark = pytest.mark.skipif(not PROGRAM, reason="needs haproxy: apt-get install haproxy")
BAD, OURS = "/v1/models/refused-by-litellm", "/v1/models/refused-by-a-provider"


def test_requests_of_one_connection_are_counted_against_the_limit_of_its_address() -> None:
    with running(edge_connections_per_address=5) as edge:
        client, other = Streams(edge), Streams(edge, OTHER)
        client.send(8)
        assert client.statuses(3) == [429] * 3
        edge.gateway.wait(5)
        # Another address has its own; the first one has none until one of its requests is over.
        other.send(1)
        edge.gateway.wait(6)
        client.send(1)
        assert client.statuses(1) == [429]
        edge.gateway.release.set()
        assert client.statuses(5) == [200] * 5 and other.statuses(1) == [200]
        client.send(5)
        assert client.statuses(5) == [200] * 5


def test_a_request_that_its_client_gives_up_counts_no_more() -> None:
    with running(edge_connections_per_address=5) as edge:
        client = Streams(edge)
        client.send(5)
        edge.gateway.wait(5)
        client.cancel()
        time.sleep(1)
        client.send(5)
        edge.gateway.wait(10)


def test_one_request_after_the_other_is_never_too_many() -> None:
    with running(edge_connections_per_address=1) as edge:
        edge.gateway.release.set()
        client = Streams(edge)
        for _ in range(3):
            client.send(1)
            assert client.statuses(1) == [200]


def test_all_requests_together_are_no_more_than_the_connections_that_memory_was_reckoned_for() -> None:
    with running(edge_max_connections=10, edge_connections_per_address=0) as edge:
        first, second = Streams(edge), Streams(edge, OTHER)
        first.send(6)
        edge.gateway.wait(6)
        second.send(6)
        assert second.statuses(2) == [503] * 2
        edge.gateway.release.set()
        assert first.statuses(6) == [200] * 6 and second.statuses(4) == [200] * 4


def test_a_provider_that_refuses_our_key_does_not_count_as_a_wrong_key_of_the_clients() -> None:
    with running(edge_refused_per_minute=3) as edge:
        assert [edge.ask(OURS) for _ in range(8)] == [401] * 8
        assert [edge.ask(BAD) for _ in range(4)] == [401] * 4
        assert edge.ask(OURS) == 429 and edge.ask(OURS, OTHER) == 401
