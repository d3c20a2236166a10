"""The model catalogue: what each entry becomes, and what a list of them must keep to."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
import yaml
from hypothesis import given, settings

from deploys.components.litellm.model_list import Defaults, ids, key_names, model_list, problems, variables
from tests.lab.doubles.expected import KEYS as DOUBLE_KEYS
from tests.lab.doubles.expected import entries
from tests.unit import golden
from tests.unit.catalogues import CATALOGUES, KEYS, OLLAMA, OPENAI, VLLM, catalogue
from tests.unit.thorough import examples, thorough

pytestmark = thorough


def test_every_provider_compiles_to_what_was_reviewed(pytestconfig: pytest.Config) -> None:
    made = catalogue(entries("http://192.0.2.9:9000"), DOUBLE_KEYS)
    texts = defaultdict(list)
    for entry, row in zip(made, model_list(made, Defaults(600, 300, 4)), strict=True):
        texts[f"{entry.provider}.yaml"].append(row)
    wanted = {name: yaml.safe_dump(rows, sort_keys=False) for name, rows in texts.items()}
    golden.compare(golden.FOLDER / "litellm_catalogue", wanted, pytestconfig)


def test_an_entry_without_more_gets_the_defaults_and_keeps_what_it_says() -> None:
    small, own = catalogue([OLLAMA, {**OPENAI, "timeout": 5, "stream_timeout": 6, "max_parallel_requests": 7}], KEYS)
    local, remote = (row["litellm_params"] for row in model_list([small, own], Defaults(600, 300, 4)))
    assert [local[key] for key in ("timeout", "stream_timeout", "max_parallel_requests")] == [600, 300, 4]
    assert [remote[key] for key in ("timeout", "stream_timeout", "max_parallel_requests")] == [5, 6, 7]


@pytest.mark.parametrize(
    ("data", "given", "probed"),
    [(OPENAI, None, False), (OLLAMA, None, False), (VLLM, None, True), (OPENAI, True, True), (VLLM, False, False)],
)
def test_background_health_checks_ask_only_what_costs_nothing(data: Any, given: bool | None, probed: bool) -> None:
    (row,) = model_list(catalogue([{**data, "health_check": given}], KEYS), Defaults())
    assert row["model_info"].get("disable_background_health_check", False) is not probed


def test_ids_stay_when_other_settings_change_and_differ_between_entries() -> None:
    plain = catalogue([OPENAI, OLLAMA, {**OPENAI, "api_key": "env:KEY_B"}, {**OPENAI, "id": "mine"}], KEYS)
    first, second, third, fourth = ids(plain)
    assert (first.partition("-openai-")[0], third, fourth) == ("a", f"{first}-2", "mine")
    changed = catalogue([{**OLLAMA, "rpm": 5, "num_ctx": 9, "tags": ["x"]}, OPENAI], KEYS)
    assert ids(changed) == [second, first]
    assert ids(catalogue([OPENAI, {**OPENAI, "id": first}], KEYS)) == [f"{first}-2", first]


def test_another_model_with_a_known_key_changes_no_variable() -> None:
    """The environment file is read at a start only: a variable for each entry would make each new model a restart."""
    one = catalogue([OPENAI, {**OPENAI, "name": "b", "api_key": "env:KEY_B"}], KEYS)
    two = catalogue([OPENAI, {**OPENAI, "name": "b", "api_key": "env:KEY_B"}, {**OPENAI, "name": "c"}, OLLAMA], KEYS)
    assert variables(one) == variables(two)
    prefix = "PORTCULLIS_MODEL_KEY_OPENAI"
    assert key_names(two) == [prefix, f"{prefix}_2", prefix, ""]
    assert {name: value.get_secret_value() for name, value in variables(two).items()} == {
        prefix: KEYS["KEY_A"],
        f"{prefix}_2": KEYS["KEY_B"],
    }


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ([{"id": "x"}, {"id": "x", "name": "b"}], "[0].id: 'x' is the id of another deployment too"),
        ([{"id": "own"}], "[0].id: 'own' is the id of another deployment too; LiteLLM would mix up the two"),
        ([{"name": "toolkit-selftest"}], "[0].name: 'toolkit-selftest' is a model of Portcullis; choose another name"),
        ([{}, {"mode": "embedding"}], ": the entries named 'a' are of modes chat and embedding; a group has one"),
        ([{"order": 1}, {}], ": of the entries named 'a' some have an order; those without one would never be asked"),
        ([{"weight": 1}, {}], ": of the entries named 'a' some have weight, which is then the share of the requests"),
        ([{"rpm": 1}, {}], ": of the entries named 'a' some have rpm, which is then the share of the requests"),
        ([{"tpm": 1}, {}], ": of the entries named 'a' some have tpm, which is then the share of the requests"),
    ],
)
def test_what_is_wrong_between_entries_is_said(fields: list[dict[str, Any]], sentence: str) -> None:
    made = catalogue([{**OPENAI, **more} for more in fields], KEYS)
    found = problems(made, ["toolkit-selftest"], ["own"])
    assert found[0].startswith(f"litellm_models{sentence}")
    assert len(found) == sum("id" in more for more in fields) or len(found) == 1


def test_shares_are_compared_within_an_order_and_only_where_they_are_read() -> None:
    levels = catalogue([{**OPENAI, "order": 1, "weight": 1}, {**OPENAI, "order": 2}], KEYS)
    assert problems(levels) == []
    weighted = catalogue([{**OPENAI, "weight": 3}, {**OPENAI, "weight": 1, "rpm": 5}], KEYS)
    assert problems(weighted) == []
    (first, _) = problems(weighted, strategy="least-busy")
    assert first == "litellm_models[0].weight: the routing strategy least-busy does not read weights; leave it out"
    (rpm,) = problems(weighted, enforced=())
    assert rpm == "litellm_models[1].rpm: nothing refuses requests above it with these router settings"


@settings(max_examples=examples(100), deadline=None)
@given(CATALOGUES)
def test_any_catalogue_compiles_to_unique_ids_and_no_secret(data: list[dict[str, Any]]) -> None:
    made = catalogue(data, KEYS)
    text = yaml.safe_dump(model_list(made, Defaults(600, 300, 4)), sort_keys=False)
    rows = yaml.safe_load(text)
    found = [row["model_info"]["id"] for row in rows]
    assert len(set(found)) == len(found) == len(data)
    assert not [value for value in KEYS.values() if value in text]
    named = variables(made)
    for entry, row in zip(made, rows, strict=True):
        key = row["litellm_params"].get("api_key", "")
        assert key in ("", "none") or named[key.removeprefix("os.environ/")] == entry.api_key
        assert "ollama" not in row["litellm_params"]["model"] or "api_base" in row["litellm_params"]
        assert row["model_info"]["mode"] == entry.kind
    assert all(name.isidentifier() and name.startswith("PORTCULLIS_MODEL_KEY_") for name in named)
