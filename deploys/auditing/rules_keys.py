"""Rules about names of keys: misspelt, in the wrong section, of another release, given twice, or of nobody."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deploys.auditing.document import KeyPath
from deploys.auditing.findings import move_key, remove_key, rename_key
from deploys.auditing.known import homes, names, near, place_of, releases_with, section_of
from deploys.auditing.registry import P0, P1, P2, Hit, at, rule
from deploys.auditing.subject import Subject

# Sections whose unknown keys LiteLLM passes on or keeps: one that resembles none may be meant for somebody else.
OPEN = ("litellm_params", "model_info")
DATA = "keys the released package reads, section by section (deploys/components/litellm/keys.py)"


def unknown(s: Subject) -> Iterator[tuple[str, KeyPath, str]]:
    """Keys that the release does not know, as (section, path, name)."""
    for path, _ in s.config.walk():
        section = section_of(path[:-1])
        if section is None or not isinstance(path[-1], str):
            continue
        known = names(s.version, section)
        if known and path[-1] not in known:
            yield section, path, path[-1]


@rule(
    "L38",
    P1,
    "A key that LiteLLM does not know",
    effect="It does nothing, and LiteLLM does not say so.",
    advice="Correct its name, or remove it.",
    source=DATA,
    general=True,
)
def unknown_key(s: Subject) -> Iterator[Hit]:
    for section, path, name in unknown(s):
        if homes(s.version, section, name) or releases_with(section, name):
            continue
        where = section if len(path) > 1 else "config.yaml"
        taken = s.config.section(*path[:-1]) if len(path) > 1 else s.config.data
        free = [key for key in names(s.version, section) if key not in taken]
        if close := near(name, free, strict=section in OPEN):
            fix = rename_key(s.config, path, close)
            yield at(s, path, f"{where} has no {name!r}; did you mean {close}?", fix)
        elif section == "litellm_params":
            yield at(s, path, f"{name!r} is unknown, and is sent to the provider as it is", severity=P2)
        elif section == "model_info":
            yield at(s, path, f"{name!r} is unknown, and is only shown in /model/info", severity=P2)
        elif section == "cache_params":
            yield at(s, path, f"{where} has no {name!r}, and LiteLLM does not start", remove_key(s.config, path), P0)
        else:
            yield at(s, path, f"{where} has no {name!r}", remove_key(s.config, path))


@rule(
    "K01",
    P1,
    "A key in the wrong section",
    effect="It does nothing there, and LiteLLM does not say so.",
    advice="Move it to the section that reads it.",
    source=DATA,
    general=True,
)
def wrong_section(s: Subject) -> Iterator[Hit]:
    for section, path, name in unknown(s):
        found = homes(s.version, section, name)
        if found:
            goal = place_of(found[0], path)
            fix = move_key(s.config, path, goal) if goal is not None else []
            detail = f"{name} belongs into {' or '.join(found)}, not into {section.replace('_level', ' level')}"
            yield at(s, path, detail, fix, P2 if section in OPEN else None)


@rule(
    "K02",
    P1,
    "A key of another release",
    effect="This release does not read it.",
    advice="Remove it, or install a release that has it.",
    source="keys of every supported release (deploys/components/litellm/keys.py)",
    general=True,
)
def other_release(s: Subject) -> Iterator[Hit]:
    for section, path, name in unknown(s):
        releases = releases_with(section, name)
        if releases and not homes(s.version, section, name):
            yield at(s, path, f"{section}.{name} is read by {', '.join(releases)}, and not by {s.version}")


@rule(
    "K03",
    P1,
    "A key given twice",
    effect="The last one counts, and nothing says so.",
    advice="Remove the one that is not meant.",
    source="PyYAML, safe_load",
)
def twice(s: Subject) -> Iterator[Hit]:
    for duplicate in s.config.duplicates:
        detail = f"{'.'.join(str(part) for part in duplicate.path)} is in line {duplicate.first.line} too"
        yield Hit(duplicate.place, detail, path=duplicate.path)


@rule(
    "K04",
    P1,
    "A variable that is misspelt",
    effect="LiteLLM does not read it, and does not say so.",
    advice="Correct its name.",
    source="variables the released package reads (deploys/components/litellm/keys.py)",
)
def misspelt_variable(s: Subject) -> Iterator[Hit]:
    known = names(s.version, "environment_variables")
    for name, variable in s.variables.items():
        if name.startswith(("LITELLM_", "LITELM_", "LITLLM_", "PROMETHEUS_MULTI", "REDIS_")) and name not in known:
            referred = any(value == f"os.environ/{name}" for _, value in s.config.walk())
            close = near(name, (other for other in known if other[:3] == name[:3]), strict=True)
            if known and close and not referred and close not in s.variables:
                yield Hit(variable.place, f"there is no {name}; did you mean {close}?")


@rule(
    "K05",
    P0,
    "An option that LiteLLM does not have",
    effect="It does not start: No such option.",
    advice="Correct it, or take it out.",
    source="litellm/proxy/proxy_cli.py (options of the released package)",
)
def unknown_option(s: Subject) -> Iterator[Hit]:
    known = names(s.version, "cli_options")
    for launch in s.launches:
        program = next(
            (at for at, word in enumerate(launch.words) if re.search(r"(^|/)litellm(-launch\.py)?$", word)), None
        )
        if program is None and not (launch.kind == "compose" and launch.words[:1] and launch.words[0][:2] == "--"):
            continue
        for word in launch.words[(program or 0) :]:
            name = word.partition("=")[0]
            if known and name.startswith("--") and len(name) > 2 and name not in known:
                close = near(name, known, strict=False)
                yield Hit(launch.place, f"there is no {name}" + (f"; did you mean {close}?" if close else ""))
