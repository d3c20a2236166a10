"""The keys that a LiteLLM release knows, as the audit asks for them: a thin layer over litellm_keys."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cache

from deploys.auditing.document import KeyPath
from deploys.components.litellm import keys as litellm_keys
from deploys.components.litellm.settings import DEFAULT_VERSION

# Where in a configuration each section of the data stands; `*` is any entry of a list, or any name.
SECTIONS: dict[KeyPath, str] = {
    (): "top_level",
    ("litellm_settings",): "litellm_settings",
    ("router_settings",): "router_settings",
    ("general_settings",): "general_settings",
    ("litellm_settings", "cache_params"): "cache_params",
    ("router_settings", "cache_kwargs"): "cache_params",
    ("general_settings", "alerting_args"): "alerting_args",
    ("general_settings", "coordination_redis"): "coordination_redis",
    ("model_list", "*"): "model_list",
    ("model_list", "*", "litellm_params"): "litellm_params",
    ("model_list", "*", "model_info"): "model_info",
    ("router_settings", "retry_policy"): "retry_policy",
    ("router_settings", "allowed_fails_policy"): "allowed_fails_policy",
}
# Sections that are a place a misplaced key may belong to, likeliest first.
HOMES = ("router_settings", "general_settings", "litellm_settings", "litellm_params", "model_info", "cache_params")


def assumed() -> str:
    """The release that is assumed when nothing says which one it is: the one Portcullis installs."""
    return DEFAULT_VERSION


def standing_in(version: str) -> str:
    """Why another release's keys are used for ``version``; empty when its own are known."""
    return litellm_keys.known(version).note


def section_of(path: KeyPath) -> str | None:
    """The section whose keys stand at ``path``."""
    return SECTIONS.get(tuple("*" if isinstance(part, int) else part for part in path))


@cache
def names(version: str, section: str) -> frozenset[str]:
    """What a release knows in ``section``; for a release that is not known, the nearest one."""
    return frozenset(litellm_keys.known(version).sections.get(section, ()))


def type_of(version: str, section: str, key: str) -> str:
    """The type that a release declares for ``key``; empty when it declares none."""
    found = litellm_keys.known(version).sections.get(section, {}).get(key)
    if found and not found.type and isinstance(found.default, bool):
        return "bool"
    return found.type if found else ""


def releases_with(section: str, key: str) -> tuple[str, ...]:
    """Known releases whose ``section`` has ``key``, oldest first."""
    return litellm_keys.releases(section, key)


def homes(version: str, section: str, key: str) -> list[str]:
    """Other sections that know ``key``, likeliest first; of a model's entry only when no other does."""
    found = [name for name in HOMES if name != section and key in names(version, name)]
    if section == "model_list" and (own := [name for name in found if name in ("litellm_params", "model_info")]):
        return own[:1]
    return [name for name in found if name not in ("litellm_params", "model_info")] or found


def place_of(section: str, path: KeyPath) -> KeyPath | None:
    """Where ``section`` stands for a key at ``path``: of the same entry, when it is one of an entry."""
    for goal, name in SECTIONS.items():
        if name == section and "*" not in goal:
            return goal
        if name == section and path[:1] == goal[:1] and len(path) > 1:
            return (*path[:2], *goal[2:])
    return None


def near(word: str, known: Iterable[str], strict: bool) -> str:
    """The known name that ``word`` is a misspelling of; empty when it resembles none."""
    found = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.86 if strict else 0.75)
    return found[0] if found else ""
