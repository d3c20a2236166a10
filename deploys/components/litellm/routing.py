"""How LiteLLM picks a deployment: the strategy, the names of capability groups, and what it checks before a call."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from deploys.components.litellm.provider_rules import NAME, RESERVED, SELFTEST
from deploys.lib.settings import Settings, nearest

# What upstream says against a strategy, or what it does that nobody expects. Router of 1.106.2 accepts every one.
_USAGE = (
    'upstream: "Usage-based routing is not recommended for production due to performance impacts"; it asks Redis about '
    "every deployment before every call (https://docs.litellm.ai/docs/routing)"
)
WARNED: dict[str, str] = {
    "usage-based-routing": f"{_USAGE}, and this first version of it does so with calls that stop the whole worker",
    "usage-based-routing-v2": _USAGE,
    "lar1": "it is not documented, and routes only requests that carry LAR-1 metadata",
}

# This one answers 429 to a request above an entry's rpm or tpm by itself.
LIMITS = "usage-based-routing-v2"


@dataclass(frozen=True)
class Group:
    """A model group: every deployment that answers to one public name.

    ``context_window`` is the smallest of its deployments, in tokens, or None when one of them is not known; ``local``
    says that one of them computes on a host of this site; ``health_checked`` is how many ask for background checks.
    """

    mode: str
    context_window: int | None = None
    deployments: int = 1
    local: bool = False
    health_checked: int = 0


class Alias(Settings):
    """A capability group that is not shown to clients."""

    model: str = Field(description="The model group that answers.")
    hidden: bool = Field(False, description="Left out of /v1/models.")


def _strategy(value: object) -> object:
    if value == "provider-budget-routing":
        # Accepted at the start, and then every call is answered "No deployments available".
        raise ValueError("LiteLLM has no such way of choosing: it is switched on by provider budgets alone")
    return value


def _alias(value: object) -> object:
    if isinstance(value, list | tuple):
        raise ValueError(
            "is a list, which LiteLLM ignores in silence: the name is unknown to clients. A capability group is one "
            "model group; give several entries that group's name, or name one group here and the others in "
            "litellm_fallbacks"
        )
    return value


Strategy = Annotated[
    Literal[
        "simple-shuffle",
        "least-busy",
        "latency-based-routing",
        "cost-based-routing",
        "usage-based-routing",
        "usage-based-routing-v2",
        "lar1",
    ],
    BeforeValidator(_strategy),
]
Target = Annotated[str | Alias, BeforeValidator(_alias)]


class RoutingSettings(Settings):
    """Which deployment of a model group answers, and under which other names groups can be asked for."""

    routing_strategy: Strategy = Field(
        "simple-shuffle",
        description="How a deployment of a model group is chosen. `simple-shuffle`: at random, by the entries' weights "
        "(or rpm, or tpm); upstream's advice for production. `least-busy`: the one with the fewest requests in flight. "
        "`latency-based-routing`: the one that answered fastest lately. `cost-based-routing`: the cheapest. "
        "`usage-based-routing`, `usage-based-routing-v2` and `lar1` need `litellm_routing_strategy_acknowledged`.",
    )
    routing_strategy_acknowledged: bool = Field(
        False, description="Use a routing strategy that upstream warns of, all the same."
    )
    groups: dict[str, Target] = Field(
        default_factory=dict,
        description='Other names for model groups: `{"code": "qwen3-8b"}`, or `{"code": {"model": "qwen3-8b", '
        '"hidden": True}}` to leave the name out of /v1/models. What a name falls back on is that of its group.',
    )
    enable_pre_call_checks: bool = Field(
        True,
        description="Before a call, leave out deployments whose context window is too small for it, or whose rpm is "
        "used up in this worker.",
    )
    enforce_model_rate_limits: bool = Field(
        False,
        description="Make the entries' rpm and tpm hard limits that all workers and gateways share through Redis; "
        "a call above them is answered 429.",
    )

    tag_routing: bool = Field(
        False,
        description="Let a request's tags choose among a group's entries: those with one of its tags answer, and those "
        "tagged `default` when none has.",
    )

    @field_validator("groups")
    @classmethod
    def _names(cls, value: dict[str, Target]) -> dict[str, Target]:
        for name in value:
            if not re.fullmatch(NAME, name):
                raise ValueError(f"{name!r} is not a name; write letters, digits and . _ : / @ + -")
            if name == SELFTEST:
                # Every probe, and every test of a new key, would ask a model that costs money.
                raise ValueError(f"{name!r} is a model of Portcullis; choose another name")
            if name in RESERVED:
                raise ValueError(f"{name!r} means something else to LiteLLM; choose another name")
        return value

    @model_validator(mode="after")
    def _strategy_acknowledged(self) -> RoutingSettings:
        why = WARNED.get(self.routing_strategy)
        if why and not self.routing_strategy_acknowledged:
            raise ValueError(
                f"litellm_routing_strategy: {self.routing_strategy} is refused: {why}. Use simple-shuffle, or set "
                "litellm_routing_strategy_acknowledged = True"
            )
        return self


def target_of(alias: str | Alias) -> str:
    """The model group an alias stands for."""
    return alias.model if isinstance(alias, Alias) else alias


def resolve(s: RoutingSettings, name: str) -> str:
    """The model group behind ``name``, which may be one of the other names."""
    return target_of(s.groups[name]) if name in s.groups else name


def unknown(key: str, where: str, name: str, known: Iterable[str]) -> str:
    """A sentence that says that ``name`` is no model group, and which one it may have been meant to be."""
    names = sorted(known)
    what = f"{where}{name!r}, which is" if where else f"{name!r} is"
    return f"{key}: {what} not a model group{nearest(name, names)} (known: {', '.join(names) or 'none'})"


def model_group_alias(s: RoutingSettings) -> dict[str, str | dict[str, Any]]:
    """The other names as LiteLLM reads them."""
    return {
        # Router of 1.106.2 ends with KeyError: 'hidden' when an entry of this form does not have both.
        name: {"model": entry.model, "hidden": entry.hidden} if isinstance(entry, Alias) and entry.hidden else target
        for name, entry in s.groups.items()
        for target in [target_of(entry)]
    }


def routing(s: RoutingSettings) -> dict[str, Any]:
    """The part of ``router_settings`` about choosing a deployment."""
    made: dict[str, Any] = {
        "routing_strategy": s.routing_strategy,
        "enable_pre_call_checks": s.enable_pre_call_checks,
    }
    if s.enforce_model_rate_limits:
        made["optional_pre_call_checks"] = ["enforce_model_rate_limits"]
    if s.tag_routing:
        made["enable_tag_filtering"] = True
    if s.groups:
        made["model_group_alias"] = model_group_alias(s)
    return made


def routing_problems(s: RoutingSettings, groups: Mapping[str, Group]) -> list[str]:
    """What is wrong with the strategy and the other names of model groups, given the groups there are."""
    found = []
    if s.enforce_model_rate_limits and s.routing_strategy == LIMITS:
        # Both add to the same counter: with rpm 4 the third request was refused.
        found.append(
            f"litellm_enforce_model_rate_limits: {LIMITS} keeps to the entries' limits by itself, and with both "
            "LiteLLM counts every request twice; leave it out"
        )
    for name, entry in s.groups.items():
        target = target_of(entry)
        if name in groups:
            # LiteLLM looks for an alias first: the group's own deployments would never be asked again.
            found.append(
                f"litellm_groups: {name!r} is the name of a model group already, whose requests would all go to "
                f"{target!r}; choose another name"
            )
        if target in s.groups:
            found.append(
                f"litellm_groups: {name!r} stands for {target!r}, which is such a name itself; LiteLLM goes one step "
                f"only: name the model group, {resolve(s, target)!r}"
            )
        elif target not in groups:
            found.append(unknown("litellm_groups", f"{name!r} stands for ", target, groups))
    return found
