"""Which deployment a running LiteLLM asks, how often, and what it does when that fails: as the settings say."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest

from tests.lab.gateways import Gateway, together
from tests.lab.real_litellm import NEEDED
from tests.lab.sites import ALLOWED, ERRORS

pytestmark = NEEDED
LONG = "word " * 200


@pytest.fixture
def cost(gateways: dict[str, Gateway]) -> Gateway:
    """Never reset: its log has the first round of health checks."""
    return gateways["cost-based-routing"]


# A request is counted a moment after its answer, by a task of its own; the next one is to find it counted.
COUNTED = 0.8


def within_a_minute(seconds: int) -> None:
    """Wait until the minute that limits are counted by has this much left."""
    if (left := 60 - time.time() % 60) < seconds:
        time.sleep(left + 0.5)


def times(gateway: Gateway, number: int, model: str, pause: float = 0, **fields: Any) -> list[int]:
    statuses = []
    for _ in range(number):
        statuses.append(gateway.chat(model, **fields).status)
        time.sleep(pause)
    return statuses


def test_simple_shuffle_goes_by_weight(shuffle: Gateway) -> None:
    assert times(shuffle, 8, "weighed") == [200] * 8
    assert shuffle.asked("weighed-light", "weighed-heavy") == [0, 8]


def test_least_busy_takes_the_one_with_the_fewest_requests_in_flight(busy: Gateway) -> None:
    assert [reply.status for reply in together([lambda: busy.chat("pair")] * 4, apart=0.5)] == [200] * 4
    assert busy.asked("slow-2.5-one", "slow-2.5-two") == [2, 2]
    assert times(busy, 4, "calm", pause=COUNTED) == [200] * 4
    assert busy.asked("calm-one", "calm-two") == [4, 0], "one that was free was passed over"


def test_latency_based_routing_takes_the_faster_one(gateways: dict[str, Gateway]) -> None:
    gateway = gateways["latency-based-routing"]
    times(gateway, 4, "pair", pause=0.4)  # to know both
    gateway.reset()
    assert times(gateway, 5, "pair", pause=0.2) == [200] * 5
    assert gateway.asked("fast", "slow-1") == [5, 0]


def test_cost_based_routing_takes_the_cheaper_one(cost: Gateway) -> None:
    assert times(cost, 4, "pair") == [200] * 4
    assert cost.asked("dear", "cheap") == [0, 4]


def test_usage_based_routing_takes_the_one_with_fewer_tokens_this_minute(gateways: dict[str, Gateway]) -> None:
    gateway = gateways["usage-based-routing-v2"]
    within_a_minute(20)
    gateway.reset()
    assert times(gateway, 12, "pair", pause=COUNTED) == [200] * 12
    asked = [record["model"] for record in gateway.seen()]
    assert [set(two) for two in zip(asked[::2], asked[1::2], strict=True)] == [{"one", "two"}] * 6, asked


def test_usage_based_routing_refuses_what_is_above_an_entrys_limit_at_once(gateways: dict[str, Gateway]) -> None:
    """One request early: LiteLLM leaves out an entry whose next request would reach its rpm."""
    gateway = gateways["usage-based-routing-v2"]
    within_a_minute(8)
    began = time.monotonic()
    assert times(gateway, 6, "limited-requests") == [200] * 3 + [429] * 3
    assert time.monotonic() - began < 10


def test_entries_with_a_lower_order_are_asked_first_and_others_when_those_fail(shuffle: Gateway) -> None:
    assert times(shuffle, 5, "ordered") == [200] * 5
    assert shuffle.asked("ordered-first", "ordered-second") == [5, 0]
    assert times(shuffle, 2, "backed") == [200] * 2
    assert shuffle.asked("backed-fail-500", "backed-second") == [2, 2]


@pytest.mark.parametrize(
    ("tags", "asked"), [(["red"], [4, 0, 0]), (["blue"], [0, 4, 0]), (["green"], [0, 0, 4]), (None, [0, 0, 4])]
)
def test_with_tag_routing_a_requests_tags_choose_an_entry(
    tags: list[str] | None, asked: list[int], shuffle: Gateway
) -> None:
    fields: dict[str, Any] = {"metadata": {"tags": tags}} if tags else {}
    assert times(shuffle, 4, "tagged", **fields) == [200] * 4
    assert shuffle.asked("tagged-red", "tagged-blue", "tagged-other") == asked


def test_without_tag_routing_tags_choose_nothing(busy: Gateway) -> None:
    # It takes the first of those that are equally busy.
    assert times(busy, 2, "tagged", pause=COUNTED, metadata={"tags": ["blue"]}) == [200] * 2
    assert busy.asked("tagged-red", "tagged-blue") == [2, 0]


def test_pre_call_checks_keep_a_prompt_from_a_model_whose_context_window_it_exceeds(
    shuffle: Gateway, busy: Gateway
) -> None:
    reply = shuffle.chat("short", LONG)
    assert (reply.status, shuffle.asked("short")) == (400, [0]) and "ContextWindowExceeded" in reply.text
    # enable_pre_call_checks is off in the other one.
    assert (busy.chat("short", LONG).status, busy.asked("short")) == (200, [1])


def test_enforced_limits_of_tokens_and_requests_answer_429(shuffle: Gateway) -> None:
    within_a_minute(20)
    # An answer of the double is of 11 tokens; the third is the one that passes the limit of 30.
    assert times(shuffle, 5, "limited-tokens", pause=COUNTED) == [200] * 3 + [429] * 2
    assert times(shuffle, 4, "limited-requests", pause=0.2) == [200] * 2 + [429] * 2
    assert shuffle.asked("limited-tokens", "limited-requests") == [3, 2]


def test_without_retries_a_failing_model_is_asked_once(shuffle: Gateway) -> None:
    assert (shuffle.chat("broken").status, shuffle.asked("fail-500")) == (500, [1])


def test_the_retry_policy_counts_for_every_kind_of_error(busy: Gateway) -> None:
    """num_retries is 0 there: every second request is the policy's, DefaultRetries for what has no name in it."""
    replies = together([partial(busy.chat, kind) for kind in ERRORS])
    asked = busy.asked(*(f"{fate}-{kind.lower()}" for kind, fate in ERRORS.items()))
    assert dict(zip(ERRORS, asked, strict=True)) == dict.fromkeys(ERRORS, 2)
    assert [reply.status for reply in replies] == [400, 401, 408, 429, 400, 500, 503, 502, 404, 403]


