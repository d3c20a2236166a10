"""What is stricter than what a control asks for: it holds already, and stays as somebody has set it.

A rule says in which direction: ``order`` from the strictest word on, ``at_most`` a number down to the one given,
``at_least`` a number or one of the words given, ``umask`` and ``mode`` as bits that are closed or given, ``part`` for
lists of which a host may have fewer. The program on the host reads them: payload/hardening/harden_strict.py.
"""

from __future__ import annotations

from typing import Any

Rule = dict[str, Any]

SYSCTL: dict[str, Rule] = {
    # 1 wants one way for questions and answers, 2 any way at all; 0 asks nothing.
    "net.ipv4.conf.all.rp_filter": {"order": ["1", "2"]},
    "net.ipv4.conf.default.rp_filter": {"order": ["1", "2"]},
    "net.ipv6.conf.all.accept_source_route": {"order": ["-1", "0"]},
    "net.ipv6.conf.default.accept_source_route": {"order": ["-1", "0"]},
    # 3 cannot be lowered before the machine restarts, and 1 of the next one neither.
    "kernel.yama.ptrace_scope": {"order": ["3", "2", "1"]},
    "kernel.unprivileged_bpf_disabled": {"order": ["1", "2"]},
    "kernel.perf_event_paranoid": {"at_least": []},
}
# Not maxsessions: pyinfra needs more than four at a time.
SSHD: dict[str, Rule] = {
    "permitrootlogin": {"order": ["no", "forced-commands-only", "without-password", "yes"]},
    "allowtcpforwarding": {"order": ["no", "local"]},
    "maxauthtries": {"at_most": 1},
    "logingracetime": {"at_most": 1},
    "clientaliveinterval": {"at_most": 1},
    "clientalivecountmax": {"at_most": 1},
    **{name: {"part": ","} for name in ("ciphers", "macs", "kexalgorithms", "hostkeyalgorithms")},
}
ENTRY: dict[str, Rule] = {
    "UMASK": {"umask": True},
    "HOME_MODE": {"mode": True},
    "DIR_MODE": {"mode": True},
    "PASS_MIN_DAYS": {"at_least": []},
    "PASS_MAX_DAYS": {"at_most": 1},
    "PASS_WARN_AGE": {"at_least": []},
    "INACTIVE": {"at_most": 0},
    "YESCRYPT_COST_FACTOR": {"at_least": []},
    "SHA_CRYPT_MIN_ROUNDS": {"at_least": []},
    "SHA_CRYPT_MAX_ROUNDS": {"at_least": []},
    "LOGIN_RETRIES": {"at_most": 1},
    "LOGIN_TIMEOUT": {"at_most": 1},
    # 0 lets anybody try for ever.
    "deny": {"at_most": 1},
    "unlock_time": {"at_least": ["0", "never"]},
    "fail_interval": {"at_least": []},
    "max_log_file": {"at_least": []},
    "num_logs": {"at_least": []},
    "max_log_file_action": {"order": ["keep_logs", "rotate"]},
    "space_left_action": {"order": ["halt", "single", "email", "syslog"]},
    "CRON_CHECK": {"order": ["daily", "weekly"]},
}
