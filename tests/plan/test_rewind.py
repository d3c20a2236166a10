"""rollback.py over a migration, on a site whose database is not on the gateways: what happens where, in which order."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.plan.command import Ran
from tests.plan.ledgers import THREE, TWO

Runs = Callable[[str], Ran]
KEEPS_NONE = "the host that keeps them is not part of this run, or keeps none; run without --limit"
WHY = "litellm: the version that would come back cannot use the database as it is: the migration M drops"
DUMP = f"the dump that run {THREE} made (2026-01-01T00:00:09Z, 12 rows)"
# A command that changes something, and what it does.
STEPS = {
    r"systemctl stop": "stop",
    r"--unit=portcullis-step-postgres-data": "restore",
    r"ledger stage \S+ (\S+) litellm": "stage",
    r"--unit=portcullis-transact-litellm": "switch",
    r"ledger tell": "tell",
    r"--unit=portcullis-step-postgres-undo": "undo",
}


def steps(done: Ran) -> list[tuple[str, str]]:
    found = []
    for line in done.executed:
        name, _, text = line.partition(": ")
        for pattern, what in STEPS.items():
            if (match := re.search(pattern, text)) and "health" not in text:
                found.append((name.removeprefix("@fake/"), " ".join([what, *match.groups()])))
    return found


def test_gateways_stop_the_database_is_exchanged_and_they_go_back_one_by_one(ran: Runs) -> None:
    done = ran("rewind")
    assert done.code == 0, done.text[-3000:]
    made = steps(done)
    assert sorted(made[:2]) == [("gw-1", "stop"), ("gw-2", "stop")] and made[2] == ("db", "restore")
    first, second = made[3][0], made[6][0]
    assert {first, second} == {"gw-1", "gw-2"}
    assert made[3:] == [(name, what) for name in (first, second) for what in (f"stage {TWO}", "switch", "tell")]
    plans = [line for line in done.executed if "$ledger plan " in line]
    with_it = {line.partition(": ")[0] for line in plans if f" {TWO} '' litellm; else " in line}
    assert with_it == {"@fake/gw-1", "@fake/gw-2"}, "planned with other data"
    assert f"@fake/db: {DUMP} is put back for litellm, because the migration M drops" in done.text
    assert done.text.count("is put back for litellm") == 1, "once for the site"


def test_what_is_exchanged_is_noted_first_and_by_who_holds_the_lock(ran: Runs) -> None:
    for line in ran("rewind").executed:
        if re.search(r"systemctl stop|--unit=portcullis-step-postgres", line):
            assert re.search(r": \[ ! -x \S+/ledger \] \|\| \S+/ledger begin \S+ .*? \|\| exit 1; ", line), line


def test_when_a_gateway_does_not_go_back_all_of_it_is_taken_back(ran: Runs) -> None:
    done = ran("rewind fails")
    assert done.code == 1 and "Traceback" not in done.text
    made = steps(done)
    assert sorted(made[:2]) == [("gw-1", "stop"), ("gw-2", "stop")] and made[2] == ("db", "restore")
    first = made[3][0]
    assert made[3:5] == [(first, f"stage {TWO}"), (first, "switch")], "the other one is not begun"
    assert sorted(made[5:7]) == [("gw-1", "stop"), ("gw-2", "stop")] and made[7] == ("db", "undo")
    forward = {name for name, what in made[8:] if what == f"stage {THREE}"}
    assert forward == {"gw-1", "gw-2"}, "both serve as before"
    assert "going back failed on @fake/" in done.text


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (
            "rewind unsaid",
            f"{WHY}. It needs {DUMP}, which would be put back; stored since, and not in it: keys (1). The present "
            "database is dumped first, and stays beside it. To go on: .venv/bin/pyinfra -y INVENTORY "
            "deploys/rollback.py "
            f"--data only=litellm --data run={TWO} --data restore_dump=true",
        ),
        (
            "rewind without db",
            f"{WHY}. A dump has to be put back, and {KEEPS_NONE}",
        ),
        (
            "rewind without gw",
            f"{WHY}. A dump has to be put back, and @fake/gw-2, not part of this run, would go on with it; run without "
            "--limit",
        ),
    ],
)
def test_what_nobody_asked_for_or_cannot_be_whole_is_refused_before_anything_changes(
    ran: Runs, case: str, said: str
) -> None:
    done = ran(case)
    assert done.code == 1 and "Traceback" not in done.text
    assert re.sub(r"-y \S+/rewind.py", "-y INVENTORY", done.error) == f"nothing was changed: {said}"
    assert steps(done) == []


def test_a_dry_run_says_it_and_changes_nothing(ran: Runs) -> None:
    done = ran("rewind dry")
    assert done.code == 0, done.text[-2000:]
    assert f"@fake/db: {DUMP} is put back for litellm" in done.text
    assert "stored since, and not in it: keys (1)" in done.text
    assert steps(done) == [] and "ledger begin" not in " ".join(done.executed)
