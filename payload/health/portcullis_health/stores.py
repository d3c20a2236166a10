"""The probes of PostgreSQL and Redis, each with one connection that is kept and never more."""

import asyncio
import contextlib
import ssl
import time
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from portcullis_health import config
from portcullis_health.memory import Finding
from portcullis_health.words import describe


class DatabaseProbe:
    """Asks PostgreSQL ``SELECT 1`` over one kept connection.

    Args:
        settings: where the database is.
        password: None for a server that asks for none.
        timeout: seconds for one probe, connecting included.
    """

    def __init__(self, settings: config.Database, password: str | None, timeout: float) -> None:
        self._settings = settings
        self._password = password
        self._timeout = timeout
        self._connection: Any = None

    async def probe(self) -> Finding:
        """Return whether the database answers; a failed connection is dropped, the next probe makes a new one."""
        began = time.monotonic()
        asking = asyncio.ensure_future(self._ask())
        try:
            done, _ = await asyncio.wait({asking}, timeout=self._timeout)
            if not done:
                raise TimeoutError
            version = asking.result()
        except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError, EOFError) as error:
            return Finding(False, "failing", f"PostgreSQL: {describe(error, self._timeout)}")
        finally:
            if not asking.done() or asking.cancelled() or asking.exception() is not None:
                await self._drop(asking)
        return Finding(True, "ok", "PostgreSQL answers", (time.monotonic() - began) * 1000, version)

    async def _ask(self) -> str:
        if self._connection is None or self._connection.is_closed():
            where = self._settings
            self._connection = await asyncpg.connect(
                host=where.host,
                port=where.port,
                database=where.name,
                user=where.user,
                password=self._password or "",  # never None: asyncpg would then look into PGPASSWORD and ~/.pgpass
                ssl=ssl.create_default_context(cafile=where.ca_file) if where.tls else False,
                timeout=self._timeout,
                server_settings={"application_name": "portcullis-health"},
            )
        # A simple query, because prepared statements fail behind PgBouncer in transaction mode.
        await self._connection.execute("SELECT 1")
        # "16.4 (Debian 16.4-1.pgdg120+1)", as the server sent it when connecting.
        return str(self._connection.get_settings().server_version).split()[0]

    async def _drop(self, asking: "asyncio.Future[str]") -> None:
        # Closed before the task is cancelled, or asyncpg begins to open a second connection to cancel the query with.
        await self.close()
        asking.cancel()
        await asyncio.wait({asking}, timeout=0.5)
        await self.close()  # it may have been made in the moment before the task was cancelled
        if asking.done() and not asking.cancelled():
            asking.exception()  # marks it as seen, or asyncio logs a traceback

    async def close(self) -> None:
        """Let go of the connection without waiting for the server."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


class RedisProbe:
    """Asks Redis ``PING`` over one kept connection.

    Args:
        settings: where Redis is.
        password: None for a server that asks for none.
        timeout: seconds for one probe, connecting included.
    """

    def __init__(self, settings: config.Redis, password: str | None, timeout: float) -> None:
        self._settings = settings
        self._password = password
        self._timeout = timeout
        self._client: Any = None
        self._version: str | None = None

    async def probe(self) -> Finding:
        """Return whether Redis answers; after a failure the next probe makes a new connection."""
        began = time.monotonic()
        fine = False
        try:
            async with asyncio.timeout(self._timeout):
                await self._ask()
            fine = True
        except (OSError, TimeoutError, RedisError) as error:
            return Finding(False, "failing", f"Redis: {describe(error, self._timeout)}")
        finally:
            # Also when cancelled: an answer still under way must not be taken for the answer to the next question,
            # as happened in redis-py once (CVE-2023-28858).
            if not fine:
                await self.close()
        return Finding(True, "ok", "Redis answers", (time.monotonic() - began) * 1000, self._version)

    async def _ask(self) -> None:
        new = self._client is None
        if new:
            where = self._settings
            self._client = redis.asyncio.Redis(
                host=where.host,
                port=where.port,
                username=where.username,
                password=self._password,
                ssl=where.tls,
                ssl_check_hostname=where.tls,
                ssl_ca_certs=where.ca_file if where.tls else None,
                retry=Retry(NoBackoff(), 0),  # or a stopped Redis would be asked several times in one probe
                max_connections=1,
                single_connection_client=True,
            )
        await self._client.execute_command("PING")
        if new:
            # A nicety: an ACL that only allows PING must not make Redis look broken.
            with contextlib.suppress(RedisError):
                self._version = str((await self._client.info("server")).get("redis_version"))

    async def close(self) -> None:
        """Let go of the connection."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(OSError, RedisError, TimeoutError):
                async with asyncio.timeout(0.5):
                    await client.aclose()
