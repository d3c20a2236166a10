"""What the gateway's user may do in Redis: as before unless it is told to be what is used, and who is told of more."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deploys.components import redis_commands
from deploys.components.redis import REDIS
from tests.unit import site
from tests.unit.test_redis import stub

NAME = "has refused no command that may be needed"


def gateways_line(release: str = "13", **data: object) -> list[str]:
    here = site.single(release=release, **data)
    text = next(file.text for file in REDIS.files(here) if file.path.endswith("users.acl"))
    return next(line for line in text.splitlines() if line.startswith("user litellm ")).split()


def test_only_what_is_named_is_allowed_and_nothing_that_administers() -> None:
    words = gateways_line(redis_commands="used")
    assert words[4:7] == ["~*", "&*", "-@all"], "from nothing on"
    allowed = {word.removeprefix("+") for word in words[7:]}
    assert allowed == {*redis_commands.used(setinfo=True)} and all(word.startswith("+") for word in words[7:])
    assert not [word for word in allowed if word.startswith("@")]
    assert not allowed & {"keys", "flushall", "flushdb", "config", "client", "debug", "script", "sort", "migrate"}


def test_a_command_that_the_server_does_not_know_would_keep_it_from_starting() -> None:
    """Redis 7.0 of Debian 12 has no CLIENT SETINFO."""
    newer, older = (gateways_line(release, redis_commands="used") for release in ("13", "12"))
    assert set(newer) - set(older) == {"+client|setinfo"}


def test_each_command_is_named_once_and_with_what_needs_it() -> None:
    named = [command for _, _, commands in redis_commands.NEEDED for command in commands]
    assert len(named) == len(set(named))
    assert all(what and where and commands for what, where, commands in redis_commands.NEEDED)
    assert not {*named} & {*redis_commands.NEVER}


STATISTICS = "# Commandstats\r\n{}cmdstat_ping:calls=9,usec=9,rejected_calls=0,failed_calls=0\r\n"


@pytest.mark.parametrize(
    ("lines", "status", "said"),
    [
        ("", 0, "none"),
        # Without a password, or of LiteLLM's page of who is connected.
        ("cmdstat_get:calls=1,usec=1,usec_per_call=1.00,rejected_calls=12,failed_calls=0\r\n", 0, "none"),
        ("cmdstat_client|list:calls=0,usec=0,rejected_calls=1,failed_calls=0\r\n", 0, "none"),
        (
            "cmdstat_hgetall:calls=0,usec=0,rejected_calls=3,failed_calls=0\r\n",
            1,
            'refused: hgetall; redis_commands = "safe" lets through what is no danger',
        ),
    ],
)
def test_verify_says_what_was_refused(lines: str, status: int, said: str, tmp_path: Path) -> None:
    (probe,) = (one for one in REDIS.probes(site.single(redis_commands="used")) if one.name == NAME)
    stub(tmp_path, "redis-cli", STATISTICS.format(lines))
    command = probe.command.replace("$(cat /etc/portcullis/redis-health.secret)", "x")
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["sh", "-c", command], env=path, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (status, said), done.stderr


def test_nobody_is_asked_where_everything_harmless_is_allowed() -> None:
    assert NAME not in [one.name for one in REDIS.probes(site.single())]
    assert "+@all" in gateways_line()
