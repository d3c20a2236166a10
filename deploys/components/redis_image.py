"""Redis' image: Debian's package, in the host's version."""

from __future__ import annotations

from deploys.components.engine import base_image
from deploys.components.redis_settings import RedisSettings
from deploys.lib import images
from deploys.lib.component import Here
from deploys.lib.images import Image, package_version, user_ids
from deploys.lib.render import render


def image(here: Here) -> Image:
    s: RedisSettings = here.settings(RedisSettings)
    dockerfile = render("redis/Dockerfile.j2", s, base=base_image(here), host=images.HOST, apt=images.APT)
    server = ("REDIS_SERVER", package_version("redis-server"))
    arguments = (("REDIS_ID", user_ids("redis")), server, images.LIBRARIES)
    return Image("redis", f"debian{here.member.release}", dockerfile, arguments=arguments)
