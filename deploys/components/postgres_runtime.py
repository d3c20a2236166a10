"""How PostgreSQL runs: Debian's own unit in our sandbox, or the same program of the same release in a container."""

from __future__ import annotations

from deploys import operations
from deploys.components import engine_images
from deploys.components.backups_site import STATE, Backups, backups
from deploys.components.engine_settings import EngineSettings, log
from deploys.components.postgres_image import image
from deploys.components.postgres_install import cluster, major, unit
from deploys.components.postgres_settings import PostgresSettings
from deploys.lib.component import ConfigFile, Here, Probe
from deploys.lib.containers import HARD_FACTOR, Container, Health, compose_file
from deploys.lib.render import render
from deploys.lib.runtime import contained, unit_file

# Debian's unit has the same: what is done to `postgresql` is done to its clusters.
TOGETHER = ("PartOf=postgresql.service", "ReloadPropagatedFrom=postgresql.service", "Before=postgresql.service")


def container(here: Here, plan: Backups | None) -> Container:
    s: PostgresSettings = here.settings(PostgresSettings)
    share = here.member.plan.shares["postgres"]
    folder, data = cluster(here), f"/var/lib/postgresql/{major(here)}/main"
    programs = f"/usr/lib/postgresql/{major(here)}/bin"
    return Container(
        service="postgres",
        image=image(here).tag,
        command=(f"{programs}/postgres", "-D", data, "-c", f"config_file={folder}/postgresql.conf"),
        user="postgres",
        # For the key of the certificate that Debian makes for the cluster.
        groups=("ssl-cert",),
        unit=unit(here),
        # Whoever connects by the socket is known by a number, and pg_hba.conf goes by names: those of the host.
        reads=("/etc/postgresql", "/etc/ssl", "/etc/passwd", "/etc/group", *(("/etc/pgbackrest",) if plan else ())),
        writes=(
            "/var/lib/postgresql",
            "/var/log/postgresql",
            "/run/postgresql",
            *((STATE,) if plan else ()),
            *((plan.s.path,) if plan and plan.kind == "local" else ()),
        ),
        memory_mb=int(share * HARD_FACTOR),
        soft_mb=share,
        tasks=1024,
        open_files=here.settings(EngineSettings).open_files,
        awaited=True,
        protected=True,
        health=Health((f"{programs}/pg_isready", "-q", "-h", "/run/postgresql", "-p", str(s.port)), start=120),
        # Fast: whoever is connected is let go. The last of the log is archived meanwhile, and all memory written: the
        # hour that Debian's unit has for it.
        stop_signal="SIGINT",
        stop_seconds=3600,
        host_processes=True,
        reload=("/usr/bin/docker kill --signal HUP portcullis-postgres",),
    )


def service_files(here: Here) -> list[ConfigFile]:
    """The files of its unit."""
    s: PostgresSettings = here.settings(PostgresSettings)
    plan = backups(here)
    if contained(here):
        one = container(here, plan)
        return [compose_file("postgres", [one], log(here)), unit_file(one, f"PostgreSQL {major(here)}", lines=TOGETHER)]
    writes = f"-{STATE} -{plan.s.path}" if plan and plan.kind == "local" else f"-{STATE}" if plan else ""
    text = render("postgres/service.conf.j2", s, writes=writes)
    return [ConfigFile("/etc/systemd/system/postgresql@.service.d/portcullis.conf", text)]


def refusals(here: Here) -> list[Probe]:
    """An image that could not be built, before anything changes."""
    return engine_images.refusals(here, image)


def install(here: Here) -> None:
    """The image, where there is one: with pgBackRest, which PostgreSQL calls for every piece of its log."""
    if contained(here):
        operations.packages(name="postgres | What its image has as well", names=["pgbackrest"])
        engine_images.bring(here, "postgres", image(here))
        # Empty where nothing is backed up yet; Docker mounts no folder that is not there.
        operations.unless(
            name="postgres | Folder of pgBackRest's configuration",
            test="[ -d /etc/pgbackrest ]",
            command="install -d -m 0755 /etc/pgbackrest",
        )
