"""The health app's probes of models, PostgreSQL and Redis, against servers that speak just enough of each protocol."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from portcullis_health.config import Database, Model, Redis
from portcullis_health.memory import Finding
from portcullis_health.models import probe_models
from portcullis_health.stores import DatabaseProbe, RedisProbe
from portcullis_health.web import open_session

from tests.unit.test_health_app_support import SECRETS, config_of, gateway, health_app, settings, tcp_server


class Postgres:
    """The server side of PostgreSQL's protocol 3, for one query; `mood` is ok, hang, refuse, error or close."""

    def __init__(self) -> None:
        self.mood = "ok"
        self.open = 0
        self.most_open = 0
        self.connections = 0
        self.cancels = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(4), "big")
        startup = await reader.readexactly(size - 4)
        if startup[:4] == (80877102).to_bytes(4, "big"):  # CancelRequest
            self.cancels += 1
            return
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await self._talk(reader, writer)
        finally:
            self.open -= 1

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def send(kind: bytes, body: bytes) -> None:
            writer.write(kind + (len(body) + 4).to_bytes(4, "big") + body)

        if self.mood == "refuse":
            text = f'SFATAL\0C28P01\0Mpassword "{SECRETS.database}" is wrong\0\0'
            send(b"E", text.encode())
            await writer.drain()
            return
        send(b"R", (0).to_bytes(4, "big"))
        for name, value in (("server_version", "16.4"), ("client_encoding", "UTF8")):
            send(b"S", f"{name}\0{value}\0".encode())
        send(b"K", bytes(8))
        send(b"Z", b"I")
        while True:
            kind = await reader.readexactly(1)
            body = await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big") - 4)
            if kind == b"X" or self.mood == "close":
                return
            assert (kind, body) == (b"Q", b"SELECT 1\0")
            while self.mood == "hang":
                # Reading on is how this side notices that the client has let go.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.02):
                        if not await reader.read(1):
                            return
            if self.mood == "error":
                send(b"E", b"SERROR\0C53100\0Mdisk full\0\0")
            else:
                send(b"C", b"SELECT 1\0")
            send(b"Z", b"I")
            await writer.drain()


@contextlib.asynccontextmanager
async def database(port: int, timeout: float = 0.5) -> AsyncIterator[DatabaseProbe]:
    probe = DatabaseProbe(Database("127.0.0.1", port, "n", "u", False, None), SECRETS.database, timeout)
    try:
        yield probe
    finally:
        await probe.close()
        await asyncio.sleep(0.05)


def test_the_database_is_asked_over_one_kept_connection() -> None:
    async def scenario() -> None:
        server = Postgres()
        async with tcp_server(server) as port, database(port) as probe:
            for _ in range(5):
                finding = await probe.probe()
                assert finding.ok and finding.version == "16.4" and finding.latency_ms is not None
            assert (server.connections, server.most_open) == (1, 1)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("mood", "words"),
    [
        ("hang", "no answer within 0.5 s"),
        ("close", "the connection was closed"),
        ("error", "PostgreSQL answered with error 53100"),
    ],
)
def test_a_database_that_breaks_and_comes_back(mood: str, words: str) -> None:
    async def scenario() -> None:
        server = Postgres()
        async with tcp_server(server) as port, database(port) as probe:
            assert (await probe.probe()).ok
            for _ in range(2):
                server.mood = mood
                assert await probe.probe() == Finding(False, "failing", f"PostgreSQL: {words}")
                server.mood = "ok"
                await asyncio.sleep(0.1)
                assert (await probe.probe()).ok
            assert server.most_open == 1 and server.cancels == 0

    asyncio.run(scenario())


def test_a_database_that_refuses_or_is_absent_or_silent() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async def scenario() -> None:
        server = Postgres()
        server.mood = "refuse"
        async with tcp_server(server) as port, database(port) as probe:
            finding = await probe.probe()
            assert "the login was refused" in finding.detail and str(SECRETS.database) not in finding.detail
        async with database(port) as probe:
            assert "nothing listens there" in (await probe.probe()).detail
        async with tcp_server(mute) as port, database(port) as probe:
            assert (await probe.probe()).detail == "PostgreSQL: no answer within 0.5 s"

    asyncio.run(scenario())


