"""Whether going back needs a copy of the data, which one, over which hosts; and every reason why it cannot be had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from deploys.lib.rewinding import CANNOT, Rewind, command, decide

COPY = {"run": "U", "folder": "/b/U/database", "made": "2026-01-31T23:59:59Z", "rows": 12, "lost": {"keys": 1}}
BIND = {"needed": False, "why": "it has all", "extra": 0, "wanted": ["1"], "adds": ["2"], "mark": "m"}
NEEDS = {**BIND, "needed": True, "why": "the migration 3 does more than add: DROP", "extra": 2}
PRESENT = {"gateway": "/b/N"}
SAYS = f"gateway: {CANNOT}: the migration 3 does more than add: DROP"


def uses(answer: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"uses": {"gateway": answer}, "keeps": [], "present": PRESENT, **more}


KEEPS = {"uses": {}, "keeps": ["store"], "present": {"store": "/b/N"}}


def decided(asked: dict[str, Any], outside: dict[str, list[str]] | None = None, **found: Any) -> Rewind | list[str]:
    def find(name: str, keeper: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        assert (name, keeper) == ("db", "store") and wanted == {"wanted": ["1"], "adds": ["2"], "mark": "m"}
        return found or COPY

    return decide("T", asked, {"gateway": [], "store": [], **(outside or {})}, find)


def test_what_serves_needs_nothing_and_says_why_where_that_is_not_plain() -> None:
    assert decided({"gw": uses(BIND), "db": KEEPS}) == Rewind()
    assert decided({"gw": {}, "db": {}}) == Rewind(), "ledgers of an earlier toolkit: the guards refuse"
    way = decided({"gw": uses({**BIND, "extra": 1, "why": "the migration in between only adds tables"}), "db": KEEPS})
    assert isinstance(way, Rewind) and not way.needed and way.spokesman == "gw"
    assert way.lines() == ["gateway: no dump is put back: the migration in between only adds tables"]


@pytest.mark.parametrize("alone", [True, False])
def test_the_copy_comes_back_on_its_host_and_every_user_stops(alone: bool) -> None:
    if alone:
        asked = {"db": {**uses(NEEDS), "keeps": ["store"]}}
    else:
        # One that came later, and goes again: it has nothing of that run, and is stopped all the same.
        asked = {"gw-1": uses(NEEDS), "gw-2": uses(NEEDS), "gw-3": {**uses(NEEDS), "uses": {}}, "db": KEEPS, "x": {}}
    way = decided(asked, {"gateway": []})
    assert isinstance(way, Rewind) and way.needed and (way.keeper_host, way.folder) == ("db", COPY["folder"])
    assert way.users == dict.fromkeys(["db"] if alone else ["gw-1", "gw-2", "gw-3"], "/b/N")
    assert way.lines()[:2] == [
        "db: the dump that run U made (2026-01-31T23:59:59Z, 12 rows) is put back for gateway, because the migration 3 "
        "does more than add: DROP",
        "    stored since, and not in it: keys (1)",
    ]
    assert way.refusal("GO ON") == (
        f"{SAYS}. It needs the dump that run U made (2026-01-31T23:59:59Z, 12 rows), which would be put back; stored "
        "since, and not in it: keys (1). The present database is dumped first, and stays beside it. To go on: GO ON"
    )


@pytest.mark.parametrize(
    ("lost", "said"),
    [({}, "how much was stored since cannot be told"), ({"a": 0, "b": 0}, "stored since, and not in it: no a, no b")],
)
def test_what_is_lost_is_said_as_far_as_it_is_known(lost: dict[str, int], said: str) -> None:
    assert Rewind(lost=lost).gone == said


REASONS: dict[str, tuple[dict[str, Any], dict[str, list[str]], str]] = {
    "no database": (
        {"gw": uses(NEEDS)},
        {},
        "the host that keeps them is not part of this run, or keeps none; run without --limit",
    ),
    "two of them": (
        {"gw": uses(NEEDS), "db": KEEPS, "old": KEEPS},
        {},
        "db and old each keep some; which database is in use?",
    ),
    "a gateway left out": (
        {"gw": uses(NEEDS), "db": KEEPS},
        {"gateway": ["gw-2"]},
        "gw-2, not part of this run, would go on with it; run without --limit",
    ),
}


@pytest.mark.parametrize("case", list(REASONS))
def test_where_it_cannot_be_had_for_the_whole_site_nothing_is_done(case: str) -> None:
    asked, outside, why = REASONS[case]
    assert decided(asked, outside) == [f"{SAYS}. A dump has to be put back, and {why}"]


def test_a_dump_that_is_not_there_or_not_whole_is_a_reason_in_its_own_words() -> None:
    found = decided({"gw": uses(NEEDS), "db": KEEPS}, problem="none of the 0 dumps")
    assert found == [f"{SAYS}. A dump has to be put back, and on db none of the 0 dumps"]


def test_a_host_that_names_what_is_no_component_is_not_believed() -> None:
    strange = {"uses": {"x; reboot": NEEDS}, "keeps": ["y; reboot"], "present": {"x; reboot": "/b"}}
    assert decided({"gw": strange, "db": KEEPS}) == Rewind()
    way = decided({"gw": uses(NEEDS), "other": strange, "db": KEEPS})
    assert isinstance(way, Rewind) and (way.component, way.keeper) == ("gateway", "store")


@pytest.mark.parametrize("differs", ["wanted", "mark"])
def test_gateways_that_had_different_versions_cannot_have_one_dump(differs: str) -> None:
    found = decided({"gw-1": uses(NEEDS), "gw-2": uses({**NEEDS, differs: "other"}), "db": KEEPS})
    assert isinstance(found, list) and "after run T gw-1 and gw-2 had different versions or keys" in found[0]


def test_the_command_that_goes_on_is_whole() -> None:
    assert command("inv/a b.py", [("exclude", "new")], {"only": "gateway", "run": "T", "restore_dump": "false"}) == (
        ".venv/bin/pyinfra -y 'inv/a b.py' deploys/rollback.py --exclude new --data only=gateway --data run=T "
        "--data restore_dump=true"
    )


def test_the_end_of_what_failed_says_where_everything_is() -> None:
    way = Rewind("gateway")
    assert (
        way.ended("gw", True) == "going back failed on gw: the data is what it was before, and gateway serves as before"
    )
    assert "ends in _before_ and this run's name" in way.ended("gw", False)
