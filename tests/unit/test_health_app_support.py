"""Stand-ins for the gateway, Ollama, PostgreSQL and Redis, and a health app to ask about them."""

import asyncio
import contextlib
import dataclasses
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from portcullis_health import app
from portcullis_health.clock import Clock, uptime_seconds
from portcullis_health.config import Config, Secrets, parse
from portcullis_health.watch import Probes

PATIENCE_SECONDS = 20.0
SECRETS = Secrets("db-s3cret-Zq7", "redis-s3cret-Xw9")
# As sitecustomize.py in PYTHONPATH: a signal after which the process does nothing more, and keeps Python to itself.
HANG = "import ctypes, signal\nsignal.signal(signal.SIGUSR1, lambda *_: ctypes.PyDLL(None).sleep(600))\n"


def settings(gateway: str = "http://127.0.0.1:1", **changes: Any) -> dict[str, Any]:
    """Return settings that probe quickly, with changes on top."""
    return {
        "gateway": {"url": gateway},
        "models": [{"name": "cloud", "kind": "static"}],
        "probe_interval_seconds": 0.1,
        "timeout_seconds": 0.8,
        "dependency_interval_seconds": 0.2,
        "unresponsive_after_seconds": 2.0,
        "drain_file": "/nonexistent/drain",
        **changes,
    }


def config_of(data: dict[str, Any]) -> Config:
    """Check settings, and let the kernel choose the port to listen on."""
    return dataclasses.replace(parse(data, "test"), port=0)


class Gateway:
    """An HTTP server that answers the gateway's health paths as it is told to."""

    def __init__(self) -> None:
        self.live: tuple[int, Any] = (200, "I'm alive!")
        self.ready: tuple[int, Any] = (200, {"status": "healthy", "db": "connected"})
        self.delay_seconds = 0.0
        self.hang = False
        self.url = ""
        self.port = 0
        self.requests = 0
        self.peers: set[Any] = set()
        self._runner: web.AppRunner | None = None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        self.requests += 1
        self.peers.add(request.transport.get_extra_info("peername"))
        while self.hang:
            await asyncio.sleep(0.02)
        await asyncio.sleep(self.delay_seconds)
        status, body = self.live if request.path.endswith("liveliness") else self.ready
        return web.json_response(body, status=status)

    async def start(self, host: str = "127.0.0.1") -> None:
        """Listen, on the same port as before if there was one."""
        application = web.Application()
        application.router.add_get("/health/{which}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, self.port).start()
        self.port = self._runner.addresses[0][1]
        self.url = f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    async def stop(self) -> None:
        """Stop listening, so that connections are refused."""
        if self._runner:
            await self._runner.cleanup()
            self._runner = None


@contextlib.asynccontextmanager
async def gateway(host: str = "127.0.0.1") -> AsyncIterator[Gateway]:
    """A gateway that runs."""
    one = Gateway()
    await one.start(host)
    try:
        yield one
    finally:
        one.hang = False
        await one.stop()


@dataclass
class Reply:
    """One answer of the health app."""

    status: int
    text: str
    milliseconds: float
    headers: dict[str, str]
    body: dict[str, Any] = field(default_factory=dict)


class Client:
    """Asks a running health app."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self.session = session
        self.base = base
        self.all_text = ""

    async def get(self, path: str, method: str = "GET") -> Reply:
        """Ask once."""
        began = time.perf_counter()
        async with self.session.request(method, self.base + path) as response:
            text = await response.text()
            took = (time.perf_counter() - began) * 1000
        self.all_text += text
        reply = Reply(response.status, text, took, dict(response.headers))
        reply.body = json.loads(text) if text else {}
        return reply

    async def until(self, path: str, wanted: Callable[[Reply], bool]) -> Reply:
        """Ask until the answer is as wanted; fails with the last answer."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            reply = await self.get(path)
            if wanted(reply):
                return reply
            assert time.monotonic() < end, f"{path} still says {reply.status} {reply.text}"
            await asyncio.sleep(0.02)

    async def until_status(self, path: str, code: int, status: str) -> Reply:
        """Ask until HTTP code and "status" are these."""
        return await self.until(path, lambda reply: (reply.status, reply.body["status"]) == (code, status))


@contextlib.asynccontextmanager
async def health_app(
    config: Config, probes: Probes | None = None, clock: Clock = uptime_seconds, **changed: Any
) -> AsyncIterator[Client]:
    """A health app that runs, with the real probes unless others are given or single ones are changed."""
    stop = asyncio.Event()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def given(stack: contextlib.AsyncExitStack) -> Probes:
        return probes or dataclasses.replace(await app.open_probes(config, SECRETS, stack), **changed)

    serving = asyncio.create_task(app.serve(config, given, stop, port.set_result, clock))
    try:
        await asyncio.wait({serving, port}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving
        async with aiohttp.ClientSession() as session:
            yield Client(session, f"http://127.0.0.1:{port.result()}")
    finally:
        stop.set()
        await serving


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def tcp_server(handler: Handler) -> AsyncIterator[int]:
    """A TCP server on a free port, whose connections are closed at the end."""
    writers: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.05)


def write_settings(path: Path, data: dict[str, Any]) -> Path:
    """Write settings to a file."""
    path.write_text(json.dumps(data))
    return path
