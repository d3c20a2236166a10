"""Modes and owners of files that say who is who, and of what runs for root by the clock."""

from __future__ import annotations

from deploys.components.hardening.controls import Control, mode

DEBIAN = "https://www.debian.org/doc/debian-policy/ch-files.html#permissions-and-owners"

CONTROLS = (
    Control(
        "modes-accounts", "modes", "baseline", "only root writes to accounts and groups",
        "Who writes there is root.", DEBIAN,
        lambda want: [
            mode(f"/etc/{name}", "0644", "root:root") for name in ("passwd", "passwd-", "group", "group-", "shells")
        ], "7.1.1, 7.1.2, 7.1.3, 7.1.4, 7.1.9", "os-03",
    ),
    Control(
        "modes-passwords", "modes", "baseline", "digests of passwords are for root and the group shadow",
        "With a digest a password is guessed somewhere else, without anybody noticing.", DEBIAN,
        lambda want: [
            *(mode(f"/etc/{name}", "0640", "root:shadow") for name in ("shadow", "shadow-", "gshadow", "gshadow-")),
            mode("/etc/security/opasswd", "0600", "root:root"),
        ], "7.1.5, 7.1.6, 7.1.7, 7.1.8, 7.1.10", "os-02",
    ),
    Control(
        "modes-homes", "modes", "baseline", "root's home is for root", "Keys and histories are in it.", DEBIAN,
        lambda want: [mode("/root", "0700", "root:root")],
    ),
    Control(
        "modes-boot", "modes", "baseline", "how the machine starts is for root",
        "It says how to start it without a password.", DEBIAN,
        lambda want: [mode("/boot/grub/grub.cfg", "0600", "root:root")], "1.4.2",
    ),
    Control(
        "modes-compilers", "modes", "strict", "compilers are for root",
        "An attacker brings sources more easily than programs for this processor.", "Lynis HRDN-7222",
        lambda want: [
            mode(f"/usr/bin/{name}", "0750", "root:root")
            for name in ("x86_64-linux-gnu-gcc-12", "x86_64-linux-gnu-gcc-14", "x86_64-linux-gnu-as")
        ],
    ),
)  # fmt: skip
