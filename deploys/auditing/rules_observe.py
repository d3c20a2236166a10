"""Rules about what a gateway tells: logs, callbacks, metrics, alerts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deploys.auditing.document import KeyPath
from deploys.auditing.findings import add_key, remove_key, set_value
from deploys.auditing.inputs import Launch
from deploys.auditing.known import names, near
from deploys.auditing.registry import P0, P1, P2, Hit, at, rule
from deploys.auditing.subject import Subject

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# Series that dashboards and alerts ask for and no version has; and what to ask instead.
NO_SERIES = {
    "litellm_requests_total": "litellm_proxy_total_requests_metric_total",
    "litellm_request_duration_seconds": "litellm_request_total_latency_metric_bucket",
    "litellm_cache_hits_total": "litellm_cache_hits_metric_total",
    "litellm_rate_limit_exceeded": "litellm_proxy_failed_requests_metric_total",
    "litellm_errors_total": "litellm_proxy_failed_requests_metric_total",
    "process_resident_memory_bytes": "the unit's memory, from systemd or cAdvisor",
}


@rule(
    "L01",
    P0,
    "A callback that installs itself while requests wait",
    effect="Each worker runs pip install at its first request; that request fails, and code nobody pinned runs.",
    advice='Alerts: general_settings.alerting: ["slack"] with SLACK_WEBHOOK_URL.',
    source="litellm/litellm_core_utils/litellm_logging.py:4536, 4549; issues #2968, #2969",
)
def installs_itself(s: Subject) -> Iterator[Hit]:
    for path, name in s.callbacks("callbacks", "success_callback", "failure_callback"):
        if name in ("slack", "sentry"):
            key = path[:2]
            alone = s.config.get(*key) in ([name], name)
            yield at(s, path, f"{path[1]} contains {name}", remove_key(s.config, key) if alone else [])


@rule(
    "L16",
    P1,
    "Debug logging",
    effect="Four to five times the processor time per request, and prompts in the log.",
    advice="LITELLM_LOG=WARNING and no set_verbose, DEBUG or --detailed_debug.",
    source="litellm/_logging.py:647; litellm/proxy/proxy_cli.py:772",
)
def debug_logging(s: Subject) -> Iterator[Hit]:
    for section in ("litellm_settings", "router_settings"):
        path: KeyPath = (section, "set_verbose")
        if s.config.get(*path) is True:
            yield at(s, path, f"{section}.set_verbose is on", remove_key(s.config, path))
    level = s.variables.get("LITELLM_LOG")
    if level and level.value.upper() == "DEBUG":
        yield Hit(level.place, "LITELLM_LOG is DEBUG")
    for name in ("DEBUG", "DETAILED_DEBUG"):
        found = s.variables.get(name)
        if found and found.value.lower() not in ("", "0", "false"):
            yield Hit(found.place, f"{name} is set, and the command line takes it for its own flag")
    for launch in s.launches:
        for flag in ("--debug", "--detailed_debug"):
            if launch.flag(flag):
                yield Hit(launch.place, f"{flag} is on the command line")


@rule(
    "L17",
    P0,
    "A log level that does not exist",
    effect="LiteLLM ends with an AttributeError as soon as it is imported.",
    advice="One of DEBUG, INFO, WARNING, ERROR, CRITICAL; WARNING is right.",
    source="litellm/_logging.py:647",
)
def log_level(s: Subject) -> Iterator[Hit]:
    level = s.variables.get("LITELLM_LOG")
    if level and level.value and level.value.upper() not in LEVELS:
        yield Hit(level.place, f"LITELLM_LOG is {level.value!r}")


def _prometheus(s: Subject) -> bool:
    return any(name == "prometheus" for _, name in s.callbacks("callbacks", "success_callback", "failure_callback"))


@rule(
    "L29",
    P1,
    "No directory for the metrics of several workers",
    effect="Workers share a directory in /tmp with every other proxy of the host; with one worker a missing one ends "
    "the start.",
    advice="PROMETHEUS_MULTIPROC_DIR=/run/litellm/prometheus, one per instance.",
    source="litellm/proxy/proxy_cli.py:705; litellm/integrations/prometheus.py:4823; issue #42566",
)
def metrics_directory(s: Subject) -> Iterator[Hit]:
    if not _prometheus(s):
        return
    for launch in s.launches:
        given = s.variable("PROMETHEUS_MULTIPROC_DIR") or launch.option("--prometheus_multiproc_dir")
        if launch.workers > 1 and not given and (s.knows_environment or not launch.env_files):
            yield Hit(launch.place, f"{launch.workers} workers, and PROMETHEUS_MULTIPROC_DIR is not set")


@rule(
    "L31",
    P1,
    "Slack alerts that fail, or tell prompts",
    effect="Without a webhook every alert ends in an error; without redaction its text contains the prompt.",
    advice="Set SLACK_WEBHOOK_URL, and litellm_settings.redact_messages_in_exceptions: true.",
    source="litellm/integrations/SlackAlerting/slack_alerting.py:1553",
)
def slack_alerts(s: Subject) -> Iterator[Hit]:
    path: KeyPath = ("general_settings", "alerting")
    alerting = s.config.get(*path)
    if not isinstance(alerting, list) or "slack" not in alerting:
        return
    urls = s.config.get("general_settings", "alert_to_webhook_url")
    if s.knows_environment and not urls and not s.variable("SLACK_WEBHOOK_URL", "ALERTING_WEBHOOK_URL"):
        yield at(s, path, "there is no SLACK_WEBHOOK_URL")
    if s.config.get("litellm_settings", "redact_messages_in_exceptions") is not True:
        fix = add_key(s.config, ("litellm_settings",), ["redact_messages_in_exceptions: true"])
        yield at(s, path, "redact_messages_in_exceptions is not on", fix)


@rule(
    "L34",
    P1,
    "A query for a metric that does not exist",
    effect="The panel is empty and the alert never fires.",
    advice="Latencies are histograms: histogram_quantile over ..._bucket; process_* is missing with several workers.",
    source="litellm/types/integrations/prometheus.py (names); /metrics of a running 1.106.2",
)
def missing_series(s: Subject) -> Iterator[Hit]:
    for place, line in s.texts():
        for name, instead in NO_SERIES.items():
            if re.search(rf"(?<![\w]){name}(?:_count|_sum|_bucket)?(?!\w)", line):
                yield Hit(place, f"there is no {name}; ask {instead}")


def _open_metrics(launch: Launch) -> str:
    port = launch.setting("--prometheus_metrics_port", "PROMETHEUS_METRICS_PORT")
    if port and launch.public and (launch.kind != "compose" or any(str(port) in p for p in launch.published)):
        return port
    return ""


@rule(
    "S04",
    P1,
    "Metrics that anyone can read",
    effect="Names of teams, keys, models and their spend are open to whoever reaches the port.",
    advice="Leave require_auth_for_metrics_endpoint on, and the metrics port on an address of the host alone.",
    source="litellm/__init__.py:191; litellm/proxy/prometheus_metrics_server.py (no authentication)",
)
def open_metrics(s: Subject) -> Iterator[Hit]:
    path: KeyPath = ("litellm_settings", "require_auth_for_metrics_endpoint")
    if s.config.get(*path) is False:
        yield at(s, path, "/metrics needs no key", remove_key(s.config, path))
    elif _prometheus(s) and s.number < (1, 84, 0):
        yield at(s, ("litellm_settings", "callbacks"), f"/metrics needs no key in {s.version}; it does since 1.84.0")
    for launch in s.launches:
        if port := _open_metrics(launch):
            yield Hit(launch.place, f"port {port} has metrics without a key, on {launch.host}")
    if s.live and s.live.statuses.get("metrics") == 200:
        yield Hit(s.live.place, "/metrics answers 200 without a key")


@rule(
    "O02",
    P2,
    "Prompts may go into callbacks and errors",
    effect="What users wrote ends in logs and in the systems that callbacks feed.",
    advice="litellm_settings: turn_off_message_logging: true and redact_messages_in_exceptions: true.",
    source="litellm/__init__.py:216",
)
def prompts_in_callbacks(s: Subject) -> Iterator[Hit]:
    path: KeyPath = ("litellm_settings", "turn_off_message_logging")
    names = [name for _, name in s.callbacks("callbacks", "success_callback", "failure_callback")]
    outside = [name for name in names if name not in ("prometheus", "prometheus_system")]
    known = {
        "langfuse",
        "langfuse_otel",
        "datadog",
        "otel",
        "s3",
        "s3_v2",
        "gcs_bucket",
        "generic_api",
        "arize",
        "opik",
    }
    if known & set(outside) and s.config.get(*path) is not True:
        section = next(item[:2] for item, name in s.callbacks() if name in known)
        fix = add_key(s.config, ("litellm_settings",), ["turn_off_message_logging: true"])
        yield at(s, section, f"{', '.join(sorted(known & set(outside)))} get the whole conversation", fix)


@rule(
    "O03",
    P1,
    "A list of callbacks that is not a list",
    effect='callbacks: LiteLLM does not start ("Empty module name"); the others are read letter by letter.',
    advice="Write it as a list.",
    source="litellm/proxy/common_utils/callback_utils.py:402",
)
def not_a_list(s: Subject) -> Iterator[Hit]:
    for key in ("callbacks", "success_callback", "failure_callback", "service_callback"):
        path: KeyPath = ("litellm_settings", key)
        value = s.config.get(*path)
        if isinstance(value, str):
            fix = set_value(s.config, path, f'["{value}"]')
            yield at(s, path, f"{key} is a text", fix, P0 if key == "callbacks" else None)


@rule(
    "O04",
    P1,
    "A callback that does not exist",
    effect='callbacks: LiteLLM does not start ("Empty module name"); the other lists take it, and nothing happens.',
    advice="Correct its name; a module of your own is file.instance, with a dot.",
    source="litellm/proxy/common_utils/callback_utils.py:402; names of the released package",
)
def unknown_callback(s: Subject) -> Iterator[Hit]:
    known = names(s.version, "callbacks") | names(s.version, "service_callbacks")
    for path, name in s.callbacks():
        own = "." in name or name in known or not known or isinstance(s.config.get(*path[:2]), str)
        # What L01 and L08 say more about.
        if own or name in ("slack", "sentry", "webhook") or path[1] == "service_callback":
            continue
        close = near(name, known, strict=False)
        fix = set_value(s.config, path, close) if close else []
        hint = f"; did you mean {close}?" if close else ""
        yield at(s, path, f"{path[1]} has {name!r}, which is none{hint}", fix, P0 if path[1] == "callbacks" else None)
