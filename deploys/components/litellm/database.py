"""The gateway's database and a change of version: dumped, rehearsed on a copy, and only then migrated.

The dump is the database host's work, the migration that of a gateway, and they may be two hosts. So nothing is passed
between them but the database itself: the copy is there or it is not, and a rehearsal that went well is noted in the
database, where every gateway looks before it migrates (payload/litellm/database.py). A host that fails on the way
leaves the others with a database that may not be migrated.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from io import StringIO
from shlex import quote

from pydantic import SecretStr
from pyinfra.operations import files

from deploys import operations
from deploys.components import postgres_guard, postgres_tls
from deploys.components.litellm.config import environment, postgres_settings
from deploys.components.litellm.install import version_folder
from deploys.components.litellm.settings import PAYLOAD, LitellmSettings
from deploys.components.postgres_install import as_postgres, copies, copy_name, quoted
from deploys.components.postgres_settings import PostgresSettings
from deploys.lib.component import ConfigFile, Here, Member, Probe
from deploys.lib.network import routable
from deploys.lib.programs import TOOLS, program_folder
from deploys.lib.render import render
from deploys.lib.runtime import contained
from deploys.lib.tools import put_programs

PROGRAMS = tuple(PAYLOAD / name for name in ("database.py", "going_back.py", "migrations.py", "stored.sql"))
# What the rehearsal connects with: this run's words, which the gateway's own file does not have yet.
REHEARSAL = "/run/portcullis-rehearsal.env"
UNIT = "litellm-rehearse.service"
BACK = "deploys/rollback.py with --data restore_dump=true puts the dump of before back; see docs/upgrades.md"


def program() -> str:
    return f"{program_folder('litellm', PROGRAMS)}/database.py"


def asked(word: str, folder: str, file: str, authority: str = "") -> str:
    """A shell command that asks the database named in ``file``, as the installation in ``folder`` sees it.

    ``authority`` is where the one above its certificate lies, when that is not yet where ``file`` says.
    """
    return f"{folder}/venv/bin/python {program()} {word} {file} {authority}".rstrip()


def reversible(folder: str, current: str, file: str) -> str:
    """Shell text that fails with a sentence where the version in ``folder`` cannot use what the database has become.

    It is asked when that is not the version in use, ``current``, of all installations beside it: those that came later
    have the text of their migrations. Going back that puts a dump back first plans without it (`other_data`).
    """
    program = f"{program_folder('litellm', PROGRAMS)}/migrations.py"
    ask = f'{current}/venv/bin/python {program} reversible {file} {folder} "$(dirname {folder})"/*/'
    why = """$(printf %s "$answer" | sed 's/.*"why": "//; s/"}$//')"""
    return (
        f'if [ -z "${{other_data:-}}" ] && [ -x {current}/venv/bin/python ] && [ -f {file} ] && '
        f'[ "$(readlink -f {current})" != {folder} ]; then '
        f"answer=$({ask} 2>&1) || answer='it cannot be asked whether the other version can use it'; "
        f"""case $answer in *'"needed": false'*) ;; *) echo "the database is not one for that version: {why}; """
        f"""{BACK}"; exit 1 ;; esac; fi"""
    )


def going_back(folder: str, current: str, file: str) -> str:
    """A shell command that says what the version in ``folder`` needs of the database, for whoever goes back to it."""
    program = f"{program_folder('litellm', PROGRAMS)}/going_back.py"
    return f'{current}/venv/bin/python {program} {file} "$(new {file})" {folder} "$(dirname {folder})"/*/'


def install_programs() -> None:
    put_programs("litellm | What asks the database", program_folder("litellm", PROGRAMS), PROGRAMS)


@cache
def migrations(version: str) -> dict[str, str]:
    """The migrations of a locked release, and why each is more than an addition (empty: it only adds)."""
    path = PAYLOAD / version / "migrations.txt"
    rows = path.read_text().splitlines() if path.is_file() else []
    return {name: why for name, _, why in (row.partition("\t") for row in rows)}


@cache
def known() -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted(PAYLOAD.glob("*/migrations.txt")):
        found.update(migrations(path.parent.name))
    return found


def judge(version: str, together: bool) -> Callable[[str], str]:
    """What is said of the migrations that the database has, given the version that is wanted.

    ``together`` says whether the database's host is part of the run.
    """

    def said(answer: str) -> str:
        have, wanted = set(json.loads(answer) if answer.startswith("[") else ()), migrations(version)
        if not have or not wanted:
            return ""
        extra = sorted(have - set(wanted))
        if extra and extra[-1] > max(wanted):
            for name in extra:
                why = known().get(name, "it is unknown here")
                if why:
                    return (
                        f"litellm_version: the database has {len(extra)} migrations that {version} lacks, and {name} "
                        f"does more than add to it ({why}); {BACK}"
                    )
        missing = set(wanted) - have
        if missing and not together:
            return (
                f"litellm_version: {version} needs {len(missing)} migrations, and the host of the database, which "
                "dumps it first, is not part of this run; run without --limit, or name that host too"
            )
        return ""

    return said


