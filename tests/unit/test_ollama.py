"""Ollama: golden files, who can reach it, versions and digests, and models that fit."""

from __future__ import annotations

import json
import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploys.components import ollama, ollama_guard, ollama_models
from deploys.components.ollama import OLLAMA
from deploys.components.ollama_models import Model
from deploys.components.ollama_settings import OllamaSettings
from deploys.lib.component import ConfigFile
from deploys.lib.settings import SettingsError
from tests.unit import golden, site
from tests.unit.sandbox import Sandbox

DIGEST = "a" * 64


def steps(monkeypatch: pytest.MonkeyPatch, **data: Any) -> list[dict[str, Any]]:
    return [a for name, a in site.recorded(OLLAMA, site.single(**data), monkeypatch) if name == "step"]


def refusal(**data: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        site.single(**data)
    (problem,) = caught.value.problems
    return problem.removeprefix("gateway.example.org: ")


def test_rendered_files_and_scripts(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror: dict[str, Any] = {
        "ollama_registry": "http://mirror.example:8000",
        "ollama_digests": {"llama3.2:3b": DIGEST},
    }
    scripts = {
        "install.sh": steps(monkeypatch)[1]["script"],
        "pull.sh": steps(monkeypatch)[2]["script"] + "\n",
        "pull-from-mirror.sh": steps(monkeypatch, **mirror)[2]["script"] + "\n",
    }
    golden.check(OLLAMA, pytestconfig, scripts)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "8.8.8.8", "2600::1"])
def test_an_address_that_strangers_reach_is_refused_unless_it_is_meant(address: str) -> None:
    assert refusal(ollama_bind=address) == (
        f"ollama_bind: {address} can be reached from outside, and Ollama has no authentication: anyone could replace "
        "its models; use a private address, or say ollama_allow_public_bind = True"
    )
    assert site.single(ollama_bind=address, ollama_allow_public_bind=True)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "fd00::1", "::1"])
def test_a_private_address_passes(address: str) -> None:
    here = site.single(ollama_bind=address)
    assert ollama_guard.address(here) == address
    # The network has it from the guard; what changes models is asked on the host.
    assert ollama.listen(here) == ("::1" if ":" in address else "127.0.0.1")
    assert ollama.listen(site.single(ollama_bind=address, ollama_requests="all")) == address


@pytest.mark.parametrize(
    ("address", "listens", "asked"),
    [
        ("0.0.0.0", "OLLAMA_HOST=0.0.0.0:11434\n", "http://192.0.2.12:11434"),
        ("fd00::1", "OLLAMA_HOST=[::1]:11434\n", "http://[fd00::1]:11434"),
        (None, "OLLAMA_HOST=127.0.0.1:11434\n", "http://192.0.2.12:11434"),
    ],
)
def test_gateways_are_told_an_address_they_can_reach(address: str | None, listens: str, asked: str) -> None:
    members = site.split(ollama_bind=address, ollama_allow_public_bind=True)
    here = site.place(members, "llm")
    assert ollama.asked_url(here) == asked
    (environment,) = [file.text for file in OLLAMA.files(here) if file.path.endswith("ollama.env")]
    assert listens in environment


def test_the_network_may_use_models_and_not_change_them() -> None:
    here = site.place(site.split(), "llm")
    texts = {item.path: item.text for item in OLLAMA.files(here) if isinstance(item, ConfigFile)}
    guard = texts[ollama_guard.CONFIG]
    assert "bind 192.0.2.12:11434\n" in guard and "server ollama 127.0.0.1:11434\n" in guard
    assert "acl gateway src 192.0.2.21 192.0.2.22 192.0.2.12\n" in guard
    open_paths = {*ollama_guard.READS, *ollama_guard.USES}
    assert not open_paths & {"/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete", "/api/blobs"}
    assert OLLAMA.extra_units(here) == [ollama_guard.UNIT]
    for other in (site.single(), site.place(site.split(ollama_requests="all"), "llm")):
        assert not OLLAMA.extra_units(other) and not OLLAMA.check(other)
        assert ollama_guard.CONFIG not in {item.path for item in OLLAMA.files(other)}
    assert ollama.listen(site.place(site.split(ollama_requests="all"), "llm")) == "192.0.2.12"


