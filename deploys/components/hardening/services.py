"""What runs beside the gateway: upgrades, the clock, the journal, cron, AppArmor, the audit, and packages that go."""

from __future__ import annotations

from deploys.components.hardening.controls import Control, Item, Want, entry, line, mode, package, sshd, whole

CLEAR_TEXT = (
    "telnetd", "inetutils-telnetd", "rsh-server", "talkd", "tftpd", "tftpd-hpa", "xinetd", "inetutils-inetd",
    "openbsd-inetd", "nis", "yp-tools", "telnet", "inetutils-telnet", "rsh-client", "rsh-redone-client", "talk",
    "inetutils-talk", "ftp", "tnftp", "inetutils-ftp", "prelink",
)  # fmt: skip
AUDIT_RULES = (
    "-w /etc/sudoers -p wa -k scope", "-w /etc/sudoers.d -p wa -k scope", "-w /var/log/sudo.log -p wa -k sudo",
    "-w /etc/passwd -p wa -k identity", "-w /etc/group -p wa -k identity", "-w /etc/shadow -p wa -k identity",
    "-w /etc/gshadow -p wa -k identity", "-w /etc/pam.d -p wa -k identity", "-w /etc/ssh -p wa -k ssh",
    "-w /etc/localtime -p wa -k time", "-a always,exit -F arch=b64 -S adjtimex,settimeofday,clock_settime -k time",
    "-w /etc/hosts -p wa -k network", "-w /etc/systemd/system -p wa -k units", "-w /etc/portcullis -p wa -k portcullis",
    "-w /var/lib/portcullis -p wa -k portcullis", "-w /var/run/faillock -p wa -k logins",
    "-a always,exit -F arch=b64 -S mount,umount2 -F auid>=1000 -F auid!=unset -k mounts",
    "-a always,exit -F arch=b64 -S init_module,finit_module,delete_module -k modules",
)  # fmt: skip
SETTINGS: dict[str, str | int] = {
    "max_log_file": 32, "num_logs": 8, "max_log_file_action": "ROTATE", "space_left_action": "SYSLOG",
}  # fmt: skip
# An hour for each gateway, and the one before for whatever they need: no two upgrade, or restart, at the same time.
OTHERS_HOUR, FIRST_HOUR, LAST_HOUR = 1, 2, 23


def hour(want: Want) -> int:
    return OTHERS_HOUR if want.turn is None else FIRST_HOUR + want.turn % (LAST_HOUR - FIRST_HOUR)


def upgrades(want: Want) -> list[Item]:
    return [
        package("unattended-upgrades"),
        *line(
            "apt", 'APT::Periodic::Update-Package-Lists "1";', 'APT::Periodic::Unattended-Upgrade "1";',
            'Unattended-Upgrade::Remove-Unused-Kernel-Packages "true";',
        ),
    ]  # fmt: skip


def restarts(want: Want) -> list[Item]:
    """Apart by an hour, because all gateways of a site stand in one inventory; the reboot half an hour after that.

    The timer is of UTC, so that it is so in different zones too; the reboot's time is the host's own: shutdown knows
    no zones.
    """
    wanted = "true" if want.s.reboot == "when-needed" else "false"
    return [
        *line("timer", "OnCalendar=", f"OnCalendar=*-*-* {hour(want):02}:00:00 UTC", "RandomizedDelaySec=10min"),
        *line(
            "apt", f'Unattended-Upgrade::Automatic-Reboot "{wanted}";',
            f'Unattended-Upgrade::Automatic-Reboot-Time "{hour(want):02}:30";',
            'Unattended-Upgrade::Automatic-Reboot-WithUsers "false";',
        ),
    ]  # fmt: skip


def journal(want: Want) -> list[Item]:
    return line(
        "journald", "Storage=persistent", "Compress=yes", f"SystemMaxUse={want.s.journal_max_mb}M",
        f"MaxRetentionSec={want.s.journal_keep_days}day",
    )  # fmt: skip


def clock(want: Want) -> list[Item]:
    """Whoever keeps the time already goes on. A container has its machine's."""
    when: Item = {"machine": True, "no_programs": ["chronyd", "ntpd"]}
    unit = {"kind": "unit", "name": "systemd-timesyncd.service", "state": "enabled", "when": when}
    return [package("systemd-timesyncd", **when), unit]


def confined(want: Want) -> list[Item]:
    when: Item = {"machine": True, "paths": ["/sys/module/apparmor/parameters/enabled"]}
    unit = {"kind": "unit", "name": "apparmor.service", "state": "enabled", "when": when}
    return [package("apparmor", **when), unit]


