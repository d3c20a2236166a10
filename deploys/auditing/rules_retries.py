"""Rules about how often and where the router tries: retries, cooldown, strategies."""

from __future__ import annotations

from collections.abc import Iterator

from deploys.auditing.document import KeyPath
from deploys.auditing.findings import remove_key, set_value
from deploys.auditing.known import names
from deploys.auditing.registry import P0, P1, P2, Hit, at, rule
from deploys.auditing.rules_fallbacks import SECTIONS, with_fallbacks
from deploys.auditing.subject import Subject

_ALLOWED_FAILS_WORDS = """
    BadRequestError AuthenticationError TimeoutError RateLimitError ContentPolicyViolationError
    InternalServerError
"""
ALLOWED_FAILS = tuple(_ALLOWED_FAILS_WORDS.split())
ALLOWED_FAILS_SINCE_1_103 = ("ServiceUnavailableError", "BadGatewayError", "NotFoundError")


def retries(s: Subject) -> Iterator[tuple[KeyPath, str, int]]:
    """Every number of retries as (path, error or empty, number)."""
    for section in SECTIONS:
        value = s.config.get(section, "num_retries")
        if isinstance(value, int) and not isinstance(value, bool):
            yield (section, "num_retries"), "", value
    for error, value in s.config.section("router_settings", "retry_policy").items():
        if isinstance(value, int):
            yield ("router_settings", "retry_policy", error), error.removesuffix("Retries"), value
    for group, policy in s.config.section("router_settings", "model_group_retry_policy").items():
        for error, value in policy.items() if isinstance(policy, dict) else ():
            if isinstance(value, int):
                yield (
                    ("router_settings", "model_group_retry_policy", group, error),
                    error.removesuffix("Retries"),
                    value,
                )


@rule(
    "L14",
    P1,
    "Many retries before a fallback",
    effect="Retries with growing pauses come first: five on a rate limit are 25 seconds before the fallback is tried.",
    advice="RateLimitErrorRetries 0 or 1 and num_retries 1 or 2 where there is a fallback.",
    source="litellm/router.py:1227; litellm/types/router.py:132",
)
def slow_fallback(s: Subject) -> Iterator[Hit]:
    if not with_fallbacks(s):
        return
    for path, error, number in retries(s):
        if number > 5:
            continue
        if (error == "RateLimitError" and number > 1) or (not error and number > 2):
            value = "1" if error else "2"
            yield at(s, path, f"{path[-1]} is {number}, and there are fallbacks", set_value(s.config, path, value))


@rule(
    "R01",
    P1,
    "Retries almost without end",
    effect="A backend that is down is asked again and again by everyone, and each request hangs for minutes.",
    advice="1 or 2 retries; 0 for errors that a repetition cannot mend.",
    source="litellm/router.py:1227",
)
def unbounded_retries(s: Subject) -> Iterator[Hit]:
    for path, _, number in retries(s):
        if number > 5:
            yield at(s, path, f"{path[-1]} is {number}", set_value(s.config, path, "2"))
    for d in s.deployments:
        for key in ("max_retries", "num_retries"):
            value = d.params.get(key)
            if isinstance(value, int) and value > 5:
                path = d.path("litellm_params", key)
                yield at(s, path, f"{d.name}: {key} is {value}", set_value(s.config, path, "2"))
    for error in ("BadRequestError", "AuthenticationError", "ContentPolicyViolationError"):
        path = ("router_settings", "retry_policy", f"{error}Retries")
        value = s.config.get(*path)
        if isinstance(value, int) and 0 < value <= 5:
            yield at(s, path, f"a {error} fails again each time", set_value(s.config, path, "0"), P2)


@rule(
    "L15",
    P1,
    "A policy of allowed failures that is not complete",
    effect="One entry switches on counting for all errors: those not listed cool a group's only deployment after 3.",
    advice="List all names, or leave the policy out.",
    source="litellm/router_utils/cooldown_handlers.py:644; litellm/types/router.py:837",
)
def incomplete_policy(s: Subject) -> Iterator[Hit]:
    path: KeyPath = ("router_settings", "allowed_fails_policy")
    if s.config.has(*path):
        names = [*ALLOWED_FAILS, *(ALLOWED_FAILS_SINCE_1_103 if s.number >= (1, 103, 0) else ())]
        missing = [name for name in names if f"{name}AllowedFails" not in s.config.section(*path)]
        if missing:
            yield at(s, path, f"allowed_fails_policy says nothing of {', '.join(missing)}")
    if s.config.get("router_settings", "allowed_fails") == 3:
        path = ("router_settings", "allowed_fails")
        yield at(s, path, "allowed_fails: 3 is the default, and as good as not set", remove_key(s.config, path), P2)


@rule(
    "R05",
    P1,
    "A routing strategy that is unknown or costs more than it gives",
    effect="An unknown one ends the start; usage-based-routing asks Redis for every deployment on every request.",
    advice="simple-shuffle, with weight or order where some deployments should be preferred.",
    source="litellm/router.py:972; https://docs.litellm.ai/docs/routing",
)
def strategy(s: Subject) -> Iterator[Hit]:
    path: KeyPath = ("router_settings", "routing_strategy")
    value = s.config.get(*path)
    fix = set_value(s.config, path, "simple-shuffle")
    known = names(s.version, "routing_strategies")
    if value is not None and known and (not isinstance(value, str) or value not in known):
        yield at(s, path, f"routing_strategy: {value!r} is none of {', '.join(sorted(known))}", fix, P0)
    elif value == "provider-budget-routing" and not s.config.get("router_settings", "provider_budget_config"):
        detail = "provider-budget-routing without provider_budget_config: every call gets No deployments available"
        yield at(s, path, detail, fix, P0)
    elif value == "usage-based-routing":
        yield at(s, path, "usage-based-routing is the first version, which upstream replaced", fix)
