"""Rules about values of the wrong kind: a list where a mapping is read, a text where a number or a switch is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from deploys.auditing.document import KeyPath
from deploys.auditing.findings import set_value
from deploys.auditing.known import names, section_of, type_of
from deploys.auditing.masking import read_mark
from deploys.auditing.registry import P0, P1, P2, Hit, at, rule
from deploys.auditing.rules_timeouts import WHOLE
from deploys.auditing.subject import Subject

MAPPINGS = ("litellm_settings", "router_settings", "general_settings", "environment_variables")
NUMBERS = ("int", "float", "int | None", "float | None")
SWITCHES = ("bool", "bool | None")
# Numbers by their use, of a type that takes a text for the sake of references.
TIMES = ("timeout", "stream_timeout", "request_timeout")
# Where another rule says more.
EXPLAINED = {("litellm_settings", "json_logs"), *(("general_settings", key) for key in WHOLE)}
NUMBER = re.compile(r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def kind(value: Any) -> str:
    """What a value of YAML is, in words."""
    kinds = {dict: "a mapping", list: "a list", str: "a text", bool: "true or false"}
    return kinds.get(type(value), "a number")


@rule(
    "K06",
    P0,
    "A section of the wrong shape",
    effect="LiteLLM does not start; of router_settings it reads nothing, and does not say so.",
    advice="model_list is a list of entries (- model_name: ...); the other sections are mappings (key: value).",
    source="litellm/proxy/proxy_server.py:6362-7240",
)
def wrong_shape(s: Subject) -> Iterator[Hit]:
    for section, wanted, word in [*((name, dict, "a mapping") for name in MAPPINGS), ("model_list", list, "a list")]:
        value = s.config.get(section)
        # Nothing, or an empty value, is as good as no section.
        if value and not isinstance(value, wanted):
            # The router's alone is looked at before it is used (proxy_server.py:7229).
            silent = section == "router_settings"
            what = "ignores it without a word" if silent else "does not start with this"
            detail = f"{section} is {kind(value)}; LiteLLM needs {word} and {what}"
            yield at(s, (section,), detail, severity=P1 if silent else None)
    entries = s.config.get("model_list")
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        if not isinstance(entry, dict):
            yield at(s, ("model_list", index), f"an entry of model_list is {kind(entry)}; LiteLLM needs a mapping")
        elif "litellm_params" in entry and not isinstance(entry["litellm_params"], dict):
            value = entry["litellm_params"]
            shown = "empty" if value is None else kind(value)
            yield at(s, ("model_list", index, "litellm_params"), f"litellm_params is {shown}; LiteLLM needs a mapping")


@rule(
    "K07",
    P1,
    "A text where LiteLLM needs a number or a switch",
    effect='It is compared or counted with at run time and fails there; any text, even "false", counts as true.',
    advice="Write the number, or true or false, without quotes and without a unit.",
    source="types the released package declares (deploys/components/litellm/keys.py)",
)
def text_for_number(s: Subject) -> Iterator[Hit]:
    for path, value in s.config.walk():
        if not isinstance(value, str) or not isinstance(path[-1], str) or "/" in value or "$" in value:
            continue
        section = section_of(path[:-1])
        if section is None or path in EXPLAINED or read_mark(value) or "{{" in value:
            continue
        yield from _judged(s, path, value, type_of(s.version, section, path[-1]))


def _judged(s: Subject, path: KeyPath, value: str, declared: str) -> Iterator[Hit]:
    number = NUMBER.fullmatch(value)
    if declared in SWITCHES:
        low = value.lower()
        fix = set_value(s.config, path, low) if low in ("true", "false") else []
        yield at(s, path, f"{path[-1]}: {value!r} is a text; LiteLLM needs true or false", fix)
    elif declared in NUMBERS:
        # YAML takes 1e-6 for a text, and LiteLLM makes a number of it.
        small = number and "e" in value.lower()
        fix = set_value(s.config, path, value) if number and not small else []
        yield at(s, path, f"{path[-1]}: {value!r} is a text; LiteLLM needs a number", fix, P2 if small else None)
    elif path[-1] in TIMES and not number:
        yield at(s, path, f"{path[-1]}: {value!r} is no number of seconds")


# Keys whose values are words of a list, with the list that the release knows.
WORDS: dict[KeyPath, str] = {
    ("litellm_settings", "cache_params", "type"): "cache_types",
    ("litellm_settings", "cache_params", "supported_call_types"): "cache_call_types",
    ("general_settings", "alert_types"): "alert_types",
}


@rule(
    "K08",
    P1,
    "A word that LiteLLM does not know",
    effect="Nothing answers to it: no cache, nothing cached for that call, or no alert.",
    advice="Use one of the words that the release knows.",
    source="litellm/types/caching.py; litellm/proxy/_types.py (through deploys/components/litellm/keys.py)",
)
def unknown_word(s: Subject) -> Iterator[Hit]:
    for path, section in WORDS.items():
        value, known = s.config.get(*path), names(s.version, section)
        for word in value if isinstance(value, list) else [value]:
            if isinstance(word, str) and known and word not in known and "/" not in word:
                yield at(s, path, f"{path[-1]}: {word!r} is none of {', '.join(sorted(known))}")


@rule(
    "K09",
    P1,
    "default_fallbacks that is no list",
    effect="A text is gone through letter by letter, and each letter is asked for as a model.",
    advice="default_fallbacks: [MODEL]",
    source="litellm/router.py:1261",
)
def fallbacks_as_text(s: Subject) -> Iterator[Hit]:
    for section in ("router_settings", "litellm_settings"):
        value = s.config.get(section, "default_fallbacks")
        if value and not isinstance(value, list):
            fix = set_value(s.config, (section, "default_fallbacks"), f"[{value}]") if isinstance(value, str) else []
            yield at(s, (section, "default_fallbacks"), f"default_fallbacks is {kind(value)}", fix)


@rule(
    "M02",
    P1,
    "Two deployments with one id",
    effect="The id is the deployment: cooldown, limits and statistics of both are mixed, and one may hide the other.",
    advice="Give each its own model_info.id, or none.",
    source="litellm/router.py (model_info.id as the deployment's key)",
)
def same_id(s: Subject) -> Iterator[Hit]:
    seen: dict[str, str] = {}
    for d in s.deployments:
        own = d.info.get("id")
        if isinstance(own, (str, int)) and str(own) in seen:
            yield at(s, d.path("model_info", "id"), f"the id {str(own)!r} is of {seen[str(own)]} and of {d.name}")
        elif isinstance(own, (str, int)):
            seen[str(own)] = d.name


@rule(
    "D04",
    P0,
    "Spend logs kept for no time",
    effect="Every clean-up deletes all spend logs there are.",
    advice='A period such as "30d"; to write none at all, general_settings.disable_spend_logs: true.',
    source="litellm/proxy/db/db_transaction_queue/spend_log_cleanup.py:594",
)
def kept_for_nothing(s: Subject) -> Iterator[Hit]:
    path: KeyPath = ("general_settings", "maximum_spend_logs_retention_period")
    value = s.config.get(*path)
    if not isinstance(value, bool) and re.fullmatch(r"0+(s|m|h|d|w|mo)?", str(value)):
        yield at(s, path, f"{path[-1]} is {value}", set_value(s.config, path, "30d"))
