"""Rules about what is true on a host: connections, memory, restarts, rates, file modes, backups."""

from __future__ import annotations

from collections.abc import Iterator

from deploys.auditing.registry import P0, P1, P2, Hit, rule
from deploys.auditing.subject import Subject


@rule(
    "X01",
    P1,
    "Database connections nearly used up",
    effect="The next worker, migration or person gets `too many clients already`.",
    advice="A smaller database_connection_pool_limit, fewer workers, or a larger max_connections.",
    source="pg_stat_activity; issue #14325",
)
def connections(s: Subject) -> Iterator[Hit]:
    if s.live and s.live.connections and s.live.max_connections:
        used = s.live.connections / s.live.max_connections
        if used >= 0.8:
            detail = f"{s.live.connections} of {s.live.max_connections} connections are in use"
            yield Hit(s.live.place, detail, severity=P0 if used >= 0.95 else None)


@rule(
    "X02",
    P2,
    "Workers that have grown",
    effect="Memory that leaks ends in the kernel's choice of what to kill.",
    advice="Reload on a timer: new workers start before the old ones end; and MemoryHigh= in the unit.",
    source="/proc/PID/smaps_rollup; issues #12685, #15128",
)
def memory(s: Subject) -> Iterator[Hit]:
    large = [mb for mb in (s.live.workers_mb if s.live else ()) if mb > 1500]
    if s.live and large:
        yield Hit(s.live.place, f"{len(large)} of {len(s.live.workers_mb)} processes have over 1500 MB (PSS)")


@rule(
    "X03",
    P1,
    "The unit was restarted",
    effect="Requests in flight were lost each time.",
    advice="journalctl -u litellm -p err: memory, a broken configuration, or a database that was away.",
    source="systemctl show -p NRestarts",
)
def restarts(s: Subject) -> Iterator[Hit]:
    if s.live and s.live.restarts:
        detail = f"systemd restarted it {s.live.restarts} times since it was started by hand"
        yield Hit(s.live.place, detail, severity=P2 if s.live.restarts < 3 else None)


@rule(
    "X04",
    P2,
    "A cache that is hardly hit",
    effect="Every request pays for a look into Redis and gets nothing for it.",
    advice="default_off, longer ttl, or max_messages: null: chats of more than 4 messages are not cached since 1.106.",
    source="litellm_cache_hits_metric_total; litellm/caching/caching.py:143",
)
def cache_hits(s: Subject) -> Iterator[Hit]:
    found = s.live.metrics if s.live else {}
    hits, misses = found.get("cache_hits", 0), found.get("cache_misses", 0)
    if s.live and hits + misses >= 1000 and hits / (hits + misses) < 0.02:
        yield Hit(s.live.place, f"{hits:.0f} hits in {hits + misses:.0f} requests")


@rule(
    "X05",
    P1,
    "Many requests fail",
    effect="Clients see errors.",
    advice="litellm_deployment_failure_responses_total by model tells which backend it is.",
    source="litellm_proxy_failed_requests_metric_total",
)
def errors(s: Subject) -> Iterator[Hit]:
    found = s.live.metrics if s.live else {}
    total, failed = found.get("requests", 0), found.get("failed", 0)
    if s.live and total >= 100 and failed / total > 0.05:
        yield Hit(s.live.place, f"{failed:.0f} of {total:.0f} requests failed since the start")


@rule(
    "X06",
    P1,
    "No recent backup",
    effect="A lost disk takes keys, budgets and spend with it.",
    advice="pyinfra INVENTORY deploys/backup.py, on a timer.",
    source="/var/backups/portcullis",
)
def backups(s: Subject) -> Iterator[Hit]:
    if s.live and s.live.backups and (s.live.backup_hours is None or s.live.backup_hours > 7 * 24):
        hours = s.live.backup_hours
        age = "there is none" if hours is None else f"the last is {hours / 24:.0f} days old"
        yield Hit(s.live.place, f"/var/backups/portcullis: {age}")


@rule(
    "X07",
    P2,
    "The gateway runs with older files",
    effect="What this report says of the files is not yet what runs.",
    advice="systemctl reload litellm for config.yaml; restart it for the environment and the unit.",
    source="start time of the process against the files' times",
)
def older(s: Subject) -> Iterator[Hit]:
    if s.live and s.live.older_than_files:
        yield Hit(s.live.place, "its files were changed after it started")


@rule(
    "X08",
    P1,
    "Secrets that others on the host can read",
    effect="Every local user, and every service that is broken into, has the keys.",
    advice="chmod 0600 for the environment file, 0640 for a configuration without secrets.",
    source="stat on the host",
)
def modes(s: Subject) -> Iterator[Hit]:
    for path, found in (s.live.modes if s.live else {}).items():
        if s.live and path.endswith("env") and found[-1:] not in ("", "0"):
            yield Hit(s.live.place, f"{path} has mode {found}")


@rule(
    "X09",
    P1,
    "A database or cache that listens for everybody",
    effect="One weak password away from every key and every answer.",
    advice="Listen on loopback, or on the private address that the gateways use.",
    source="ss -Hltn on the host",
)
def listening(s: Subject) -> Iterator[Hit]:
    for name in s.live.listening if s.live else ():
        address, _, port = name.rpartition(":")
        if address in ("0.0.0.0", "[::]", "*", "::") and port in ("5432", "6379", "11434"):
            what = {"5432": "PostgreSQL", "6379": "Redis", "11434": "Ollama"}[port]
            yield Hit(s.live.place, f"{what} listens on {name}")  # type: ignore[union-attr]
