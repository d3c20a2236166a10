"""PostgreSQL's memory settings from its share of the host: arithmetic that can be checked by hand."""

from __future__ import annotations

from dataclasses import dataclass

from deploys.lib.sizing import SizingError

MINIMUM_MB = 384
# What one server process needs before its first sort. Measured under LiteLLM on PostgreSQL 17: 1.5-2.5 MiB of its own;
# doubled, because its catalogue caches grow with the tables it has seen.
BACKEND_MB = 5
AUTOVACUUM_WORKERS = 2
WAL_BUFFERS_MB = 16


@dataclass(frozen=True)
class Tuning:
    """Values for postgresql.conf; sizes in MiB."""

    max_connections: int
    shared_buffers: int
    effective_cache_size: int
    work_mem: int
    maintenance_work_mem: int
    wal_buffers: int
    autovacuum_max_workers: int
    max_parallel_workers: int
    max_parallel_workers_per_gather: int

    @property
    def promised(self) -> int:
        """The most these settings let the server use when every connection sorts once, in MiB."""
        return (
            self.shared_buffers
            + self.wal_buffers
            + self.max_connections * (BACKEND_MB + self.work_mem)
            + self.autovacuum_max_workers * self.maintenance_work_mem
        )


def tuning(share_mb: int, vcpus: int, max_connections: int) -> Tuning:
    """Settings for a server that may use ``share_mb`` MiB, not the whole machine.

    A quarter is shared buffers (the manual's starting point), a sixteenth each maintenance worker, and what is left
    after the processes themselves is split over all connections as work_mem, 1 MiB at least. Raises SizingError
    when ``max_connections`` processes do not fit.
    """
    shared_buffers = max(64, share_mb // 4)
    maintenance = max(32, min(1024, share_mb // 16))
    fixed = shared_buffers + WAL_BUFFERS_MB + AUTOVACUUM_WORKERS * maintenance
    left = share_mb - fixed - max_connections * BACKEND_MB
    if left < max_connections:
        need = fixed + max_connections * (BACKEND_MB + 1)
        raise SizingError(
            f"postgres: {max_connections} connections x {BACKEND_MB + 1} MiB + {shared_buffers} shared buffers + "
            f"{AUTOVACUUM_WORKERS * maintenance} maintenance + {WAL_BUFFERS_MB} WAL = {need} MiB, but its share is "
            f"{share_mb} MiB; lower litellm_database_connection_pool_limit or litellm_workers, or set "
            "postgres_memory_mb"
        )
    return Tuning(
        max_connections=max_connections,
        shared_buffers=shared_buffers,
        effective_cache_size=max(shared_buffers * 2, share_mb * 3 // 4),
        work_mem=max(1, min(64, left // max_connections)),
        maintenance_work_mem=maintenance,
        wal_buffers=WAL_BUFFERS_MB,
        autovacuum_max_workers=AUTOVACUUM_WORKERS,
        max_parallel_workers=max(1, vcpus // 2),
        max_parallel_workers_per_gather=1 if vcpus > 2 else 0,
    )
