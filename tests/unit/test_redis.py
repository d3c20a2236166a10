"""Redis: golden files, eviction that never drops counters, where it listens."""

from __future__ import annotations

import hashlib

import pytest

from deploys.components import redis
from deploys.components.redis import REDIS
from deploys.lib.settings import SettingsError
from tests.unit import golden, site


def test_rendered_files(pytestconfig: pytest.Config) -> None:
    golden.check(REDIS, pytestconfig)


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-random"])
def test_policies_that_drop_what_must_stay_are_refused(policy: str) -> None:
    with pytest.raises(SettingsError, match="redis_maxmemory_policy: Input should be 'volatile-lru', 'volatile-ttl'"):
        site.single(redis_maxmemory_policy=policy)


@pytest.mark.parametrize(
    "line", ["maxmemory-policy allkeys-lru", "  MAXMEMORY-POLICY ALLKEYS-LFU", '"maxmemory-policy" "allkeys-random"']
)
def test_extra_lines_cannot_bring_such_a_policy_back(line: str) -> None:
    with pytest.raises(SettingsError) as caught:
        site.single(redis_extra_config=f"tcp-backlog 128\n{line}\n")
    assert caught.value.problems == [
        "gateway.example.org: redis_extra_config: allkeys-* would drop rate-limit counters and queues; use a "
        "volatile-* policy"
    ]
    assert site.single(redis_extra_config="# not maxmemory-policy allkeys-lru\nmaxmemory-policy volatile-ttl\n")


def conf(**data: object) -> str:
    return next(file.text for file in REDIS.files(site.single(**data)) if file.path == "/etc/redis/redis.conf")


def test_extra_lines_come_last_where_they_win() -> None:
    assert conf(redis_extra_config="timeout 5").endswith("\n\ntimeout 5\n")


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("rdb", ["save 900 1", "save 300 1000", "appendonly no"]),
        ("aof", ["save 900 1", "appendonly yes", "appendfsync everysec"]),
        ("none", ['save ""', "appendonly no"]),
    ],
)
def test_persistence_is_what_was_chosen(kind: str, lines: list[str]) -> None:
    text = conf(redis_persistence=kind)
    assert [line for line in text.splitlines() if line.startswith(("save", "append"))] == lines


def test_memory_for_data_leaves_room_for_a_fork() -> None:
    assert "maxmemory 221mb" in conf()  # a share of 354 MiB by 1.6
    here = site.single(redis_maxmemory_mb=500)
    assert redis.maxmemory_mb(here) == 500
    assert here.member.plan.shares["redis"] == 800


def test_it_listens_on_its_address_only_when_a_gateway_is_elsewhere() -> None:
    assert redis.bind(site.single()) == ["127.0.0.1"]
    assert redis.bind(site.place(site.split(), "cache")) == ["127.0.0.1", "192.0.2.11"]
    assert redis.bind(site.single(redis_bind=["10.1.2.3"])) == ["10.1.2.3"]


def test_loopback_is_refused_when_a_gateway_is_elsewhere() -> None:
    with pytest.raises(SettingsError) as caught:
        site.split(redis_bind=["127.0.0.1"])
    assert caught.value.problems == [
        "cache: redis_bind: 127.0.0.1 can be reached from this host only, and gw-1, gw-2 must reach it"
    ]


def test_the_acl_file_has_digests_and_the_default_user_is_off() -> None:
    text = next(file.text for file in REDIS.files(site.single()) if file.path.endswith("users.acl"))
    assert text.startswith("user default off resetpass -@all\n")
    for user, key in (("litellm", "REDIS_PASSWORD"), ("health", "REDIS_HEALTH_PASSWORD")):
        assert f"user {user} on #{hashlib.sha256(site.SECRETS[key].encode()).hexdigest()} " in text
    rights = next(line for line in text.splitlines() if line.startswith("user health")).split()
    assert rights[4:6] == ["resetkeys", "-@all"], "the health user reads no key"
