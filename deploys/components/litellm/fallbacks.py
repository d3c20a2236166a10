"""What answers when a model group cannot: fallbacks for errors, long prompts and refused contents, and their rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from deploys.components.litellm.routing import Group, RoutingSettings, resolve, unknown

Chains = dict[str, list[str]]

# Router goes this many steps from group to group, then gives up (ROUTER_MAX_FALLBACKS of litellm/constants.py).
MAX_HOPS = 5
MAPS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")


class FallbackSettings(RoutingSettings):
    """Which model groups are tried, in which order, when one fails."""

    fallbacks: dict[str, list[str]] = Field(
        default_factory=dict,
        description='Model groups to try when one fails, after its retries: `{"qwen3-8b": ["gpt-oss-120b"]}`. '
        "Between embedding models only where both make the same vectors.",
    )
    context_window_fallbacks: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Model groups with a larger context window, for prompts that a group's own does not hold. A group "
        "that is not named here goes on to those of its `litellm_fallbacks` that are known to be larger.",
    )
    content_policy_fallbacks: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Model groups to try when a provider's content filter refuses the prompt. A group that is not "
        "named here goes on to its `litellm_fallbacks`.",
    )
    default_fallbacks: list[str] = Field(
        default_factory=list,
        description="Model groups to try for every group of the same mode that has no `litellm_fallbacks` of its own; "
        "for a group of this list, those after it.",
    )

    @field_validator(*MAPS)
    @classmethod
    def _fallback_lists(cls, value: Chains) -> Chains:
        for group, targets in value.items():
            if not targets:
                raise ValueError(f"{group!r} has an empty list; leave it out")
            if "*" in (group, *targets):
                raise ValueError("'*' is not a model group; use litellm_default_fallbacks")
            if twice := [name for name in dict.fromkeys(targets) if targets.count(name) > 1]:
                raise ValueError(f"{group!r} names {twice[0]!r} twice; LiteLLM tries it once")
        return value


def _usual(s: FallbackSettings, name: str, groups: Mapping[str, Group]) -> list[str]:
    """What ``name`` falls back on for any error: its own list, or the default one without itself and other modes.

    The default list is given to each group by name: under LiteLLM's own ``default_fallbacks`` it is the list of every
    group, so an embedding would be asked of a chat model, and it is not used after a first step.
    """
    if name in s.fallbacks:
        return s.fallbacks[name]
    group = groups.get(resolve(s, name))
    default = [resolve(s, target) for target in s.default_fallbacks]
    # One of the list goes on to later ones only: two groups of it would send a request to and fro.
    later = default.index(resolve(s, name)) + 1 if resolve(s, name) in default else 0
    return [
        target
        for target in s.default_fallbacks[later:]
        if resolve(s, target) != resolve(s, name)
        and group is not None
        and groups.get(resolve(s, target), group).mode == group.mode
    ]


def _larger(s: FallbackSettings, name: str, targets: list[str], groups: Mapping[str, Group]) -> list[str]:
    """Those of ``targets`` whose context window is known to be larger than that of ``name``."""
    unknown_window = Group(mode="")
    own = groups.get(resolve(s, name), unknown_window).context_window
    windows = {target: groups.get(resolve(s, target), unknown_window).context_window for target in targets}
    return [target for target, window in windows.items() if own is not None and window is not None and window > own]


def compiled(s: FallbackSettings, groups: Mapping[str, Group]) -> dict[str, Chains]:
    """The three maps as LiteLLM must be told them, without what is empty.

    Two things its documentation does not say were found by running 1.106.2. It looks a request up under the name the
    client used, so an alias has none of its group's fallbacks unless they are repeated for it. And as soon as one
    group has a context window (or content policy) fallback, the others lose their usual ones for that error.
    """
    made: dict[str, Chains] = {key: {} for key in MAPS}
    # A group first, so that what stands under another name can be copied from it.
    for name in (*groups, *(alias for alias in s.groups if alias not in groups)):
        group = resolve(s, name)
        usual = _usual(s, name, groups) if name in s.fallbacks else _usual(s, group, groups)
        if usual:
            made["fallbacks"][name] = usual
        for key in MAPS[1:]:
            own: Chains = getattr(s, key)
            if not own:
                continue
            fitting = _larger(s, group, usual, groups) if key == "context_window_fallbacks" else usual
            if chosen := own.get(name) or own.get(group) or fitting:
                made[key][name] = chosen
    return {key: chains for key, chains in made.items() if chains}


def fallback_settings(s: FallbackSettings, groups: Mapping[str, Group]) -> dict[str, Any]:
    """The part of ``router_settings`` about fallbacks: lists of maps with one key each, the only form that works."""
    # Each list a copy of its own: YAML writes one list under two names as an anchor and a reference to it.
    return {
        key: [{name: list(targets)} for name, targets in chains.items()] for key, chains in compiled(s, groups).items()
    }


def _edge_problems(
    s: FallbackSettings, groups: Mapping[str, Group], key: str, source: str, targets: list[str]
) -> list[str]:
    """What is wrong with the way from ``source`` to each of ``targets``, all of which are known."""
    found = []
    name, own = f"litellm_{key}", groups[resolve(s, source)]
    for target in targets:
        other = groups[resolve(s, target)]
        if resolve(s, target) == resolve(s, source):
            found.append(f"{name}: {source!r} falls back on itself")
        elif other.mode != own.mode:
            found.append(
                f"{name}: {source!r} is of mode {own.mode} and {target!r} of mode {other.mode}; a request for one is "
                "no request for the other"
            )
        elif key == "context_window_fallbacks":
            windows = {source: own.context_window, target: other.context_window}
            if unsaid := [each for each, window in windows.items() if window is None]:
                found.append(
                    f"{name}: the context window of {' and '.join(map(repr, unsaid))} is not known, so nothing says "
                    f"that {target!r} is larger than {source!r}; give it in the model's entry"
                )
            elif (other.context_window or 0) <= (own.context_window or 0):
                found.append(
                    f"{name}: {target!r} holds {other.context_window:,} tokens and {source!r} "
                    f"{own.context_window:,}; a prompt that is too long for one is so for the other"
                )
    return found


def _graphs(s: FallbackSettings, groups: Mapping[str, Group]) -> list[dict[str, list[str]]]:
    """Every way from group to group that LiteLLM is told of, by the default list too: all of them, then map by map."""
    every: dict[str, list[str]] = {}
    made = [every]
    for chains in compiled(s, groups).values():
        made.append({})
        for source, targets in chains.items():
            for ways in (every, made[-1]):
                own = ways.setdefault(resolve(s, source), [])
                own += [target for target in (resolve(s, each) for each in targets) if target not in own]
    return made


def _left_out(ways: Mapping[str, list[str]], start: str) -> list[str]:
    """Groups that ``start`` leads to, and that its own list does not name."""
    seen = [start]
    for name in seen:
        seen += [target for target in ways.get(name, []) if target not in seen]
    return [name for name in seen[1:] if name not in ways.get(start, [])]


def _cycle(ways: Mapping[str, list[str]]) -> list[str]:
    """A circle in ``ways``, its first group named again at its end; empty when there is none."""
    finished: set[str] = set()

    def follow(path: list[str]) -> list[str]:
        for target in ways.get(path[-1], []):
            if target in path and target != path[-1]:
                return [*path[path.index(target) :], target]
            if target not in finished and target not in path and (circle := follow([*path, target])):
                return circle
        finished.add(path[-1])
        return []

    return next((circle for start in ways if start not in finished and (circle := follow([start]))), [])


def _too_long(graphs: list[dict[str, list[str]]]) -> list[str]:
    """The longest way, of those that LiteLLM would not go to their end, in ``graphs`` without a circle.

    Groups of a list are all asked, however many they are (found by running 1.106.2): the steps count where a group is
    reached through others only.
    """
    seen: dict[str, list[str]] = {}
    ways = graphs[0]

    def follow(name: str) -> list[str]:
        if name not in seen:
            targets = [target for target in ways.get(name, []) if target != name]
            seen[name] = [name, *max(map(follow, targets), key=len, default=[])]
        return seen[name]

    paths = [follow(name) for name in ways]
    long = [path for path in paths if len(path) - 1 > MAX_HOPS and any(_left_out(graph, path[0]) for graph in graphs)]
    return max(long, key=len, default=[])


def fallback_problems(s: FallbackSettings, groups: Mapping[str, Group]) -> list[str]:
    """What is wrong with the fallbacks, given the model groups there are."""
    found = []
    known = {*groups, *s.groups}
    for key in MAPS:
        for source, targets in getattr(s, key).items():
            strange = [name for name in (source, *targets) if resolve(s, name) not in groups]
            found += [unknown(f"litellm_{key}", "", name, known) for name in strange]
            if not strange:
                found += _edge_problems(s, groups, key, source, targets)
    found += [
        unknown("litellm_default_fallbacks", "", name, known)
        for name in s.default_fallbacks
        if resolve(s, name) not in groups
    ]
    graphs = _graphs(s, groups)
    if circle := _cycle(graphs[0]):
        found.append(
            f"litellm_fallbacks: {' -> '.join(circle)} is a circle, counting context window and content policy "
            "fallbacks; take one of its steps out"
        )
    elif path := _too_long(graphs):
        found.append(
            f"litellm_fallbacks: {' -> '.join(path)} takes {len(path) - 1} steps and LiteLLM takes {MAX_HOPS}; let the "
            f"list of {path[0]!r} name all of them, and they are all asked"
        )
    return found
