"""What LiteLLM asks of Redis, read in the installed release's source, and asked of a real Redis with these rights."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from deploys.components import redis_commands
from deploys.components.redis import REDIS
from deploys.components.redis_settings import RedisSettings
from tests.lab.real_litellm import NEEDED, PYTHON
from tests.ports import free_port
from tests.unit import site

SERVER = shutil.which("redis-server")

# Calls of redis-py's methods on what may be a client, and commands in Lua. Semantic caches are other people's servers.
READ = r"""
import ast, json, pathlib, re, importlib.util
from redis.commands.core import CoreCommands

root = pathlib.Path(importlib.util.find_spec("litellm").origin).parent
methods = {name for name in dir(CoreCommands) if not name.startswith("_")}
client = re.compile(r"redis|pipe|pubsub|^client$|^self\.client$")
other = re.compile(
    r"http|headers|kwargs|params|prisma|semantic|valkey|operation|buffer|config|result|failures|batch_access"
)
found = {"lua": set(), "called": {}}
for path in root.rglob("*.py"):
    text = path.read_text()
    if "redis" not in text.lower():
        continue
    found["lua"].update(name.lower() for name in re.findall(r"redis\.p?call\(\s*['\"](\w+)", text, re.IGNORECASE))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in methods:
            on = ast.unparse(node.func.value).lower()
            if client.search(on) and not other.search(on) and "semantic" not in path.name:
                found["called"].setdefault(node.func.attr, f"{path.relative_to(root)}:{node.lineno}")
print(json.dumps({"lua": sorted(found["lua"]), "called": found["called"]}))
"""
# What redis-py's methods send that are not called as the command is.
SENT = {
    "delete": {"del"},
    "incr": {"incrby"},
    "scan_iter": {"scan"},
    "script_load": {"script|load"},
    "register_script": {"evalsha", "script|load", "script|exists"},
    "client_list": {"client|list"},
}
# Lists of Python's whose names speak of Redis.
LISTS = {"append"}


@NEEDED
def test_the_list_has_every_command_that_the_installed_release_sends() -> None:
    done = subprocess.run([PYTHON, "-c", READ], capture_output=True, text=True, check=True, timeout=300)
    found: dict[str, Any] = json.loads(done.stdout)
    assert {"eval", "mget", "publish", "rpush"} <= set(found["called"]) and "zadd" in found["lua"], "it reads nothing"
    sent = {name for method in found["called"].keys() - LISTS for name in SENT.get(method, {method})}
    known = {*redis_commands.used(setinfo=True), *redis_commands.NEVER}
    assert sent - known == set(), found["called"]
    assert set(found["lua"]) - known == set()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[int]:
    """The port of a real Redis with our users; as if Debian 12's, which knows less."""
    if not SERVER:
        pytest.skip("needs redis-server: apt-get install redis-server")
    here = site.single(release="12", redis_commands="used")
    acl = next(file.text for file in REDIS.files(here) if file.path.endswith("users.acl"))
    (tmp_path / "users.acl").write_text(acl)
    port = free_port()
    words = [
        SERVER,
        "--port",
        str(port),
        "--aclfile",
        str(tmp_path / "users.acl"),
        "--save",
        "",
        "--dir",
        str(tmp_path),
    ]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        try:
            for _ in range(100):
                try:
                    redis.Redis(port=port).ping()
                except redis.AuthenticationError:
                    break
                except redis.ConnectionError:
                    time.sleep(0.1)
            yield port
        finally:
            process.terminate()


SCRIPT = """
local now = redis.call('TIME')
redis.call('ZADD', KEYS[1], now[1], 'x'); redis.call('ZCARD', KEYS[1]); redis.call('ZREM', KEYS[1], 'x')
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, 1); redis.call('SET', KEYS[2], 1, 'EX', 5); redis.call('INCR', KEYS[2])
redis.call('DECRBY', KEYS[2], 1); redis.call('INCRBY', KEYS[2], 2); redis.call('INCRBYFLOAT', KEYS[2], 2)
redis.call('PEXPIRE', KEYS[2], 900); redis.call('EXISTS', KEYS[2]); redis.call('MGET', KEYS[2])
redis.call('TTL', KEYS[2]); redis.call('EXPIRE', KEYS[2], 3); redis.call('GET', KEYS[2])
return redis.call('DEL', KEYS[2])
"""


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_real_server_refuses_none_of_them_and_everything_else(server: int, protocol: int) -> None:
    def client(user: str, secret: str) -> Any:
        return redis.Redis(port=server, username=user, password=site.SECRETS[secret], protocol=protocol)

    gateway, health = client("litellm", "REDIS_PASSWORD"), client("health", "REDIS_HEALTH_PASSWORD")
    gateway.set("a", "1", ex=10, nx=True)
    assert gateway.get("a") == b"1" and gateway.mget("a", "b") == [b"1", None]
    assert gateway.expire("a", 5) and gateway.ttl("a") > 0 and gateway.incr("n") == 1 and gateway.incrbyfloat("f", 1.5)
    assert gateway.sadd("s", "x") == 1 and list(gateway.scan_iter("a*")) == [b"a"] and gateway.info()["redis_version"]
    with gateway.pipeline(transaction=True) as pipe:
        assert pipe.rpush("l", "x", "y").ltrim("l", -1, -1).execute() == [2, True]
    assert gateway.lpop("l", 2) == [b"y"]
    script = gateway.register_script(SCRIPT)
    assert script(keys=["z", "k"]) == 1 and gateway.eval("return 1", 0) == 1
    with gateway.pipeline(transaction=False) as pipe:
        script(keys=["z", "k"], client=pipe)
        assert pipe.execute() == [1]
    told = gateway.pubsub()
    told.subscribe("c")
    assert gateway.publish("c", "x") == 1
    told.unsubscribe("c")
    s: RedisSettings = site.single(redis_commands="used").settings(RedisSettings)
    (probe,) = redis_commands.refused(s, "cat")

    def verify() -> str:
        raw = "".join(
            f"{name}:rejected_calls={of['rejected_calls']}\n" for name, of in health.info("commandstats").items()
        )
        command = probe.command.replace("cat info commandstats", "cat")
        return subprocess.run(["sh", "-c", command], input=raw, capture_output=True, text=True).stdout.strip()

    assert verify() == "none"
    for words in (["KEYS", "*"], ["CONFIG", "GET", "x"], ["EVAL", "return redis.call('HGETALL', 'x')", "0"]):
        with pytest.raises(redis.ResponseError, match=r"permissions|can't run this command"):
            gateway.execute_command(*words)
    assert {"keys", "config|get", "hgetall"} <= set(verify().partition("; ")[0].split())
