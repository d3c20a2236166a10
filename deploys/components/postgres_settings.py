"""Settings of PostgreSQL: which version, where it listens, names and passwords."""

from __future__ import annotations

from pydantic import Field, field_validator

from deploys.components.transport import Mode, TlsSettings
from deploys.lib.checks import long_enough
from deploys.lib.component import Account
from deploys.lib.patterns import URL, worded
from deploys.lib.settings import Port, Secret, secret

# As a role's or database's name each of these would mean something else: the superuser, who would lose its rights;
# the role of the health app; keywords of pg_hba.conf, where `all` lets everyone in; and roles PostgreSQL has already.
# Other words of SQL are names like any other: they stand in quotes wherever they are written.
TAKEN = {
    "postgres", "health", "template0", "template1",
    "all", "replication", "sameuser", "samerole", "samegroup",
    "public", "none", "user", "current_user", "session_user", "current_role", "default", "table", "select",
}  # fmt: skip

# The server's user, and pgBackRest's.
ACCOUNT = Account("postgres", "/var/lib/postgresql", "/bin/bash")

NAME = worded(
    r"^[a-z_][a-z0-9_]{0,62}$",
    "up to 63 of a to z, 0 to 9 and _, not beginning with a digit: names that need no quotes",
)


class PostgresSettings(TlsSettings):
    version: int | None = Field(
        None, ge=14, le=18, description="Major version from the PostgreSQL project's repository. Default: Debian's own."
    )
    repository: str = Field(
        "https://apt.postgresql.org/pub/repos/apt",
        pattern=URL,
        description="Package repository for `postgres_version`, or a mirror of it.",
    )
    port: Port = Field(5432, description="TCP port to listen on.")
    database: str = Field("litellm", pattern=NAME, description="Database for LiteLLM.")
    user: str = Field("litellm", pattern=NAME, description="Role that owns the database.")
    password: Secret = secret("env:POSTGRES_PASSWORD", "Password of that role, as a reference.")
    health_password: Secret = secret(
        "env:POSTGRES_HEALTH_PASSWORD", "Password of the role `health`, which may only connect, as a reference."
    )
    tls: Mode = Field(
        "off",
        description="Encrypt what gateways and PostgreSQL say to each other, over loopback too; PostgreSQL then lets "
        "nobody in without TLS, and gateways look at its certificate. `given`: with a certificate of yours; `site`: "
        "with one that is made from `postgres_tls_secret`. In the run that switches it on or off the health app says "
        "`not ready` from PostgreSQL's turn until its own.",
    )
    memory_mb: int | None = Field(
        None, ge=256, description="Memory to tune for in MiB. Default: this component's share of the host."
    )
    max_connections: int | None = Field(
        None, ge=20, le=5000, description="Connections to allow. Default: the sum of what everything may open."
    )
    storage: str = Field(
        "ssd",
        pattern=worded("^(ssd|hdd)$", "ssd or hdd"),
        description="Kind of disk: `ssd` or `hdd`; sets planner costs.",
    )
    extra_config: str = Field(
        "",
        description="Lines for the end of the configuration; a later line wins. Lines that would undo what Portcullis "
        "plans or secures are refused, with the setting to use instead.",
    )

    _password = long_enough("password", "health_password", minimum=16)

    @field_validator("user", "database")
    @classmethod
    def _own_name(cls, value: str) -> str:
        if value in TAKEN or value.startswith("pg_"):
            raise ValueError("has a meaning of its own in PostgreSQL or here; choose another name")
        return value
