"""What the gateway keeps outside itself: rows and pools in the database; limits and cached answers in Redis."""

from __future__ import annotations

import ipaddress
from typing import Any, Literal

from pydantic import Field, field_validator

from deploys.lib.patterns import AGE, worded
from deploys.lib.settings import Settings

# Calls that the proxy makes: it knows no others of the names LiteLLM accepts here, which are those of its Python API.
CallType = Literal[
    "acompletion", "atext_completion", "aembedding", "atranscription", "arerank", "aresponses", "anthropic_messages"
]
# Cache.__init__ of litellm/caching/caching.py in 1.106.2; earlier versions have no such limit, and end when told one.
DEFAULT_MAX_MESSAGES = 4


class StateSettings(Settings):
    """Pools, what is logged for how long, and Redis."""

    database_connection_pool_limit: int = Field(
        10, ge=1, le=200, description="Database connections each worker may open."
    )
    database_connection_timeout: int = Field(
        20,
        ge=1,
        le=600,
        description="Seconds a query waits for a free database connection. Looking up a key ends after 10 s all the "
        "same.",
    )
    proxy_batch_write_at: int = Field(
        10,
        ge=1,
        le=600,
        description="Seconds between two writes to the database of what keys, teams and users have spent, and up to 5 "
        "more. What is not written yet is lost when a worker is killed, not when it is renewed. Rows of the spend log "
        "are not bound by it: LiteLLM writes them after 2 to 30 s.",
    )
    spend_logs: bool = Field(True, description="Write a row to the spend log for every request.")
    spend_logs_retention: str = Field(
        "30d",
        pattern=AGE,
        description="Age at which rows of the spend log are deleted; the log grows for ever otherwise. Failed requests "
        "are rows of the same log, so they go at the same age.",
    )
    spend_logs_cleanup_interval: str = Field(
        # LiteLLM's own, a day, never comes where workers are renewed every night.
        "1h",
        pattern=AGE,
        description="Time between two deletions of old rows of the spend log, and up to a minute more. Each worker "
        "counts from its start, so one that is renewed sooner deletes nothing.",
    )
    error_logs: bool = Field(False, description="Write a row to the spend log for failed requests too.")
    allow_requests_on_db_unavailable: bool = Field(
        False,
        description="Stay ready while the database is away, and let requests pass whose key cannot be checked: any key "
        "will do then. Refused where others can reach the gateway. LiteLLM 1.106.2 lets them pass for some ways of "
        "being away only; for others it still answers 503 to keys it has not seen in the last minute.",
    )
    allow_requests_on_db_unavailable_acknowledged: bool = Field(
        False, description="Answer them also on an address that others can reach."
    )
    cache_mode: Literal["default_off", "default_on", "off"] = Field(
        "default_off",
        description='Whether answers are kept in Redis. `default_off`: for requests with `"cache": {"use-cache": '
        "true}` only. `default_on`: for all; two keys with the same question share an answer. `off`: never, whatever "
        "a request says. Limits and cooldowns are in Redis all the same.",
    )
    cache_ttl: int = Field(
        600,
        ge=1,
        le=2_592_000,
        description="Seconds an answer is kept. LiteLLM has one time for all kinds of calls; a request may give its "
        'own: `"cache": {"ttl": 60}`.',
    )
    cache_call_types: list[CallType] = Field(
        ["acompletion", "atext_completion", "aembedding"],
        min_length=1,
        description="Kinds of calls whose answers are kept: `acompletion` (chat), `atext_completion`, `aembedding`, "
        "`atranscription`, `arerank`, `aresponses`, `anthropic_messages`.",
    )
    cache_max_messages: int | None = Field(
        DEFAULT_MAX_MESSAGES,
        ge=1,
        description="Requests with more messages than this are neither looked up nor kept, so that agents' long "
        "conversations do not fill the cache; None for no limit.",
    )
    cache_namespace: str = Field(
        "litellm",
        pattern=worded(r"^[A-Za-z0-9._-]{1,64}$", "1 to 64 letters, digits and . _ -"),
        description="What every key in Redis begins with, of limits and cooldowns too. Another one empties the cache, "
        "so to say, and limits begin to count anew.",
    )
    redis_max_connections: int = Field(
        50, ge=5, le=1000, description="Connections to Redis that each worker's pool may open."
    )
    use_redis_transaction_buffer: bool | None = Field(
        None,
        description="Collect spend of all workers and gateways in Redis and let one of them write it, instead of all. "
        "Default: when there are several gateways.",
    )

    @field_validator("cache_call_types")
    @classmethod
    def _call_types_once(cls, value: list[CallType]) -> list[CallType]:
        if twice := [name for name in dict.fromkeys(value) if value.count(name) > 1]:
            raise ValueError(f"names {twice[0]} twice")
        return value


