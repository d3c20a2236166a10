"""A run that is killed after any of its operations, with what it started on the host: the next one, or going back,
comes to a good end, and the ledger says what happened."""

from __future__ import annotations

from deploys.components.litellm.config import SELFTEST
from tests.host.lab.conftest import Site
from tests.host.support_http import Gateway
from tests.host.support_lab import SITE, VERIFY, run, say
from tests.host.support_ledger import ROLLBACK, killed_after, last_run, runs, state, torn
from tests.host.support_watch import differences

# Each of these runs leaves an entry, and the first ones are gone back to.
KEPT = {"backup_keep_runs": 300}
KILL = "systemctl kill -s KILL 'portcullis-transact-*' 'portcullis-step-*' 2>/dev/null; true"


def test_a_run_is_killed_after_every_operation(bookworm: Site) -> None:
    """Each begins where the one before was killed, with a change of its own in three components, and gets one further.

    Every sixteenth is followed by going back to where all began, every sixteenth by a whole run, to a known state.
    """
    server = bookworm.server
    assert run(bookworm.name).status == 0
    assert run(bookworm.name, SITE, litellm_cooldown_time=40, **KEPT).status == 0
    home, at_home = last_run(server), state(server)
    number, names = 0, []
    while True:
        number += 1
        data = {
            "litellm_cooldown_time": 40 + number,
            "redis_maxmemory_mb": 150 + number % 2,
            "postgres_extra_config": f"deadlock_timeout = '{1 + number % 3}s'",
            **KEPT,
        }
        name = killed_after(bookworm.name, number, **data)
        if not name:
            break
        names.append(name)
        server.out(KILL)
        assert torn(server) == [], f"after {number} operations, before {name}"
        if number % 16 == 3:
            back = run(bookworm.name, ROLLBACK, run=home, **KEPT)
            assert back.status == 0, f"after {number} operations, before {name}: {back.problem}"
            assert differences(at_home, state(server)) == [], f"after {number} operations, before {name}"
        elif number % 16 == 11:
            done = run(bookworm.name, SITE, **data)
            assert done.status == 0, f"after {number} operations, before {name}: {done.problem}"
            assert Gateway(server).chat(SELFTEST).status == 200
    assert len(names) > 40, names
    say(f"      killed {len(names)} times; in the ledger {len(runs(server))} runs")
    # Entries before are of other tests, also of runs that were to fail.
    assert {entry["outcome"] for entry in runs(server) if entry["run"] >= home} <= {"done", "cut off"}
    again = run(bookworm.name, SITE, **data)
    assert again.totals["no_change"] == again.totals["hosts"] > 0, again.changed
    assert run(bookworm.name, ROLLBACK, run=home, **KEPT).status == 0
    assert differences(at_home, state(server)) == []
    assert run(bookworm.name, VERIFY).status == 0


def test_a_way_back_that_is_killed_is_gone_again(bookworm: Site) -> None:
    server = bookworm.server
    assert run(bookworm.name, SITE, litellm_cooldown_time=40, **KEPT).status == 0
    home, at_home = last_run(server), state(server)
    number = 0
    while True:
        assert run(bookworm.name, SITE, litellm_cooldown_time=61, redis_maxmemory_mb=160, **KEPT).status == 0
        number += 1
        # The gates between components are operations too; nothing happens in them.
        name = killed_after(bookworm.name, 5 * number, ROLLBACK, run=home, **KEPT)
        server.out(KILL)
        assert torn(server) == []
        if not name:
            break
    assert number > 3
    assert run(bookworm.name, ROLLBACK, run=home, **KEPT).status == 0
    assert differences(at_home, state(server)) == []
