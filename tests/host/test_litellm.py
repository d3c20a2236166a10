"""The gateway as a client meets it: keys, answers, streams, limits, spend, cache, and credentials that stay secret."""

from __future__ import annotations

import json
import re
import time
import uuid

import pytest

from deploys.components.litellm.config import SELFTEST, model_list
from deploys.components.litellm.probes import workers
from deploys.components.litellm.settings import workers_on
from deploys.components.postgres import PostgresSettings
from tests.host.support import Server, servers
from tests.host.support_http import Gateway, Reply
from tests.waiting import eventually


def _names(gateway: Gateway, mode: str) -> list[str]:
    """Public names of the declared models of one kind, each once."""
    entries = [entry for entry in model_list(gateway.server.here) if entry["model_info"]["mode"] == mode]
    return list(dict.fromkeys(entry["model_name"] for entry in entries))


def _database(config: pytest.Config, gateway: Gateway, statement: str) -> str:
    """One statement on the host that has the gateway's database."""
    there = next(server for server in servers(config.getoption("--inventory")) if server.has("postgres"))
    s: PostgresSettings = there.here.settings(PostgresSettings)
    return there.out(f"runuser -u postgres -- psql -X -A -t -q -d {s.database} <<'SQL'\n{statement};\nSQL")


def test_is_alive_and_ready_with_its_database(gateway: Gateway) -> None:
    alive = gateway.ask("/health/liveliness", key="")
    assert (alive.status, alive.json()) == (200, "I'm alive!")
    ready = gateway.ask("/health/readiness", key="")
    assert ready.status == 200
    assert (ready.json()["status"], ready.json()["db"]) == ("healthy", "connected")


def test_every_worker_finished_starting(litellm_server: Server) -> None:
    count = workers_on(litellm_server.here.member)
    said = litellm_server.out(workers(litellm_server.here))
    assert said == f"{count} of {count} workers finished starting"


def test_refuses_a_request_without_a_key(gateway: Gateway) -> None:
    reply = gateway.ask("/v1/models", key="")
    assert reply.status == 401
    assert reply.json()["error"]["code"] == "401"


def test_refuses_a_wrong_key(gateway: Gateway) -> None:
    assert gateway.chat(SELFTEST, key=f"sk-{uuid.uuid4().hex}").status == 401


def test_lists_exactly_the_declared_models(gateway: Gateway) -> None:
    listed = {model["id"] for model in gateway.ask("/v1/models").json()["data"]}
    assert {entry["model_name"] for entry in model_list(gateway.server.here)} == listed


def test_has_no_public_pages_of_its_interface(gateway: Gateway) -> None:
    assert gateway.ask("/openapi.json", key="").status == 404
    assert gateway.ask("/metrics", key="").status == 401


def test_a_virtual_key_works_until_it_is_blocked_and_deleted(gateway: Gateway) -> None:
    key = gateway.new_key(models=[SELFTEST])
    try:
        reply = gateway.chat(SELFTEST, key=key)
        assert reply.status == 200, reply
        assert reply.json()["choices"][0]["message"]["content"] == "pong"
        assert gateway.ask("/key/block", {"key": key}).status == 200
        # Other workers learn of it a little later.
        assert eventually(lambda: gateway.chat(SELFTEST, key=key).status == 401, 15)
    finally:
        assert gateway.delete_key(key).status == 200
    assert gateway.chat(SELFTEST, key=key).status == 401


def test_an_unknown_model_is_the_clients_mistake(gateway: Gateway, key: str) -> None:
    reply = gateway.chat("no-such-model", key=key)
    assert reply.status == 400
    assert "Invalid model name" in reply.text


def test_every_chat_model_answers(gateway: Gateway, key: str) -> None:
    for name in _names(gateway, "chat"):
        reply = gateway.chat(name, key=key)
        assert reply.status == 200, f"{name}: {reply!r}"
        assert reply.json()["choices"][0]["message"]["content"].strip(), f"{name}: {reply!r}"


def test_an_answer_can_be_streamed(gateway: Gateway, key: str) -> None:
    for name in _names(gateway, "chat"):
        reply = gateway.chat(name, key=key, stream=True)
        assert reply.status == 200 and "text/event-stream" in reply.headers["content-type"], reply
        events = [line[6:] for line in reply.text.splitlines() if line.startswith("data: ")]
        assert events[-1] == "[DONE]", events[-2:]
        pieces = [
            json.loads(event)["choices"][0]["delta"].get("content") or "" for event in events[:-1] if '"delta"' in event
        ]
        assert "".join(pieces).strip(), events
        # One piece is an answer that was not streamed; the self-test's single word is no measure.
        assert name == SELFTEST or len([piece for piece in pieces if piece]) > 1, events


