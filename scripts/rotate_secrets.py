"""Give secrets of an inventory new values: `python scripts/rotate_secrets.py inventories/production.py REDIS_PASSWORD`.

Changes the secrets file and no host; says what to run next, and what that means for whoever uses the gateway.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from deploys.lib.secrets import SecretError, read_env_file  # noqa: E402
from scripts.make_secrets import MAKE  # noqa: E402

RESTART = "The gateways restart, one after the other."
# What the deploy that follows does, and who notices.
MEANS = {
    "LITELLM_MASTER_KEY": f"{RESTART} Whoever uses the master key has to be given the new one, and whoever is signed "
    "in to the admin interface has to sign in again. Virtual keys go on working.",
    "POSTGRES_PASSWORD": f"PostgreSQL refuses the earlier one at once, and a gateway knows the new one after its "
    f"restart: connections that are open stay. {RESTART}",
    "POSTGRES_HEALTH_PASSWORD": "The health app restarts; the gateways do not.",
    "REDIS_PASSWORD": "Redis restarts, then the gateways, one after the other. Until its own turn a gateway has no "
    "Redis: it answers, and each worker counts limits for itself.",
    "REDIS_HEALTH_PASSWORD": "Redis restarts, and the health app; the gateways do not, and find Redis again.",
    "BACKUPS_CONFIGURATION_PASSPHRASE": "Copies of the configuration that are made from now on need the new one; those "
    "there are need the earlier one, so keep it as long as them.",
    "BACKUPS_TLS_SECRET": "The certificates between the database's host and the backup host are replaced, in one run "
    "for both. The database's log waits meanwhile.",
    "SITE_TLS_SECRET": "Servers with certificates of the site's own get others in one run. Give that run the earlier "
    "value too, as docs/inside.md says, or gateways refuse their servers until their own turn. Clients of an edge "
    "with such a certificate have to be given its new authority.",
}
REFUSED = {
    "LITELLM_SALT_KEY": "LiteLLM encrypts what is stored in the database (providers' keys, models, credentials) with "
    "it and has no way to another one: everything stored would become unreadable, and a deploy with another salt key "
    "is refused. If others know it, replace the providers' keys that are stored, at the providers",
    "BACKUPS_PASSPHRASE": "pgBackRest cannot change what a repository in use is encrypted with; none of its backups "
    "could be read, and a deploy with another one is refused. docs/rotation.md says how to begin a new repository",
}


class Refused(Exception):
    """Why nothing was changed, in one sentence."""


def new_text(text: str, names: Iterable[str]) -> str:
    """The secrets file with new values for ``names``, and every other line as it was."""
    lines = text.splitlines(keepends=True)
    for name in names:
        at = [number for number, line in enumerate(lines) if line.partition("=")[0].strip() == name]
        if len(at) != 1:
            raise Refused(f"{name} is in it {len(at)} times; leave one line, the one that is in use")
        lines[at[0]] = f"{name}={MAKE[name]()}\n"
    return "".join(lines)


def refuse_what_makes_no_sense(names: list[str], stored: Iterable[str], shown: Path) -> None:
    """Raise Refused unless each of ``names`` can have another value, and has its present one from this file."""
    for name in names:
        if name in REFUSED:
            raise Refused(f"{name} is not rotated: {REFUSED[name]}")
        if name not in MEANS:
            raise Refused(f"{name} is none of the secrets made by `make secrets`; there are {', '.join(MEANS)}")
        if name not in stored:
            raise Refused(f"{shown} has no {name}; where the deploy takes it from, there it is rotated")
        if name in os.environ:
            raise Refused(f"{name} is set in the environment, which goes before {shown}; unset it first")


def write_private(path: Path, text: str) -> None:
    """A new file that nobody else can read at any moment, on the disk when this returns."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def rotate(path: Path, names: list[str], shown: Path) -> Path:
    """Exchange the values in ``path``; the path of the copy that has the earlier ones."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        refuse_what_makes_no_sense(names, read_env_file(path), shown)
        old = path.read_text()
        new = new_text(old, names)
        kept = path.with_name(f"{path.name}.{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
        write_private(kept, old)
        part = path.with_name(f"{path.name}.part")
        part.unlink(missing_ok=True)
        write_private(part, new)
        part.replace(path)
        os.fsync(folder)
    finally:
        os.close(folder)
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inventory", type=Path, help="the inventory file the secrets are for")
    parser.add_argument("name", help="the secret to rotate, such as LITELLM_MASTER_KEY; several with commas between")
    given = parser.parse_args()
    names = list(dict.fromkeys(name.strip() for name in given.name.split(",") if name.strip()))
    shown = Path("secrets") / f"{given.inventory.stem}.env"
    try:
        if not given.inventory.is_file():
            raise Refused(f"{given.inventory}: there is no such inventory file")
        if not names:
            raise Refused(f"name a secret: {', '.join(MEANS)}")
        if not (ROOT / shown).is_file():
            raise Refused(f"{shown} does not exist; `make secrets INV={given.inventory}` makes it")
        # The file may be a link to where secrets are kept; what it leads to is exchanged, not the link.
        kept = rotate((ROOT / shown).resolve(), names, shown)
    except (Refused, SecretError, OSError) as error:
        print(f"nothing was changed: {error}", file=sys.stderr)
        return 2
    where = kept.relative_to(ROOT) if kept.is_relative_to(ROOT) else kept
    print(f"{shown}: new values for {', '.join(names)}; the file of before is {where}")
    for name in names:
        print(f"\n{name}: {MEANS[name]}")
    print(
        f"\nHosts want the earlier values until you deploy, all hosts in one run, without components= or --limit:\n"
        f"    .venv/bin/pyinfra {given.inventory} deploys/site.py\n"
        f"    .venv/bin/pyinfra -y {given.inventory} deploys/verify.py\n"
        "Keep a copy of the new file where you keep passwords. docs/rotation.md says what going back does, and where "
        "the earlier values still are."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
