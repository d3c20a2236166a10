"""Ollama's image: the folder that the host has checked and unpacked."""

from __future__ import annotations

from deploys.components.engine import base_image
from deploys.components.ollama_settings import OllamaSettings, version_folder
from deploys.lib.component import Here
from deploys.lib.images import Image, user_ids
from deploys.lib.render import render


def image(here: Here) -> Image:
    s: OllamaSettings = here.settings(OllamaSettings)
    folder = version_folder(here)
    dockerfile = render("ollama/Dockerfile.j2", s, base=base_image(here), folder=folder)
    return Image(
        "ollama", s.version, dockerfile, contexts=(("ollama", folder),), arguments=(("OLLAMA_ID", user_ids("ollama")),)
    )
