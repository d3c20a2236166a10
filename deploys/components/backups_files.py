"""Files of backups, and the commands in them, for each of the hosts that have a part in them."""

from __future__ import annotations

import shlex

from deploys.components.backups_proof import salt_of, sealed
from deploys.components.backups_site import CONFIG, STATE, TLS, Backups, backups, program
from deploys.components.postgres_settings import PostgresSettings
from deploys.lib.authority import NAME
from deploys.lib.component import ConfigFile, Here
from deploys.lib.render import render

SERVER = "portcullis-pgbackrest.service"
BACKUP, DRILL = "portcullis-backup", "portcullis-restore-drill"
TEMPLATES = {"service": "backups/task.service.j2", "timer": "backups/task.timer.j2"}
UNITS = "/etc/systemd/system"


def keeps(plan: Backups, here: Here) -> bool:
    """Whether this host makes the backups, and knows what they are encrypted with."""
    return plan.keeper.name == here.member.name


def has_database(plan: Backups, here: Here) -> bool:
    return plan.database.name == here.member.name


def as_postgres(*words: str) -> str:
    return f"runuser -u postgres -- {shlex.join(words)}"


def backup_words(plan: Backups, here: Here, kind: str) -> list[str]:
    """The command that makes a backup, as its unit runs it; ``kind`` is auto, full or diff."""
    words = [program("backup"), "now", plan.s.stanza, "--kind", kind, "--full-days", str(plan.s.full_days)]
    salt = salt_of(here)
    # In one word: one proof of 64 begins with a dash.
    return [*words, *([f"--proof={sealed(salt)}"] if salt else [])]


def drill_words(plan: Backups) -> list[str]:
    return [program("drill"), plan.s.stanza, f"{plan.major}/main", database_name(plan)]


def database_name(plan: Backups) -> str:
    p = plan.database.settings["postgres"]
    assert isinstance(p, PostgresSettings)
    return p.database


def conf(plan: Backups, here: Here) -> str:
    return render(
        "backups/pgbackrest.conf.j2",
        plan.s,
        state=STATE,
        tls=TLS,
        kind=plan.kind,
        keeps=keeps(plan, here),
        has_database=has_database(plan, here),
        own=here.member.address if plan.apart else "",
        keeper=plan.keeper.address,
        database=plan.database.address,
        major=plan.major,
        port=plan.port,
        name=NAME,
    )


def connection_files(plan: Backups, here: Here) -> list[ConfigFile]:
    """What pgBackRest needs to reach the repository, on the host of ``here``."""
    made = [ConfigFile(CONFIG, conf(plan, here), mode="0640", group="postgres", secret=True)]
    if plan.apart:
        own = plan.certificate(here.member)
        made += [
            ConfigFile(f"{TLS}/authority.crt", own.authority),
            ConfigFile(f"{TLS}/own.crt", own.certificate),
            ConfigFile(
                f"{TLS}/own.key",
                own.key.get_secret_value(),
                mode="0600",
                user="postgres",
                group="postgres",
                secret=True,
            ),
        ]
    return made


def config_files(here: Here) -> list[ConfigFile]:
    plan = backups(here)
    if not plan:
        return []
    local = plan.kind == "local" or (plan.apart and keeps(plan, here))
    writes = {"state": STATE, "writes": " ".join([*([plan.s.path] if local else []), *data_folder(plan, here)])}
    made = connection_files(plan, here)
    if plan.apart:
        made.append(ConfigFile(f"{UNITS}/{SERVER}", render("backups/server.service.j2", plan.s, **writes)))
    tasks = []
    if keeps(plan, here):
        tasks.append((BACKUP, "Backup of the gateway's database", backup_words(plan, here, "auto"), plan.s.calendar))
    if has_database(plan, here):
        about = "Trial: the newest backup restored beside the database"
        tasks.append((DRILL, about, drill_words(plan), plan.s.drill_calendar))
    for name, about, words, calendar in tasks:
        told = {"about": about, "command": shlex.join(words), "calendar": calendar, **writes}
        for kind, template in TEMPLATES.items():
            text = render(template, plan.s, **told)
            made.append(ConfigFile(f"{UNITS}/{name}.{kind}", text, effect="none"))
    return made


def data_folder(plan: Backups, here: Here) -> list[str]:
    return ["/var/lib/postgresql"] if has_database(plan, here) else []
