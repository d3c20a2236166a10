"""How a component's image gets onto a host: built there before anything is switched to it."""

from __future__ import annotations

from deploys import operations
from deploys.lib.containers import FOLDER
from deploys.lib.images import Image, build_script, present, prune_script, pruned


def build(component: str, image: Image) -> None:
    """Build ``image`` unless the host has it, made for the packages that the host has now.

    One that is made anew under its name, for another version of a package, makes the file that names it a newer one:
    its service is then older than what it is made of, and is restarted like any other.
    """
    file = f"{FOLDER}/{component}.yaml"
    operations.step(
        name=f"{component} | Image {image.tag}",
        key=f"image-{image.tag.replace(':', '-')}",
        script=f"{build_script(image)}if grep -qsF {image.tag} {file}; then touch {file}; fi\n",
        unless=present(image),
    )


def prune(backup_root: str) -> None:
    """Remove images that neither a service nor a run in the ledger has any more."""
    operations.step(
        name="engine | Images that nothing needs any more",
        key="engine-prune",
        script=prune_script(backup_root),
        unless=pruned(backup_root),
        noted=False,
    )


def stand_in(component: str, folder: str, script: str) -> None:
    """Put what stands for the Python of an image into ``folder``, for questions that are asked on the host."""
    operations.step(
        name=f"{component} | What stands for the image's Python on the host",
        key=f"stand-in-{folder.strip('/').replace('/', '-')}",
        script=script,
        creates=f"{folder}/venv/bin/python",
    )
