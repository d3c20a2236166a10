"""Retry and cooldown policies, the order of the timeouts, health checks; and that no settings compile to a dead key."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploys.components.litellm import reliability
from deploys.components.litellm.fallbacks import compiled as chains
from deploys.components.litellm.reliability import Group
from deploys.components.litellm.retries import ALLOWED_FAILS_NAMES, RETRY_NAMES
from deploys.components.litellm.routing import resolve
from deploys.components.litellm.timeouts import longest_silence
from tests.unit.test_litellm_reliability import GROUPS, ROUTER_ARGUMENTS, compiled, make, refused, wrong
from tests.unit.thorough import examples, thorough

pytestmark = thorough


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            {"retry_policy": {"RateLimitRetries": 1}},
            "litellm_retry_policy: 'RateLimitRetries' is not one of LiteLLM's names, which it would ignore: "
            + ", ".join(RETRY_NAMES),
        ),
        (
            {"retry_policy": {"TimeoutErrorRetries": 9}},
            "litellm_retry_policy: TimeoutErrorRetries is 9; allowed are 0 to 5",
        ),
        (
            {"allowed_fails_policy": dict.fromkeys(ALLOWED_FAILS_NAMES[:-2], 3)},
            "litellm_allowed_fails_policy: lacks BadGatewayErrorAllowedFails, NotFoundErrorAllowedFails: one entry "
            "makes LiteLLM count every error, and those without an entry may happen 3 times only; name all of "
            "them, or none",
        ),
        ({"fallbacks": {"small": []}}, "litellm_fallbacks: 'small' has an empty list; leave it out"),
        (
            {"fallbacks": {"*": ["large"]}},
            "litellm_fallbacks: '*' is not a model group; use litellm_default_fallbacks",
        ),
        (
            {"fallbacks": {"small": ["large", "mute", "large"]}},
            "litellm_fallbacks: 'small' names 'large' twice; LiteLLM tries it once",
        ),
        (
            {"health_check_timeout": 60, "request_timeout": 60},
            "litellm: litellm_health_check_timeout: 60 s is not below litellm_request_timeout, 60 s; a check must not "
            "wait longer than the requests it speaks for",
        ),
    ],
)
def test_a_setting_that_is_wrong_by_itself_is_refused(data: dict[str, Any], sentence: str) -> None:
    assert refused(**data) == sentence


def test_a_chain_longer_than_litellm_follows_is_refused() -> None:
    groups = {f"g{number}": Group("chat") for number in range(8)}
    long = make(fallbacks={f"g{number}": [f"g{number + 1}"] for number in range(7)})
    assert reliability.problems(long, groups) == [
        "litellm_fallbacks: g0 -> g1 -> g2 -> g3 -> g4 -> g5 -> g6 -> g7 takes 7 steps and LiteLLM takes 5; let the "
        "list of 'g0' name all of them, and they are all asked"
    ]
    assert reliability.problems(make(fallbacks={"g0": [f"g{number}" for number in range(1, 8)]}), groups) == []


def test_many_groups_that_fall_back_on_all_later_ones_are_judged_at_once() -> None:
    # The router of 1.106.2 was seen to ask every group of such a list: it counts steps, not groups.
    names = [f"g{number:02}" for number in range(40)]
    groups = {name: Group("chat", deployments=2) for name in names}
    every = {name: names[place + 1 :] for place, name in enumerate(names[:-1])}
    assert reliability.problems(make(fallbacks=every), groups) == []
    (problem,) = reliability.problems(make(fallbacks={**every, "g00": names[1:-1]}), groups)
    assert "takes 39 steps" in problem
    # What a group says for one kind of error is not what it says for another.
    own = make(fallbacks={**every, "g00": ["g01"]}, content_policy_fallbacks={"g00": names[1:]})
    (problem,) = reliability.problems(own, groups)
    assert problem.startswith("litellm_fallbacks: g00 -> g01 -> ")


@pytest.mark.parametrize("number", [5, 6, 12])
def test_a_default_list_may_be_as_long_as_one_likes(number: int) -> None:
    names = [f"g{each}" for each in range(number)]
    groups = {name: Group("chat", context_window=1000 + place) for place, name in enumerate(names)}
    assert reliability.problems(make(default_fallbacks=names), groups) == []
    assert reliability.problems(make(default_fallbacks=names[1:]), groups) == []
    assert (
        reliability.problems(make(default_fallbacks=names, context_window_fallbacks={"g0": names[-1:]}), groups) == []
    )


def test_policies_reach_the_router() -> None:
    policy = dict.fromkeys(ALLOWED_FAILS_NAMES, 5)
    everything = {name: ["large"] for name in ("small", "mute")} | {"vectors": ["numbers"], "numbers": ["vectors2"]}
    groups = {**GROUPS, "vectors2": Group("embedding", deployments=2)}
    s = make(retry_policy={"TimeoutErrorRetries": 1}, allowed_fails_policy=policy, fallbacks=everything)
    assert reliability.problems(s, groups) == []
    made = reliability.router_settings(s, groups)
    assert made["retry_policy"]["TimeoutErrorRetries"] == 1
    assert made["allowed_fails_policy"] == policy
    assert "disable_cooldowns" not in made
    assert compiled(cooldowns=False)["disable_cooldowns"] is True


def test_a_limit_that_all_workers_share_is_answered_at_once() -> None:
    made = compiled(enforce_model_rate_limits=True, num_retries=2)
    assert made["optional_pre_call_checks"] == ["enforce_model_rate_limits"]
    assert made["retry_policy"]["RateLimitErrorRetries"] == 0
    assert made["retry_policy"]["InternalServerErrorRetries"] == 2


def test_the_proxy_in_front_outlasts_every_try_of_the_longest_chain() -> None:
    s = make(
        request_timeout=100,
        stream_timeout=150,
        retry_policy={"TimeoutErrorRetries": 1},
        fallbacks={"small": ["mute"], "mute": ["large"]},
    )
    assert longest_silence(s, GROUPS) == (900, "litellm_stream_timeout 150 x 2 tries x 3 model group(s) = 900 s")
    assert reliability.read_timeout(s, GROUPS) == 910
    assert reliability.read_timeout(make(proxy_read_timeout=7_200), GROUPS) == 7_200
    assert reliability.read_timeout(make(), GROUPS) == 610
    assert reliability.stop_seconds(make(drain_timeout=120)) == 135


def test_background_checks_are_shared_and_follow_the_interval() -> None:
    s = make(background_health_checks=True, health_check_interval=120, health_check_timeout=20)
    assert reliability.problems(s, GROUPS) == []
    assert reliability.general_settings_part(s) == {
        "health_check_details": False,
        "health_check_skip_disabled_background_models": True,
        "background_health_checks": True,
        "use_shared_health_check": True,
        "health_check_interval": 120,
        "health_check_concurrency": 2,
        "maximum_health_check_retention_period": "7d",
    }
    assert reliability.environment_part(s) == {
        "HEALTH_CHECK_TIMEOUT_SECONDS": "20",
        "DEFAULT_SHARED_HEALTH_CHECK_TTL": "108",
        "DEFAULT_SHARED_HEALTH_CHECK_LOCK_TTL": "120",
    }


def test_without_background_checks_no_model_is_asked_and_with_none_to_ask_they_are_refused() -> None:
    assert reliability.general_settings_part(make()) == {
        "health_check_details": False,
        "health_check_skip_disabled_background_models": True,
    }
    assert reliability.environment_part(make()) == {"HEALTH_CHECK_TIMEOUT_SECONDS": "30"}
    unasked = {name: Group(group.mode, group.context_window) for name, group in GROUPS.items()}
    assert reliability.problems(make(background_health_checks=True), unasked) == [
        "litellm_background_health_checks: no model's entry asks for them, so there is nothing to check"
    ]


NAMES = ("a", "b", "c", "d", "e", "f")
ALIASES = ("x", "y")
WINDOWS = st.none() | st.sampled_from([2_048, 8_192, 131_072])
ANY_GROUP = st.builds(
    Group, st.sampled_from(["chat", "embedding"]), WINDOWS, st.integers(1, 3), st.booleans(), st.integers(0, 2)
)
REST = {
    "routing_strategy": st.sampled_from(["simple-shuffle", "least-busy", "cost-based-routing", "lar1"]),
    "num_retries": st.integers(0, 5),
    "retry_policy": st.dictionaries(st.sampled_from(RETRY_NAMES), st.integers(0, 5)),
    "cooldowns": st.booleans(),
    "allowed_fails_policy": st.sampled_from([{}, dict.fromkeys(ALLOWED_FAILS_NAMES, 2)]),
    "enforce_model_rate_limits": st.booleans(),
    "request_timeout": st.integers(31, 6000),
    "background_health_checks": st.booleans(),
}


@st.composite
def sites(draw: st.DrawFn, sound: bool) -> tuple[dict[str, Any], dict[str, Group]]:
    """Model groups and settings for them; ``sound`` ones go from a group to later ones that can stand in for it."""
    groups = draw(st.dictionaries(st.sampled_from(NAMES), ANY_GROUP, min_size=2))
    data = draw(st.fixed_dictionaries({"routing_strategy_acknowledged": st.just(True)}, optional=REST))
    names = sorted(groups)
    data["groups"] = draw(st.dictionaries(st.sampled_from(ALIASES), st.sampled_from(names if sound else NAMES)))
    for key in ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks"):
        data[key] = {}
        for place, name in enumerate(names):
            fit = [
                other
                for other in names[place + 1 :]
                if groups[other].mode == groups[name].mode
                and (
                    key[:7] != "context" or (groups[other].context_window or 0) > (groups[name].context_window or 10**9)
                )
            ]
            chosen = fit if sound else [*NAMES, *ALIASES]
            if chosen and (targets := draw(st.lists(st.sampled_from(chosen), max_size=3, unique=True))):
                data[key][name] = targets
    # To the last ones, as the other lists do: a group that goes back to an earlier one may make a circle.
    last = st.sampled_from([[], names[-1:], names[-2:]])
    data["default_fallbacks"] = draw(last if sound else st.lists(st.sampled_from(NAMES), max_size=2, unique=True))
    if sound:
        for key in ("retry_policy", "allowed_fails_policy", "background_health_checks"):
            data.pop(key, None)
        data["num_retries"] = draw(st.integers(0, 1))
    return data, groups


@settings(max_examples=examples(300), deadline=None)
@given(sites(sound=True) | sites(sound=False))
def test_whatever_is_admitted_names_arguments_of_the_router_and_groups_there_are(
    site: tuple[dict[str, Any], dict[str, Group]],
) -> None:
    data, groups = site
    s = make(**data)
    made = reliability.router_settings(s, groups)  # never an exception, although it may be refused
    assert reliability.read_timeout(s, groups) > longest_silence(s, groups)[0]
    if reliability.problems(s, groups):
        return
    assert set(made) <= ROUTER_ARGUMENTS
    known = {*groups, *s.groups}
    for key in ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks"):
        for entry in made.get(key, []):
            ((source, targets),) = entry.items()
            assert source in known and targets and set(targets) <= known
            assert resolve(s, source) not in {resolve(s, target) for target in targets}
    for source, targets in chains(s, groups).get("context_window_fallbacks", {}).items():
        windows = [groups[resolve(s, name)].context_window or 0 for name in (source, *targets)]
        assert min(windows[1:]) > windows[0] > 0


@settings(max_examples=examples(100), deadline=None)
@given(sites(sound=True))
def test_sound_settings_are_admitted(site: tuple[dict[str, Any], dict[str, Group]]) -> None:
    data, groups = site
    assert reliability.problems(make(**data), groups) == []


def test_wrong_names_are_said_before_what_follows_from_them() -> None:
    assert len(wrong(num_retries=5, fallbacks={"small": ["nowhere"]})) == 1
