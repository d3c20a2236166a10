"""How often LiteLLM tries again, for which errors, and when it leaves a failing deployment alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from deploys.components.litellm.fallbacks import FallbackSettings, compiled
from deploys.components.litellm.routing import LIMITS, Group

# RetryPolicy and AllowedFailsPolicy of litellm/types/router.py in 1.106.2, which ignore any other name in silence.
RETRY_NAMES = (
    "BadRequestErrorRetries",
    "AuthenticationErrorRetries",
    "TimeoutErrorRetries",
    "RateLimitErrorRetries",
    "ContentPolicyViolationErrorRetries",
    "InternalServerErrorRetries",
    "ServiceUnavailableErrorRetries",
    "NotFoundErrorRetries",
    "DefaultRetries",
)
ALLOWED_FAILS_NAMES = (
    "AuthenticationErrorAllowedFails",
    "TimeoutErrorAllowedFails",
    "RateLimitErrorAllowedFails",
    "InternalServerErrorAllowedFails",
    "ServiceUnavailableErrorAllowedFails",
    "BadGatewayErrorAllowedFails",
    "NotFoundErrorAllowedFails",
)
# AllowedFailsPolicy has these too, and Router of 1.106.2 leaves nothing alone for a 400 before it looks there.
DEAD_ALLOWED_FAILS = ("BadRequestErrorAllowedFails", "ContentPolicyViolationErrorAllowedFails")
# Most tries again before a fallback. Measured on 1.106.2: 2 take 5 s, 3 take 10 s, 5 take 25 s of every request.
MOST_BEFORE_FALLBACK = 2
MOST_RATE_LIMIT_BEFORE_FALLBACK = 1


def _named(value: Mapping[str, int], names: tuple[str, ...], most: int) -> None:
    for name, number in value.items():
        if name not in names:
            raise ValueError(f"{name!r} is not one of LiteLLM's names, which it would ignore: {', '.join(names)}")
        if not 0 <= number <= most:
            raise ValueError(f"{name} is {number}; allowed are 0 to {most}")


class RetrySettings(FallbackSettings):
    """Tries again, and cooldown of deployments that fail."""

    num_retries: int = Field(1, ge=0, le=5, description="Tries again on the same model group before fallbacks.")
    retry_policy: dict[str, int] = Field(
        default_factory=dict,
        description="Tries again by kind of error, instead of `litellm_num_retries`: "
        + ", ".join(f"`{name}`" for name in RETRY_NAMES)
        + ". Default: none for wrong requests, wrong keys, refused contents and timeouts.",
    )
    cooldown_time: int = Field(30, ge=1, le=3600, description="Seconds a failing deployment is left alone.")
    cooldowns: bool = Field(
        True,
        description="Leave failing deployments alone for a while; the only one of its group only for good reasons.",
    )
    allowed_fails_policy: dict[str, int] = Field(
        default_factory=dict,
        description="Failures within `litellm_cooldown_time`, by kind of error, after which a deployment is left "
        "alone; all of these or none: "
        + ", ".join(f"`{name}`" for name in ALLOWED_FAILS_NAMES)
        + ". Default: LiteLLM's own judgement, which spares the only deployment of a group.",
    )

    @field_validator("retry_policy")
    @classmethod
    def _retry_names(cls, value: dict[str, int]) -> dict[str, int]:
        _named(value, RETRY_NAMES, 5)
        return value

    @field_validator("allowed_fails_policy")
    @classmethod
    def _allowed_fails_names(cls, value: dict[str, int]) -> dict[str, int]:
        if dead := [name for name in DEAD_ALLOWED_FAILS if name in value]:
            raise ValueError(f"{dead[0]} does nothing: LiteLLM leaves no deployment alone for a 400; leave it out")
        _named(value, ALLOWED_FAILS_NAMES, 100_000)
        if value and (missing := [name for name in ALLOWED_FAILS_NAMES if name not in value]):
            raise ValueError(
                f"lacks {', '.join(missing)}: one entry makes LiteLLM count every error, and those without an entry "
                "may happen 3 times only; name all of them, or none"
            )
        return value


def own_limits(s: RetrySettings) -> str:
    """The setting that makes LiteLLM itself answer 429 to what is above an entry's limit; empty where none does."""
    if s.enforce_model_rate_limits:
        return "litellm_enforce_model_rate_limits"
    return f"litellm_routing_strategy {s.routing_strategy}" if s.routing_strategy == LIMITS else ""