def refusals(here: Here) -> list[Probe]:
    """Whether the database can go to the wanted version; and, when its host is not asked otherwise, the salt key."""
    s: LitellmSettings = here.settings(LitellmSettings)
    home = here.of("postgres")[0]
    there, d = Here(home, here.site), home.settings["postgres"]
    assert isinstance(d, PostgresSettings)
    sql = (
        "SELECT coalesce(json_agg(DISTINCT migration_name), '[]') FROM public._prisma_migrations "
        "WHERE finished_at IS NOT NULL"
    )
    ask = f"{as_postgres(there, sql, d.database)} 2>/dev/null || true"
    found = [Probe("another schema", ask, on=home.name, judge=judge(s.version, bool(home.release)))]
    if not home.release:
        found += [Probe(one.name, one.command, on=home.name, judge=one.judge) for one in postgres_guard.refusals(there)]
    return found


def at_work(member: Member) -> bool:
    """Whether this run brings the gateway of ``member`` to its settings; one outside the run has no release."""
    return member.has("litellm") and bool(member.release) and member.host.wants("litellm")


def before(here: Here, run: str) -> None:
    """Dump the database, rehearse the migration on a copy, remove the copy: when a migration is needed."""
    chosen = [member for member in here.of("litellm") if at_work(member)]
    serves = here.member.has("postgres")
    operations.gate(name="litellm | Before the files: every gateway has this version beside its own")
    if chosen and serves:
        dump(here, chosen[0], run)
    operations.gate(name="litellm | Before the files: the database is dumped where it has to be migrated")
    if at_work(here.member):
        rehearse(here)
    operations.gate(name="litellm | Before the files: the migration went well on a copy where one is needed")
    if chosen and serves:
        s: PostgresSettings = here.settings(PostgresSettings)
        there = as_postgres(here, f"SELECT 1 FROM pg_database WHERE datname = {quoted(copy_name(s.database))}")
        operations.unless(
            name="litellm | Remove the copy that the migration was rehearsed on",
            test=f'[ -z "$({there})" ]',
            command=f"{copies(here)} drop-rehearsal {s.database}",
        )


def dump(here: Here, gateway: Member, run: str) -> None:
    s: PostgresSettings = here.settings(PostgresSettings)
    wanted = gateway.settings["litellm"]
    assert isinstance(wanted, LitellmSettings)
    text = (PAYLOAD / wanted.version / "migrations.txt").read_text()
    listed = f"{TOOLS}/litellm-migrations.txt"
    files.put(
        name="litellm | What migrations this version has, for the database's host",
        src=StringIO(text),
        dest=listed,
        mode="644",
        user="root",
        group="root",
    )
    folder = f"{here.member.host.backup_root}/{run}/database"
    operations.step(
        name="litellm | Dump the database before it is migrated, and prove the dump",
        key="litellm-dump",
        script=f"{copies(here)} dump {quote(folder)} {s.database} --rehearse",
        unless=f"[ -s {quote(folder)}/database.json ] || ! {copies(here)} lacks {s.database} {listed}",
    )


def rehearsal_authority(here: Here) -> ConfigFile | None:
    """What a rehearsal has to find above the database's certificate."""
    d, (home, *_) = postgres_settings(here), here.of("postgres")
    return postgres_tls.authority(d, home, postgres_tls.REHEARSAL_AUTHORITY) if d.secured else None


def rehearsal(here: Here) -> str:
    """The unit in which a rehearsal runs.

    Where the installation is an image, its Python runs in a container, with the environment of whoever starts it.
    """
    above = rehearsal_authority(here)
    return render(
        f"litellm/{UNIT}.j2",
        here.settings(LitellmSettings),
        environment=REHEARSAL,
        folder=version_folder(here),
        program=program(),
        contained=contained(here),
        addresses=routable(here),
        authority=above.path if above else "",
    )


def rehearse(here: Here) -> None:
    s: LitellmSettings = here.settings(LitellmSettings)
    folder = version_folder(here)
    mine = {
        name: value for name, value in environment(here).items() if isinstance(value, str) or name == "DATABASE_URL"
    }
    secret = render("litellm/env.j2", s, environment=mine)
    above = rehearsal_authority(here)
    put = f"umask 022; printf %s {quote(above.text)} >{above.path}; " if above else ""
    gone = f" {above.path}" if above else ""
    operations.unless(
        name="litellm | What a rehearsal connects with",
        test=asked("rehearsed", folder, "/etc/litellm/.env"),
        command=f"{put}umask 077; cat >{REHEARSAL}.part && mv -f {REHEARSAL}.part {REHEARSAL}",
        secret_stdin=SecretStr(secret),
    )
    journal = f'"_SYSTEMD_INVOCATION_ID=$(systemctl show -p InvocationID --value {UNIT})"'
    operations.step(
        name="litellm | Rehearse the migration on a copy of the database",
        key="litellm-rehearse",
        script=(
            # Emptied by an attempt that failed: a password does not lie about, and the step is not done.
            f"[ -s {REHEARSAL} ] || {{ rm -f {REHEARSAL}; exit 0; }}\n"
            f"cp $DATA /run/systemd/system/{UNIT}; systemctl daemon-reload\n"
            "echo 'rehearsing the migration on a copy of the database, if there is one'\n"
            f"systemctl start {UNIT} 2>/dev/null || {{ journalctl -q -o cat --no-pager {journal} | "
            f"grep '^portcullis: ' | cut -c 13- | tail -n 1; : >{REHEARSAL}; exit 1; }}\n"
            f"rm -f {REHEARSAL}{gone} /run/systemd/system/{UNIT}; systemctl daemon-reload"
        ),
        stdin=rehearsal(here),
        unless=f"[ ! -e {REHEARSAL} ]",
        # The first gateway does it for all.
        _serial=True,
    )
