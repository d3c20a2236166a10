"""Renewing workers: the real gunicorn and uvicorn of the gateway, an application of a few lines, and clients."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path

import pytest

from deploys.lib.render import ROOT
from tests.lab.real_litellm import NEEDED, PYTHON, environment
from tests.ports import free_port
from tests.waiting import eventually

pytestmark = NEEDED

WORKERS = 2
# How long a worker takes to start: long beside an answer, and as long as LiteLLM on an idle machine.
START_SECONDS = 4
# Whoever waited for a worker to start waited longer; nobody waits as long, on a busy machine either.
NOTICED_SECONDS = START_SECONDS - 1
STREAM_SECONDS = 8
# `starts` holds how a worker starts that is forked now: after how many seconds, or never.
MASTER = """
import asyncio, os, sys
from pathlib import Path
from gunicorn.app.base import BaseApplication
folder, port, workers, stream, program = Path(sys.argv[1]), *sys.argv[2:]
sys.path.insert(0, program)
import litellm_serving
litellm_serving.write_spend_at_the_end = lambda: None  # there is no LiteLLM
litellm_serving.arrange(folder / "workers")

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await asyncio.sleep(float((folder / "starts").read_text()))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return await send({"type": "lifespan.shutdown.complete"})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/stream":
        for part in range(int(stream) * 10):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await asyncio.sleep(0.1)
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})

class Served(BaseApplication):
    def load_config(self):
        # As LiteLLM has them.
        for name, value in {"bind": f"127.0.0.1:{port}", "workers": int(workers), "timeout": 600, "preload_app": True,
                            "worker_class": "uvicorn.workers.UvicornWorker"}.items():
            self.cfg.set(name, value)

    def load(self):
        return application

