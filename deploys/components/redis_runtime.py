"""How Redis runs: Debian's own unit with our limits, or the same program of the same release in a container."""

from __future__ import annotations

from deploys.components.engine_settings import EngineSettings, log
from deploys.components.redis_image import image
from deploys.components.redis_settings import RedisSettings
from deploys.lib.component import ConfigFile, Here
from deploys.lib.containers import HARD_FACTOR, Container, Health, compose_file
from deploys.lib.render import render
from deploys.lib.runtime import contained, unit_file

UNIT = "redis-server.service"


def container(here: Here, memory_mb: int, address: str) -> Container:
    s: RedisSettings = here.settings(RedisSettings)
    ask = f"redis-cli -h {address} -p {s.port} {'--tls --insecure ' if s.secured else ''}ping"
    return Container(
        service="redis",
        image=image(here).tag,
        # As Debian's unit has it, but that nobody waits for its word that it is ready.
        command=("redis-server", "/etc/redis/redis.conf", "--supervised", "no", "--daemonize", "no"),
        user="redis",
        unit=UNIT,
        reads=("/etc/redis",),
        writes=("/var/lib/redis", "/var/log/redis"),
        scratch=("/tmp", "/run/redis"),
        memory_mb=int(memory_mb * HARD_FACTOR),
        soft_mb=memory_mb,
        tasks=64,
        awaited=True,
        open_files=here.settings(EngineSettings).open_files,
        # Without a password it answers that it wants one: it lives, and nothing secret is needed to know.
        health=Health(("sh", "-c", f"{ask} 2>&1 | grep -q -e PONG -e NOAUTH"), start=30),
        stop_seconds=60,
    )


def service_files(here: Here, memory_mb: int, address: str) -> list[ConfigFile]:
    """The files of its unit; ``memory_mb`` is its share, the copy for a snapshot included."""
    s: RedisSettings = here.settings(RedisSettings)
    if contained(here):
        one = container(here, memory_mb, address)
        return [compose_file("redis", [one], log(here)), unit_file(one, "Redis")]
    text = render("redis/service.conf.j2", s)
    return [ConfigFile("/etc/systemd/system/redis-server.service.d/portcullis.conf", text)]
