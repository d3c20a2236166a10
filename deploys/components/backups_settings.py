"""Settings of backups: where they go, how often they are made and tried, how long they are kept."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from deploys.lib.checks import long_enough
from deploys.lib.patterns import worded
from deploys.lib.settings import Port, Secret, Settings, secret

FOLDER = worded(r"^/[A-Za-z0-9_./-]*[A-Za-z0-9_-]$", "a whole path, of letters, digits and _ . / -")
CALENDAR = worded(r"^[A-Za-z0-9*:., /~-]+$", "a time as systemd writes it, such as *-*-* 02:30:00")
# Folders that others use, or that are emptied: a repository there would be mixed up with them, or lost.
OTHERS = ("bin", "boot", "dev", "etc", "home", "lib", "lib64", "proc", "root", "run", "sbin", "sys", "tmp", "usr")


class BackupsSettings(Settings):
    repository: Literal["auto", "local", "host", "s3", "none"] = Field(
        "auto",
        description="Where backups are kept: `local`, a folder on the database's own host, which its loss takes along; "
        "`host`, the host in the group `backup`, over TLS; `s3`, a store that speaks S3; `none`, no backups. `auto`: "
        "`host` when the inventory has a host in the group `backup`, else `local`.",
    )
    path: str = Field(
        "/var/lib/pgbackrest",
        pattern=FOLDER,
        description="Folder of the repository: on its host, or in the bucket.",
    )
    stanza: str = Field(
        "gateway",
        pattern=worded(r"^[a-z][a-z0-9-]{0,30}$", "up to 31 of a to z, 0 to 9 and -, beginning with a letter"),
        description="Name of this site's backups in the repository; each site that shares a store needs its own.",
    )
    passphrase: Secret = secret(
        "env:BACKUPS_PASSPHRASE",
        "What everything in the repository is encrypted with (AES-256), as a reference. Without it no backup can be "
        "read, and it cannot be changed for a repository that is in use.",
    )
    configuration_passphrase: Secret = secret(
        "env:BACKUPS_CONFIGURATION_PASSPHRASE",
        "What copies of the hosts' configuration are encrypted with, as a reference: each host's with a key of its "
        "own, made from this one and its name.",
    )
    tls_secret: Secret = secret(
        "env:BACKUPS_TLS_SECRET",
        "What the certificates between the database's host and the backup host are made from, as a reference. Another "
        "one replaces them.",
    )
    port: Port = Field(8432, description="TCP port on which the two hosts answer one another.")
    s3_endpoint: str = Field(
        "",
        pattern=worded(r"^([A-Za-z0-9.-]+(:[0-9]{1,5})?)?$", "a host name, with or without a port"),
        description="Host name of the store, such as `s3.eu-central-1.amazonaws.com`. It is spoken to over HTTPS.",
    )
    s3_bucket: str = Field(
        "",
        pattern=worded(r"^([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?$", "a bucket's name: 3 to 63 of a to z, 0 to 9, . and -"),
        description="Bucket, which must be there.",
    )
    s3_region: str = Field(
        "us-east-1", pattern=worded(r"^[a-z0-9-]+$", "a region's name, such as eu-central-1"), description="Region."
    )
    s3_style: Literal["host", "path"] = Field(
        "host",
        description="Whether the bucket is named in front of the host name or in the path, as most stores of "
        "one's own want it.",
    )
    s3_key: Secret | None = Field(None, description="Access key, as a reference.")
    s3_key_secret: Secret | None = Field(None, description="Its secret, as a reference.")
    calendar: str = Field("*-*-* 02:30:00", pattern=CALENDAR, description="When a backup is made, in the host's time.")
    full_days: int = Field(
        7, ge=1, le=60, description="Days after which a backup is a full one again; those between have what differs."
    )
    keep_full: int = Field(
        2, ge=1, le=100, description="Full backups that are kept, with what builds on them and the log since the first."
    )
    keep_differential: int = Field(14, ge=1, le=1000, description="Differential backups that are kept.")
    archive_timeout_seconds: int = Field(
        60,
        ge=10,
        le=3600,
        description="Seconds after which written data is in the repository at the latest: what a lost host loses.",
    )
    queue_max_mb: int = Field(
        4096,
        ge=256,
        le=1_048_576,
        description="MiB of log that wait on the database's host while the repository is away. Beyond that they are "
        "given up, so that the database goes on, and only states from the next backup on can be restored.",
    )
    processes: int = Field(2, ge=1, le=64, description="Processes that copy and compress at once.")
    max_age_hours: int = Field(26, ge=1, le=2000, description="Age of the last backup from which on verify fails.")
    drill_calendar: str = Field(
        "Sun *-*-* 05:00:00",
        pattern=CALENDAR,
        description="When the newest backup is restored for trial beside the database, and compared with it.",
    )
    drill_max_age_days: int = Field(8, ge=1, le=400, description="Age of the last good trial from which verify fails.")

    _strong = long_enough("passphrase", "configuration_passphrase", "tls_secret", minimum=16)

    @field_validator("path")
    @classmethod
    def _of_its_own(cls, value: str) -> str:
        parts = value.strip("/").split("/")
        if not all(part.strip(".") for part in parts):
            raise ValueError("is not a plain path; write it without `..`, `.` and double slashes")
        return value
