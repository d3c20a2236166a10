"""What a gateway keeps in PostgreSQL and Redis and what becomes of its workers, with small settings."""

from __future__ import annotations

import time
import uuid

from deploys.components.litellm.config import SELFTEST
from tests.host import support_state
from tests.host.lab.test_changes import workers
from tests.host.support_many import chats, connections_under_load, locked, many, rows, same, spent
from tests.host.support_state import CACHE_SECONDS, KEYS, NAMESPACE, Sparing
from tests.host.test_redis import cli
from tests.waiting import eventually


def test_without_cache_mode_every_question_and_only_for_cache_ttl_seconds(sparing: Sparing) -> None:
    gateway, text = sparing.gateway, f"cached {uuid.uuid4()}"
    asked = time.monotonic()
    first = gateway.chat("spare", text=text)
    time.sleep(1)
    began = time.monotonic()
    second = gateway.chat("spare", text=text)
    assert second.json()["id"] == first.json()["id"]
    name = second.headers["x-litellm-cache-key"]
    assert name.startswith(f"{NAMESPACE}:"), "another cache_namespace"
    left = int(cli(sparing.server, f"TTL {name}")[0])
    assert CACHE_SECONDS - 1 - (time.monotonic() - asked) <= left <= CACHE_SECONDS
    time.sleep(max(0.0, CACHE_SECONDS + 1 - (time.monotonic() - began)))
    new = lambda: gateway.chat("spare", text=text).json()["id"] != first.json()["id"]  # noqa: E731
    # The key's end is Redis' own; under load what asks for it may be answered a moment late.
    assert eventually(new, CACHE_SECONDS / 2), "it was kept for longer than cache_ttl"


def test_more_messages_than_cache_max_messages_are_not_cached(sparing: Sparing) -> None:
    assert eventually(lambda: same(sparing.gateway, f"two {uuid.uuid4()}", messages=2), 10)
    assert not same(sparing.gateway, f"three {uuid.uuid4()}", messages=3)


def test_only_answers_of_cache_call_types_are_cached(sparing: Sparing) -> None:
    sparing.double.reset()
    body = {"model": "vectors", "input": f"not cached {uuid.uuid4()}"}
    for _ in range(2):
        assert sparing.gateway.ask("/v1/embeddings", body).status == 200
        time.sleep(0.3)
    assert len(sparing.double.seen(model="vectors")) == 2


def test_max_parallel_requests_is_for_each_local_model_and_worker(sparing: Sparing) -> None:
    """One each; LiteLLM does not let the others wait."""
    sparing.double.reset()
    answers = chats(sparing.gateway, "queue", [f"at once {uuid.uuid4()}" for _ in range(8)], 8)
    found = [answer.status for answer in answers]
    assert set(found) == {200, 429} and found.count(200) <= len(workers(sparing.server)), found
    assert len([r for r in sparing.double.seen() if "queue" in r["model"]]) == found.count(200)
    in_turn = chats(sparing.gateway, "queue", [f"in turn {uuid.uuid4()}" for _ in range(2)], 1)
    assert {answer.status for answer in in_turn} == {200}


def test_probe_models_are_asked_by_the_timer(sparing: Sparing) -> None:
    sparing.double.reset()

    def asked() -> bool:
        return any(r["body"]["messages"][0]["content"] == "ready?" for r in sparing.double.seen(model="spare"))

    assert eventually(asked, 60), "no question of the timer's arrived"


def test_connections_stay_within_the_pools_of_each_worker(sparing: Sparing) -> None:
    """database_connection_pool_limit; and redis_max_connections, beside which a worker has a few of no pool."""
    old = workers(sparing.server)
    database, redis = connections_under_load(sparing.gateway, old)
    assert database <= support_state.DATABASE_POOL * len(old)
    assert redis <= support_state.REDIS_POOL + support_state.REDIS_MORE


def test_a_request_waits_database_connection_timeout_seconds_for_a_connection(sparing: Sparing) -> None:
    gateway = sparing.gateway
    asked = [(f"/key/info?key={uuid.uuid4().hex}{uuid.uuid4().hex}", gateway.master_key, None) for _ in range(10)]
    unknown = ("/v1/models", f"sk-{uuid.uuid4().hex}", None)
    seconds = 12
    with locked(sparing.server, seconds):
        *answers, refused = many(sparing.server, [*asked, unknown], 11)
    gave_up = [answer for answer in answers if "Timed out fetching a new connection" in answer.text]
    # The others have the connections that there are, and wait for the lock.
    assert len(gave_up) >= 10 - support_state.DATABASE_POOL * len(workers(sparing.server)), answers
    for answer in gave_up:
        assert support_state.DATABASE_SECONDS <= answer.seconds < seconds, answer
        assert f"timeout: {support_state.DATABASE_SECONDS}," in answer.text, answer
    assert refused.status == 503, "without allow_requests_on_db_unavailable a key that cannot be looked up is none"


def test_requests_are_rows_of_the_spend_log_soon(sparing: Sparing) -> None:
    """spend_logs. LiteLLM writes the rows by themselves, every 2 to 30 s."""
    name = sparing.gateway.chat(SELFTEST, text=f"a row {uuid.uuid4()}").headers["x-litellm-call-id"]
    row = f"SELECT status FROM \"LiteLLM_SpendLogs\" WHERE litellm_call_id = '{name}'"
    assert eventually(lambda: rows(sparing.server, row) == ["success"], 45)


def test_failed_requests_are_rows_with_error_logs_only(sparing: Sparing) -> None:
    call = sparing.gateway.chat("failing", text="an error that is kept").headers["x-litellm-call-id"]

    def status(name: str) -> list[str]:
        return rows(
            sparing.server,
            f"SELECT status FROM \"LiteLLM_SpendLogs\" WHERE request_id = '{name}' OR litellm_call_id = '{name}'",
        )

    assert eventually(lambda: status(call) == ["failure"], 45), status(call)
    assert status(sparing.unkept) == [], "a row of the time before error_logs"


def test_spend_is_not_written_before_proxy_batch_write_at_seconds(sparing: Sparing) -> None:
    """The default's 10 s and 5 s more have gone by, and its row is there."""
    time.sleep(max(0.0, sparing.began + 20 - time.monotonic()))
    assert sparing.early.status == 200
    assert spent(sparing.server, KEYS.values["early"]) == 0