def test_every_embedding_model_answers(gateway: Gateway, key: str) -> None:
    names = _names(gateway, "embedding")
    if not names:
        pytest.skip("the inventory has no embedding model")
    for name in names:
        reply = gateway.ask("/v1/embeddings", {"model": name, "input": "ready?"}, key=key)
        assert reply.status == 200, f"{name}: {reply!r}"
        assert any(reply.json()["data"][0]["embedding"]), f"{name}: {reply!r}"


def test_every_request_is_in_the_spend_log(gateway: Gateway, key: str, pytestconfig: pytest.Config) -> None:
    replies = [gateway.chat(SELFTEST, key=key, text=f"for the spend log {uuid.uuid4()}") for _ in range(3)]
    wanted = sorted(reply.json()["id"] for reply in replies)
    names = ", ".join(f"'{name}'" for name in wanted)
    query = f'SELECT request_id FROM "LiteLLM_SpendLogs" WHERE request_id IN ({names}) ORDER BY 1'
    interval = gateway.settings.proxy_batch_write_at

    def found() -> list[str]:
        return sorted(_database(pytestconfig, gateway, query).split())

    assert eventually(lambda: found() == wanted, interval * 2 + 20), found()
    hashed = _database(
        pytestconfig, gateway, f'SELECT DISTINCT api_key FROM "LiteLLM_SpendLogs" WHERE request_id IN ({names})'
    )
    assert re.fullmatch(r"[0-9a-f]{64}", hashed), "the key must be in the log as its hash, once"


def test_a_repeated_request_comes_from_the_cache(gateway: Gateway, key: str) -> None:
    asked: list[tuple[str, Reply]] = []

    def again() -> bool:
        # An answer is kept after it was given. A question that is repeated too early has a second one, which is kept.
        text = f"for the cache {uuid.uuid4()}"
        first = gateway.chat(SELFTEST, key=key, text=text, cache={"use-cache": True})
        assert first.status == 200, first
        asked[:] = [(text, first)]
        time.sleep(0.3)
        second = gateway.chat(SELFTEST, key=key, text=text, cache={"use-cache": True})
        return second.json()["id"] == first.json()["id"] and "x-litellm-cache-key" in second.headers

    assert eventually(again, 10)
    ((text, first),) = asked
    without = gateway.chat(SELFTEST, key=key, text=text)
    assert without.json()["id"] != first.json()["id"], "a request that did not ask for the cache got it"


def test_a_limit_is_shared_by_all_workers_of_all_gateways(gateway: Gateway, pytestconfig: pytest.Config) -> None:
    """Each worker counting for itself would let a multiple through, and so would each gateway."""
    gateways = [Gateway(server) for server in servers(pytestconfig.getoption("--inventory")) if server.has("litellm")]
    for _ in range(2):
        key = gateway.new_key(rpm_limit=3)
        began = time.monotonic()
        try:
            answers = [gateways[n % len(gateways)].chat(SELFTEST, key=key).status for n in range(12)]
        finally:
            gateway.delete_key(key)
        # The minute begins with a key's first request; on a host so slow that it ended meanwhile there were two.
        if time.monotonic() - began < 50:
            break
    assert (answers.count(200), answers.count(429)) == (3, 9), answers


def test_a_stored_credential_is_encrypted(gateway: Gateway, pytestconfig: pytest.Config) -> None:
    plain, name = f"sk-plain-{uuid.uuid4().hex}", f"portcullis-test-{uuid.uuid4().hex[:8]}"
    body = {"credential_name": name, "credential_info": {}, "credential_values": {"api_key": plain}}
    stored = gateway.ask("/credentials", body)
    try:
        assert stored.status == 200, stored
        there = next(s for s in servers(pytestconfig.getoption("--inventory")) if s.has("postgres"))
        d: PostgresSettings = there.here.settings(PostgresSettings)
        found = there.out(
            f"runuser -u postgres -- pg_dump -d {d.database} | grep -c -F -f /dev/fd/3 3<<'P' || true\n{name}\nP"
        )
        assert found != "0", "the credential is not in the database at all"
        found = there.out(
            f"runuser -u postgres -- pg_dump -d {d.database} | grep -c -F -f /dev/fd/3 3<<'P' || true\n{plain}\nP"
        )
        assert found == "0", "the credential is in the database as plain text"
    finally:
        assert gateway.ask(f"/credentials/{name}", method="DELETE").status == 200


def test_the_cache_and_the_counters_are_in_redis(gateway: Gateway) -> None:
    reply = gateway.ask("/cache/ping")
    assert reply.status == 200, reply
    assert (reply.json()["cache_type"], reply.json()["ping_response"]) == ("redis", True)
