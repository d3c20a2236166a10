"""Rules about what good deployments have and this one lacks."""

from __future__ import annotations

from collections.abc import Iterator

from deploys.auditing.masking import is_secret, read_mark
from deploys.auditing.registry import P1, P2, Hit, at, rule
from deploys.auditing.subject import Subject


@rule(
    "B01",
    P2,
    "LITELLM_MODE is not PRODUCTION",
    effect="At its start LiteLLM looks for a .env file from its package folder upwards, and loads what it finds.",
    advice="LITELLM_MODE=PRODUCTION",
    source="litellm/__init__.py:29; litellm/proxy/proxy_cli.py:55",
)
def mode(s: Subject) -> Iterator[Hit]:
    if s.env is not None and s.variable("LITELLM_MODE").upper() != "PRODUCTION":
        yield Hit(_environment(s), "LITELLM_MODE=PRODUCTION is not in the environment")


@rule(
    "B02",
    P2,
    "A price list from the internet at every start",
    effect="LiteLLM fetches it from raw.githubusercontent.com, three tries, before it serves.",
    advice="LITELLM_LOCAL_MODEL_COST_MAP=True",
    source="litellm/litellm_core_utils/get_model_cost_map.py:383",
)
def price_list(s: Subject) -> Iterator[Hit]:
    if s.env is not None and s.variable("LITELLM_LOCAL_MODEL_COST_MAP").lower() != "true":
        yield Hit(_environment(s), "LITELLM_LOCAL_MODEL_COST_MAP is not set")


def _environment(s: Subject):  # type: ignore[no-untyped-def]
    from deploys.auditing.sources import Place

    first = next(iter((s.env or {}).values()), None)
    return Place(first.place.source) if first else Place("environment")


@rule(
    "B03",
    P2,
    "A unit without limits or restart",
    effect="A leak takes the whole host's memory, or a crash at night stays one.",
    advice="MemoryHigh=, MemoryMax= and Restart=on-failure or always.",
    source="https://www.freedesktop.org/software/systemd/man/latest/systemd.resource-control.html",
)
def limits(s: Subject) -> Iterator[Hit]:
    for launch in s.launches:
        if launch.kind != "unit" or not launch.words:
            continue
        missing = [name for name in ("MemoryMax", "Restart") if name not in launch.directives]
        if missing:
            yield Hit(launch.place, f"the unit has no {' and no '.join(f'{name}=' for name in missing)}")


@rule(
    "B05",
    P1,
    "The gateway runs as root",
    effect="A hole in it, or in one of its 150 packages, is a hole in the host.",
    advice="User=litellm with NoNewPrivileges=yes and ProtectSystem=strict.",
    source="https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html",
)
def as_root(s: Subject) -> Iterator[Hit]:
    for launch in s.launches:
        user = [given.value for given in launch.directives.get("User", ())]
        root = not user or user[-1] in ("root", "0")
        if launch.kind == "unit" and launch.words and root and not launch.directives.get("DynamicUser"):
            yield Hit(launch.place, "the unit has no User=" if not user else "User=root")


@rule(
    "B06",
    P2,
    "No metrics",
    effect="Error rates, latencies and cooldowns cannot be seen from outside.",
    advice='litellm_settings.callbacks: ["prometheus"] with prometheus-client installed; free since 1.80.0.',
    source="litellm/integrations/prometheus.py; PR #16689",
)
def no_metrics(s: Subject) -> Iterator[Hit]:
    names = {name for _, name in s.callbacks()}
    watched = {"prometheus", "otel", "datadog", "opentelemetry"}
    if s.launches and not names & watched and s.config.has("litellm_settings"):
        yield at(s, ("litellm_settings",), "no callback gives metrics")


@rule(
    "S11",
    P1,
    "A secret where everyone on the host can read it",
    effect="Environment= of a unit is shown by systemctl to every user, and a command line by ps.",
    advice="EnvironmentFile= with mode 0600; env_file: in compose.",
    source="https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html (Environment=)",
)
def readable(s: Subject) -> Iterator[Hit]:
    for launch in s.launches:
        for name, variable in launch.variables.items():
            mark = read_mark(variable.value)
            if mark and "placeholder" not in mark[1] and (is_secret(name) or "://" in variable.value):
                where = "the unit" if launch.kind == "unit" else "the compose file"
                if launch.kind != "process":
                    yield Hit(variable.place, f"{name} has its value in {where}")
        for word in launch.words:
            if read_mark(word) and launch.kind != "compose":
                yield Hit(launch.place, "a secret is on the command line")
                break
