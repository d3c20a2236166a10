"""How a component's image gets onto a host: built there before anything is switched to it."""

from __future__ import annotations

from deploys import operations
from deploys.lib.images import Image, build_script, present


def build(component: str, image: Image) -> None:
    """Build ``image`` unless the host has it, made for the packages that the host has now."""
    operations.step(
        name=f"{component} | Image {image.tag}",
        key=f"image-{image.tag.replace(':', '-')}",
        script=build_script(image),
        unless=present(image),
    )


def stand_in(component: str, folder: str, script: str) -> None:
    """Put what stands for the Python of an image into ``folder``, for questions that are asked on the host."""
    operations.step(
        name=f"{component} | What stands for the image's Python on the host",
        key=f"stand-in-{folder.strip('/').replace('/', '-')}",
        script=script,
        creates=f"{folder}/venv/bin/python",
    )
