"""Hardening of the host: how far, for whom it stays open, and what is left out for how long."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, field_validator

from deploys.lib.patterns import worded
from deploys.lib.settings import Settings

AREAS = (
    "ssh", "sudo", "accounts", "pam", "sysctl", "modules", "usb", "mounts", "dumps", "console", "modes", "cron", "logs",
    "audit", "upgrades", "time", "apparmor", "packages", "banners",
)  # fmt: skip
NAME = worded(r"^[a-z_][a-z0-9_-]{0,31}$", "a name of a user or group")
Name = Annotated[str, Field(pattern=NAME)]


class Waiver(Settings):
    """A control that this host does without, why, and for how long."""

    control: str = Field(description="Name of the control, as docs/hardening.md lists it.")
    until: str = Field(
        pattern=worded(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "a day, such as 2026-12-31"),
        description="Last day on which it holds; after that every run is refused until somebody decides anew.",
    )
    reason: str = Field(
        min_length=10, max_length=300, description="Why, for whoever reads the report: 10 characters or more."
    )

    @field_validator("until")
    @classmethod
    def _is_a_day(cls, value: str) -> str:
        try:
            date.fromisoformat(value)
        except ValueError:
            raise ValueError("there is no such day") from None
        return value


class HardeningSettings(Settings):
    """What a host is hardened to."""

    level: Literal["off", "baseline", "strict"] = Field(
        "baseline",
        description="How far: `baseline` is for every host, `strict` for hosts whose users are told; `off` leaves the "
        "host as it is, and undoes what an earlier run has done.",
    )
    areas: str | list[str] = Field(
        "all",
        validate_default=True,
        description="Areas to harden: a list, or names with commas between them; what is not among them is undone. "
        "`all` for all.",
    )
    waivers: list[Waiver] = Field(default_factory=list, description="Controls to do without, each for a time.")
    ssh_users: list[Name] = Field(
        default_factory=list,
        description="Users who may log in over SSH, and nobody else. Default: whoever could before.",
    )
    ssh_groups: list[Name] = Field(
        default_factory=list,
        description="Groups whose users may log in over SSH, and nobody else. With `ssh_users`: who is in both.",
    )
    ssh_root: Literal["key", "no"] = Field(
        "key", description="Whether root may log in over SSH: with a key, or not at all."
    )
    ssh_key_exchange: Literal["compatible", "post-quantum"] = Field(
        "compatible",
        description="On Debian 13 `post-quantum` offers only key exchanges that quantum computers do not break. "
        "pyinfra's own SSH knows none of them, so it is refused on a host that is reached that way.",
    )
    ssh_idle_seconds: int = Field(
        300, ge=15, le=3600, description="Seconds of silence after which sshd asks a client whether it is still there."
    )
    sudo_timeout_minutes: int = Field(
        5, ge=0, le=60, description="Minutes for which sudo remembers that a user has given the password."
    )

    umask: Literal["022", "027", "077"] = Field(
        "027", description="What new files of people are closed to: `027` to others, `077` to their group too."
    )
    shell_idle_seconds: int = Field(
        900, ge=60, le=86_400, description="Seconds after which a shell that nobody types into ends."
    )
    journal_max_mb: int = Field(1000, ge=50, le=1_000_000, description="Room that the journal may take up, in MB.")
    journal_keep_days: int = Field(90, ge=1, le=3650, description="Days that the journal keeps what it has room for.")
    reboot: Literal["never", "when-needed"] = Field(
        "never",
        description="Whether the host restarts by itself when an upgrade needs it: at half past its hour for upgrades, "
        "which is another one on each gateway, by its local time, and only while nobody is logged in.",
    )
    banner: str = Field(
        "This system is private property, for authorised users only. Everything done here is logged and monitored;\n"
        "whoever connects without permission will be prosecuted. By going on you consent to these terms.",
        min_length=20,
        max_length=2000,
        pattern=worded(r"^[\x20-\x7e\n]+$", "plain text of letters, digits and signs, in lines"),
        description="What is shown to whoever logs in, in front of the password.",
    )

    @field_validator("areas")
    @classmethod
    def _split(cls, value: str | list[str]) -> list[str]:
        names = value.split(",") if isinstance(value, str) else value
        names = [name.strip() for name in names if name.strip()]
        unknown = [name for name in names if name not in (*AREAS, "all")]
        if unknown:
            raise ValueError(f"there is no area {unknown[0]!r}; there are {', '.join(AREAS)}, and `all`")
        return list(AREAS) if "all" in names else [name for name in AREAS if name in names]
