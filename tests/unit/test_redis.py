"""Redis: golden files, what goes first when memory is full, where it listens, and whose Redis a host has."""

from __future__ import annotations

import hashlib
import inspect
import shutil
import subprocess
from pathlib import Path

import pytest

from deploys.components import redis, redis_extra, redis_foreign
from deploys.components.redis import REDIS
from deploys.lib.settings import SettingsError
from tests.unit import certificates, golden, site


def test_rendered_files(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    secured = conf(**certificates.settings(tmp_path, ["127.0.0.1"]))
    golden.check(REDIS, pytestconfig, {"etc__redis__redis.conf.tls": secured})


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-random", "volatile-ttl"])
def test_policies_that_drop_what_must_stay_are_refused(policy: str) -> None:
    """volatile-ttl would drop a counter of a minute before an answer that is kept for ten."""
    with pytest.raises(
        SettingsError, match="redis_maxmemory_policy: Input should be 'volatile-lru', 'volatile-lfu' or"
    ):
        site.single(redis_maxmemory_policy=policy)


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("maxmemory-policy allkeys-lru", "maxmemory-policy is not for these lines; use redis_maxmemory_policy"),
        ("  MAXMEMORY 8gb", "maxmemory is not for these lines; use redis_maxmemory_mb"),
        ("bind 0.0.0.0", "bind is not for these lines; use redis_bind"),
        ("port\t22", "port is not for these lines; use redis_port"),
        ("tls-port 6380", "tls-port is not for these lines; use redis_tls and what belongs to it"),
        ("save 60 1", "save is not for these lines; use redis_persistence"),
        ("aclfile /tmp/users", "aclfile is not for these lines; use redis_password and redis_health_password"),
        ("include /etc/redis/more.conf", "include is not for these lines; what another file sets cannot be checked"),
        ('"maxmemory-policy" "allkeys-random"', 'the line \'"maxmemory-policy" "allkeys-random"\' does not begin with'),
        ('"\\x70ort" 22', "the line '\"\\\\x70ort\" 22' does not begin with a plain name"),
    ],
)
def test_extra_lines_cannot_undo_the_plan(line: str, instead: str) -> None:
    with pytest.raises(SettingsError) as caught:
        site.single(redis_extra_config=f"tcp-backlog 128\n{line}\n# port 1\n")
    (problem,) = caught.value.problems
    assert problem.startswith(f"gateway.example.org: redis_extra_config: {instead}")


def test_every_line_of_the_template_is_kept_or_a_matter_of_taste(tmp_path: Path) -> None:
    texts = [conf(redis_persistence=kind) for kind in ("rdb", "aof", "none")]
    texts.append(conf(**certificates.settings(tmp_path, ["127.0.0.1"])))
    written = {line.split()[0] for text in texts for line in text.splitlines() if line and not line.startswith("#")}
    assert written - set(redis_extra.KEPT) == redis_extra.TASTE and not set(redis_extra.KEPT) & redis_extra.TASTE


def conf(**data: object) -> str:
    return next(file.text for file in REDIS.files(site.single(**data)) if file.path == "/etc/redis/redis.conf")


def test_extra_lines_come_last_where_they_win() -> None:
    assert conf(redis_extra_config="timeout 5").endswith("\n\ntimeout 5\n")
    assert "\nunixsocket /nowhere/s\n" in conf(redis_extra_config="unixsocket /nowhere/s"), "tests/host/lab uses it"


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


def test_a_secret_becomes_text_in_a_template_only() -> None:
    source = inspect.getsource(redis)
    assert source.count("get_secret_value") == inspect.getsource(redis.hashed).count("get_secret_value") == 1


INFO = """# Memory\r
used_memory:{used}\r
maxmemory:231735296\r
maxmemory_policy:{policy}\r
# Stats\r
evicted_keys:{evicted}\r
"""
EMPTY = "# Keyspace\r\n"


def stub(folder: Path, name: str, text: str, status: int = 0) -> None:
    (folder / f"{name}.out").write_text(text)
    (folder / name).write_text(f"#!/bin/sh\ncat {folder}/{name}.out\nexit {status}\n")
    (folder / name).chmod(0o755)


def asked(command: str, folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        ["sh", "-c", command], env={"PATH": f"{folder}:/usr/bin:/bin"}, capture_output=True, text=True
    )
    return done.returncode, (done.stdout.strip().splitlines() or [""])[-1]


@pytest.mark.parametrize(
    ("used", "evicted", "policy", "right"),
    [
        (20 * 2**20, 0, "volatile-lru", True),
        (20 * 2**20, 812, "volatile-lru", True),  # long ago, and there is room again
        (219 * 2**20, 0, "volatile-lru", True),
        (219 * 2**20, 1, "volatile-lru", False),
        (219 * 2**20, 0, "noeviction", False),
        (20 * 2**20, 0, "allkeys-lru", False),
        (20 * 2**20, 0, "volatile-ttl", False),
    ],
)
def test_evictions_are_said_and_wrong_while_memory_is_short(
    used: int, evicted: int, policy: str, right: bool, tmp_path: Path
) -> None:
    stub(tmp_path, "redis-cli", INFO.format(used=used, evicted=evicted, policy=policy))
    status, said = asked(redis.memory(site.single()).replace(redis.HEALTH_SECRET, "/dev/null"), tmp_path)
    assert (status == 0) is right
    figures = f"{used // 2**20} of 221 MiB in use, policy {policy}, {evicted} keys evicted since its start"
    assert said == figures or (not right and said.startswith("full: rate-limit counters may be lost; raise redis_max"))


