"""What backups mean on one site: which host keeps them, which has the database, and how the two reach one another."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from deploys.components.backups_settings import BackupsSettings
from deploys.components.postgres_settings import PostgresSettings
from deploys.lib.authority import Issued, issue
from deploys.lib.component import Here, Member
from deploys.lib.programs import program_folder
from deploys.lib.render import ROOT

PROGRAMS = tuple(ROOT / "payload" / "backups" / name for name in ("backup", "drill", "restore", "repository.py"))
CONFIG = "/etc/pgbackrest/pgbackrest.conf"
TLS = "/etc/pgbackrest/tls"
# What the programs note, and pgBackRest's locks; pgBackRest's own place for these is a /tmp that units do not share.
STATE = "/var/lib/portcullis-backups"
# A database of some TB; the units of timers have as long.
LONG_SECONDS = 24 * 3600
DEBIAN_MAJOR = {"12": 15, "13": 17}


@dataclass(frozen=True)
class Backups:
    """The backups of a site, as all of its hosts see them."""

    s: BackupsSettings
    kind: str
    database: Member
    keeper: Member

    @property
    def apart(self) -> bool:
        """Whether they are kept on a host of their own."""
        return self.kind == "host"

    @property
    def major(self) -> int:
        """Major version of PostgreSQL; 0 when the database's host is outside the run and has Debian's own."""
        p = self.database.settings["postgres"]
        assert isinstance(p, PostgresSettings)
        return p.version or DEBIAN_MAJOR.get(self.database.release, 0)

    @property
    def port(self) -> int:
        p = self.database.settings["postgres"]
        assert isinstance(p, PostgresSettings)
        return p.port

    @property
    def repository(self) -> str:
        """A name for this repository: in another one, and in one that was left for a while, there is no backup yet."""
        where = (self.kind, self.keeper.name, self.s.path, self.s.stanza, self.s.s3_endpoint, self.s.s3_bucket)
        return hashlib.sha256("\0".join(where).encode()).hexdigest()[:12]

    def certificate(self, member: Member) -> Issued:
        assert member.address is not None  # a site of several hosts has addresses
        return issue(self.s.tls_secret, member.address)


def backups(here: Here) -> Backups | None:
    """How this site keeps backups; None when it has no database, or wants none."""
    found = [member for member in here.site if member.has("postgres") and member.has("backups")]
    if not found:
        return None
    s = found[0].settings["backups"]
    assert isinstance(s, BackupsSettings)
    keepers = keeping(here)
    kind = s.repository if s.repository != "auto" else "host" if keepers else "local"
    if kind == "none" or (kind == "host" and not keepers):
        return None
    return Backups(s, kind, found[0], keepers[0] if kind == "host" else found[0])


def keeping(here: Here) -> list[Member]:
    """Hosts that are there for backups only."""
    return [member for member in here.site if member.has("backups") and not member.has("postgres")]


def program(name: str) -> str:
    return f"{program_folder('backups', PROGRAMS)}/{name}"