def test_loopback_is_refused_when_a_gateway_is_elsewhere() -> None:
    with pytest.raises(SettingsError) as caught:
        site.split(ollama_bind="127.0.0.1")
    assert caught.value.problems == [
        "llm: ollama_bind: 127.0.0.1 can be reached from this host only, and gw-1, gw-2 must reach it"
    ]


@pytest.mark.parametrize("version", ["0.32.14", "0.17.0", "0.9.99"])
def test_a_version_below_the_floor_is_refused(version: str) -> None:
    assert refusal(ollama_version=version, ollama_sha256=DIGEST) == (
        "ollama_version: is older than 0.32.15, the first release without known holes in model files and pulls "
        f"(given: '{version}')"
    )


def test_a_version_needs_its_own_checksum() -> None:
    assert refusal(ollama_version="0.36.0") == (
        "ollama: ollama_version is 0.36.0, but ollama_sha256 is that of 0.35.1; set both"
    )
    here = site.single(ollama_version="0.36.0", ollama_sha256=DIGEST)
    assert ollama.version_folder(here) == "/opt/ollama/0.36.0-aaaaaaaa"
    (link,) = OLLAMA.links(here)
    assert (link.path, link.target) == ("/opt/ollama/current", "/opt/ollama/0.36.0-aaaaaaaa")


@pytest.mark.parametrize("name", ["llama3:8b-cloud", "gpt-oss:cloud"])
def test_cloud_models_are_refused(name: str) -> None:
    assert refusal(ollama_models=[name], ollama_models_size_bytes={}).startswith(
        f"ollama_models: '{name}' runs at ollama.com, not here, and needs a sign-in a server cannot do"
    )


@pytest.mark.parametrize("name", ["", "Llama", "a b", "x;reboot", "llama3:", "llama3.2:3b\n", "$(x)"])
def test_what_is_no_model_name_is_refused(name: str) -> None:
    found = refusal(ollama_models=[name], ollama_models_size_bytes={})
    assert found.startswith(f"ollama_models: {name!r} is not a model name such as llama3.2:3b")


@pytest.mark.parametrize("key", ["ollama_digests", "ollama_models_size_bytes"])
def test_a_pin_for_a_model_that_is_not_pulled_is_refused(key: str) -> None:
    value = {"llama3.2:3B": DIGEST if key == "ollama_digests" else 1}
    assert refusal(**{key: value}) == (
        f"ollama: {key} names 'llama3.2:3B', which is neither in ollama_models nor ollama_embedding_models"
    )


def test_the_hosts_proxy_is_for_the_registry_and_not_for_our_own_service(monkeypatch: pytest.MonkeyPatch) -> None:
    here = site.single(ollama_models_size_bytes={})
    texts = [text for _, text in site.declared(OLLAMA, here)]
    for _, arguments in site.recorded(OLLAMA, here, monkeypatch):
        texts += [str(value) for value in arguments.values()]
    own = re.findall(r"curl [^|;)]*11434[^|;)]*", "\n".join(texts))
    assert own and all("--noproxy '*'" in command for command in own)
    unit = next(file.text for file in OLLAMA.files(here) if file.path.endswith("ollama.service"))
    files = [line.partition("=")[2] for line in unit.splitlines() if line.startswith("EnvironmentFile=")]
    assert files == ["-/etc/environment", "/etc/portcullis/ollama.env"], "what is ours is read last, and wins"
    environment = next(file.text for file in OLLAMA.files(here) if file.path.endswith("ollama.env"))
    assert "\nHOME=/var/lib/ollama\n" in environment and "\nPATH=" in environment


