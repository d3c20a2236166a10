"""The gateway's Prometheus metrics, on an address and a port of their own, by a program and a unit of their own."""

from __future__ import annotations

import ipaddress

from deploys.components.litellm.observability import ObservabilitySettings
from deploys.lib.component import MONITORS, ConfigFile, Listener, Probe
from deploys.lib.probes import listens_only, local_url
from deploys.lib.programs import TOOLS
from deploys.lib.render import ROOT

PROGRAM = f"{TOOLS}/litellm-metrics.py"
UNIT = "litellm-metrics.service"
SAMPLES = "/run/litellm/prometheus"


def files(s: ObservabilitySettings) -> list[ConfigFile]:
    """The program that serves the metrics.

    LiteLLM's own (`--prometheus_metrics_port`) listens where the gateway does, without a key; it takes 208 MB against
    24 MB, holds up the start of the gateway by its own 4 s, and nobody starts it again when it has died.
    """
    return [ConfigFile(PROGRAM, (ROOT / "payload" / "litellm" / "metrics.py").read_text(), mode="0755")]


def askers(s: ObservabilitySettings) -> list[str]:
    """Who may ask where they are served on this host alone; nobody in particular elsewhere."""
    return ["localhost"] if ipaddress.ip_address(s.metrics_listen).is_loopback else []


def units(s: ObservabilitySettings, wanted: bool) -> list[str]:
    """The metrics' unit, when it is (or is not) ``wanted``."""
    return [UNIT] if s.metrics is wanted else []


def listeners(s: ObservabilitySettings) -> list[Listener]:
    return [Listener(s.metrics_port, ("python",), "litellm_metrics_port", UNIT, (MONITORS,))] if s.metrics else []


def probes(s: ObservabilitySettings) -> list[Probe]:
    if not s.metrics:
        return []
    ask = f"curl -fsS --noproxy '*' --max-time 10 {local_url(s.metrics_listen, s.metrics_port)}/metrics"
    only = listens_only(s.metrics_port, [s.metrics_listen])
    return [
        Probe("serves its metrics", f"{ask} | grep -c '^litellm_'"),
        Probe("serves its metrics only where it should", only.command),
    ]
