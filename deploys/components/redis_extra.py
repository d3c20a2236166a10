"""Lines of redis.conf that nobody may add, because a sum, the sandbox or the readiness question depends on them."""

from __future__ import annotations

from deploys.lib.extra_config import overriding

MEMORY = "use redis_maxmemory_mb, so that the sum of the host's memory stays true"
PERSISTENCE = "use redis_persistence"
USERS = "use redis_password and redis_health_password; nobody else is let in"
SYSTEMD = "systemd starts Redis, waits for it and keeps its log"
TLS = "use redis_tls and what belongs to it"
FOLDER = "the sandbox lets it write in /var/lib/redis only"
KEPT = {
    "port": "use redis_port",
    "tls-port": TLS,
    "tls-cert-file": TLS,
    "tls-key-file": TLS,
    "tls-key-file-pass": TLS,
    "tls-auth-clients": TLS,
    "tls-protocols": TLS,
    "bind": "use redis_bind",
    "protected-mode": "use redis_bind",
    "aclfile": USERS,
    "user": USERS,
    "requirepass": USERS,
    "maxmemory": MEMORY,
    "maxmemory-policy": "use redis_maxmemory_policy",
    "save": PERSISTENCE,
    "appendonly": PERSISTENCE,
    "appendfsync": PERSISTENCE,
    "dir": FOLDER,
    "dbfilename": FOLDER,
    "daemonize": SYSTEMD,
    "supervised": SYSTEMD,
    "pidfile": SYSTEMD,
    "logfile": SYSTEMD,
    "include": "what another file sets cannot be checked; write the lines here",
}
# Written by the template too, and a matter of taste: a later line of the user's may win.
TASTE = {
    "tcp-backlog", "timeout", "tcp-keepalive", "loglevel", "databases", "lazyfree-lazy-eviction",
    "lazyfree-lazy-expire", "stop-writes-on-bgsave-error",
}  # fmt: skip


def extra_problems(lines: str) -> list[str]:
    """Why lines of ``redis_extra_config`` are refused."""
    return overriding("redis_extra_config", lines, KEPT)
