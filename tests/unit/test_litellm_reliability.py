"""Routing, fallbacks, tries again, timeouts and health checks: what is compiled, and every refusal word by word."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from deploys.components.litellm import reliability
from deploys.components.litellm.reliability import Group, ReliabilitySettings
from deploys.components.litellm.retries import ALLOWED_FAILS_NAMES
from deploys.lib.settings import SettingsError, settings_from
from tests.unit.site import resolve

# Router.get_valid_args() of 1.106.2, without those that the proxy takes from elsewhere (litellm/constants.py).
ROUTER_ARGUMENTS = {
    "alerting_config", "allowed_fails", "allowed_fails_policy", "background_health_check_model_groups",
    "cache_kwargs", "cache_responses", "caching_groups", "client_ttl", "content_policy_fallbacks",
    "context_window_fallbacks", "cooldown_time", "debug_level", "default_fallbacks", "default_litellm_params",
    "default_max_parallel_requests", "default_priority", "deployment_affinity_ttl_seconds", "disable_cooldowns",
    "enable_health_check_routing", "enable_pre_call_checks", "enable_tag_filtering", "enable_weighted_failover",
    "fallbacks", "guardrail_list", "health_check_ignore_transient_errors", "health_check_staleness_threshold",
    "max_fallbacks", "model_group_affinity_config", "model_group_alias", "model_group_retry_policy", "num_retries",
    "optional_pre_call_checks", "plugins", "polling_interval", "provider_budget_config", "redis_db", "redis_host",
    "redis_password", "redis_port", "redis_url", "retry_after", "retry_policy", "routing_groups",
    "routing_strategy", "routing_strategy_args", "set_verbose", "stream_timeout", "tag_filtering_match_any",
    "tag_routing_prefix", "timeout",
}  # fmt: skip
GROUPS = {
    "small": Group("chat", 8_192, local=True),
    "large": Group("chat", 131_072, deployments=2, health_checked=2),
    "mute": Group("chat", None),
    "vectors": Group("embedding", 2_048, local=True),
    "numbers": Group("embedding", 8_192),
}
USAGE = (
    'upstream: "Usage-based routing is not recommended for production due to performance impacts"; it asks Redis about '
    "every deployment before every call (https://docs.litellm.ai/docs/routing)"
)


def make(**data: Any) -> ReliabilitySettings:
    own = {f"litellm_{key}": value for key, value in data.items()}
    return settings_from(own, "litellm_", ReliabilitySettings, resolve)


def refused(**data: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        make(**data)
    (problem,) = caught.value.problems
    return problem.partition(" (given: ")[0]


def wrong(**data: Any) -> list[str]:
    return reliability.problems(make(**data), GROUPS)


def compiled(**data: Any) -> dict[str, Any]:
    assert wrong(**data) == []
    return reliability.router_settings(make(**data), GROUPS)


def test_the_defaults_are_what_the_gateway_has_had() -> None:
    assert compiled() == {
        "routing_strategy": "simple-shuffle",
        "enable_pre_call_checks": True,
        "num_retries": 1,
        "cooldown_time": 30,
        "retry_policy": {
            "BadRequestErrorRetries": 0,
            "AuthenticationErrorRetries": 0,
            "ContentPolicyViolationErrorRetries": 0,
            "RateLimitErrorRetries": 1,
            "TimeoutErrorRetries": 0,
            "InternalServerErrorRetries": 1,
            "ServiceUnavailableErrorRetries": 1,
        },
        "timeout": 600,
        "stream_timeout": 300,
    }
    assert reliability.litellm_settings_part(make()) == {"request_timeout": 600}


def test_a_strategy_that_upstream_warns_of_needs_to_be_acknowledged() -> None:
    assert refused(routing_strategy="usage-based-routing-v2") == (
        f"litellm: litellm_routing_strategy: usage-based-routing-v2 is refused: {USAGE}. Use simple-shuffle, or set "
        "litellm_routing_strategy_acknowledged = True"
    )
    assert "with calls that stop the whole worker" in refused(routing_strategy="usage-based-routing")
    assert "is not documented" in refused(routing_strategy="lar1")
    agreed = compiled(routing_strategy="usage-based-routing-v2", routing_strategy_acknowledged=True)
    assert agreed["routing_strategy"] == "usage-based-routing-v2"
    assert refused(routing_strategy="provider-budget-routing", routing_strategy_acknowledged=True) == (
        "litellm_routing_strategy: LiteLLM has no such way of choosing: it is switched on by provider budgets alone"
    )
    assert refused(routing_strategy="simple_shuffle").startswith("litellm_routing_strategy: Input should be 'simple-s")


def test_capability_groups_are_written_as_litellm_reads_them() -> None:
    made = compiled(groups={"code": "large", "secret": {"model": "small", "hidden": True}, "shown": {"model": "small"}})
    # Without `hidden` beside `model` Router ends with a KeyError.
    assert made["model_group_alias"] == {
        "code": "large",
        "secret": {"model": "small", "hidden": True},
        "shown": "small",
    }


def test_a_list_is_no_capability_group() -> None:
    assert refused(groups={"code": ["large", "small"]}) == (
        "litellm_groups.code: is a list, which LiteLLM ignores in silence: the name is unknown to clients. A "
        "capability group is one model group; give several entries that group's name, or name one group here and the "
        "others in litellm_fallbacks"
    )


def test_other_names_must_be_new_and_one_step_from_a_group() -> None:
    assert wrong(groups={"small": "large"}) == [
        "litellm_groups: 'small' is the name of a model group already, whose requests would all go to 'large'; choose "
        "another name"
    ]
    assert wrong(groups={"code": "large", "coder": "code"}) == [
        "litellm_groups: 'coder' stands for 'code', which is such a name itself; LiteLLM goes one step only: name the "
        "model group, 'large'"
    ]
    assert wrong(groups={"code": "larg"}) == [
        "litellm_groups: 'code' stands for 'larg', which is not a model group; did you mean large? "
        "(known: large, mute, numbers, small, vectors)"
    ]


def test_fallbacks_are_lists_of_maps_and_hold_for_other_names_too() -> None:
    made = compiled(groups={"code": "small", "own": "small"}, fallbacks={"small": ["large"], "own": ["mute"]})
    assert made["fallbacks"] == [{"small": ["large"]}, {"code": ["large"]}, {"own": ["mute"]}]
    assert "context_window_fallbacks" not in made
    assert "&" not in yaml.safe_dump(made), "no anchors"


def test_one_special_fallback_does_not_take_the_usual_ones_from_other_groups() -> None:
    """With context window fallbacks for one group, LiteLLM looks at no others for that error."""
    made = compiled(
        fallbacks={"small": ["mute", "large"], "mute": ["large"]},
        context_window_fallbacks={"vectors": ["numbers"]},
        content_policy_fallbacks={"small": ["large"]},
    )
    assert made["context_window_fallbacks"] == [{"small": ["large"]}, {"vectors": ["numbers"]}]
    assert made["content_policy_fallbacks"] == [{"small": ["large"]}, {"mute": ["large"]}]


def test_default_fallbacks_go_to_groups_of_their_mode_only() -> None:
    made = compiled(groups={"code": "small"}, fallbacks={"mute": ["small"]}, default_fallbacks=["large"])
    assert made["fallbacks"] == [{"small": ["large"]}, {"mute": ["small"]}, {"code": ["large"]}]
    assert "default_fallbacks" not in made


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            {"fallbacks": {"small": ["lrge"]}},
            "litellm_fallbacks: 'lrge' is not a model group; did you mean large? "
            "(known: large, mute, numbers, small, vectors)",
        ),
        (
            {"default_fallbacks": ["nothing"]},
            "litellm_default_fallbacks: 'nothing' is not a model group (known: large, mute, numbers, small, vectors)",
        ),
        ({"fallbacks": {"small": ["small"]}}, "litellm_fallbacks: 'small' falls back on itself"),
        (
            {"groups": {"code": "small"}, "fallbacks": {"small": ["code"]}},
            "litellm_fallbacks: 'small' falls back on itself",
        ),
        (
            {"fallbacks": {"small": ["vectors"]}},
            "litellm_fallbacks: 'small' is of mode chat and 'vectors' of mode embedding; a request for one is no "
            "request for the other",
        ),
        (
            {"context_window_fallbacks": {"small": ["mute"]}},
            "litellm_context_window_fallbacks: the context window of 'mute' is not known, so nothing says that 'mute' "
            "is larger than 'small'; give it in the model's entry",
        ),
        (
            {"context_window_fallbacks": {"large": ["small"]}},
            "litellm_context_window_fallbacks: 'small' holds 8,192 tokens and 'large' 131,072; a prompt that is too "
            "long for one is so for the other",
        ),
        (
            {
                "fallbacks": {"small": ["large"], "large": ["mute"]},
                "content_policy_fallbacks": {"mute": ["small"]},
            },
            "litellm_fallbacks: small -> large -> mute -> small is a circle, counting context window and content "
            "policy fallbacks; take one of its steps out",
        ),
        (
            {"num_retries": 3, "fallbacks": {"small": ["large"]}},
            "litellm_num_retries 3: a request for 'small' would wait through 3 tries with growing pauses before its "
            "fallback answers; set 2 at most",
        ),
        (
            {"num_retries": 2, "fallbacks": {"small": ["large"]}},
            "litellm_retry_policy: RateLimitErrorRetries 2: a request for 'small' would wait through 2 tries with "
            "growing pauses before its fallback answers; set 1 at most",
        ),
        (
            {"enforce_model_rate_limits": True, "retry_policy": {"RateLimitErrorRetries": 1}},
            "litellm_retry_policy: RateLimitErrorRetries 1: with litellm_enforce_model_rate_limits a request above a "
            "limit would wait 60 s for each try; leave it out",
        ),
        (
            {
                "allowed_fails_policy": dict.fromkeys(ALLOWED_FAILS_NAMES, 3),
                "fallbacks": {"small": ["large"], "mute": ["large"], "vectors": ["numbers"]},
            },
            "litellm_allowed_fails_policy: it makes LiteLLM leave the only deployment of 'numbers' alone too, and "
            "without a fallback every request is then answered 429 for 30 s; give each a fallback or a second "
            "deployment, or leave the policy out",
        ),
        (
            {"allowed_fails_policy": dict.fromkeys(ALLOWED_FAILS_NAMES, 3), "cooldowns": False},
            "litellm_allowed_fails_policy: does nothing without litellm_cooldowns",
        ),
        (
            {"proxy_read_timeout": 600, "fallbacks": {"small": ["large"]}},
            "litellm_proxy_read_timeout: 600 s is not above the longest silence of the gateway, "
            "litellm_request_timeout 600 x 1 try x 2 model group(s) = 1200 s; clients would see the proxy's 504 while "
            "the gateway still works for them",
        ),
        (
            {"background_health_checks": True, "health_check_interval": 30, "health_check_concurrency": 1},
            "litellm_health_check_interval: 30 s is not above what one round may take: 2 models, 1 at a time, 30 s "
            "each = 60 s; make it longer, or litellm_health_check_concurrency larger",
        ),
    ],
)
def test_what_does_not_fit_the_model_groups_is_refused(data: dict[str, Any], sentence: str) -> None:
    assert wrong(**data) == [sentence]
