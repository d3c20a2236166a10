"""PostgreSQL: LiteLLM's keys, teams, spend and stored credentials."""

from __future__ import annotations

from deploys.components import (
    postgres_guard,
    postgres_install,
    postgres_restore,
    postgres_runtime,
    postgres_salt,
    postgres_tls,
)
from deploys.components.backups_site import backups
from deploys.components.litellm.settings import LitellmSettings, workers_on
from deploys.components.postgres_extra import extra_problems
from deploys.components.postgres_install import as_postgres, cluster, copies, copy_name, major, unit
from deploys.components.postgres_settings import ACCOUNT
from deploys.components.postgres_settings import PostgresSettings as PostgresSettings
from deploys.components.postgres_tuning import MINIMUM_MB, tuning
from deploys.lib.component import Component, ConfigFile, Here, Listener, Probe, Provision
from deploys.lib.probes import listens_only
from deploys.lib.render import render
from deploys.lib.sizing import Demand, Machine, Pool, SizingError, check_connections, connections_needed

# Connections beside the gateways' pools: PostgreSQL keeps 3 for superusers (superuser_reserved_connections), a
# migration and its index build open up to 5, and people, `verify` and backups get 6.
RESERVES = {"superuser": 3, "migration": 5, "administration": 6}


def demand(s: PostgresSettings, machine: Machine, tenants: frozenset[str]) -> Demand:
    if s.memory_mb is not None:
        return Demand(s.memory_mb, why="postgres_memory_mb")
    return Demand(MINIMUM_MB, weight=1.5)


def pools(here: Here) -> list[Pool]:
    """What every gateway of the site may open."""
    found = []
    for member in here.of("litellm"):
        s = member.settings["litellm"]
        assert isinstance(s, LitellmSettings)
        found.append(Pool(member.name, workers_on(member), s.database_connection_pool_limit))
    return found


def reserves(here: Here) -> dict[str, int]:
    """Connections beside the pools, by what they are for.

    A reload starts new workers before the old ones end, so one gateway at a time has its pool twice. Old ones with
    long answers stay for half an hour at most (litellm_serving.py), with the few connections that these need.
    """
    own = {"health": len(here.of("litellm"))}
    largest = max((pool.connections for pool in pools(here)), default=0)
    return {**RESERVES, **own, "reload of one gateway": largest}


def max_connections(here: Here) -> int:
    s: PostgresSettings = here.settings(PostgresSettings)
    return s.max_connections or max(40, connections_needed(pools(here), reserves(here))[0])


def problems(here: Here) -> list[str]:
    found = [*extra_problems(here.settings(PostgresSettings)), *postgres_tls.problems(here)]
    try:
        check_connections(pools(here), reserves(here), max_connections(here))
    except SizingError as error:
        found.append(f"postgres_max_connections: {error}; raise it, or lower litellm_database_connection_pool_limit")
    share = here.member.plan.shares["postgres"]
    try:
        tuning(share, here.member.machine.vcpus, max_connections(here))
    except SizingError as error:
        found.append(str(error))
    if len(here.of("postgres")) > 1:
        names = ", ".join(member.name for member in here.of("postgres"))
        found.append(f"there is more than one host in the group 'postgres' ({names}); the gateways need one database")
    return found


def gateways(here: Here) -> list[str]:
    """Addresses of the gateways as this host sees them connect, each as pg_hba.conf wants it."""
    addresses = [here.reach(member) for member in here.of("litellm")]
    return [f"{a}/{128 if ':' in a else 32}" for a in dict.fromkeys(addresses)]


def listen(here: Here) -> list[str]:
    elsewhere = [m for m in here.of("litellm") if m.name != here.member.name]
    return ["127.0.0.1", *([here.member.address] if elsewhere and here.member.address else [])]


