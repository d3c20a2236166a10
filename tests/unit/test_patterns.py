"""A text of the wrong form is answered in words: nobody has to read a regular expression."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import Field, StringConstraints

from deploys.components import COMPONENTS
from deploys.lib.host_settings import HostSettings
from deploys.lib.patterns import URL, URL_NO_SLASH, URL_OR_FILE, worded, words_of
from deploys.lib.settings import Settings, SettingsError, settings_from
from tests.unit import site


def patterns(schema: Any, where: str) -> Iterator[tuple[str, str]]:
    """Every pattern in a JSON schema, of values and of the names in a map, with where it stands."""
    for key, value in schema.items() if isinstance(schema, dict) else enumerate(schema):
        if key == "pattern" and isinstance(value, str):
            yield where, value
        elif key == "patternProperties":
            yield from ((where, pattern) for pattern in value)
        if isinstance(value, dict | list):
            yield from patterns(value, f"{where}/{key}")


def every() -> list[tuple[str, str]]:
    classes: list[tuple[str, type[Settings]]] = [("", HostSettings), *((c.name, c.settings) for c in COMPONENTS)]
    return [found for name, cls in classes for found in patterns(cls.model_json_schema(), name)]


def test_every_field_with_a_pattern_has_words_for_it() -> None:
    found = every()
    assert len(found) > 30 and any("$defs" in where for where, _ in found)
    assert [f"{where}: {pattern}" for where, pattern in found if not words_of(pattern)] == []


def test_words_have_no_pattern_in_them_and_their_examples_match() -> None:
    examples = 0
    for where, pattern in every():
        words = words_of(pattern)
        assert not re.search(r"\[|\^|\\d|\{\d", words), where
        for example in re.findall(r"such as ((?:Sun )?[^\s,()]+)", words):
            examples += 1
            assert re.fullmatch(pattern, example), (where, example)
    assert examples > 10


def test_a_pattern_has_one_meaning() -> None:
    assert worded("^unheard of$", "unheard of") == worded("^unheard of$", "unheard of") == "^unheard of$"
    with pytest.raises(ValueError, match="has other words already: unheard of"):
        worded("^unheard of$", "something else")


Name = Annotated[str, StringConstraints(pattern=worded("^[a-c]$", "a, b or c"))]


class Inner(Settings):
    names: list[Name] = Field(default_factory=list)


class Outer(Settings):
    one: Name | None = None
    bare: str = Field("x", pattern="^x$")
    inner: dict[Name, Inner] = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"x_one": "d"}, "x_one: must be a, b or c (given: 'd')"),
        ({"x_inner": {"a": {"names": ["b", "q"]}}}, "x_inner.a.names[1]: must be a, b or c (given: 'q')"),
        ({"x_bare": "y"}, "x_bare: String should match pattern '^x$' (given: 'y')"),
    ],
)
def test_the_words_are_said_wherever_the_pattern_stands(data: Any, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_from(data, "x_", Outer, site.resolve)
    assert caught.value.problems == [sentence]


def test_a_name_in_a_map_is_answered_in_words_too() -> None:
    with pytest.raises(SettingsError) as caught:
        settings_from({"x_inner": {"Z": {}}}, "x_", Outer, site.resolve)
    (found,) = caught.value.problems
    assert "must be a, b or c" in found and "Z" in found, found


@pytest.mark.parametrize("pattern", [URL, URL_NO_SLASH, URL_OR_FILE])
@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("https://mirror.example.org/a?X-Signature=b@c&d=1", True),
        ("http://[fd00::5]:8080/a/b", True),
        ("https://bob:hunter2@mirror.example.org/a", False),
        ("https://bob@mirror.example.org/a", False),
        ("https://bob:hunt/er2@mirror.example.org/a", False),
        ("https://mirror.example.org/a b", False),
        ("https://mirror.example.org/'", False),
        ("https:///a", False),
    ],
)
def test_an_address_has_no_password_before_its_host(pattern: str, address: str, good: bool) -> None:
    assert bool(re.search(pattern, address)) is good


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    for password in ("hunter2", "hunt@er2", "hunt er2", "hunt/er2"):
        for scheme in ("https://", ""):
            with pytest.raises(SettingsError) as error:
                site.single(litellm_prisma_mirror=f"{scheme}bob:{password}@mirror.example.org")
            assert "litellm_prisma_mirror: must be an address" in str(error.value)
            assert "hunt" not in str(error.value)
    with pytest.raises(SettingsError, match=r"given: 'mirror\.example\.org'"):
        site.single(litellm_prisma_mirror="mirror.example.org")


def test_an_address_may_have_a_slash_at_its_end_only_where_nothing_is_put_behind_it() -> None:
    for address in ("https://mirror.example.org", "https://mirror.example.org/a"):
        assert re.search(URL_NO_SLASH, address) and not re.search(URL_NO_SLASH, f"{address}/")
        assert re.search(URL, f"{address}/")
