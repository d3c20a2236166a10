"""A refusal says where the key was set: the strongest layer that has it, the file, and the line of what is wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from deploys.lib.origin import Layer, located, place
from deploys.lib.settings import SettingsError
from tests.unit import site

INVENTORY = """
_more = {
    "redis_port": 1,
}
_twice = {"ssh_port": 1}
_again = {"ssh_port": 2}
redis = [("cache", {**_more, "ssh_user": "root", **_twice})]
litellm = [
    ("gw-1", {
        "litellm_port": 1,
    }),
    ("gw-2", {"litellm_port": 2, "ollama_port": 3}),
]
postgres = (["db"], {
    "postgres_port": 5,
})
other = [dict(name="x", health_port=9)]
"""
GROUP = """
from math import pi

redis_port = 1
for redis_bind in (["a"], ["b"]):
    pass
if pi:
    redis_port = 2


def redis_maxmemory_mb():
    redis_maxmemory_mb = 1


one, two_words = 1, 2
litellm_models = [
    {"name": "a"},
    {
        "name": "b",
        "api_key": "x",
    },
]
litellm_fallbacks: dict = {
    "a": ["b"],
    "a.b": [
        "c",
        "d",
    ],
}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {
        "inventories/site.py": INVENTORY,
        "group_data/g.py": GROUP,
        "more/g.py": "redis_port = 3\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("entry", "key", "where"),
    [
        ("gw-1", "litellm_port", "in inventories/site.py:10"),
        ("gw-2", "litellm_port", "in inventories/site.py:12"),
        # Made by putting dictionaries together: the only one in the file that has the key.
        ("cache", "redis_port", "in inventories/site.py:3"),
        ("cache", "health_port", "in inventories/site.py:17"),
        # Which of two it was is not known, and another host's is not this one's.
        ("cache", "ssh_port", "in inventories/site.py, its own data"),
        ("gw-1", "ollama_port", "in inventories/site.py, its own data"),
        ("postgres", "postgres_port", "in inventories/site.py:15"),
    ],
)
def test_a_key_of_the_inventory_is_found_in_the_data_of_its_host(root: Path, entry: str, key: str, where: str) -> None:
    layer = Layer({key}, "its own data", inventory=root / "inventories/site.py", entry=entry)
    assert place(key, [layer], root) == where


@pytest.mark.parametrize(
    ("key", "where"),
    [
        ("redis_port", "in group_data/g.py:8"),
        ("redis_bind", "in group_data/g.py:5"),
        ("two_words", "in group_data/g.py:15"),
        ("litellm_models", "in group_data/g.py:16"),
        ("litellm_models[0]", "in group_data/g.py:17"),
        ("litellm_models[1].name", "in group_data/g.py:19"),
        ("litellm_models[1].api_key", "in group_data/g.py:20"),
        ("litellm_models[1].missing", "in group_data/g.py:18"),
        ("litellm_models[7].name", "in group_data/g.py:16"),
        ("litellm_fallbacks.a", "in group_data/g.py:24"),
        ("litellm_fallbacks.a.b[1]", "in group_data/g.py:27"),
        # Not by an assignment of the file: a function's variable, or a star import.
        ("redis_maxmemory_mb", "in group_data/g.py"),
    ],
)
def test_a_key_of_a_group_is_found_where_it_gets_its_last_value(root: Path, key: str, where: str) -> None:
    layer = Layer({key.partition("[")[0].partition(".")[0]}, "somewhere", (root / "group_data/g.py",))
    assert place(key, [layer], root) == where


def test_of_two_files_the_later_one_wins_and_a_file_elsewhere_is_shown_whole(root: Path) -> None:
    layer = Layer({"redis_port", "redis_bind", "x"}, "in the data of g", (root / "group_data/g.py", root / "more/g.py"))
    assert place("redis_port", [layer], root) == "in more/g.py:1"
    assert place("redis_bind", [layer], root / "more") == f"in {root}/group_data/g.py:5"
    assert place("x", [layer], root) == "in the data of g", "either of two"


