"""deploys/confirm.py: over which connection a change is confirmed, and what happens when there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api import Config, Inventory, State, StringCommand
from pyinfra.api.exceptions import ConnectError
from pyinfra.connectors.local import LocalConnector
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.util import CommandOutput, OutputLine

from deploys import confirm, facts, switch, watch
from deploys.lib.transaction import UNDO_SECONDS

WAITS = "waiting 60 s for a new connection"


class World:
    """A host and the way to it: what it says when, which connections come about and which answer."""

    def __init__(self) -> None:
        self.now = 0.0
        self.confirmed_over: list[str] = []
        self.opened: list[Wire] = []
        self.says: Callable[[], list[str]] = lambda: ["inactive"] if self.confirmed_over else ["active", WAITS]
        self.opens: Callable[[], str] = lambda: ""
        self.answers: Callable[[Wire], bool] = lambda wire: True

    def run(self, wire: Wire, command: str) -> list[str]:
        self.now += 1
        if not self.answers(wire):
            self.now += 10
            raise TimeoutError("no answer in 10 s")
        if "confirmed" in command:
            self.confirmed_over.append(wire.name)
            return ["confirmed"]
        assert "is-active" in command
        return [*self.says(), "asked"]


class Wire(SSHConnector):
    """One connection."""

    def __init__(self, state: Any, host: Any) -> None:
        self.world: World = state
        self.state, self.host, self.name, self.closed = state, host, f"connection {len(state.opened)}", False
        self.client: Any = SimpleNamespace(get_transport=lambda: SimpleNamespace(close=self.close))
        state.opened.append(self)

    def close(self) -> None:
        self.closed = True

    def connect(self) -> None:
        if why := self.world.opens():
            self.world.now += 10
            raise ConnectError(why)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """What ``follow`` is given instead of pyinfra's host and clock."""
    made = World()
    one = SimpleNamespace(name="gw", state=made, print_prefix="")
    one.connector = Wire(made, one)
    monkeypatch.setattr(confirm, "host", one)
    monkeypatch.setattr(watch, "host", one)
    monkeypatch.setattr(confirm, "state", SimpleNamespace(inventory=SimpleNamespace(get_host=lambda name: one)))
    monkeypatch.setattr(confirm, "_run", lambda wire, command: made.run(wire, command))

    def sleep(seconds: float) -> None:
        made.now += seconds

    clock = SimpleNamespace(monotonic=lambda: made.now, sleep=sleep)
    monkeypatch.setattr(confirm, "time", clock)
    monkeypatch.setattr(watch, "time", clock)
    return made


def follow() -> str:
    return confirm.follow("portcullis-transact-x", "/f", "/s", 60)


def test_a_change_is_confirmed_over_a_connection_made_for_it_and_once(world: World) -> None:
    # The host looks for it every half second, and works on after that.
    world.says = lambda: ["inactive"] if world.confirmed_over and world.now > 9 else ["active", WAITS]
    assert follow() == ""
    assert world.confirmed_over == ["connection 1"], "not over the one that was there before the change"
    assert [wire.closed for wire in world.opened] == [False, True]


def test_a_unit_that_still_puts_back_what_its_program_left_has_not_ended() -> None:
    assert facts.StepProgress().process(["deactivating", "putting back"]) == (True, "putting back")
    assert facts.StepProgress().process(["failed"]) == (False, "")


def test_a_change_that_waits_for_nobody_is_only_watched(world: World) -> None:
    said = iter([["active", "checking the new files"], ["deactivating", ""], ["inactive"]])
    world.says = lambda: next(said)
    assert follow() == "" and len(world.opened) == 1


def test_it_is_tried_again_until_the_host_has_put_back_and_why_it_failed_is_told(world: World) -> None:
    world.opens = lambda: "Could not connect (refused)"
    world.says = lambda: ["active", WAITS] if world.now < 60 else ["inactive"]
    assert follow() == "Could not connect (refused)"
    assert len(world.opened) > 3 and not world.confirmed_over
    assert all(wire.closed for wire in world.opened[1:])