@pytest.mark.parametrize(
    ("values", "right", "said"),
    [
        (("1", "1024", "always [madvise] never"), True, "as it needs"),
        (("0", "1024", "always [madvise] never"), False, "vm.overcommit_memory: 0; run: sysctl --system"),
        (("1", "128", "always [madvise] never"), False, "net.core.somaxconn: 128; run: sysctl --system"),
        (("1", "4096", "[always] madvise never"), False, "transparent huge pages: [always] madvise never; run:"),
    ],
)
def test_verify_sees_a_kernel_that_was_set_otherwise(
    values: tuple[str, str, str], right: bool, said: str, tmp_path: Path
) -> None:
    command = redis.kernel()
    assert [probe.command for probe in REDIS.probes(site.single())].count(command) == 1
    for number, (value, (path, _, _)) in enumerate(zip(values, redis.KERNEL, strict=True)):
        (tmp_path / str(number)).write_text(f"{value}\n")
        command = command.replace(path, str(tmp_path / str(number)))
    status, line = asked(command, tmp_path)
    assert (status == 0) is right and line.startswith(said)
    # In a container these files are often not for it to write.
    closed = command.replace("[ ! -w ", "[ -w ")
    assert asked(closed, tmp_path)[0] == 0
    assert right or asked(closed, tmp_path)[1].startswith("left to the machine: ")


def foreign(
    folder: Path, conf: str | None, *, answer: str, status: str = "installed", rdb: str = ""
) -> tuple[int, str]:
    """The refusal on a host with this redis.conf, Redis' answer, the package's state, and a dump of so many keys."""
    (folder / "data").mkdir(exist_ok=True)
    shutil.rmtree(folder / "conf", ignore_errors=True)
    if conf is not None:
        (folder / "conf").write_text(conf)
    (folder / "data" / "dump.rdb").write_text(rdb)
    stub(folder, "redis-cli", answer)
    stub(folder, "redis-check-rdb", f"[offset 0] Checking RDB file\n[info] {rdb} keys read\n")
    conffile = f" /etc/redis/redis.conf {hashlib.md5(b'the package').hexdigest()}"
    (folder / "dpkg-query").write_text(
        f"#!/bin/sh\ncase $2 in *Status*) echo {status} ;; *) echo '{conffile}' ;; esac\n"
    )
    (folder / "dpkg-query").chmod(0o755)
    command = REDIS.refusals(site.single())[0].command
    command = command.replace(f'grep -q " {redis_foreign.CONF}', 'grep -q " /etc/redis/redis.CONF')
    command = command.replace(redis_foreign.CONF, str(folder / "conf")).replace("redis.CONF", "redis.conf")
    return asked(command.replace(redis_foreign.DATA, str(folder / "data")), folder)


GONE = "Could not connect to Redis at 127.0.0.1:6379: Connection refused\n"


@pytest.mark.parametrize(
    ("conf", "more"),
    [
        (None, {"answer": GONE}),
        ("# Managed by Portcullis from x\n", {"answer": "NOAUTH Authentication required.\n", "rdb": "7"}),
        ("the package", {"answer": EMPTY, "rdb": "0"}),
        ("changed", {"answer": EMPTY}),  # somebody prepared a Redis, and nothing is in it
        ("the package", {"answer": GONE}),
        ("the package", {"answer": GONE, "rdb": "0"}),
        ("the package", {"answer": GONE, "status": "half-configured"}),
        ("no checksum yet", {"answer": GONE, "status": "unpacked"}),
    ],
)
def test_a_redis_of_ours_or_an_empty_one_is_taken(conf: str | None, more: dict[str, str], tmp_path: Path) -> None:
    assert foreign(tmp_path, conf, **more) == (0, "")


@pytest.mark.parametrize(
    ("conf", "more", "words"),
    [
        ("changed", {"answer": "NOAUTH Authentication required.\n"}, "which answers: NOAUTH Authentication required."),
        ("the package", {"answer": "LOADING Redis is loading the dataset in memory\n"}, "which answers: LOADING"),
        ("changed", {"answer": ""}, "which does not answer"),
        ("the package", {"answer": f"{EMPTY}db0:keys=3,expires=0\r\ndb5:keys=4,expires=0\r\n"}, "with 7 keys"),
        ("changed", {"answer": GONE}, "is not the package's"),
        ("changed", {"answer": GONE, "status": "config-files"}, "is not the package's"),
        ("the package", {"answer": GONE, "rdb": "12"}, "with data in "),
        (None, {"answer": GONE, "rdb": "12"}, "with data in "),
    ],
)
def test_a_redis_of_somebody_else_is_refused(
    conf: str | None, more: dict[str, str], words: str, tmp_path: Path
) -> None:
    status, said = foreign(tmp_path, conf, **more)
    assert status == 1 and words in said
    assert said.startswith("the host has a Redis that Portcullis did not set up, ")
