"""TLS between gateways and Redis: files on each side, what clients are told, what is wrong with a certificate."""

from __future__ import annotations

from shlex import quote

from deploys.components.redis_settings import RedisSettings
from deploys.lib import tls
from deploys.lib.component import ConfigFile, Here, Probe
from deploys.lib.render import render

CERTIFICATE = "/etc/redis/tls.crt"
KEY = "/etc/redis/tls.key"
AUTHORITY = "/etc/redis/tls-ca.crt"
# Whose clients may not look into /etc/redis, which is often on another host.
GATEWAY_AUTHORITY = "/etc/litellm/redis-ca.crt"
HEALTH_AUTHORITY = "/etc/portcullis/redis-ca.crt"
# A week is enough to make another one, and to come to it.
WARNING_SECONDS = 7 * 86_400


def files(s: RedisSettings) -> list[ConfigFile]:
    """What Redis serves with, and what is above it for ``redis-cli`` on its own host."""
    if not s.tls:
        return []
    assert s.tls_certificate
    return [
        ConfigFile(CERTIFICATE, tls.text_of(s.tls_certificate), mode="0640", group="redis"),
        # Redis reads it as its own user; nobody else does.
        ConfigFile(KEY, render("redis/tls.key.j2", s), mode="0600", user="redis", group="redis", secret=True),
        authority(s, AUTHORITY),
    ]


def authority(s: RedisSettings, path: str) -> ConfigFile:
    """What a client must find above Redis' certificate, as a file at ``path``."""
    assert s.tls_ca
    return ConfigFile(path, tls.text_of(s.tls_ca))


def options(s: RedisSettings) -> str:
    """What ``redis-cli`` on Redis' own host needs beside host and port; with a space at the end."""
    return f"--tls --cacert {AUTHORITY} " if s.tls else ""


def trial(s: RedisSettings) -> str:
    """What a second Redis needs to load certificate and key, and not to listen where the first one does."""
    # As if for a replica: a Redis that listens nowhere with TLS does not look at them otherwise.
    return f"--tls-port 0 --tls-replication yes --tls-ca-cert-file {AUTHORITY} " if s.tls else ""


def reached(here: Here) -> dict[str, list[str]]:
    """Each address under which gateways reach the Redis of this host, and their names."""
    found: dict[str, list[str]] = {}
    for gateway in here.of("litellm"):
        found.setdefault(Here(gateway, here.site).reach(here.member), []).append(gateway.name)
    return found


def problems(here: Here) -> list[str]:
    """Why gateways would refuse this Redis, or Redis its key; asked before anything is changed on any host."""
    s: RedisSettings = here.settings(RedisSettings)
    if not s.tls:
        return []
    if missing := [f"redis_{name}" for name in ("tls_certificate", "tls_key", "tls_ca") if not getattr(s, name)]:
        return [f"redis_tls: needs {', '.join(missing)} too"]
    assert s.tls_certificate and s.tls_key and s.tls_ca
    try:
        tls.check(s.tls_certificate, s.tls_key, s.tls_ca, reached(here))
    except tls.Unusable as wrong:
        return [f"redis_tls_{wrong.part}: {wrong}"]
    return []


def check(s: RedisSettings, address: str) -> str:
    """A shell command for a gateway that is true when Redis at ``address`` answers with a certificate it will accept.

    Redis' own part of the same run may have failed: then a gateway that came to speak TLS would be without Redis.
    """
    where = quote(f"[{address}]:{s.port}" if ":" in address else f"{address}:{s.port}")
    said = f"Redis at {address} port {s.port} does not answer with a certificate that redis_tls_ca has signed"
    return (
        f"timeout 10 openssl s_client -connect {where} -CAfile {GATEWAY_AUTHORITY} -verify_return_error "
        f"-verify_ip {address} </dev/null >/dev/null 2>&1 || {{ echo {quote(said)}; exit 1; }}"
    )


def probes(s: RedisSettings, plain: str) -> list[Probe]:
    """Questions for ``verify``; ``plain`` is a command that asks Redis without TLS."""
    if not s.tls:
        return []
    return [
        Probe(
            "refuses a client without TLS",
            f"! {{ timeout 10 {plain} ping 2>&1 | grep -E 'PONG|NOAUTH'; }} && echo closed",
        ),
        Probe(
            "has a certificate for another week",
            f"openssl x509 -noout -enddate -in {CERTIFICATE}; "
            f"openssl x509 -noout -checkend {WARNING_SECONDS} -in {CERTIFICATE} >/dev/null",
        ),
    ]
