"""Backups of the database by pgBackRest: its log as it is written, a backup every day, and trials of restoring it."""

from __future__ import annotations

import shlex

from deploys import operations
from deploys.components import backups_install
from deploys.components.backups_files import (
    BACKUP,
    DRILL,
    SERVER,
    as_postgres,
    backup_words,
    config_files,
    drill_words,
    has_database,
    keeps,
)
from deploys.components.backups_problems import problems, refusals
from deploys.components.backups_settings import BackupsSettings
from deploys.components.backups_site import LONG_SECONDS, STATE, Backups, backups, program
from deploys.components.postgres_settings import ACCOUNT
from deploys.lib.component import Component, Here, Listener, Probe, Provision
from deploys.lib.ledger import RUN_ID
from deploys.lib.sizing import Demand, Machine


def demand(s: BackupsSettings, machine: Machine, tenants: frozenset[str]) -> Demand:
    """Nothing runs all the time but an idle server of a few MiB; the host's reserve covers it, and a limit keeps it."""
    return Demand(0)


def install(here: Here) -> None:
    plan = backups(here)
    # With PostgreSQL's own part of the run it is there already: that archives from its first start.
    if plan and not (here.member.has("postgres") and here.member.host.wants("postgres")):
        backups_install.install("backups", plan, keeps(plan, here))


def timers(here: Here) -> list[str]:
    plan = backups(here)
    if not plan:
        return []
    both = [(keeps(plan, here), f"{BACKUP}.timer"), (has_database(plan, here), f"{DRILL}.timer")]
    return [name for wanted, name in both if wanted]


def unit(here: Here) -> str:
    plan = backups(here)
    return SERVER if plan and plan.apart else ""


# What pgBackRest says of a file it does not understand: of a word that it does not know, and of a value that is none.
# Of a repository that is there, that it is encrypted with something else, or that the key is refused. Other errors are
# about one that may not be there yet.
NOT_UNDERSTOOD = "configuration file contains|\\[0(29|30|31|32|36|37)\\]|\\[(Crypto|Format)Error\\]|failed with 403"


def check(here: Here) -> list[str]:
    """pgBackRest reads the new file with its own parser."""
    plan = backups(here)
    if not plan:
        return []
    words = ("pgbackrest", f"--stanza={plan.s.stanza}", "--log-level-console=warn", "--io-timeout=1", "info")
    ask = f"timeout 20 {as_postgres(*words)} 2>&1 | grep -E {shlex.quote(NOT_UNDERSTOOD)} | head -n 1"
    return [f'said=$({ask}) || true; [ -z "$said" ] || {{ echo "$said"; exit 1; }}']


def provisions(here: Here) -> list[Provision]:
    """The place in the repository for this database, made by the host that keeps it."""
    plan = backups(here)
    if not plan or not keeps(plan, here):
        return []
    # Asked and made by the same: where it is there, it is compared with the database, and nothing is written.
    prepare = (program("backup"), "prepare", plan.s.stanza)
    return [
        Provision(
            "Place in the repository",
            f"{as_postgres(*prepare)} >/dev/null 2>&1",
            as_postgres(*prepare),
        )
    ]


def noted(what: str, plan: Backups) -> str:
    """Shell text that notes, on this host, that something was done with this very repository."""
    return f"echo {plan.repository} >{STATE}/{what}"


def is_noted(what: str, plan: Backups) -> str:
    return f'[ "$(cat {STATE}/{what} 2>/dev/null)" = {plan.repository} ]'


def provision(here: Here) -> None:
    """The first backup, and the first trial of it: what was never restored counts as none."""
    plan = backups(here)
    if not plan:
        return
    if keeps(plan, here):
        # After a restore to an earlier moment as well: the newest backup before it is of a course that was left.
        again = plan.database.host.restore not in ("", "latest")
        operations.step(
            name="backups | First backup",
            key="backups-first",
            inputs=RUN_ID if again else "",
            seconds=LONG_SECONDS,
            script=f"{as_postgres(*backup_words(plan, here, 'full'))} && {noted('first', plan)}",
            unless=""
            if again
            else f"{is_noted('first', plan)} && {as_postgres(program('backup'), 'any', plan.s.stanza)}",
        )
    operations.gate(name="backups | Before the trial there is a backup")
    if has_database(plan, here):
        operations.step(
            name="backups | First trial of a restore",
            key="backups-drill",
            script=f"{as_postgres(*drill_words(plan))} && {noted('tried', plan)}",
            unless=f"{is_noted('tried', plan)} && {as_postgres(program('drill'), '--last', '--days', '36500')}",
        )


def ready(here: Here) -> str:
    plan = backups(here)
    if not plan or not plan.apart:
        return "true"
    return f"pgbackrest server-ping --tls-server-address={here.member.address} --tls-server-port={plan.s.port}"


def probes(here: Here) -> list[Probe]:
    plan = backups(here)
    if not plan:
        return []
    found = []
    if keeps(plan, here):
        age = f"{program('backup')} fresh {plan.s.stanza} --hours {plan.s.max_age_hours}"
        found.append(Probe("has a backup that is young enough", as_postgres(*shlex.split(age))))
    if has_database(plan, here):
        state = (
            "SELECT CASE WHEN last_failed_time > coalesce(last_archived_time, '-infinity') THEN 'failing ' || "
            "last_failed_wal ELSE coalesce(last_archived_wal, '') END FROM pg_stat_archiver"
        )
        ask = as_postgres("psql", "--cluster", f"{plan.major}/main", "-XAtq", "-c", state)
        arrived = f'{as_postgres(program("backup"), "reached", plan.s.stanza)} --wal "$last"'
        failing = 'case $last in failing*) echo "$last"; exit 1 ;; esac'
        found.append(Probe("archives its log", f"last=$({ask} </dev/null) || exit 1; {failing}; {arrived}"))
        tried = [program("drill"), "--last", "--days", str(plan.s.drill_max_age_days)]
        found.append(Probe("has a backup that was restored for trial", as_postgres(*tried)))
    for timer in timers(here):
        found.append(Probe(f"has the timer {timer}", f"systemctl is-active {timer}"))
    return found


def hints(here: Here) -> list[str]:
    plan = backups(here)
    if plan and plan.kind == "local" and keeps(plan, here):
        return ["backups are on this host itself, and would be lost with it: docs/backups.md says where else they go"]
    return []


BACKUPS = Component(
    name="backups",
    settings=BackupsSettings,
    demand=demand,
    install=install,
    files=config_files,
    unit=unit,
    extra_units=timers,
    check=check,
    ready=ready,
    provisions=provisions,
    provision=provision,
    problems=problems,
    refusals=refusals,
    probes=probes,
    hints=hints,
    listeners=lambda here: (
        [Listener(p.s.port, ("pgbackrest",), "backups_port", askers=("backups",))]
        if (p := backups(here)) and p.apart
        else []
    ),
    reaches=lambda here: [f"https://{p.s.s3_endpoint}"] if (p := backups(here)) and p.s.s3_endpoint else [],
    confined=ACCOUNT,
    version=lambda here: "pgbackrest version 2>/dev/null | awk '{print $2}'" if backups(here) else "",
    group="backup",
    beside="postgres",
)
