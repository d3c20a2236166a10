"""What the launcher arranges for the workers: they say when they started, are renewed in turn, and end well.

Imported by launch.py just before it starts LiteLLM, in the gateway's own Python. gunicorn and uvicorn are patched, at
the versions of the lock; tests/lab/test_serving.py runs them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

# gunicorn's `keepalive`, which LiteLLM leaves as it is, ends an idle connection after 2 s; and some ticks of uvicorn's.
LEAVE_SECONDS = 2.5
# A worker that ends after a reload has half an hour for the requests it has: so long it says that it lives, and then
# LiteLLM's timeout of gunicorn's, 600 s, begins.
LAST_SECONDS = 1200
NOTIFY_SECONDS = 60
# Before the next try where new workers fail at their start and old ones serve.
RETRY_SECONDS = 30


def arrange(folder: Path, drain: float) -> None:
    """Patch the servers that LiteLLM starts; ``folder`` is for the workers' notes, ``drain`` what a stop may take."""
    note_finished_workers(folder)
    renew_in_turn(folder)
    survive_failed_starts(folder)
    # The rest is for requests, and for the spend that is written after them.
    let_clients_leave(folder, min(LEAVE_SECONDS, drain / 4))
    write_spend_at_the_end()


def began(pid: int) -> str:
    """When a process began, in clock ticks since boot, because a number may come again; empty when it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def note(folder: Path, pid: int, word: str = "") -> None:
    # A full disk costs a note and not the master, whose loop ends with everything at an error.
    with suppress(OSError):
        (folder / str(pid)).write_text(word + began(pid))


def has_started(worker: Any) -> bool:
    """Whether a worker has said to gunicorn that it lives, which it does first when it takes requests.

    It does that by setting a file's time to that of the monotonic clock; until then it is the wall clock's, far later.
    Nothing of that needs room on a disk.
    """
    try:
        return bool(worker.tmp.last_update() <= time.monotonic())
    except (OSError, ValueError):
        return False  # it is gone, and its file closed


def state(folder: Path, worker: Any) -> str:
    """`starting`, `serving` or `ending`."""
    with suppress(OSError):
        # By itself, after so many requests.
        if (folder / str(worker.pid)).read_text() == f"ending {began(worker.pid)}":
            return "ending"
    if hasattr(worker, "told"):
        return "ending"
    return "serving" if has_started(worker) else "starting"


def note_finished_workers(folder: Path) -> None:
    """Let every worker that has finished starting say so in ``folder``, in a file named after its process.

    LiteLLM's own readiness is answered by any one worker, so one that hangs while it starts goes unnoticed.
    """
    from uvicorn.lifespan.on import LifespanOn

    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    startup = LifespanOn.startup

    async def startup_and_note(self: LifespanOn) -> None:
        await startup(self)
        if not self.should_exit:
            note(folder, os.getpid())

    LifespanOn.startup = startup_and_note  # type: ignore[method-assign]


def renew_in_turn(folder: Path) -> None:
    """Let gunicorn end an old worker at a reload when a new one has finished starting and takes its place.

    By itself it ends all of them as soon as it has forked the new ones, and requests wait until these have started.
    A quarter of them starts at a time: memory is reckoned with 600 MB for each (WORKER_MB), of which one that has
    served for long uses 490 and one that has just started 200 (measured), so there is room for a few more.
    """
    from gunicorn.arbiter import Arbiter

    reload, kill_worker = Arbiter.reload, Arbiter.kill_worker

    def reload_all_but_workers(self: Any) -> None:
        self.renewed = self.worker_age  # the youngest of the workers that are old now
        self.again = 0.0
        self.spawn_worker = lambda: None
        try:
            reload(self)
        finally:
            del self.spawn_worker
        self.manage_workers()

    def manage_workers(self: Any) -> None:
        """End who is too many and start what is missing; the master calls it at least once a second."""
        # A list at once: a child's signal takes from the dictionary between two lines of ours.
        for worker in list(self.WORKERS.values()):
            if not began(worker.pid):
                self.WORKERS.pop(worker.pid, None)  # it ended before gunicorn had written down that it began
        staying = [(w, of) for w in list(self.WORKERS.values()) if (of := state(folder, w)) != "ending"]
        renewed = getattr(self, "renewed", 0)
        staying.sort(key=lambda one: (one[0].age > renewed, one[1] == "serving", one[0].age))
        old = [one for one in staying if one[0].age <= renewed]
        new = staying[len(old) :]
        serving = [one for one in new if one[1] == "serving"]
        for worker, of in [*old, *serving][: max(0, len(old) + len(serving) - self.num_workers)]:
            worker.told = True
            if of == "serving":
                note(folder, worker.pid, "ending ")
            self.kill_worker(worker.pid, signal.SIGTERM)
        missing = self.num_workers - len(new)
        if old:
            room = -(-self.num_workers // 4) - (len(new) - len(serving))
            missing = min(missing, max(room, self.num_workers - len(staying)))
        if time.monotonic() < getattr(self, "again", 0.0) and any(of == "serving" for _, of in staying):
            return
        for _ in range(missing):
            self.spawn_worker()

    def kill_worker_that_may_hang(self: Any, pid: int, sig: int) -> None:
        """One that is still starting answers nobody, and would not notice before it has started, which may be never."""
        worker = self.WORKERS.get(pid)
        hangs = sig == signal.SIGTERM and worker is not None and not has_started(worker)
        kill_worker(self, pid, signal.SIGKILL if hangs else sig)

    Arbiter.reload, Arbiter.kill_worker = reload_all_but_workers, kill_worker_that_may_hang
    Arbiter.manage_workers = manage_workers


def survive_failed_starts(folder: Path) -> None:
    """Let the gateway go on with the workers it has when a new one fails at its start, and try again in a while.

    gunicorn ends everything then. That is right at a first start, and an outage at a renewal, as when the database is
    away for a moment.
    """
    from gunicorn.arbiter import Arbiter
    from gunicorn.errors import HaltServer

    reap_workers = Arbiter.reap_workers

    def reap_and_go_on(self: Any) -> None:
        while True:
            try:
                return reap_workers(self)
            except HaltServer:
                if not any(state(folder, worker) == "serving" for worker in list(self.WORKERS.values())):
                    raise
                self.again = time.monotonic() + RETRY_SECONDS
                self.log.error("A new worker failed at its start; the others go on. Next try in %s s.", RETRY_SECONDS)
                for pid in [pid for pid in list(self.WORKERS) if not began(pid)]:
                    # Another child's signal may have come in between, and this been done.
                    if worker := self.WORKERS.pop(pid, None):
                        worker.tmp.close()
                        self.cfg.child_exit(self, worker)

    Arbiter.reap_workers = reap_and_go_on


def let_clients_leave(folder: Path, seconds: float) -> None:
    """Let a worker that ends say so in its answers, and close a connection when its client knows.

    uvicorn closes every connection without a request at once, also the one on which a request is just arriving: its
    client sees a reset, and not every client asks again. Only whoever has an answer's head already cannot be told.
    """
    from uvicorn.server import Server

    shutdown = Server.shutdown

    async def notify(self: Server) -> None:
        """gunicorn ends a worker that says nothing for 600 s, and uvicorn says nothing while it waits for requests."""
        until = time.monotonic() + LAST_SECONDS
        while self.config.callback_notify is not None and time.monotonic() < until:
            await self.config.callback_notify()
            await asyncio.sleep(NOTIFY_SECONDS)

    async def leave_and_shutdown(self: Server, sockets: Any = None) -> None:
        note(folder, os.getpid(), "ending ")
        # From here on the other workers, which share these sockets, take what comes.
        for listening in [*self.servers, *(sockets or [])]:
            listening.close()
        notifying = asyncio.create_task(notify(self))
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        for connection in self.server_state.connections:
            if getattr(connection, "cycle", None):  # a request that is not answered yet
                connection.cycle.default_headers = self.server_state.default_headers
        until = time.monotonic() + seconds
        while self.server_state.connections and time.monotonic() < until and not self.force_exit:
            await asyncio.sleep(0.1)
        try:
            await shutdown(self, sockets)
        finally:
            notifying.cancel()

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
