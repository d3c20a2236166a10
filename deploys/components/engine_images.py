"""How a component's image gets onto a host, before anything is switched to it; and what must be so beforehand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from shlex import quote

from deploys import operations, shipping
from deploys.components.engine_settings import EngineSettings, built_elsewhere
from deploys.lib import workshop
from deploys.lib.component import Here, Probe
from deploys.lib.containers import FOLDER, LABEL
from deploys.lib.images import Image, build_script, present, prune_script, pruned
from deploys.lib.runtime import contained
from deploys.lib.transaction import STATE
from deploys.lib.workshop import Registry

# What the largest image takes where the engine keeps it, and its archive, in MiB; LiteLLM's has 1,030 and 320.
IMAGE_MB, ARCHIVE_MB = 3072, 1024
# What a build on the host takes at most, in MiB. The two have all they need a second time, in the stage or the folder
# they are copied from; the largest of the others has 453, with its packages beside it for as long as it is built.
LARGE, SMALL_MB = ("litellm", "ollama"), 1024
THERE = "there"


def bring(here: Here, component: str, image: Image) -> None:
    """Put ``image`` on the host unless it is there, made for the packages that the host has now.

    One that is made anew under its name, for another version of a package, makes the file that names it a newer one:
    its service is then older than what it is made of, and is restarted like any other.
    """
    s: EngineSettings = here.settings(EngineSettings)
    name, file = f"{component} | Image {image.tag}", f"{FOLDER}/{component}.yaml"
    if s.images_from == "controller":
        shipping.ship(name=name, image=image, cache=s.images_cache, used_by=file)
    elif s.images_from == "registry":
        shipping.pull(
            name=name,
            image=image,
            cache=s.images_cache,
            used_by=file,
            registry=Registry(s.image_registry or "", tuple(s.insecure_registries)),
            user=s.registry_user,
            password=s.registry_password,
        )
    else:
        operations.step(
            name=name,
            key=f"image-{image.tag.replace(':', '-')}",
            script=f"{build_script(image)}if grep -qsF {image.tag} {file}; then touch {file}; fi\n",
            unless=present(image),
        )


# Shell text: MiB that are left where a folder is, or will be.
LEFT = 'left() { d=$1; while [ ! -d "$d/" ]; do d=${d%/*}; done; df -Pm "$d/" | awk "NR == 2 { print \\$4 }"; }; '


def refusals(here: Here, image: Callable[[Here], Image]) -> list[Probe]:
    """What would keep a component's image from being built where that is to be done, or from being kept."""
    if not contained(here):
        return []
    s: EngineSettings = here.settings(EngineSettings)
    data, made = str(s.extra.get("data-root", "/var/lib/docker")), image(here)
    there = f"if {present(made)}; then echo {THERE}; exit 0; fi; {LEFT}"
    if not built_elsewhere(here):
        needs = IMAGE_MB if made.name in LARGE else SMALL_MB
        ask = f"{there}left {quote(data)}"
        return [Probe("room for a build", ask, judge=partial(_has_room, made.name, data, needs))]
    places = (STATE, data)
    free = " ".join(f'"$(left {quote(place)})"' for place in places)
    ask = f'{there}echo "$(dpkg --print-architecture)" {free}'
    return [Probe("an image that cannot be built for the host", ask, judge=partial(_judged, s, places))]


def _has_room(name: str, place: str, needs: int, detail: str) -> str:
    if not detail.isdigit() or int(detail) >= needs:
        return ""  # it is there, or nobody can tell
    return (
        f"engine_images_from: the host has {int(detail):,} MiB left for {place}, and building the image of {name} "
        f"takes {needs:,}; make room, or have images built elsewhere"
    )


def _judged(s: EngineSettings, places: tuple[str, str], detail: str) -> str:
    if detail == THERE:
        return ""
    architecture, *left = detail.split()
    if why := workshop.unable(s.images_cache, architecture):
        return f"engine_images_from: {why}"
    needed = (ARCHIVE_MB if s.images_from == "controller" else 0, IMAGE_MB)
    for place, has, needs in zip(places, left, needed, strict=False):
        if int(has) < needs:
            return f"engine_images_from: the host has {int(has):,} MiB left for {place}, and an image takes {needs:,}"
    return ""


def tidy(here: Here) -> None:
    """Remove images that neither a service nor a run in the ledger has any more; and here, what no run names."""
    backup_root = here.member.host.backup_root
    operations.step(
        name="engine | Images that nothing needs any more",
        key="engine-prune",
        script=prune_script(backup_root),
        unless=pruned(backup_root),
        noted=False,
    )
    if built_elsewhere(here):
        s: EngineSettings = here.settings(EngineSettings)
        shipping.forget(
            name="engine | Images that the controlling machine no longer needs",
            cache=s.images_cache,
            days=s.images_cache_days,
        )


def stand_in(component: str, folder: str, script: str) -> None:
    """Put what stands for the Python of an image into ``folder``, for questions that are asked on the host."""
    operations.step(
        name=f"{component} | What stands for the image's Python on the host",
        key=f"stand-in-{folder.strip('/').replace('/', '-')}",
        script=script,
        creates=f"{folder}/venv/bin/python",
    )


# Go's template of `docker inspect`; an image that was built here has no digest of a registry, and its own always one.
_IMAGE = 'image{{"\\t"}}{{.Config.Image}}{{"\\t-\\t"}}{{.Image}}'


def used() -> str:
    """A shell command that prints the image of every container of ours, by its digest, for the bill of materials."""
    ours = f"docker ps --all --quiet --filter label={LABEL}"
    return f'found=$({ours}) && {{ [ -z "$found" ] || docker inspect -f {quote(_IMAGE)} $found | sort -u; }}'
