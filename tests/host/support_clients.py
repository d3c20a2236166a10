"""Clients of an edge, as a team's programs are: connections that are kept, answers as streams and in one piece."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.host.support_lab import say


@dataclass
class Traffic:
    """What became of the requests: how many were answered, and each that was not, with its moment and its kind."""

    answered: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[float, str, str]] = field(default_factory=list)
    slowest: float = 0.0
    began: float = field(default_factory=time.monotonic)

    @property
    def total(self) -> int:
        return sum(self.answered.values()) + len(self.failed)

    def since(self, moment: float) -> list[tuple[float, str, str]]:
        return [one for one in self.failed if one[0] >= moment]


@dataclass(frozen=True)
class Edge:
    """An edge as this machine reaches it."""

    address: str
    authority: Path
    port: int = 443

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))

    def connect(self, seconds: float = 150) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self.address, self.port, timeout=seconds, context=self.context())

    def ask(
        self, path: str, key: str = "", body: object = None, method: str = "", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], str]:
        """One request on a connection of its own: status, heads in small letters, text."""
        connection = self.connect()
        connection.request(
            method or ("GET" if body is None else "POST"), path, _text(body), {**_heads(key, body), **(headers or {})}
        )
        answer = connection.getresponse()
        found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
        connection.close()
        return found


def _text(body: object) -> str | None:
    return None if body is None else json.dumps(body)


def _heads(key: str, body: object) -> dict[str, str]:
    found = {"Authorization": f"Bearer {key}"} if key else {}
    return found | ({"Content-Type": "application/json"} if body is not None else {})


def _chat(model: str, stream: bool) -> dict[str, object]:
    message = {"role": "user", "content": f"hello at {time.monotonic()}"}
    return {"model": model, "messages": [message], "max_tokens": 16, "stream": stream}


def _client(edge: Edge, key: str, model: str, stream: bool, stop: threading.Event, traffic: Traffic) -> None:
    connection, kind = edge.connect(), "stream" if stream else "post"
    while not stop.is_set():
        began = time.monotonic()
        try:
            body = _chat(model, stream)
            connection.request("POST", "/v1/chat/completions", _text(body), _heads(key, body))
            answer = connection.getresponse()
            text = answer.read().decode()
            good = answer.status == 200 and ("data: [DONE]" in text if stream else '"choices"' in text)
            if not good:
                traffic.failed.append((began, kind, f"{answer.status} {text[-160:]}"))
        except (OSError, http.client.HTTPException) as error:
            good = False
            traffic.failed.append((began, kind, repr(error)[:160]))
            connection.close()
            connection = edge.connect()
        if good:
            traffic.answered[kind] += 1
            traffic.slowest = max(traffic.slowest, time.monotonic() - began)
        stop.wait(0.5)
    connection.close()


@contextmanager
def clients(edge: Edge, key: str, streamed: str, posted: str, number: int = 40) -> Iterator[Traffic]:
    """While the block runs ``number`` clients ask, half of them for streams of ``streamed``, the others ``posted``.

    None of them tries anything again. Each asks twice a second, or as often as it is answered.
    """
    stop, traffic = threading.Event(), Traffic()
    threads = [
        threading.Thread(
            target=_client,
            args=(edge, key, streamed if one % 2 else posted, bool(one % 2), stop, traffic),
            daemon=True,
        )
        for one in range(number)
    ]
    for thread in threads:
        thread.start()
    try:
        yield traffic
    finally:
        stop.set()
        for thread in threads:
            thread.join(160)


def during(what: str, traffic: Traffic, event: Callable[[], object], after: float = 5) -> list[tuple[float, str, str]]:
    """Do ``event`` while clients ask; the requests that failed because of it, and a line about it."""
    began, asked = time.monotonic(), traffic.total
    traffic.slowest = 0.0
    event()
    took = time.monotonic() - began
    time.sleep(after)
    failed = traffic.since(began - 3)
    say(
        f"      {what} ({took:.0f} s): {len(failed)} of {traffic.total - asked} requests failed, the slowest took "
        f"{traffic.slowest:.1f} s"
    )
    return failed
