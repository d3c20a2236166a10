"""Sizes are sums: every plan keeps both invariants, and every refusal shows a sum that adds up."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploys.components import postgres
from deploys.components.litellm.settings import LitellmSettings, workers_on
from deploys.components.ollama import context_length
from deploys.components.postgres_tuning import BACKEND_MB, WAL_BUFFERS_MB, tuning
from deploys.components.redis import maxmemory_mb
from deploys.lib.component import Here
from deploys.lib.settings import SettingsError
from deploys.lib.sizing import (
    PRESETS,
    Demand,
    Machine,
    Pool,
    SizingError,
    check_connections,
    check_memory,
    connections_needed,
    plan_host,
    reserve_mb,
)
from tests.unit import site
from tests.unit.thorough import examples, thorough

pytestmark = thorough

MIB = 1024 * 1024


def test_the_reserve_is_half_a_gibibyte_and_six_percent() -> None:
    assert [reserve_mb(Machine(1, mb)) for mb in (2048, 4096, 8192, 16384)] == [635, 758, 1004, 1496]


@pytest.mark.parametrize(
    ("preset", "shares", "workers", "context"),
    [
        # 8192 - 1004 reserve - (384 + 160 + 1024 + 1600 + 128) = 3892, shared out 1.5 : 0.5 : 8
        ("small", {"postgres": 967, "redis": 354, "ollama": 4137, "litellm": 1600, "health": 128}, 2, 4096),
        # 16384 - 1496 reserve - (384 + 160 + 1024 + 2800 + 128) = 10392
        ("large", {"postgres": 1942, "redis": 679, "ollama": 9337, "litellm": 2800, "health": 128}, 4, 8192),
    ],
)
def test_everything_on_one_host(preset: str, shares: dict[str, int], workers: int, context: int) -> None:
    here = site.single(preset=preset)
    plan = here.member.plan
    assert {name: share for name, share in plan.shares.items() if share} == shares
    left = plan.machine.memory_mb - plan.reserve_mb - sum(shares.values())
    assert 0 <= left < len(shares), "nothing is left over but what rounding takes"
    assert workers_on(here.member) == workers
    assert context_length(here) == context
    assert maxmemory_mb(here) == int(shares["redis"] / 1.6)


def test_a_host_of_its_own_gives_a_component_more() -> None:
    members = {member.name: member for member in site.split()}
    assert members["db"].plan.shares["postgres"] == 8192 - 1004
    assert members["cache"].plan.shares["redis"] == 1024, "counters and cache need no more, the rest is the kernel's"
    assert members["llm"].plan.shares["ollama"] == 8192 - 1004
    assert workers_on(members["gw-1"]) == 4, "one per vCPU where no inference runs"


def test_connections_are_the_pools_twice_for_one_gateway_and_the_reserves() -> None:
    here = site.place(site.split(), "db")
    needed, written = connections_needed(postgres.pools(here), postgres.reserves(here))
    assert written == (
        "gw-1: 4 workers x 10 + gw-2: 4 workers x 10 + superuser 3 + migration 5 + administration 6 + health 2 + "
        "reload of one gateway 40 = 136"
    )
    assert needed == postgres.max_connections(here) == 136


def test_too_few_connections_are_refused_with_the_sum() -> None:
    with pytest.raises(SettingsError) as caught:
        site.single(postgres_max_connections=50)
    assert caught.value.problems == [
        "gateway.example.org: postgres_max_connections: database connections: gateway.example.org: 2 workers x 10 + "
        "superuser 3 + migration 5 + administration 6 + health 1 + reload of one gateway 20 = 55, but max_connections "
        "is 50; 5 too many; raise it, or lower litellm_database_connection_pool_limit"
    ]


def test_check_connections_allows_exactly_the_sum() -> None:
    pools = [Pool("a", 2, 10), Pool("b", 1, 5)]
    check_connections(pools, {"admin": 3}, 28)
    with pytest.raises(
        SizingError, match=r"a: 2 workers x 10 \+ b: 1 workers x 5 \+ admin 3 = 28, but .* 27; 1 too many"
    ):
        check_connections(pools, {"admin": 3}, 27)


def test_check_memory_allows_exactly_the_sum() -> None:
    check_memory(Machine(1, 100), 10, {"a": 90})
    with pytest.raises(SizingError) as caught:
        check_memory(Machine(1, 100), 10, {"a": 91}, {"a": "because"})
    assert (
        str(caught.value) == "memory: reserve 10 + a 91 (because) = 101 MiB, but the host has 100 MiB; 1 MiB too much"
    )


demands = st.dictionaries(
    st.sampled_from("abcdef"),
    st.builds(
        Demand,
        minimum_mb=st.integers(0, 3000),
        weight=st.floats(0, 10, allow_nan=False),
        maximum_mb=st.none() | st.integers(0, 6000),
    ),
    min_size=1,
)


@settings(max_examples=examples(150), deadline=None)
@given(demands=demands, memory=st.integers(1024, 65536))
def test_sharing_out_keeps_minimum_and_maximum_and_wastes_nothing(demands: dict[str, Demand], memory: int) -> None:
    machine = Machine(2, memory)
    try:
        plan = plan_host(machine, demands)
    except SizingError:
        assert sum(demand.minimum_mb for demand in demands.values()) + reserve_mb(machine) > memory
        return
    for name, demand in demands.items():
        assert plan.shares[name] >= demand.minimum_mb
        if demand.maximum_mb is not None:
            assert plan.shares[name] <= max(demand.maximum_mb, demand.minimum_mb)
        if not demand.weight:
            assert plan.shares[name] == demand.minimum_mb
    left = memory - plan.reserve_mb - sum(plan.shares.values())
    assert left >= 0
    limits = {name: math.inf if d.maximum_mb is None else d.maximum_mb for name, d in demands.items()}
    hungry = [name for name, d in demands.items() if d.weight > 1e-6 and plan.shares[name] < limits[name]]
    assert not hungry or left <= len(demands), "memory is left over only when everyone has enough"


@settings(max_examples=examples(200), deadline=None)
@given(share=st.integers(256, 65536), vcpus=st.integers(1, 64), connections=st.integers(20, 2000))
def test_postgres_promises_no_more_than_its_share(share: int, vcpus: int, connections: int) -> None:
    try:
        tuned = tuning(share, vcpus, connections)
    except SizingError as error:
        numbers = re.search(
            r"(\d+) connections x (\d+) MiB \+ (\d+) shared buffers \+ (\d+) maintenance \+ (\d+) WAL = (\d+) MiB, but "
            r"its share is (\d+) MiB",
            str(error),
        )
        assert numbers
        count, each, buffers, maintenance, wal, total, stated = map(int, numbers.groups())
        assert count * each + buffers + maintenance + wal == total > stated == share
        assert (each, wal) == (BACKEND_MB + 1, WAL_BUFFERS_MB)
        return
    assert tuned.promised <= share
    assert 1 <= tuned.work_mem <= 64
    assert tuned.shared_buffers <= tuned.effective_cache_size <= max(share, 128)
    assert tuned.max_parallel_workers_per_gather <= tuned.max_parallel_workers <= max(1, vcpus)


def adds_up(problem: str) -> None:
    """A refusal's numbers: each term before the equals sign, and what it is compared with."""
    text = re.sub(r"\([^)]*\)", "", problem).replace(",", "")
    text = text.partition("memory:")[2] or text.partition("connections:")[2] or text.partition("postgres:")[2] or text
    left, equals, right = text.partition(" = ")
    assert equals, problem
    parts = re.split(r" \+ |; ", left.replace(": ", " : "))
    total = 0
    for part in parts:
        product = re.search(r"(\d+) (?:workers|connections) x (\d+)", part)
        number = re.search(r"(?:^|\s)(\d+)(?:\s+(?:weights|context|overhead|shared|maintenance|WAL)|\s*$)", part)
        assert product or number, (part, problem)
        total += int(product[1]) * int(product[2]) if product else int(number[1])  # type: ignore[index]
    stated, compared, *_ = (int(number) for number in re.findall(r"\d+", right))
    assert total == stated > compared, problem


