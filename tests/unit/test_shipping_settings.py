"""Images that are built elsewhere, by setting: which settings are refused, what a host is asked, what comes how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploys import operations, shipping
from deploys.components import COMPONENTS, engine, engine_images
from deploys.lib import workshop
from deploys.lib.component import Here
from deploys.lib.images import Image
from deploys.lib.settings import SettingsError
from deploys.lib.workshop import Registry
from tests.unit import site
from tests.unit.test_engine import run

SHIPPED = {"runtime": "compose", "engine_images_from": "controller"}
PULLED = {"runtime": "compose", "engine_images_from": "registry", "engine_image_registry": "registry.example.org/own"}
LOGIN = {"engine_registry_user": "puller", "engine_registry_password": "env:REDIS_PASSWORD"}
IMAGE = Image("thing", "1", "FROM x\n", contexts=(("tree", "/srv/tree"),), arguments=(("VERSION", "cat version"),))
USED_BY = "/etc/portcullis/compose/thing.yaml"
REGISTRY = Registry("registry.example.org/own")


def image_of(here: Here) -> Image:
    return IMAGE


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"engine_images_from": "controler"}, "engine_images_from: Input should be 'host', 'controller' or 'registry'"),
        (
            {"engine_images_from": "registry"},
            "engine: engine_images_from is `registry`, and engine_image_registry does not say which",
        ),
        ({"engine_image_registry": "https://r.example.org/own"}, "engine_image_registry: must be a registry and a fol"),
        ({"engine_image_registry": "r.example.org/own:latest"}, "engine_image_registry: must be a registry and a fold"),
        ({"engine_image_registry": "r.example.org/own/"}, "engine_image_registry: must be a registry and a folder"),
        ({"engine_registry_user": "me"}, "engine: engine_registry_user and engine_registry_password go together"),
        ({"engine_registry_password": "word"}, "engine_registry_password: a literal value is refused"),
        ({"engine_images_cache_days": 0}, "engine_images_cache_days: Input should be greater than or equal to 1"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(data: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        site.single(runtime="compose", **data)
    assert caught.value.problems[0].startswith(f"gateway.example.org: {sentence}"), caught.value.problems


@pytest.mark.parametrize("registry", ["r.example.org:5000", "192.0.2.2:8080/own", "docker.io/acme/portcullis", "acme"])
def test_registries_with_and_without_a_port_and_a_folder_are_taken(registry: str) -> None:
    assert site.single(**{**PULLED, "engine_image_registry": registry})


def images(here: Here, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    calls = [
        call
        for component in COMPONENTS
        if here.member.has(component.name)
        for call in site.recorded(component, here, monkeypatch)
    ]
    return [call for call in calls if " | Image portcullis-" in call[1]["name"]]


def test_every_image_comes_the_way_the_setting_says(monkeypatch: pytest.MonkeyPatch) -> None:
    here = site.single(runtime="compose")
    names = [arguments["name"] for _, arguments in images(here, monkeypatch)]
    assert len(names) == 5
    for data, way in ((SHIPPED, "ship"), ({**PULLED, **LOGIN}, "pull")):
        found = images(site.single(**data), monkeypatch)
        assert [(one, arguments["name"]) for one, arguments in found] == [(way, name) for name in names]
        assert not [value for value in site.SECRETS.values() if value in repr(found)]
    assert found[0][1]["registry"] == REGISTRY and found[0][1]["used_by"] == USED_BY.replace("thing", "postgres")


def test_a_host_that_builds_nothing_is_not_asked_for_what_a_build_needs() -> None:
    def asked(**data: object) -> set[str]:
        here = site.single(**data)
        return {
            probe.name
            for component in COMPONENTS
            if here.member.has(component.name)
            for probe in component.refusals(here)
        }

    needs = {"a base image that can be fetched", "Prisma engines", "room for a build"}
    sent = {"an image that cannot be built for the host"}
    assert needs < asked(runtime="compose") and not sent & asked(runtime="compose")
    assert sent < asked(**SHIPPED) and not needs & asked(**SHIPPED)
    assert asked(**{**SHIPPED, "runtime": "systemd"}) == asked()


def judged(detail: str, data: dict[str, str], monkeypatch: pytest.MonkeyPatch, why: str = "") -> str:
    monkeypatch.setattr(workshop, "unable", lambda cache, architecture: why and f"{why} {cache} {architecture}")
    (probe,) = engine_images.refusals(site.single(**data), image_of)
    assert probe.judge
    return probe.judge(detail)


def test_what_is_there_already_needs_nobody_to_build_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged("there", SHIPPED, monkeypatch, "no docker") == ""
    said = judged("amd64 9000 9000", {**SHIPPED, "engine_images_cache": "/srv/images"}, monkeypatch, "no docker")
    assert said == "engine_images_from: no docker /srv/images amd64"


def test_a_host_without_room_is_told_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged("amd64 1024 3072", SHIPPED, monkeypatch) == ""
    said = "engine_images_from: the host has 1,000 MiB left for /var/lib/portcullis, and an image takes 1,024"
    assert judged("amd64 1000 9000", SHIPPED, monkeypatch) == said
    # What is fetched from a registry goes to the engine at once.
    assert judged("amd64 1000 9000", PULLED, monkeypatch) == ""
    elsewhere = {**SHIPPED, "engine_extra_config": '{"data-root": "/srv/docker"}'}
    assert judged("amd64 9000 3000", elsewhere, monkeypatch).endswith("left for /srv/docker, and an image takes 3,072")


def test_a_host_without_room_for_a_build_is_told_before_anything_is_changed(tmp_path: Path) -> None:
    here = site.single(runtime="compose", engine_extra_config='{"data-root": "/srv/docker"}')
    large = {"litellm": 3072, "ollama": 3072, "redis": 1024, "postgres": 1024, "health": 1024}
    for name, needs in large.items():
        (probe,) = engine_images.refusals(here, lambda here, name=name: Image(name, "1", "FROM x\n"))  # type: ignore[misc]
        assert probe.judge and run(probe.command, tmp_path, docker="echo 'on '") == (0, "there")
        status, left = run(probe.command, tmp_path, docker="exit 1", df="printf 'head\\n/dev/x 9 9 4000 1%% /\\n'")
        assert (status, left, probe.judge(left), probe.judge("there"), probe.judge("")) == (0, "4000", "", "", "")
        said = (
            f"engine_images_from: the host has {needs - 1:,} MiB left for /srv/docker, and building the image of "
            f"{name} takes {needs:,}; make room, or have images built elsewhere"
        )
        assert (probe.judge(str(needs)), probe.judge(str(needs - 1))) == ("", said)


def test_the_question_about_room_finds_the_folder_that_will_hold_it(tmp_path: Path) -> None:
    (probe,) = engine_images.refusals(site.single(**SHIPPED), image_of)
    status, said = run(probe.command, tmp_path, docker="exit 1", dpkg="echo amd64")
    architecture, *left = said.split()
    assert (status, architecture) == (0, "amd64") and len(left) == 2 and all(int(number) > 0 for number in left)
    (tmp_path / "version").write_text("1\n")
    asked = probe.command.replace("cat version", f"cat {tmp_path}/version")
    assert run(asked, tmp_path, docker="echo on VERSION=1") == (0, "there")


def test_what_this_machine_keeps_is_cleared_away_when_a_run_is_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(operations, "step", lambda **arguments: None)
    monkeypatch.setattr(shipping, "forget", lambda **arguments: calls.append(("forget", arguments)))
    engine.tidy(site.single(runtime="compose"))
    assert calls == []
    engine.tidy(site.single(**SHIPPED, engine_images_cache="/srv/images", engine_images_cache_days=7))
    assert [(arguments["cache"], arguments["days"]) for _, arguments in calls] == [("/srv/images", 7)]
