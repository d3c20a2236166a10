"""The health app's image, and what stands on the host for its Python environment."""

from __future__ import annotations

from deploys.components.health_settings import CODE, CONFIG, PAYLOAD, HealthSettings, environment_folder
from deploys.lib import images, pyenv
from deploys.lib.component import Here
from deploys.lib.images import Image
from deploys.lib.render import render
from deploys.lib.shim import shim, shim_script


def image(here: Here, base: str) -> Image:
    """The environment only: the app's code is the host's, mounted, as its settings are."""
    folder = environment_folder()
    dockerfile = render(
        "health/Dockerfile.j2",
        here.settings(HealthSettings),
        base=base,
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
    return Image("health", folder.rpartition("/")[2], dockerfile, files)


def stand_in(tag: str) -> str:
    """Shell text that makes the environment's folder on the host: a Python that is the image's, as nobody."""
    folder = environment_folder()
    program = shim(folder, ["/etc/portcullis"], ["PYTHONPATH"], user="65534:65534")
    return shim_script(tag, folder, program, f"[ -f {folder}/venv/pyvenv.cfg ]")
