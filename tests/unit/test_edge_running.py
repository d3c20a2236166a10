"""What the edge's configuration does, shown by a running HAProxy before a stand-in for a gateway."""

from __future__ import annotations

import re
import time
from http.client import HTTPConnection

import pytest

from deploys.components.edge import BASE_MB, BUFFER, CONNECTION_KB, EDGE, KEY_HEADERS
from tests.ports import free_port
from tests.unit import site
from tests.unit.haproxy import CLIENT, NAME, OTHER, PROGRAM, Streams, running

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


def test_memory_is_reckoned_for_requests_that_wait_for_their_answer_with_all_they_have_sent() -> None:
    requests, body = 200, b"x" * (BUFFER - 1500)
    head = f"POST /v1/models HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with running(edge_connections_per_address=0) as edge:
        empty = edge.memory_kb()
        # A hundred thousand addresses of the table are another 20 MiB.
        assert empty // 1024 + 20 <= BASE_MB
        for number in range(requests):
            edge.connect(CLIENT).sendall(head + body)
            # One after the other: what many need while they come at once is taken once, and would be noise here.
            edge.gateway.wait(number + 1)
        assert (edge.memory_kb() - empty) / requests <= CONNECTION_KB


@pytest.mark.parametrize("connections", [10, 2000])
def test_the_unit_lets_it_have_the_files_that_its_connections_need(connections: int) -> None:
    data = {"edge_max_connections": connections}
    (unit,) = [item.text for item in EDGE.files(site.whole(**data)) if item.path.endswith("/portcullis.conf")]
    (files,) = re.findall(r"^LimitNOFILE=(\d+)$", unit, re.MULTILINE)
    with running(**data) as edge:
        told = edge.told()
    assert int(told["Maxconn"]) == 3 * connections and int(told["Maxsock"]) <= int(files), told


@pytest.mark.parametrize("length", [2**20 + 1, 2**31, 2**31 + 5, 2**32 + 5, 3 * 2**32, 2**62])
def test_a_body_is_too_large_however_large_it_is(length: int) -> None:
    with running(edge_max_body_mb=1) as edge:
        edge.gateway.release.set()
        assert edge.ask("/v1/models", **{"Content-Length": "0"}) == 200
        assert edge.ask("/v1/models", **{"Content-Length": str(length)}) == 413
        assert edge.gateway.held == ["/v1/models"]


def test_the_log_has_no_key_of_a_path_however_it_is_written_and_a_line_for_each_request() -> None:
    with running() as edge:
        for path in ("/key/sk-Abc_123/info", "/key/sk%2dAbc_123/info", "/key/%73%6B-Abc%5f123/info"):
            assert edge.ask(path) == 403
            assert edge.logged().split()[2] == "/key/sk-/info"
        assert edge.ask("/key/x%0aforged%20line/info") == 403
        assert edge.logged().split()[2] == "/key/x?forged?line/info"


def test_whoever_sends_a_key_without_tls_is_told_and_not_led_on() -> None:
    port = free_port()
    with running(edge_http_port=port):
        for path, headers, status in [
            ("/v1/models", {}, 308),
            ("/v1/models?x=key", {}, 308),
            ("/v1/models?key=sk-1", {}, 403),
            *[("/v1/models", {name: "sk-1"}, 403) for name in KEY_HEADERS],
        ]:
            connection = HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", path, headers={"Host": NAME, **headers})
            assert connection.getresponse().status == status, (path, headers)
            connection.close()
