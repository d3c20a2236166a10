"""Rules about keys that look right and do nothing: what people copy from one another and LiteLLM never reads."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deploys.auditing.document import KeyPath
from deploys.auditing.findings import move_key, remove_key, rename_key, set_value
from deploys.auditing.registry import P0, P1, P2, Hit, at, rule
from deploys.auditing.subject import Subject

DEAD_TOP = {
    "server_settings": "--host and --port of the command line",
    "rate_limit_settings": "rpm and tpm of an entry with router_settings.enable_pre_call_checks, or keys with limits",
    "debug": "LITELLM_LOG=INFO in the environment",
    "debug_router": "LITELLM_LOG=INFO in the environment",
    "test_mode": "mock_response in an entry's litellm_params",
}
# What people write for a variable, and LiteLLM sends as it stands.
UNREAD = re.compile(
    r"\$\{(\w+)\}|\$([A-Z_][A-Z0-9_]*)|os\.environ\[[\"']?(\w+)[\"']?\]|os\.environ\.([A-Z_]\w*)|"
    r"env[/.]([A-Z_][A-Z0-9_]*)|\{\{\s*([A-Z_][A-Z0-9_]*)\s*\}\}"
)


@rule(
    "L06",
    P1,
    "A section that LiteLLM does not have",
    effect="Everything in it is ignored without a word.",
    advice="Remove it, and say it where LiteLLM reads it.",
    source="litellm/proxy/proxy_server.py:6524-7390 (the sections it reads)",
)
def dead_sections(s: Subject) -> Iterator[Hit]:
    for key, instead in DEAD_TOP.items():
        if s.config.has(key):
            yield at(s, (key,), f"{key} is ignored; use {instead}", remove_key(s.config, (key,)))


@rule(
    "L07",
    P1,
    "A pool of Redis connections that is not set",
    effect="LiteLLM warns at the start and ignores it; the pool stays at 50.",
    advice="litellm_settings.cache_params.max_connections, or REDIS_CONNECTION_POOL_TIMEOUT for the wait.",
    source="litellm/router.py:1392; litellm/_redis.py:905",
)
def redis_pool(s: Subject) -> Iterator[Hit]:
    for key in ("redis_connection_pool_limit", "redis_connection_pool_timeout"):
        for section in ("router_settings", "litellm_settings", "general_settings"):
            if s.config.has(section, key):
                yield at(s, (section, key), f"{section}.{key} is ignored", remove_key(s.config, (section, key)))


@rule(
    "L08",
    P1,
    "Metrics that are not switched on by this",
    effect="No metrics, or not those that were meant, and no word about it.",
    advice='callbacks: ["prometheus"] for /metrics; service_callback: ["prometheus_system"] for Redis and database.',
    source="litellm/_service_logger.py:79; litellm/proxy/common_utils/callback_utils.py:402",
)
def metrics_keys(s: Subject) -> Iterator[Hit]:
    path: KeyPath = ("general_settings", "enable_metrics")
    if s.config.has(*path):
        yield at(s, path, "general_settings.enable_metrics is ignored", remove_key(s.config, path))
    path = ("litellm_settings", "service_callbacks")
    if s.config.has(*path):
        yield at(s, path, "the key is service_callback, without s", rename_key(s.config, path, "service_callback"))
    for item, name in s.callbacks("service_callback"):
        if name == "prometheus":
            yield at(
                s, item, "service_callback knows prometheus_system", set_value(s.config, item, "prometheus_system")
            )
    for item, name in s.callbacks("success_callback", "failure_callback"):
        if name == "webhook":
            yield at(s, item, 'the callback webhook does nothing; callbacks: ["generic_api"] posts to an address')


@rule(
    "L09",
    P1,
    "A setting that LiteLLM does not read, or a reference that nothing replaces",
    effect="Traces, alerts or keys are missing; of a reference the text itself is sent as the value.",
    advice="callback_settings is a section of its own; OTEL_EXPORTER_OTLP_* and SLACK_WEBHOOK_URL are variables; "
    "references are os.environ/NAME.",
    source="litellm/proxy/proxy_server.py:6524; litellm/integrations/opentelemetry.py:360",
)
def not_read(s: Subject) -> Iterator[Hit]:
    for path, value in s.config.walk():
        if path[-1] == "otel_settings":
            yield at(s, path, "otel_settings is ignored", remove_key(s.config, path))
        elif path[-1] == "callback_settings" and len(path) > 1:
            fix = move_key(s.config, path, ()) if path == ("litellm_settings", "callback_settings") else []
            yield at(s, path, f"callback_settings inside {path[0]} is ignored", fix)
        elif path[-1] in ("slack_webhook_url", "slack_webhook") and isinstance(path[0], str):
            yield at(s, path, f"{path[-1]} is ignored; set SLACK_WEBHOOK_URL", remove_key(s.config, path))
        elif isinstance(value, str) and (found := UNREAD.fullmatch(value)):
            fix = set_value(s.config, path, f"os.environ/{found.group(found.lastindex or 0)}")
            critical = str(path[-1]).endswith(("key", "password"))
            yield at(s, path, f"{value} is not replaced by anything", fix, P0 if critical else None)


@rule(
    "L12",
    P1,
    "The separate health app",
    effect="It belonged to an old image and was removed in 1.85.0: the variables do nothing, and port 4001 is closed.",
    advice="Ask /health/liveliness and /health/readiness on the gateway's own port.",
    source="wheel listings: litellm/proxy/health_app.py is in 1.84.10 and not in 1.85.0; issue #18415",
)
def separate_health_app(s: Subject) -> Iterator[Hit]:
    for name in ("SEPARATE_HEALTH_APP", "SEPARATE_HEALTH_PORT", "SUPERVISORD_STOPWAITSECS"):
        if name in s.variables:
            yield Hit(s.variables[name].place, f"{name} does nothing")
    for place, line in s.texts():
        if re.search(r":4001/health", line):
            yield Hit(place, "a probe asks port 4001")


@rule(
    "C03",
    P1,
    "A cache mode that LiteLLM does not know",
    effect="Any other word behaves as default_off: nothing is cached unless a request asks for it.",
    advice="default_on or default_off.",
    source="litellm/caching/caching.py:68, 964",
)
def cache_mode(s: Subject) -> Iterator[Hit]:
    path: KeyPath = ("litellm_settings", "cache_params", "mode")
    value = s.config.get(*path)
    if value is not None and value not in ("default_on", "default_off"):
        wanted = "default_on" if str(value).lower().replace("_", "").endswith("on") else "default_off"
        yield at(s, path, f"mode: {value!r} is not a mode", set_value(s.config, path, wanted))


@rule(
    "O01",
    P2,
    "json_logs that is not true",
    effect='Only the value true counts; the text "true" is ignored.',
    advice="json_logs: true",
    source="litellm/proxy/proxy_server.py:6846",
)
def json_logs(s: Subject) -> Iterator[Hit]:
    path: KeyPath = ("litellm_settings", "json_logs")
    if isinstance(s.config.get(*path), str):
        yield at(s, path, "json_logs is a text", set_value(s.config, path, "true"))
