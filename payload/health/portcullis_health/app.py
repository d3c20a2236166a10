"""The running health app: its server, its jobs, its log, and the beat that holds them together."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from aiohttp import web

from portcullis_health import server
from portcullis_health.clock import Clock, uptime_seconds
from portcullis_health.config import Config, Secrets
from portcullis_health.models import probe_models
from portcullis_health.notify import Notifier
from portcullis_health.stores import DatabaseProbe, RedisProbe
from portcullis_health.verdict import judge
from portcullis_health.watch import Probes, Watch
from portcullis_health.web import ask_gateway, open_session


class ListenError(Exception):
    """The address of the health app cannot be listened on; the message says why."""


def say(line: str) -> None:
    """Write one line to the log, which is standard output."""
    print(line, flush=True)


class _OneLine(logging.Formatter):
    """Keeps tracebacks of libraries out of the log: they span lines and may quote arguments."""

    def format(self, record: logging.LogRecord) -> str:
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        return f"{record.name}: {record.levelname.lower()}{': ' + kind if kind else ''} in {record.module}"


def quiet_libraries() -> None:
    """Let libraries log errors only, as one line each that quotes nothing."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine())
    logging.basicConfig(level=logging.ERROR, handlers=[handler], force=True)
    # A stranger who sends nonsense must not be able to fill the journal.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


async def open_probes(config: Config, secrets: Secrets, stack: AsyncExitStack) -> Probes:
    """Make the real probes; `stack` closes their connections."""
    session = await stack.enter_async_context(open_session())
    url, timeout = config.gateway.url, config.timeout
    database = DatabaseProbe(config.database, secrets.database, timeout) if config.database else None
    redis = RedisProbe(config.redis, secrets.redis, timeout) if config.redis else None
    for store in (database, redis):
        if store:
            stack.push_async_callback(store.close)
    return Probes(
        liveness=lambda: ask_gateway(session, url, "liveliness", timeout),
        readiness=lambda: ask_gateway(session, url, "readiness", timeout),
        models=lambda: probe_models(session, config.models, timeout),
        database=database.probe if database else None,
        redis=redis.probe if redis else None,
    )


async def beat(watch: Watch, notifier: Notifier, stop: asyncio.Event, clock: Clock = uptime_seconds) -> None:
    """Look after everything until `stop` is set: the drain file, the jobs, the log and the watchdog.

    If this fails the process ends, and systemd starts it again; that is better than answers nobody keeps true.
    """
    every = watch.config.probe_interval
    if notifier.watchdog_seconds:
        every = min(every, notifier.watchdog_seconds / 3)  # sd_watchdog_enabled(3) asks for half at most
    before = clock()
    told = ""
    while not stop.is_set():
        now = clock()
        watch.look_for_drain_file()
        helped = watch.tend(was_late=now - before > watch.limits.stale_after)
        before = now
        verdict = judge(watch)
        for line in helped + watch.changes.take_lines():
            say(line)
        status = f"gateway {verdict.liveness['status']}, {verdict.status}"
        notifier.send("WATCHDOG=1", *([f"STATUS={status}"] if status != told else []))
        told = status
        try:
            await asyncio.wait_for(stop.wait(), every)
        except TimeoutError:
            continue
    for line in watch.changes.take_lines():
        say(line)


async def serve(
    config: Config,
    open_them: Callable[[AsyncExitStack], Awaitable[Probes]],
    stop: asyncio.Event,
    listening: Callable[[int], None] | None = None,
    clock: Clock = uptime_seconds,
) -> None:
    """Probe and answer until `stop` is set.

    Args:
        config: the settings.
        open_them: makes the probes and leaves what must be closed on the stack.
        stop: ends the service when set.
        listening: called with the port once requests are answered.
        clock: gives seconds that only move forward.

    Raises:
        ListenError: the address cannot be listened on.
    """
    notifier = Notifier()
    async with AsyncExitStack() as stack:
        stack.callback(notifier.close)
        watch = Watch(config, await open_them(stack), clock)
        stack.push_async_callback(watch.stop)
        runner = web.AppRunner(server.build(watch), access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        try:
            await web.TCPSite(runner, config.host, config.port).start()
        except OSError as error:
            raise ListenError(f"cannot listen on {config.host} port {config.port}: {error.strerror}") from None
        watch.start()
        host = f"[{config.host}]" if ":" in config.host else config.host
        port = runner.addresses[0][1]
        say(f"listening on http://{host}:{port}, watching {config.gateway.url}")
        # Ready means that questions are answered, not that the answer is yes: the gateway may start after us.
        notifier.send("READY=1")
        if listening:
            listening(port)
        await beat(watch, notifier, stop, clock)
        notifier.send("STOPPING=1")
        say("stopping")


async def run(config: Config, secrets: Secrets) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ListenError: the address cannot be listened on.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(config, lambda stack: open_probes(config, secrets, stack), stop)