def retry_policy(s: RetrySettings) -> dict[str, int]:
    """Tries again by kind of error: nothing that would fail in the same way again, unless the settings say so.

    A 429 of LiteLLM's own limits names 60 s after which to try again, and LiteLLM waits for them: measured, a request
    above the limit was answered after 60 s, neither refused nor sent to its fallback.
    """
    return {
        "BadRequestErrorRetries": 0,
        "AuthenticationErrorRetries": 0,
        "ContentPolicyViolationErrorRetries": 0,
        "RateLimitErrorRetries": 0 if own_limits(s) else s.num_retries,
        "TimeoutErrorRetries": 0,
        "InternalServerErrorRetries": s.num_retries,
        "ServiceUnavailableErrorRetries": s.num_retries,
        **s.retry_policy,
    }


def retries(s: RetrySettings) -> dict[str, Any]:
    """The part of ``router_settings`` about tries again and cooldown."""
    made: dict[str, Any] = {
        "num_retries": s.num_retries,
        "cooldown_time": s.cooldown_time,
        "retry_policy": retry_policy(s),
    }
    if not s.cooldowns:
        made["disable_cooldowns"] = True
    if s.allowed_fails_policy:
        made["allowed_fails_policy"] = s.allowed_fails_policy
    return made


def _slow(s: RetrySettings) -> list[tuple[str, int, int]]:
    """Tries again that keep a request too long from its fallback: the setting, its number, and the most it may be."""
    found = []
    if s.num_retries > MOST_BEFORE_FALLBACK:
        found.append(("litellm_num_retries", s.num_retries, MOST_BEFORE_FALLBACK))
    elif "RateLimitErrorRetries" not in s.retry_policy and (
        retry_policy(s)["RateLimitErrorRetries"] > MOST_RATE_LIMIT_BEFORE_FALLBACK
    ):
        found.append(("litellm_retry_policy: RateLimitErrorRetries", s.num_retries, MOST_RATE_LIMIT_BEFORE_FALLBACK))
    for name, number in s.retry_policy.items():
        most = MOST_RATE_LIMIT_BEFORE_FALLBACK if name == "RateLimitErrorRetries" else MOST_BEFORE_FALLBACK
        if number > most:
            found.append((f"litellm_retry_policy: {name}", number, most))
    return found


def retry_problems(s: RetrySettings, groups: Mapping[str, Group]) -> list[str]:
    """What is wrong with tries again and cooldown, given the model groups and their fallbacks."""
    chains = compiled(s, groups).get("fallbacks", {})
    found = [
        f"{key} {number}: a request for {', '.join(map(repr, chains))} would wait through {number} tries with growing "
        f"pauses before its fallback answers; set {most} at most"
        for key, number, most in (_slow(s) if chains else [])
    ]
    if (what := own_limits(s)) and retry_policy(s)["RateLimitErrorRetries"]:
        found.append(
            f"litellm_retry_policy: RateLimitErrorRetries {s.retry_policy['RateLimitErrorRetries']}: with "
            f"{what} a request above a limit would wait 60 s for each try; leave it out"
        )
    lonely = [name for name, group in groups.items() if group.deployments == 1 and name not in chains]
    if s.allowed_fails_policy and not s.cooldowns:
        found.append("litellm_allowed_fails_policy: does nothing without litellm_cooldowns")
    elif s.allowed_fails_policy and lonely:
        found.append(
            "litellm_allowed_fails_policy: it makes LiteLLM leave the only deployment of "
            f"{', '.join(map(repr, lonely))} alone too, and without a fallback every request is then answered 429 for "
            f"{s.cooldown_time} s; give each a fallback or a second deployment, or leave the policy out"
        )
    return found
