"""The health app: whether the gateway works, told from outside of it, on a port of its own."""

from __future__ import annotations

import json
from typing import Any

from deploys import operations
from deploys.components import engine_images, health_runtime, postgres_tls, redis_tls
from deploys.components.health_image import image
from deploys.components.health_settings import CODE, CONFIG, FOLDER, PAYLOAD, STOPPING, environment_folder
from deploys.components.health_settings import HealthSettings as HealthSettings
from deploys.components.litellm.config import public_name
from deploys.components.litellm.probes import base_url as gateway_url
from deploys.components.litellm.runtime import announces
from deploys.components.ollama import asked_url as ollama_url
from deploys.components.ollama_models import models_of
from deploys.components.ollama_settings import OllamaSettings
from deploys.components.postgres import PostgresSettings
from deploys.components.redis import RedisSettings
from deploys.lib import bill, pyenv
from deploys.lib.checks import unread_by_compose
from deploys.lib.component import MONITORS, Component, ConfigFile, Here, Link, Listener, Probe
from deploys.lib.probes import local_url, patiently
from deploys.lib.render import render
from deploys.lib.runtime import contained
from deploys.lib.sizing import Demand, Machine


def demand(s: HealthSettings, machine: Machine, tenants: frozenset[str]) -> Demand:
    return Demand(128, why="one process")


def links(here: Here) -> list[Link]:
    return [] if contained(here) else [Link(f"{FOLDER}/current", environment_folder())]


def install(here: Here) -> None:
    if contained(here):
        health_runtime.install(here)
        return
    folder = environment_folder()
    operations.packages(name="health | Packages", names=pyenv.PACKAGES)
    operations.step(
        name="health | Python environment, from the hash-locked set",
        key=f"health-venv-{folder.rpartition('/')[2]}",
        script=pyenv.venv_script(folder),
        stdin=(PAYLOAD / "requirements.txt").read_text(),
        creates=f"{folder}/venv/bin/python",
    )


def models(here: Here) -> list[dict[str, str]]:
    """Local models as the health app asks for them. With none there is the gateway's own self-test."""
    found = []
    hosts = here.of("ollama")
    for member in hosts:
        there = Here(member, here.site)
        settings: OllamaSettings = there.settings(OllamaSettings)
        for model in models_of(settings):
            name = public_name(model.name) + (f" on {member.name}" if len(hosts) > 1 else "")
            found.append({"name": name, "kind": "ollama", "api_base": ollama_url(there), "model": model.full})
    return found or [{"name": "self-test", "kind": "static"}]


def config(here: Here) -> dict[str, Any]:
    s: HealthSettings = here.settings(HealthSettings)
    database, redis = here.of("postgres")[0], here.of("redis")[0]
    d, r = database.settings["postgres"], redis.settings["redis"]
    assert isinstance(d, PostgresSettings) and isinstance(r, RedisSettings)
    return {
        "_comment": "Managed by Portcullis; edits are overwritten by the next run.",
        "listen": {"host": s.listen, "port": s.port},
        "gateway": {"url": gateway_url(here), "unit": "litellm.service"},
        "database": {
            "host": here.reach(database),
            "port": d.port,
            "name": d.database,
            "user": "health",
            **({"tls": True, "ca_file": postgres_tls.HEALTH_AUTHORITY} if d.secured else {}),
        },
        "redis": {
            "host": here.reach(redis),
            "port": r.port,
            "username": "health",
            **({"tls": True, "ca_file": redis_tls.HEALTH_AUTHORITY} if r.secured else {}),
        },
        "redis_required": s.redis_required,
        "models": models(here),
        "probe_interval_seconds": s.probe_interval_seconds,
        "timeout_seconds": s.timeout_seconds,
        "dependency_interval_seconds": s.dependency_interval_seconds,
        "unresponsive_after_seconds": s.unresponsive_after_seconds,
        "drain_file": "/run/portcullis-health/drain",
        **({"stopping_file": STOPPING} if announces(here) else {}),
    }


def config_files(here: Here) -> list[ConfigFile]:
    s: HealthSettings = here.settings(HealthSettings)
    database, redis = here.of("postgres")[0], here.of("redis")[0]
    d, r = database.settings["postgres"], redis.settings["redis"]
    assert isinstance(d, PostgresSettings) and isinstance(r, RedisSettings)
    code = [
        ConfigFile(f"{CODE}/portcullis_health/{path.name}", path.read_text())
        for path in sorted((PAYLOAD / "portcullis_health").glob("*.py"))
    ]
    secrets = render("health/health.env.j2", s, database=d.health_password, redis=r.health_password)
    return [
        *code,
        *([postgres_tls.authority(d, database, postgres_tls.HEALTH_AUTHORITY)] if d.secured else []),
        *([redis_tls.authority(r, redis, redis_tls.HEALTH_AUTHORITY)] if r.secured else []),
        ConfigFile(CONFIG, json.dumps(config(here), indent=2) + "\n"),
        ConfigFile("/etc/portcullis/health.env", secrets, mode="0600", secret=True),
        *health_runtime.service_files(here, answer_url(here)),
    ]


def answer_url(here: Here) -> str:
    s: HealthSettings = here.settings(HealthSettings)
    return local_url(s.listen, s.port)


def check(here: Here) -> list[str]:
    return [health_runtime.check(here)]


def problems(here: Here) -> list[str]:
    d, r = here.of("postgres")[0].settings["postgres"], here.of("redis")[0].settings["redis"]
    assert isinstance(d, PostgresSettings) and isinstance(r, RedisSettings)
    mine = {"postgres_health_password": d.health_password, "redis_health_password": r.health_password}
    return unread_by_compose(mine) if contained(here) else []


def ready(here: Here) -> str:
    """The app answers, and says that the gateway is ready: with its database, its Redis and a model."""
    return f"curl -sS --noproxy '*' --fail-with-body --max-time 5 {answer_url(here)}/health/readiness"


def probes(here: Here) -> list[Probe]:
    url = answer_url(here)
    ask = f"curl -fsS --noproxy '*' --max-time 5 {url}/health/readiness | grep -o '\"status\": *\"[a-z]*\"'"
    quick = f"curl -fsS --noproxy '*' -o /dev/null --max-time 0.05 -w '%{{time_total}} s' {url}/health/liveness"
    return [
        Probe(
            "says the gateway is alive",
            f"curl -fsS --noproxy '*' --max-time 5 {url}/health/liveness | grep -o '\"status\": *\"[a-z]*\"'",
        ),
        Probe(
            "says the gateway is ready",
            # What just came back is known to the app at its next question, some seconds later.
            patiently(ask, times=8, pause=2),
        ),
        # A moment in which the host has no time for it says nothing about the app.
        Probe("answers in 50 ms", f'{patiently(f"said=$({quick})", times=5, pause=1)}; echo "$said"'),
    ]


HEALTH = Component(
    name="health",
    settings=HealthSettings,
    demand=demand,
    install=install,
    files=config_files,
    links=links,
    unit=lambda here: health_runtime.UNIT,
    check=check,
    ready=ready,
    ready_seconds=90,
    problems=problems,
    refusals=lambda here: engine_images.refusals(here, image),
    probes=probes,
    listeners=lambda here: [
        Listener(here.settings(HealthSettings).port, ("python",), "health_port", askers=(MONITORS, "edge"))
    ],
    bill=lambda here: [] if contained(here) else [bill.locked(f"{FOLDER}/current")],
    group="litellm",
    needs=("postgres", "redis"),
    serial=True,
)