class RedisServer:
    """The server side of the Redis protocol for AUTH, PING and INFO; `mood` is ok, hang, loading or noauth."""

    def __init__(self) -> None:
        self.mood = "ok"
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while header := await reader.readline():
            words = []
            for _ in range(int(header[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2])
            writer.write(await self._answer(words))
            await writer.drain()

    async def _answer(self, words: list[bytes]) -> bytes:
        while self.mood == "hang":
            await asyncio.sleep(0.02)
        match words[0].upper():
            case b"AUTH":
                right = self.mood != "noauth" and words[-1] == str(SECRETS.redis).encode()
                return b"+OK\r\n" if right else b"-WRONGPASS invalid username-password pair\r\n"
            case b"PING":
                return b"-LOADING Redis is loading\r\n" if self.mood == "loading" else b"+PONG\r\n"
            case b"INFO":
                return b"$19\r\nredis_version:7.2.5\r\n"
            case _:
                return b"+OK\r\n"


def test_redis_is_asked_over_one_kept_connection_and_recovers() -> None:
    async def scenario() -> None:
        server = RedisServer()
        async with tcp_server(server) as port:
            probe = RedisProbe(Redis("127.0.0.1", port, None, False, None), SECRETS.redis, 0.5)
            for _ in range(5):
                finding = await probe.probe()
                assert finding.ok, finding
                assert finding.version == "7.2.5"
            assert server.connections == 1
            for mood, words in (
                ("hang", "no answer within 0.5 s"),
                ("loading", "the server is still loading its data"),
                ("noauth", "the login was refused (user, password or ACL)"),
            ):
                await probe.close()
                server.mood = mood
                assert await probe.probe() == Finding(False, "failing", f"Redis: {words}")
                server.mood = "ok"
                assert (await probe.probe()).ok
            await probe.close()
        assert "nothing listens there" in (await probe.probe()).detail

    asyncio.run(scenario())


@contextlib.asynccontextmanager
async def ollama(tags: Any, seen: list[str], status: int = 200) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.json_response(tags, status=status)

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def ask(*models: Model) -> dict[str, Finding]:
    async with open_session() as session:
        return await probe_models(session, models, 0.5)


def test_models_of_one_ollama_share_one_request() -> None:
    async def scenario() -> None:
        seen: list[str] = []
        async with ollama({"models": [{"name": "tiny:latest", "model": "tiny:latest"}, {"name": "b:7b"}]}, seen) as url:
            found = await ask(
                Model("one", "ollama", url, "tiny:latest"),
                Model("two", "ollama", url, "b:7b"),
                Model("three", "ollama", url, "absent:latest"),
                Model("cloud", "static"),
            )
        assert seen == ["/api/tags"]
        assert {name: finding.status for name, finding in found.items()} == {
            "one": "usable",
            "two": "usable",
            "three": "unusable",
            "cloud": "assumed",
        }
        assert found["three"].detail == "Ollama answers but does not list absent:latest"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "tags", [{}, [], "x", {"models": None}, {"models": ["tiny:latest"]}, {"models": [{"name": []}]}]
)
def test_an_ollama_that_answers_nonsense_has_no_usable_model(tags: Any) -> None:
    async def scenario() -> None:
        async with ollama(tags, []) as url:
            assert (await ask(Model("m", "ollama", url, "tiny:latest")))["m"].status == "unusable"

    asyncio.run(scenario())


@pytest.mark.parametrize(("status", "expected"), [(200, "usable"), (401, "usable"), (404, "usable"), (500, "unusable")])
def test_an_http_model_is_usable_below_500(status: int, expected: str) -> None:
    async def scenario() -> None:
        async with ollama("", [], status) as url:
            assert (await ask(Model("m", "http", f"{url}/v1")))["m"].status == expected

    asyncio.run(scenario())


def test_a_model_server_that_is_away_or_silent() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async def scenario() -> None:
        async with tcp_server(mute) as port:
            url = f"http://127.0.0.1:{port}"
            found = await ask(Model("o", "ollama", url, "t:latest"), Model("h", "http", url))
            assert {finding.detail for finding in found.values()} == {
                "Ollama: no answer within 0.5 s",
                "its server: no answer within 0.5 s",
            }
        found = await ask(Model("h", "http", url))
        assert "nothing listens there" in found["h"].detail

    asyncio.run(scenario())


def test_the_whole_with_dependencies_that_fail_and_recover(capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> str:
        postgres, redis = Postgres(), RedisServer()
        async with contextlib.AsyncExitStack() as stack:
            gw = await stack.enter_async_context(gateway())
            pg_port = await stack.enter_async_context(tcp_server(postgres))
            redis_port = await stack.enter_async_context(tcp_server(redis))
            tags = {"models": [{"name": "tiny:latest"}]}
            url = await stack.enter_async_context(ollama(tags, []))
            models = [
                {"name": "here", "kind": "ollama", "api_base": url, "model": "tiny"},
                {"name": "gone", "kind": "ollama", "api_base": url, "model": "gone"},
            ]
            config = config_of(
                settings(
                    gw.url,
                    database={"host": "127.0.0.1", "port": pg_port, "name": "n", "user": "u"},
                    redis={"host": "127.0.0.1", "port": redis_port},
                    models=models,
                )
            )
            client = await stack.enter_async_context(health_app(config))
            full = await client.until_status("/health", 200, "degraded")
            assert full.body["degraded"] == ["model gone"]
            assert full.body["versions"]["database"] == "16.4" and full.body["versions"]["redis"] == "7.2.5"
            tags["models"].append({"name": "gone:latest"})
            await client.until_status("/health", 200, "ok")

            postgres.mood = "hang"
            down = await client.until("/readyz", lambda reply: reply.status == 503)
            assert down.body["failing"] == ["database"]
            postgres.mood = "refuse"
            await client.until("/readyz", lambda reply: "login was refused" in reply.text)
            postgres.mood = "ok"
            await client.until_status("/readyz", 200, "ready")
            assert postgres.most_open == 1

            redis.mood = "hang"
            down = await client.until("/readyz", lambda reply: reply.status == 503)
            assert down.body["failing"] == ["redis"]
            redis.mood = "ok"
            await client.until_status("/readyz", 200, "ready")

            tags["models"].clear()
            down = await client.until("/readyz", lambda reply: reply.status == 503)
            assert down.body["failing"] == ["models"]
            await client.get("/livez")
            await client.get("/absent")
            return client.all_text

    text = asyncio.run(scenario())
    output = capsys.readouterr()
    for secret in (SECRETS.database, SECRETS.redis):
        assert secret and secret not in text + output.out + output.err
    assert "database: ok -> failing: PostgreSQL: no answer within 0.8 s" in output.out.splitlines()
