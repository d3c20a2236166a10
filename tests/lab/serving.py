"""The real gunicorn and uvicorn of the gateway with an application of a few lines, and clients that ask it."""

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

from deploys.lib.render import ROOT
from tests.lab.real_litellm import PYTHON, environment
from tests.ports import free_port
from tests.waiting import eventually

# How long a worker takes to start: long beside an answer, and as long as LiteLLM on an idle machine.
START_SECONDS = 4
# Whoever waited for a worker to start waited longer; nobody waits as long, on a busy machine either.
NOTICED_SECONDS = START_SECONDS - 1
RETRY_SECONDS = 10
# `starts` says how a worker starts that is forked now: after how many seconds, or that it fails. `ended` gets a file
# from each that ends as LiteLLM's do, which write there what was spent.
MASTER = """
import asyncio, os, sys
from pathlib import Path
from gunicorn.app.base import BaseApplication
from gunicorn.config import GracefulTimeout
folder, port, program, retry = Path(sys.argv[1]), *sys.argv[2:5]
workers, timeout, drain = map(int, sys.argv[5:])
sys.path.insert(0, program)
GracefulTimeout.default = drain
import litellm_serving
litellm_serving.RETRY_SECONDS, litellm_serving.NOTIFY_SECONDS = int(retry), 1
litellm_serving.write_spend_at_the_end = lambda: None  # there is no LiteLLM
litellm_serving.arrange(folder / "workers", drain)

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        starts = (folder / "starts").read_text()
        if starts == "fails":
            return await send({"type": "lifespan.startup.failed", "message": "the database is away"})
        await asyncio.sleep(float(starts))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        (folder / "ended" / str(os.getpid())).touch()
        return await send({"type": "lifespan.shutdown.complete"})
    _, how, seconds = (scope["path"] + "//").split("/")[:3]
    if how == "slow":
        await asyncio.sleep(int(seconds))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if how == "stream":
        for part in range(int(seconds) * 10):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await asyncio.sleep(0.1)
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})

class Served(BaseApplication):
    def load_config(self):
        self.cfg.set("bind", f"127.0.0.1:{port}")
        self.cfg.set("workers", workers)
        self.cfg.set("timeout", timeout)
        self.cfg.set("worker_class", "uvicorn.workers.UvicornWorker")

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
    workers: int

    def renew(self, starts: object = START_SECONDS) -> None:
        """Reload, with workers that take so many seconds to start, or fail."""
        (self.folder / "starts").write_text(str(starts))
        self.process.send_signal(signal.SIGHUP)

    def states(self) -> dict[int, str]:
        """Every worker that lives, and whether it is `starting`, `serving` or `ending`."""
        pid, found = self.process.pid, {}
        for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            try:
                found[int(word)] = "ending" if "ending" in (self.folder / "workers" / word).read_text() else "serving"
            except FileNotFoundError:
                found[int(word)] = "starting"
        return found

    def serving(self) -> set[int]:
        return {pid for pid, state in self.states().items() if state == "serving"}

    def renewed(self, old: set[int]) -> bool:
        """Whether every worker is another one than ``old`` and has started."""
        now = self.serving()
        return len(now) == self.workers and not now & old

    @contextmanager
    def asked(self, path: str = "/") -> Iterator[tuple[HTTPConnection, HTTPResponse]]:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("GET", path)
            with connection.getresponse() as answer:
                yield connection, answer

    @contextmanager
    def clients(self, pauses: tuple[float, ...] = (0, 0, 0.02, 0.1, 0.5, 1.0)) -> Iterator[Seen]:
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


@contextmanager
def started(folder: Path, workers: int = 2, timeout: int = 600, drain: int = 30, starts: str = "0") -> Iterator[Master]:
    """A master with so many workers; ``timeout`` is gunicorn's for a worker that says nothing."""
    port = free_port()
    (folder / "starts").write_text(starts)
    (folder / "ended").mkdir()
    arguments = [folder, port, ROOT / "payload" / "litellm", RETRY_SECONDS, workers, timeout, drain]
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(
            [PYTHON, "-c", MASTER, *map(str, arguments)],
            env=environment(folder), stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
        made = Master(folder, port, process, workers)
        try:
            assert eventually(lambda: process.poll() is not None or len(made.serving()) == workers, 30)
            assert process.poll() is None, f"ended with {process.poll()}: {(folder / 'output').read_text()}"
            yield made
        finally:
            process.terminate()
            try:
                process.wait(30)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
