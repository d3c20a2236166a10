"""Renewing workers: nobody waits for a start, nobody is reset, and what fails at its start takes nobody's place."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.lab.real_litellm import NEEDED
from tests.lab.serving import NOTICED_SECONDS, RETRY_SECONDS, START_SECONDS, Master, started
from tests.waiting import eventually

pytestmark = NEEDED


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    with started(tmp_path) as made:
        yield made


@pytest.mark.parametrize(("workers", "at_a_time"), [(1, 1), (2, 1), (5, 2)])
def test_a_renewal_is_answered_all_the_time_and_resets_no_connection(
    tmp_path: Path, workers: int, at_a_time: int
) -> None:
    with started(tmp_path, workers) as master:
        old, most = master.serving(), 0
        with master.clients() as seen:
            assert eventually(lambda: seen.answered, 30)
            master.renew()
            began = time.monotonic()
            while not master.renewed(old):
                assert time.monotonic() - began < 90, master.states()
                most = max(most, sum(state == "starting" for state in master.states().values()))
                time.sleep(0.05)
            assert eventually(lambda: set(seen.answered) & master.serving(), 30), "new ones answer"
        assert set(seen.answered) & old and set(seen.answered) <= old | master.serving()
        assert seen.failed == []
        assert seen.slowest < NOTICED_SECONDS, "nobody waits until a worker has started"
        assert most == at_a_time, "as many start at a time as memory has room for"


def test_a_worker_that_never_starts_takes_nobodys_place_and_goes_with_the_next_renewal(master: Master) -> None:
    old = master.serving()
    master.renew(starts=3600)
    assert eventually(lambda: "starting" in master.states().values(), 10)
    with master.clients() as seen:
        time.sleep(START_SECONDS)
        assert master.serving() == old and len(master.states()) == len(old) + 1
        master.renew(starts=0)
        assert eventually(lambda: master.renewed(old), 30), master.states()
    assert seen.failed == [] and seen.slowest < NOTICED_SECONDS
    assert eventually(lambda: set(master.states()) == master.serving(), 10), "old ones and the one that hung are gone"


def failures(master: Master) -> int:
    return (master.folder / "output").read_text().count("A new worker failed at its start")


@pytest.mark.parametrize(("workers", "at_a_time"), [(2, 1), (5, 2)])
def test_workers_that_fail_at_their_start_end_nobody_and_are_tried_again_in_a_while(
    tmp_path: Path, workers: int, at_a_time: int
) -> None:
    with started(tmp_path, workers) as master:
        old = master.serving()
        with master.clients() as seen:
            master.renew(starts="fails")
            assert eventually(lambda: failures(master) >= at_a_time, 30)
            first = time.monotonic()
            assert eventually(lambda: failures(master) > at_a_time, 60)
            assert time.monotonic() - first > RETRY_SECONDS / 2, "it is not tried all the time"
            assert master.serving() == old and master.process.poll() is None
            (master.folder / "starts").write_text("0")
            assert eventually(lambda: master.renewed(old), 60), master.states()
        assert seen.failed == [] and seen.slowest < NOTICED_SECONDS


def test_nobody_waits_for_the_next_try_when_no_worker_is_left(master: Master) -> None:
    master.renew(starts="fails")
    assert eventually(lambda: failures(master), 30)
    (master.folder / "starts").write_text("0")
    old = master.serving()
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: master.renewed(old), RETRY_SECONDS - 2), master.states()


def test_a_first_start_that_fails_ends_the_master(tmp_path: Path) -> None:
    """systemd says then that the unit failed; trying again for ever would look like a slow start.

    With 3, or with 1 where the second worker fails while gunicorn is ending because of the first.
    """
    with ExitStack() as stack, pytest.raises(AssertionError, match=r"^ended with [13]: "):
        stack.enter_context(started(tmp_path, starts="fails"))


def test_a_worker_that_is_killed_while_it_starts_or_serves_is_replaced_by_a_new_one(master: Master) -> None:
    old = master.serving()
    master.renew()
    assert eventually(lambda: "starting" in master.states().values(), 10)
    os.kill(next(pid for pid, state in master.states().items() if state == "starting"), signal.SIGKILL)
    os.kill(min(old), signal.SIGKILL)
    assert eventually(lambda: master.renewed(old), 30), master.states()
    (master.folder / "starts").write_text("0")
    first = master.serving()
    os.kill(min(first), signal.SIGKILL)
    assert eventually(lambda: master.renewed({min(first)}), 30), master.states()
    assert max(first) in master.serving()


def test_workers_that_die_during_a_renewal_that_hangs_are_replaced_all_the_same(tmp_path: Path) -> None:
    with started(tmp_path, workers=3) as master:
        old = master.serving()
        master.renew(starts=3600)
        assert eventually(lambda: "starting" in master.states().values(), 10)
        (master.folder / "starts").write_text("0")
        killed = set(sorted(old)[:2])
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: len(master.serving() - killed) >= 2, 20), master.states()


def test_two_renewals_at_once_end_with_as_many_workers_as_there_should_be(master: Master) -> None:
    old = master.serving()
    with master.clients() as seen:
        master.renew()
        time.sleep(0.5)
        master.renew(starts=0)
        assert eventually(lambda: master.renewed(old), 30), master.states()
        assert eventually(lambda: set(master.states()) == master.serving(), 10)
    assert seen.failed == [] and seen.slowest < NOTICED_SECONDS


def test_a_stream_that_is_under_way_ends_whole_and_its_worker_says_that_it_only_ends(tmp_path: Path) -> None:
    """Also one that takes longer than gunicorn waits for a worker that says nothing."""
    with started(tmp_path, timeout=5) as master:
        old = master.serving()
        with master.asked("/stream/20") as (_, answer):
            assert answer.read(1) == b"x"
            master.renew(starts=0)
            assert eventually(lambda: master.renewed(old), 30), master.states()
            assert eventually(lambda: len(master.states()) == len(old) + 1, 10)
            (ending,) = (pid for pid, state in master.states().items() if state == "ending")
            assert answer.read() == b"x" * 199 + str(ending).encode()
        assert eventually(lambda: ending not in master.states(), 10)
        assert (tmp_path / "ended" / str(ending)).exists()


@pytest.mark.parametrize("drain", [2, 30])
def test_a_stop_leaves_time_for_what_comes_after_the_clients(tmp_path: Path, drain: int) -> None:
    with started(tmp_path, drain=drain) as master:
        workers = master.serving()
        with master.clients(pauses=(0.02, 0.5)), master.asked() as (_, idle):
            idle.read()
            master.process.terminate()
            began = time.monotonic()
            master.process.wait(20)
            assert time.monotonic() - began < 6
        assert {int(path.name) for path in (tmp_path / "ended").iterdir()} == workers, "spend was written"


def test_a_stop_tells_clients_with_the_answers_that_they_wait_for(tmp_path: Path) -> None:
    """Of a request that came before, and of one on a connection that was idle."""
    with started(tmp_path, workers=1) as master, master.asked() as (idle, first):
        (worker,) = master.serving()
        assert int(first.read()) == worker
        with closing(HTTPConnection("127.0.0.1", master.port, timeout=20)) as waiting:
            waiting.request("GET", "/slow/1")
            time.sleep(0.3)
            master.process.terminate()
            while master.states().get(worker) == "serving":
                time.sleep(0.01)
            idle.request("GET", "/")
            for connection in (idle, waiting):
                with connection.getresponse() as answer:
                    assert int(answer.read()) == worker and answer.getheader("connection") == "close"


def test_a_full_disk_costs_no_request(master: Master) -> None:
    """Workers are known to serve by what they tell gunicorn; their notes, which may get lost, are for others."""
    old = master.serving()
    for path in (master.folder / "workers").iterdir():
        path.write_text("")
    with master.asked("/stream/4") as (_, answer):
        assert answer.read(1) == b"x"
        master.renew(starts=0)
        assert int(answer.read().lstrip(b"x")) in old
    assert eventually(lambda: master.renewed(old), 30), master.states()
