"""How long and how much a running LiteLLM lets through, what it asks by itself, and what it reckons: as set."""

from __future__ import annotations

import time

import pytest

from tests.lab.gateways import Gateway, together
from tests.lab.real_litellm import NEEDED
from tests.lab.sites import PRICE
from tests.waiting import eventually

pytestmark = NEEDED


def test_request_timeout_is_for_models_without_a_timeout_of_their_own(shuffle: Gateway) -> None:
    began = time.monotonic()
    assert shuffle.chat("late").status == 408
    assert 3.5 < time.monotonic() - began < 5.9


def test_stream_timeout_is_the_longest_silence_within_a_stream(shuffle: Gateway) -> None:
    began = time.monotonic()
    reply = shuffle.chat("stalling", stream=True)
    assert 1.5 < time.monotonic() - began < 3.9
    assert "pong " in reply.text and '"error"' in reply.text and "[DONE]" not in reply.text


def test_max_parallel_requests_are_the_entrys_own_or_those_of_local_models(shuffle: Gateway) -> None:
    calls = [lambda: shuffle.chat("narrow")] * 2 + [lambda: shuffle.chat("local")] * 3
    statuses = [reply.status for reply in together(calls, apart=0.1)]
    assert (sorted(statuses[:2]), sorted(statuses[2:])) == ([200, 429], [200, 200, 429])
    assert shuffle.asked("slow-1-narrow", "slow-1-local") == [1, 2]


def test_a_health_check_asks_entries_with_health_check_only_and_waits_as_long_as_they_say(shuffle: Gateway) -> None:
    report = shuffle.ask("/health").json()
    asked = {record["model"] for record in shuffle.seen()}
    assert asked == {"hang", "hang-short", "asked"}
    assert (report["healthy_count"], report["unhealthy_count"]) == (1, 2)
    for model, least, most in (("hung-short", 0.9, 2.4), ("hung", 2.9, 4.9)):
        began = time.monotonic()
        assert shuffle.ask(f"/health?model={model}").status == 503
        assert least < time.monotonic() - began < most, model


def test_background_health_checks_are_no_more_at_a_time_than_health_check_concurrency(
    gateways: dict[str, Gateway],
) -> None:
    """Each takes a second: two begin at once, two more when those are done, and no model that is not to be asked."""
    gateway = gateways["cost-based-routing"]
    names = [f"slow-1-checked-{number}" for number in range(4)]
    assert eventually(lambda: len(gateway.seen(*names)) >= 4, 20)
    began = sorted(record["at"] for record in gateway.seen(*names))[:4]
    # The second begins within the first one's second, the third and fourth after the end of one before.
    assert began[1] - began[0] < 0.95 and began[2] - began[0] > 0.95 and began[3] - began[1] > 0.95, began
    assert gateway.asked("unchecked") == [0]


def test_an_answer_has_the_deployments_id_and_its_cost_at_the_entrys_prices(shuffle: Gateway) -> None:
    headers = shuffle.chat("described").headers
    assert headers["x-litellm-model-id"] == "an-id-of-its-own"
    # The double's answers are of 7 tokens for 4.
    assert float(headers["x-litellm-response-cost-input"]) == pytest.approx(7 * PRICE)
    assert float(headers["x-litellm-response-cost-output"]) == pytest.approx(4 * 2 * PRICE)


def test_clients_are_told_an_entrys_context_window_and_longest_answer(shuffle: Gateway) -> None:
    (group,) = [row for row in shuffle.ask("/model_group/info").json()["data"] if row["model_group"] == "described"]
    assert (group["max_input_tokens"], group["max_output_tokens"]) == (5000, 321)
