"""Redis as a component: its files, how it is checked and asked, and where it listens."""

from __future__ import annotations

import hashlib

from pydantic import SecretStr

from deploys import operations
from deploys.components import engine_images, redis_commands, redis_tls
from deploys.components.redis_extra import extra_problems
from deploys.components.redis_foreign import refusal
from deploys.components.redis_image import image
from deploys.components.redis_runtime import service_files
from deploys.components.redis_settings import RedisSettings as RedisSettings
from deploys.lib.checks import out_of_reach
from deploys.lib.component import Account, Component, ConfigFile, Here, Listener, Probe
from deploys.lib.probes import listens_only
from deploys.lib.render import render
from deploys.lib.runtime import contained
from deploys.lib.sizing import Demand, Machine

# Not in /etc/redis: what root reads there must not be for Redis to exchange.
HEALTH_SECRET = "/etc/portcullis/redis-health.secret"
# A fork for a snapshot copies pages that change meanwhile, and clients have buffers: Redis' administration manual
# asks for up to twice the data; counters change little, so 1.6.
FORK_FACTOR = 1.6
MINIMUM_MB = 160


def demand(s: RedisSettings, machine: Machine, tenants: frozenset[str]) -> Demand:
    """A small fixed start and a part of what is left, up to 1 GiB: LiteLLM's counters and cache are small."""
    if s.maxmemory_mb is not None:
        fixed = round(s.maxmemory_mb * FORK_FACTOR)
        return Demand(fixed, why=f"redis_maxmemory_mb {s.maxmemory_mb:,} x {FORK_FACTOR}")
    return Demand(MINIMUM_MB, weight=0.5, maximum_mb=1024)


def maxmemory_mb(here: Here) -> int:
    """Data Redis may hold, in MiB."""
    s: RedisSettings = here.settings(RedisSettings)
    return s.maxmemory_mb or int(here.member.plan.shares["redis"] / FORK_FACTOR)


def bind(here: Here) -> list[str]:
    """Loopback, and the host's own address when a gateway on another host needs it."""
    s: RedisSettings = here.settings(RedisSettings)
    if s.bind is not None:
        return s.bind
    elsewhere = [m for m in here.of("litellm") if m.name != here.member.name]
    return ["127.0.0.1", *([here.member.address] if elsewhere and here.member.address else [])]


def hashed(secret: SecretStr) -> str:
    """A password as an ACL file holds it: its SHA-256, so the file has no password in it."""
    return hashlib.sha256(secret.get_secret_value().encode()).hexdigest()


def install(here: Here) -> None:
    operations.packages(name="redis | Packages", names=["redis-server", "redis-tools"])
    operations.unless(
        name="redis | Its configuration is not its own to change",
        test="[ \"$(stat -c '%a %U:%G' /etc/redis)\" = '750 root:redis' ]",
        command="chown root:redis /etc/redis && chmod u=rwx,g=rx,o=,g-s /etc/redis",
    )
    if contained(here):
        engine_images.bring(here, "redis", image(here))


def config_files(here: Here) -> list[ConfigFile]:
    s: RedisSettings = here.settings(RedisSettings)
    conf = render("redis/redis.conf.j2", s, bind=bind(here), maxmemory_mb=maxmemory_mb(here), tls=redis_tls)
    # Redis 7.0 of Debian 12 does not know CLIENT SETINFO, and refuses a user that may use what it does not know.
    named = here.member.release != "12"
    acl = render(
        "redis/users.acl.j2",
        s,
        litellm=hashed(s.password),
        rights=redis_commands.rights(s, setinfo=named),
        health=hashed(s.health_password),
        setinfo=named,
    )
    return [
        ConfigFile("/etc/redis/redis.conf", conf, mode="0640", group="redis"),
        ConfigFile("/etc/redis/users.acl", acl, mode="0640", group="redis", secret=True),
        *redis_tls.files(s, here.member),
        ConfigFile(HEALTH_SECRET, render("redis/health.secret.j2", s), mode="0600", effect="none", secret=True),
        *service_files(here, round(maxmemory_mb(here) * FORK_FACTOR), bind(here)[0]),
        ConfigFile("/etc/sysctl.d/60-portcullis-redis.conf", render("redis/sysctl.conf.j2", s), effect="none"),
        ConfigFile("/etc/tmpfiles.d/portcullis-redis.conf", render("redis/tmpfiles.conf.j2", s), effect="none"),
    ]


def check(here: Here) -> list[str]:
    """Start a second Redis with the new files on a socket of its own, ask it, stop it; then set the kernel's settings.

    Redis has no syntax check. A container may not be allowed to set some kernel values; Redis then warns and runs.
    """
    s: RedisSettings = here.settings(RedisSettings)
    return [
        'try=$(mktemp -d); log=$(mktemp); chown redis:redis "$try"; '
        'trap \'kill $pid 2>/dev/null; rm -rf "$try" "$log"\' EXIT',
        'runuser -u redis -- redis-server /etc/redis/redis.conf --port 0 --unixsocket "$try/s" --dir "$try" '
        f'{redis_tls.trial(s)}--daemonize no --supervised no --logfile "" --pidfile "$try/p" --appendonly no --save "" '
        '>"$log" 2>&1 & pid=$!',
        'for i in $(seq 50); do [ -S "$try/s" ] && break; kill -0 $pid 2>/dev/null || break; sleep 0.1; done',
        f'REDISCLI_AUTH=$(cat {HEALTH_SECRET}) redis-cli -s "$try/s" --user health ping 2>/dev/null | grep -qx PONG || '
        # Of a mistake in the file Redis says the line, what stands there, and what is wrong with it, below a headline.
        '{ { grep -A 3 "FATAL CONFIG" "$log" || grep -iE "error|wrong|bad|fatal|abort" "$log"; } | '
        "tail -n 3; exit 1; }",
        "sysctl -q -p /etc/sysctl.d/60-portcullis-redis.conf || true",
        "systemd-tmpfiles --create /etc/tmpfiles.d/portcullis-redis.conf || true",
    ]


