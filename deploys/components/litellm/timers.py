"""The timers that ask the gateway and its cache whether they work, note it, and alert once when they do not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from pydantic import Field, SecretStr, field_validator

from deploys.lib.component import ConfigFile, Probe
from deploys.lib.probes import patiently
from deploys.lib.programs import TOOLS
from deploys.lib.render import ROOT, render
from deploys.lib.settings import Settings, nearest

PROGRAM = f"{TOOLS}/litellm-probe.py"
CONFIG = "/etc/litellm/probe.json"
ENVIRONMENT = "/etc/litellm/probe.env"
# What of the gateway's environment the program needs: the key it asks with, and where it tells people.
NEEDED = ("LITELLM_MASTER_KEY", "SLACK_WEBHOOK_URL", "ALERTING_WEBHOOK_URL")
# What is asked: the longest number of questions one after another that it has beside those about named models.
TIMERS = {
    "gateway-probe": ("Question to the LiteLLM gateway, answered by a model", 1),
    "cache-health": ("Question to the LiteLLM gateway, answered from its cache", 6),
}
TEMPLATES = {"service": "litellm/litellm-probe.service.j2", "timer": "litellm/litellm-probe.timer.j2"}
# Kinds of models the program can ask; a question to others costs more than its answer tells.
MODES = ("chat", "embedding")


class TimersSettings(Settings):
    """Questions that are asked from time to time."""

    probe_interval_seconds: int = Field(
        60,
        ge=10,
        le=86_400,
        description="Seconds between two questions to the gateway and its cache (and up to a fifth more).",
    )
    probe_failures: int = Field(
        3,
        ge=1,
        le=100,
        description="Wrong answers in a row until people are told, once; and again when it is over.",
    )
    probe_timeout_seconds: int = Field(
        30, ge=1, le=600, description="Seconds after which a question without an answer counts as a wrong one."
    )
    probe_models: list[str] = Field(
        default_factory=list,
        description="Models that are asked as well as the self-test, every time: a paid one costs, and a local one "
        "stays loaded.",
    )

    @field_validator("probe_models")
    @classmethod
    def _once(cls, value: list[str]) -> list[str]:
        if twice := sorted({name for name in value if value.count(name) > 1}):
            raise ValueError(f"names {', '.join(twice)} twice")
        return value


def unit(what: str, kind: str) -> str:
    return f"litellm-{what}.{kind}"


def config(s: TimersSettings, url: str, selftest: str, modes: Mapping[str, str], cache: bool) -> dict[str, object]:
    """What the program is told; no secret is in it."""
    return {
        "_comment": "Managed by Portcullis; edits are overwritten by the next run.",
        "url": url,
        "selftest": selftest,
        "models": {name: modes[name] for name in s.probe_models if name in modes},
        "cache": cache,
        "failures": s.probe_failures,
        "timeout_seconds": s.probe_timeout_seconds,
    }


def files(
    s: TimersSettings,
    url: str,
    selftest: str,
    modes: Mapping[str, str],
    cache: bool,
    environment: Mapping[str, str | SecretStr],
    addresses: Sequence[str],
) -> list[ConfigFile]:
    """The program, what it is told, and its units. None of them concerns the gateway's own process.

    ``url`` is where the gateway answers on its host, ``modes`` has the mode of every model by name, ``cache`` says
    whether a request can ask for a cached answer, ``environment`` has the gateway's variables, and ``addresses`` are
    those that the program may have to do with.
    """
    told = json.dumps(config(s, url, selftest, modes, cache), indent=2) + "\n"
    needed = {name: environment[name] for name in NEEDED if name in environment}
    secrets = render("litellm/env.j2", s, environment=needed)
    made = [
        ConfigFile(ENVIRONMENT, secrets, mode="0600", effect="none", secret=True),
        ConfigFile(PROGRAM, (ROOT / "payload" / "litellm" / "probe.py").read_text(), mode="0755", effect="none"),
        ConfigFile(CONFIG, told, effect="none"),
    ]
    for what, (about, questions) in TIMERS.items():
        asked = questions + (len(s.probe_models) if what == "gateway-probe" else 0)
        more = {
            "what": what,
            "about": about,
            "program": PROGRAM,
            "config": CONFIG,
            "environment": ENVIRONMENT,
            "addresses": addresses,
            # And what alerts may take that cannot be sent.
            "seconds": asked * s.probe_timeout_seconds + 60,
        }
        for kind, template in TEMPLATES.items():
            text = render(template, s, **more)
            made.append(ConfigFile(f"/etc/systemd/system/{unit(what, kind)}", text, effect="none"))
    return made


def timers(s: TimersSettings) -> list[str]:
    return [unit(what, "timer") for what in TIMERS]


def probes(s: TimersSettings) -> list[Probe]:
    """Each timer's question, asked now, in its own sandbox and with what it is told.

    Up to ten times: for some seconds after Redis was away each worker goes on without it.
    """
    found = []
    for what, (_, questions) in TIMERS.items():
        ask = f"systemctl start {unit(what, 'service')} && python3 {PROGRAM} show /var/lib/portcullis-{what}/state.json"
        command = (
            f"systemctl is-active --quiet {unit(what, 'timer')} || {{ echo 'the timer does not run'; exit 1; }}; "
            + patiently(ask, times=10, pause=3)
        )
        seconds = (questions + len(s.probe_models)) * s.probe_timeout_seconds + 60
        found.append(Probe(f"passes {what}", command, seconds=min(seconds, 300)))
    return found


def problems(s: TimersSettings, modes: Mapping[str, str]) -> list[str]:
    """Models that are to be asked and that the gateway does not have, or that cannot be asked a simple question."""
    found = []
    for name in s.probe_models:
        if name not in modes:
            found.append(f"litellm_probe_models: {name!r} is not a model of the gateway{nearest(name, modes)}")
        elif modes[name] not in MODES:
            found.append(
                f"litellm_probe_models: {name!r} is a model for {modes[name]}; only {' and '.join(MODES)} are asked"
            )
    return found
