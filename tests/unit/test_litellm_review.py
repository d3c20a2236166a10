"""Settings that a review found accepted although they do harm or nothing, each with the sentence it is refused with."""

from __future__ import annotations

from typing import Any

import pytest

from deploys.components.litellm import config as litellm_config
from deploys.components.litellm import effects
from deploys.lib.settings import SettingsError
from tests.unit import site

PAID = {"name": "paid", "provider": "openai", "model": "gpt-4o", "api_key": "env:REDIS_PASSWORD"}
OWN = "; one of them is an Ollama host's own model, which cannot be changed here: give yours another name"


def refused(**data: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        site.single(**{f"litellm_{key}": value for key, value in data.items()})
    (problem,) = caught.value.problems
    return problem.removeprefix("gateway.example.org: ")


def wrong(**data: Any) -> list[str]:
    try:
        site.single(**{f"litellm_{key}": value for key, value in data.items()})
    except SettingsError as error:
        return [problem.removeprefix("gateway.example.org: ") for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"rpm": 5},
            "of the entries named 'llama3.2-3b' some have rpm, which is then the share of the requests an entry gets: "
            "those without it would get none; give all of them rpm, or all a weight",
        ),
        (
            {"weight": 5},
            "of the entries named 'llama3.2-3b' some have weight, which is then the share of the requests an entry "
            "gets: those without it would get none; give all of them weight, or all a weight",
        ),
        (
            {"order": 1},
            "of the entries named 'llama3.2-3b' some have an order; those without one would never be asked",
        ),
        (
            {"mode": "embedding"},
            "the entries named 'llama3.2-3b' are of modes chat and embedding; a group has one, so name them apart",
        ),
    ],
)
def test_an_entry_is_checked_against_the_hosts_own_model_of_its_name(fields: dict[str, Any], sentence: str) -> None:
    assert wrong(models=[{**PAID, "name": "llama3.2-3b", **fields}]) == [f"litellm_models: {sentence}{OWN}"]
    assert wrong(models=[{**PAID, "name": "llama3.2-3b"}]) == []


def test_an_entry_with_the_self_tests_name_is_refused_by_its_place() -> None:
    assert wrong(models=[PAID, {**PAID, "name": "toolkit-selftest"}]) == [
        "litellm_models[1].name: 'toolkit-selftest' is a model of Portcullis; choose another name"
    ]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("toolkit-selftest", "'toolkit-selftest' is a model of Portcullis; choose another name"),
        ("all-team-models", "'all-team-models' means something else to LiteLLM; choose another name"),
        ("", "'' is not a name; write letters, digits and . _ : / @ + -"),
        ("a b", "'a b' is not a name; write letters, digits and . _ : / @ + -"),
        ("*", "'*' is not a name; write letters, digits and . _ : / @ + -"),
    ],
)
def test_another_name_of_a_group_is_a_name(name: str, sentence: str) -> None:
    assert refused(groups={name: "llama3.2-3b"}) == f"litellm_groups: {sentence}"


SHOWN = "has a user name or a password in it (@); give what it asks for as"
DURATION = "must be a whole number above 0 and a unit, d, h or m, such as 30d (given: '0d')"
MODEL = "{'name': 'gpt-4o', 'provider': 'openai', 'model': 'gpt-4o', 'api_key': 'env:OPENAI_API_KEY'}"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            {"log_sink": "https://me:hush@logs.example.org/in"},
            f"litellm_log_sink: {SHOWN} litellm_log_sink_headers, a reference",
        ),
        (
            {"otel_endpoint": "http://me:hush@collector.example.org:4318"},
            f"litellm_otel_endpoint: {SHOWN} litellm_otel_headers, a reference",
        ),
        (
            {"otel_endpoint": "http://collector.example.org:4317"},
            "litellm_otel_endpoint: port 4317 is for gRPC; traces are sent as http/protobuf, which goes to port 4318 "
            "(given: 'http://collector.example.org:4317')",
        ),
        ({"spend_logs_retention": "0d"}, f"litellm_spend_logs_retention: {DURATION}"),
        ({"spend_logs_cleanup_interval": "0d"}, f"litellm_spend_logs_cleanup_interval: {DURATION}"),
        ({"health_check_retention": "0d"}, f"litellm_health_check_retention: {DURATION}"),
        (
            {"port": 4000},
            "litellm_port: LiteLLM silently takes a random port when 4000 is busy; choose another, such as 4100 "
            "(given: 4000)",
        ),
        (
            {"teams": {"a": {"max_budget": float("inf")}}},
            "litellm_teams.a.max_budget: Input should be a finite number (given: inf)",
        ),
        (
            {"keys": {"sk-hush": {"value": "hush"}}},
            "litellm_keys: an alias begins with sk-, as a key does, and aliases are shown; write the alias before the "
            "colon and a reference to the key as its value",
        ),
        (
            {"models": [{"model_name": "a", "litellm_params": {"model": "openai/gpt-4o", "api_key": "hush"}}]},
            f"litellm_models[0]: model_name and litellm_params are LiteLLM's own form; write it as {MODEL}, all in one "
            "level",
        ),
        (
            {"models": [{"model_name": "a", "api_key": "hush"}]},
            f"litellm_models[0]: model_name is LiteLLM's own form; write it as {MODEL}, all in one level",
        ),
        *(
            (
                {"models": [{**PAID, "provider": word}]},
                f"litellm_models[0].provider: is not a provider here; did you mean {meant}? (given: '{word}')",
            )
            for word, meant in {"OpenAI": "openai", "hosted_vllm": "vllm", "ollama_chat": "ollama"}.items()
        ),
    ],
)
def test_a_setting_that_does_harm_is_refused_and_no_secret_shown(data: dict[str, Any], sentence: str) -> None:
    assert refused(**data) == sentence
    assert "hush" not in sentence


