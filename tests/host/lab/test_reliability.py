"""What the running gateway does when models fail, are slow, or are asked too much: as its settings say."""

from __future__ import annotations

import time

from tests.host.support_double import COOLDOWN_SECONDS, Double
from tests.host.support_http import Gateway
from tests.waiting import eventually


def test_a_failing_group_is_tried_again_and_then_answered_by_its_fallback(routed: Double) -> None:
    routed.reset()
    reply = Gateway(routed.server).chat("broken")
    assert reply.status == 200, reply
    # One try, and litellm_num_retries more.
    assert len(routed.seen(model="fail-500")) == 2
    assert len(routed.seen(model="spare")) == 1


def test_a_failure_that_passes_is_not_seen_by_the_client(routed: Double) -> None:
    routed.reset()
    reply = Gateway(routed.server).chat("flaky")
    assert reply.status == 200, reply
    assert len(routed.seen(model="flaky-1")) == 2


def test_a_prompt_that_is_too_long_goes_to_the_larger_model(routed: Double) -> None:
    routed.reset()
    reply = Gateway(routed.server).chat("short")
    assert reply.status == 200, reply
    assert len(routed.seen(model="spacious")) == 1
    # The model's own word was enough: a request that is wrong is not sent twice.
    assert len(routed.seen(model="fail-400-context")) == 1


def test_a_refused_prompt_goes_to_the_fallback_for_that(routed: Double) -> None:
    routed.reset()
    reply = Gateway(routed.server).chat("touchy")
    assert reply.status == 200, reply
    assert (len(routed.seen(model="fail-content")), len(routed.seen(model="spare"))) == (1, 1)


def test_a_deployment_that_fails_is_left_alone_and_asked_again_later(routed: Double) -> None:
    gateway, bad = Gateway(routed.server), "pair-fail-429"
    routed.reset()
    assert eventually(lambda: gateway.chat("pair").status == 429 or routed.seen(model=bad), 30)
    began = time.monotonic()
    time.sleep(2)  # every worker has heard of it
    known = len(routed.seen(model=bad))
    statuses = []
    while time.monotonic() - began < COOLDOWN_SECONDS - 6:
        statuses.append(gateway.chat("pair").status)
    assert set(statuses) == {200} and len(statuses) > 5, statuses
    assert len(routed.seen(model=bad)) == known, "it was asked while it cooled down"
    time.sleep(max(0.0, COOLDOWN_SECONDS + 3 - (time.monotonic() - began)))
    assert eventually(lambda: gateway.chat("pair") and len(routed.seen(model=bad)) > known, 30), "never asked again"


def test_more_requests_than_the_models_limit_are_429_on_all_workers_together(routed: Double) -> None:
    gateway = Gateway(routed.server)
    time.sleep(max(0.0, 61 - time.time() % 60) if time.time() % 60 > 40 else 0)
    routed.reset()
    statuses = [gateway.chat("limited").status for _ in range(8)]
    assert sorted(set(statuses)) == [200, 429], statuses
    assert len(routed.seen(model="limited")) == 3


def test_a_slow_model_times_out_and_a_silent_stream_ends(routed: Double) -> None:
    gateway = Gateway(routed.server)
    began = time.monotonic()
    assert gateway.chat("slow").status == 408
    assert 1.5 < time.monotonic() - began < 6
    began = time.monotonic()
    reply = gateway.chat("stalling", stream=True)
    assert time.monotonic() - began < 7
    assert "[DONE]" not in reply.text or "error" in reply.text, reply


def test_health_checks_ask_what_they_may_and_nothing_that_costs(routed: Double) -> None:
    """Two rounds at least, by two workers: each model that asks for it is asked once a round."""
    routed.reset()
    time.sleep(75)
    # Names that begin with a slash are no models: where traces, alerts and records go.
    asked = [
        record["model"]
        for record in routed.seen()
        if not record["path"].startswith(("/hook", "/slack", "/sink", "/v1/traces"))
    ]
    paid = {name for name in asked if not name.startswith("Qwen/")}
    assert paid == set(), "a model that costs money was asked"
    # Six entries of vLLM; 75 s are two or three rounds of 30 s.
    assert 6 <= len(asked) <= 6 * 3, asked
