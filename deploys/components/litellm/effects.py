"""Settings that somebody gave although another one leaves them without effect, in one table."""

from __future__ import annotations

from collections.abc import Callable

from deploys.components.litellm.observability import destinations
from deploys.components.litellm.settings import LitellmSettings

_ALERTS = "litellm_slack_webhook or litellm_alert_webhook, to which alerts go"
_CACHE = "a litellm_cache_mode other than off"
# The setting, whether what it needs is there, and what that is.
NEEDS: tuple[tuple[str, Callable[[LitellmSettings], bool], str], ...] = (
    ("alert_types", lambda s: bool(destinations(s)), _ALERTS),
    ("alerting_threshold", lambda s: bool(destinations(s)), _ALERTS),
    ("otel_sample_ratio", lambda s: bool(s.otel_endpoint), "litellm_otel_endpoint, to which traces go"),
    # LiteLLM forwards it where it makes traces itself only (https://github.com/BerriAI/litellm/issues/4448).
    (
        "forward_traceparent",
        lambda s: bool(s.otel_endpoint) or not s.forward_traceparent,
        "litellm_otel_endpoint, to which traces go",
    ),
    ("max_requests", lambda s: s.recycle == "max_requests", "litellm_recycle = 'max_requests'"),
    ("recycle_calendar", lambda s: s.recycle == "timer", "litellm_recycle = 'timer'"),
    ("cache_ttl", lambda s: s.cache_mode != "off", _CACHE),
    ("cache_call_types", lambda s: s.cache_mode != "off", _CACHE),
    ("cache_max_messages", lambda s: s.cache_mode != "off", _CACHE),
    # Without a cache LiteLLM has no namespace for what is left in Redis.
    ("cache_namespace", lambda s: s.cache_mode != "off", _CACHE),
    # Not the retention: rows from the time before are deleted all the same.
    ("error_logs", lambda s: s.spend_logs or not s.error_logs, "litellm_spend_logs = True, whose rows they are"),
    ("tag_routing", lambda s: not s.tag_routing or any(entry.tags for entry in s.models), "an entry with tags"),
)


def problems(s: LitellmSettings) -> list[str]:
    """One sentence for every setting that was given and does nothing; defaults do no harm."""
    return [
        f"litellm_{name}: has no effect as it is; it needs {what}. Leave it out, or set that"
        for name, there, what in NEEDS
        if name in s.model_fields_set and not there(s)
    ]
