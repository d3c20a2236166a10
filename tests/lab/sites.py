"""Settings of the gateways that tests on this machine ask: every value that shows, in as few processes as can be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploys.components.litellm.retries import ALLOWED_FAILS_NAMES, RETRY_NAMES

# What the variables hold that the settings below name; worth nothing.
SECRETS = {
    "MODEL_KEY": "model-key-0123456789abcdef0123456789",
    "HOOK": "BASE/hook",
    "SINK_HEADERS": "api-key=sink-0123456789abcdef",
    "OTEL_HEADERS": "api-key=collector-0123456789abcdef",
}
PRICE = 1e-06
# A fate for every kind of error, by LiteLLM's word for it.
ERRORS = {
    "BadRequest": "fail-400", "Authentication": "fail-401", "Timeout": "slow-2", "RateLimit": "fail-429",
    "ContentPolicyViolation": "fail-content", "InternalServer": "fail-500", "ServiceUnavailable": "fail-503",
    "BadGateway": "fail-502", "NotFound": "fail-404", "PermissionDenied": "fail-403",
}  # fmt: skip


def paid(name: str, model: str = "", price: float = PRICE, **more: Any) -> dict[str, object]:
    """A deployment played by the double: words in the model's name, the group's if none is given, are its fate."""
    base = {"provider": "openai", "api_base": "BASE/v1", "api_key": "env:MODEL_KEY"}
    prices = {"input_cost_per_token": price, "output_cost_per_token": 2 * price}
    return {"name": name, "model": model or name, **base, **prices, **more}


def failing(kind: str) -> dict[str, object]:
    """A deployment that answers with one kind of error every time."""
    return paid(kind, f"{ERRORS[kind]}-{kind.lower()}", **({"timeout": 1} if kind == "Timeout" else {}))


# Asked once before anything is measured: a process's first request takes seconds.
WARM = paid("warm")
# Failures after which a deployment is left alone: different numbers, so that each is seen to be read by its own name.
ALLOWED = {name: number % 3 for number, name in enumerate(ALLOWED_FAILS_NAMES)}

SITES: Mapping[str, Mapping[str, Any]] = {
    "simple-shuffle": {
        "models": [
            WARM,
            paid("weighed", "weighed-light", weight=1),
            paid("weighed", "weighed-heavy", weight=1_000_000),
            paid("ordered", "ordered-second", order=2),
            paid("ordered", "ordered-first", order=1),
            paid("backed", "backed-second", order=2),
            paid("backed", "backed-fail-500", order=1),
            paid("tagged", "tagged-red", tags=["red"]),
            paid("tagged", "tagged-blue", tags=["blue"]),
            paid("tagged", "tagged-other", tags=["default"]),
            paid("kept", "kept-fail-429"),
            paid("kept", "kept-good"),
            paid("short", context_window=50),
            paid("described", context_window=5000, max_output_tokens=321, id="an-id-of-its-own"),
            paid("broken", "fail-500"),
            paid("late", "slow-6"),
            paid("stalling", "stall-6"),
            paid("narrow", "slow-1-narrow", max_parallel_requests=1),
            paid("limited-tokens", tpm=30),
            paid("limited-requests", rpm=2),
            paid("hung", "hang", health_check=True),
            paid("hung-short", "hang-short", health_check=True, health_check_timeout=1),
            paid("asked", health_check=True),
            paid("unasked", health_check=False),
            {"name": "local", "provider": "ollama", "model": "slow-1-local", "api_base": "BASE"},
        ],
        "tag_routing": True,
        "enforce_model_rate_limits": True,
        "num_retries": 0,
        "cooldowns": False,
        "request_timeout": 4,
        "stream_timeout": 2,
        "health_check_timeout": 3,
        "max_parallel_requests": 2,
    },
    "least-busy": {
        "models": [
            WARM,
            paid("pair", "slow-2.5-one"),
            paid("pair", "slow-2.5-two"),
            paid("calm", "calm-one"),
            paid("calm", "calm-two"),
            *(failing(kind) for kind in ERRORS),
            paid("short", context_window=50),
            paid("plain", id="plain-id", tags=["mine"]),
            paid("tagged", "tagged-red", tags=["red"]),
            paid("tagged", "tagged-blue", tags=["blue"]),
        ],
        "routing_strategy": "least-busy",
        "num_retries": 0,
        "retry_policy": dict.fromkeys(RETRY_NAMES, 1),
        # Otherwise the only deployment of a group is left alone after a wrong key, before it can be tried again.
        "cooldowns": False,
        "enable_pre_call_checks": False,
        "include_call_id_in_error_body": False,
        "json_logs": False,
        "log_level": "INFO",
        "otel_endpoint": "BASE",
        "forward_traceparent": True,
        "log_sink": "BASE/sink",
        "log_sink_headers": "env:SINK_HEADERS",
        "log_messages": True,
        "metrics": False,
        "environment": {"DEFAULT_FLUSH_INTERVAL_SECONDS": "1", "OTEL_BSP_SCHEDULE_DELAY": "500"},
    },
    "latency-based-routing": {
        "models": [WARM, paid("pair", "fast"), paid("pair", "slow-1"), paid("untraced"), paid("traced")],
        "routing_strategy": "latency-based-routing",
        "log_level": "ERROR",
        "otel_endpoint": "BASE",
        "otel_protocol": "http/protobuf",
        "otel_headers": "env:OTEL_HEADERS",
        "otel_sample_ratio": 0.0,
        "environment": {"OTEL_BSP_SCHEDULE_DELAY": "500"},
    },
    "cost-based-routing": {
        "models": [
            WARM,
            paid("pair", "dear", 50 * PRICE),
            paid("pair", "cheap"),
            # The cheaper one is the one that fails: it is asked first until it is left alone.
            *(failing(kind) for kind in ERRORS),
            *(paid(kind, f"good-{kind.lower()}", 2 * PRICE) for kind in ERRORS),
            paid("broken", "fail-500-alone"),
            paid("spare", "spare-one"),
            paid("spare", "spare-two", 2 * PRICE),
            *(paid(f"checked-{number}", f"slow-1-checked-{number}", health_check=True) for number in range(4)),
            paid("unchecked"),
        ],
        "routing_strategy": "cost-based-routing",
        "default_fallbacks": ["spare"],
        "num_retries": 0,
        "cooldown_time": 300,
        "allowed_fails_policy": ALLOWED,
        "background_health_checks": True,
        "health_check_interval": 60,
        "health_check_concurrency": 2,
        "health_check_timeout": 5,
    },
    "usage-based-routing-v2": {
        "models": [
            WARM,
            paid("pair", "one"),
            paid("pair", "two"),
            paid("limited-requests", rpm=4),
            paid("broken", "fail-500"),
            paid("tardy", "slow-3"),
        ],
        "routing_strategy": "usage-based-routing-v2",
        "routing_strategy_acknowledged": True,
        "alert_webhook": "env:HOOK",
        "alert_types": ["llm_exceptions"],
        "alerting_threshold": 2,
        "environment": {"DEFAULT_FLUSH_INTERVAL_SECONDS": "1"},
    },
}
