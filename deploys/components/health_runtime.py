"""How the health app runs: under a unit of ours, or in a container."""

from __future__ import annotations

from dataclasses import replace

from deploys import operations
from deploys.components import engine_images
from deploys.components.engine_settings import log
from deploys.components.health_image import image
from deploys.components.health_settings import CODE, CONFIG, FOLDER, WATCHDOG_SECONDS, python
from deploys.lib.component import ConfigFile, Here
from deploys.lib.containers import Container, compose_file, http_health
from deploys.lib.network import routable
from deploys.lib.probes import system_user
from deploys.lib.render import render
from deploys.lib.runtime import contained, run, unit_file

UNIT = "portcullis-health.service"
# Without containers systemd makes up a user for as long as it runs.
USER = "portcullis-health"
CHECK = "health-check"


def container(here: Here, url: str) -> Container:
    return Container(
        service="health",
        image=image(here).tag,
        command=(python(), "-m", "portcullis_health", "--config", CONFIG),
        user=USER,
        unit=UNIT,
        reads=(CODE, "/etc/portcullis", "/etc/ssl/certs"),
        # A drained gateway stays drained when this app is restarted.
        runtime=("/run/portcullis-health",),
        remembers=True,
        env_files=("/etc/portcullis/health.env",),
        environment={
            "PYTHONPATH": CODE,
            "PYTHONDONTWRITEBYTECODE": "1",
            "TZ": "UTC",
            # As systemd tells it. From inside a container its own cannot be told that the app lives.
            "WATCHDOG_USEC": str(WATCHDOG_SECONDS * 1_000_000),
        },
        memory_mb=128,
        tasks=32,
        one_cpu=True,
        # It must answer while the gateway takes all the processors it can get.
        cpu_shares=10240,
        protected=True,
        # A gateway that is down is no fault of this app.
        health=http_health(python(), f"{url}/health/liveness", any_answer=True, start=10),
    )


def service_files(here: Here, url: str) -> list[ConfigFile]:
    """The files of its unit; ``url`` is where it answers."""
    if contained(here):
        one = container(here, url)
        check = replace(
            one, service=CHECK, command=(*one.command, "--check"), unit="", health=None, by_hand=True, runtime=()
        )
        return [
            compose_file("health", [one, check], log(here)),
            unit_file(one, "Health of the LiteLLM gateway, told from outside of it"),
        ]
    text = render(
        "health/portcullis-health.service.j2",
        None,
        folder=FOLDER,
        code=CODE,
        config=CONFIG,
        addresses=routable(here),
        watchdog=WATCHDOG_SECONDS,
    )
    return [ConfigFile(f"/etc/systemd/system/{UNIT}", text)]


def check(here: Here) -> str:
    """A shell command that is true when the app can use its configuration."""
    if contained(here):
        return run(CHECK)
    environment = f"PYTHONPATH={CODE} PYTHONDONTWRITEBYTECODE=1"
    return f"runuser -u nobody -- env {environment} {python()} -m portcullis_health --config {CONFIG} --check"


def install(here: Here) -> None:
    operations.step(
        name="health | System user",
        key="health-user",
        script=system_user(USER, "/nonexistent"),
        unless=f"getent passwd {USER} >/dev/null",
    )
    engine_images.bring(here, "health", image(here))
