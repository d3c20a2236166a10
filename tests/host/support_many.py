"""Many requests to a gateway at once, sent by its own host, and what they show in the database and in connections."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from deploys.components.litellm.component import base_url
from deploys.components.litellm.config import SELFTEST
from deploys.components.postgres import PostgresSettings
from tests.host.support import Server
from tests.host.support_http import Gateway, Reply
from tests.host.support_lab import say
from tests.waiting import eventually


@dataclass(frozen=True)
class Answer:
    """One of many answers: when it was asked, in seconds after the first, and how long it took."""

    status: int
    began: float
    seconds: float
    text: str

    @property
    def id(self) -> str:
        return str(json.loads(self.text)["id"])


# Each request has a connection of its own: one that was kept may be of a worker that is gone.
MANY = """
import http.client, json, queue, threading, time
from urllib.parse import urlsplit
wanted = json.loads(WANTED)
address = urlsplit(wanted["url"])
todo, done, first = queue.SimpleQueue(), [None] * len(wanted["bodies"]), time.monotonic()
for item in enumerate(wanted["bodies"]):
    todo.put(item)
def work():
    while True:
        try:
            index, (path, key, body) = todo.get_nowait()
        except queue.Empty:
            return
        time.sleep(max(0.0, first + index * wanted["every"] - time.monotonic()))
        began, text = time.monotonic(), ""
        try:
            connection = http.client.HTTPConnection(address.hostname, address.port, timeout=120)
            headers = {"Authorization": "Bearer " + key, "Content-Type": "application/json"}
            connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            status, text = answer.status, answer.read().decode(errors="replace")
            connection.close()
        except OSError as error:
            status, text = 0, str(error)
        except http.client.HTTPException as error:
            status, text = 0, repr(error)
        done[index] = (status, began - first, time.monotonic() - began, text[:wanted["kept"]])
threads = [threading.Thread(target=work) for _ in range(wanted["at_once"])]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(done))
"""


def many(
    server: Server,
    bodies: Sequence[tuple[str, str, Mapping[str, Any] | None]],
    at_once: int,
    every: float = 0,
    kept: int = 2000,
) -> list[Answer]:
    """Send requests (path, key, body) from the host itself, so many ``at_once``, one ``every`` so many seconds."""
    wanted = {"url": base_url(server.here), "bodies": bodies, "at_once": at_once, "every": every, "kept": kept}
    done = server.python(MANY.replace("WANTED", repr(json.dumps(wanted)), 1), 300)
    assert done.status == 0, done.err
    return [Answer(*one) for one in json.loads(done.out)]


def chat(model: str, text: str, **more: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 16, **more}


def chats(gateway: Gateway, model: str, texts: Iterable[str], at_once: int, key: str = "", **how: Any) -> list[Answer]:
    """Many completions of one model at once, with the master key unless another is given."""
    key = key or gateway.master_key
    return many(gateway.server, [("/v1/chat/completions", key, chat(model, t)) for t in texts], at_once, **how)


def rows(server: Server, statement: str) -> list[str]:
    """One statement in the gateway's database, as its superuser."""
    s: PostgresSettings = server.here.settings(PostgresSettings)
    return server.out(
        f"runuser -u postgres -- psql -X -A -t -q -v ON_ERROR_STOP=1 -d {s.database} <<'SQL'\n{statement};\nSQL"
    ).splitlines()


# Connections that are open, a line for each look: those to the database, then those of each worker to Redis.
LOOK = """
database() { runuser -u postgres -- psql -XAtq -c "SELECT count(*) FROM pg_stat_activity WHERE usename = 'litellm'"; }
redis() { ss -Htnp state established '( dport = :6379 )' | grep -o 'pid=[0-9]*' | sort | uniq -c; }
for i in $(seq 40); do
    echo $(database) $(redis | sed 's/ *\\([0-9]*\\) pid=/\\1:/')
    sleep 0.05
done
"""


def connections_under_load(gateway: Gateway, workers: Iterable[str]) -> tuple[int, int]:
    """The most connections to the database, and of one worker to Redis, while the gateway has much to do."""
    server, pids = gateway.server, set(workers)
    with ThreadPoolExecutor(1) as pool:
        looks = pool.submit(server.out, LOOK, 120)
        # Keys it has never seen, for the database; questions, for Redis.
        unknown = [("/v1/models", f"sk-{secrets.token_hex(16)}", None) for _ in range(150)]
        asked = [
            ("/v1/chat/completions", gateway.master_key, chat(SELFTEST, f"load {secrets.token_hex(4)}"))
            for _ in range(150)
        ]
        answers = many(server, [one for pair in zip(unknown, asked, strict=True) for one in pair], 60)
    # 503 for keys that could not be looked up in the time that there was.
    found = {answer.status for answer in answers}
    assert {200, 401} <= found <= {200, 401, 503}, found
    lines = [line.split() for line in looks.result().splitlines()]
    redis = [int(one.split(":")[0]) for line in lines for one in line[1:] if one.split(":")[1] in pids]
    most = max(int(line[0]) for line in lines), max(redis)
    say(f"      at most {most[0]} connections to the database, and {most[1]} of a worker to Redis")
    return most


@contextmanager
def locked(server: Server, seconds: int) -> Iterator[None]:
    """For so long no key can be looked up: whoever asks for one holds a connection to the database meanwhile."""
    statement = f'BEGIN; LOCK TABLE "LiteLLM_VerificationToken"; SELECT pg_sleep({seconds}); ROLLBACK'
    held = (
        "SELECT 1 FROM pg_locks WHERE relation = '\"LiteLLM_VerificationToken\"'::regclass AND granted "
        "AND mode = 'AccessExclusiveLock'"
    )
    with ThreadPoolExecutor(1) as pool:
        lock = pool.submit(rows, server, statement)
        assert eventually(lambda: rows(server, held), 10), "nobody has the lock"
        yield
        lock.result()


def same(gateway: Gateway, text: str, messages: int = 1, **more: object) -> bool:
    """Whether a question that is asked twice has one answer."""
    said = [{"role": "user", "content": f"{text} {number}"} for number in range(messages)]
    body = {"model": "spare", "messages": said, "max_tokens": 16, **more}

    def ask() -> Reply:
        reply = gateway.ask("/v1/chat/completions", body)
        assert reply.status == 200, reply
        return reply

    first = ask()
    time.sleep(0.3)  # an answer is kept after it was given
    return bool(ask().json()["id"] == first.json()["id"])


def spent(server: Server, key: str) -> float:
    """What the database says a key has spent, in US dollars."""
    digest = f"encode(sha256('{key}'), 'hex')"
    (found,) = rows(server, f'SELECT spend FROM "LiteLLM_VerificationToken" WHERE token = {digest}')
    return float(found)


@contextmanager
def asking(gateway: Gateway, model: str) -> Iterator[set[int]]:
    """While the block runs, four requests at a time; gives the statuses of all answers when it has ended."""
    found: set[int] = set()
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            texts = [f"asking {secrets.token_hex(8)}" for _ in range(4)]
            found.update(answer.status for answer in chats(gateway, model, texts, 4))

    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(ask)
        try:
            yield found
        finally:
            ended.set()
        going.result()
