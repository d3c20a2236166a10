"""The launcher's check of a configuration: what LiteLLM only warns about is refused, and a verdict is remembered."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.unit.launcher import PROGRAM, imported, lay_out, refused


@pytest.fixture
def fakes(tmp_path: Path) -> Path:
    lay_out(tmp_path)
    return tmp_path


@pytest.fixture
def launch(fakes: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return imported(fakes, monkeypatch)


def tell(folder: Path, output: str, status: int = 0) -> None:
    """What LiteLLM says of a configuration from now on."""
    (folder / "fakes" / "litellm" / "told.json").write_text(json.dumps({"output": output, "status": status}))


def asked(folder: Path) -> list[str]:
    path = folder / "fakes" / "litellm" / "asked"
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def config(fakes: Path) -> Path:
    path = fakes / "config.yaml"
    path.write_text("model_list: [{model_name: a}, {model_name: b}]\nrouter_settings: {model_group_alias: {c: a}}\n")
    tell(fakes, "config OK (3 models)")
    return path


def test_a_good_configuration_is_asked_about_once(
    launch: ModuleType, fakes: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-of-a-provider")
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/run/litellm/prometheus")
    launch.validate(config)
    # INFO would print the configuration; the directory for metrics is the service's, and a check fails without it.
    assert asked(fakes) == ["WARNING None"]
    launch.validate(config)
    monkeypatch.setenv("INVOCATION_ID", "another start")
    launch.validate(config)
    assert len(asked(fakes)) == 1
    stamp = (fakes / "state" / "validated").read_text()
    assert len(stamp) == 64 and "sk-of-a-provider" not in stamp
    monkeypatch.setenv("SOME_API_KEY", "sk-another")
    launch.validate(config)
    config.write_text(config.read_text() + "# changed\n")
    launch.validate(config)
    assert len(asked(fakes)) == 3, "another environment, another text"


def test_another_installation_or_launcher_asks_again(
    launch: ModuleType, config: Path, fakes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = launch.seal_of(config)
    monkeypatch.setattr(sys, "prefix", str(fakes / "site"))
    assert launch.seal_of(config) != first
    monkeypatch.undo()
    (fakes / "launch.py").write_text(PROGRAM.read_text() + "# newer\n")
    monkeypatch.setattr(launch, "__file__", str(fakes / "launch.py"))
    assert launch.seal_of(config) != first


def test_a_reload_does_not_ask_again_what_the_start_has_asked(
    launch: ModuleType, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd tells ExecReload the main process, and ExecStartPre not: each would undo the other's stamp."""
    at_start = launch.seal_of(config)
    monkeypatch.setenv("MAINPID", "4711")
    assert launch.seal_of(config) == at_start


@pytest.mark.parametrize(
    ("output", "status", "sentence"),
    [
        (
            "Key 'redis_connection_pool_limit' is not a valid argument for Router.__init__(). Ignoring this key.\n"
            "Key 'num_retires' is not a valid argument for Router.__init__(). Ignoring this key.\nconfig OK (3 models)",
            0,
            "LiteLLM ignores these router_settings of {}: num_retires, redis_connection_pool_limit",
        ),
        (
            "config OK (2 models)",
            0,
            "LiteLLM loads 2 models from {} and should load 3: it drops an entry it cannot use",
        ),
        ("", 0, "LiteLLM loads no models from {} and should load 3: it drops an entry it cannot use"),
        (
            "Traceback (most recent call last):\n  File x, line 1\nValueError: Invalid routing_strategy",
            1,
            "LiteLLM refuses {}: ValueError: Invalid routing_strategy",
        ),
    ],
)
def test_what_litellm_only_warns_about_is_refused_and_not_remembered(
    launch: ModuleType, fakes: Path, config: Path, capsys: pytest.CaptureFixture[str],
    output: str, status: int, sentence: str,
) -> None:  # fmt: skip
    tell(fakes, output, status)
    assert refused(capsys, launch.validate, config) == (1, f"portcullis: {sentence.format(config)}")
    assert not (fakes / "state" / "validated").exists()
    tell(fakes, "config OK (3 models)")
    launch.validate(config)


def test_another_name_counts_once_for_each_deployment_unless_it_is_hidden(launch: ModuleType, config: Path) -> None:
    aliases = "{c: a, d: {model: b, hidden: true}, e: {model: a}}"
    config.write_text(
        f"model_list: [{{model_name: a}}, {{model_name: a}}, {{model_name: b}}]\n"
        f"router_settings: {{model_group_alias: {aliases}}}\n"
    )
    assert launch.declared_models(config) == 3 + 2 + 2
