"""What the gateway's user may do in Redis: what is no danger to the server, or what LiteLLM's features need alone.

The second is read out of the source of the releases that the toolkit has a lock for: tests/lab/test_redis_commands.py
does it again for the one that is installed. A script in Lua has no more rights than the user who sends it.
"""

from __future__ import annotations

from shlex import quote

from deploys.components.redis_settings import RedisSettings
from deploys.lib.component import Probe

# Each with what needs it, and where that is in litellm/ (or in redis-py, which LiteLLM asks through).
NEEDED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("every connection", "redis/connection.py: on_connect, check_health", ("auth", "hello", "ping")),
    ("the server's version at a start", "caching/redis_cache.py: RedisCache.__init__", ("info",)),
    ("answers and objects that are kept", "caching/redis_cache.py, redis_batch.py", ("get", "set", "mget", "del")),
    ("how long they are kept", "caching/redis_cache.py: async_set_ttl, async_get_ttl", ("expire", "ttl")),
    (
        "counters of spend, budgets and limits",
        "caching/redis_cache.py: async_increment, increment_cache",
        ("incrby", "incrbyfloat"),
    ),
    ("which models were used in a minute", "proxy/hooks/dynamic_rate_limiter.py", ("sadd",)),
    ("answers of a batch", "proxy/hooks/batch_redis_get.py: async_scan_iter", ("scan",)),
    (
        "spend on its way to the database",
        "proxy/db/db_transaction_queue/redis_update_buffer.py",
        ("rpush", "lpop", "ltrim"),
    ),
    ("several commands at once", "caching/redis_cache.py: pipeline(transaction=True)", ("multi", "exec", "discard")),
    (
        "word of changed keys and settings to other workers",
        "proxy/common_utils/config_sync_pubsub.py, auth_cache_invalidation_pubsub.py",
        ("publish", "subscribe", "unsubscribe"),
    ),
    (
        "scripts: limits, budgets, locks, login throttle",
        "caching/redis_cache.py: async_register_script; redis/commands/core.py: Script",
        ("eval", "evalsha", "script|load", "script|exists"),
    ),
    (
        "commands in these scripts",
        "proxy/hooks/parallel_request_limiter_v3.py and others that have redis.call in them",
        ("decrby", "exists", "incr", "pexpire", "time", "zadd", "zcard", "zrem", "zremrangebyscore"),
    ),
)

# What pages of LiteLLM's for administrators ask for, and no setting allows: who else is connected, and to empty it all.
NEVER = ("client|list", "flushall")


def used(setinfo: bool) -> list[str]:
    """All of them, once; ``setinfo`` where the server has the command with which a client says what it is."""
    named = [command for _, _, commands in NEEDED for command in commands]
    return [*dict.fromkeys(named), *(["client|setinfo"] if setinfo else [])]


def rights(s: RedisSettings, setinfo: bool) -> str:
    """The rights of the gateway's user, as an ACL file has them."""
    if s.commands == "used":
        return " ".join(["-@all", *(f"+{command}" for command in used(setinfo))])
    more = ["+client|setinfo"] if setinfo else []
    return " ".join(["+@all", "-@admin", "-@dangerous", "+info", *more, "+client|setname", "+client|no-evict"])


def refused(s: RedisSettings, asking: str) -> list[Probe]:
    """What was asked for since Redis started and is not on the list; ``asking`` begins a command as the health user.

    Refused calls are counted by command, also where a script made them. Those of commands on the list were of clients
    without a password, or came while memory was short.
    """
    if s.commands != "used":
        return []
    known = " ".join([*used(setinfo=True), *NEVER])
    said = (
        'for (one in found) said = said " " one; if (said) { print "refused:" said "; redis_commands = \\"safe\\" lets '
        'through what is no danger"; exit 1 } print "none"'
    )
    read = (
        f"tr -d '\\r' | awk -v known={quote(known)} 'BEGIN {{ split(known, words, \" \"); for (i in words) "
        'is[words[i]] = 1 } /^cmdstat_/ && /rejected_calls=[1-9]/ { sub(/^cmdstat_/, ""); sub(/:.*/, ""); '
        f"if (!($0 in is)) found[$0] = 1 }} END {{ {said} }}'"
    )
    return [Probe("has refused no command that may be needed", f"{asking} info commandstats | {read}")]
