"""Sizes as arithmetic: what a machine of so many vCPU and so much memory can promise, and two sums that must hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


class SizingError(Exception):
    """A plan promises more than there is; the message has the sum written out."""


@dataclass(frozen=True)
class Machine:
    """Virtual CPUs and memory (MiB) to plan for."""

    vcpus: int
    memory_mb: int


# The two sizes the documentation speaks of; `auto` asks the host instead.
PRESETS = {"small": Machine(4, 8192), "large": Machine(8, 16384)}


@dataclass(frozen=True)
class Demand:
    """Memory one component asks for on a host, in MiB.

    It gets ``minimum_mb``, and by ``weight`` a part of what is left over, up to ``maximum_mb``. ``why`` explains the
    minimum in the message of a refused plan.
    """

    minimum_mb: int
    weight: float = 0.0
    maximum_mb: int | None = None
    why: str = ""


@dataclass(frozen=True)
class HostPlan:
    """What a host's components are promised, in MiB: their ``shares``, and the ``reserve_mb`` kept for the rest."""

    machine: Machine
    reserve_mb: int
    shares: Mapping[str, int]


def reserve_mb(machine: Machine) -> int:
    """Memory kept for the kernel, page cache, sshd, journald and a login: 512 MiB and 6 % of the machine.

    A bare Debian 12 uses about 150 MiB; the rest is page cache that PostgreSQL and model files count on, and room for
    a package upgrade. 8 GiB keeps 1,003 MiB, which is the vendor-neutral 1 GiB of the documentation's tables.
    """
    return 512 + math.ceil(machine.memory_mb * 0.06)


def plan_host(machine: Machine, demands: Mapping[str, Demand]) -> HostPlan:
    """Share ``machine`` out among ``demands``.

    Raises SizingError when the minimums and the reserve do not fit, with the sum in the message.
    """
    reserve = reserve_mb(machine)
    shares = {name: demand.minimum_mb for name, demand in demands.items()}
    check_memory(machine, reserve, shares, {name: demand.why for name, demand in demands.items()})
    left = machine.memory_mb - reserve - sum(shares.values())
    open_ended = {name: demand for name, demand in demands.items() if demand.weight > 0}
    # Water filling: who reaches its maximum drops out and leaves the rest to the others.
    while left > 0 and open_ended:
        total = sum(demand.weight for demand in open_ended.values())
        grants = {name: math.floor(left * demand.weight / total) for name, demand in open_ended.items()}
        full = {
            name: room
            for name, demand in open_ended.items()
            if demand.maximum_mb is not None and (room := max(0, demand.maximum_mb - shares[name])) <= grants[name]
        }
        for name, granted in (full or grants).items():
            shares[name] += granted
            left -= granted
        if not full:
            break
        open_ended = {name: demand for name, demand in open_ended.items() if name not in full}
    check_memory(machine, reserve, shares)
    return HostPlan(machine, reserve, shares)


def check_memory(
    machine: Machine, reserve: int, shares: Mapping[str, int], why: Mapping[str, str] | None = None
) -> None:
    """The memory invariant: everything promised and the reserve fit into the machine. Raises SizingError."""
    promised = sum(shares.values()) + reserve
    if promised <= machine.memory_mb:
        return
    parts = [f"reserve {reserve:,}"]
    for name, share in shares.items():
        reason = (why or {}).get(name)
        parts.append(f"{name} {share:,}" + (f" ({reason})" if reason else ""))
    raise SizingError(
        f"memory: {' + '.join(parts)} = {promised:,} MiB, but the host has {machine.memory_mb:,} MiB; "
        f"{promised - machine.memory_mb:,} MiB too much"
    )


@dataclass(frozen=True)
class Pool:
    """Database connections one gateway host may open: ``workers`` processes with ``limit`` connections each."""

    host: str
    workers: int
    limit: int

    @property
    def connections(self) -> int:
        return self.workers * self.limit


def connections_needed(pools: Iterable[Pool], reserves: Mapping[str, int]) -> tuple[int, str]:
    """The sum of all pools and reserves, and that sum written out."""
    pools = list(pools)
    parts = [f"{pool.host}: {pool.workers} workers x {pool.limit}" for pool in pools]
    parts += [f"{name} {count}" for name, count in reserves.items()]
    needed = sum(pool.connections for pool in pools) + sum(reserves.values())
    return needed, f"{' + '.join(parts)} = {needed}"


def check_connections(pools: Iterable[Pool], reserves: Mapping[str, int], max_connections: int) -> None:
    """The connection invariant: what all gateways may open fits into the server. Raises SizingError with the sum."""
    needed, written = connections_needed(pools, reserves)
    if needed > max_connections:
        raise SizingError(
            f"database connections: {written}, but max_connections is {max_connections}; "
            f"{needed - max_connections} too many"
        )
