"""TLS between gateways and Redis: files on each side, what clients are told, what is wrong with a certificate."""

from __future__ import annotations

from shlex import quote

from deploys.components import transport
from deploys.components.redis_settings import RedisSettings
from deploys.components.transport import reached as reached
from deploys.lib.component import ConfigFile, Here, Member, Probe
from deploys.lib.render import render

CERTIFICATE = "/etc/redis/tls.crt"
KEY = "/etc/redis/tls.key"
AUTHORITY = "/etc/redis/tls-ca.crt"
# Whose clients may not look into /etc/redis, which is often on another host.
GATEWAY_AUTHORITY = "/etc/litellm/redis-ca.crt"
HEALTH_AUTHORITY = "/etc/portcullis/redis-ca.crt"


def files(s: RedisSettings, member: Member) -> list[ConfigFile]:
    """What Redis on ``member`` serves with, and what is above it for ``redis-cli`` on its own host."""
    if not s.secured:
        return []
    made = transport.identity(s, "redis", member)
    key = render("redis/tls.key.j2", s, key=made.key)
    return [
        ConfigFile(CERTIFICATE, made.certificate, mode="0640", group="redis"),
        # Redis reads it as its own user; nobody else does.
        ConfigFile(KEY, key, mode="0600", user="redis", group="redis", secret=True),
        authority(s, member, AUTHORITY),
    ]


def authority(s: RedisSettings, member: Member, path: str) -> ConfigFile:
    """What a client must find above the certificate of the Redis on ``member``, as a file at ``path``."""
    return ConfigFile(path, transport.identity(s, "redis", member).authority)


def options(s: RedisSettings) -> str:
    """What ``redis-cli`` on Redis' own host needs beside host and port; with a space at the end."""
    return f"--tls --cacert {AUTHORITY} " if s.secured else ""


def trial(s: RedisSettings) -> str:
    """What a second Redis needs to load certificate and key, and not to listen where the first one does."""
    # As if for a replica: a Redis that listens nowhere with TLS does not look at them otherwise.
    return f"--tls-port 0 --tls-replication yes --tls-ca-cert-file {AUTHORITY} " if s.secured else ""


def problems(here: Here) -> list[str]:
    """Why gateways would refuse this Redis, or Redis its key; asked before anything is changed on any host."""
    return transport.problems(here.settings(RedisSettings), "redis_", here)


def check(s: RedisSettings, address: str) -> str:
    """A shell command for a gateway that is true when Redis at ``address`` answers with a certificate it will accept.

    Redis' own part of the same run may have failed: then a gateway that came to speak TLS would be without Redis.
    """
    said = (
        f"Redis at {address} port {s.port} does not answer with a certificate that "
        f"{transport.signed_by(s, 'redis_')} has signed"
    )
    return f"{transport.asking(address, s.port, GATEWAY_AUTHORITY)} || {{ echo {quote(said)}; exit 1; }}"


def probes(s: RedisSettings, plain: str) -> list[Probe]:
    """Questions for ``verify``; ``plain`` is a command that asks Redis without TLS."""
    if not s.secured:
        return []
    return [
        Probe(
            "refuses a client without TLS",
            f"! {{ timeout 10 {plain} ping 2>&1 | grep -E 'PONG|NOAUTH'; }} && echo closed",
        ),
        Probe(
            "has a certificate for another week",
            transport.lasting(CERTIFICATE),
        ),
    ]