def test_a_connection_that_comes_about_late_still_confirms(world: World) -> None:
    world.opens = lambda: "" if world.now > 30 else "Could not connect (refused)"
    assert follow() == "" and world.confirmed_over


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_run_whose_own_connection_is_cut_off_goes_on_with_a_new_one(world: World, comes_back: bool) -> None:
    # Either the new rules know nothing of old connections, or nothing gets through until the host puts them back.
    world.answers = lambda wire: wire.name != "connection 0"
    world.opens = lambda: "" if comes_back or world.now > 70 else "Could not connect (timed out)"
    world.says = lambda: ["active", WAITS] if world.now < 70 and not world.confirmed_over else ["inactive"]
    assert follow() == ("" if comes_back else "Could not connect (timed out)")
    assert bool(world.confirmed_over) is comes_back
    used = confirm.host.connector
    assert used in world.opened[1:] and not used.closed
    assert world.opened[0].closed and used.name not in world.confirmed_over


def test_a_host_that_stays_silent_ends_its_run_with_a_sentence(world: World) -> None:
    world.answers = lambda wire: False
    world.opens = lambda: "Could not connect (timed out)"
    with pytest.raises(
        ConnectError, match=r"^no answer for 360 s: the host puts back .* in 20 minutes .* \(a new connection: C"
    ):
        follow()
    assert 360 < world.now < 420
    assert world.opened[0].closed, "what pyinfra asks afterwards fails at once, and not in an hour"


def test_a_switch_on_a_silent_host_fails_there_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: Any) -> str:
        raise ConnectError("no answer for 360 s")

    said: list[str] = []
    monkeypatch.setattr(switch, "follow", silent)
    monkeypatch.setattr(switch, "state", SimpleNamespace(is_executing=True))
    monkeypatch.setattr(switch, "logger", SimpleNamespace(error=said.append))
    *_, last = switch.switch("x", "R1", "/var/backups/portcullis", 60)
    assert last.execute(None, SimpleNamespace(print_prefix="[gw] "), {}) is False
    assert said == ["[gw] no answer for 360 s"]


def test_what_a_switch_says_ends_with_why_no_connection_came_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "follow", lambda *_: "it's refused")
    monkeypatch.setattr(switch, "state", SimpleNamespace(is_executing=True))
    begin, end = map(str, switch.switch("x", "R1", "/b", 60))
    assert f"-p TimeoutStopSec={UNDO_SECONDS} -p 'ExecStopPost=/usr/local/lib/portcullis/transact-" in begin
    assert "/transact x R1 /b undo'" in begin, "whatever ends the unit"
    assert "' (a new connection: it'\"'\"'s refused)'" in end


def test_a_switch_that_nobody_confirms_is_only_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "watch", lambda unit, folder: None)
    begin, end = map(str, switch.switch("x", "R1", "/b"))
    assert "ExecStopPost" not in begin and "a new connection" not in end


@pytest.mark.parametrize(("sudo", "said"), [(0, ["yes"]), (1, ["sudo: a password is required"])])
def test_a_question_asks_nobody_for_a_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sudo: int, said: list[str]
) -> None:
    program = tmp_path / "sudo"
    refuses = 'echo "sudo: a password is required" >&2; exit 1'
    program.write_text(f'#!/bin/sh\n{refuses if sudo else "shift 2"}\nexec "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def asked(prompt: str) -> str:
        raise AssertionError(prompt)

    monkeypatch.setattr("pyinfra.connectors.util.getpass", asked)
    state = State(Inventory((["@local"], {})), Config())
    (one,) = state.inventory
    one.current_op_global_arguments = {"_sudo": True, "_sudo_user": None, "_get_pty": False}  # type: ignore[typeddict-item]
    monkeypatch.setattr(confirm, "host", one)
    assert isinstance(one.connector, LocalConnector)
    assert confirm._run(one.connector, "echo yes") == said
    if not sudo:
        assert confirm._ask(one.connector, "echo yes") == said
        return
    with pytest.raises(ConnectError, match=r"^sudo: a password is required$"):
        confirm._ask(one.connector, "echo yes")


def test_an_answer_that_breaks_off_is_none() -> None:
    class Broken(LocalConnector):
        def __init__(self) -> None:
            self.state = self.host = SimpleNamespace(connector_data={})  # type: ignore[assignment]

        def run_shell_command(self, command: StringCommand, *_: Any, **__: Any) -> tuple[bool, CommandOutput]:
            return False, CommandOutput([OutputLine("stdout", ": active")])

    with pytest.raises(ConnectError, match=r"^the connection broke off$"):
        confirm._ask(Broken(), "true")
