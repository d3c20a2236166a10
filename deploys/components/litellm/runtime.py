"""How the gateway runs, is checked and migrated: in our sandbox under systemd, or in containers of one image."""

from __future__ import annotations

from dataclasses import replace

from deploys import operations
from deploys.components import engine_images
from deploys.components.engine_settings import EngineSettings, log
from deploys.components.health_settings import STOPPING
from deploys.components.litellm import metrics
from deploys.components.litellm.config import environment
from deploys.components.litellm.image import image
from deploys.components.litellm.image import stand_in as standing
from deploys.components.litellm.install import prepare, version_folder
from deploys.components.litellm.probes import CONFIG, ENVIRONMENT, LAUNCH, base_url
from deploys.components.litellm.reliability import stop_seconds
from deploys.components.litellm.settings import LitellmSettings, workers_on
from deploys.lib.checks import unread_by_compose
from deploys.lib.component import ConfigFile, Effect, Here
from deploys.lib.containers import HARD_FACTOR, Container, compose_file, http_health, name_of
from deploys.lib.network import routable
from deploys.lib.programs import TOOLS
from deploys.lib.render import render
from deploys.lib.runtime import contained, run, task_file, unit_file

UNIT, CHECK_UNIT, MIGRATE_UNIT = "litellm.service", "litellm-check.service", "litellm-migrate.service"
ABOUT = {
    UNIT: "LiteLLM gateway",
    CHECK_UNIT: "Check of the LiteLLM gateway's configuration",
    MIGRATE_UNIT: "Migration of the LiteLLM gateway's database",
    metrics.UNIT: "Prometheus metrics of the LiteLLM gateway",
}


# A health check of the edge a second, two of which have to fail; the health app looks for it once a second.
NOTICE_SECONDS = 4


def announces(here: Here) -> bool:
    """Whether there is an edge to be told that this gateway is about to stop, and another gateway it could ask."""
    return bool(here.of("edge")) and len(here.of("litellm")) > 1


def stopping(here: Here) -> tuple[str, str]:
    """What the unit runs before the gateway is stopped and after it has: both for systemd; empty without an edge.

    One that ended by itself has nobody to send elsewhere. What says it is a folder in one of the health app's own: root
    makes no file there, because where that app's user had put a link root would follow it, and mkdir follows none.
    """
    if not announces(here):
        return "", ""
    wait = f'test -z "$MAINPID" || {{ mkdir {STOPPING}; sleep {NOTICE_SECONDS}; }}'
    return f"+/bin/sh -c '{wait}'", f"-+/bin/rm -df {STOPPING}"


