"""Rules about where the router goes next: aliases and fallbacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deploys.auditing.document import KeyPath
from deploys.auditing.findings import Edit, rename_key, set_value
from deploys.auditing.registry import P0, P1, Hit, at, rule
from deploys.auditing.subject import Subject

FALLBACKS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
SECTIONS = ("router_settings", "litellm_settings")


def pairs(s: Subject) -> Iterator[tuple[str, KeyPath, str, Any]]:
    """Every fallback as (kind, path, group, targets), from lists of one-key maps."""
    for section in SECTIONS:
        for kind in FALLBACKS:
            value = s.config.get(section, kind)
            for index, item in enumerate(value if isinstance(value, list) else []):
                for group, targets in item.items() if isinstance(item, dict) else ():
                    yield kind, (section, kind, index, group), str(group), targets


def with_fallbacks(s: Subject) -> set[str]:
    """Groups that have a plain fallback; `*` when all of them have."""
    found = {group for kind, _, group, _ in pairs(s) if kind == "fallbacks"}
    return found | ({"*"} if any(s.config.get(section, "default_fallbacks") for section in SECTIONS) else set())


@rule(
    "L04",
    P0,
    "model_group_alias that LiteLLM cannot read",
    effect="An alias of a list is ignored: it is not in /v1/models, and calls get 400. A mapping ends the router.",
    advice="An alias is one model's name, or {model: NAME, hidden: false}. "
    "Repeat one model_name for several deployments (with order or weight), or use fallbacks.",
    source="litellm/router_utils/common_utils.py:54; litellm/router.py:11640",
)
def alias_list(s: Subject) -> Iterator[Hit]:
    path: KeyPath = ("router_settings", "model_group_alias")
    for alias, target in s.config.section(*path).items():
        if isinstance(target, list):
            fix = set_value(s.config, (*path, alias), str(target[0])) if len(target) == 1 else []
            yield at(s, (*path, alias), f"{alias} leads to a list of {len(target)}", fix)
        elif isinstance(target, dict):
            missing = [name for name in ("model", "hidden") if name not in target]
            if missing:
                detail = f"{alias} is a mapping without {' and '.join(missing)}, and the router ends with a KeyError"
                yield at(s, (*path, alias), detail)


@rule(
    "L05",
    P1,
    "Context fallbacks that LiteLLM does not read",
    effect="Too long prompts fail instead of going to the larger model.",
    advice="router_settings.context_window_fallbacks: [{small: [big]}], a list of maps with one key each.",
    source="litellm/router.py:2395; litellm/utils.py:1928",
)
def context_fallbacks(s: Subject) -> Iterator[Hit]:
    for path, value in s.config.walk():
        if path[-1] == "context_window_fallback_dict":
            fix: list[Edit] = []
            if isinstance(value, dict) and path[:-1] == ("router_settings",):
                fix = rename_key(s.config, path, "context_window_fallbacks") if not value else []
            yield at(s, path, "context_window_fallback_dict is an argument of the Python library", fix)
    for section in SECTIONS:
        for kind in FALLBACKS:
            found = s.config.get(section, kind)
            if not s.config.has(section, kind) or found is None:
                continue
            well = isinstance(found, list) and all(isinstance(item, dict) and len(item) == 1 for item in found)
            if not well:
                bad = None if kind == "context_window_fallbacks" else P0
                yield at(s, (section, kind), f"{kind} is not a list of maps with one key each", severity=bad)


@rule(
    "R02",
    P1,
    "A fallback or alias that leads nowhere",
    effect="LiteLLM accepts it; the day the fallback is needed it fails too.",
    advice="Name a model_name of model_list, or an alias.",
    source="litellm/router.py:2395 (targets are not checked)",
)
def missing_targets(s: Subject) -> Iterator[Hit]:
    if not s.deployments or s.config.get("general_settings", "store_model_in_db") is True:
        return
    alias = s.config.get("router_settings", "model_group_alias")
    known = s.groups | set(alias if isinstance(alias, dict) else ())
    if any("*" in name for name in known):
        return
    for kind, path, group, targets in pairs(s):
        if group != "*" and group not in known:
            yield at(s, path, f"{kind}: there is no model {group!r}")
        for target in targets if isinstance(targets, list) else [targets]:
            if isinstance(target, str) and target not in known:
                yield at(s, path, f"{kind} of {group}: there is no model {target!r}")
            elif target == group:
                yield at(s, path, f"{kind}: {group} falls back to itself")
    for section in SECTIONS:
        default = s.config.get(section, "default_fallbacks")
        for index, target in enumerate(default if isinstance(default, list) else []):
            if isinstance(target, str) and target not in known:
                yield at(s, (section, "default_fallbacks", index), f"default_fallbacks: there is no model {target!r}")
    for name, target in (alias or {}).items() if isinstance(alias, dict) else ():
        goal = target.get("model") if isinstance(target, dict) else target
        if isinstance(goal, str) and goal not in known:
            yield at(s, ("router_settings", "model_group_alias", name), f"{name}: there is no model {goal!r}")


@rule(
    "R03",
    P1,
    "Fallbacks that go round in a circle",
    effect="When all of them fail, each request tries them again, up to five hops, before it fails too.",
    advice="Let fallbacks lead one way, to a model that has none.",
    source="litellm/router.py (max_fallbacks)",
)
def circles(s: Subject) -> Iterator[Hit]:
    leads: dict[str, list[str]] = {}
    where: dict[str, KeyPath] = {}
    for kind, path, group, targets in pairs(s):
        if kind == "fallbacks" and isinstance(targets, list):
            leads.setdefault(group, []).extend(str(target) for target in targets)
            where.setdefault(group, path)
    for start in leads:
        seen: set[str] = set()
        todo = [target for target in leads[start] if target != start]
        while todo:
            name = todo.pop()
            if name == start and start == min(seen | {start}):
                yield at(s, where[start], f"{start} comes back to itself over {', '.join(sorted(seen - {start}))}")
                break
            if name not in seen and name != start:
                seen.add(name)
                todo += leads.get(name, [])


@rule(
    "R04",
    P1,
    "A context fallback that is not larger",
    effect="A prompt that is too long for the first model is too long for the second.",
    advice="Lead to a model with more max_input_tokens.",
    source="litellm/router.py:2395",
)
def not_larger(s: Subject) -> Iterator[Hit]:
    size = {
        d.name: d.info["max_input_tokens"] for d in s.deployments if isinstance(d.info.get("max_input_tokens"), int)
    }
    for kind, path, group, targets in pairs(s):
        for target in targets if kind == "context_window_fallbacks" and isinstance(targets, list) else []:
            if group in size and str(target) in size and size[str(target)] <= size[group]:
                yield at(s, path, f"{target} takes {size[str(target)]} tokens, {group} takes {size[group]}")
