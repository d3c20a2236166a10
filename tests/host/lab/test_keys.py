"""Teams and virtual keys that a run has made: each of their limits refuses what goes beyond it, and nothing else."""

from __future__ import annotations

import time
import uuid

import pytest

from tests.host.support_http import Reply
from tests.host.support_many import chats, rows
from tests.host.support_state import KEYS, Sparing, alias
from tests.waiting import eventually

# What LiteLLM answers when a budget is spent.
SPENT = 422


def asked(sparing: Sparing, *names: str, model: str = "spare") -> list[Reply]:
    """One request after another, each with its key and a text of its own."""
    return [sparing.gateway.chat(model, key=KEYS.values[name], text=f"keys {uuid.uuid4()}") for name in names]


def statuses(sparing: Sparing, *names: str, model: str = "spare") -> list[int]:
    return [reply.status for reply in asked(sparing, *names, model=model)]


def spends(sparing: Sparing, *names: str) -> None:
    """The first answer costs less than the budget, the second more in all, and then no key is given another."""
    assert statuses(sparing, names[0]) == [200]
    # What a request may cost at most is set aside while it runs, so that one too many may be refused before.
    assert eventually(lambda: statuses(sparing, *names) == [SPENT for _ in names], 10)
    time.sleep(1)
    (reply,) = asked(sparing, names[0])
    assert reply.status == SPENT and reply.json()["error"]["type"] == "budget_exceeded", reply


def test_a_key_is_refused_when_its_max_budget_is_spent(sparing: Sparing) -> None:
    spends(sparing, "spent")


def test_a_teams_max_budget_is_for_all_its_keys_together(sparing: Sparing) -> None:
    spends(sparing, "team-spent-1", "team-spent-2")


def test_spend_begins_at_nothing_again_after_the_budget_duration(sparing: Sparing) -> None:
    assert eventually(lambda: statuses(sparing, "renewed") == [SPENT], 10)
    assert eventually(lambda: statuses(sparing, "renewed") == [200], 45), "its 20 s are over, and it is refused still"
    assert statuses(sparing, "spent") == [SPENT], "a budget without a duration is not renewed"


def test_a_key_may_make_as_many_requests_a_minute_as_its_rpm_limit(sparing: Sparing) -> None:
    assert statuses(sparing, *["rpm"] * 5) == [200, 200, 429, 429, 429]


def test_a_teams_rpm_limit_is_for_all_its_keys_together(sparing: Sparing) -> None:
    assert statuses(sparing, "team-rpm-1", "team-rpm-2", "team-rpm-1", "team-rpm-2", "team-rpm-1") == [
        *(200, 200, 200),
        *(429, 429),
    ]


@pytest.mark.parametrize("name", ["tpm", "team-tpm"])
def test_tokens_beyond_the_tpm_limit_are_refused(sparing: Sparing, name: str) -> None:
    """An answer may be 16 tokens long, and as many are set aside for it; it is 11 of the 40 that there are."""
    replies = asked(sparing, *[name] * 5)
    found = [reply.status for reply in replies]
    assert found[0] == 200 and found[-1] == 429 and found.count(200) <= 3, found
    assert "Limit type: tokens. Current limit: 40" in replies[-1].text, replies[-1]


def test_max_parallel_requests_of_a_key_holds_over_all_workers(sparing: Sparing) -> None:
    key = KEYS.values["one-at-a-time"]
    at_once = chats(sparing.gateway, "second", [f"at once {uuid.uuid4()}" for _ in range(4)], 4, key)
    assert sorted(answer.status for answer in at_once) == [200, 429, 429, 429]
    in_turn = chats(sparing.gateway, "second", [f"in turn {uuid.uuid4()}" for _ in range(2)], 1, key)
    assert [answer.status for answer in in_turn] == [200, 200]


@pytest.mark.parametrize("name", ["blocked", "team-blocked"])
def test_what_is_blocked_is_refused_whatever_it_asks(sparing: Sparing, name: str) -> None:
    (reply,) = asked(sparing, name)
    assert reply.status == 401 and "is blocked" in reply.text, reply


@pytest.mark.parametrize("name", ["modest", "team-modest"])
def test_only_the_models_of_a_key_and_of_its_team_can_be_used(sparing: Sparing, name: str) -> None:
    assert statuses(sparing, name) == [200]
    sparing.double.reset()
    assert statuses(sparing, name, model="vectors") == [403]
    assert sparing.double.seen(model="vectors") == []


def test_a_key_is_refused_when_its_duration_is_over(sparing: Sparing) -> None:
    lives = f"FROM \"LiteLLM_VerificationToken\" WHERE key_alias = '{alias('brief')}'"
    (seconds,) = rows(sparing.server, f"SELECT extract(epoch FROM expires - created_at) {lives}")
    assert 42 <= float(seconds) <= 48
    assert eventually(lambda: statuses(sparing, "brief") == [401], 100)
    (reply,) = asked(sparing, "brief")
    assert reply.json()["error"]["type"] == "expired_key", reply
