"""The keys that each known LiteLLM release reads, section by section, from payload/litellm/keys.

The data is what `scripts/extract_keys.py` found in the published packages. LiteLLM itself refuses almost no key.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType

DATA = Path(__file__).resolve().parents[3] / "payload" / "litellm" / "keys"
RELEASES = "releases.json"
# Sections that a configuration file has; the others list values, variables and options.
PLACES = (
    "top_level", "general_settings", "litellm_settings", "router_settings", "litellm_params", "model_info",
    "model_list", "cache_params", "coordination_redis", "callback_settings", "alerting_args", "retry_policy",
    "allowed_fails_policy",
)  # fmt: skip
# Names that are too different are no help; names with one more, fewer or other letter are.
ALIKE = 0.75


@dataclass(frozen=True)
class Key:
    """One key: its type in Python's words and its default, as far as the source says them.

    ``kind`` is how LiteLLM reads it. In ``litellm_settings``, ``explicit`` keys have code of their own and
    ``attribute`` ones are set on the module as they are. ``variable`` is the environment's name for an option.
    """

    name: str
    type: str = ""
    default: object = field(default=None, hash=False)
    kind: str = ""
    variable: str = ""


@dataclass(frozen=True)
class Keys:
    """What one release knows. ``release`` is the one whose keys these are, for the ``version`` that was asked for."""

    version: str
    release: str
    sections: Mapping[str, Mapping[str, Key]] = field(repr=False, hash=False)

    @property
    def exact(self) -> bool:
        """Whether these are the keys of the very version that was asked for."""
        return self.version == self.release

    @property
    def note(self) -> str:
        """A sentence on the release that stands in for an unknown one; empty when none has to."""
        if self.exact:
            return ""
        which = "the newest known before it" if _number(self.release) < _number(self.version) else "the oldest known"
        return f"the keys of LiteLLM {self.version} are not known; those of {self.release}, {which}, are used"

    def section(self, name: str) -> Mapping[str, Key]:
        """The keys of a section such as ``general_settings``, by name."""
        if name not in self.sections:
            raise KeyError(f"{name}: no such section; there are {', '.join(sorted(self.sections))}")
        return self.sections[name]

    def nearest(self, section: str, word: str) -> str:
        """The key of the section that ``word`` is most likely a misspelling of, or an empty string."""
        return _alike(word, self.section(section))

    def elsewhere(self, section: str, key: str) -> list[str]:
        """Other sections of the file in which ``key`` is real: where it may have been meant to be."""
        return [name for name in PLACES if name != section and key in self.sections.get(name, ())]


def _number(version: str) -> tuple[int, ...]:
    found = re.match(r"v?(\d+(?:\.\d+)*)", version)
    if found is None:
        raise ValueError(f"{version!r} is not a version of LiteLLM; write it as in 1.106.2")
    return tuple(int(part) for part in found.group(1).split("."))


def _alike(word: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(word, sorted(known), n=1, cutoff=ALIKE)
    return found[0] if found else ""


@cache
def supported() -> tuple[str, ...]:
    """Releases whose keys are known, oldest first."""
    return tuple(json.loads((DATA / RELEASES).read_text()))


@cache
def _spans() -> dict[str, dict[str, list[dict[str, object]]]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(DATA.glob("*.json")) if path.name != RELEASES}


def _covers(span: Mapping[str, object], at: int) -> bool:
    """Whether the release at this place of ``supported`` is in a span; an open end reaches as far as there are any."""
    order = supported()
    first, last = str(span.get("from", order[0])), str(span.get("to", order[-1]))
    return order.index(first) <= at <= order.index(last)


@cache
def known(version: str) -> Keys:
    """The keys of a release; of the nearest older known one (else the oldest) when this one's are not known."""
    older = [release for release in supported() if _number(release) <= _number(version)]
    release = older[-1] if older else supported()[0]
    at = supported().index(release)
    sections = {}
    for name, keys in _spans().items():
        found = {}
        for key, spans in keys.items():
            for span in spans:
                if _covers(span, at):
                    text = {word: str(span.get(word, "")) for word in ("type", "kind", "variable")}
                    found[key] = Key(key, default=span.get("default"), **text)
        sections[name] = MappingProxyType(found)
    return Keys(version.removeprefix("v"), release, MappingProxyType(sections))


def releases(section: str, key: str) -> tuple[str, ...]:
    """The known releases in which the section has this key, oldest first."""
    spans = _spans().get(section, {}).get(key, [])
    return tuple(release for at, release in enumerate(supported()) if any(_covers(span, at) for span in spans))


def history(section: str, key: str) -> tuple[str, str]:
    """Since and until when a section has a key, in words; empty where the known releases do not show a change."""
    having, order = releases(section, key), supported()
    if not having:
        return "", ""
    first, last = order.index(having[0]), order.index(having[-1])
    since = f"appears in {having[0]}, not in {order[first - 1]}" if first else ""
    until = f"is in {having[-1]}, no longer in {order[last + 1]}" if last + 1 < len(order) else ""
    return since, until


def nearest(section: str, word: str, version: str = "") -> str:
    """The key of a section that ``word`` is most likely a misspelling of, in this or the newest known release."""
    return known(version or supported()[-1]).nearest(section, word)


def elsewhere(section: str, key: str, version: str = "") -> list[str]:
    """Other sections of the file in which ``key`` is real, in this or the newest known release."""
    return known(version or supported()[-1]).elsewhere(section, key)
