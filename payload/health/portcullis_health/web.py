"""The HTTP requests of the probes: to the gateway, to Ollama servers, and to other model servers."""

import asyncio
import json
import time
from typing import Any

import aiohttp

from portcullis_health.gateway import Outcome, Reply
from portcullis_health.words import describe, is_refused

BODY_LIMIT = 4 * 1024 * 1024
"""Bytes read of an answer; a list of a thousand Ollama models takes half of one."""


def open_session() -> aiohttp.ClientSession:
    """Return a session that opens a new connection for every request.

    A kept connection is reset whenever gunicorn recycles the worker at its other end (max_requests), which would
    look like a fault; a new one also reaches whichever worker is free, as a client's would.
    """
    connector = aiohttp.TCPConnector(force_close=True, use_dns_cache=False, limit=64)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        # The callers' own deadlines end requests; aiohttp's would round those above 5 s up to whole seconds.
        timeout=aiohttp.ClientTimeout(total=None),
        headers={"User-Agent": "portcullis-health"},
    )


async def fetch(session: aiohttp.ClientSession, url: str, timeout: float) -> tuple[int, bytes, float]:
    """Get `url` and return HTTP status, body and milliseconds taken, all within `timeout` seconds.

    Raises:
        TimeoutError, OSError, aiohttp.ClientError: as asyncio and aiohttp do.
    """
    began = time.monotonic()
    async with asyncio.timeout(timeout), session.get(url, allow_redirects=False) as response:
        body = b""
        async for chunk in response.content.iter_chunked(65536):
            body += chunk
            if len(body) > BODY_LIMIT:
                raise aiohttp.ClientPayloadError("the answer is too long")
        return response.status, body, (time.monotonic() - began) * 1000


async def ask_gateway(session: aiohttp.ClientSession, base: str, endpoint: str, timeout: float) -> Reply:
    """Ask one of the gateway's health endpoints, ``liveliness`` or ``readiness``; never raises on a failure."""
    try:
        status, body, latency = await fetch(session, f"{base}/health/{endpoint}", timeout)
    except (OSError, TimeoutError, aiohttp.ClientError) as error:
        if is_refused(error):
            return Reply(Outcome.REFUSED)
        return Reply(Outcome.SILENT, describe(error, timeout))
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    said = answer if isinstance(answer, dict) else {}
    if status == 503 and said.get("status") == "shutting_down":
        return Reply(Outcome.SHUTTING_DOWN, "it is shutting down", latency)
    database = _word(said.get("db"))
    if status != 200:
        told = f', database "{database}"' if database else ""
        return Reply(Outcome.WRONG, f"it answered HTTP {status}{told}", latency, database)
    # LiteLLM says "I'm alive!"; a different 200 comes from some other program on the port.
    right = isinstance(answer, str) and "alive" in answer if endpoint == "liveliness" else "status" in said
    if not right:
        return Reply(Outcome.WRONG, "it answered HTTP 200 with an unknown body", latency)
    return Reply(Outcome.ANSWERED, "", latency, database)


def _word(value: Any) -> str | None:
    """Let through a short plain word of a peer's answer, nothing that could be anything else."""
    if isinstance(value, str) and len(value) <= 30 and value.replace(" ", "").replace("_", "").isalpha():
        return value
    return None
