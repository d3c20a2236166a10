"""What LiteLLM's table of prices says about a model: known without a mode of its own, or asked for a chat."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploys.auditing import hostside_files
from deploys.auditing.live import subject_from
from deploys.auditing.load import report_on
from tests.unit.audit import bundle

# Name, custom_llm_provider, and whether 1.106.2 finds its mode (as resolve_health_check_mode and
# default_health_check_mode answered); tests/lab/test_litellm_models.py asks them again.
MODELS = [
    ("text-embedding-3-small", "", True),
    ("text-embedding-ada-002", "", True),
    ("openai/text-embedding-3-large", "", True),
    ("azure/text-embedding-3-small", "", True),
    ("azure/my-embedding", "", False),
    ("text-embedding-3-small", "openai", True),
    ("text-embedding-3-small", "azure", True),
    ("hosted_vllm/text-embedding-3-small", "", True),
    ("bge-m3", "openai", False),
    ("openai/bge-m3", "", False),
    ("openai/cohere/rerank-v3.5", "", False),
    ("rerank-english-v3.0", "", True),
    ("rerank-v3.5", "cohere", True),
    ("embed-english-v3.0", "", True),
    ("cohere/embed-english-v3.0", "", True),
    ("voyage/voyage-3", "", True),
    ("voyage/voyage-3", "voyage", True),
    ("voyage-3", "voyage", False),
    ("mistral/mistral-embed", "", True),
    ("mistral-embed", "mistral", False),
    ("gemini-embedding-001", "", True),
    ("gemini/text-embedding-004", "", True),
    ("amazon.titan-embed-text-v1", "", True),
    ("bedrock/amazon.titan-embed-text-v2:0", "", True),
    ("together_ai/BAAI/bge-base-en-v1.5", "", True),
    ("ollama/nomic-embed-text", "", False),
    ("nomic-embed-text", "ollama", False),
    ("hosted_vllm/BAAI/bge-m3", "", False),
]


def entry(model: str, provider: str = "", more: str = "") -> str:
    """A configuration with one entry."""
    custom = f", custom_llm_provider: {provider}" if provider else ""
    params = f'{{model: "{model}", api_key: os.environ/KEY{custom}{more}}}'
    return f"model_list:\n- model_name: a\n  litellm_params: {params}\n"


def modeless(text: str, folder: Path) -> list[str]:
    (folder / "c.yaml").write_text(text)
    found = bundle.report([str(folder / "c.yaml"), "--version", "1.106.2"]).findings
    return [finding.detail for finding in found if finding.rule == "L21"]


@pytest.mark.parametrize(("model", "provider", "known"), MODELS)
def test_a_mode_is_asked_for_where_litellm_does_not_know_it(
    model: str, provider: str, known: bool, tmp_path: Path
) -> None:
    found = modeless(entry(model, provider), tmp_path)
    assert bool(found) is not known, found
    assert not found or found[0].startswith(f"a: {model} has no model_info.mode: ")


def test_a_server_of_ones_own_has_models_of_anyones(tmp_path: Path) -> None:
    local = ", api_base: http://10.0.0.5:8000"
    assert modeless(entry("cohere/my-own-embedder", "", local), tmp_path)
    assert not modeless(entry("cohere/my-own-embedder"), tmp_path), "in doubt there is no alarm"
    assert not modeless(entry("text-embedding-3-small", "openai", local), tmp_path)


TABLE = {"voyage/voyage-9": {"mode": "embedding"}, "bge-m9": {"mode": "embedding"}, "a/chat": {"mode": "chat"}}
CONFIG = entry("openai/bge-m9") + "- model_name: b\n  litellm_params:\n    model: azure/other-embedding # x\n"


def installed(folder: Path, table: str) -> None:
    """A process 41 whose Python has a LiteLLM with ``table``."""
    site = folder / "41" / "root" / "opt" / "lib" / "site-packages" / "litellm"
    site.mkdir(parents=True)
    (folder / "41" / "maps").write_text("7f00 r-xp 0 0 0 /opt/lib/site-packages/orjson/orjson.so\n")
    (site.parent / hostside_files.TABLE).write_text(table)


@pytest.mark.parametrize(
    ("table", "known"),
    [(json.dumps(TABLE), {"openai/bge-m9": "embedding"}), ("{", None), ("[]", None), ("", None)],
)
def test_a_host_is_asked_for_the_models_its_own_litellm_knows(
    table: str, known: dict[str, str] | None, tmp_path: Path
) -> None:
    installed(tmp_path, table)
    assert hostside_files.known_models(CONFIG, 41, str(tmp_path)) == known


@pytest.mark.parametrize(("known", "found"), [(None, ["a", "b"]), ({}, ["a", "b"]), ({"openai/bge-m9": "x"}, ["b"])])
def test_what_the_hosts_own_litellm_knows_raises_no_alarm(known: dict[str, str] | None, found: list[str]) -> None:
    answer = {"found": True, "running": True, "config": CONFIG, "models": known, "packages": {"litellm": "1.106.2"}}
    report = report_on(*subject_from("gw", answer), "gw")
    assert [finding.detail.partition(":")[0] for finding in report.findings if finding.rule == "L21"] == found
