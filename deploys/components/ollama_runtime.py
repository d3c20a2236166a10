"""How Ollama runs: the verified archive under a unit of ours, or a copy of it in a container."""

from __future__ import annotations

from deploys.components import ollama_guard
from deploys.components.engine_settings import EngineSettings, log
from deploys.components.ollama_image import image
from deploys.components.ollama_settings import ROOT, OllamaSettings, version_folder
from deploys.lib.component import ConfigFile, Here
from deploys.lib.containers import EVERYONES, Container, compose_file, http_health
from deploys.lib.render import render
from deploys.lib.runtime import contained, unit_file

UNIT = "ollama.service"
ENVIRONMENT = "/etc/portcullis/ollama.env"


def memory_mb(here: Here) -> int:
    """Its share of the host, without what its guard may take of it."""
    return here.member.plan.shares["ollama"] - (ollama_guard.MEMORY_MB if ollama_guard.guarded(here) else 0)


def container(here: Here, url: str) -> Container:
    return Container(
        service="ollama",
        image=image(here).tag,
        command=(f"{version_folder(here)}/bin/ollama", "serve"),
        user="ollama",
        unit=UNIT,
        reads=("/etc/ssl/certs",),
        writes=("/var/lib/ollama",),
        # Of two files the later wins. The first has what Debian has for everyone, with the proxy for pulls.
        env_files=(EVERYONES, ENVIRONMENT),
        memory_mb=memory_mb(here),
        tasks=4096,
        open_files=here.settings(EngineSettings).open_files,
        expendable=True,
        health=http_health("python3", f"{url}/api/version"),
        stop_seconds=20,
    )


def service_files(here: Here, url: str) -> list[ConfigFile]:
    """The files of its unit; ``url`` is where it answers."""
    s: OllamaSettings = here.settings(OllamaSettings)
    if contained(here):
        one = container(here, url)
        return [compose_file("ollama", [one], log(here)), unit_file(one, "Ollama, local models on the CPU")]
    text = render("ollama/ollama.service.j2", s, root=ROOT, memory_mb=memory_mb(here))
    return [ConfigFile(f"/etc/systemd/system/{UNIT}", text)]
