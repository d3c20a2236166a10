"""How PostgreSQL gets onto a host, its roles and LiteLLM's database; and what it finds there that it must not touch."""

from __future__ import annotations

from shlex import quote

from pydantic import SecretStr

from deploys import operations
from deploys.components import backups_install
from deploys.components.backups_site import DEBIAN_MAJOR, backups
from deploys.components.postgres_settings import PostgresSettings
from deploys.lib import apt
from deploys.lib.component import Here, Probe, Provision
from deploys.lib.programs import program_folder
from deploys.lib.render import ROOT
from deploys.lib.scram import digest_of, verifier
from deploys.lib.tools import put_programs

PROGRAMS = tuple(ROOT / "payload" / "postgres" / name for name in ("database", "dumps.py"))
SOURCES = "/etc/apt/sources.list.d/portcullis-postgresql.sources"
PREFERENCES = apt.preferences("postgresql")
OFFICIAL, ORIGIN = "apt.postgresql.org", "apt.postgresql.org"
# The server of any version with what it needs of its own making, and the backups that have to be of the same making.
MAY_SUPPLY = ["postgresql-*", "libpq5", "pgbackrest"]
# The key comes with Debian's postgresql-common, which the step before this one installs: Debian vouches for it. A
# repository that somebody else has named here too supplies what it did for them.
REPOSITORY = (
    '. /etc/os-release; { echo "Types: deb"; cat "$DATA"; echo "Suites: $VERSION_CODENAME-pgdg"; '
    'echo "Components: main"; '
    'echo "Signed-By: /usr/share/postgresql-common/pgdg/apt.postgresql.org.asc"; } '
    f">{SOURCES}; if grep -qsF //{OFFICIAL}/ /dev/null $(ls -d /etc/apt/sources.list /etc/apt/sources.list.d/* "
    f"2>/dev/null | grep -vxF {SOURCES}); then rm -f {PREFERENCES}; else @CONFINED@; fi; "
    "apt-get -o DPkg::Lock::Timeout=300 -qq update"
)


def repository_script(repository: str) -> str:
    """The step that adds the repository, and lets it supply PostgreSQL and nothing in place of Debian's packages."""
    confined = apt.confined("postgresql", MAY_SUPPLY, apt.pin(repository, OFFICIAL, ORIGIN))
    return REPOSITORY.replace("@CONFINED@", confined)


def major(here: Here) -> int:
    """The major version this host runs."""
    s: PostgresSettings = here.settings(PostgresSettings)
    return s.version or DEBIAN_MAJOR.get(here.member.release, 0)


def cluster(here: Here) -> str:
    return f"/etc/postgresql/{major(here)}/main"


def unit(here: Here) -> str:
    return f"postgresql@{major(here)}-main.service"


def cluster_name(here: Here) -> str:
    """The cluster as Debian's tools name it."""
    return f"{major(here)}/main"


def copies(here: Here) -> str:
    """The command that dumps, copies and restores the database; see payload/postgres/database."""
    return f"PGCLUSTER={cluster_name(here)} {program_folder('postgres', PROGRAMS)}/database"


def copy_name(database: str) -> str:
    """The copy of a database on which migrations are rehearsed; PostgreSQL cuts a name at 63 letters."""
    return f"{database[:50]}_rehearsal"


def as_postgres(here: Here, sql: str, database: str = "postgres") -> str:
    """A shell command that runs one statement as the superuser, over the socket of the cluster, whatever its port."""
    # A host outside the run does not say its release, so not its version either; its port does as well.
    which = f"--cluster {cluster_name(here)}" if major(here) else f"-p {here.settings(PostgresSettings).port}"
    quiet = f"psql {which} -X -A -t -q -v ON_ERROR_STOP=1 -d {database}"
    return f"runuser -u postgres -- {quiet} -c {quote(sql)} </dev/null"


