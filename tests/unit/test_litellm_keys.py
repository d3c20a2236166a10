"""How the keys LiteLLM reads are found in the source of a release, and kept for many of them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from scripts import extract_keys
from scripts.litellm_source import Source

# A LiteLLM in miniature: each way a real release reads a key, once.
TREE = {
    "litellm/__init__.py": """
from typing import Callable, Literal, Optional
from litellm.constants import request_timeout, small_models
drop_params = False
success_callback: list = []
turn_off_message_logging: Optional[bool] = False
forgotten: bool = True
_literal = Literal["not a callback"]
_custom_logger_compatible_callbacks_literal = Literal["otel", "prometheus"]
""",
    "litellm/constants.py": """
import os
request_timeout = float(os.getenv("REQUEST_TIMEOUT", str(int(6000))))
small_models = ["a"]
COOLDOWN = int(os.getenv("COOLDOWN_SECONDS", 5))
OPENAI_CHAT_COMPLETION_PARAMS = ["temperature"]
DEFAULT_CHAT_COMPLETION_PARAM_VALUES = {"top_p": None}
ROUTER_SETTINGS_MANAGED_OUTSIDE_CONFIG = frozenset({"model_list"})
TTL_SETTING = "user_api_key_cache_ttl"
""",
    "litellm/router.py": """
from litellm.constants import COOLDOWN
class Router:
    def __init__(self, model_list=None, given=None, timeout: float | None = None, cooldown_time: float = COOLDOWN, *,
                 routing_strategy: Literal["simple-shuffle", "least-busy"] = "simple-shuffle"): ...
""",
    "litellm/types/router.py": """
class Deployment:
    model_name: str
class ModelInfo:
    base_model: str | None = None
class GenericLiteLLMParams:
    rpm: Optional[int] = None
class LiteLLM_Params(GenericLiteLLMParams):
    model: str
class RetryPolicy:
    TimeoutErrorRetries: Optional[int] = None
""",
    "litellm/types/utils.py": 'all_litellm_params = ["mock_response"] + list(More.keys())\n',
    "litellm/llms/ollama/chat.py": """
class OllamaConfig:
    num_ctx: int | None = None
    def request(self, optional_params):
        return optional_params.pop("keep_alive", None)
""",
    "litellm/caching/caching.py": """
class Cache:
    def __init__(self, type="local", ttl: float | None = None, **kwargs): ...
""",
    "litellm/caching/redis_cache.py": """
class RedisCache:
    def __init__(self, host=None, namespace: str | None = None): ...
""",
    "redis/client.py": """
class Redis:
    def __init__(self, host="localhost", max_connections: int | None = None, retry=None): ...
""",
    "litellm/litellm_core_utils/litellm_logging.py": 'def set_callbacks(callback):\n    if callback == "sentry": ...\n',
    "litellm/_service_logger.py": 'def log(callback):\n    if callback == "prometheus_system": ...\n',
    "litellm/integrations/generic_api/generic_api_compatible_callbacks.json": '{"rubrik": {}}',
    "litellm/proxy/_types.py": """
class ConfigGeneralSettings:
    master_key: Optional[str] = Field(None, description="the key")
    alerting_threshold: Optional[int] = Field(default=600)
class Timeouts:
    database_lock_timeout: float | None = None
""",
    "litellm/proxy/health_check.py": """
def timeout_of(deployment):
    info = deployment.get("model_info") or {}
    return info.get("health_check_timeout")
""",
    "litellm/proxy/guardrails/guard.py": 'def start(litellm_params):\n    return litellm_params["mask_everything"]\n',
    "litellm/proxy/proxy_server.py": """
import litellm
def _apply(settings):
    return settings.get("user_url_validation")
def _limit(settings, name):
    return settings.get(name, 3)
def load_config(config):
    general_settings = config.get("general_settings", {})
    for key, value in config["litellm_settings"].items():
        if key == "cache": ...
        elif key in {"callbacks"}: ...
    litellm_settings = config["litellm_settings"]
    litellm_settings.get("enable_redis_auth_cache", False)
    _apply(general_settings)
    _limit(general_settings, "max_file_size_mb")
    general_settings.get(TTL_SETTING)
    general_settings.get(f"not_{a}_key")
    Timeouts.model_validate(general_settings)
    any(flag in general_settings for flag in ("flag_one", "flag_two"))
    general_settings["written_only"] = 1
    litellm.Router(**config["router_settings"], given=1)
    router_general_settings.get("not_ours")
    return litellm.turn_off_message_logging, litellm.request_timeout, general_settings["proxy_batch_write_at"]
""",
    "litellm/proxy/proxy_cli.py": """
@click.option("--port", default=4000, type=int, envvar="PORT")
@click.option("--run_gunicorn", is_flag=True, default=False)
def run_server(): ...
""",
    "litellm_enterprise/hook.py": """
def start(general_settings):
    return general_settings["email_settings"], get_secret_bool(secret_name="EMAIL_KEY")