@pytest.mark.parametrize("state", ["active", "inactive"])
def test_the_guard_reads_its_earlier_file_when_a_change_is_gone_back_from(tmp_path: Path, state: str) -> None:
    """The check has it read the new one, before anybody knows whether that stays."""
    box = Sandbox(tmp_path)
    (box.fake / f"active.{ollama_guard.UNIT}").write_text(f"{state}\n")
    command = OLLAMA.back(site.place(site.split(), "llm"))
    for run, ready, code in (("R1", "true", 0), ("R2", "false", 1)):
        change = box.change(
            box.file("main.conf", run), box.file("users.conf", run, "none"), ready=ready, back=command,
            check=f"systemctl reload {ollama_guard.UNIT}",
        )  # fmt: skip
        box.calls()
        assert box.run(change, run).code == code
    reload, restart = f"reload {ollama_guard.UNIT}", "restart x.service"
    assert box.calls() == [reload, restart, *([reload] if state == "active" else []), restart]


@pytest.mark.parametrize(
    ("started", "did"), [(0, ["reload"]), (-60, ["daemon-reload", "restart"]), (60, ["daemon-reload", "restart"])]
)
def test_the_guard_is_started_anew_where_its_unit_is_another(tmp_path: Path, started: int, did: list[str]) -> None:
    """A reload would leave it in the sandbox of before. The unit is put here now."""
    unit, calls = tmp_path / "guard.service", tmp_path / "calls"
    unit.write_text("")
    moment = datetime.fromtimestamp(unit.stat().st_ctime + started, UTC).strftime("%a %Y-%m-%d %H:%M:%S UTC")
    program = tmp_path / "systemctl"
    program.write_text(f'#!/bin/sh\n[ "$1" = show ] && echo "{moment}" || echo "$*" >>{calls}\n')
    program.chmod(0o755)
    text = ollama_guard.AGAIN.replace(f"/etc/systemd/system/{ollama_guard.UNIT}", str(unit))
    assert text != ollama_guard.AGAIN
    subprocess.run(["sh", "-c", text], env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, check=True)
    assert [line.removesuffix(f" {ollama_guard.UNIT}") for line in calls.read_text().splitlines()] == did


def test_only_ollama_and_its_guard_may_hold_its_port() -> None:
    assert [listener.owners for listener in OLLAMA.listeners(site.single())] == [("ollama", "haproxy")]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("llama3.2:3b", "/v2/library/llama3.2/manifests/3b"),
        ("nomic-embed-text", "/v2/library/nomic-embed-text/manifests/latest"),
        ("someone/model:q4", "/v2/someone/model/manifests/q4"),
    ],
)
def test_a_manifest_is_asked_under_the_registrys_path(name: str, path: str) -> None:
    assert ollama_models.manifest_path(name) == path


def tags(*models: tuple[str, str]) -> str:
    return json.dumps(
        {"models": [{"name": name, "size": 1, "digest": digest, "details": {}} for name, digest in models]}
    )


@pytest.mark.parametrize(
    ("model", "present", "found"),
    [
        (Model("tiny", "chat"), tags(("tiny:latest", DIGEST)), True),
        (Model("tiny", "chat"), tags(("tiny:q4", DIGEST)), False),
        (Model("llama3.2:3b", "chat"), tags(("llama3x2:3b", DIGEST)), False),
        (Model("a/b-c:3b", "chat"), tags(("x:1", ""), ("a/b-c:3b", DIGEST)), True),
        (Model("tiny", "chat", DIGEST), tags(("tiny:latest", DIGEST)), True),
        (Model("tiny", "chat", "b" * 64), tags(("tiny:latest", DIGEST), ("other:latest", "b" * 64)), False),
    ],
)
def test_a_model_is_there_by_its_whole_name_and_its_pinned_digest(
    model: Model, present: str, found: bool, tmp_path: Path
) -> None:
    (tmp_path / "curl").write_text(f"#!/bin/sh\nprintf '%s\\n' '{present}'\n")
    (tmp_path / "curl").chmod(0o755)
    command = ollama_models.has_model("http://x", model)
    done = subprocess.run(
        ["sh", "-c", command], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert ((done.returncode == 0), done.stderr) == (found, "")


def test_an_address_with_an_ampersand_reaches_the_download_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    script = steps(monkeypatch, ollama_url="https://mirror.example/a?v={version}&b=c")[1]["script"]
    assert " url='https://mirror.example/a?v=0.35.1&b=c'\n" in script


def test_defaults_are_valid_by_themselves() -> None:
    assert OllamaSettings()
