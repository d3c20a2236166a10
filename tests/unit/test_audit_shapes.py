"""Values of the wrong shape or kind: they are findings, and never a traceback."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploys.auditing import registry, rules
from deploys.auditing.cli import main
from deploys.auditing.findings import Severity
from tests.unit.audit import bundle

CACHE = "litellm_settings: {cache: true, cache_params: "


def found(text: str, folder: Path) -> dict[str, list[str]]:
    """What is said about a configuration, by rule."""
    (folder / "c.yaml").write_text(text)
    said: dict[str, list[str]] = {}
    for finding in bundle.report([str(folder / "c.yaml"), "--version", "1.106.2"]).findings:
        said.setdefault(finding.rule, []).append(f"{finding.severity.name} {finding.detail}")
    return said


@pytest.mark.parametrize(
    ("text", "rule", "detail"),
    [
        ("litellm_settings: [{drop_params: true}]\n", "K06", "P0 litellm_settings is a list; LiteLLM needs a mapping"),
        (
            "router_settings: text\n",
            "K06",
            "P1 router_settings is a text; LiteLLM needs a mapping and ignores it without a word",
        ),
        (
            "general_settings:\n- a: 1\n",
            "K06",
            "P0 general_settings is a list; LiteLLM needs a mapping and does not start with this",
        ),
        ("model_list: {a: {model: openai/a}}\n", "K06", "P0 model_list is a mapping; LiteLLM needs a list"),
        ("environment_variables: [A=b]\n", "K06", "P0 environment_variables is a list; LiteLLM needs a mapping"),
        ("model_list: [openai/a]\n", "K06", "P0 an entry of model_list is a text; LiteLLM needs a mapping"),
        ("router_settings: {model_group_alias: {a: {model: b}}}\n", "L04", "P0 a is a mapping without hidden"),
        ("router_settings: {routing_strategy: provider-budget-routing}\n", "R05", "P0 provider-budget-routing without"),
        ("router_settings: {routing_strategy: [a]}\n", "R05", "P0 routing_strategy: ['a'] is none of"),
        ("router_settings: {timeout: 30s}\n", "K07", "P1 timeout: '30s' is a text; LiteLLM needs a number"),
        ("router_settings: {num_retries: three}\n", "K07", "P1 num_retries: 'three' is a text"),
        ("litellm_settings: {request_timeout: 10m}\n", "K07", "P1 request_timeout: '10m' is no number of seconds"),
        ("litellm_settings: {set_verbose: 'false'}\n", "K07", "P1 set_verbose: 'false' is a text"),
        (CACHE + "{type: rediss}}\n", "K08", "P1 type: 'rediss' is none of"),
        (CACHE + "{type: redis, supported_call_types: [chat]}}\n", "K08", "P1 supported_call_types: 'chat' is none of"),
        ("general_settings: {alert_types: [slow]}\n", "K08", "P1 alert_types: 'slow' is none of"),
        (
            "general_settings: {maximum_spend_logs_retention_period: 0d}\n",
            "D04",
            "P0 maximum_spend_logs_retention_period is 0d",
        ),
        ("router_settings: {default_fallbacks: abc}\n", "K09", "P1 default_fallbacks is a text"),
        (
            "model_list:\n- {model_name: a, litellm_params: {model: openai/a}, model_info: {id: x}}\n"
            "- {model_name: b, litellm_params: {model: openai/b}, model_info: {id: x}}\n",
            "M02",
            "P1 the id 'x' is of a and of b",
        ),
        (
            "general_settings: {database_connection_pool_limit: '100'}\n",
            "K07",
            "P1 database_connection_pool_limit: '100' is a text; LiteLLM needs a number",
        ),
        (
            "model_list: [{model_name: a, litellm_params: {model: openai/a, rpm: '60'}}]\n",
            "K07",
            "P1 rpm: '60' is a text; LiteLLM needs a number",
        ),
    ],
)
def test_a_value_of_the_wrong_shape_is_found(text: str, rule: str, detail: str, tmp_path: Path) -> None:
    assert any(each.startswith(detail) for each in found(text, tmp_path).get(rule, []))


def test_references_and_numbers_are_left_alone(tmp_path: Path) -> None:
    text = (
        "model_list: [{model_name: a, litellm_params: {model: openai/a, rpm: 60, timeout: os.environ/T}}]\n"
        "router_settings: {timeout: 30, num_retries: 1, model_group_alias: {b: {model: a, hidden: false}}}\n"
        "litellm_settings: {request_timeout: 600}\ngeneral_settings:\n"
    )
    assert not {"K06", "K07", "L04"} & set(found(text, tmp_path))


def test_a_rule_that_fails_is_a_note_and_the_exit_code_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(subject: object) -> list[registry.Hit]:
        raise TypeError("a secret")

    made = registry.Rule("Z99", Severity.P0, "t", "e.", "a", "s", fails)
    monkeypatch.setattr(rules, "rules", lambda: {"Z99": made})
    (tmp_path / "c.yaml").write_text("litellm_settings: {drop_params: true}\n")
    assert main([str(tmp_path / "c.yaml")]) == 2
    out = capsys.readouterr().out
    assert "rule Z99 could not judge this file (TypeError)" in out and "a secret" not in out


def test_what_no_rule_expects_is_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text("router_settings: {routing_strategy: [a]}\n")
    (tmp_path / "d.yaml").write_text("services: {litellm: {image: litellm, ports: 4000, environment: 3}}\n")
    assert main([str(tmp_path / "c.yaml"), "--compose", str(tmp_path / "d.yaml")]) in (1, 2)
    assert "Traceback" not in capsys.readouterr().err


ENTRY = "model_list:\n- model_name: a\n  litellm_params:\n    model: openai/a\n    "


@pytest.mark.parametrize(
    "line",
    [
        "thinking: {type: enabled, budget_tokens: 1024}",
        'headers: {Authorization: "bearer os.environ/X", content-type: application/json}',
        "extra_headers: {X-Team: a}",
        "api_key: lm-studio",
    ],
)
def test_what_is_no_secret_is_not_called_one(line: str, tmp_path: Path) -> None:
    assert "S02" not in found(ENTRY + line + "\n", tmp_path)


def test_a_secret_in_a_header_is_still_called_one(tmp_path: Path) -> None:
    said = found(ENTRY + "extra_headers: {X-Api-Key: Zk4vQ9xLm2Tr7w, X-Other: sk-Zk4vQ9xLm2Tr7w}\n", tmp_path)
    assert said["S02"] == ["P1 X-Api-Key has a secret in it", "P1 X-Other has a secret in it"]


@pytest.mark.parametrize(
    "value",
    ["$OPENAI_API_KEY", "os.environ[X]", "os.environ['X']", "os.environ.X", "env/X", "'{{ X }}'", "${OPENAI_API_KEY}"],
)
def test_a_reference_that_nothing_replaces_is_found(value: str, tmp_path: Path) -> None:
    (said,) = found(f"{ENTRY}api_key: {value}\n", tmp_path)["L09"]
    assert said == f"P0 {value if value[0] != chr(39) else value[1:-1]} is not replaced by anything"


def test_a_key_of_a_models_parameters_belongs_there(tmp_path: Path) -> None:
    text = "model_list:\n- model_name: a\n  timeout: 30\n  rpm: 5\n  litellm_params: {model: openai/a}\n"
    said = found(text, tmp_path)["K01"]
    assert said == [f"P1 {key} belongs into litellm_params, not into model_list" for key in ("timeout", "rpm")]


def test_a_pipe_or_a_device_is_refused_and_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        assert main([str(path)]) == 2
        assert f"{path} is no regular file but a pipe" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["v1.82.8-stable", "1.82.8", "v1.82.8", "1.82.8rc1", "1.82.8-stable.patch.2"])
def test_a_version_is_taken_as_images_are_tagged(given: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("litellm_settings: {drop_params: true}\n")
    assert bundle.report([str(tmp_path / "c.yaml"), "--version", given]).version == "1.82.8"


@pytest.mark.parametrize("number", ["0", "-5", "ten"])
def test_connections_are_a_positive_number(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["c.yaml", f"--max-connections={number}"])
    assert "is no number of at least 1" in capsys.readouterr().err
