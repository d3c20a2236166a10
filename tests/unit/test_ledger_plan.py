"""What the ledger says before anybody goes back: which run is meant, and what would change, without anything secret."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from deploys import facts
from deploys.lib import back, ledger
from deploys.lib.component import Probe, Provision
from tests.unit.ledger_box import LedgerBox, run_id
from tests.unit.test_ledger_entries import failed

ONE, TWO, THREE, FOUR, FIVE, SIX = (run_id(number) for number in range(1, 7))
# Runs by kind and outcome, and the one that is gone back to when none is named.
HISTORIES = [
    ("", ""),
    ("deploy done", ""),
    ("deploy done, deploy done", ONE),
    ("deploy done, deploy done, deploy done", TWO),
    # Twice in a row goes to the same place twice.
    ("deploy done, deploy done, rollback done", ONE),
    ("deploy done, deploy done, rollback done, rollback done", ONE),
    # A deploy after that: to what it found, which is what going back had left.
    ("deploy done, deploy done, rollback done, deploy done", THREE),
    ("deploy done, deploy failed", ONE),
    ("deploy done, deploy done, deploy failed, deploy cut off", TWO),
    ("deploy done, deploy open", ONE),
    ("deploy failed, deploy done", ""),
    ("deploy done, rollback done", ""),
    ("deploy done, deploy damaged, deploy done", ONE),
]


@pytest.fixture
def box(tmp_path: Path) -> LedgerBox:
    return LedgerBox(tmp_path)


def written(box: LedgerBox, history: str) -> None:
    for number, words in enumerate(filter(None, history.split(", ")), 1):
        kind, _, outcome = words.partition(" ")
        folder = box.backups / run_id(number)
        folder.mkdir(parents=True)
        entry = {"run": run_id(number), "kind": kind, "outcome": "done" if outcome == "damaged" else outcome}
        (folder / "run.json").write_text(json.dumps(entry))
        if outcome == "done":
            (folder / "manifest.json").write_text(json.dumps({"run": run_id(number), "components": {}, "packages": {}}))


@pytest.mark.parametrize(("history", "target"), HISTORIES)
def test_without_a_name_it_is_the_run_before_the_last_deploy(
    box: LedgerBox, monkeypatch: pytest.MonkeyPatch, history: str, target: str
) -> None:
    written(box, history)
    # The toolkit says so, which asks all hosts for their runs: it has to be one run for the whole site.
    found, problems = targeted(monkeypatch, {"gateway": list(box.listed().values()) if history else []})
    assert found == target
    assert target or problems[0].startswith("there is no earlier run to go back to")


def targeted(monkeypatch: pytest.MonkeyPatch, seen: dict[str, Any], asked: str = "") -> tuple[str, tuple[str, ...]]:
    """The run that a site goes back to whose hosts have seen ``seen``."""
    hosts = [SimpleNamespace(name=name, data=SimpleNamespace(dict=dict)) for name in seen]
    for one in hosts:
        one.get_fact = lambda fact, root, name=one.name: seen[name]
    monkeypatch.setattr(back, "inventory", hosts)
    monkeypatch.setattr(back, "state", SimpleNamespace(activated_hosts=hosts))
    found: tuple[str, tuple[str, ...]] = back._target.__wrapped__(asked)
    return found


def test_one_run_for_all_hosts_also_when_the_last_one_changed_something_on_some_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = [{"run": run, "kind": "deploy", "outcome": "done", "damage": ""} for run in (ONE, TWO, THREE)]
    seen = {"db": runs[:1], "gw-1": runs, "gw-2": [runs[0], runs[2]], "new": []}
    assert targeted(monkeypatch, seen) == (TWO, ())
    assert targeted(monkeypatch, seen, ONE) == (ONE, ())
    assert targeted(monkeypatch, seen, FOUR) == (
        "", (f"run: no host has seen {FOUR}; it could be one of: {ONE}, {TWO}, {THREE}",)
    )  # fmt: skip
    assert targeted(monkeypatch, {"db": [], "gw-1": runs[:1]}) == (
        "", ("there is no earlier run to go back to: the hosts have seen one deploy at most; see deploys/history.py",)
    )  # fmt: skip


def test_a_run_that_changed_nothing_here_means_the_one_before_it(box: LedgerBox) -> None:
    box.deploy(ONE, box.version(1))
    box.deploy(THREE, box.version(3))
    assert (box.plan(TWO)["run"], box.plan(FOUR)["run"]) == (ONE, THREE)
    earlier = "20250101T000000Z-0000"
    assert box.plan(earlier) == {
        "run": "", "components": [],
        "problems": [f"there is no run {earlier} to go back to; it could be one of: {ONE}, {THREE}"],
    }  # fmt: skip
    failed(box, FOUR)
    assert box.plan(FOUR)["problems"] == [f"run {FOUR} is nothing to go back to: it ended as `failed`"]


def test_a_host_that_no_run_has_changed_says_so(box: LedgerBox, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(fact: Any, **how: str) -> Any:
        text = fact.command(**how)
        done = subprocess.run(["sh", "-c", text], env=box.environment(), capture_output=True, text=True, check=True)
        return fact.process(done.stdout.splitlines())

    monkeypatch.setattr(ledger, "TOOLS", str(box.root / "tools"))
    how = {"root": str(box.backups), "run": ONE, "only": ""}
    assert asked(facts.WayBack(), **how) == {"run": "", "components": [], "problems": [facts.NO_LEDGER]}
    assert asked(facts.Ledger(), root=str(box.backups)) == []
    # What an earlier revision of the toolkit has left there is asked when this one has not been there yet.
    for number in (1, 2):
        (box.root / "tools" / f"transact-{number}").mkdir(parents=True)
        program = box.root / "tools" / f"transact-{number}" / "ledger"
        program.write_text(f'#!/bin/sh\necho "[\\"$1\\", {number}]"\n')
        program.chmod(0o755)
        os.utime(program, (number, number))
    assert asked(facts.Ledger(), root=str(box.backups)) == ["list", 2]
    assert asked(facts.WayBack(), **how) == ["plan", 2]


def shown(box: LedgerBox, target: str) -> dict[str, tuple[str, list[str]]]:
    (part,) = box.plan(target)["components"]
    return {Path(one["path"]).name: (one["what"], one["lines"]) for one in part["changes"]}


def test_what_would_change_is_shown_file_by_file_without_anything_secret(box: LedgerBox) -> None:
    # A secret in a file that is not marked as one would be a mistake, and still not be shown.
    leak = [box.file("leak.conf", f"a\nkey: 'secret-value-{n}'\nz\n") for n in range(3)]
    empty, many = box.file("empty", ""), box.file("many.conf", "".join(f"old {n}\n" for n in range(100)))
    box.deploy(
        ONE, box.version(1, leak[1], empty, many, box.file("mode.conf", "m\n", mode="0600"), box.link("l", "/1"))
    )
    more = box.file("many.conf", "".join(f"new {n}\n" for n in range(100)))
    box.deploy(TWO, box.version(2, leak[2], more, box.file("mode.conf", "m\n", mode="0640"), box.file("l", "text\n")))
    (box.etc / "main.conf").unlink()
    found = shown(box, ONE)
    assert "secret-value" not in repr(found)
    assert found["key.env"] == ("changes", ["(a file with secrets: what differs is not shown)"])
    assert found["leak.conf"] == ("changes", ["@@ -1,3 +1,3 @@", " a", "-key: '********'", "+key: '********'", " z"])
    assert found["main.conf"][0] == "comes back" and "+main 1" in found["main.conf"][1]
    assert found["empty"] == ("comes back", [])
    owner = " ".join(box.version(1).items[0].__dict__[word] for word in ("user", "group"))
    assert found["mode.conf"] == ("mode or owner", [f"-0640 {owner}", f"+0600 {owner}"])
    assert found["current"] == ("changes", [f"-{box.root}/opt/2", f"+{box.root}/opt/1"])
    assert found["l"] == ("changes", ["@@ -1 +0,0 @@", "-text"]), "a link in place of a file"
    assert len(found["many.conf"][1]) == 61 and found["many.conf"][1][-1] == "... and 141 lines more"
    assert "note.conf" not in found and "x.service" not in found


def test_a_file_that_is_another_kind_of_thing_now_is_shown_as_changed(box: LedgerBox) -> None:
    box.deploy(ONE, box.version(1, box.file("empty", ""), box.link("l", "/nowhere")))
    main = box.etc / "main.conf"
    main.rename(box.etc / "elsewhere")
    main.symlink_to(box.etc / "elsewhere")  # the same text, behind a link
    (box.etc / "l").unlink()
    (box.etc / "l").write_text("")
    (box.etc / "empty").unlink()
    found = shown(box, ONE)
    assert {name: what for name, (what, _) in found.items()} == {
        "main.conf": "changes", "l": "changes", "empty": "comes back"
    }  # fmt: skip
    (part,) = box.plan(ONE)["components"]
    assert part["stopped"] == ""
    (box.fake / "active.x.service").write_text("inactive\n")
    (box.state / "pending" / "x").write_text(f"{box.backups}/{TWO}\t/x\n")
    (part,) = box.plan(ONE)["components"]
    assert (part["stopped"], part["pending"], part["version"]) == ("x.service", True, "1.0 of x")


def test_a_service_is_told_again_what_it_does_not_know_any_more_and_nothing_else(box: LedgerBox) -> None:
    def told(what: str) -> tuple[Any, ...]:
        return (box.told("Role", what, "secret-1"), box.told("Base", "same"))

    box.deploy(ONE, box.version(1, provisions=told("first")))
    assert box.ledger("tell", str(box.backups), ONE, "x").code == 0
    assert box.tellings() == ["Role first", "Base same"]
    box.deploy(TWO, box.version(2, provisions=told("second")))
    assert box.ledger("tell", str(box.backups), TWO, "x").code == 0
    assert box.tellings() == ["Role second"]
    (part,) = box.plan(ONE)["components"]
    assert part["untold"] == ["Role"]
    assert box.go_back(ONE, THREE)["x"].code == 0
    assert box.tellings() == ["Role first"]
    assert box.go_back(ONE, FOUR) == {} and box.tellings() == []
    # What it was told alone is a reason as well: nothing else differs.
    (box.fake / "knows.Base").write_text("another\n")
    assert [(part["changes"], part["untold"]) for part in box.plan(ONE)["components"]] == [([], ["Base"])]
    assert box.go_back(ONE, FIVE)["x"].code == 0 and box.tellings() == ["Base same"]


@pytest.mark.parametrize("command", ["echo connection refused >&2; exit 3", "echo connection refused"])
def test_what_a_service_does_not_take_is_said_without_the_secret(box: LedgerBox, command: str) -> None:
    stubborn = Provision("Role", "false", f"cat >/dev/null; {command}", SecretStr("secret-value"))
    box.deploy(ONE, box.version(1, provisions=(stubborn,)))
    went = box.go_back(ONE, TWO)["x"]
    assert (went.code, went.out, went.sentence) == (1, "Role: connection refused\n", "")
    assert box.listed()[TWO]["outcome"] == "failed"


def test_the_host_is_asked_what_was_asked_when_its_state_was_made(box: LedgerBox) -> None:
    probes = (
        Probe("answers", "echo fine"),
        Probe("is quick", "sleep 5", seconds=1),
        Probe("is there", "echo no; false"),
    )
    box.deploy(ONE, box.version(1, probes=probes), box.beside("y 1\n"))
    lines = [json.loads(line) for line in box.ledger("verify").out.splitlines()]
    assert [(one["component"], one["question"], one["right"], one["said"]) for one in lines] == [
        ("x", "answers", True, "fine"),
        ("x", "is quick", False, "no answer in 1 s"),
        ("x", "is there", False, "no"),
    ]
    assert box.ledger("verify", "y").out.strip() == ""


def test_a_word_that_the_ledger_does_not_know_is_no_change(box: LedgerBox) -> None:
    for words in ((), ("begin", ONE), ("end",), ("list",), ("plan", "x"), ("sudo", "x")):
        done = box.ledger(*words)
        assert done.code == 2 and done.sentence.startswith("The run ledger of this host"), words
    assert not box.backups.exists()