""",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in TREE.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "tree"


def names(found: dict[str, Any], section: str) -> set[str]:
    return set(found[section])


def test_every_section_is_found_in_the_source(tree: Path) -> None:
    found = extract_keys.extract(Source(tree))
    assert names(found, "top_level") == {"general_settings", "litellm_settings", "router_settings"}
    assert names(found, "general_settings") == {
        "master_key", "alerting_threshold", "user_url_validation", "max_file_size_mb", "user_api_key_cache_ttl",
        "database_lock_timeout", "flag_one", "flag_two", "proxy_batch_write_at", "email_settings",
    }  # fmt: skip
    assert found["general_settings"]["alerting_threshold"] == {"kind": "declared", "type": "int | None", "default": 600}
    assert found["general_settings"]["max_file_size_mb"] == {"kind": "read", "default": 3}
    assert {key: entry["kind"] for key, entry in found["litellm_settings"].items()} == {
        "cache": "explicit", "callbacks": "explicit", "enable_redis_auth_cache": "read",
        "turn_off_message_logging": "attribute", "request_timeout": "attribute",
    }  # fmt: skip
    assert found["litellm_settings"]["request_timeout"]["default"] == 6000.0
    assert found["router_settings"]["cooldown_time"] == {"kind": "declared", "type": "float", "default": 5}
    # Neither what the proxy keeps out, nor what it gives itself.
    assert names(found, "router_settings") == {"timeout", "cooldown_time", "routing_strategy"}
    assert {key: entry["kind"] for key, entry in found["litellm_params"].items()} == {
        "model": "declared", "rpm": "declared", "temperature": "openai", "top_p": "openai",
        "mock_response": "litellm", "num_ctx": "provider", "keep_alive": "provider",
    }  # fmt: skip
    assert names(found, "model_info") == {"base_model", "health_check_timeout"}
    assert names(found, "cache_params") >= {"type", "ttl", "host", "namespace", "max_connections"}
    assert names(found, "coordination_redis") & {"type", "ttl", "retry"} == set()
    assert names(found, "retry_policy") == {"TimeoutErrorRetries"}
    assert names(found, "routing_strategies") == {"simple-shuffle", "least-busy"}
    assert names(found, "callbacks") == {"otel", "prometheus", "sentry", "rubrik"}
    assert names(found, "service_callbacks") == {"prometheus_system"}
    assert names(found, "environment_variables") == {
        "REQUEST_TIMEOUT", "COOLDOWN_SECONDS", "EMAIL_KEY", "PORT", "REDIS_HOST", "REDIS_MAX_CONNECTIONS"
    }  # fmt: skip
    assert found["cli_options"]["--port"] == {"kind": "value", "type": "int", "default": 4000, "variable": "PORT"}
    assert found["cli_options"]["--run_gunicorn"] == {"kind": "flag", "default": False}


def test_the_script_reads_wheels_and_writes_a_line_for_each_key(tree: Path, tmp_path: Path, monkeypatch: Any) -> None:
    def wheel(requirement: str, folder: Path) -> Path:
        name, _, version = requirement.partition("==")
        packages = {"litellm": "litellm/", "litellm-enterprise": "litellm_enterprise/", "redis": "redis/"}
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for part in TREE:
                if part.startswith(packages[name]) and (version != "1.0.0" or "health_check" not in part):
                    archive.write(tree / part, part)
            archive.writestr("litellm/proxy/_experimental/page.html", "no source")
            archive.writestr(f"{name}-{version}.dist-info/METADATA", "Requires-Dist: litellm-enterprise==0.1 ; extra\n")
        return path

    out = tmp_path / "keys"
    monkeypatch.setattr(extract_keys, "download", wheel)
    monkeypatch.setattr(extract_keys, "OUT", out)
    assert extract_keys.main(["1.10.0"]) == 0
    assert extract_keys.main(["1.0.0", "1.9.0"]) == 0
    assert json.loads((out / "releases.json").read_text()) == ["1.0.0", "1.9.0", "1.10.0"]
    lines = (out / "model_info.json").read_text().splitlines()
    assert lines == [
        "{",
        '"base_model": [{"kind":"declared","type":"str | None"}],',
        '"health_check_timeout": [{"from":"1.9.0","kind":"read"}]',
        "}",
    ]
    assert "email_settings" in json.loads((out / "general_settings.json").read_text())
    assert extract_keys.main(["--only", "1.0.0"]) == 0
    assert "health_check_timeout" not in (out / "model_info.json").read_text()


def test_merged_spans_are_the_sections_of_each_release_again() -> None:
    a, b = {"kind": "read"}, {"kind": "read", "default": 1}
    found = {"1.9.0": {"s": {"x": a, "y": a}}, "1.10.0": {"s": {"y": b}}, "1.11.0": {"s": {"x": a, "y": b}}}
    merged = extract_keys.merge(found)
    assert merged["s"]["x"] == [{"to": "1.9.0", **a}, {"from": "1.11.0", **a}]
    assert merged["s"]["y"] == [{"to": "1.9.0", **a}, {"from": "1.10.0", **b}]
    assert extract_keys.split(merged, ["1.9.0", "1.10.0", "1.11.0"]) == found
