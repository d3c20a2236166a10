"""LiteLLM: the gateway itself, under gunicorn, with its configuration checked before every start and reload."""

from __future__ import annotations

from shlex import quote

from pydantic import SecretStr

from deploys.components import engine_images, postgres_tls
from deploys.components.litellm import bootstrap, database, metrics
from deploys.components.litellm import timers as probing
from deploys.components.litellm.config import (
    SELFTEST,
    authority_checks,
    authority_files,
    config,
    config_problems,
    environment,
    modes,
    postgres_settings,
)
from deploys.components.litellm.image import image
from deploys.components.litellm.install import ROOT, install, materials, version_folder
from deploys.components.litellm.probes import (
    CONFIG,
    ENVIRONMENT,
    LAUNCH,
    SERVING,
    WORKERS,
    base_url,
    probes,
    refusals,
    schema,
    workers,
)
from deploys.components.litellm.runtime import UNIT, install_image, service_files, unit
from deploys.components.litellm.runtime import problems as runtime_problems
from deploys.components.litellm.settings import BASE_MB, PAYLOAD, WORKER_MB, LitellmSettings, default_workers
from deploys.lib.component import CLIENTS, Component, ConfigFile, Here, Link, Listener, Probe, Provision
from deploys.lib.network import routable
from deploys.lib.probes import oneshot
from deploys.lib.render import render
from deploys.lib.runtime import contained
from deploys.lib.sizing import Demand, Machine

# Index builds on a large spend log take long, and cut off they are repaired by hand: the unit's hour and a little.
CHECK_SECONDS = 3900
# A start takes 10-20 s on two busy cores, migrations excluded; a reload four of them at most (litellm_serving.py).
READY_SECONDS = 240


def demand(s: LitellmSettings, machine: Machine, tenants: frozenset[str]) -> Demand:
    workers = s.workers or default_workers(machine, tenants)
    return Demand(BASE_MB + workers * WORKER_MB, why=f"{workers} workers x {WORKER_MB} + {BASE_MB}")


def config_files(here: Here) -> list[ConfigFile]:
    s: LitellmSettings = here.settings(LitellmSettings)

    files = [
        ConfigFile(LAUNCH, (PAYLOAD / "launch.py").read_text(), mode="0755"),
        ConfigFile(SERVING, (PAYLOAD / "litellm_serving.py").read_text()),
        ConfigFile(WORKERS, (PAYLOAD / "workers.py").read_text(), mode="0755", effect="none"),
        # gunicorn reads the configuration again on SIGHUP, and nothing else: all other files need a restart.
        ConfigFile(
            CONFIG, render("litellm/config.yaml.j2", s, config=config(here)), "0640", "root", "litellm", effect="reload"
        ),
        ConfigFile(
            ENVIRONMENT,
            render("litellm/env.j2", s, environment=environment(here)),
            mode="0600",
            user="root",
            group="root",
            secret=True,
        ),
        *authority_files(here),
        *service_files(here),
    ]
    return [
        *files,
        unit(s, "litellm-recycle.service", effect="none"),
        unit(s, "litellm-recycle.timer", effect="none"),
        ConfigFile(bootstrap.BOOTSTRAP, (PAYLOAD / "bootstrap.py").read_text(), mode="0755", effect="none"),
        *metrics.files(s),
        *probing.files(
            s, base_url(here), SELFTEST, modes(here), s.cache_mode != "off", environment(here), routable(here)
        ),
    ]


def units(here: Here, wanted: bool) -> list[str]:
    """Units beside the gateway's own that are (or are not) ``wanted``: metrics, questions, renewal."""
    s: LitellmSettings = here.settings(LitellmSettings)
    renewal = ["litellm-recycle.timer"] if (s.recycle == "timer") is wanted else []
    return [*renewal, *metrics.units(s, wanted), *(probing.timers(s) if wanted else [])]


def provisions(here: Here) -> list[Provision]:
    """Teams and keys, once the gateway answers: it is asked first, and told what differs."""
    s: LitellmSettings = here.settings(LitellmSettings)
    return [
        Provision(
            "Teams and keys",
            bootstrap.check_command(s, base_url(here), ENVIRONMENT),
            bootstrap.apply_command(base_url(here), ENVIRONMENT),
            SecretStr(bootstrap.wanted(s, secrets=True)),
        )
    ]


def install_all(here: Here) -> None:
    if contained(here):
        install_image(here)
    else:
        install(here)
    database.install_programs()


def links(here: Here) -> list[Link]:
    return [Link(f"{ROOT}/current", version_folder(here))]


def new_authority(here: Here) -> str:
    """Where the file lies meanwhile that must be above the database's certificate; empty without TLS."""
    return f'"$(new {postgres_tls.GATEWAY_AUTHORITY})"' if postgres_settings(here).secured else ""


