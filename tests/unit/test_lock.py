"""The lock of a host: one run at a time has it, and whoever is refused is told why and what to do."""

from __future__ import annotations

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from deploys import facts
from deploys.lib import ledger
from tests.unit.ledger_box import run_id

ONE, TWO, THREE = (run_id(number) for number in range(1, 4))


class Host:
    """A folder in place of /run, in which the shell texts run for real; no unit of ours is at work unless said."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.monkeypatch = root, monkeypatch
        self.lock = root / "run" / "portcullis" / "lock"
        monkeypatch.setattr(ledger, "LOCK", str(self.lock.parent))
        monkeypatch.setattr(ledger, "program", lambda: str(root / "ledger"))
        (root / "bin").mkdir()
        self.script(root / "bin" / "systemctl", "cat units 2>/dev/null || true\n")

    def script(self, path: Path, text: str) -> None:
        path.write_text(f"#!/bin/sh\n{text}")
        path.chmod(0o755)

    def text(self, run: str, instead_of: str = "", **said: Any) -> str:
        self.monkeypatch.setattr(ledger, "RUN_ID", run)
        made = ledger.lock("deploy", "deploys/site.py", "/var/backups/it's ours", 30, 180)
        return ledger.take({**made, **said}, instead_of)

    def sh(self, text: str) -> list[str]:
        path = {"PATH": f"{self.root}/bin:/usr/bin:/bin"}
        done = subprocess.run(["sh", "-c", text], env=path, capture_output=True, text=True, timeout=20)
        assert done.stderr == "", done
        return done.stdout.splitlines()

    def take(self, run: str, instead_of: str = "", **said: Any) -> ledger.Taken:
        return ledger.taken(self.sh(self.text(run, instead_of, **said)))

    def holder(self) -> str:
        return str(json.loads(self.lock.read_text())["run"]) if self.lock.exists() else ""

    def let_go(self, run: str, outcome: str = "done", problem: str = "") -> str:
        """End ``run``; what is said of it when it did not go well."""
        self.monkeypatch.setattr(ledger, "RUN_ID", run)
        return "".join(self.sh(facts.LetGo().command(outcome=outcome, problem=problem)))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_the_first_one_has_it_and_says_who_it_is(host: Host) -> None:
    assert host.take(ONE) == ledger.Taken()
    said = json.loads(host.lock.read_text())
    assert len(host.lock.read_text().splitlines()) == 1, "what the shell looks for is in one line"
    assert {**said, "who": "", "since": "", "born": "", "revision": "", "machine": ""} == {
        "run": ONE, "kind": "deploy", "who": "", "machine": "", "pid": os.getpid(), "born": "", "revision": "",
        "command": "deploys/site.py", "root": "/var/backups/it's ours", "keep_runs": 30, "keep_days": 180, "since": "",
    }  # fmt: skip
    assert (oct(host.lock.stat().st_mode & 0o777), oct(host.lock.parent.stat().st_mode & 0o777)) == ("0o600", "0o700")
    assert host.take(ONE) == ledger.Taken() and host.holder() == ONE, "a second time by the same run"


def test_of_two_at_once_exactly_one_has_it(host: Host) -> None:
    for number in range(20):
        texts = [host.text(run_id(2 * number + n)) for n in (0, 1)]
        with ThreadPoolExecutor(2) as pool:
            answers = [ledger.taken(lines) for lines in pool.map(host.sh, texts)]
        runs = [run_id(2 * number), run_id(2 * number + 1)]
        (winner,) = [run for run, answer in zip(runs, answers, strict=True) if not answer.held]
        (refused,) = [answer for answer in answers if answer.held]
        assert host.holder() == winner == refused.held["run"], f"try {number}"
        host.lock.unlink()


def test_the_other_one_is_told_who_since_when_and_how_long_it_was_silent(host: Host) -> None:
    host.take(ONE, who="ada@desk", since="2026-01-01T00:00:00+00:00", command="deploys/site.py --limit gw-1")
    os.utime(host.lock, (time.time() - 260, time.time() - 260))
    host.script(
        host.root / "bin" / "systemctl",
        'case "$*" in *--state=active,activating*portcullis-step-*portcullis-transact-*) '
        "echo 'portcullis-step-litellm.service loaded active running x' ;; esac\n",
    )
    answer = host.take(TWO)
    assert host.holder() == ONE and 260 <= answer.silent_seconds < 280
    assert answer.at_work == ("portcullis-step-litellm.service",)
    assert ledger.explain("gw-1", answer) == (
        f"gw-1: run {ONE} of ada@desk (deploys/site.py --limit gw-1, since 2026-01-01T00:00:00+00:00) holds the lock; "
        "its last sign of life was 4 min ago; on the host portcullis-step-litellm.service is at work. "
        f"Wait until it is over; if you know that it is dead, take its place: --data take_over={ONE}"
    )


def test_without_work_on_the_host_nothing_is_said_of_it(host: Host) -> None:
    host.take(ONE, who="ada@desk", since="then")
    said = ledger.explain("db", host.take(TWO))
    assert said.startswith(f"db: run {ONE} of ada@desk (deploys/site.py, since then) holds the lock; its last sign of ")
    assert " s ago. Wait until it is over; " in said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (172799, "47 h"), (172800, "2 d")],
)
def test_a_time_is_said_in_the_largest_unit_that_says_something(seconds: int, said: str) -> None:
    assert ledger.span(seconds) == said


def test_a_place_is_taken_over_from_the_run_that_was_named_and_no_other(host: Host) -> None:
    host.take(ONE)
    assert host.take(TWO, instead_of=THREE).held["run"] == ONE and host.holder() == ONE
    assert host.take(TWO, instead_of=ONE) == ledger.Taken() and host.holder() == TWO
    assert host.take(THREE, instead_of=ONE).held["run"] == TWO, "the place was given to another one meanwhile"


def test_a_lock_that_is_torn_is_nobodys(host: Host) -> None:
    host.lock.parent.mkdir(parents=True)
    host.lock.write_text('{"ru')
    assert host.take(ONE) == ledger.Taken() and host.holder() == ONE


def test_who_lets_go_ends_its_entry_first_and_never_takes_anothers_lock_away(host: Host) -> None:
    told = host.root / "told"
    host.script(host.root / "ledger", f'echo "$* $(cat {host.lock} | wc -l)" >>{told}\n')
    host.take(ONE)
    assert host.let_go(TWO) == "" and host.holder() == ONE and not told.exists()
    assert host.let_go(ONE, "failed", "it's; broken") == ""
    assert (host.holder(), told.read_text()) == ("", f"end {ONE} failed it's; broken 1\n")
    assert host.let_go(ONE) == "", "there is nothing left to let go"
    host.take(TWO)
    host.script(host.root / "ledger", "echo cannot write >&2; exit 1\n")
    assert host.let_go(TWO) == "cannot write" and host.holder() == "", "and the next run is not held up by it"
    host.take(THREE)
    (host.root / "ledger").unlink()
    assert host.let_go(THREE) == "" and host.holder() == "", "a run that ended before it brought its tools"


def test_a_change_begins_only_for_who_still_has_the_lock(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "RUN_ID", ONE)
    command = f"{ledger.begins('tell it')}echo changed"
    assert host.sh(command) == ["changed"], "on a bare host, which cannot note anything yet"
    host.script(host.root / "ledger", 'echo "$*"\n')
    assert host.sh(command) == [f"begin {ONE} tell it", "changed"]
    host.script(host.root / "ledger", "exit 1\n")
    assert host.sh(command) == []


def test_a_run_of_this_machine_is_dead_when_its_process_is_and_others_nobody_knows() -> None:
    holder = ledger.lock("deploy", "", "/x", 3, 3)
    assert holder["pid"] == os.getpid() and holder["born"] and not ledger.is_dead(holder)
    assert ledger.is_dead({**holder, "born": "1"}), "another process has its number now"
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert ledger.is_dead({**holder, "pid": gone.pid})
    assert not ledger.is_dead({**holder, "pid": gone.pid, "machine": "another 0123"})
    assert not ledger.is_dead({}), "a lock without a word of it"
