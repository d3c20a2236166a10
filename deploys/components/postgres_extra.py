"""Lines of postgresql.conf that nobody may add, because a sum, the sandbox or a secret depends on them."""

from __future__ import annotations

from deploys.components import postgres_tls
from deploys.components.postgres_settings import PostgresSettings
from deploys.lib.extra_config import overriding

SHARE = "use postgres_memory_mb, so that the sum of the host's memory stays true"
CONNECTIONS = "use postgres_max_connections, so that the sum of all connections stays true"
WHERE = "it follows from private_address and where the gateways are"
FILES = "Portcullis, and Debian's tools, look for the cluster's files where Debian puts them"
UNSEEN = "what another file sets cannot be checked; write the lines here"
STORAGE = "use postgres_storage"
SECRETS = "parameters of statements are keys and prompts, and would be in the log"
BACKUPS = "backups depend on it; use backups_repository"
KEPT = {
    "port": "use postgres_port",
    "listen_addresses": WHERE,
    "password_encryption": "passwords other than SCRAM's would be refused by pg_hba.conf",
    "max_connections": CONNECTIONS,
    "superuser_reserved_connections": CONNECTIONS,
    "reserved_connections": CONNECTIONS,
    "shared_buffers": SHARE,
    "effective_cache_size": SHARE,
    "work_mem": SHARE,
    "sort_mem": SHARE,
    "maintenance_work_mem": SHARE,
    "vacuum_mem": SHARE,
    "wal_buffers": SHARE,
    "autovacuum_max_workers": SHARE,
    "autovacuum_work_mem": SHARE,
    "random_page_cost": STORAGE,
    "effective_io_concurrency": STORAGE,
    "jit": "the sandbox forbids memory that is both writable and executable",
    "log_parameter_max_length": SECRETS,
    "log_parameter_max_length_on_error": SECRETS,
    "archive_mode": BACKUPS,
    "archive_command": BACKUPS,
    "archive_library": BACKUPS,
    "archive_timeout": "use backups_archive_timeout_seconds",
    "wal_level": BACKUPS,
    "restore_command": BACKUPS,
    "data_directory": FILES,
    "config_file": FILES,
    "hba_file": FILES,
    "ident_file": FILES,
    "external_pid_file": FILES,
    "unix_socket_directories": FILES,
    "include": UNSEEN,
    "include_dir": UNSEEN,
    "include_if_exists": UNSEEN,
}
# Written by the template too, and a matter of taste: a later line of the user's may win.
TASTE = {
    "max_worker_processes", "max_parallel_workers", "max_parallel_workers_per_gather", "wal_compression",
    "min_wal_size", "max_wal_size", "checkpoint_completion_target", "checkpoint_timeout",
    "autovacuum_vacuum_scale_factor", "autovacuum_vacuum_insert_scale_factor", "autovacuum_analyze_scale_factor",
    "idle_in_transaction_session_timeout", "tcp_keepalives_idle", "log_min_duration_statement", "log_lock_waits",
    "log_autovacuum_min_duration",
}  # fmt: skip


def extra_problems(s: PostgresSettings) -> list[str]:
    """Why lines of ``postgres_extra_config`` are refused."""
    kept = {**KEPT, **postgres_tls.KEPT} if s.secured else KEPT
    return overriding("postgres_extra_config", s.extra_config, kept, " \t=")