def guard(here: Here) -> list[str]:
    """The salt key reads what the database has stored, and the version can use it; asked before any file is written."""
    new = f'"$(new {ENVIRONMENT})"'
    key = "$(grep ^LITELLM_SALT_KEY= {file} 2>/dev/null)"
    # The key in use has been tried already; with it come addresses and passwords that may be another time's.
    same = f'[ "{key.format(file=new)}" = "{key.format(file=ENVIRONMENT)}" ]'
    return [
        f"{same} || {database.asked('salt', version_folder(here), new, new_authority(here))} || exit 1",
        database.reversible(version_folder(here), f"{ROOT}/current", ENVIRONMENT),
    ]


def check(here: Here) -> list[str]:
    """LiteLLM loads the new configuration in the service's own sandbox; then the schema is brought up to this version.

    Migrations are a step of their own because LiteLLM's own start treats a failed one as a detail. The database itself
    is asked whether it needs one: it may have been replaced since the last run. Whoever needs one has to have gone
    through it on a copy first.
    """
    s: LitellmSettings = here.settings(LitellmSettings)
    calendar, folder = quote(s.recycle_calendar), version_folder(here)
    migrate = oneshot("litellm-migrate.service", "the database migration failed; the version in use was left alone")
    return [
        f"systemd-analyze calendar {calendar} >/dev/null 2>&1 || "
        f"{{ echo litellm_recycle_calendar: {calendar} is not a time of systemd; see systemd.time; exit 1; }}",
        *authority_checks(here),
        # Before anything is started with it; the file is in place by now, and put back when this says no.
        f"{database.asked('salt', folder, ENVIRONMENT)} || exit 1",
        oneshot("litellm-check.service", "the gateway's configuration was refused"),
        f"{schema(folder)} >/dev/null 2>&1 || "
        f"{{ {database.asked('rehearsed', folder, ENVIRONMENT)} && {migrate}; }} || exit 1",
        f"{database.asked('keep', folder, ENVIRONMENT)} || exit 1",
    ]


def outdated(here: Here) -> list[Probe]:
    """A database without this version's schema, which no file of this host shows."""
    return [Probe("the database does not have this version's schema", schema(f"{ROOT}/current"))]


def ready(here: Here) -> str:
    """The gateway answers with its database, and every worker has finished starting with the present configuration."""
    return (
        f"curl -fsS --noproxy '*' --max-time 10 {base_url(here)}/health/readiness | "
        'grep -q \'"db": *"connected"\' && '
        f"{workers(here)} && {schema(f'{ROOT}/current')}"
    )


def problems(here: Here) -> list[str]:
    found = []
    for need in ("postgres", "redis"):
        if len(here.of(need)) > 1:
            names = ", ".join(member.name for member in here.of(need))
            found.append(f"the group {need!r} has more than one host ({names}); a gateway uses one")
    found += different_keys(here)
    return list(dict.fromkeys(found)) or config_problems(here) or runtime_problems(here)


def different_keys(here: Here) -> list[str]:
    """Gateways of one database with keys of their own: each could read only what it has stored itself."""
    found = []
    for field in ("salt_key", "master_key"):
        members = here.of("litellm")
        values = [getattr(member.settings["litellm"], field).get_secret_value() for member in members]
        if len(set(values)) > 1:
            names = " and ".join(member.name for member in members)
            found.append(f"litellm_{field}: {names} have different ones, and one database; give them the same")
    return found


def hints(here: Here) -> list[str]:
    s: LitellmSettings = here.settings(LitellmSettings)
    address = s.listen if s.listen not in ("0.0.0.0", "::") else here.member.address or here.member.name
    address = f"[{address}]" if ":" in address else address
    return [
        f"gateway: http://{address}:{s.port}/v1",
        f"key: LITELLM_MASTER_KEY in your inventory's secrets file, and in {ENVIRONMENT} on the host",
    ]


LITELLM = Component(
    name="litellm",
    settings=LitellmSettings,
    demand=demand,
    install=install_all,
    before=database.before,
    files=config_files,
    links=links,
    unit=lambda here: UNIT,
    extra_units=lambda here: units(here, wanted=True),
    stopped_units=lambda here: units(here, wanted=False),
    guard=guard,
    data=lambda here: database.going_back(version_folder(here), f"{ROOT}/current", ENVIRONMENT),
    check=check,
    check_seconds=CHECK_SECONDS,
    outdated=outdated,
    ready=ready,
    ready_seconds=READY_SECONDS,
    probes=probes,
    refusals=lambda here: [*refusals(here), *engine_images.refusals(here, image)],
    problems=problems,
    provisions=provisions,
    listeners=lambda here: [
        Listener(
            here.settings(LitellmSettings).port,
            ("litellm", "gunicorn", "python"),
            "litellm_port",
            # Behind an edge it is asked by nobody else.
            askers=("edge",) if here.of("edge") else (CLIENTS,),
        ),
        *metrics.listeners(here.settings(LitellmSettings)),
    ],
    version=lambda here: f"readlink {ROOT}/current | sed 's,.*/,,; s/-.*//'",
    bill=materials,
    serial=True,
    needs=("postgres", "redis"),
    hints=hints,
)