def config_files(here: Here) -> list[ConfigFile]:
    s: PostgresSettings = here.settings(PostgresSettings)
    folder = cluster(here)
    tuned = tuning(here.member.plan.shares["postgres"], here.member.machine.vcpus, max_connections(here))
    plan = backups(here)
    archive = plan.s if plan else None
    certificate, key, _ = postgres_tls.paths(here)
    conf = render(
        "postgres/portcullis.conf.j2",
        s,
        listen=listen(here),
        tuned=tuned,
        archive=archive,
        certificate=certificate,
        key=key,
    )
    hba = render("postgres/pg_hba.conf.j2", s, gateways=gateways(here), copy=copy_name(s.database))
    return [
        ConfigFile(f"{folder}/conf.d/portcullis.conf", conf, user="postgres", group="postgres"),
        ConfigFile(f"{folder}/pg_hba.conf", hba, mode="0640", user="postgres", group="postgres", effect="reload"),
        *postgres_tls.files(here),
        *postgres_runtime.service_files(here),
    ]


def provisions(here: Here) -> list[Provision]:
    return [*postgres_install.provisions(here), *postgres_salt.provisions(here)]


def refusals(here: Here) -> list[Probe]:
    asking = (postgres_install, postgres_restore, postgres_guard, postgres_runtime)
    return [one for module in asking for one in module.refusals(here)]


def install(here: Here) -> None:
    postgres_install.install(here)
    postgres_runtime.install(here)
    postgres_restore.install(here)


def check(here: Here) -> list[str]:
    """PostgreSQL reads the new files with its own parser: the configuration offline, pg_hba.conf in the server."""
    folder = cluster(here)
    binary = f"/usr/lib/postgresql/{major(here)}/bin/postgres"
    errors = as_postgres(
        here,
        "SELECT string_agg(format('pg_hba.conf line %s: %s', line_number, error), '; ') FROM pg_hba_file_rules "
        "WHERE error IS NOT NULL",
    )
    return [
        f"runuser -u postgres -- {binary} -C max_connections -c config_file={folder}/postgresql.conf >/dev/null",
        f"if systemctl is-active --quiet {unit(here)}; then bad=$({errors}) || bad=; "
        # A new port is in the file and not yet in the server; then there is nobody to ask.
        '[ -z "$bad" ] || { echo "$bad"; exit 1; }; fi',
    ]


def ready(here: Here) -> str:
    return f"{as_postgres(here, 'SELECT 1')} | grep -x 1"


def probes(here: Here) -> list[Probe]:
    s: PostgresSettings = here.settings(PostgresSettings)
    used = (
        "SELECT count(*) || ' of ' || current_setting('max_connections') || ' connections in use' FROM pg_stat_activity"
    )
    plain = "SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL AND rolpassword NOT LIKE 'SCRAM-SHA-256$%'"
    return [
        Probe("answers", as_postgres(here, used)),
        Probe("has data checksums", f"{as_postgres(here, 'SHOW data_checksums')} | grep -x on"),
        Probe("has no password that is not SCRAM", f"{as_postgres(here, plain)} | grep -x 0"),
        Probe(
            "waits for no restart",
            f"{as_postgres(here, 'SELECT count(*) FROM pg_settings WHERE pending_restart')} | grep -x 0",
        ),
        *postgres_tls.probes(here, listen(here)),
        listens_only(s.port, listen(here)),
    ]


def store(here: Here) -> str:
    """How going back finds a dump of the gateways' database here, and puts it back."""
    s: PostgresSettings = here.settings(PostgresSettings)
    return f'word=$1; shift; {copies(here)} "$word" {s.database} "$@"'


POSTGRES = Component(
    name="postgres",
    settings=PostgresSettings,
    demand=demand,
    install=install,
    files=config_files,
    unit=unit,
    check=check,
    ready=ready,
    provisions=provisions,
    problems=problems,
    refusals=refusals,
    probes=probes,
    store=store,
    listeners=lambda here: [
        Listener(here.settings(PostgresSettings).port, ("postgres",), "postgres_port", askers=("litellm", "health"))
    ],
    confined=ACCOUNT,
    version=lambda here: f"/usr/lib/postgresql/{major(here)}/bin/postgres --version | awk '{{print $3}}'",
)
