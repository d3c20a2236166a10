"""How workers end and are renewed; and the other side of test_state: no rows, no cache, large pools."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploys.components import postgres
from deploys.components.litellm.config import SELFTEST
from tests.host import support_state
from tests.host.lab.conftest import Deployed
from tests.host.lab.test_changes import GATEWAY, alive_url, workers
from tests.host.support_http import Gateway
from tests.host.support_lab import run, until
from tests.host.support_many import asking, chats, connections_under_load, locked, many, rows, same, spent
from tests.host.support_state import DRAIN_SECONDS, KEYS, MAX_REQUESTS, PRICE, WRITE_LATE, Sparing, forget
from tests.host.support_watch import polling
from tests.host.test_redis import cli
from tests.waiting import eventually

TIMER = "litellm-recycle.timer"
DROP_IN = f"/run/systemd/system/{TIMER}.d"


@pytest.fixture(scope="module")
def lavish(sparing: Sparing, trixie: Deployed) -> Iterator[Gateway]:
    """The same host with the other side of those settings; at the end with none of them."""
    done = run(trixie.name, environment=support_state.ENVIRONMENT, **support_state.lavish())
    assert done.status == 0, done.problem
    yield Gateway(trixie.server)
    forget(Gateway(trixie.server))
    restored = run(trixie.name)
    assert restored.status == 0, restored.problem


# Here because it takes up to two minutes from the start of a worker, which have gone by meanwhile.
def test_rows_are_deleted_at_their_age_once_an_interval(sparing: Sparing) -> None:
    """spend_logs_retention, spend_logs_cleanup_interval and health_check_retention; LiteLLM adds up to a minute."""
    until(lambda: sparing.planted() == {"young", "check-young"}, 150, "the old rows are deleted, and no others")


def test_workers_are_renewed_after_max_requests_and_no_request_is_lost(sparing: Sparing) -> None:
    """recycle = max_requests: each at a number of its own, and when it has answered what it was asked."""
    server, old, failed = sparing.server, workers(sparing.server), 0
    with asking(sparing.gateway, "second") as statuses:
        for _ in range(12):
            answers = many(server, [("/health/liveliness", "", None)] * 400, 4, kept=0)
            failed += sum(answer.status != 200 for answer in answers)
            if not old & workers(server):
                break
    assert statuses == {200}
    assert failed == 0, "a connection of a worker that ended was reset"
    assert not old & workers(server), f"more than {MAX_REQUESTS} requests, and the same workers"
    until(lambda: len(workers(server)) == len(old), 60, "there are as many workers as before")
    # What a worker had not written yet, it has written when it ended.
    assert eventually(lambda: spent(server, KEYS.values["early"]) > 0, 10)


def test_a_stop_gives_running_requests_drain_timeout_seconds(sparing: Sparing) -> None:
    server = sparing.server
    sparing.double.reset()
    asked = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        lasting = pool.submit(chats, sparing.gateway, "lasting", [f"lasting {uuid.uuid4()}"], 1)
        endless = pool.submit(chats, sparing.gateway, "endless", [f"endless {uuid.uuid4()}"], 1)
        arrived = lambda: {record["model"] for record in sparing.double.seen()}  # noqa: E731
        until(lambda: {"slow-4-lasting", "slow-40"} <= arrived(), 10, "both are asked")
        began = time.monotonic()
        assert not lasting.done(), "it was over before the stop"
        server.out(f"systemctl stop {GATEWAY}")
        took = time.monotonic() - began
        assert [answer.status for answer in lasting.result()] == [200]
        (cut,) = endless.result()
    assert cut.status == 0 and cut.seconds < began - asked + DRAIN_SECONDS + 5, cut
    # What is not cut off by then is: a busy machine takes its time with the rest of the stop.
    assert DRAIN_SECONDS - 1 <= took < DRAIN_SECONDS + 20


# From here on with the other settings; their deploy starts what the last test has stopped.
def test_recycle_calendar_renews_the_workers_and_nobody_notices(lavish: Gateway) -> None:
    """recycle = timer. The delay that keeps several gateways apart is up to an hour, so here it is taken away."""
    server, old = lavish.server, workers(lavish.server)
    server.out(
        f"mkdir -p {DROP_IN}; printf '[Timer]\\nRandomizedDelaySec=0\\n' >{DROP_IN}/at-once.conf; "
        f"systemctl daemon-reload; systemctl restart {TIMER}"
    )
    try:
        with (
            polling({"renewal": alive_url(server)}) as failures,
            asking(lavish, "second") as statuses,
        ):
            until(lambda: not old & workers(server), 240, "all workers are new ones")
            server.out(f"systemctl stop {TIMER}")
        assert statuses == {200}
    finally:
        server.out(f"rm -r {DROP_IN}; systemctl daemon-reload; systemctl restart {TIMER}")
    assert not failures["renewal"]


def test_without_a_cache_nothing_is_cached_and_limits_hold_all_the_same(lavish: Gateway) -> None:
    """cache_mode = off: not even for a request that asks for it, and counters are in Redis still."""
    assert not same(lavish, f"never {uuid.uuid4()}", cache={"use-cache": True})
    found = [lavish.chat("spare", key=KEYS.values["rpm"], text=f"off {uuid.uuid4()}").status for _ in range(5)]
    assert found == [200, 200, 429, 429, 429], found


def test_spend_is_written_after_proxy_batch_write_at_seconds_and_without_rows_where_spend_logs_is_off(
    sparing: Sparing, lavish: Gateway
) -> None:
    server, key = lavish.server, lavish.new_key()
    try:
        reply = lavish.chat("spare", key=key, text=f"no row {uuid.uuid4()}")
        assert eventually(lambda: spent(server, key) > 0, 1 + WRITE_LATE + 4), spent(server, key)
        assert abs(spent(server, key) - PRICE) < 1e-9
        call = reply.headers["x-litellm-call-id"]
        assert rows(server, f"SELECT 1 FROM \"LiteLLM_SpendLogs\" WHERE litellm_call_id = '{call}'") == []
    finally:
        lavish.delete_key(key)


def test_use_redis_transaction_buffer_lets_one_worker_write_for_all(lavish: Gateway) -> None:
    """While somebody else has the right to write, all spend waits in Redis; then it arrives in the database."""
    server, key = lavish.server, lavish.new_key()
    lock, buffer = "cronjob_lock:db_spend_update_job", "litellm_spend_update_buffer"
    try:
        assert eventually(lambda: cli(server, f"SET {lock} somebody-else NX EX 60") == ["OK"], 20)
        sent = chats(lavish, "spare", [f"buffered {uuid.uuid4()}" for _ in range(8)], 8, key)
        assert {answer.status for answer in sent} == {200}
        assert eventually(lambda: cli(server, f"EXISTS {buffer}") == ["1"], 1 + WRITE_LATE + 4)
        time.sleep(1 + WRITE_LATE)
        assert spent(server, key) == 0
        assert cli(server, f"DEL {lock}") == ["1"]
        assert eventually(lambda: abs(spent(server, key) - 8 * PRICE) < 1e-9, 2 * (1 + WRITE_LATE) + 4)
    finally:
        cli(server, f"DEL {lock}")
        lavish.delete_key(key)


def test_larger_pools_are_used(lavish: Gateway) -> None:
    """The same load has more connections: it was database_connection_pool_limit and redis_max_connections before."""
    old, less = workers(lavish.server), support_state.REDIS_POOL + support_state.REDIS_MORE
    # How many are open at once depends on how the load falls: one such moment shows that they may be.
    for _ in range(3):
        database, redis = connections_under_load(lavish, old)
        if redis > less and database > support_state.DATABASE_POOL * len(old):
            break
    assert support_state.DATABASE_POOL * len(old) < database <= 10 * len(old)
    assert less < redis <= 50 + support_state.REDIS_MORE


def readiness(gateway: Gateway) -> tuple[int, str]:
    reply = gateway.ask("/health/readiness", key="")
    return reply.status, reply.json()["db"]


def test_allow_requests_on_db_unavailable_keeps_the_gateway_ready(lavish: Gateway) -> None:
    server, unit, unknown = lavish.server, postgres.unit(lavish.server.here), f"sk-{uuid.uuid4().hex}"
    assert lavish.chat(SELFTEST, key=unknown).status == 401
    with locked(server, 8):
        assert lavish.chat(SELFTEST, key=f"sk-{uuid.uuid4().hex}").status == 200, "a key that cannot be looked up"
    key = lavish.new_key()
    # So many that every worker has seen it.
    known = chats(lavish, SELFTEST, [f"known {number}" for number in range(16)], 8, key)
    assert {answer.status for answer in known} == {200}
    server.out(f"systemctl stop {unit}")
    try:
        time.sleep(3)
        assert lavish.chat(SELFTEST, key=key).status == 200, "a key that was seen a moment ago"
        # Each worker says for up to 15 s what it has found before.
        found = eventually(lambda: [one for one in [readiness(lavish)] if one[1] != "connected"], 40)
        assert found in ([(200, "disconnected")], [(200, "stalled")])
    finally:
        server.out(f"systemctl start {unit}")
    until(lambda: readiness(lavish) == (200, "connected"), 60, "the database is back")
    # One worker says so for all; each of the others connects again by itself.
    until(lambda: lavish.delete_key(key).status in (200, 404), 30, "every worker has the database back")
