"""The health app's image."""

from __future__ import annotations

from deploys.components.engine import base_image
from deploys.components.health_settings import CODE, CONFIG, PAYLOAD, HealthSettings, environment_folder
from deploys.lib import images, pyenv
from deploys.lib.component import Here
from deploys.lib.images import Image
from deploys.lib.render import render


def image(here: Here) -> Image:
    """The environment only: the app's code is the host's, mounted, as its settings are."""
    folder = environment_folder()
    dockerfile = render(
        "health/Dockerfile.j2",
        here.settings(HealthSettings),
        base=base_image(here),
        host=images.HOST,
        apt=images.APT,
        folder=folder,
        code=CODE,
        config=CONFIG,
        url=images.HEALTH_URL,
        ask=images.ASK_HEALTH,
    )
    files = (
        ("requirements.txt", (PAYLOAD / "requirements.txt").read_text()),
        ("venv.sh", pyenv.venv_script(folder, pyenv.OF_THE_IMAGE)),
    )
    return Image("health", folder.rpartition("/")[2], dockerfile, files, arguments=(images.LIBRARIES,))
