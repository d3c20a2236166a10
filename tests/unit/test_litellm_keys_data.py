"""The keys that were found in LiteLLM's releases: facts that were checked by hand, and how the keys are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from deploys.components.litellm.keys import DATA, PLACES, elsewhere, history, known, nearest, releases, supported
from deploys.lib.render import ROOT

DEFAULT = "1.106.2"
A_YEAR_OLD = "1.80.5"
GOLDEN = ROOT / "tests" / "golden" / "litellm" / "etc__litellm__config.yaml"
BUDGET = 600_000
# What an imported 1.106.2 says itself: Router.get_valid_args() without the arguments that the proxy gives.
ROUTER = """alerting_config allowed_fails allowed_fails_policy background_health_check_model_groups cache_kwargs
cache_responses caching_groups client_ttl content_policy_fallbacks context_window_fallbacks cooldown_time debug_level
default_fallbacks default_litellm_params default_max_parallel_requests default_priority
deployment_affinity_ttl_seconds disable_cooldowns enable_health_check_routing enable_pre_call_checks
enable_tag_filtering enable_weighted_failover fallbacks guardrail_list health_check_ignore_transient_errors
health_check_staleness_threshold max_fallbacks model_group_affinity_config model_group_alias
model_group_retry_policy num_retries optional_pre_call_checks plugins polling_interval provider_budget_config redis_db
redis_host redis_password redis_port redis_url retry_after retry_policy routing_groups routing_strategy
routing_strategy_args set_verbose stream_timeout tag_filtering_match_any tag_routing_prefix timeout"""
# What people write and LiteLLM does not read there.
NOT_READ = {
    "top_level": ("server_settings", "rate_limit_settings", "debug", "debug_router", "test_mode", "enable_jwt_auth"),
    "litellm_settings": ("timeout", "stream_timeout", "service_callbacks", "otel_settings", "callback_settings",
                         "context_window_fallback_dict", "enable_metrics"),
    "router_settings": ("redis_connection_pool_limit", "redis_connection_pool_timeout", "health_check_interval",
                        "context_window_fallback_dict", "enable_pre_call_check", "model_list", "search_tools",
                        "fallback_access_check", "request_timeout"),
    "general_settings": ("enable_metrics", "slack_webhook_url", "redis_host", "health_check_timeout"),
    "environment_variables": ("SEPARATE_HEALTH_APP", "SEPARATE_HEALTH_PORT", "SUPERVISORD_STOPWAITSECS"),
}  # fmt: skip
READ = {
    "top_level": ("model_list", "include", "environment_variables", "callback_settings", "credential_list"),
    "general_settings": ("alerting_threshold", "proxy_batch_write_at", "disable_error_logs", "use_shared_health_check",
                         "coordination_redis", "database_statement_timeout", "user_url_validation", "alert_types"),
    "litellm_settings": ("cache", "cache_params", "request_timeout", "num_retries", "set_verbose", "fallbacks",
                         "require_auth_for_metrics_endpoint", "enable_redis_auth_cache", "service_callback"),
    "litellm_params": ("model", "api_base", "rpm", "order", "weight", "max_parallel_requests", "keep_alive", "num_ctx",
                       "mock_response", "stream_timeout", "tags", "temperature", "input_cost_per_token"),
    "model_info": ("id", "mode", "base_model", "health_check_timeout", "disable_background_health_check",
                   "max_input_tokens", "allowed_fails_policy", "health_check_model"),
    "cache_params": ("type", "host", "max_connections", "namespace", "max_messages", "socket_timeout", "ssl", "url"),
    "coordination_redis": ("host", "port", "password", "username", "ssl", "url"),
    "alerting_args": ("minor_outage_alert_threshold", "daily_report_frequency"),
    "retry_policy": ("RateLimitErrorRetries", "DefaultRetries", "NotFoundErrorRetries"),
    "allowed_fails_policy": ("BadGatewayErrorAllowedFails",),
    "routing_strategies": ("simple-shuffle", "least-busy", "latency-based-routing", "lar1", "provider-budget-routing"),
    "callbacks": ("prometheus", "otel", "generic_api", "langfuse", "slack", "sentry"),
    "environment_variables": ("LITELLM_SALT_KEY", "LITELLM_MASTER_KEY", "LITELLM_LOG", "DATABASE_URL", "NO_OPENAPI",
                              "PROMETHEUS_MULTIPROC_DIR", "SLACK_WEBHOOK_URL", "REDIS_SSL", "NUM_WORKERS",
                              "GRACEFUL_SHUTDOWN_TIMEOUT", "LITELLM_LOCAL_MODEL_COST_MAP"),
    "cli_options": ("--config", "--run_gunicorn", "--prometheus_metrics_port", "--validate_config"),
}  # fmt: skip


def test_the_releases_that_matter_are_known() -> None:
    assert {DEFAULT, A_YEAR_OLD} <= set(supported())
    assert len({release.rsplit(".", 1)[0] for release in supported()} - {"1.80", "1.106"}) >= 2
    assert list(supported()) == sorted(supported(), key=lambda release: [int(part) for part in release.split(".")])


def test_the_data_is_small() -> None:
    assert sum(path.stat().st_size for path in DATA.iterdir()) < BUDGET
    assert {path.suffix for path in DATA.iterdir()} == {".json"}


@pytest.mark.parametrize("section", READ)
def test_what_litellm_reads_is_known(section: str) -> None:
    assert [key for key in READ[section] if key not in known(DEFAULT).section(section)] == []


@pytest.mark.parametrize("section", NOT_READ)
def test_what_litellm_does_not_read_is_not_known(section: str) -> None:
    for release in supported()[1:]:
        assert [key for key in NOT_READ[section] if key in known(release).section(section)] == [], release


def test_the_routers_settings_are_exactly_those_it_takes() -> None:
    assert sorted(known(DEFAULT).section("router_settings")) == sorted(ROUTER.split())


def test_a_key_has_its_type_its_default_and_how_it_is_read() -> None:
    keys = known(DEFAULT)
    assert keys.section("general_settings")["alerting_threshold"].default == 600
    assert keys.section("general_settings")["database_connection_pool_limit"].type == "int | None"
    assert keys.section("general_settings")["proxy_batch_write_at"].kind == "read"
    assert keys.section("litellm_settings")["json_logs"].kind == "explicit"
    assert keys.section("litellm_settings")["allowed_fails"].kind == "attribute"
    assert keys.section("cache_params")["max_messages"].default == 4
    assert keys.section("cli_options")["--num_workers"].variable == "NUM_WORKERS"


def walk(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every key of a configuration with the section that must know it."""
    yield from (("top_level", key) for key in config)
    for entry in config["model_list"]:
        yield from (("model_list", key) for key in entry)
        for part in ("litellm_params", "model_info"):
            yield from ((part, key) for key in entry.get(part, {}))
    for section in ("litellm_settings", "router_settings", "general_settings"):
        for key, value in config.get(section, {}).items():
            yield section, key
            if key in PLACES and isinstance(value, dict):
                yield from ((key, inner) for inner in value)
    for callback in config["litellm_settings"].get("callbacks", ()):
        yield "callbacks", callback
    for callback in config["litellm_settings"].get("service_callback", ()):
        yield "service_callbacks", callback