def cli(here: Here, options: str = "") -> str:
    """The beginning of a redis-cli command line on this host, with TLS or not as in ``redis_tls.options``."""
    s: RedisSettings = here.settings(RedisSettings)
    return f"redis-cli {options}-h {bind(here)[0]} -p {s.port}"


def asking(here: Here) -> str:
    """The same as the health user, whose password is not in it."""
    options = redis_tls.options(here.settings(RedisSettings))
    return f"REDISCLI_AUTH=$(cat {HEALTH_SECRET}) {cli(here, options)} --user health"


def ready(here: Here) -> str:
    return f"{asking(here)} ping | grep -x PONG"


# Values that a container may have to leave to its machine: the file, what is right, and how to say it.
KERNEL = (
    ("/proc/sys/vm/overcommit_memory", '[ "$value" = 1 ]', "vm.overcommit_memory"),
    ("/proc/sys/net/core/somaxconn", '[ "$value" -ge 1024 ]', "net.core.somaxconn"),
    (
        "/sys/kernel/mm/transparent_hugepage/enabled",
        'case $value in *"[always]"*) false ;; esac',
        "transparent huge pages",
    ),
)
MEND = "sysctl --system && systemd-tmpfiles --create"
# From here on little is left before something has to go.
FULL_PERCENT = 90


def kernel() -> str:
    """A shell command that is true when the kernel is set as Redis needs it, wherever this host may set it."""
    asks = [
        f"if [ -r {path} ]; then value=$(cat {path}); {right} || {{ "
        f'[ ! -w {path} ] || {{ echo "{name}: $value; run: {MEND}"; exit 1; }}; left="$left {name};"; }}; fi'
        for path, right, name in KERNEL
    ]
    return f'left=; {"; ".join(asks)}; echo "${{left:+left to the machine:}}${{left:-as it needs}}"'


def memory(here: Here) -> str:
    """A shell command that is true when nothing had to be evicted, or there is room again; prints how full it is.

    What was evicted may have been a counter: it is said, and it is wrong while memory is still short.
    """
    fields = "/^used_memory:/ {u = $2} /^maxmemory:/ {m = $2} /^evicted_keys:/ {e = $2} /^maxmemory_policy:/ {p = $2}"
    said = (
        'printf "%d of %d MiB in use, policy %s, %d keys evicted since its start\\n", u / 1048576, m / 1048576, p, e; '
        f"if (!m || p !~ /^(volatile-lru|volatile-lfu|noeviction)$/) exit 1; "
        f'if (u * 100 >= m * {FULL_PERCENT} && (e || p == "noeviction")) {{ '
        'print "full: rate-limit counters may be lost; raise redis_maxmemory_mb, or lower litellm_cache_ttl"; exit 1 }'
    )
    return f"{asking(here)} info | tr -d '\\r' | awk -F: '{fields} END {{ {said} }}'"


def probes(here: Here) -> list[Probe]:
    s: RedisSettings = here.settings(RedisSettings)
    return [
        Probe("answers the health user", f"{asking(here)} ping | grep -x PONG"),
        Probe("refuses a client without a password", f"{cli(here, redis_tls.options(s))} get x 2>&1 | grep NOAUTH"),
        *redis_commands.refused(s, asking(here)),
        *redis_tls.probes(s, cli(here)),
        listens_only(s.port, bind(here)),
        Probe("has room for its counters", memory(here)),
        Probe("has a kernel set for it", kernel()),
    ]


def problems(here: Here) -> list[str]:
    s: RedisSettings = here.settings(RedisSettings)
    found = out_of_reach("redis_bind", bind(here), [m.name for m in here.of("litellm") if m.name != here.member.name])
    return [*found, *extra_problems(s.extra_config), *redis_tls.problems(here)]


def refusals(here: Here) -> list[Probe]:
    """A Redis that is somebody else's, asked before anything changes; and an image that could not be built."""
    return [refusal(here.settings(RedisSettings).port), *engine_images.refusals(here, image)]


REDIS = Component(
    name="redis",
    settings=RedisSettings,
    demand=demand,
    install=install,
    files=config_files,
    unit=lambda here: "redis-server.service",
    check=check,
    ready=ready,
    probes=probes,
    problems=problems,
    refusals=refusals,
    listeners=lambda here: [
        Listener(here.settings(RedisSettings).port, ("redis-server",), "redis_port", askers=("litellm", "health"))
    ],
    confined=Account("redis", "/var/lib/redis"),
    version=lambda here: "redis-server --version | sed 's/.*v=\\([^ ]*\\).*/\\1/'",
)
