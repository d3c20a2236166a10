"""A run that is killed after any of its operations, with what it started on the host: the next one, or going back,
comes to a good end, and the ledger says what happened."""

from __future__ import annotations

from deploys.components.litellm.config import SELFTEST
from tests.host.lab.conftest import Site
from tests.host.support_http import Gateway
from tests.host.support_lab import SITE, VERIFY, Run, run, say
from tests.host.support_ledger import ROLLBACK, killed_after, last_run, runs, state, torn
from tests.host.support_watch import differences

# Each of these runs leaves an entry, and the first ones are gone back to.
KEPT = {"backup_keep_runs": 300}
KILL = "systemctl kill -s KILL 'portcullis-transact-*' 'portcullis-step-*' 2>/dev/null; true"


def moments(done: Run) -> list[int]:
    """Numbers of the operations after which to kill a run like this one: each that did something, and the one before.

    A run is killed when the next operation has begun, so each is cut off in the middle as well. One that does nothing
    leaves the host as the one before it has, and so does a run that is killed after it.
    """
    busy = [number for number, one in enumerate(done.results["operations"], 1) if one["success"]]
    return sorted({number for one in busy for number in (one - 1, one) if number})


def test_a_run_is_killed_after_every_operation(bookworm: Site) -> None:
    """Each begins where the one before was killed, with a change of its own in three components, and gets further.

    Every fourth is followed by going back to where all began, every fourth by a whole run, to a known state.
    """
    server = bookworm.server

    def change(number: int) -> dict[str, object]:
        return {
            "litellm_cooldown_time": 40 + number,
            "redis_maxmemory_mb": 150 + number % 2,
            "postgres_extra_config": f"deadlock_timeout = '{1 + number % 3}s'",
            **KEPT,
        }

    assert run(bookworm.name).status == 0
    whole = run(bookworm.name, SITE, **change(1))
    assert whole.status == 0, whole.problem
    assert len(whole.changed) >= 3, whole.changed
    assert run(bookworm.name, SITE, litellm_cooldown_time=40, **KEPT).status == 0
    home, at_home = last_run(server), state(server)
    names = []
    for turn, number in enumerate(moments(whole), 1):
        data = change(turn)
        name = killed_after(bookworm.name, number, **data)
        assert name, f"the run has no {number + 1} operations"
        names.append(name)
        server.out(KILL)
        assert torn(server) == [], f"after {number} operations, before {name}"
        if turn % 4 == 1:
            back = run(bookworm.name, ROLLBACK, run=home, **KEPT)
            assert back.status == 0, f"after {number} operations, before {name}: {back.problem}"
            assert differences(at_home, state(server)) == [], f"after {number} operations, before {name}"
        elif turn % 4 == 3:
            done = run(bookworm.name, SITE, **data)
            assert done.status == 0, f"after {number} operations, before {name}: {done.problem}"
            assert Gateway(server).chat(SELFTEST).status == 200
    say(f"      killed {len(names)} times, before {', '.join(names)}; in the ledger {len(runs(server))} runs")
    # A run that was killed is found cut off by the next one that changes something.
    data = change(len(names) + 1)
    assert run(bookworm.name, SITE, **data).status == 0
    # Entries before are of other tests, also of runs that were to fail.
    assert {entry["outcome"] for entry in runs(server) if entry["run"] >= home} <= {"done", "cut off"}
    again = run(bookworm.name, SITE, **data)
    assert again.totals["no_change"] == again.totals["hosts"] > 0, again.problem
    assert run(bookworm.name, ROLLBACK, run=home, **KEPT).status == 0
    assert differences(at_home, state(server)) == []
    assert run(bookworm.name, VERIFY).status == 0


def test_a_way_back_that_is_killed_is_gone_again(bookworm: Site) -> None:
    server = bookworm.server
    assert run(bookworm.name, SITE, litellm_cooldown_time=40, **KEPT).status == 0
    home, at_home = last_run(server), state(server)
    away = {"litellm_cooldown_time": 61, "redis_maxmemory_mb": 160, **KEPT}
    assert run(bookworm.name, SITE, **away).status == 0
    whole = run(bookworm.name, ROLLBACK, run=home, **KEPT)
    assert whole.status == 0 and len(whole.changed) >= 2, whole.problem
    for number in moments(whole):
        assert run(bookworm.name, SITE, **away).status == 0
        assert killed_after(bookworm.name, number, ROLLBACK, run=home, **KEPT)
        server.out(KILL)
        assert torn(server) == []
    assert run(bookworm.name, ROLLBACK, run=home, **KEPT).status == 0
    assert differences(at_home, state(server)) == []
