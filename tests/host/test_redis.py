"""Redis: users with few rights, a memory limit with room for counters, and only where the gateways reach it."""

from __future__ import annotations

from deploys.components import redis, redis_tls
from deploys.components.redis import RedisSettings
from tests.host.support import Server


def cli(server: Server, *commands: str, user: str = "litellm") -> list[str]:
    """Answers to ``commands`` as one of our users; the password goes over standard input."""
    s: RedisSettings = server.here.settings(RedisSettings)
    password = (s.password if user == "litellm" else s.health_password).get_secret_value()
    lines = "\n".join((f"AUTH {user} {password}", *commands))
    ask = redis.cli(server.here, redis_tls.options(s))
    return server.out(f"{ask} <<'COMMANDS'\n{lines}\nCOMMANDS").splitlines()[1:]


def test_answers_both_users(redis_server: Server) -> None:
    assert cli(redis_server, "PING") == ["PONG"]
    assert cli(redis_server, "PING", user="health") == ["PONG"]


def test_refuses_a_client_without_a_password(redis_server: Server) -> None:
    s: RedisSettings = redis_server.here.settings(RedisSettings)
    answer = redis_server.out(f"{redis.cli(redis_server.here, redis_tls.options(s))} GET x 2>&1 || true")
    assert "NOAUTH" in answer


def test_the_gateways_user_cannot_administer(redis_server: Server) -> None:
    # Commands that do no harm if they are let through after all.
    for command in ("CONFIG GET maxmemory", "ACL LIST", "SLOWLOG LEN", "KEYS portcullis-none", "CLIENT LIST"):
        answer = cli(redis_server, command)
        assert answer and answer[0].startswith("NOPERM"), f"{command}: {answer}"


def test_the_health_user_sees_no_data(redis_server: Server) -> None:
    assert cli(redis_server, "GET x", user="health")[0].startswith("NOPERM")


def test_the_gateways_user_can_count_and_expire(redis_server: Server) -> None:
    answers = cli(redis_server, "INCR portcullis-test", "EXPIRE portcullis-test 5", "DEL portcullis-test")
    assert answers == ["1", "1", "1"]


def test_memory_is_limited_as_planned(redis_server: Server) -> None:
    s: RedisSettings = redis_server.here.settings(RedisSettings)
    info = dict(line.partition(":")[::2] for line in cli(redis_server, "INFO memory", user="health"))
    assert int(info["maxmemory"]) == redis.maxmemory_mb(redis_server.here) * 1024 * 1024
    assert info["maxmemory_policy"].strip() == s.maxmemory_policy
    assert int(info["used_memory"]) < int(info["maxmemory"])


def test_listens_only_where_planned(redis_server: Server) -> None:
    s: RedisSettings = redis_server.here.settings(RedisSettings)
    found = redis_server.out(f"ss -Hltn 'sport = :{s.port}' | awk '{{print $4}}' | sed 's/:[0-9]*$//' | sort -u")
    assert found.split() == sorted(redis.bind(redis_server.here))
