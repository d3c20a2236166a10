"""Settings of the run itself, which belong to no component."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from deploys.lib.patterns import IP, RUN, worded
from deploys.lib.settings import Settings

# Folders of the root directory that belong to the distribution or the kernel, or are emptied by them.
SYSTEM = ("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", "tmp", "usr")
ELSEWHERE = "name a folder of its own, such as /var/backups/portcullis or /srv/backups"


class HostSettings(Settings):
    """Keys of the run itself, not of one component."""

    components: str | list[str] = Field(
        "all",
        validate_default=True,
        description="Work on these components only: a list, or names with commas between them. `all` for all.",
    )
    runtime: Literal["systemd", "compose"] = Field(
        "systemd",
        description="How services run on the host: `systemd` starts them as they are installed, `compose` in "
        "containers. Files, data and the names of units are the same.",
    )
    preset: Literal["auto", "small", "large"] = Field(
        "auto",
        description="Size to plan for: `small` is 4 vCPU and 8 GB, `large` is 8 vCPU and 16 GB, `auto` asks the host.",
    )
    vcpus: int | None = Field(None, ge=1, le=256, description="Virtual CPUs to plan for, instead of the preset's.")
    memory_mb: int | None = Field(
        None, ge=512, le=4_194_304, description="Memory to plan for in MiB, instead of the preset's."
    )
    private_address: str | None = Field(
        None,
        pattern=IP,
        description="IP address under which the other hosts reach this one. Default: `ssh_hostname`, when that is "
        "an IP address. Needed when the gateway is spread over several hosts.",
    )
    backup_root: str = Field(
        "/var/backups/portcullis",
        pattern=worded(r"^/[A-Za-z0-9_./-]+$", "a whole path, of letters, digits and _ . / -"),
        description="Folder on the host for the ledger of its runs: copies of what each has changed, and the way back.",
    )
    backup_keep_runs: int = Field(30, ge=3, le=1000, description="Runs the ledger keeps; the last two good ones stay.")
    backup_keep_days: int = Field(
        180, ge=1, le=3650, description="Days the ledger keeps a run; the last two good ones stay."
    )
    take_over: str = Field(
        "",
        pattern=RUN,
        description="Run whose lock on the host this run may take, because you know that it is dead: the message that "
        "stops a run names it. For the command line: `--data take_over=RUN`.",
    )
    restore: str = Field(
        "",
        pattern=worded(
            r"^(latest|[0-9]{8}-[0-9]{6}F(_[0-9]{8}-[0-9]{6}[DI])?|"
            r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}(:?[0-9]{2})?))?$",
            "`latest`, a backup's name such as 20260131-023000F, or a time with its zone, such as "
            "2026-01-31T23:59:59+00",
        ),
        description="Bring the database back from its backups before anything else: to the last moment they have "
        "(`latest`), to a backup, or to a time. For the command line: `--data restore=latest`.",
    )
    restore_over: Literal["refuse", "skip", "replace"] = Field(
        "refuse",
        description="What `restore` does on a host that has a database: `refuse` stops the run, `skip` leaves it "
        "as it is, `replace` puts it aside and restores in its place.",
    )
    extra_ca_certificates: list[str] = Field(
        default_factory=list,
        description="PEM files on the controlling machine with certificate authorities the host must trust as well, "
        "such as a company proxy's.",
    )

    @field_validator("backup_root")
    @classmethod
    def _of_its_own(cls, value: str) -> str:
        parts = value.strip("/").split("/")
        if not all(part.strip(".") for part in parts):
            raise ValueError("is not a plain path; write it without `..`, `.` and double slashes")
        if parts[0] in SYSTEM or parts[:2] in (["var", "tmp"], ["var", "run"], ["var", "lock"]):
            raise ValueError(f"is in a folder of the system's own, which is no place for copies; {ELSEWHERE}")
        if parts[:3] == ["var", "lib", "portcullis"]:
            raise ValueError(f"is where Portcullis keeps what it is working on; {ELSEWHERE}")
        # Copies lie there under the paths of what they are copies of, and nothing else should.
        if len(parts) < (3 if parts[0] == "var" else 2):
            raise ValueError(f"is a folder that others use too; {ELSEWHERE}")
        return "/" + "/".join(parts)

    @field_validator("components")
    @classmethod
    def _split(cls, value: str | list[str]) -> list[str]:
        names = value.split(",") if isinstance(value, str) else value
        return [name.strip() for name in names if name.strip()]

    def wants(self, component: str) -> bool:
        """Whether this run works on ``component``."""
        return "all" in self.components or component in self.components
