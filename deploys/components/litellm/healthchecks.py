"""Background health checks of models: when, how many at once, and never of a model whose entry does not ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from pydantic import Field

from deploys.components.litellm.routing import Group
from deploys.components.litellm.timeouts import TimeoutSettings
from deploys.lib.patterns import AGE


class HealthCheckSettings(TimeoutSettings):
    """Whether and how often LiteLLM asks models by itself."""

    background_health_checks: bool = Field(
        False,
        description="Ask models regularly whether they answer. A check is a real call: it costs money, or loads a "
        "model into memory; so only models are asked whose entry says so.",
    )
    health_check_interval: int = Field(
        300, ge=30, le=86_400, description="Seconds between two rounds of background health checks."
    )
    health_check_concurrency: int = Field(2, ge=1, le=100, description="Background health checks at the same time.")
    health_check_retention: str = Field(
        "7d",
        pattern=AGE,
        description="Age at which results of background health checks are deleted; they pile up otherwise.",
    )


def health_checks(s: HealthCheckSettings) -> dict[str, Any]:
    """The part of ``general_settings`` about health checks."""
    made: dict[str, Any] = {
        # Otherwise /health shows addresses and parameters of every model.
        "health_check_details": False,
        # Otherwise GET /health calls what the background checks must not.
        "health_check_skip_disabled_background_models": True,
    }
    if s.background_health_checks:
        made |= {
            "background_health_checks": True,
            # Every worker has a loop of its own: without it each model is asked once per worker and gateway.
            "use_shared_health_check": True,
            "health_check_interval": s.health_check_interval,
            "health_check_concurrency": s.health_check_concurrency,
            "maximum_health_check_retention_period": s.health_check_retention,
        }
    return made


def health_check_environment(s: HealthCheckSettings) -> dict[str, str]:
    """Variables that have no setting in config.yaml.

    Workers share one result for 300 s whatever the interval is, and wait 60 s for the one that asks, then all ask by
    themselves. So both follow the interval, the first a little below it: a round must not meet the last one's result.
    """
    made = {"HEALTH_CHECK_TIMEOUT_SECONDS": str(s.health_check_timeout)}
    if s.background_health_checks:
        made |= {
            "DEFAULT_SHARED_HEALTH_CHECK_TTL": str(s.health_check_interval * 9 // 10),
            "DEFAULT_SHARED_HEALTH_CHECK_LOCK_TTL": str(s.health_check_interval),
        }
    return made


def health_check_problems(s: HealthCheckSettings, groups: Mapping[str, Group]) -> list[str]:
    """What is wrong with background health checks, given the models that ask for them."""
    asked = sum(group.health_checked for group in groups.values())
    if not s.background_health_checks:
        return []
    if not asked:
        return ["litellm_background_health_checks: no model's entry asks for them, so there is nothing to check"]
    rounds = ceil(asked / s.health_check_concurrency)
    longest = rounds * s.health_check_timeout
    if longest < s.health_check_interval:
        return []
    return [
        f"litellm_health_check_interval: {s.health_check_interval} s is not above what one round may take: "
        f"{asked} models, {s.health_check_concurrency} at a time, {s.health_check_timeout} s each = {longest} s; make "
        "it longer, or litellm_health_check_concurrency larger"
    ]
