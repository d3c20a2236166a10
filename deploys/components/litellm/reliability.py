"""Everything that makes a request succeed although something fails, as parts of LiteLLM's config.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploys.components.litellm.fallbacks import fallback_problems, fallback_settings
from deploys.components.litellm.healthchecks import (
    HealthCheckSettings,
    health_check_environment,
    health_check_problems,
    health_checks,
)
from deploys.components.litellm.retries import retries, retry_problems
from deploys.components.litellm.routing import Group, routing, routing_problems
from deploys.components.litellm.timeouts import read_timeout, stop_seconds, timeout_problems

__all__ = [
    "Group",
    "ReliabilitySettings",
    "environment_part",
    "general_settings_part",
    "litellm_settings_part",
    "problems",
    "read_timeout",
    "router_settings",
    "stop_seconds",
]


class ReliabilitySettings(HealthCheckSettings):
    """Routing, fallbacks, tries again, timeouts and health checks."""


def router_settings(s: ReliabilitySettings, groups: Mapping[str, Group]) -> dict[str, Any]:
    """The whole ``router_settings``. Router of 1.106.2 has an argument for each key; it ignores others in silence."""
    return {
        **routing(s),
        **retries(s),
        # Both names for the same: since about 1.95 litellm_settings.request_timeout beats this one, before it did not.
        "timeout": s.request_timeout,
        "stream_timeout": s.stream_timeout,
        **fallback_settings(s, groups),
    }


def litellm_settings_part(s: ReliabilitySettings) -> dict[str, Any]:
    """The part of ``litellm_settings``."""
    return {"request_timeout": s.request_timeout}


def general_settings_part(s: ReliabilitySettings) -> dict[str, Any]:
    """The part of ``general_settings``."""
    return health_checks(s)


def environment_part(s: ReliabilitySettings) -> dict[str, str]:
    """Variables for the environment file; none is a secret."""
    return health_check_environment(s)


def problems(s: ReliabilitySettings, groups: Mapping[str, Group]) -> list[str]:
    """What is wrong with these settings, given the model groups there are; one sentence each, under its key."""
    named = [*routing_problems(s, groups), *fallback_problems(s, groups)]
    if named:
        return list(dict.fromkeys(named))  # what follows from a wrong name is not a mistake of its own
    found = [*retry_problems(s, groups), *timeout_problems(s, groups), *health_check_problems(s, groups)]
    return list(dict.fromkeys(found))
