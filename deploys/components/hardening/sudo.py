"""sudo: in a terminal of its own, noted, and the password forgotten soon."""

from __future__ import annotations

from deploys.components.hardening.controls import Control, line, mode

MANUAL = "man sudoers"

CONTROLS = (
    Control(
        "sudo-pty", "sudo", "baseline", "commands under sudo get a terminal of their own",
        "A program that stays behind could type into the user's own.", MANUAL,
        lambda want: line("sudo", "Defaults use_pty"), "5.2.2",
    ),
    Control(
        "sudo-log", "sudo", "baseline", "every command under sudo is noted in a file as well",
        "The journal forgets when it is full.", MANUAL,
        lambda want: line("sudo", 'Defaults logfile="/var/log/sudo.log"'), "5.2.3",
    ),
    Control(
        "sudo-timeout", "sudo", "baseline", "the password is forgotten after some minutes",
        "A terminal that somebody has left is root's until then.", MANUAL,
        lambda want: line("sudo", f"Defaults timestamp_timeout={want.s.sudo_timeout_minutes}"), "5.2.6",
    ),
    Control(
        "sudo-files", "sudo", "baseline", "nobody but root reads who may do what",
        "It tells an attacker which account is worth the most.", MANUAL,
        lambda want: [
            mode("/etc/sudoers", "0440", "root:root"), mode("/etc/sudoers.d", "0750", "root:root"),
            # Debian's own; `dpkg --verify` says so when it is another.
            mode("/usr/bin/sudo", "4755", "root:root"),
        ],
    ),
)  # fmt: skip
