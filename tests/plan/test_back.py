"""history.py and rollback.py on pyinfra's command line, and what a deploy notes before each of its changes."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.plan.command import Ran
from tests.plan.ledgers import HELD, HOSTS, ONE, TWO

Runs = Callable[[str], Ran]
LEDGER = r"/usr/local/lib/portcullis/transact-[0-9a-f]{12}/ledger"
BEGINS = rf"\[ ! -x {LEDGER} \] \|\| {LEDGER} begin \S+ .*? \|\| exit 1; "
# What changes a host; a command that stands in a question of pyinfra's (`if ( ... )`) does not.
CHANGING = ("--unit=portcullis-step-", "tar -xzf -", "psql --cluster", "createdb", "bootstrap.py", "ledger stage")
TAKES = "exec 9>guard; flock 9; holder="
LETS_GO = "&& rm -f lock; exit $done"


def commands(done: Ran, host: str) -> list[str]:
    return [line.partition(": ")[2] for line in done.executed if line.startswith(f"@fake/{host}: ")]


def changes(lines: list[str]) -> list[str]:
    asking = ("if ( ", "t=$(date +%s%N)", "end=$(($(date +%s)", "look() {")
    return [line for line in lines if any(word in line for word in CHANGING) and not line.startswith(asking)]


@pytest.mark.parametrize(("case", "least"), [("loud", 25), ("back", 4)])
def test_every_change_is_noted_first_and_by_who_holds_the_lock_only(ran: Runs, case: str, least: int) -> None:
    done, found = ran(case), 0
    for host in HOSTS:
        lines = commands(done, host)
        for line in changes(lines):
            found += 1
            assert re.match(BEGINS, line), f"{host}: {line[:200]}"
        # The switch itself follows on what was staged under such a word.
        for number, line in enumerate(lines):
            if switched := re.search(r"/transact (\w+) (\S+) ", line):
                staged = f"staged/{switched[1]}.{switched[2]}"
                assert [before for before in changes(lines[:number]) if staged in before], line[:200]
    assert found >= least


@pytest.mark.parametrize("case", ["loud", "back", "gateway fails"])
def test_a_run_takes_the_lock_before_its_first_change_and_lets_it_go_last(ran: Runs, case: str) -> None:
    for host in HOSTS:
        lines = commands(ran(case), host)
        taken = next(number for number, line in enumerate(lines) if TAKES in line)
        assert not changes(lines[:taken]), host
        assert LETS_GO in lines[-1] and sum(LETS_GO in line for line in lines) == 1, host
        (run,) = set(re.findall(r"ledger (?:begin|end) (\S+)", " ".join(lines)))
        assert f'"run": "{run}"' in lines[taken]
        assert case == "gateway fails" or f" end {run} done" in lines[-1], host


def test_a_host_is_told_how_the_run_ended_there_and_nowhere_that_it_went_well_when_one_failed(ran: Runs) -> None:
    ends = {host: commands(ran("gateway fails"), host)[-1] for host in HOSTS}
    said = {host: re.findall(r" end \S+ (\w+) '([^']*)'", line)[0] for host, line in ends.items()}
    assert ("failed", "litellm | Write, check and use its files: not ready") in (said["gw-1"], said["gw-2"])
    assert all(said[host] == ("interrupted", "before: health | Begin") for host in ("db", "cache", "llm"))


@pytest.mark.parametrize("case", ["dry", "back dry", "history", "verify"])
def test_who_only_looks_neither_takes_a_lock_nor_changes_anything(ran: Runs, case: str) -> None:
    done = ran(case)
    assert done.code == 0, done.text[-2000:]
    assert len(done.executed) >= len(HOSTS)
    assert not [line for line in done.executed if TAKES in line or LETS_GO in line or "ledger begin" in line]


def test_who_is_shown_a_plan_and_does_not_go_on_lets_go_again(ran: Runs) -> None:
    for host in HOSTS:
        lines = commands(ran("plan"), host)
        assert [word for line in lines for word in (TAKES, LETS_GO) if word in line] == [TAKES, LETS_GO]
        assert re.search(r" end \S+ interrupted", lines[-1]) and not changes(lines)


def test_a_host_that_another_run_holds_stops_the_whole_run(ran: Runs) -> None:
    done = ran("held")
    assert done.code == 1 and "Traceback" not in done.text
    assert done.error.endswith(
        f"nothing was changed: @fake/cache: run {HELD} of ada@desk (deploys/site.py, since noon) holds the lock; its "
        "last sign of life was 40 s ago; on the host portcullis-step-litellm.service is at work. Wait until it is "
        f"over; if you know that it is dead, take its place: --data take_over={HELD}"
    )
    assert not [line for host in HOSTS for line in changes(commands(done, host))]
    assert LETS_GO not in " ".join(commands(done, "cache")), "it is the other one's"
    for host in HOSTS:
        lines = commands(done, host)
        assert sum(TAKES in line for line in lines) <= 1
        assert host == "cache" or (TAKES in " ".join(lines)) == (LETS_GO in " ".join(lines)), host


def test_history_lists_the_runs_of_every_host(ran: Runs) -> None:
    done = ran("history")
    assert done.code == 0, done.text
    lines = [line.strip() for line in done.text.splitlines()]
    assert "@fake/db: 1 runs have changed something, the newest first" in lines
    assert lines.count(f"{TWO}  deploy in 10 s, by ada@desk, Portcullis 0123456789ab") == 2
    assert lines.count("failed: x") == 2 and lines.count("it is how the host is now") == 7


@pytest.mark.parametrize("case", ["back", "back dry"])
def test_going_back_shows_what_it_changes_on_every_host(ran: Runs, case: str) -> None:
    done = ran(case)
    assert done.code == 0, done.text[-3000:]
    assert f"@fake/db: is as it was after run {ONE}; nothing has to change" in done.text
    assert f"@fake/gw-1: going back to how it was after run {TWO}" in done.text
    assert "/etc/litellm/it changes" in done.text and "+then" in done.text
    asked = [line for line in done.executed if "$ledger plan " in line]
    assert asked and all(f"/var/backups/portcullis {TWO} ''" in line for line in asked), "one run for the whole site"


def test_going_back_works_on_what_differs_only_and_one_gateway_at_a_time(ran: Runs) -> None:
    done = ran("back")
    steps = []
    for line in done.executed:
        host, _, command = line.partition(": ")
        for word, step in (("ledger stage", "stage"), ("/transact ", "switch"), ("ledger tell", "tell")):
            found = re.search(rf"{word}.*?\b(litellm|health)\b", command)
            if found and (step != "switch" or "systemd-run" in command):
                steps.append((host, found[1], step))
    first, second = dict.fromkeys(host for host, *_ in steps)
    assert {first, second} == {"@fake/gw-1", "@fake/gw-2"}
    order = [(host, component) for component in ("litellm", "health") for host in (first, second)]
    assert steps == [(*one, step) for one in order for step in ("stage", "switch", "tell")]
    assert len(re.findall(rf"is as it was after run {TWO}; all 1 answers are right", done.text)) == 2


def test_everything_that_is_wrong_with_what_was_asked_is_said_at_once(ran: Runs) -> None:
    done = ran("back wrong")
    assert done.code == 1 and "Traceback" not in done.text and done.executed == []
    said = done.text.partition("nothing was changed: ")[2].strip().splitlines()
    assert [line.strip() for line in said] == [
        "onyl: unknown setting; did you mean only?",
        "litellm_port: going back takes no settings; the earlier run's come back",
        "run: must be a run's name, such as 20260131T235959Z-a1b2 (given: 'yesterday')",
    ]


def test_a_run_that_no_host_has_seen_is_said_with_those_they_have(ran: Runs) -> None:
    done = ran("back unknown")
    assert done.code == 1 and "Traceback" not in done.text
    assert done.error == (
        f"nothing was changed: run: no host has seen 20250101T000000Z-abcd; it could be one of: {ONE}, {TWO}"
    )
    assert not [line for line in done.executed if TAKES in line or "$ledger plan " in line]


@pytest.mark.parametrize("case", ["back elsewhere", "history elsewhere"])
def test_from_another_folder_nothing_is_asked(ran: Runs, case: str) -> None:
    done = ran(case)
    assert done.code == 1 and done.executed == [] and "Traceback" not in done.text
    assert done.error == "run pyinfra from Portcullis' own folder, the one with config.py and group_data/"