def serve(here: Here) -> list[str]:
    """The words after `launch.py` that start the gateway."""
    s: LitellmSettings = here.settings(LitellmSettings)
    words = ["serve", "--config", CONFIG, "--host", s.listen, "--port", str(s.port), "--run_gunicorn"]
    words += ["--num_workers", str(workers_on(here.member))]
    if s.recycle == "max_requests":
        words += ["--max_requests_before_restart", str(s.max_requests)]
        words += ["--max_requests_before_restart_jitter", str(s.max_requests // 10)]
    return words


def containers(here: Here) -> list[Container]:
    s: LitellmSettings = here.settings(LitellmSettings)
    folder, share = version_folder(here), here.member.plan.shares["litellm"]
    python = f"{folder}/venv/bin/python"
    common = Container(
        service="litellm-check",
        image=image(here).tag,
        command=(python, LAUNCH, "validate", CONFIG),
        user="litellm",
        reads=("/etc/litellm", TOOLS, "/etc/ssl/certs"),
        writes=("/var/lib/litellm",),
        env_files=(ENVIRONMENT,),
        environment={"HOME": "/var/lib/litellm"},
        memory_mb=1024,
        by_hand=True,
    )
    migrate = replace(
        common,
        service="migrate",
        command=(python, LAUNCH, "migrate", CONFIG),
        # LiteLLM copies its migrations there and applies whatever it finds, what another version left included.
        environment={**common.environment, "LITELLM_MIGRATION_DIR": "/tmp/migrations"},
        after={name: "service_healthy" for name in ("postgres",) if here.member.has(name)},
        by_hand=False,
    )
    gateway = replace(
        common,
        service="litellm",
        command=(python, LAUNCH, *serve(here)),
        unit=UNIT,
        runtime=("/run/litellm", metrics.SAMPLES),
        environment={
            **common.environment,
            "PROMETHEUS_MULTIPROC_DIR": metrics.SAMPLES,
            "RUNTIME_DIRECTORY": "/run/litellm",
            "GRACEFUL_SHUTDOWN_TIMEOUT": str(s.drain_timeout),
        },
        memory_mb=int(share * HARD_FACTOR),
        soft_mb=share,
        tasks=4096,
        open_files=here.settings(EngineSettings).open_files,
        # Files that are sent to it lie there for as long as a request takes.
        scratch_mb=512,
        # The image asks the health app; here the gateway itself is asked, because the app waits for it.
        health=http_health(python, f"{base_url(here)}/health/liveliness", start=180),
        after={
            "migrate": "service_completed_successfully",
            **{name: "service_healthy" for name in ("postgres", "redis") if here.member.has(name)},
        },
        stop_seconds=stop_seconds(s),
        by_hand=False,
        # Without the check a broken file would end the master on SIGHUP.
        reload=(run("litellm-check"), f"/usr/bin/docker kill --signal HUP {name_of('litellm')}"),
    )
    told = replace(
        common,
        service="litellm-metrics",
        command=(python, metrics.PROGRAM, s.metrics_listen, str(s.metrics_port), metrics.SAMPLES),
        unit=metrics.UNIT,
        reads=(TOOLS, "/run/litellm"),
        writes=(),
        runtime=("/run/litellm",),
        remembers=True,
        env_files=(),
        environment={"PYTHONDONTWRITEBYTECODE": "1"},
        memory_mb=256,
        tasks=64,
        one_cpu=True,
        after={"litellm": "service_started"},
        by_hand=False,
    )
    return [gateway, common, migrate, *([told] if s.metrics else [])]


def unit(s: LitellmSettings, name: str, effect: Effect = "restart", **more: object) -> ConfigFile:
    """A unit of the gateway's from its template."""
    text = render(f"litellm/{name}.j2", s, launch=LAUNCH, config=CONFIG, environment=ENVIRONMENT, **more)
    return ConfigFile(f"/etc/systemd/system/{name}", text, effect=effect)


def service_files(here: Here) -> list[ConfigFile]:
    """The units of the gateway, of its check, its migration and its metrics."""
    s: LitellmSettings = here.settings(LitellmSettings)
    if contained(here):
        made = containers(here)
        found = [
            compose_file("litellm", made, log(here)),
            task_file(CHECK_UNIT, ABOUT[CHECK_UNIT], "litellm-check", "300"),
            # Large tables get new indexes there; cut off, a migration has to be repaired by hand.
            task_file(MIGRATE_UNIT, ABOUT[MIGRATE_UNIT], "migrate", "1h"),
        ]
        units = {one.unit: one for one in made if one.unit}
        before = ("postgresql.service", "redis-server.service")
        found.append(unit_file(units[UNIT], ABOUT[UNIT], before, stopping=stopping(here)))
        if metrics.UNIT in units:
            # It stops with the gateway, and is started with it.
            found.append(
                unit_file(units[metrics.UNIT], ABOUT[metrics.UNIT], (UNIT,), (f"PartOf={UNIT}",), wanted_by=UNIT)
            )
        return found

    share = here.member.plan.shares["litellm"]
    folder, reach = version_folder(here), routable(here)
    serving = {"words": serve(here), "memory_mb": share, "hard_mb": int(share * HARD_FACTOR), "stop": stop_seconds(s)}
    return [
        unit(s, UNIT, "restart", addresses=reach, stopping=stopping(here), **serving),
        unit(s, CHECK_UNIT, "none", addresses=reach, folder=folder),
        unit(s, MIGRATE_UNIT, "none", addresses=reach, folder=folder),
        unit(s, metrics.UNIT, addresses=metrics.askers(s) or reach, program=metrics.PROGRAM, samples=metrics.SAMPLES),
    ]


def install_image(here: Here) -> None:
    """The image, and in the version's folder what stands for it."""
    prepare()
    made = image(here)
    operations.step(
        name="litellm | Folder of the gateway's own",
        key="litellm-state",
        script="install -d -o litellm -g litellm -m 0750 /var/lib/litellm",
    )
    engine_images.bring(here, "litellm", made)
    engine_images.stand_in("litellm", version_folder(here), standing(here, made.tag))


def problems(here: Here) -> list[str]:
    """What the runtime of this host cannot do of its settings."""
    s: LitellmSettings = here.settings(LitellmSettings)
    if contained(here):
        return unread_by_compose({f"litellm: the variable {name}": value for name, value in environment(here).items()})
    if s.image:
        return [
            'litellm_image: an image needs containers, which this host has not; remove it, or set runtime = "compose"'
        ]
    return []