def test_without_cooldowns_a_failing_deployment_is_asked_on(shuffle: Gateway) -> None:
    times(shuffle, 24, "kept")
    bad, good = shuffle.asked("kept-fail-429", "kept-good")
    # With cooldowns the first 429 is the last for a while. Chance alone gives 2 or less of 24 once in 50,000 runs.
    assert bad > 2 and good > 0, (bad, good)


def test_the_allowed_fails_policy_counts_for_every_kind_of_error(cost: Gateway) -> None:
    """Each kind has a pair of its own, of which the failing one is asked first until it is left alone."""
    for _ in range(max(ALLOWED.values()) + 2):
        together([partial(cost.chat, kind) for kind in ERRORS])
        time.sleep(0.2)
    for kind, fate in ERRORS.items():
        (asked,) = cost.asked(f"{fate}-{kind.lower()}")
        allowed = ALLOWED.get(f"{kind}ErrorAllowedFails")
        # What has no name in the policy is never left alone: a wrong request is no fault of the model.
        assert asked == (max(ALLOWED.values()) + 2 if allowed is None else allowed + 1), (kind, asked)


def test_a_group_without_a_list_of_its_own_falls_back_on_the_default_one(cost: Gateway) -> None:
    before = cost.asked("spare-one")
    reply = cost.chat("broken")
    assert (reply.status, reply.headers["x-litellm-model-group"]) == (200, "spare")
    assert [after - count for after, count in zip(cost.asked("spare-one"), before, strict=True)] == [1]
