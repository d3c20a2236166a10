"""What the launcher arranges for the workers: they say when they started, are renewed in turn, and end well.

Imported by launch.py just before it starts LiteLLM, in the gateway's own Python.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

# What stands in the note of a worker that takes no requests any more and ends those it has.
ENDING = "ending"
# gunicorn's `keepalive`, which LiteLLM leaves as it is, ends an idle connection after 2 s; and one tick of uvicorn's.
LEAVE_SECONDS = 2.5


def arrange(folder: Path) -> None:
    """Patch the servers that LiteLLM starts; ``folder`` is for the workers' notes."""
    note_finished_workers(folder)
    renew_in_turn(folder)
    let_clients_leave()
    write_spend_at_the_end()


def note_finished_workers(folder: Path) -> None:
    """Let every worker that has finished starting say so in ``folder``, in a file named after its process.

    LiteLLM's own readiness is answered by any one worker, so one that hangs while it starts goes unnoticed. The file
    holds when the process began, in clock ticks since boot, because a number may come again; and ENDING for one that
    only ends the requests it has.
    """
    from uvicorn.lifespan.on import LifespanOn

    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    startup = LifespanOn.startup

    async def startup_and_note(self: LifespanOn) -> None:
        await startup(self)
        if not self.should_exit:
            (folder / str(os.getpid())).write_text(began(os.getpid()))

    LifespanOn.startup = startup_and_note  # type: ignore[method-assign]


def began(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def has_finished(pid: int, folder: Path) -> bool:
    try:
        return (folder / str(pid)).read_text() == began(pid)
    except OSError:
        return False


def renew_in_turn(folder: Path) -> None:
    """Let gunicorn end an old worker at a reload when a new one has finished starting and takes its place.

    By itself it ends all of them as soon as it has forked the new ones, and requests wait until these have started.
    A quarter of them starts at a time: memory is reckoned with 600 MB for each, of which one that has served for long
    uses 490, and one that has just started 200, so there is room for some more and not for all of them twice.
    """
    from gunicorn.arbiter import Arbiter

    reload = Arbiter.reload

    def reload_all_but_workers(self: Any) -> None:
        self.renewed = self.worker_age  # the youngest of the workers that are old now
        self.spawn_worker = lambda: None
        try:
            reload(self)
        finally:
            del self.spawn_worker
        self.manage_workers()

    def manage_workers(self: Any) -> None:
        """Start what is missing and end what is too many; the master calls it at least once a second."""
        staying = [worker for worker in self.WORKERS.values() if not hasattr(worker, "ending")]
        finished = {worker.pid for worker in staying if has_finished(worker.pid, folder)}
        renewed = getattr(self, "renewed", 0)
        old = sorted((w for w in staying if w.age <= renewed), key=lambda w: (w.pid in finished, w.age))
        new = sorted((w for w in staying if w.age > renewed), key=lambda w: w.age)
        serving = [worker for worker in new if worker.pid in finished]
        missing = self.num_workers - len(new)
        room = -(-self.num_workers // 4) - (len(new) - len(serving))
        for _ in range(min(missing, room) if old else missing):
            self.spawn_worker()
        for worker in [*old, *serving][: max(0, len(old) + len(serving) - self.num_workers)]:
            worker.ending = True
            (folder / str(worker.pid)).write_text(ENDING)
            # One that is still starting answers nobody, and would not notice before it has started: it may hang.
            self.kill_worker(worker.pid, signal.SIGTERM if worker.pid in finished else signal.SIGKILL)

    Arbiter.reload = reload_all_but_workers
    Arbiter.manage_workers = manage_workers


def let_clients_leave() -> None:
    """Let a worker that ends say so in its answers, and close a connection only when its client knows.

    uvicorn closes every connection without a request at once, also the one on which a request is just arriving: its
    client sees a reset, and not every client asks again.
    """
    from uvicorn.server import Server

    shutdown = Server.shutdown

    async def leave_and_shutdown(self: Server, sockets: Any = None) -> None:
        # From here on the other workers, which share these sockets, take what comes.
        for listening in [*self.servers, *(sockets or [])]:
            listening.close()
        if self.config.callback_notify is not None:
            await self.config.callback_notify()  # the last time: gunicorn waits its whole timeout from now on
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        until = time.monotonic() + LEAVE_SECONDS
        while self.server_state.connections and time.monotonic() < until and not self.force_exit:
            await asyncio.sleep(0.1)
        await shutdown(self, sockets)

    Server.shutdown = leave_and_shutdown  # type: ignore[method-assign]


def write_spend_at_the_end() -> None:
    """LiteLLM ends a worker without writing what it has collected of spend: every reload would lose some."""
    from uvicorn.lifespan.on import LifespanOn

    shutdown = LifespanOn.shutdown

    async def write_and_shutdown(self: LifespanOn) -> None:
        from litellm.proxy import proxy_server as proxy

        if proxy.prisma_client is not None:
            work = proxy.update_spend(proxy.prisma_client, proxy.db_writer_client, proxy.proxy_logging_obj)
            try:
                await asyncio.wait_for(work, 10)
            except Exception as error:
                print(f"portcullis: what was spent is not written: {type(error).__name__}", file=sys.stderr, flush=True)
        await shutdown(self)

    LifespanOn.shutdown = write_and_shutdown  # type: ignore[method-assign]
