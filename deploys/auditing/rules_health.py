"""Rules about health checks: what they cost, and probes that are told the wrong thing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deploys.auditing.document import KeyPath
from deploys.auditing.findings import Edit, add_key, set_value
from deploys.auditing.providers import CLOUD_ONLY
from deploys.auditing.registry import P1, P2, Hit, at, rule
from deploys.auditing.subject import Deployment, Subject

BACKGROUND: KeyPath = ("general_settings", "background_health_checks")
OPT_OUT = "disable_background_health_check"
# The model checks, and not /health/liveliness, /health/readiness or another server's own path.
HEALTH = re.compile(r"(?:/|:\d+|\blocalhost|\}|\bpath:\s*[\"']?)/?health(?![/\w-])")
# Ollama, llama.cpp and vLLM, which have a /health of their own that costs nothing.
OTHERS = re.compile(r":11434|:8080/|:800\d/")


def checked(s: Subject) -> list[Deployment]:
    """Deployments that the background loop sends requests to."""
    general = s.config.section("general_settings")
    if general.get("background_health_checks") is not True:
        return []
    groups = general.get("background_health_check_model_groups")
    return [
        d
        for d in s.deployments
        if d.info.get(OPT_OUT) is not True
        and not d.mocked
        and (not isinstance(groups, list) or not groups or d.name in groups)
    ]


def _fix(s: Subject, d: Deployment) -> list[Edit]:
    if OPT_OUT in d.info:
        return set_value(s.config, d.path("model_info", OPT_OUT), "true")
    return add_key(s.config, d.path("model_info"), [f"{OPT_OUT}: true"]) if d.info else []


@rule(
    "L22",
    P1,
    "Background health checks by every worker, or of local models",
    effect="Each worker sends each model a completion per interval; a local server loads every model in turn.",
    advice="use_shared_health_check: true (needs Redis), and model_info.disable_background_health_check: true for "
    "local models.",
    source="litellm/proxy/proxy_server.py:1686, 4733, 4760, 4784",
)
def by_every_worker(s: Subject) -> Iterator[Hit]:
    probed = checked(s)
    if not probed:
        return
    workers = s.workers or 1
    if workers > 1 and s.config.get("general_settings", "use_shared_health_check") is not True:
        fix = add_key(s.config, ("general_settings",), ["use_shared_health_check: true"])
        yield at(s, BACKGROUND, f"{workers} workers check each model, each on its own", fix)
    for d in probed:
        if d.provider in ("ollama", "ollama_chat") and d.local:
            yield at(
                s,
                d.path("litellm_params", "model"),
                f"{d.name} is loaded for a check, and others pushed out",
                _fix(s, d),
            )


@rule(
    "H02",
    P1,
    "Health checks that call paid models",
    effect="A real completion per model, worker and interval: 288 a day with the default of 300 s, on your account.",
    advice="Opt these models out: model_info.disable_background_health_check: true; or switch the loop off.",
    source="litellm/proxy/proxy_server.py:4733",
)
def paid_checks(s: Subject) -> Iterator[Hit]:
    interval = s.config.get("general_settings", "health_check_interval")
    every = interval if isinstance(interval, int) and interval > 0 else 300
    for d in checked(s):
        cloud = (d.provider in CLOUD_ONLY and not d.local) or "ollama.com" in d.api_base
        if cloud or (not d.provider and not d.api_base):
            times = (
                86400
                // every
                * (1 if s.config.get("general_settings", "use_shared_health_check") is True else s.workers or 1)
            )
            yield at(s, d.path("litellm_params", "model"), f"{d.name}: {d.model}, {times} requests a day", _fix(s, d))


@rule(
    "H01",
    P1,
    "/health as a probe",
    effect="Without background checks each call asks every model; with them it is {} until the first round has ended.",
    advice="/health/liveliness to restart, /health/readiness to send traffic.",
    source="litellm/proxy/health_endpoints/_health_endpoints.py",
)
def health_as_probe(s: Subject) -> Iterator[Hit]:
    for place, line in s.texts():
        if HEALTH.search(line) and not re.search(r"^\s*#|\?model=", line) and not OTHERS.search(line):
            yield Hit(place, "the probe asks /health, which calls the models")
    for launch in s.launches:
        if launch.flag("--health"):
            yield Hit(launch.place, "litellm --health sends no key, and is always answered 401 (issue #10683)")


@rule(
    "L33",
    P1,
    "A probe that cannot tell",
    effect="`grep healthy` matches Unhealthy; without a key /health is 401; without -L /metrics is an empty redirect.",
    advice="curl -fsS /health/liveliness and look at the status; curl -sL /metrics/ with a key.",
    source="litellm/proxy/middleware/prometheus_auth_middleware.py:51; litellm/proxy/health_endpoints",
)
def probe_cannot_tell(s: Subject) -> Iterator[Hit]:
    for place, line in s.texts():
        if line.lstrip().startswith("#"):
            continue
        if re.search(r"grep\b[^|]*[\s\"']healthy", line) and not re.search(
            r"grep\b[^|]*[\"']\"?status|-w\b|-x\b", line
        ):
            yield Hit(place, "grep healthy is true for Unhealthy and for unhealthy_count too")
        asks = re.search(r"\b(curl|wget)\b", line)
        with_key = re.search(r"authorization|x-litellm|api[-_]?key|-H\s*@", line, re.I)
        if asks and HEALTH.search(line) and not with_key and not OTHERS.search(line):
            yield Hit(place, "/health is asked without a key: 401 every time, and each one an ERROR in the log")
        follows = re.search(r"\s(-\w*L\w*|--location)\b", line)
        ours = re.search(r"litellm|:4\d{3}\b", line)
        if asks and ours and not follows and re.search(r"/metrics(?![/\w])", line):
            yield Hit(place, "/metrics answers 307 to /metrics/, and curl does not follow without -L")


@rule(
    "H03",
    P2,
    "Health answers that show how models are reached",
    effect="/health shows addresses and parameters of every model to whoever has a key for it.",
    advice="general_settings.health_check_details: false",
    source="litellm/proxy/health_check.py",
)
def health_details(s: Subject) -> Iterator[Hit]:
    if checked(s) and s.config.get("general_settings", "health_check_details") is not False:
        fix = add_key(s.config, ("general_settings",), ["health_check_details: false"])
        yield at(s, BACKGROUND, "health_check_details is on", fix)
