"""Docker's own package repository: named once, and only with the key that is expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploys.components.engine import ENGINE
from deploys.components.engine_install import KEY, SOURCES
from deploys.components.engine_settings import EngineSettings
from tests.unit import site
from tests.unit.test_engine import here, run

FINGERPRINT = EngineSettings().repository_fingerprint


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path]:
    """The step that adds Docker's repository, in a folder instead of /etc; and that folder."""
    (script,) = [
        arguments["script"]
        for operation, arguments in site.recorded(ENGINE, here("12"), monkeypatch)
        if operation == "step"
    ]
    (tmp_path / "etc/apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "etc/os-release").write_text("VERSION_CODENAME=bookworm\n")
    (tmp_path / "data").write_text(f"repository=https://d/linux key=https://d/linux/gpg fingerprint={FINGERPRINT}\n")
    return "set -eu\n" + script.replace("/etc/", f"{tmp_path}/etc/").replace("$DATA", f"{tmp_path}/data"), tmp_path


TOOLS = {
    "curl": 'while [ $# -gt 1 ]; do [ "$1" != -o ] || echo key >"$2"; shift; done',
    "apt-get": "exit 0",
    "dpkg": "echo amd64",
}


def gpg(*fingerprints: str) -> str:
    return (
        "printf '"
        + "".join(f"pub:-:\\nfpr:::::::::{one}:\\nsub:-:\\nfpr:::::::::SUB:\\n" for one in fingerprints)
        + "'"
    )


def test_dockers_repository_is_added_with_the_key_that_its_manual_names(repository: tuple[str, Path]) -> None:
    script, root = repository
    assert run(script, root, gpg=gpg(FINGERPRINT), **TOOLS) == (0, "")
    assert (root / SOURCES[1:]).read_text().splitlines() == [
        "Types: deb",
        "URIs: https://d/linux",
        "Suites: bookworm",
        "Components: stable",
        "Architectures: amd64",
        f"Signed-By: {root}{KEY}",
    ]
    assert (root / KEY[1:]).read_text() == "key\n"
    assert run(script, root, gpg=gpg(FINGERPRINT), **TOOLS)[0] == 0, "and again: its own file is nobody else's"


@pytest.mark.parametrize("keys", [("0" * 40,), (FINGERPRINT, "0" * 40), ()], ids=["another", "one more", "none"])
def test_another_key_or_one_more_is_not_used(repository: tuple[str, Path], keys: tuple[str, ...]) -> None:
    script, root = repository
    status, said = run(script, root, gpg=gpg(*keys), **TOOLS)
    assert status == 1 and said.startswith("the key at https://d/linux/gpg is not the one of engine_repository_finger")
    assert not (root / SOURCES[1:]).exists() and not list((root / KEY[1:]).parent.iterdir())


def test_a_repository_that_the_host_has_already_is_not_named_twice(repository: tuple[str, Path]) -> None:
    script, root = repository
    (root / "etc/apt/sources.list.d/docker.list").write_text("deb [signed-by=/x] https://d/linux bookworm stable\n")
    assert run(script, root, **TOOLS) == (0, "the host has this repository already")
    assert not (root / SOURCES[1:]).exists()
