"""Rules about time: units people get wrong, timeouts nobody reads, and timeouts that contradict each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from deploys.auditing.document import KeyPath
from deploys.auditing.findings import move_key, remove_key, set_value
from deploys.auditing.registry import P0, P1, P2, Hit, at, rule
from deploys.auditing.subject import Subject

# Whole seconds LiteLLM calculates with; a text or a fraction ends or breaks what depends on them.
WHOLE = {"health_check_interval": "the loop of health checks", "proxy_batch_write_at": "the job that writes spend"}
RETENTION = ("maximum_spend_logs_retention_period", "maximum_spend_logs_retention_interval")
TIMES = ("timeout", "request_timeout", "stream_timeout", "health_check_timeout", "cooldown_time", "retry_after")


def seconds(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


@rule(
    "L10",
    P1,
    "A timeout in litellm_settings",
    effect="Nobody reads it there: an answer of 8 s passes a timeout of 3.",
    advice="Put it into router_settings, or into litellm_params of one model; the general one is request_timeout.",
    source="litellm/proxy/proxy_server.py:6869 (setattr); litellm/router.py:4341",
)
def wrong_section(s: Subject) -> Iterator[Hit]:
    for key in ("timeout", "stream_timeout"):
        path: KeyPath = ("litellm_settings", key)
        if s.config.has(*path):
            general = key == "timeout" and s.config.has("litellm_settings", "request_timeout")
            taken = general or s.config.has("router_settings", key)
            fix = remove_key(s.config, path) if taken else move_key(s.config, path, ("router_settings",))
            yield at(s, path, f"litellm_settings.{key} does nothing", fix)


@rule(
    "L11",
    P1,
    "alerting_threshold is a time",
    effect="It is seconds until a request counts as slow: 1000 is a quarter of an hour, and no alert comes.",
    advice="Seconds, such as 300. Numbers of errors: alerting_args.minor_outage_alert_threshold.",
    source="litellm/proxy/proxy_server.py:7414; litellm/integrations/SlackAlerting/slack_alerting.py:292",
)
def alert_unit(s: Subject) -> Iterator[Hit]:
    path: KeyPath = ("general_settings", "alerting_threshold")
    value = seconds(s.config.get(*path))
    if value is None:
        return
    comment = s.config.place(*path).text.partition("#")[2]
    if value > 600:
        yield at(s, path, f"{value:g} seconds are {value / 60:.0f} minutes", set_value(s.config, path, "300"))
    elif re.search(r"\berrors?\b|\bfail", comment, re.I):
        yield at(s, path, f"{value:g} are seconds, and the comment speaks of errors")


@rule(
    "L23",
    P0,
    "A number of seconds that is none, or in the wrong section",
    effect="Text or 0 stops the loop in silence; in router_settings LiteLLM does not start.",
    advice="A whole number without quotes, in general_settings.",
    source="litellm/proxy/proxy_server.py:4745, 7243, 10936",
)
def whole_seconds(s: Subject) -> Iterator[Hit]:
    for key, what in WHOLE.items():
        path: KeyPath = ("general_settings", key)
        value = s.config.get(*path)
        if s.config.has(*path) and (not isinstance(value, int) or isinstance(value, bool) or value <= 0):
            digits = re.search(r"\d+", str(value))
            whole = digits.group(0) if digits and int(digits.group(0)) else "300"
            fix = set_value(s.config, path, whole if key == "health_check_interval" else whole or "10")
            yield at(s, path, f"{key}: {value!r} is not a number of seconds above 0, and {what} needs one", fix)
    path = ("router_settings", "health_check_interval")
    if s.config.has(*path):
        fix = move_key(s.config, path, ("general_settings",))
        yield at(s, path, "health_check_interval belongs into general_settings", fix)


@rule(
    "L25",
    P1,
    "Router timeout too short, or two timeouts that differ",
    effect="router_settings.timeout is for a whole answer; since 1.95 request_timeout wins over it, before it lost.",
    advice="Set both to the same number of seconds, 600 for long answers.",
    source="litellm/router.py:4341",
)
def router_timeout(s: Subject) -> Iterator[Hit]:
    path: KeyPath = ("router_settings", "timeout")
    router, request = seconds(s.config.get(*path)), seconds(s.config.get("litellm_settings", "request_timeout"))
    if router is None:
        return
    if request is not None and request != router:
        wins = "request_timeout" if s.number >= (1, 95, 0) else "router_settings.timeout"
        fix = set_value(s.config, path, f"{request:g}")
        yield at(s, path, f"timeout {router:g} and request_timeout {request:g} differ; {wins} wins", fix)
    elif router < 60:
        yield at(s, path, f"{router:g} seconds are for the whole answer, not for the choice of a model")


@rule(
    "T01",
    P1,
    "stream_timeout: 0",
    effect="0 is not `no limit`: it counts as not set, and the general timeout holds for each piece of a stream.",
    advice="Seconds until the first piece and between two, such as 120.",
    source="litellm/router.py:4330",
)
def stream_zero(s: Subject) -> Iterator[Hit]:
    for path, value in s.config.walk():
        if path[-1] in ("stream_timeout", "timeout", "request_timeout") and seconds(value) is not None and value <= 0:
            fix = set_value(s.config, path, "120" if path[-1] == "stream_timeout" else "600")
            yield at(s, path, f"{path[-1]}: {value} counts as not set", fix)


@rule(
    "T02",
    P1,
    "Timeouts that contradict each other",
    effect="The outer one ends what the inner one still allows, with another error than the one that was meant.",
    advice="health check < request < proxy in front.",
    source="litellm/router.py:4330, 4341; litellm/proxy/health_check.py:552",
)
def hierarchy(s: Subject) -> Iterator[Hit]:
    general = seconds(s.config.get("litellm_settings", "request_timeout"))
    general = general if general is not None else seconds(s.config.get("router_settings", "timeout"))
    for d in s.deployments:
        own = seconds(d.params.get("timeout"))
        limit = own if own is not None else general
        check = seconds(d.info.get("health_check_timeout"))
        if limit and check and check > limit:
            path = d.path("model_info", "health_check_timeout")
            yield at(s, path, f"{d.name}: health_check_timeout {check:g} is more than its timeout {limit:g}")
    longest = max([general or 0, *(seconds(d.params.get("timeout")) or 0 for d in s.deployments)])
    for place, line in s.texts():
        found = re.search(r"\bproxy_read_timeout\s+(\d+)(m?)s?\s*;", line) or re.search(
            r"\btimeout server\s+(\d+)(m?)", line
        )
        if found and longest:
            outer = int(found.group(1)) * (60 if found.group(2) else 1)
            if outer < longest:
                yield Hit(place, f"the proxy in front gives {outer} s, and a request may take {longest:g} s")


@rule(
    "T03",
    P2,
    "No timeout for requests",
    effect="LiteLLM waits 6000 s, and a backend that hangs holds its requests for an hour and 40 minutes.",
    advice="litellm_settings.request_timeout: 600 and router_settings.stream_timeout: 120.",
    source="litellm/constants.py:581; litellm/router.py:1242",
)
def no_timeout(s: Subject) -> Iterator[Hit]:
    general = s.setting("request_timeout", "litellm_settings") or s.setting("timeout", "router_settings")
    each = bool(s.deployments) and all("timeout" in d.params for d in s.deployments)
    if not general and not each and not s.variable("REQUEST_TIMEOUT") and s.config.has("litellm_settings"):
        yield at(s, ("litellm_settings",), "neither request_timeout nor router_settings.timeout is set")


@rule(
    "T04",
    P2,
    "systemd stops the gateway before its requests end",
    effect="Running requests are cut off at every stop; gunicorn gives them 30 s by itself.",
    advice="TimeoutStopSec=45 or more.",
    source="litellm/proxy/proxy_cli.py:610",
)
def stop_time(s: Subject) -> Iterator[Hit]:
    for launch in s.launches:
        for given in launch.directives.get("TimeoutStopSec", ())[-1:]:
            found = re.fullmatch(r"(\d+)(s|sec|min)?", given.value)
            if found and int(found.group(1)) * (60 if found.group(2) == "min" else 1) <= 30:
                yield Hit(given.place, f"TimeoutStopSec={given.value} is not more than gunicorn's 30 s")


@rule(
    "T05",
    P1,
    "A time in the wrong unit",
    effect="LiteLLM counts seconds: 30000 are eight hours. A retention needs its unit, or nothing is deleted.",
    advice='Seconds for timeouts and cooldowns; "30d", "12h" or "45m" for a retention.',
    source="litellm/router.py:4341; litellm/proxy/db/db_transaction_queue/spend_log_cleanup.py:213",
)
def wrong_unit(s: Subject) -> Iterator[Hit]:
    for path, value in s.config.walk():
        number, name = seconds(value), str(path[-1])
        if path[0] not in ("litellm_settings", "router_settings", "general_settings", "model_list"):
            continue
        if number is not None and name in TIMES and number >= 10_000:
            fix = set_value(s.config, path, f"{number / 1000:g}")
            yield at(s, path, f"{name}: {value} are {number / 3600:.0f} hours; milliseconds were meant?", fix)
        # A whole number of days is understood for the period, with a warning.
        days = name == RETENTION[0] and isinstance(value, int)
        if name in RETENTION and not days and not re.fullmatch(r"\d+(s|m|h|d|w|mo)", str(value)):
            yield at(s, path, f"{name}: {value!r} has no unit, and nothing is deleted")
