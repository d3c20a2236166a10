"""Another version of Ollama, and back; a reboot. Both leave models, keys and everything else as they were."""

from __future__ import annotations

from deploys.components import ollama
from deploys.components.litellm.config import SELFTEST
from deploys.components.ollama_models import models_of
from deploys.components.ollama_settings import OllamaSettings
from tests.host.lab.conftest import Deployed
from tests.host.support import Server
from tests.host.support_http import Gateway, ask
from tests.host.support_lab import SITE, VERIFY, health_url, run, say, until
from tests.host.support_watch import files_only, picture
from tests.lab import engine, hosts, inventory
from tests.lab.artefacts.ollama import VERSIONS


def _version(server: Server) -> str:
    return str(ask(server, f"{ollama.base_url(server.here)}/api/version").json()["version"])


def _models(server: Server) -> set[str]:
    return {model["name"] for model in ask(server, f"{ollama.base_url(server.here)}/api/tags").json()["models"]}


def _settings(version: str) -> dict[str, object]:
    found = inventory.settings(version)
    return {name: found[name] for name in ("ollama_version", "ollama_url", "ollama_sha256")}


def other_ollama() -> dict[str, object]:
    """Settings of another version of Ollama than the lab's usual one."""
    return _settings(VERSIONS[1])


def test_ollama_changes_its_version_and_goes_back(trixie: Deployed) -> None:
    server, present = trixie.server, VERSIONS[0]
    other = next(version for version in VERSIONS if version != present)
    s: OllamaSettings = server.here.settings(OllamaSettings)
    wanted, folder = {model.full for model in models_of(s)}, server.out("readlink /opt/ollama/current")
    done = run(trixie.name, SITE, **_settings(other))
    assert done.status == 0, done.problem
    assert _version(server) == other
    assert wanted <= _models(server), "a model was lost"
    assert server.sh(f"[ -x {folder}/bin/ollama ]").status == 0, "the old version must stay, to go back to"
    back = run(trixie.name)
    assert back.status == 0, back.problem
    assert _version(server) == present
    assert wanted <= _models(server)
    assert "Archive, checked and unpacked" not in " ".join(back.changed), "it was still there"


def test_everything_comes_back_after_a_reboot(trixie: Deployed) -> None:
    server, gateway = trixie.server, Gateway(trixie.server)
    key = gateway.new_key()
    before = files_only(picture(server))
    container = engine.connect().containers.get(server.name)
    container.restart(timeout=60)
    hosts.wait_ready(container, 120, accept_failed_units=True)
    ready = f"curl -fsS --max-time 5 {health_url(server)}/health/readiness"
    took = until(lambda: server.sh(ready).status == 0, 120, "the host is ready after its reboot")
    say(f"      ready {took:.0f} s after sshd")
    assert gateway.chat(SELFTEST, key=key).status == 200, "the key is gone"
    gateway.delete_key(key)
    verified = run(trixie.name, VERIFY)
    assert verified.status == 0, verified.problem
    second = run(trixie.name)
    assert second.totals["no_change"] == second.totals["hosts"] > 0, second.problem
    assert set(before) <= set(files_only(picture(server))), "files are gone"