Served().run()
"""


@dataclass
class Seen:
    """What clients saw: the workers that answered, the slowest answer in seconds, and what went wrong."""

    answered: list[int] = field(default_factory=list)
    slowest: float = 0.0
    failed: list[str] = field(default_factory=list)


@dataclass
class Master:
    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    def renew(self, seconds: float = START_SECONDS) -> None:
        """Reload, with workers that take so long to start."""
        (self.folder / "starts").write_text(str(seconds))
        self.process.send_signal(signal.SIGHUP)

    def children(self) -> set[int]:
        pid = self.process.pid
        return {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}

    def noted(self) -> dict[int, str]:
        """What the workers that live have noted."""
        return {
            int(path.name): path.read_text()
            for path in (self.folder / "workers").iterdir()
            if int(path.name) in self.children()
        }

    def serving(self) -> set[int]:
        return {pid for pid, note in self.noted().items() if note.isdigit()}

    def renewed(self, old: set[int]) -> bool:
        """Whether every worker is another one than ``old`` and has started."""
        now = self.serving()
        return len(now) == WORKERS and not now & old

    @contextmanager
    def asked(self, path: str = "/") -> Iterator[tuple[HTTPConnection, HTTPResponse]]:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("GET", path)
            with connection.getresponse() as answer:
                yield connection, answer

    @contextmanager
    def clients(self, pauses: tuple[float, ...] = (0, 0, 0.02, 0.1, 0.5, 1.5)) -> Iterator[Seen]:
        """A client for each pause between requests; they keep their connection until they are told to close it."""
        seen, stop = Seen(), threading.Event()

        def one(pause: float) -> None:
            with closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
                while not stop.wait(pause):
                    began = time.monotonic()
                    try:
                        connection.request("GET", "/")
                        seen.answered.append(int(connection.getresponse().read()))
                    except (OSError, HTTPException) as error:
                        seen.failed.append(f"{pause}: {error!r}")
                        connection.close()
                    seen.slowest = max(seen.slowest, time.monotonic() - began)

        with ThreadPoolExecutor(len(pauses)) as pool:
            running = [pool.submit(one, pause) for pause in pauses]
            try:
                yield seen
            finally:
                stop.set()
                for each in running:
                    each.result()


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    port = free_port()
    (tmp_path / "starts").write_text("0")
    arguments = [tmp_path, port, WORKERS, STREAM_SECONDS, ROOT / "payload" / "litellm"]
    with (tmp_path / "output").open("w") as output:
        process = subprocess.Popen(
            [PYTHON, "-c", MASTER, *map(str, arguments)],
            env=environment(tmp_path), stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
        made = Master(tmp_path, port, process)
        try:
            assert eventually(lambda: (tmp_path / "workers").exists() and len(made.serving()) == WORKERS, 30)
            yield made
        finally:
            process.terminate()
            try:
                process.wait(30)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def test_a_renewal_is_answered_all_the_time_and_resets_no_connection(master: Master) -> None:
    old, most = master.serving(), 0
    with master.clients() as seen:
        time.sleep(1)
        master.renew()
        began = time.monotonic()
        while not master.renewed(old):
            assert time.monotonic() - began < 60, master.noted()
            ending = sum(note == "ending" for note in master.noted().values())
            most = max(most, len(master.children()) - ending)
            time.sleep(0.05)
        time.sleep(3)
    assert seen.failed == []
    assert seen.slowest < NOTICED_SECONDS, "nobody waits until a worker has started"
    assert set(seen.answered) == old | master.serving(), "old and new ones answered"
    assert most == WORKERS + 1, "one starts at a time, as memory has room for"


def test_a_worker_that_never_starts_takes_nobodys_place_and_goes_with_the_next_renewal(master: Master) -> None:
    old = master.serving()
    master.renew(seconds=3600)
    assert eventually(lambda: len(master.children()) > WORKERS, 10)
    (hangs,) = master.children() - old
    with master.clients() as seen:
        time.sleep(START_SECONDS)
        assert master.serving() == old and master.children() == old | {hangs}
        master.renew(seconds=0)
        assert eventually(lambda: master.renewed(old), 30), master.noted()
    assert seen.failed == [] and seen.slowest < NOTICED_SECONDS
    assert eventually(lambda: master.children() == master.serving(), 10), "old ones and the one that hung are gone"


def test_a_worker_that_is_killed_while_it_starts_or_serves_is_replaced_by_a_new_one(master: Master) -> None:
    old = master.serving()
    master.renew()
    assert eventually(lambda: len(master.children()) > WORKERS, 10)
    os.kill(next(iter(master.children() - old)), signal.SIGKILL)
    os.kill(min(old), signal.SIGKILL)
    assert eventually(lambda: master.renewed(old), 30), master.noted()
    (master.folder / "starts").write_text("0")
    first = master.serving()
    os.kill(min(first), signal.SIGKILL)
    assert eventually(lambda: len(master.serving()) == WORKERS and min(first) not in master.serving(), 30)
    assert max(first) in master.serving()


def test_two_renewals_at_once_end_with_as_many_workers_as_there_should_be(master: Master) -> None:
    old = master.serving()
    with master.clients() as seen:
        master.renew()
        time.sleep(0.5)
        master.renew(seconds=0)
        assert eventually(lambda: master.renewed(old), 30), master.noted()
        assert eventually(lambda: master.children() == master.serving(), 10)
    assert seen.failed == [] and seen.slowest < NOTICED_SECONDS


def test_a_stream_that_is_under_way_ends_whole_and_its_worker_says_that_it_only_ends(master: Master) -> None:
    old = master.serving()
    with master.asked("/stream") as (_, answer):
        assert answer.read(1) == b"x"
        master.renew(seconds=0)
        assert eventually(lambda: master.renewed(old), 30), master.noted()
        (ending,) = (pid for pid, note in master.noted().items() if note == "ending")
        assert answer.read() == b"x" * (STREAM_SECONDS * 10 - 1) + str(ending).encode()
    assert eventually(lambda: ending not in master.children(), 10)


def test_a_stop_lets_clients_leave_and_is_over_soon(master: Master) -> None:
    with master.clients(pauses=(0.02, 0.5)) as seen:
        time.sleep(1)
        with master.asked() as (kept, answer):
            answer.read()
            began = time.monotonic()
            master.process.terminate()
            time.sleep(0.5)
            kept.request("GET", "/")
            with kept.getresponse() as last:
                assert last.getheader("connection") == "close"
        master.process.wait(20)
        seconds = time.monotonic() - began
    assert seconds < 6
    assert all("ConnectionRefused" in one for one in seen.failed), "who comes later is refused, and nobody is reset"
