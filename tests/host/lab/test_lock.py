"""Two operators and one host: the second waits, and takes the place of a dead one on purpose only."""

from __future__ import annotations

import json
import time

from tests.host.lab.conftest import Deployed
from tests.host.support import Server
from tests.host.support_lab import SITE, VERIFY, Running, run, until
from tests.host.support_ledger import HISTORY, ROLLBACK, runs, state

LOCK = "/run/portcullis/lock"


def holder(server: Server) -> dict[str, str]:
    text = server.sh(f"cat {LOCK} 2>/dev/null").out
    found: dict[str, str] = json.loads(text) if text.strip() else {}
    return found


def test_the_second_of_two_is_told_who_is_at_work(trixie: Deployed) -> None:
    server = trixie.server
    assert run(trixie.name).status == 0
    first = Running(trixie.name, litellm_cooldown_time=51)
    until(lambda: holder(server), 60, "the first run has the lock")
    second = run(trixie.name, SITE, litellm_cooldown_time=52)
    back = run(trixie.name, ROLLBACK)
    looked = run(trixie.name, VERIFY), run(trixie.name, HISTORY)
    done = first.finish()
    assert done.status == 0, done.problem
    for refused in (second, back):
        assert refused.status == 1 and "nothing was changed: " in refused.log, refused.problem
        assert "holds the lock; its last sign of life was" in refused.log
        assert "--data take_over=" in refused.log
    assert looked[1].status == 0, "who only looks needs no lock"
    assert "cooldown_time: 51" in server.out("cat /etc/litellm/config.yaml")
    assert holder(server) == {}, "the lock is still there after the run"


def test_a_lock_of_a_dead_run_elsewhere_is_taken_over_on_purpose_only(trixie: Deployed) -> None:
    server = trixie.server
    going = Running(trixie.name, litellm_cooldown_time=53)
    until(lambda: holder(server), 60, "the run has the lock")
    time.sleep(1)
    going.kill()
    dead = holder(server)
    # As if it had been started on another machine, of which nothing is known here.
    server.out(f'sed -i \'s/"machine": "[^"]*"/"machine": "laptop 1234"/\' {LOCK}')
    before = state(server)
    refused = run(trixie.name, SITE, litellm_cooldown_time=54)
    assert refused.status == 1 and f"take its place: --data take_over={dead['run']}" in refused.log, refused.problem
    wrong = run(trixie.name, SITE, litellm_cooldown_time=54, take_over="20200101T000000Z-abcd")
    assert wrong.status == 1, wrong.problem
    assert state(server) == before
    done = run(trixie.name, SITE, litellm_cooldown_time=54, take_over=dead["run"])
    assert done.status == 0, done.problem
    assert "cooldown_time: 54" in server.out("cat /etc/litellm/config.yaml")
    assert holder(server) == {}


def test_a_run_of_this_machine_that_died_is_in_nobodys_way(trixie: Deployed) -> None:
    server = trixie.server
    going = Running(trixie.name, litellm_cooldown_time=55)
    until(lambda: "litellm | Write" in going.log or not going.alive(), 120, "the run is at work")
    going.kill()
    dead = holder(server)["run"]
    done = run(trixie.name, SITE, litellm_cooldown_time=56)
    assert done.status == 0, done.problem
    assert f"run {dead} of this machine died with the lock: it is taken over" in done.log
    assert [entry["outcome"] for entry in runs(server) if entry["run"] == dead] in ([], ["cut off"])


def test_a_run_whose_lock_was_taken_changes_nothing_more(trixie: Deployed) -> None:
    server = trixie.server
    going = Running(trixie.name, litellm_cooldown_time=57)
    until(lambda: holder(server), 60, "the run has the lock")
    server.out(f'sed -i \'s/"run": "[^"]*"/"run": "20990101T000000Z-abcd"/\' {LOCK}')
    done = going.finish()
    assert done.status == 1, done.problem
    assert "has lost the lock of this host: run 20990101T000000Z-abcd" in done.log
    assert "cooldown_time: 57" not in server.out("cat /etc/litellm/config.yaml")
    server.out(f"rm -f {LOCK}")
    assert run(trixie.name).status == 0