def buffers_spend(s: StateSettings, gateways: int) -> bool:
    """Whether spend goes through Redis: many writers of the same rows wait for each other."""
    return gateways > 1 if s.use_redis_transaction_buffer is None else s.use_redis_transaction_buffer


def redis_connection(authority: str) -> dict[str, Any]:
    """How Redis is reached: by host and port, because a URL holds the password, and takes the other keys' place.

    ``authority`` is the file with what must be above Redis' certificate; empty without TLS, where LiteLLM's client for
    asynchronous calls ends at every key that is for TLS only.
    """
    made: dict[str, Any] = {
        "host": "os.environ/REDIS_HOST",
        "port": "os.environ/REDIS_PORT",
        "username": "os.environ/REDIS_USERNAME",
        "password": "os.environ/REDIS_PASSWORD",
    }
    if authority:
        # The names are checked by default only since redis-py 6.
        made |= {"ssl": True, "ssl_ca_certs": authority, "ssl_check_hostname": True}
    return made


def environment_part(authority: str) -> dict[str, str]:
    """Variables for clients that LiteLLM makes out of the environment alone: they would send the password in clear."""
    return {"REDIS_SSL": "True", "REDIS_SSL_CA_CERTS": authority} if authority else {}


def cache_params(s: StateSettings, authority: str = "") -> dict[str, Any]:
    """``cache_params``; a key it does not know is passed on to redis-py, which ends the gateway."""
    made: dict[str, Any] = {
        "type": "redis",
        **redis_connection(authority),
        "namespace": s.cache_namespace,
        "ttl": s.cache_ttl,
        "mode": s.cache_mode,
        "supported_call_types": list(s.cache_call_types),
        "max_connections": s.redis_max_connections,
    }
    if s.cache_max_messages != DEFAULT_MAX_MESSAGES:
        made["max_messages"] = s.cache_max_messages
    return made


def litellm_settings_part(s: StateSettings, authority: str = "") -> dict[str, Any]:
    """The part of ``litellm_settings``. The cache also gives the router, limits and cooldowns their Redis."""
    return {} if s.cache_mode == "off" else {"cache": True, "cache_params": cache_params(s, authority)}


def general_settings_part(s: StateSettings, gateways: int = 1, authority: str = "") -> dict[str, Any]:
    """The part of ``general_settings``, for a site with so many ``gateways``."""
    made: dict[str, Any] = {
        "database_connection_pool_limit": s.database_connection_pool_limit,
        "database_connection_timeout": s.database_connection_timeout,
        "proxy_batch_write_at": s.proxy_batch_write_at,
        "disable_error_logs": not s.error_logs,
        "maximum_spend_logs_retention_period": s.spend_logs_retention,
        "maximum_spend_logs_retention_interval": s.spend_logs_cleanup_interval,
        "allow_requests_on_db_unavailable": s.allow_requests_on_db_unavailable,
    }
    if not s.spend_logs:
        made["disable_spend_logs"] = True
    if buffers_spend(s, gateways):
        made["use_redis_transaction_buffer"] = True
    if s.cache_mode == "off":
        made["coordination_redis"] = {**redis_connection(authority), "max_connections": s.redis_max_connections}
    return made


def reachable(address: str) -> bool:
    """Whether others than this host and its private network can reach a service that listens on ``address``."""
    listens = ipaddress.ip_address(address)
    # Python counts 0.0.0.0 as private; it is every address of the host.
    return listens.is_unspecified or not (listens.is_private or listens.is_loopback)


def problems(s: StateSettings, listen: str, gateways: int = 1, redis_persistence: str = "rdb") -> list[str]:
    """What is wrong with these settings on a gateway that listens on ``listen``; one sentence each, under its key."""
    found = []
    if s.allow_requests_on_db_unavailable and not s.allow_requests_on_db_unavailable_acknowledged and reachable(listen):
        found.append(
            f"litellm_allow_requests_on_db_unavailable: while the database is away any key would be good, and "
            f"litellm_listen {listen} is not a loopback or private address; listen on one, or set "
            "litellm_allow_requests_on_db_unavailable_acknowledged = True"
        )
    if buffers_spend(s, gateways) and redis_persistence == "none":
        found.append(
            "litellm_use_redis_transaction_buffer: spend would wait in a Redis that keeps nothing over a restart; set "
            "redis_persistence to rdb or aof, or this to False"
        )
    return found
