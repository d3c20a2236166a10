"""A backup made and tried now, because somebody asks for it; and what there is, as a list."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Generator, Mapping
from shlex import quote
from typing import Any

from pydantic import SecretStr
from pyinfra import host, inventory, state
from pyinfra.api import DeployError, StringCommand, operation

from deploys import facts, operations
from deploys.components import postgres_guard
from deploys.components.backups_files import as_postgres, backup_words, drill_words, has_database, keeps
from deploys.components.backups_site import LONG_SECONDS, Backups, backups, program
from deploys.lib.apply import refused, stop
from deploys.lib.component import Here, Probe
from deploys.lib.ledger import RUN_ID
from deploys.lib.report import say
from deploys.lib.transaction import STATE

KEPT = f"{STATE}/configuration.tar.enc"
NOTHING_YET = "this revision of Portcullis was not deployed here yet; run deploys/site.py first"
NONE = "this site keeps no backups: backups_repository is `none`, or no host has the database"


def _plan(here: Here) -> Backups:
    if plan := backups(here):
        return plan
    raise DeployError(f"nothing was changed: {NONE}")


@operation()
def _seal(secret: SecretStr) -> Generator[StringCommand, None, None]:
    """Everything that the last run of each component has put here, with its secrets, as one encrypted file."""
    key = hmac.digest(secret.get_secret_value().encode(), host.name.encode(), "sha256").hex()
    tar, out = f"{STATE}/configuration.tar", f"-out {KEPT}.part"
    yield StringCommand(
        f"umask 077; read -r pass; export pass; trap 'rm -f {tar}' EXIT; [ -d {STATE}/served ] || "
        f"{{ echo {quote(NOTHING_YET)} >&2; exit 1; }}; tar -chf {tar} -C {STATE}/served . && "
        f"openssl enc -aes-256-cbc -pbkdf2 -pass env:pass -in {tar} {out} && mv -f {KEPT}.part {KEPT}",
        _stdin=f"{key}\n",
    )


@operation()
def _keep(plan: Backups, of: str) -> Generator[StringCommand, None, None]:
    """Carry that file from the host ``of`` to the repository, by way of this machine."""
    if not state.is_executing:
        return
    text = inventory.get_host(of).get_fact(facts.Encoded, path=KEPT)
    words = (program("backup"), "keep", plan.s.stanza, "--host", of, "--run", RUN_ID)
    yield StringCommand(f"base64 -d | {as_postgres(*words)}", _stdin=f"{text}\n")


def make(here: Here) -> None:
    """Keep the configuration of every host, back the database up, and restore it for trial."""
    plan = _plan(here)
    # What is made now says which salt key it needs, and takes the offered one's word for it.
    guards = postgres_guard.refusals(here) if has_database(plan, here) else []
    if problems := [f"{host.name}: {why}" for guard in guards if (why := refused(guard))]:
        stop(problems)
    if keeps(plan, here) and not host.get_fact(facts.Succeeds, command=f"[ -x {program('backup')} ]"):
        stop([f"{host.name}: {NOTHING_YET}"])
    if here.member.settings:
        _seal(name="backup | This host's configuration, encrypted", secret=plan.s.configuration_passphrase)
    operations.gate(name="backup | Before the copies are carried")
    if keeps(plan, here):
        for member in here.site:
            if member.settings and inventory.get_host(member.name).connected:
                _keep(name="backup | Keep the configuration of each host", plan=plan, of=member.name)
        operations.step(
            name="backup | The database",
            key="backups-now",
            script=as_postgres(*backup_words(plan, here, "auto")),
            inputs=RUN_ID,
            noted=False,
            seconds=LONG_SECONDS,
        )
    operations.gate(name="backup | Before the trial")
    if has_database(plan, here):
        operations.step(
            name="backup | Trial of a restore",
            key="backups-trial",
            script=as_postgres(*drill_words(plan)),
            inputs=RUN_ID,
            noted=False,
            seconds=LONG_SECONDS,
        )
    _told(name="Summary", plan=plan, here=here)


def rows(found: Mapping[str, Any]) -> list[str]:
    """The backups of a repository, the newest first, a line each."""
    if not found["backups"]:
        return [f"{found['stanza']}: there is no backup"]
    lines = []
    for one in reversed(found["backups"]):
        stop = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(one["stop"]))
        damaged = ", with damaged pages" if one["damaged"] else ""
        size = f"{one['bytes'] / 1048576:,.0f} MiB, {one['stored'] / 1048576:,.1f} MiB stored"
        lines.append(f"{one['label']}  {one['kind']}, {stop}, {size}{damaged}")
    oldest = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(found["backups"][0]["stop"]))
    lines.append(f"any moment since {oldest} can be restored: --data restore='YYYY-MM-DD HH:MM:SS+00'")
    return lines


@operation()
def _told(plan: Backups, here: Here) -> Generator[str, None, None]:
    if not state.is_executing:
        return
    show(plan, here)
    yield from ()


def show(plan: Backups, here: Here) -> None:
    """Say what there is: on the host that keeps the backups their list, on the database's the last trial."""
    if not host.get_fact(facts.Succeeds, command=f"[ -x {program('backup')} ]"):
        say(NOTHING_YET)
        return
    if keeps(plan, here):
        command = as_postgres(program("backup"), "list", plan.s.stanza)
        right, text, _ = host.get_fact(facts.Answer, probe=Probe("list", command, seconds=120))
        for line in rows(json.loads(text)) if right else [text or "the repository does not answer"]:
            say(line)
    if has_database(plan, here):
        command = as_postgres(program("drill"), "--last", "--days", "36500")
        right, text, _ = host.get_fact(facts.Answer, probe=Probe("last trial", command))
        say(f"the last trial of a restore: {text}")


def listed(here: Here) -> None:
    """What deploys/backups.py prints. Changes nothing."""
    show(_plan(here), here)