def test_the_strongest_layer_is_named_and_a_default_is_not(root: Path) -> None:
    layers = [Layer({"a_b"}, "with --data"), Layer({"a_b", "c_d"}, "in the host's own data")]
    assert [place(key, layers, root) for key in ("a_b", "c_d", "e_f", "")] == [
        "with --data",
        "in the host's own data",
        "",
        "",
    ]


def test_a_file_that_cannot_be_read_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "g.py").write_text("a_b = (\n")
    assert place("a_b", [Layer({"a_b"}, "x", (tmp_path / "g.py", tmp_path / "none.py"))], tmp_path) == "in g.py"


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        ("a_b: is bad (given: 99)", "a_b: is bad (given: 99; set in A)"),
        ("a_b: is bad (given: ' (given: c_d; ')", "a_b: is bad (given: ' (given: c_d; '; set in A)"),
        (
            "a_b[1].key: unknown setting; did you mean c_d?",
            "a_b[1].key: unknown setting; did you mean c_d? (set in A1)",
        ),
        ("a_b: is more than c_d (7)", "a_b: is more than c_d (7) (set in A, c_d set in C)"),
        ("a_b and c_d are both 7; set a_b", "a_b and c_d are both 7; set a_b (a_b set in A, c_d set in C)"),
        ("x_y: is less than c_d", "x_y: is less than c_d (c_d set in C)"),
        ("plain: is a word", "plain: is a word (set in P)"),
        ("all of it is plain", "all of it is plain"),
        ("x_y: Field required", "x_y: Field required"),
        ("port 1 (a_b) is taken; set a_b", "port 1 (a_b) is taken; set a_b (a_b set in A)"),
    ],
)
def test_a_place_is_said_once_for_every_key_that_was_set(problem: str, said: str) -> None:
    places = {"a_b": "in A", "a_b[1].key": "in A1", "c_d": "in C", "plain": "in P"}
    assert located(problem, lambda key: places.get(key, "")) == said


def problems(*hosts: tuple[str, dict[str, str], dict[str, object]]) -> list[str]:
    """What is said about hosts, each a name, where its keys were set, and its data."""
    made = []
    for name, places, data in hosts:
        made.append(dataclasses.replace(site.host(name, **data), origin=lambda key, places=places: places.get(key, "")))
    with pytest.raises(SettingsError) as caught:
        site.look(*made)
    return caught.value.problems


def test_hosts_share_a_line_only_where_they_share_the_mistake() -> None:
    data = {"redis_port": 0}
    one, two = {"redis_port": "in one.py:1"}, {"redis_port": "in two.py:1"}
    said = "redis_port: Input should be greater than or equal to 1 (given: 0; set"
    assert problems(("a", one, data), ("b", one, data)) == [f"a, b: {said} in one.py:1)"]
    assert problems(("a", one, data), ("b", two, data)) == [f"a: {said} in one.py:1)", f"b: {said} in two.py:1)"]


def test_what_is_wrong_between_settings_says_where_both_were_set() -> None:
    places = {"redis_port": "in group_data/all.py:3", "litellm_port": "with --data"}
    assert problems(("gw", places, {"redis_port": 7000, "litellm_port": 7000})) == [
        "gw: redis_port and litellm_port are both 7000; give each a port of its own (redis_port set in "
        "group_data/all.py:3, litellm_port set with --data)"
    ]


def test_what_is_wrong_between_hosts_says_where_each_was_set() -> None:
    found = problems(
        ("a", {"private_address": "in x.py:1"}, {"private_address": "192.0.2.1"}),
        ("b", {"private_address": "in x.py:2"}, {"private_address": "192.0.2.1"}),
    )
    assert found[0] == (
        "a, b: private_address: 192.0.2.1 is the address of more than one host (set in x.py:1 and in x.py:2)"
    )
