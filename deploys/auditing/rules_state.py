"""Rules about what a gateway keeps: Redis, the cache, the database, the spend log."""

from __future__ import annotations

from collections.abc import Iterator

from deploys.auditing.document import KeyPath
from deploys.auditing.findings import add_key, remove_key, set_value
from deploys.auditing.inputs import Directive
from deploys.auditing.registry import P0, P1, P2, Hit, at, rule
from deploys.auditing.subject import Subject

CACHE: KeyPath = ("litellm_settings", "cache_params")


def directives(s: Subject, name: str) -> list[Directive]:
    return [directive for directive in s.redis if directive.name == name]


def has_redis(s: Subject) -> bool:
    """Whether the gateway is told of any Redis."""
    cached = s.config.get("litellm_settings", "cache") is True
    typed = str(s.config.get(*CACHE, "type", default="redis")).startswith("redis")
    router = any(s.config.has("router_settings", key) for key in ("redis_host", "redis_url"))
    general = s.config.has("general_settings", "coordination_redis")
    return (cached and typed) or router or general or bool(s.variable("REDIS_HOST", "REDIS_URL"))


@rule(
    "C01",
    P1,
    "Redis may throw away anything when it is full",
    effect="With allkeys-* it drops locks, budgets, cooldowns and spend that waits to be written, not only the cache.",
    advice="maxmemory-policy volatile-lru: only what has an end of its own is dropped.",
    source="https://redis.io/docs/latest/develop/reference/eviction/; litellm/caching/redis_cache.py",
)
def evicts_all(s: Subject) -> Iterator[Hit]:
    for directive in directives(s, "maxmemory-policy"):
        if directive.value.startswith("allkeys-"):
            yield Hit(directive.place, f"maxmemory-policy is {directive.value}")
    if s.live and s.live.redis_policy.startswith("allkeys-"):
        yield Hit(s.live.place, f"Redis' maxmemory-policy is {s.live.redis_policy}")


@rule(
    "C02",
    P2,
    "Redis by URL",
    effect="A URL in the configuration makes host, port and password beside it void; the password is in one string "
    "with the address, and ends in logs.",
    advice="host, port, password (and ssl) from REDIS_HOST, REDIS_PORT, REDIS_PASSWORD.",
    source="litellm/_redis.py:500-560, 640; issues #34727, #3188",
)
def by_url(s: Subject) -> Iterator[Hit]:
    places: tuple[KeyPath, ...] = (
        ("router_settings", "redis_url"),
        (*CACHE, "url"),
        (*CACHE, "redis_url"),
        ("general_settings", "coordination_redis", "url"),
    )
    for path in places:
        if s.config.has(*path):
            section = s.config.section(*path[:-1])
            beside = [key for key in section if key.removeprefix("redis_") in ("host", "port", "password")]
            also = f", and {', '.join(beside)} beside it do nothing" if beside else ""
            yield at(s, path, f"{path[-1]} is set{also}", severity=P1 if beside else None)
    if "REDIS_URL" in s.variables:
        unused = " and ignored, because a host is set too" if s.variable("REDIS_HOST") else ""
        yield Hit(s.variables["REDIS_URL"].place, f"REDIS_URL is set{unused}")


@rule(
    "C05",
    P0,
    "Redis without a password, for others too",
    effect="Whoever reaches the port reads cached answers and key hashes, and can lift limits and budgets.",
    advice="requirepass or an ACL file, and bind to the addresses the gateways use.",
    source="https://redis.io/docs/latest/operate/oss_and_stack/management/security/",
)
def open_redis(s: Subject) -> Iterator[Hit]:
    guarded = any(directives(s, name) for name in ("requirepass", "aclfile", "user"))
    if guarded:
        return
    for directive in directives(s, "protected-mode"):
        if directive.value == "no":
            yield Hit(directive.place, "protected-mode is off, and there is no password")
    for directive in directives(s, "bind"):
        addresses = [word.lstrip("-") for word in directive.value.split()]
        if any(not word.startswith(("127.", "::1", "localhost")) for word in addresses):
            yield Hit(directive.place, f"it listens on {directive.value}, and there is no password", severity=P1)


@rule(
    "C06",
    P2,
    "Redis for the router said twice",
    effect="The router takes the cache's Redis by itself; with both, each worker opens twice the connections.",
    advice="Leave redis_host, redis_port and redis_password out of router_settings.",
    source="litellm/proxy/proxy_server.py:7264; litellm/router.py:1099",
)
def twice(s: Subject) -> Iterator[Hit]:
    cached = s.config.get("litellm_settings", "cache") is True
    if cached and str(s.config.get(*CACHE, "type", default="redis")) == "redis":
        keys = [key for key in ("redis_host", "redis_port", "redis_password") if s.config.has("router_settings", key)]
        if keys:
            path = ("router_settings", keys[0])
            fix = [edit for key in keys for edit in remove_key(s.config, ("router_settings", key))]
            yield at(s, path, f"router_settings has {', '.join(keys)} beside cache_params", fix)


@rule(
    "C08",
    P2,
    "One cache for all keys",
    effect="Two tenants with the same prompt share an answer: the cache's key has the model and the request in it, "
    "not who asked.",
    advice="cache_params.mode: default_off, so that a request asks for the cache by itself.",
    source="litellm/caching/caching.py:365-400",
)
def shared_cache(s: Subject) -> Iterator[Hit]:
    kind = str(s.config.get(*CACHE, "type", default="redis"))
    mode = s.config.get(*CACHE, "mode", default="default_on")
    if s.config.get("litellm_settings", "cache") is True and "semantic" not in kind and mode == "default_on":
        fix = add_key(s.config, CACHE, ["mode: default_off"]) if not s.config.has(*CACHE, "mode") else []
        fix = fix or set_value(s.config, (*CACHE, "mode"), "default_off")
        yield at(s, ("litellm_settings", "cache"), "answers are cached for everybody", fix)


def has_database(s: Subject) -> bool:
    return "DATABASE_URL" in s.variables or s.config.has("general_settings", "database_url")


@rule(
    "D02",
    P2,
    "A spend log that grows for ever",
    effect="One row per request; 26 GB and 6 million rows have been reported, and queries over it hold the database.",
    advice='maximum_spend_logs_retention_period: "30d" and maximum_spend_logs_retention_interval: "1h"; it counts from '
    "the start of a worker, so a longer one than a worker lives deletes nothing.",
    source="litellm/proxy/proxy_server.py:11187; issue #41499",
)
def no_retention(s: Subject) -> Iterator[Hit]:
    general = s.config.section("general_settings")
    ends = general.get("disable_spend_logs") is True or "maximum_spend_logs_retention_period" in general
    if has_database(s) and not ends:
        lines = ["maximum_spend_logs_retention_period: 30d", "maximum_spend_logs_retention_interval: 1h"]
        fix = add_key(s.config, ("general_settings",), lines)
        yield at(s, ("general_settings",), "nothing deletes old rows of the spend log", fix)


@rule(
    "D03",
    P0,
    "A spend buffer without Redis",
    effect="LiteLLM does not start: ValueError.",
    advice="Set up Redis, or take use_redis_transaction_buffer out; one host needs none.",
    source="litellm/proxy/proxy_server.py:10535",
)
def buffer_without_redis(s: Subject) -> Iterator[Hit]:
    path: KeyPath = ("general_settings", "use_redis_transaction_buffer")
    if s.config.get(*path) is True and not has_redis(s) and s.knows_environment:
        yield at(s, path, "there is no Redis for use_redis_transaction_buffer", remove_key(s.config, path))
