"""Redis: LiteLLM's cache and its shared counters for limits and cooldowns."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deploys.components.transport import Mode, TlsSettings
from deploys.lib.checks import ip_addresses, long_enough
from deploys.lib.settings import Port, Secret, secret


class RedisSettings(TlsSettings):
    port: Port = Field(6379, description="TCP port to listen on.")
    bind: list[str] | None = Field(
        None,
        description="Addresses to listen on. Default: loopback, and this host's address when a gateway is elsewhere.",
    )
    password: Secret = secret("env:REDIS_PASSWORD", "Password of the ACL user `litellm`, as a reference.")
    health_password: Secret = secret(
        "env:REDIS_HEALTH_PASSWORD",
        "Password of the ACL user `health`, which may only ask whether Redis lives, as a reference.",
    )
    commands: Literal["safe", "used"] = Field(
        "safe",
        description="What the ACL user `litellm` may do. `safe`: all that Redis counts neither as administration nor "
        "as dangerous. `used`: the commands that LiteLLM's features need, and no other; what a script of your own or "
        "another release would need beside them is refused, and `verify` says so.",
    )
    tls: Mode = Field(
        "off",
        description="Encrypt what gateways and Redis say to each other; Redis then answers nobody without TLS. "
        "`given`: with a certificate of yours; `site`: with one that is made from `redis_tls_secret`. True and False, "
        "as older inventories have them, are `given` and `off`. In the run that switches it on or off the gateways are "
        "without Redis until their own turn: each worker counts limits for itself, and the health app says `not "
        "ready`.",
    )
    maxmemory_mb: int | None = Field(
        None, ge=32, description="Memory for data in MiB. Default: this component's share of the host divided by 1.6."
    )
    # LiteLLM's counters have an expiry as cached answers have, so every policy may take them; what differs is which
    # goes first. By use, it is an answer: a counter is touched by each request, and lives for 60 s. By age it would be
    # the counter, which expires before the answers do.
    maxmemory_policy: Literal["volatile-lru", "volatile-lfu", "noeviction"] = Field(
        "volatile-lru",
        description="What goes when memory is full. `volatile-lru`: what was not used for longest, which is a cached "
        "answer before it is a counter in use. `volatile-lfu`: what is used least; it prefers popular answers to young "
        "counters. `noeviction`: nothing, but nothing new is kept, counters included. Refused: `allkeys-*` drops "
        "queues, `volatile-ttl` drops rate-limit counters first, `volatile-random` anything.",
    )
    persistence: Literal["rdb", "aof", "none"] = Field(
        "rdb",
        description="`rdb`: a snapshot every 15 minutes at most, a crash loses what came since (counters and cached "
        "answers). `aof`: a second at most. `none`: a restart starts empty.",
    )
    extra_config: str = Field(
        "",
        description="Lines for the end of redis.conf; a later line wins. Lines that would undo what Portcullis plans "
        "or secures are refused, with the setting to use instead.",
    )

    _password = long_enough("password", "health_password", minimum=16)
    _addresses = ip_addresses("bind")
