"""PostgreSQL's image: Debian's packages, pgBackRest among them, in the host's versions and with its locales."""

from __future__ import annotations

from deploys.components.engine import base_image
from deploys.components.postgres_install import major
from deploys.components.postgres_settings import PostgresSettings
from deploys.lib import images
from deploys.lib.component import Here
from deploys.lib.images import Image, package_version, user_ids
from deploys.lib.render import render


def image(here: Here) -> Image:
    s: PostgresSettings = here.settings(PostgresSettings)
    number = major(here)
    dockerfile = render(
        "postgres/Dockerfile.j2", s, base=base_image(here), host=images.HOST, apt=images.APT, major=number
    )
    return Image(
        "postgres",
        str(number),
        dockerfile,
        contexts=(("locales", "/usr/lib/locale"),),
        arguments=(
            ("POSTGRES_ID", user_ids("postgres")),
            ("POSTGRESQL", package_version(f"postgresql-{number}")),
            ("PGBACKREST", package_version("pgbackrest")),
            images.LIBRARIES,
            ("LOCALES", "locale -a | cksum | cut -d ' ' -f 1"),
        ),
    )