def test_every_key_we_render_is_one_the_pinned_release_reads() -> None:
    keys = known(DEFAULT)
    rendered = list(walk(yaml.safe_load(GOLDEN.read_text())))
    assert len(rendered) > 60
    assert [f"{section}.{key}" for section, key in rendered if key not in keys.section(section)] == []


def test_history_says_between_which_releases_a_key_came_or_went() -> None:
    since, until = history("general_settings", "coordination_redis")
    assert since.startswith("appears in 1.95.1, not in ") and until == ""
    assert "--prometheus_metrics_port" not in known(A_YEAR_OLD).section("cli_options")
    assert history("cli_options", "--prometheus_metrics_port") == ("appears in 1.104.8, not in 1.100.5", "")
    assert history("general_settings", "alerting_threshold") == ("", "")
    assert history("general_settings", "enable_metrics") == ("", "")
    gone = history("general_settings", "disable_adding_master_key_hash_to_db")
    assert gone[0] == "" and gone[1].startswith("is in ") and ", no longer in " in gone[1]


def test_releases_names_all_that_have_a_key() -> None:
    assert releases("top_level", "model_list") == supported()
    assert releases("general_settings", "coordination_redis")[0] == "1.95.1"
    assert releases("router_settings", "redis_connection_pool_limit") == ()


def test_an_unknown_release_has_the_keys_of_the_nearest_older_one_and_says_so() -> None:
    assert known(DEFAULT).exact and known(DEFAULT).note == ""
    assert known("v1.106.2").exact
    between = known("1.106.9")
    assert between.release == DEFAULT and not between.exact
    assert between.note == (
        "the keys of LiteLLM 1.106.9 are not known; those of 1.106.2, the newest known before it, are used"
    )
    assert known("99.0.0").release == supported()[-1]
    old = known("1.0.0")
    assert old.release == A_YEAR_OLD and "the oldest known" in old.note
    with pytest.raises(ValueError, match="'main' is not a version of LiteLLM"):
        known("main")


def test_a_section_that_does_not_exist_is_an_error_that_names_those_that_do() -> None:
    with pytest.raises(KeyError, match=r"server_settings: no such section; there are .*general_settings"):
        known(DEFAULT).section("server_settings")


def test_a_misspelt_key_finds_the_right_one_and_a_strange_one_finds_none() -> None:
    assert nearest("router_settings", "enable_pre_call_check") == "enable_pre_call_checks"
    assert nearest("general_settings", "alerting_treshold") == "alerting_threshold"
    assert known(DEFAULT).nearest("litellm_settings", "service_callbacks") == "service_callback"
    assert nearest("top_level", "xyzzy") == ""


def test_a_key_at_the_wrong_place_is_found_at_the_right_one() -> None:
    assert "general_settings" in elsewhere("router_settings", "health_check_interval")
    assert "router_settings" in known(DEFAULT).elsewhere("litellm_settings", "timeout")
    assert elsewhere("top_level", "database_connection_pool_limit", DEFAULT) == ["general_settings"]
    assert elsewhere("general_settings", "coordination_redis", A_YEAR_OLD) == []
    assert elsewhere("general_settings", "xyzzy") == []
