"""Two gateways behind an edge: what is open, what is refused, and what its log says."""

from __future__ import annotations

import json
import socket
import ssl
import time
import warnings
from collections.abc import Iterator

import pytest

from tests.host.lab.conftest import Deployed, suite
from tests.host.support import Server
from tests.host.support_clients import Edge
from tests.host.support_edge import POSTED, STREAMED, change, doubles, front, gateways, master_key, reached
from tests.host.support_lab import VERIFY, run, until
from tests.host.support_watch import assert_second_run_changes_nothing


@pytest.fixture(scope="module")
def edge(fronted: Deployed) -> Edge:
    return reached(fronted)


@pytest.fixture(scope="module")
def key(fronted: Deployed) -> str:
    return master_key(fronted)


@pytest.fixture(scope="module")
def played(fronted: Deployed) -> Iterator[Deployed]:
    with doubles(fronted) as site:
        yield site


def test_the_second_run_changes_nothing(fronted: Deployed) -> None:
    assert_second_run_changes_nothing(fronted.name, fronted.servers)


def test_every_component_answers(fronted: Deployed) -> None:
    verified = run(fronted.name, VERIFY)
    assert verified.status == 0, verified.problem
    assert "keeps what is for operators from others" in verified.log and "has every gateway ready" in verified.log


def test_the_questions_to_any_inventory_hold(fronted: Deployed) -> None:
    suite(fronted.name)


def test_a_client_gets_an_answer_and_a_stream(played: Deployed, edge: Edge, key: str) -> None:
    body = {"model": POSTED, "messages": [{"role": "user", "content": "hello"}]}
    status, heads, text = edge.ask("/v1/chat/completions", key, body)
    assert status == 200 and json.loads(text)["choices"]
    assert heads["strict-transport-security"].startswith("max-age=") and "server" not in heads
    assert "x-portcullis-gateway" not in heads
    # The first piece comes before the last: nothing collects them on the way.
    connection, began = edge.connect(), time.monotonic()
    streamed = {**body, "model": STREAMED, "stream": True}
    connection.request(
        "POST", "/v1/chat/completions", json.dumps(streamed),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )  # fmt: skip
    answer = connection.getresponse()
    first = answer.read1(65536)
    early = time.monotonic() - began
    rest = answer.read()
    late = time.monotonic() - began
    connection.close()
    assert first and b"[DONE]" in rest and late - early > 1.5, f"first after {early:.1f} s, last after {late:.1f} s"


def test_keys_are_asked_for_and_what_is_for_operators_is_closed(fronted: Deployed, edge: Edge, key: str) -> None:
    assert edge.ask("/v1/models")[0] == 401 and edge.ask("/v1/models", "sk-wrong")[0] == 401
    assert edge.ask("/v1/models", key)[0] == 200
    for path in (
        "/",
        "/ui/",
        "/key/list",
        "/v1/../key/list",
        "/%6bey/list",
        "/health",
        "/metrics",
        "/docs",
        "//key/list",
    ):
        status, _, text = edge.ask(path, key)
        assert (status, json.loads(text)["error"]["type"]) == (403, "permission_error"), path
    assert edge.ask("/key/generate", key, {})[0] == 403
    status, _, text = edge.ask("/v1/models", key, headers={"Host": "other.example.org"})
    assert status == 421 and "not the server" in text
    assert edge.ask("/v1/chat/completions", key, {"x": "y" * (33 * 1048576)})[0] == 413


def test_operators_have_everything(played: Deployed, edge: Edge, key: str) -> None:
    mine = f"{socket.gethostbyname(edge.address).rpartition('.')[0]}.0/24"
    change(played, edge_operator_networks=[mine])
    assert edge.ask("/key/list", key)[0] == 200 and edge.ask("/health/readiness")[0] == 200
    change(played)
    assert edge.ask("/key/list", key)[0] == 403


def test_only_new_tls_is_spoken_and_plain_http_is_sent_on(edge: Edge) -> None:
    old = edge.context()
    with warnings.catch_warnings(action="ignore"):
        old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(OSError), socket.create_connection((edge.address, 443), 10) as raw:
        old.wrap_socket(raw, server_hostname=edge.address)
    with socket.create_connection((edge.address, 80), 10) as plain:
        plain.sendall(f"GET /v1/models HTTP/1.1\r\nHost: {edge.address}\r\n\r\n".encode())
        text = plain.recv(4096).decode()
    assert text.startswith("HTTP/1.1 308") and f"location: https://{edge.address}/v1/models" in text


def test_a_client_that_sends_slowly_is_let_go_before_a_gateway_hears_of_it(fronted: Deployed, edge: Edge) -> None:
    began = time.monotonic()
    with edge.context().wrap_socket(
        socket.create_connection((edge.address, 443), 60), server_hostname=edge.address
    ) as slow:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {edge.address}\r\nContent-Length: 1000\r\n\r\n"
        slow.sendall(head.encode() + b"{")
        text = slow.recv(4096).decode()
    assert text.startswith("HTTP/1.1 408") and time.monotonic() - began < 25
    lines = front(fronted).out("journalctl -u haproxy -n 40 -o cat --no-pager")
    assert " POST /v1/chat/completions 408 " in lines and "gateway -" in lines


def test_the_log_has_neither_keys_nor_prompts(played: Deployed, edge: Edge, key: str) -> None:
    secret = "a-prompt-that-nobody-logs"
    body = {"model": POSTED, "messages": [{"role": "user", "content": secret}]}
    assert edge.ask(f"/v1/chat/completions?key={key}", key, body)[0] == 200
    edge.ask(f"/key/{key}/regenerate", key, {})
    lines = until_logged(front(played), "/regenerate")
    assert key not in lines and secret not in lines and "?" not in lines
    assert " POST /v1/chat/completions 200 " in lines and "/key/sk-/regenerate 403" in lines


def until_logged(server: Server, what: str) -> str:
    read = "journalctl -u haproxy --since -2min -o cat --no-pager"
    until(lambda: what in server.out(read), 10, f"{what} is in the journal")
    return server.out(read)


def test_somebody_who_guesses_keys_is_refused_and_others_are_not(played: Deployed, edge: Edge, key: str) -> None:
    change(played, edge_refused_per_minute=5)
    statuses = [edge.ask("/v1/models", f"sk-guess-{number}")[0] for number in range(8)]
    assert statuses[:5] == [401] * 5 and statuses[-1] == 429
    status, heads, _ = edge.ask("/v1/models", key)
    assert status == 429 and heads["retry-after"] == "60", "the address is refused, whatever it says now"
    other = gateways(played)[1].out(
        f"curl -sS -k --noproxy '*' -o /dev/null -w '%{{http_code}}' https://{edge.address}/v1/models"
    )
    assert other == "401"
    change(played)
