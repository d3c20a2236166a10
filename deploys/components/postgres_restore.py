"""The database brought back from its backups, on a new host or in place of the one that is there.

It comes between the packages and the configuration: the restored cluster is then configured, told its roles and
checked like any other, and the gateways' part of the run migrates it where they are newer.
"""

from __future__ import annotations

import base64
import io
import shlex
import tarfile
from shlex import quote

from pydantic import SecretStr

from deploys import operations
from deploys.components.backups_files import connection_files
from deploys.components.backups_proof import fits, salt_of
from deploys.components.backups_site import CONFIG, LONG_SECONDS, Backups, backups, program
from deploys.components.postgres_install import as_postgres, cluster_name, major
from deploys.lib.component import ConfigFile, Here, Probe
from deploys.lib.ledger import RUN_ID
from deploys.lib.provenance import UNMARKED
from deploys.lib.transaction import digest

OTHER_KEY = (
    "litellm_salt_key: the backup is of a database that was encrypted with another salt key than the one offered; "
    "every credential stored there would be unreadable. Offer the old one: the secrets file of the first deploy has it"
)


# Each file is there under its name when it is whole; what is read first comes last.
UNPACK = (
    "t=$(mktemp -d /etc/.portcullis-XXXXXX) && trap 'rm -rf $t' EXIT && base64 -d | tar -xp --same-owner -C $t -f - && "
    f"cd $t && for f in $(find . -type f ! -path .{CONFIG}) .{CONFIG}; do "
    'install -d "$(dirname /$f)" && mv -f $f /$f || exit 1; done'
)


def restored(here: Here) -> str:
    return f"/var/lib/postgresql/{major(here)}/main.restoring"


def _archive(files: list[ConfigFile]) -> str:
    """The files as a tar archive that root unpacks at /, as base64."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for item in files:
            data = item.text.encode()
            info = tarfile.TarInfo(item.path.lstrip("/"))
            info.size, info.mode, info.uname, info.gname = len(data), int(item.mode, 8), item.user, item.group
            archive.addfile(info, io.BytesIO(data))
    return base64.encodebytes(buffer.getvalue()).decode()


def _as_user(plan: Backups, *words: str) -> str:
    return f"runuser -u postgres -- {shlex.join([program('restore'), *words])}"


def install(here: Here) -> None:
    host, plan = here.member.host, backups(here)
    if not host.restore or not plan:
        return
    target, where = host.restore, cluster_name(here)
    replace = host.restore_over == "replace"
    # A host that keeps what it has is done; one whose restore was cut off is not, and says so.
    kept = f"[ -x {program('restore')} ] && ! {program('restore')} empty {where}"
    # On a new host nothing is configured yet. The same text comes as part of `backups` again, and finds itself there.
    files = connection_files(plan, here)
    # Whatever revision has made it: written again without that line, it would differ from what the ledger has of it.
    same = " && ".join(
        f'[ "$({UNMARKED} 2>/dev/null <{one.path} | sha256sum | cut -c 1-64)" = {digest(one)} ]' for one in files
    )
    operations.unless(
        name="postgres | What reaches the backups",
        test=f"{{ {same}; }}" if replace else f"{{ {same}; }} || {{ {kept}; }}",
        command=UNPACK,
        secret_stdin=SecretStr(_archive(files)),
    )
    salt = salt_of(here)
    proof = Probe(
        "another salt key", f"{_as_user(plan, 'proof', plan.s.stanza, target)} 2>&1",
        seconds=120,
        judge=lambda answer: "" if not answer or not salt or fits(answer, salt) else OTHER_KEY,
    )  # fmt: skip
    done = "false" if replace else kept
    operations.asked(name="postgres | The backups can be read, with this salt key", probe=proof, unless=done)
    put = [program("restore"), "put", plan.s.stanza, where, target, RUN_ID, *(["--replace"] if replace else [])]
    operations.step(
        name=f"postgres | Restore {target}",
        key="postgres-restore",
        script=shlex.join(put),
        inputs=RUN_ID,
        seconds=LONG_SECONDS,
        # To replace is to do it again in every run that asks for it, and once in each.
        unless="" if replace else kept,
    )


def refusals(here: Here) -> list[Probe]:
    """Reasons not to begin: nothing to restore from, something that would be replaced, a restore that was cut off."""
    host, plan = here.member.host, backups(here)
    if not host.restore:
        half = (
            "an earlier restore was cut off and the database is in the middle of it; run again with what was to be "
            "restored, as in --data restore=latest --data restore_over=replace; what was there before it is kept"
        )
        return [Probe("a restore that was cut off", f"[ ! -e {restored(here)} ] || {{ echo {quote(half)}; exit 1; }}")]
    if not plan:
        return [Probe("no backups", "echo 'restore: this site keeps no backups (backups_repository)'; exit 1")]
    if host.restore_over != "refuse":
        return []
    names = (
        "SELECT string_agg(datname, ', ') FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1')"
    )
    has = (
        f"[ -e {restored(here)} ] || [ ! -d /etc/postgresql/{major(here)}/main ] || "
        f'{{ found=$({as_postgres(here, names)} 2>/dev/null) || found="a cluster that does not run"; '
        '[ -z "$found" ] || { echo "restore: the host has a database already ($found). To put it aside and restore in '
        'its place: --data restore_over=replace. To leave it and deploy: without restore"; exit 1; }; }'
    )
    return [Probe("a database that would be replaced", has)]