@pytest.mark.parametrize(
    ("data", "sentences"),
    [
        (
            {"models": [{**PAID, "stream_timeout": 601}]},
            [
                "litellm_models[0].stream_timeout: 601 s is above litellm_request_timeout and litellm_stream_timeout, "
                "600 s at most, which the proxy in front is reckoned by; raise that"
            ],
        ),
        ({"models": [{**PAID, "stream_timeout": 601}], "stream_timeout": 601}, []),
        (
            {"models": [{**PAID, "health_check": True, "health_check_timeout": 301}], "background_health_checks": True},
            [
                "litellm_models[0].health_check_timeout: 301 s is above litellm_health_check_interval, 300 s: the next "
                "round would begin before this one ends; raise that"
            ],
        ),
        ({"models": [{**PAID, "health_check_timeout": 301}]}, []),
    ],
)
def test_the_timeouts_of_entries_keep_to_those_of_the_gateway(data: dict[str, Any], sentences: list[str]) -> None:
    assert wrong(**data) == sentences


CHAT = [{**PAID, "name": name} for name in ("a", "b", "c")]


def test_the_default_list_counts_when_circles_are_looked_for() -> None:
    assert wrong(models=CHAT, fallbacks={"b": ["a"]}, default_fallbacks=["b"]) == [
        "litellm_fallbacks: b -> a -> b is a circle, counting context window and content policy fallbacks; take one "
        "of its steps out"
    ]


def test_a_group_of_the_default_list_goes_on_to_later_ones_only() -> None:
    here = site.single(litellm_models=CHAT, litellm_default_fallbacks=["a", "b"])
    made = litellm_config.config(here)["router_settings"]["fallbacks"]
    assert made == [{"llama3.2-3b": ["a", "b"]}, {"a": ["b"]}, {"c": ["a", "b"]}]


ALERTS = "litellm_slack_webhook or litellm_alert_webhook, to which alerts go"
CACHE = "a litellm_cache_mode other than off"


@pytest.mark.parametrize(
    ("name", "value", "other", "what"),
    [
        ("alert_types", ["llm_too_slow"], {}, ALERTS),
        ("alerting_threshold", 200, {}, ALERTS),
        ("otel_sample_ratio", 0.5, {}, "litellm_otel_endpoint, to which traces go"),
        ("max_requests", 2000, {}, "litellm_recycle = 'max_requests'"),
        ("recycle_calendar", "Mon *-*-* 03:00:00", {"recycle": "off"}, "litellm_recycle = 'timer'"),
        ("cache_namespace", "mine", {"cache_mode": "off"}, CACHE),
        ("cache_ttl", 60, {"cache_mode": "off"}, CACHE),
        ("cache_call_types", ["arerank"], {"cache_mode": "off"}, CACHE),
        ("cache_max_messages", 9, {"cache_mode": "off"}, CACHE),
        ("error_logs", True, {"spend_logs": False}, "litellm_spend_logs = True, whose rows they are"),
        ("tag_routing", True, {"models": [PAID]}, "an entry with tags"),
    ],
)
def test_a_setting_without_effect_is_refused_with_what_it_needs(
    name: str, value: object, other: dict[str, Any], what: str
) -> None:
    sentence = f"litellm_{name}: has no effect as it is; it needs {what}. Leave it out, or set that"
    assert wrong(**{name: value}, **other) == [sentence]
    assert wrong(**other) == []


def test_every_setting_of_the_table_is_accepted_with_what_it_needs() -> None:
    given: dict[str, Any] = {
        **{"alert_webhook": "env:HOOK", "alert_types": ["llm_too_slow"], "alerting_threshold": 200},
        **{"otel_endpoint": "http://collector.example.org:4318", "otel_sample_ratio": 0.5},
        **{"forward_traceparent": True},
        **{"recycle": "max_requests", "max_requests": 2000},
        **{"cache_ttl": 60, "cache_call_types": ["arerank"], "cache_max_messages": 9, "error_logs": True},
        **{"cache_namespace": "mine"},
        **{"tag_routing": True, "models": [{**PAID, "tags": ["x"]}]},
    }
    # The one that does not go together with another of them.
    assert {name for name, _, _ in effects.NEEDS} - {"recycle_calendar"} <= set(given)
    assert wrong(recycle_calendar="Mon *-*-* 03:00:00") == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(site.SECRETS, "HOOK", "https://alerts.example.org/in")
        made = litellm_config.config(site.single(**{f"litellm_{key}": value for key, value in given.items()}))
    assert made["router_settings"]["enable_tag_filtering"] is True
    assert "enable_tag_filtering" not in litellm_config.config(site.single())["router_settings"]