@settings(max_examples=examples(120), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    vcpus=st.integers(2, 16),
    memory=st.integers(4096, 65536),
    roles=st.sets(st.sampled_from(site.ROLES), min_size=1),
    workers=st.none() | st.integers(1, 64),
    pool=st.integers(1, 200),
    maximum=st.none() | st.integers(20, 5000),
)
def test_every_plan_keeps_both_invariants_or_is_refused_with_a_sum_that_adds_up(
    vcpus: int, memory: int, roles: set[str], workers: int | None, pool: int, maximum: int | None
) -> None:
    shared: dict[str, Any] = {"litellm_database_connection_pool_limit": pool, "postgres_max_connections": maximum}
    if workers:
        shared["litellm_workers"] = workers
    # What is not on the host that is sized is on one beside it, which is large enough.
    rest = tuple(role for role in site.ROLES if role not in roles)
    hosts = [site.host("one", tuple(roles), private_address="192.0.2.1", vcpus=vcpus, memory_mb=memory, **shared)]
    if rest:
        hosts.append(site.host("two", rest, private_address="192.0.2.2", vcpus=16, memory_mb=262144, **shared))
    try:
        members = site.look(*hosts)
    except SettingsError as error:
        for problem in error.problems:
            adds_up(problem)
        return
    for member in members:
        assert member.plan.reserve_mb + sum(member.plan.shares.values()) <= member.machine.memory_mb
    here = site.home(members, "postgres")
    allowed = postgres.max_connections(here)
    gateway = site.home(members, "litellm")
    own = gateway.settings(LitellmSettings)
    # At a reload the new workers of one gateway open their pools before the old ones close theirs.
    assert 2 * workers_on(gateway.member) * own.database_connection_pool_limit + 14 + 1 <= allowed
    tuned = tuning(here.member.plan.shares["postgres"], here.member.machine.vcpus, allowed)
    assert tuned.max_connections == allowed
    assert tuned.promised <= here.member.plan.shares["postgres"]


def test_a_model_that_does_not_fit_is_refused_with_the_sum() -> None:
    sizes = {"llama3.2:3b": 9 * 1024 * MIB, "nomic-embed-text": 100 * MIB}
    with pytest.raises(SettingsError) as caught:
        site.single(ollama_models_size_bytes=sizes)
    (problem,) = caught.value.problems
    adds_up(problem)
    assert problem == (
        "gateway.example.org: ollama_models: llama3.2:3b: 9,216 weights + 448 context + 350 overhead; "
        "nomic-embed-text: 100 weights + 350 overhead = 10,464 MiB, but Ollama's share of the host is 4,137 MiB; "
        "choose a smaller model, or lower ollama_context_length or ollama_max_loaded_models"
    )


@pytest.mark.parametrize("preset", list(PRESETS))
def test_both_presets_carry_the_default_models(preset: str) -> None:
    here: Here = site.single(preset=preset)
    assert here.member.plan.machine == PRESETS[preset]
