"""The container engine, on hosts whose services run in containers: Docker, how it is checked and asked.

On other hosts it has nothing: what an earlier run declared there is taken away, and packages stay.
"""

from __future__ import annotations

from deploys import operations
from deploys.components import engine_foreign, engine_images, engine_install
from deploys.components.base import authorities
from deploys.components.engine_files import DAEMON, config_files
from deploys.components.engine_settings import EngineSettings
from deploys.lib.component import Component, ConfigFile, Here, Probe
from deploys.lib.containers import LABEL
from deploys.lib.runtime import contained
from deploys.lib.sizing import Demand, Machine

UNIT = "docker.service"
CONTAINED = ("postgres", "redis", "ollama", "litellm")
# The first that knows which files of variables may be missing.
COMPOSE = "2.24"
# Debian's release -> Docker's official Python image, by the digest of its index of all architectures (September 2026).
BASE_IMAGES = {
    "12": "python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b",
    "13": "python:3.13-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285",
}
# Measured on Debian 13, Docker 26.1.5, with six containers: dockerd 107 MiB, containerd 52, and 19 MiB for what holds
# each container (PSS), its unit's client included: 273. The rest is for a build.
MEMORY_MB = 320


def is_wanted(here: Here) -> bool:
    """Whether the host has services that run in containers; one that keeps backups has none."""
    return contained(here) and any(here.member.has(name) for name in CONTAINED)


def base_image(here: Here) -> str:
    """The image that this host's images are made from, with its digest."""
    s: EngineSettings = here.settings(EngineSettings)
    return s.base_image or BASE_IMAGES.get(here.member.release, "")


def demand(s: EngineSettings, machine: Machine, tenants: frozenset[str]) -> Demand:
    """What was measured, on hosts with services in containers; the containers' own memory is their components'."""
    return Demand(MEMORY_MB, why="dockerd, containerd and a build") if tenants & set(CONTAINED) else Demand(0)


def install(here: Here) -> None:
    if is_wanted(here):
        engine_install.install(here)


def tidy(here: Here) -> None:
    """Remove images that nothing needs; and, without containers, those that are left: their variables are secrets."""
    if is_wanted(here):
        engine_images.tidy(here)
        return
    left = f"docker ps --all --quiet --filter label={LABEL} --filter status=exited --filter status=created"
    operations.unless(
        name="engine | Containers that are left",
        test=f'! command -v docker >/dev/null || [ -z "$({left} 2>/dev/null)" ]',
        command=f"docker rm $({left}) >/dev/null",
    )


def files(here: Here) -> list[ConfigFile]:
    if not is_wanted(here):
        return []
    return config_files(here.settings(EngineSettings), [authority.text for authority in authorities(here)])


def check(here: Here) -> list[str]:
    """Docker reads the new file with its own parser; what it says begins with words that say nothing."""
    if not is_wanted(here):
        return []
    said = "sed 's/^unable to configure the Docker daemon with file/the engine does not take/'"
    return [
        f'said=$(dockerd --validate --config-file={DAEMON} 2>&1) || {{ echo "$said" | tail -n 1 | {said}; exit 1; }}'
    ]


def compose() -> str:
    """Shell text that is true when there is a Compose that is new enough; prints its version."""
    return (
        "v=$(docker compose version --short 2>/dev/null); "
        f'dpkg --compare-versions "0${{v#v}}" ge 0{COMPOSE} && echo "compose $v" || '
        f'{{ echo "docker compose is ${{v:-not there}}, and {COMPOSE} is needed"; exit 1; }}'
    )


def attached() -> str:
    """Shell text that is true when no unit is about to attach to its container, as all do after the engine's restart.

    What comes next would find that such a service does not run, and start it again although it never stopped.
    """
    label = f'{{{{.Label "{LABEL}"}}}}'
    return (
        f"( for unit in $(docker ps --format '{label}'); do "
        '[ "$(systemctl is-active "$unit")" != activating ] || { echo "$unit waits for Docker"; exit 1; }; done )'
    )


def ready(here: Here) -> str:
    if not is_wanted(here):
        return "true"
    return f"docker info --format '{{{{.ServerVersion}}}}' 2>&1 || exit 1; {attached()} || exit 1; {compose()}"


# Ports that a container publishes to others than this host, as `NAME ADDRESS:PORT` lines.
PUBLISHED = (
    "docker ps -q | xargs -r docker inspect --format "
    "'{{range $ports := .NetworkSettings.Ports}}{{range $ports}}{{$.Name}} {{.HostIp}}:{{.HostPort}}{{println}}{{end}}"
    "{{end}}' | grep -vE ' (127\\.[0-9.]+|::1):|^$' | sed 's|^/||' | sort -u | paste -s -d ,"
)


def probes(here: Here) -> list[Probe]:
    if not is_wanted(here):
        return []
    return [
        Probe("answers", "docker info --format '{{.ServerVersion}}'"),
        Probe("has Compose", compose()),
        Probe(
            "leaves containers running while it restarts",
            "docker info --format '{{.LiveRestoreEnabled}}' | grep -x true >/dev/null",
        ),
        Probe(
            "opens no port to other hosts",
            f'found=$({PUBLISHED}); [ -z "$found" ] || {{ echo "past the firewall: $found"; exit 1; }}; '
            "docker ps -q >/dev/null",
        ),
    ]


def reaches(here: Here) -> list[str]:
    """Registries that are named without http:// or https://."""
    s: EngineSettings = here.settings(EngineSettings)
    return [base_image(here), *s.insecure_registries] if is_wanted(here) else []


def problems(here: Here) -> list[str]:
    return engine_install.problems(here) if is_wanted(here) else []


def refusals(here: Here) -> list[Probe]:
    return engine_foreign.refusals(here, base_image(here)) if is_wanted(here) else []


ENGINE = Component(
    name="engine",
    settings=EngineSettings,
    demand=demand,
    runtimes=("compose",),
    install=install,
    files=files,
    tidy=tidy,
    unit=lambda here: UNIT if is_wanted(here) else "",
    check=check,
    ready=ready,
    problems=problems,
    refusals=refusals,
    reaches=reaches,
    probes=probes,
    version=lambda here: "docker version --format '{{.Server.Version}}'" if is_wanted(here) else "",
    bill=lambda here: [engine_images.used()] if is_wanted(here) else [],
    group="all",
)
