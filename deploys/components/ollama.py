"""Ollama: local models on the CPU, reachable by the gateways only."""

from __future__ import annotations

import ipaddress

from deploys import operations
from deploys.components import engine_images, ollama_guard
from deploys.components.ollama_guard import listen
from deploys.components.ollama_image import image
from deploys.components.ollama_models import (
    CURL,
    Model,
    budget_problems,
    budget_question,
    generation,
    has_model,
    listed,
    models_of,
    pull_script,
)
from deploys.components.ollama_runtime import ENVIRONMENT, UNIT, memory_mb, service_files
from deploys.components.ollama_settings import ROOT, OllamaSettings, version_folder
from deploys.lib import bill
from deploys.lib.checks import out_of_reach
from deploys.lib.component import Component, ConfigFile, Here, Link, Listener, Probe
from deploys.lib.probes import bracketed, listens_only, system_user
from deploys.lib.render import ROOT as PROJECT
from deploys.lib.render import render
from deploys.lib.runtime import contained, main_pid
from deploys.lib.sizing import Demand, Machine

MINIMUM_MB = 1024


def demand(s: OllamaSettings, machine: Machine, tenants: frozenset[str]) -> Demand:
    """Most of what the others leave: model files are mapped, contexts are allocated."""
    if s.memory_mb is not None:
        return Demand(s.memory_mb, why="ollama_memory_mb")
    return Demand(MINIMUM_MB, weight=8.0)


def context_length(here: Here) -> int:
    """Tokens of context per model: 4096 below 12 GiB of memory, 8192 from there on."""
    s: OllamaSettings = here.settings(OllamaSettings)
    return s.context_length or (4096 if here.member.machine.memory_mb < 12288 else 8192)


def base_url(here: Here) -> str:
    """Where this host's Ollama answers on it, as a URL without a slash at the end."""
    return ollama_guard.reached_at(here, listen(here))


def asked_url(here: Here) -> str:
    """Where the gateways ask this host's Ollama."""
    return ollama_guard.reached_at(here, ollama_guard.address(here))


def problems(here: Here) -> list[str]:
    s: OllamaSettings = here.settings(OllamaSettings)
    found = []
    address = ipaddress.ip_address(ollama_guard.address(here))
    public = address.is_unspecified or not (address.is_private or address.is_loopback)
    if public and not s.allow_public_bind:
        found.append(
            f"ollama_bind: {address} can be reached from outside, and Ollama has no authentication: anyone could "
            "replace its models; use a private address, or say ollama_allow_public_bind = True"
        )
    found += out_of_reach(
        "ollama_bind", [str(address)], [m.name for m in here.of("litellm") if m.name != here.member.name]
    )
    return found + budget_problems(s, s.models_size_bytes, context_length(here), memory_mb(here))


def refusals(here: Here) -> list[Probe]:
    """Models that do not fit, by the sizes the registry states; and an image that could not be built."""
    s: OllamaSettings = here.settings(OllamaSettings)
    ask = budget_question(base_url(here), s, context_length(here), memory_mb(here))
    fit = [Probe("models that do not fit", ask, seconds=min(300, 30 + 20 * len(models_of(s))))] if ask else []
    return [*fit, *engine_images.refusals(here, image)]


def install(here: Here) -> None:
    s: OllamaSettings = here.settings(OllamaSettings)
    folder = version_folder(here)
    operations.step(
        name="ollama | System user",
        key="ollama-user",
        script=system_user("ollama", "/var/lib/ollama")
        + "\ninstall -d -o ollama -g ollama -m 0750 /var/lib/ollama /var/lib/ollama/models",
    )
    operations.step(
        name="ollama | Archive, checked and unpacked beside the present version",
        key=f"ollama-{s.version}-{s.sha256[:8]}",
        script=render("ollama/install.sh.j2", s, folder=folder, root=ROOT),
        creates=f"{folder}/bin/ollama",
    )
    if contained(here):
        engine_images.bring(here, "ollama", image(here))
    ollama_guard.install(here)


