"""The mark that tells, where the data is, which salt key it was encrypted with: another one never meets it in silence.

A gateway's own file says what salt key that host has; a host that was rebuilt has no such file, and would encrypt with
a new key beside what the old one encrypted. So LiteLLM's database carries a digest, keyed with the salt key, from which
nobody learns the key. It is the comment of a schema of its own: dumps take it along, a database's own comment they
leave behind; and Prisma looks at `public` only (run: 213 migrations pass beside it).
"""

from __future__ import annotations

import hmac
from shlex import quote

from deploys.components.litellm.settings import LitellmSettings
from deploys.components.postgres_install import as_postgres, named, quoted
from deploys.components.postgres_settings import PostgresSettings
from deploys.lib.component import Here, Provision

SCHEMA = "portcullis"
# What is digested. Never changed: every database in use has the digest of it.
LABEL = b"portcullis: the salt key of this database"
PREFIX = "portcullis-salt:"
# For whoever asks, in the database itself and under whatever role: one row with the digest, or none.
QUERY = (
    f"SELECT substring(obj_description(oid, 'pg_namespace') FROM '{PREFIX}([0-9a-f]{{64}})') FROM pg_namespace "
    f"WHERE nspname = '{SCHEMA}'"
)
REFUSAL = (
    "litellm_salt_key: the database was encrypted with another salt key than the one offered; with this one every "
    "stored credential and model would be unreadable. Offer the old one: the secrets file of the first deploy has it; "
    "or drop the database when nobody needs what is in it"
)


def digest(salt: str) -> str:
    """The mark of a salt key: an HMAC-SHA-256 of a fixed label."""
    return hmac.digest(salt.encode(), LABEL, "sha256").hex()


def offered(here: Here) -> str:
    """The mark of the salt key this run offers; empty when the site has no gateway."""
    for member in here.of("litellm"):
        s = member.settings["litellm"]
        assert isinstance(s, LitellmSettings)
        return digest(s.salt_key.get_secret_value())
    return ""


def provisions(here: Here) -> list[Provision]:
    """Mark a database that has no mark yet. Another one is never overwritten."""
    s: PostgresSettings = here.settings(PostgresSettings)
    mark = offered(here)
    if not mark:
        return []
    asked = as_postgres(here, QUERY, s.database)
    # The owner's, so that a dump can be read back by it.
    made = (
        f"CREATE SCHEMA IF NOT EXISTS {SCHEMA} AUTHORIZATION {named(s.user)}; "
        f"COMMENT ON SCHEMA {SCHEMA} IS {quoted(PREFIX + mark)}"
    )
    return [
        Provision(
            "Mark of the salt key",
            f"{asked} | grep -qx {mark}",
            f'found=$({asked}) && if [ -n "$found" ]; then echo {quote(REFUSAL)} >&2; exit 1; fi && '
            f"{as_postgres(here, made, s.database)}",
        )
    ]
