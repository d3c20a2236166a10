"""How the health app runs: under a unit of ours, or in a container."""

from __future__ import annotations

from dataclasses import replace

from deploys import operations
from deploys.components.engine import base_image
from deploys.components.engine_images import build
from deploys.components.health_image import image
from deploys.lib.component import ConfigFile, Here
from deploys.lib.containers import Container, compose_file, http_health
from deploys.lib.probes import system_user
from deploys.lib.render import render
from deploys.lib.runtime import contained, run, unit_file

UNIT = "portcullis-health.service"
# Without containers systemd makes up a user for as long as it runs.
USER = "portcullis-health"
CHECK = "health-check"


def container(here: Here, python: str, code: str, config: str, url: str) -> Container:
    return Container(
        service="health",
        image=image(here, base_image(here)).tag,
        command=(python, "-m", "portcullis_health", "--config", config),
        user=USER,
        unit=UNIT,
        reads=(code, "/etc/portcullis", "/etc/ssl/certs"),
        # A drained gateway stays drained when this app is restarted.
        runtime=("/run/portcullis-health",),
        remembers=True,
        env_files=("/etc/portcullis/health.env",),
        environment={"PYTHONPATH": code, "PYTHONDONTWRITEBYTECODE": "1", "TZ": "UTC"},
        memory_mb=128,
        tasks=32,
        one_cpu=True,
        # It must answer while the gateway takes all the processors it can get.
        cpu_shares=10240,
        protected=True,
        # A gateway that is down is no fault of this app.
        health=http_health(python, f"{url}/health/liveness", any_answer=True, start=10),
    )


def service_files(here: Here, folder: str, python: str, code: str, config: str, url: str) -> list[ConfigFile]:
    """The files of its unit. ``folder`` has the environments and ``python`` is that of the one for this revision."""
    if contained(here):
        one = container(here, python, code, config, url)
        check = replace(
            one, service=CHECK, command=(*one.command, "--check"), unit="", health=None, by_hand=True, runtime=()
        )
        return [
            compose_file("health", [one, check]),
            unit_file(one, "Health of the LiteLLM gateway, told from outside of it"),
        ]
    text = render("health/portcullis-health.service.j2", None, folder=folder, code=code, config=config)
    return [ConfigFile(f"/etc/systemd/system/{UNIT}", text)]


def check(here: Here, python: str, code: str, config: str) -> str:
    """A shell command that is true when the app can use its configuration."""
    if contained(here):
        return run(CHECK)
    environment = f"PYTHONPATH={code} PYTHONDONTWRITEBYTECODE=1"
    return f"runuser -u nobody -- env {environment} {python} -m portcullis_health --config {config} --check"


def install(here: Here) -> None:
    operations.step(
        name="health | System user",
        key="health-user",
        script=system_user(USER, "/nonexistent"),
        unless=f"getent passwd {USER} >/dev/null",
    )
    build("health", image(here, base_image(here)))
