"""What is wrong with how a site wants its backups: in its settings, and as its hosts are."""

from __future__ import annotations

import shlex

from deploys.components import postgres_guard
from deploys.components.backups_files import has_database, keeps
from deploys.components.backups_settings import OTHERS, BackupsSettings
from deploys.components.backups_site import CONFIG, backups, keeping
from deploys.lib.component import Here, Probe


def problems(here: Here) -> list[str]:
    s: BackupsSettings = here.settings(BackupsSettings)
    keepers, databases = keeping(here), here.of("postgres")
    if not here.member.has("postgres"):
        return _keeper_problems(here)
    found = []
    if len(keepers) > 1:
        names = ", ".join(member.name for member in keepers)
        found.append(f"there is more than one host in the group 'backup' ({names}); backups go to one")
    if s.repository == "host" and not keepers:
        found.append("backups_repository: `host` needs a host in the group 'backup' that does not have the database")
    if s.repository == "s3":
        needed = ("s3_endpoint", "s3_bucket", "s3_key", "s3_key_secret")
        if missing := [f"backups_{name}" for name in needed if not getattr(s, name)]:
            found.append(f"backups_repository: `s3` needs {', '.join(missing)} too")
    plan = backups(here) if len(databases) == 1 and len(keepers) < 2 else None
    if plan and plan.kind != "s3":
        parts = s.path.strip("/").split("/")
        if (
            parts[0] in OTHERS
            or len(parts) < (3 if parts[0] == "var" else 2)
            or s.path.startswith("/var/lib/postgresql")
        ):
            found.append(f"backups_path: {s.path} is a folder that others use; name one such as /srv/pgbackrest")
    return found


def _keeper_problems(here: Here) -> list[str]:
    plan, databases = backups(here), here.of("postgres")
    if not databases:
        return []
    if plan is None or not plan.apart:
        return ["is in the group 'backup', but backups_repository says that backups go elsewhere; leave it out of one"]
    if getattr(plan.database.settings["postgres"], "version", None):
        return [
            "has Debian's pgBackRest, and with postgres_version the database's host has that of PostgreSQL's own "
            "repository: they do not understand one another; use backups_repository s3, or Debian's PostgreSQL"
        ]
    there, own = plan.database.release, here.member.release
    if there and own and there != own:
        return [
            f"runs Debian {own} and the database's host {there}: their releases of pgBackRest do not understand one "
            "another; give both the same Debian, or use backups_repository s3"
        ]
    return []


def refusals(here: Here) -> list[Probe]:
    """What would be backed up wrongly, or not at all, asked before anything changes."""
    plan = backups(here)
    # What a backup says of its salt key is what is offered now; PostgreSQL's own part of a run asks as well.
    asked = plan and has_database(plan, here) and not here.member.host.wants("postgres")
    found = postgres_guard.refusals(here) if asked else []
    if plan and plan.apart and keeps(plan, here):
        own = f"[ ! -s {CONFIG} ] || grep -qx '\\[{plan.s.stanza}\\]' {CONFIG}"
        said = f"backups_stanza: this host keeps the backups of another site; a backup host is for one. See {CONFIG}"
        found.append(Probe("backups of another site", f"{own} || {{ echo {shlex.quote(said)}; exit 1; }}"))
    if plan and not plan.major:
        said = f"is to read the database of {plan.database.name}, which is not part of this run; run without --limit"
        return [*found, Probe("the database's version", f"echo {shlex.quote(said)}; exit 1")]
    if not plan or plan.kind != "s3" or not keeps(plan, here):
        return found
    name, _, port = plan.s.s3_endpoint.partition(":")
    reach = f"timeout 10 bash -c 'exec 3<>/dev/tcp/{name}/{port or 443}'"
    said = f"backups_s3_endpoint: {plan.s.s3_endpoint} cannot be reached from this host"
    away = f"{reach} 2>/dev/null || {{ echo {shlex.quote(said)}; exit 1; }}"
    return [*found, Probe("the store cannot be reached", away)]