def config_files(here: Here) -> list[ConfigFile]:
    s: OllamaSettings = here.settings(OllamaSettings)
    environment = render(
        "ollama/ollama.env.j2", s, listen=f"{bracketed(listen(here))}:{s.port}", context_length=context_length(here)
    )
    return [ConfigFile(ENVIRONMENT, environment), *service_files(here, base_url(here)), *ollama_guard.files(here)]


def links(here: Here) -> list[Link]:
    return [Link(f"{ROOT}/current", version_folder(here))]


def answers(here: Here) -> str:
    s: OllamaSettings = here.settings(OllamaSettings)
    return f"{CURL} --max-time 10 {base_url(here)}/api/version | grep -F '\"{s.version}\"'"


def ready(here: Here) -> str:
    """The pinned version answers, and generates with the first model that is there already.

    Only a generation proves that the model process can start; the version alone does not.
    """
    lines = [answers(here)]
    for model in models_of(here.settings(OllamaSettings))[:1]:
        lines.append(f"{{ ! {has_model(base_url(here), model)} || {generation(base_url(here), model)}; }}")
    return " && ".join(lines)


def provision(here: Here) -> None:
    s: OllamaSettings = here.settings(OllamaSettings)
    url = base_url(here)
    for model in models_of(s):
        present = has_model(url, model)
        operations.step(
            name="ollama | Models",
            key="ollama-model-" + "".join(c if c.isalnum() else "-" for c in model.name),
            script=pull_script(url, s, model, context_length(here), memory_mb(here)),
            stdin=(PROJECT / "payload" / "ollama" / "pull.py").read_text(),
            unless=present,
        )
    for model in models_of(s):
        operations.wait_until(
            name="ollama | Every model answers",
            command=generation(url, model),
            seconds=300,
            otherwise=f"the model {model.name} does not answer; see: journalctl -u ollama",
        )


def probes(here: Here) -> list[Probe]:
    s: OllamaSettings = here.settings(OllamaSettings)
    url = base_url(here)

    def asked(model: Model) -> Probe:
        return Probe(f"{model.name} answers", generation(url, model), seconds=300)

    return [
        Probe(f"runs version {s.version}", answers(here)),
        *[asked(model) for model in models_of(s)],
        listens_only(s.port, list(dict.fromkeys((listen(here), ollama_guard.address(here))))),
        *ollama_guard.probes(here),
        Probe("does not run as root", f'ps -o user= -p "$({main_pid(UNIT)})" | grep -v root'),
    ]


def materials(here: Here) -> list[str]:
    """The program that serves, by its digest, and every model that it has. In a container it is the host's file too."""
    folder = f"{ROOT}/current"
    version = f"\"$(readlink {folder} | sed 's,.*/,,; s/-.*//')\""
    purl = f"\"pkg:github/ollama/ollama@v$(readlink {folder} | sed 's,.*/,,; s/-.*//')\""
    return [bill.file(f"{folder}/bin/ollama", "ollama", version, purl), listed(base_url(here))]


OLLAMA = Component(
    name="ollama",
    settings=OllamaSettings,
    demand=demand,
    install=install,
    files=config_files,
    links=links,
    unit=lambda here: UNIT,
    extra_units=lambda here: [ollama_guard.UNIT] if ollama_guard.guarded(here) else [],
    check=ollama_guard.check,
    back=ollama_guard.back,
    ready=ready,
    ready_seconds=300,
    provision=provision,
    bill=materials,
    problems=problems,
    refusals=refusals,
    probes=probes,
    listeners=lambda here: [
        Listener(here.settings(OllamaSettings).port, ("ollama", "haproxy"), "ollama_port", askers=("litellm", "health"))
    ],
    version=lambda here: f"{CURL} --max-time 10 {base_url(here)}/api/version | tr -dc '0-9.'",
)
