"""LiteLLM's image, and what stands on the host for the folder that is in it."""

from __future__ import annotations

from deploys.components.engine import base_image
from deploys.components.litellm.install import requirements, scripts, version_folder
from deploys.components.litellm.probes import CONFIG, LAUNCH
from deploys.components.litellm.settings import LitellmSettings
from deploys.lib import images, pyenv
from deploys.lib.component import Here
from deploys.lib.images import Image, package_version, user_ids
from deploys.lib.render import render
from deploys.lib.shim import shim, shim_script

# In the image because its programs need them; with the host's versions, so that an upgrade there makes a new image.
PACKAGES = (("LIBATOMIC1", "libatomic1"), ("OPENSSL", "openssl"))
MIGRATIONS = "venv/lib/python3*/site-packages/litellm_proxy_extras/migrations"
# A folder that was installed on the host, to the last line of its last script.
WHOLE = "[ -f {0}/venv/pyvenv.cfg ] && [ -d {0}/prisma/cache ] && [ ! -e {0}/prisma/cli ]"


def image(here: Here) -> Image:
    """The image of this host's gateway: from the base image, or from the one that LiteLLM's maintainers publish."""
    s: LitellmSettings = here.settings(LitellmSettings)
    folder = version_folder(here)
    common = {
        "folder": folder,
        "launch": LAUNCH,
        "config": CONFIG,
        "url": images.HEALTH_URL,
        "ask": images.ASK_HEALTH,
    }
    user = ("LITELLM_ID", user_ids("litellm"))
    if s.image:
        adopt = ("adopt.sh", render("litellm/adopt.sh.j2", s))
        dockerfile = render("litellm/Dockerfile.published.j2", s, published=s.image, **common)
        return Image("litellm", s.version, dockerfile, (adopt,), arguments=(user,))
    made = scripts(s, folder, pyenv.OF_THE_IMAGE)
    return Image(
        "litellm",
        s.version,
        render(
            "litellm/Dockerfile.j2",
            s,
            base=base_image(here),
            host=images.HOST,
            apt=images.APT,
            packages=PACKAGES,
            **common,
        ),
        (("requirements.txt", requirements(s)), *((f"{name}.sh", text) for name, text in made.items())),
        arguments=(user, *((name, package_version(package)) for name, package in PACKAGES), images.LIBRARIES),
    )


def stand_in(here: Here, tag: str) -> str:
    """Shell text that makes the version's folder on the host: a Python that is the image's, and every migration."""
    folder = version_folder(here)
    program = shim(folder, ["/etc/litellm"], ["DATABASE_URL", "LITELLM_SALT_KEY", "LITELLM_MIGRATION_DIR"])
    return shim_script(tag, folder, program, WHOLE.format(folder), MIGRATIONS)
