"""The compiler's own check: no key may be rendered that the installed LiteLLM does not read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deploys.components.litellm.keys import Keys, history, known


def _placed(config: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Every key of a rendered config.yaml: where a person sees it, the section whose keys count there, its name."""
    for name, value in config.items():
        yield "", "top_level", name
        if name == "model_list":
            for entry in value:
                where = f"model {entry['model_name']}"
                yield from ((where, "model_list", key) for key in entry)
                yield from ((f"{where}, litellm_params", "litellm_params", key) for key in entry["litellm_params"])
                yield from ((f"{where}, model_info", "model_info", key) for key in entry.get("model_info", ()))
        else:
            yield from ((name, name, key) for key in value)
    inner = (
        ("litellm_settings", "cache_params"),
        ("general_settings", "coordination_redis"),
        ("router_settings", "retry_policy"),
        ("router_settings", "allowed_fails_policy"),
    )
    for outer, section in inner:
        yield from ((f"{outer}.{section}", section, key) for key in config.get(outer, {}).get(section, ()))


def unknown_to(version: str, config: Mapping[str, Any]) -> list[str]:
    """Keys of a rendered config.yaml that LiteLLM ``version`` does not read, each in a sentence.

    LiteLLM drops such a key in silence, or ends (an unknown ``cache_params``): a setting that the version lacks is
    refused here, before anything changes.
    """
    keys: Keys = known(version)
    found = []
    for where, section, key in _placed(config):
        if key in keys.section(section):
            continue
        since, until = history(section, key)
        when = f"; it {since or until}" if since or until else ""
        found.append(
            f"litellm_version: {version} does not read {key!r} ({where or 'config.yaml'}), which these settings need"
            f"{when}; choose another version, or leave the setting at its default"
        )
    return list(dict.fromkeys(found))
