"""Pools, logs, cache and Redis: what is compiled, and every refusal word by word."""

from __future__ import annotations

from typing import Any

import pytest

from deploys.components.litellm import state
from deploys.components.litellm.state import StateSettings
from deploys.lib.settings import SettingsError, settings_from
from tests.unit.site import resolve


def make(**data: Any) -> StateSettings:
    own = {f"litellm_{key}": value for key, value in data.items()}
    return settings_from(own, "litellm_", StateSettings, resolve)


def refused(**data: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        make(**data)
    (problem,) = caught.value.problems
    return problem


def test_the_defaults_are_what_the_gateway_has_had() -> None:
    assert state.litellm_settings_part(make()) == {
        "cache": True,
        "cache_params": {
            "type": "redis",
            "host": "os.environ/REDIS_HOST",
            "port": "os.environ/REDIS_PORT",
            "username": "os.environ/REDIS_USERNAME",
            "password": "os.environ/REDIS_PASSWORD",
            "namespace": "litellm",
            "ttl": 600,
            "mode": "default_off",
            "supported_call_types": ["acompletion", "atext_completion", "aembedding"],
            "max_connections": 50,
        },
    }
    assert state.general_settings_part(make()) == {
        "database_connection_pool_limit": 10,
        "database_connection_timeout": 20,
        "proxy_batch_write_at": 10,
        "disable_error_logs": True,
        "maximum_spend_logs_retention_period": "30d",
        "maximum_spend_logs_retention_interval": "1h",
        "allow_requests_on_db_unavailable": False,
    }


def test_spend_of_several_gateways_goes_through_redis() -> None:
    key = "use_redis_transaction_buffer"
    assert key not in state.general_settings_part(make(), gateways=1)
    assert state.general_settings_part(make(), gateways=2)[key] is True
    assert state.general_settings_part(make(use_redis_transaction_buffer=True), gateways=1)[key] is True
    assert key not in state.general_settings_part(make(use_redis_transaction_buffer=False), gateways=2)


def test_a_redis_that_forgets_is_no_place_for_spend() -> None:
    sentence = (
        "litellm_use_redis_transaction_buffer: spend would wait in a Redis that keeps nothing over a restart; set "
        "redis_persistence to rdb or aof, or this to False"
    )
    assert state.problems(make(), "127.0.0.1", gateways=2, redis_persistence="none") == [sentence]
    assert state.problems(make(), "127.0.0.1", gateways=2, redis_persistence="aof") == []
    assert state.problems(make(), "127.0.0.1", gateways=1, redis_persistence="none") == []


def test_logs_can_be_more_or_less() -> None:
    made = state.general_settings_part(make(spend_logs=False, error_logs=True, spend_logs_retention="7d"))
    assert (made["disable_spend_logs"], made["disable_error_logs"]) == (True, False)
    assert made["maximum_spend_logs_retention_period"] == "7d"


@pytest.mark.parametrize(
    ("listen", "allowed"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("10.1.2.3", True),
        ("fd00::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("198.18.7.9", True),
        ("8.8.8.8", False),
        ("2a00:1450::1", False),
    ],
)
def test_keys_that_cannot_be_checked_are_good_in_private_only(listen: str, allowed: bool) -> None:
    sentence = (
        f"litellm_allow_requests_on_db_unavailable: while the database is away any key would be good, and "
        f"litellm_listen {listen} is not a loopback or private address; listen on one, or set "
        "litellm_allow_requests_on_db_unavailable_acknowledged = True"
    )
    s = make(allow_requests_on_db_unavailable=True)
    assert state.problems(s, listen) == ([] if allowed else [sentence])
    assert state.problems(make(), listen) == []
    both = make(allow_requests_on_db_unavailable=True, allow_requests_on_db_unavailable_acknowledged=True)
    assert state.problems(both, listen) == []
    assert state.general_settings_part(s)["allow_requests_on_db_unavailable"] is True


def test_the_cache_is_as_set_and_says_nothing_that_older_releases_do_not_know() -> None:
    made = state.cache_params(
        make(cache_mode="default_on", cache_ttl=60, cache_call_types=["arerank"], cache_namespace="site-a")
    )
    assert (made["mode"], made["ttl"], made["supported_call_types"]) == ("default_on", 60, ["arerank"])
    assert made["namespace"] == "site-a"
    assert "max_messages" not in made
    assert state.cache_params(make(cache_max_messages=None))["max_messages"] is None
    assert state.cache_params(make(cache_max_messages=20))["max_messages"] == 20


def test_without_a_cache_redis_still_holds_limits_and_cooldowns() -> None:
    s = make(cache_mode="off", redis_max_connections=20)
    assert state.litellm_settings_part(s) == {}
    assert state.general_settings_part(s)["coordination_redis"] == {
        "host": "os.environ/REDIS_HOST",
        "port": "os.environ/REDIS_PORT",
        "username": "os.environ/REDIS_USERNAME",
        "password": "os.environ/REDIS_PASSWORD",
        "max_connections": 20,
    }
    assert "coordination_redis" not in state.general_settings_part(make())


def test_redis_is_told_by_host_and_port_and_never_by_a_url() -> None:
    made = state.cache_params(make())
    assert (made["host"], made["port"]) == ("os.environ/REDIS_HOST", "os.environ/REDIS_PORT")
    assert "url" not in made and not [key for key in made if key.startswith("ssl")]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            {"cache_call_types": ["arerank", "arerank"]},
            "litellm_cache_call_types: names arerank twice (given: ['arerank', 'arerank'])",
        ),
        (
            {"cache_mode": "defaultoff"},
            "litellm_cache_mode: Input should be 'default_off', 'default_on' or 'off' (given: 'defaultoff')",
        ),
        (
            {"cache_call_types": ["completion"]},
            "litellm_cache_call_types[0]: Input should be 'acompletion', 'atext_completion', 'aembedding', "
            "'atranscription', 'arerank', 'aresponses' or 'anthropic_messages' (given: 'completion')",
        ),
        (
            {"spend_logs_retention": "30"},
            "litellm_spend_logs_retention: must be a whole number above 0 and a unit, d, h or m, such as 30d "
            "(given: '30')",
        ),
        (
            {"proxy_batch_write_at": "60"},
            "litellm_proxy_batch_write_at: Input should be a valid integer (given: '60')",
        ),
    ],
)
def test_a_setting_that_is_wrong_by_itself_is_refused(data: dict[str, Any], sentence: str) -> None:
    assert refused(**data) == sentence
