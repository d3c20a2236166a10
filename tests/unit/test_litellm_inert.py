"""Settings that a running LiteLLM 1.106.2 was seen not to act on as they are: refused, or rendered where it does."""

from __future__ import annotations

from typing import Any

import pytest

from deploys.components.litellm import config as litellm_config
from deploys.components.litellm.retries import ALLOWED_FAILS_NAMES, DEAD_ALLOWED_FAILS
from tests.unit import site
from tests.unit.test_litellm_review import wrong

BY_PRICE, BY_USAGE = "cost-based-routing", "usage-based-routing-v2"
PRICES = {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06}
PAID = {"name": "paid", "provider": "openai", "model": "gpt-4o", "api_key": "env:REDIS_PASSWORD"}
VLLM = {"name": "paid", "provider": "vllm", "model": "Qwen/Q", "api_base": "http://192.0.2.30:8000/v1"}
VECTORS = {**PAID, "model": "text-embedding-3-small", "mode": "embedding", "input_cost_per_token": 1e-08}


def made(**data: Any) -> dict[str, Any]:
    return litellm_config.config(site.single(**{f"litellm_{key}": value for key, value in data.items()}))


def test_prices_are_where_the_router_reads_them_when_it_goes_by_them() -> None:
    """It reads those of litellm_params and of its own table: with ours in model_info it took the first entry."""
    entries = [{**PAID, **PRICES}]
    first = made(models=entries, routing_strategy=BY_PRICE)["model_list"][-2]
    assert PRICES.items() <= first["litellm_params"].items() and PRICES.items() <= first["model_info"].items()
    first = made(models=entries)["model_list"][-2]
    assert not PRICES.keys() & first["litellm_params"].keys()


@pytest.mark.parametrize(
    ("entries", "fine"),
    [
        ([{**PAID, **PRICES}, {**PAID, **PRICES}], True),
        ([PAID], True),
        ([VECTORS, {**VECTORS, "input_cost_per_token": 2e-08}], True),
        ([{**PAID, **PRICES}, PAID], False),
        ([{**PAID, **PRICES}, VLLM], False),
        ([{**PAID, **PRICES}, {**PAID, "input_cost_per_token": 1e-06, "output_cost_per_token": 0.0}], False),
    ],
)
def test_what_has_no_price_is_not_compared_by_price(entries: list[dict[str, Any]], fine: bool) -> None:
    sentence = (
        "litellm_models: of the entries named 'paid' some have no price, or one of 0, which cost-based-routing takes "
        "for 10 dollars a token, so they would be asked last; give each its price, or use simple-shuffle and an order"
    )
    assert wrong(models=entries, routing_strategy=BY_PRICE) == ([] if fine else [sentence])
    assert wrong(models=entries) == []


def test_usage_based_routing_is_not_told_to_count_twice() -> None:
    usage = {"routing_strategy": BY_USAGE, "routing_strategy_acknowledged": True}
    entry = {**PAID, "rpm": 4, "tpm": 1000}
    assert wrong(models=[entry], **usage) == []
    assert wrong(models=[entry], enforce_model_rate_limits=True, **usage) == [
        "litellm_enforce_model_rate_limits: usage-based-routing-v2 keeps to the entries' limits by itself, and with "
        "both LiteLLM counts every request twice; leave it out"
    ]


def test_usage_based_routing_does_not_wait_a_minute_to_say_429() -> None:
    usage = {"routing_strategy": BY_USAGE, "routing_strategy_acknowledged": True}
    assert made(**usage)["router_settings"]["retry_policy"]["RateLimitErrorRetries"] == 0
    assert made()["router_settings"]["retry_policy"]["RateLimitErrorRetries"] == 1
    assert wrong(retry_policy={"RateLimitErrorRetries": 1}, **usage) == [
        "litellm_retry_policy: RateLimitErrorRetries 1: with litellm_routing_strategy usage-based-routing-v2 a request "
        "above a limit would wait 60 s for each try; leave it out"
    ]


@pytest.mark.parametrize("name", DEAD_ALLOWED_FAILS)
def test_no_deployment_is_left_alone_for_wrong_requests(name: str) -> None:
    (sentence,) = wrong(allowed_fails_policy={**dict.fromkeys(ALLOWED_FAILS_NAMES, 3), name: 3})
    assert sentence.startswith(
        f"litellm_allowed_fails_policy: {name} does nothing: LiteLLM leaves no deployment alone for a 400; leave it out"
    )


def test_a_traceparent_is_sent_on_only_where_there_are_traces() -> None:
    assert wrong(forward_traceparent=True) == [
        "litellm_forward_traceparent: has no effect as it is; it needs litellm_otel_endpoint, to which traces go. "
        "Leave it out, or set that"
    ]
    assert wrong(forward_traceparent=True, otel_endpoint="http://collector.example.org:4318") == []
    assert wrong(forward_traceparent=False) == []