def audit(want: Want) -> list[Item]:
    when: Item = {"machine": True}
    conf = "/etc/audit/auditd.conf"
    return [
        package("auditd", **when),
        {"kind": "unit", "name": "auditd.service", "state": "enabled", "when": when},
        *(entry(conf, name, value, " = ", **when) for name, value in SETTINGS.items()),
        *line("audit", *AUDIT_RULES),
    ]


CONTROLS = (
    Control(
        "upgrades-security", "upgrades", "baseline", "security upgrades of Debian are installed every day",
        "A hole that is known is used within days.", "https://wiki.debian.org/UnattendedUpgrades", upgrades,
    ),
    Control(
        "upgrades-one-by-one", "upgrades", "baseline", "gateways upgrade one after the other, an hour apart",
        "A restart of all of them at once is an outage.", "man systemd.timer", restarts,
    ),
    Control(
        "time-synchronised", "time", "baseline", "the clock is kept right",
        "Certificates, tokens and logs are wrong without it.", "man systemd-timesyncd", clock,
        "2.3.1.1, 2.3.2.2",
    ),
    Control(
        "logs-journal", "logs", "baseline", "the journal outlives a restart, and ends somewhere",
        "What an attacker did is looked for weeks later; a full disk stops the gateway.", "man journald.conf", journal,
        "6.1.1.1, 6.1.1.3, 6.1.2.3, 6.1.2.4",
    ),
    Control(
        "logs-sudo", "logs", "baseline", "the file of sudo is renewed every month", "It would grow for ever.",
        "man logrotate",
        lambda want: [
            whole(
                "/etc/logrotate.d/portcullis-hardening", "0644", "/var/log/sudo.log {", "    monthly", "    rotate 12",
                "    compress", "    missingok", "    notifempty", "    create 0600 root root", "}",
                programs=["logrotate"],
            )
        ], "6.1.3.8",
    ),
    Control(
        "cron-files", "cron", "baseline", "what root runs by the clock is for root to read and write",
        "Who writes there is root.", "man cron",
        lambda want: [
            mode("/etc/crontab", "0600", "root:root"),
            *(mode(f"/etc/cron.{name}", "0700", "root:root") for name in ("hourly", "daily", "weekly", "monthly", "d")),
        ], "2.4.1.2, 2.4.1.3, 2.4.1.4, 2.4.1.5, 2.4.1.6, 2.4.1.7",
    ),
    Control(
        "cron-users", "cron", "baseline", "only root makes new tables for cron and jobs for at",
        "It is a way to stay for an account that was taken over.", "man crontab, at",
        lambda want: [
            whole("/etc/cron.allow", "0640", "root", programs=["crontab"]),
            whole("/etc/at.allow", "0640", "root", programs=["at"]),
        ], "2.4.1.8, 2.4.2.1",
    ),
    Control(
        "apparmor-on", "apparmor", "baseline", "programs that have a profile keep to it",
        "It limits what one that is taken over can reach.", "https://wiki.debian.org/AppArmor", confined,
        "1.3.1.1, 1.3.1.3",
    ),
    Control(
        "audit-on", "audit", "strict", "changes of accounts, rights, modules and of Portcullis itself are noted",
        "Who looks into an attack asks for nothing else. It costs room and time.", "man auditd, audit.rules", audit,
        "6.2.1.1, 6.2.1.2, 6.2.2.1, 6.2.3.1, 6.2.3.3, 6.2.3.4, 6.2.3.8, 6.2.3.10, 6.2.3.19", "package-08",
    ),
    Control(
        "packages-clear-text", "packages", "baseline", "nothing is installed that sends passwords in clear text",
        "Somebody uses it one day.", "https://wiki.debian.org/SecurityManagement",
        lambda want: [package(name, absent=True) for name in CLEAR_TEXT],
        "2.1.10, 2.1.16, 2.1.19, 2.2.1, 2.2.2, 2.2.3, 2.2.4, 2.2.6, 1.5.4",
        "package-01, package-02, package-03, package-05, package-06, package-10",
    ),
    Control(
        "packages-compared", "packages", "baseline", "files of packages are compared with Debian's digests once a week",
        "The first question after an attack is which programs are not Debian's any more. The log has the answer.",
        "man debsums", lambda want: [package("debsums"), entry("/etc/default/debsums", "CRON_CHECK", "weekly", "=")],
        "6.3.2",
    ),
    Control(
        "banners-login", "banners", "baseline", "who logs in is told whose host it is, and not which system it runs",
        "It says which holes to try; and a court may want to see that it was said.", "man issue",
        lambda want: [
            *(whole(path, "0644", *want.s.banner.splitlines()) for path in ("/etc/issue", "/etc/issue.net")),
            *sshd("Banner", "/etc/issue.net"), mode("/etc/motd", "0644", "root:root"),
        ], "1.6.1, 1.6.2, 1.6.3, 1.6.4, 1.6.5, 1.6.6, 5.1.5",
    ),
)  # fmt: skip