def quoted(text: str) -> str:
    """``text`` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def named(name: str) -> str:
    """``name`` as an SQL identifier. Without quotes `order`, `end` or `grant` would be a word of the language."""
    return '"' + name.replace('"', '""') + '"'


def install(here: Here) -> None:
    s: PostgresSettings = here.settings(PostgresSettings)
    operations.packages(name="postgres | Common packages", names=["postgresql-common"])
    operations.step(
        name="postgres | Package repository",
        key="postgres-repository",
        script=repository_script(s.repository) if s.version else f"rm -f {SOURCES} {PREFERENCES}",
        inputs=f"{s.repository} {s.version}",
        stdin=f"URIs: {s.repository}\n",
    )
    # The package makes the cluster; this file is how it is told to make it with checksums.
    operations.step(
        name="postgres | Data checksums for new clusters",
        key="postgres-createcluster",
        script="install -d /etc/postgresql-common/createcluster.d; "
        "echo \"initdb_options = '--data-checksums'\" >/etc/postgresql-common/createcluster.d/portcullis.conf",
    )
    operations.packages(name="postgres | Packages", names=[f"postgresql-{major(here)}"])
    operations.unless(
        name="postgres | Data checksums",
        # Asked of the files: a server that does not run is for the next steps to mend, not a reason to stop here. A
        # restore that was cut off is begun anew by one of them.
        test=f"[ -e /var/lib/postgresql/{major(here)}/main.restoring ] || "
        f"/usr/lib/postgresql/{major(here)}/bin/pg_controldata -D /var/lib/postgresql/{major(here)}/main | "
        "grep -Eq '^Data page checksum version: +[1-9]'",
        command=f"systemctl stop {unit(here)} && runuser -u postgres -- "
        f"/usr/lib/postgresql/{major(here)}/bin/pg_checksums --enable -D /var/lib/postgresql/{major(here)}/main; "
        f"done=$?; systemctl start {unit(here)}; exit $done",
    )
    put_programs("postgres | What dumps and restores the database", program_folder("postgres", PROGRAMS), PROGRAMS)
    # Its sandbox is made when it starts, and the repository must be in it by then.
    if plan := backups(here):
        backups_install.install("postgres", plan, keeps=plan.kind == "local")


def provisions(here: Here) -> list[Provision]:
    """Roles with their passwords, and LiteLLM's database, which is for them alone."""
    s: PostgresSettings = here.settings(PostgresSettings)
    return [
        *[_role(here, role, secret) for role, secret in ((s.user, s.password), ("health", s.health_password))],
        Provision(
            "Database",
            f"{as_postgres(here, 'SELECT 1 FROM pg_database WHERE datname = ' + quoted(s.database))} | grep -qx 1",
            f"runuser -u postgres -- createdb --cluster {major(here)}/main --owner={s.user} --encoding=UTF8 "
            f"--template=template0 {s.database}",
        ),
        Provision(
            "Only its own roles may connect to the database",
            as_postgres(here, f"SELECT has_database_privilege('public', {quoted(s.database)}, 'CONNECT')")
            + " | grep -qx f",
            as_postgres(
                here,
                f"REVOKE ALL ON DATABASE {named(s.database)} FROM PUBLIC; "
                f"GRANT CONNECT ON DATABASE {named(s.database)} TO health",
            ),
        ),
    ]


def _role(here: Here, role: str, secret: SecretStr) -> Provision:
    # The server gets the verifier, made here: the password itself is in no statement, log or command line.
    made = verifier(role, secret.get_secret_value())
    stored = as_postgres(
        here, f"SELECT encode(sha256(rolpassword::bytea), 'hex') FROM pg_authid WHERE rolname = {quoted(role)}"
    )
    return Provision(
        f"Role {role}",
        f"{stored} | grep -qx {digest_of(made)}",
        f"runuser -u postgres -- psql --cluster {major(here)}/main -X -q -v ON_ERROR_STOP=1 -d postgres",
        SecretStr(
            f"DO $do$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {quoted(role)}) "
            f"THEN CREATE ROLE {named(role)} LOGIN; END IF; END $do$;\n"
            f"ALTER ROLE {named(role)} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '{made}';\n"
        ),
    )


def refusals(here: Here) -> list[Probe]:
    """Databases on the host that this run would leave without data or lock out, asked before anything changes."""
    others = (
        f"[ -d {cluster(here)} ] || for other in /etc/postgresql/*/main; do [ -d $other ] || continue; "
        'echo "postgres_version: the host has the cluster $other, and this run would start an empty one beside it; '
        f'move the data first (pg_upgradecluster), or set postgres_version to its major version"; exit 1; done'
    )
    names = (
        "SELECT string_agg(datname, ', ') FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1')"
    )
    foreign = (
        f"if [ -d {cluster(here)} ] && [ ! -e {cluster(here)}/conf.d/portcullis.conf ]; then "
        f"{as_postgres(here, 'SELECT 1')} >/dev/null 2>&1 || {{ echo 'the host has a PostgreSQL that Portcullis "
        "did not set up, and it does not run; start it, so that its databases can be looked at'; exit 1; }; "
        f'found=$({as_postgres(here, names)} 2>/dev/null); [ -z "$found" ] || {{ echo "the host has a PostgreSQL that '
        "Portcullis did not set up, with the databases $found; it would lock their users out. Use another host, or "
        'move them away"; exit 1; }; fi'
    )
    return [Probe("clusters of another version", others), Probe("somebody else's databases", foreign)]
