"""A run's hold on its hosts: taken before it looks closer, let go at its end with a word on how it went."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra import logger
from pyinfra.api.exceptions import PyinfraError

from deploys import facts
from deploys.guard import ARGUMENTS, leave_late
from deploys.lib import ledger, session
from deploys.lib.host_settings import HostSettings
from tests.unit.ledger_box import run_id

ONE, TWO, THREE = (run_id(number) for number in range(1, 4))


class One:
    """A host as pyinfra has it, that answers with the next of ``answers`` when its lock is asked for."""

    name, print_prefix, connected = "gw-1", "[gw-1] ", True

    def __init__(self, *answers: ledger.Taken | None) -> None:
        self.answers, self.asked = list(answers), list[tuple[str, dict[str, Any]]]()
        self.disconnected = 0
        leave_late(self)

    def get_fact(self, fact: Any, **how: Any) -> Any:
        self.asked.append((fact.__name__, how))
        return self.answers.pop(0) if fact is facts.TakenLock else ""

    def disconnect(self) -> None:
        self.disconnected += 1


SETTINGS = HostSettings.model_validate({})
TAKEN = ledger.Taken()


def held(run: str, **said: Any) -> ledger.Taken:
    return ledger.Taken({**ledger.lock("deploy", "x", "/x", 3, 3), "machine": "another", **said, "run": run}, 5)


def test_a_run_holds_its_hosts_until_pyinfra_leaves_them(monkeypatch: pytest.MonkeyPatch) -> None:
    one = One(TAKEN)
    monkeypatch.setattr(session, "state", SimpleNamespace(is_executing=False))
    assert session.hold(one, SETTINGS, "deploy") == ""
    one.disconnect()
    one.disconnect()
    assert one.disconnected == 2
    assert [name for name, _ in one.asked] == ["TakenLock", "LetGo"], "once"
    assert one.asked[0][1]["text"]["kind"] == "deploy" and one.asked[0][1]["instead_of"] == ""
    assert one.asked[1][1] == {"outcome": "interrupted", "problem": ""}


def test_a_lock_is_let_go_by_what_pyinfra_had_picked_up_before_it_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another host's refusal ends the run, and the disconnecting of this host waits for its turn."""
    monkeypatch.setattr(session, "state", SimpleNamespace(is_executing=False))
    one = One(TAKEN)
    leave = one.disconnect
    assert session.hold(one, SETTINGS, "deploy") == ""
    leave()
    assert [name for name, _ in one.asked] == ["TakenLock", "LetGo"] and one.disconnected == 1
    one = One(TAKEN)
    one.disconnect()
    assert session.hold(one, SETTINGS, "deploy") == "" and one.asked == [], "it takes none once pyinfra is leaving"


def test_a_dead_run_of_this_machine_is_replaced_unasked_and_another_is_not() -> None:
    dead = held(ONE, machine=ledger.machine(), born="1")
    one = One(dead, TAKEN)
    assert session.hold(one, SETTINGS, "deploy") == ""
    assert [how["instead_of"] for _, how in one.asked] == ["", ONE]
    one = One(dead, held(TWO))
    assert session.hold(one, SETTINGS, "deploy").startswith(f"gw-1: run {TWO} of "), "another one was quicker"
    one.disconnect()
    assert len(one.asked) == 2, "and there is nothing to let go"
    one = One(held(ONE))
    assert session.hold(one, SETTINGS, "deploy").endswith(f"--data take_over={ONE}") and len(one.asked) == 1
    settings = HostSettings.model_validate({"take_over": THREE})
    one = One(TAKEN)
    assert session.hold(one, settings, "deploy") == "" and one.asked[0][1]["instead_of"] == THREE


def test_who_only_looks_takes_no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARGUMENTS, "dry", True)
    one = One()
    assert session.hold(one, SETTINGS, "deploy") == "" and one.asked == []


def test_what_was_started_is_noted_without_the_values_of_data(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"operations": ("deploys/site.py",), "limit": ("gw-1",), "data": ("redis_password=hunter2", "dry")}
    for name, value in given.items():
        monkeypatch.setitem(ARGUMENTS, name, value)
    assert session._command() == "deploys/site.py --limit gw-1 --data redis_password --data dry"


def test_going_back_does_not_begin_while_a_dead_run_is_still_at_work_on_the_host() -> None:
    held_up = held(ONE, machine=ledger.machine(), born="1")
    busy = ledger.Taken(held_up.held, 5, ("portcullis-transact-litellm.service",))
    assert "portcullis-transact-litellm.service is at work" in session.hold(One(busy), SETTINGS, "rollback")
    assert session.hold(One(busy, TAKEN), SETTINGS, "deploy") == "", "a deploy waits for it"


def test_an_end_that_could_not_be_noted_is_said_and_disconnects_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(logger, "warning", said.append)
    monkeypatch.setattr(session, "state", SimpleNamespace(is_executing=False))
    for answer in ("no space left", PyinfraError("connection lost")):
        one = One(TAKEN)
        assert session.hold(one, SETTINGS, "deploy") == ""

        def ask(fact: Any, answer: Any = answer, **how: Any) -> str:
            if isinstance(answer, str):
                return answer
            raise answer

        monkeypatch.setattr(one, "get_fact", ask)
        one.disconnect()
        assert one.disconnected == 1
    assert said == [
        "[gw-1] the end of this run was not noted: no space left",
        "[gw-1] the end of this run was not noted, and its lock was not let go: connection lost",
    ]


def operation(complete: bool = True, error: bool = False, stderr: tuple[str, ...] = ()) -> Any:
    meta = SimpleNamespace(is_complete=lambda: complete, did_error=lambda: error, stderr_lines=list(stderr))
    return SimpleNamespace(operation_meta=meta)


GOOD, NEVER = operation(), operation(complete=False)
BROKEN = operation(error=True, stderr=("wrote /etc/x", "x: it's not ready ", " "))


@pytest.mark.parametrize(
    ("operations", "failed", "ended"),
    [
        ((), False, ("done", "")),
        ((GOOD, GOOD), False, ("done", "")),
        ((GOOD, BROKEN, NEVER), True, ("failed", "b | 2: x: it's not ready")),
        ((GOOD, operation(error=True)), True, ("failed", "b | 2")),
        ((GOOD, NEVER, NEVER), False, ("interrupted", "before: b | 2")),
        # It failed before an operation of its own could: it could not be reached any more.
        ((GOOD, NEVER), True, ("failed", "before: b | 2")),
        ((NEVER, NEVER), False, ("interrupted", "before: a | 1")),
        ((operation(error=True, stderr=("y" * 400,)),), True, ("failed", f"a | 1: {'y' * 300}")),
    ],
)
def test_how_a_run_ended_on_a_host(
    monkeypatch: pytest.MonkeyPatch, operations: tuple[Any, ...], failed: bool, ended: tuple[str, str]
) -> None:
    one = One()
    names = {"0": {"a | 1"}, "1": {"b | 2"}, "2": {"c | 3"}}
    monkeypatch.setattr(
        session,
        "state",
        SimpleNamespace(
            is_executing=True,
            ops={one: {str(number): data for number, data in enumerate(operations)}},
            failed_hosts={one} if failed else set(),
            get_op_meta=lambda op_hash: SimpleNamespace(names=names[op_hash]),
        ),
    )
    assert session.ended(one) == ended
    assert session.ended(One()) == ("done", ""), "a host that had nothing to do"
