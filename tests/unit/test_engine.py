"""The container engine: its files on hosts that use it, nothing on others, and what a reload is enough for."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from deploys.components import engine
from deploys.components.engine import ENGINE
from deploys.components.engine_files import DAEMON, DROP_IN, RELOADED
from deploys.components.engine_install import DEBIAN, DOCKER
from deploys.components.engine_settings import KEPT, ROOTED
from deploys.lib.component import Here
from deploys.lib.runtime import TOOL
from deploys.lib.settings import SettingsError
from tests.unit import golden, site


def here(release: str = "13", **data: object) -> Here:
    member = site.look(site.host("gateway.example.org", release=release, **{"runtime": "compose", **data}))
    return Here(member[0], member)


def texts(**data: object) -> dict[str, str]:
    return {item.path: item.text for item in ENGINE.files(here(**data))}


def daemon(**data: object) -> dict[str, object]:
    found: dict[str, object] = json.loads(texts(**data)[DAEMON])
    return found


def test_rendered_files(pytestconfig: pytest.Config) -> None:
    golden.compare(golden.FOLDER / "engine", golden.rendered(ENGINE, here()), pytestconfig)


def test_a_host_whose_services_run_natively_has_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    native = site.single()
    for declared in (ENGINE.files, ENGINE.check, ENGINE.probes, ENGINE.refusals, ENGINE.problems, ENGINE.listeners):
        assert declared(native) == []
    assert (ENGINE.unit_on(native), ENGINE.ready(native), ENGINE.version(native)) == ("", "true", "")
    assert site.recorded(ENGINE, native, monkeypatch) == []
    assert native.member.plan.shares["engine"] == 0 and here().member.plan.shares["engine"] == engine.MEMORY_MB


def changed(**data: object) -> set[str]:
    before, after = texts(), texts(**data)
    return {path for path in before if before[path] != after[path]}


@pytest.mark.parametrize(
    "data",
    [
        {"engine_insecure_registries": ["registry.example.org:5000"]},
        {"engine_registry_mirrors": ["https://mirror.example.org"]},
        {"engine_extra_config": '{"debug": true}'},
    ],
    ids=lambda data: next(iter(data)),
)
def test_a_reload_is_enough_for_what_the_engine_takes_up_while_it_runs(data: dict[str, object]) -> None:
    """A restart would end the units that are attached to containers."""
    assert changed(**data) == {DAEMON}
    effects = {item.path: item.effect for item in ENGINE.files(here())}
    assert effects == {DAEMON: "reload", DROP_IN: "restart"}


@pytest.mark.parametrize(
    "data",
    [
        {"engine_log_max_mb": 50},
        {"engine_log_files": 3},
        {"engine_open_files": 4096},
        {"engine_extra_config": '{"data-root": "/srv/docker"}'},
    ],
    ids=lambda data: next(iter(data)),
)
def test_everything_else_is_read_at_the_next_start(data: dict[str, object]) -> None:
    assert changed(**data) == {DAEMON, DROP_IN}


def test_an_authority_that_the_host_comes_to_trust_is_read_at_the_next_start_too(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    assert changed(extra_ca_certificates=[f"{tmp_path}/ca.pem"]) == {DROP_IN}


def test_a_port_stays_on_loopback_in_every_network_and_containers_outlive_the_engine() -> None:
    said = daemon()
    assert said["ip"] == "127.0.0.1", "the default network"
    assert said["default-network-opts"] == {"bridge": {"com.docker.network.bridge.host_binding_ipv4": "127.0.0.1"}}
    assert said["live-restore"] is True and said["icc"] is False


def test_every_key_of_ours_is_not_for_extra_lines_and_the_others_may_be_given() -> None:
    assert set(daemon()) | {"hosts"} < set(KEPT) and not set(KEPT) & set(ROOTED)
    assert daemon(engine_extra_config='{"data-root": "/srv/docker"}')["data-root"] == "/srv/docker"
    assert RELOADED & set(KEPT) == {"insecure-registries", "live-restore", "registry-mirrors"}


DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"engine_base_image": "python:3.13-slim"}, "engine_base_image: must be an image with its digest, which is"),
        ({"engine_base_image": f"Python@{DIGEST}"}, "engine_base_image: must be an image with its digest, which is"),
        ({"engine_base_image": f"a@{DIGEST};id"}, "engine_base_image: must be an image with its digest, which is"),
        ({"runtime": "docker"}, "runtime: Input should be 'systemd' or 'compose'"),
        (
            {"engine_insecure_registries": ["http://r"]},
            "engine_insecure_registries[0]: must be a registry without http",
        ),
        ({"engine_registry_mirrors": ["r:5000"]}, "engine_registry_mirrors[0]: must be an address that begins with"),
        ({"engine_extra_config": "dns: 1"}, "engine_extra_config: is no JSON: Expecting value"),
        ({"engine_extra_config": "[]"}, "engine_extra_config: is no JSON object, such as"),
        ({"engine_extra_config": '{"ip": "0.0.0.0"}'}, "engine_extra_config: ip is not for these keys: a port that a"),
        ({"engine_extra_config": '{"hosts": []}'}, "engine_extra_config: hosts is not for these keys: systemd opens"),
        *(
            ({"engine_extra_config": f'{{"{key}": ""}}'}, f"engine_extra_config: {key} is not for these keys: ")
            for key in (
                "allow-direct-routing",
                "default-cgroupns-mode",
                "default-runtime",
                "ip6tables",
                "iptables",
                "runtimes",
                "seccomp-profile",
                "userns-remap",
            )
        ),
        ({"engine_log_files": 1}, "engine_log_files: Input should be greater than or equal to 2"),
        ({"engine_repository_fingerprint": "9DC8"}, "engine_repository_fingerprint: must be a key's fingerprint"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_is_refused_in_a_sentence(data: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        here(**data)
    assert caught.value.problems[0].startswith(f"gateway.example.org: {sentence}"), caught.value.problems


@pytest.mark.parametrize(
    "image",
    [
        f"python@{DIGEST}",
        f"library/python:3.13-slim@{DIGEST}",
        f"192.0.2.2:8080/portcullis/base@{DIGEST}",
        f"registry.example.org/a/b__c/d-e@{DIGEST}",
    ],
)
def test_images_of_any_registry_are_taken(image: str) -> None:
    assert engine.base_image(here(engine_base_image=image)) == image


def test_the_default_image_is_of_the_hosts_release() -> None:
    assert "bookworm@sha256:" in engine.base_image(here("12"))
    assert "trixie@sha256:" in engine.base_image(here("13"))


@pytest.mark.parametrize(
    ("release", "data", "packages"),
    [
        ("13", {}, DEBIAN),
        ("12", {}, DOCKER),
        ("13", {"engine_packages": "docker"}, DOCKER),
    ],
)
def test_whose_packages(
    release: str, data: dict[str, object], packages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = site.recorded(ENGINE, here(release, **data), monkeypatch)
    assert calls[-3] == ("packages", {"name": "engine | Packages", "names": packages})
    assert calls[-1][1]["dest"] == TOOL and len(calls) == (3 if packages == DEBIAN else 5)


def test_debian_12s_own_compose_is_too_old() -> None:
    with pytest.raises(SettingsError, match=r"engine_packages: Compose of Debian 12 is 1\.29, and 2.24 is needed"):
        here("12", engine_packages="debian")


def run(script: str, folder: Path, **programs: str) -> tuple[int, str]:
    """Run ``script`` where ``programs`` are what their texts say."""
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", script], env={"PATH": f"{folder}:/usr/bin:/bin"}, capture_output=True, text=True, timeout=30
    )
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize(
    ("says", "answer"),
    [
        ("echo 2.26.1-4", (0, "compose 2.26.1-4")),
        ("echo v2.24.0", (0, "compose v2.24.0")),
        ("echo 2.9.9", (1, "docker compose is 2.9.9, and 2.24 is needed")),
        ("exit 1", (1, "docker compose is not there, and 2.24 is needed")),
    ],
)
def test_compose_must_be_new_enough(says: str, answer: tuple[int, str], tmp_path: Path) -> None:
    assert run(engine.compose(), tmp_path, docker=says) == answer


def test_an_engine_that_does_not_answer_is_not_ready(tmp_path: Path) -> None:
    silent = 'case $1 in info) echo "Cannot connect"; exit 1 ;; *) echo 2.26.1 ;; esac'
    assert run(ENGINE.ready(here()), tmp_path, docker=silent) == (1, "Cannot connect")
    assert run(ENGINE.ready(here()), tmp_path, docker="echo 2.26.1")[0] == 0


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        ("", (0, "")),
        ("/a 127.0.0.1:80\n\n/b ::1:80", (0, "")),
        ("/a 127.0.0.1:80\n/b 0.0.0.0:81\n/b :::81", (1, "past the firewall: b 0.0.0.0:81,b :::81")),
        ("/c 192.0.2.1:82", (1, "past the firewall: c 192.0.2.1:82")),
    ],
)
def test_a_port_that_is_open_to_others_is_named(lines: str, answer: tuple[int, str], tmp_path: Path) -> None:
    docker = f"case $1 in ps) echo id ;; inspect) printf '%b\\n' '{lines}' ;; esac"
    (probe,) = [probe for probe in ENGINE.probes(here()) if probe.name.startswith("opens no port")]
    status, said = run(probe.command, tmp_path, docker=docker)
    assert (status, said.splitlines()[0] if status else "") == answer


def test_what_the_engine_does_not_take_is_said_without_its_first_words(tmp_path: Path) -> None:
    said = f"unable to configure the Docker daemon with file {DAEMON}: no such option: x"
    (check,) = ENGINE.check(here())
    assert run(check, tmp_path, dockerd=f"echo '{said}' >&2; exit 1") == (
        1,
        f"the engine does not take {DAEMON}: no such option: x",
    )
    assert run(check, tmp_path, dockerd="echo configuration OK") == (0, "")


def test_memory_is_kept_for_the_engine_where_containers_will_run_and_nowhere_else() -> None:
    hosts = [
        site.host("gateway", runtime="compose", private_address="192.0.2.1"),
        site.host("keeper", ("backup",), runtime="compose", private_address="192.0.2.2"),
    ]
    shares = {member.name: member.plan.shares["engine"] for member in site.look(*hosts)}
    assert shares == {"gateway": engine.MEMORY_MB, "keeper": 0}
    assert site.single().member.plan.shares["engine"] == 0
