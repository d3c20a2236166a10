"""Ollama: the pinned version, every model answers, and no address of it is public."""

from __future__ import annotations

import json

import pytest

from deploys.components import ollama, ollama_guard
from deploys.components.ollama_models import models_of
from deploys.components.ollama_settings import OllamaSettings
from deploys.lib.runtime import main_pid
from tests.host.support import Server
from tests.host.support_http import ask


def settings(server: Server) -> OllamaSettings:
    found: OllamaSettings = server.here.settings(OllamaSettings)
    return found


def test_runs_the_pinned_version(ollama_server: Server) -> None:
    reply = ask(ollama_server, f"{ollama.base_url(ollama_server.here)}/api/version")
    assert reply.status == 200
    assert reply.json()["version"] == settings(ollama_server).version


def test_every_model_answers(ollama_server: Server) -> None:
    url = ollama.base_url(ollama_server.here)
    for model in models_of(settings(ollama_server)):
        if model.mode == "chat":
            body = {"model": model.full, "prompt": "ready?", "stream": False, "options": {"num_predict": 8}}
            reply = ask(ollama_server, f"{url}/api/generate", body=body, seconds=300)
            assert reply.status == 200 and reply.json()["response"].strip(), f"{model.name}: {reply!r}"
        else:
            reply = ask(ollama_server, f"{url}/api/embed", body={"model": model.full, "input": "ready?"}, seconds=300)
            assert reply.status == 200 and reply.json()["embeddings"][0], f"{model.name}: {reply!r}"


def test_has_the_models_under_their_own_names(ollama_server: Server) -> None:
    listed = ask(ollama_server, f"{ollama.base_url(ollama_server.here)}/api/tags").json()["models"]
    assert {model.full for model in models_of(settings(ollama_server))} <= {model["name"] for model in listed}


def test_listens_only_where_planned(ollama_server: Server) -> None:
    port = settings(ollama_server).port
    found = ollama_server.out(f"ss -Hltn 'sport = :{port}' | awk '{{print $4}}' | sed 's/:[0-9]*$//' | sort -u")
    # The network's questions come to the guard, where there is one.
    here = ollama_server.here
    assert set(found.split()) == {ollama.listen(here), ollama_guard.address(here)}


def test_the_network_may_use_models_and_not_change_them(
    ollama_server: Server, inventory_servers: tuple[Server, ...]
) -> None:
    if not ollama_guard.guarded(ollama_server.here):
        pytest.skip("it is asked on its own host only, or may be asked for everything")
    url = ollama.asked_url(ollama_server.here)
    others = [server for server in inventory_servers if server.name != ollama_server.name]
    gateway = next(server for server in others if server.has("litellm"))
    assert ask(gateway, f"{url}/api/version").status == 200
    name = {"model": models_of(settings(ollama_server))[0].full}
    assert ask(gateway, f"{url}/api/show", body=name).status == 200
    for path in ("pull", "push", "create", "copy", "blobs/sha256:0", "/pull"):
        assert ask(gateway, f"{url}/api/{path}", body=name).status == 403, path
    assert ask(gateway, f"{url}/api/delete", body=name, method="DELETE").status == 403
    for stranger in [server for server in others if not server.has("litellm")]:
        assert ask(stranger, f"{url}/api/version").status == 0, stranger.name


def test_models_belong_to_it_alone(ollama_server: Server) -> None:
    assert ollama_server.out("stat -c '%a %U' /var/lib/ollama") == "750 ollama"
    user = ollama_server.out(f"ps -o user= -p $({main_pid('ollama.service')})")
    assert user == "ollama"


def test_the_program_is_not_its_own_to_change(ollama_server: Server) -> None:
    folder = ollama.version_folder(ollama_server.here)
    assert ollama_server.out(f"find {folder} ! -user root -o -perm /022 ! -type l | head -n 3") == ""


def test_answers_stay_json_when_a_model_is_unknown(ollama_server: Server) -> None:
    reply = ask(
        ollama_server,
        f"{ollama.base_url(ollama_server.here)}/api/generate",
        body={"model": "no-such-model", "prompt": "x"},
    )
    assert reply.status == 404
    assert "error" in json.loads(reply.text)
