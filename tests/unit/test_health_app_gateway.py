"""A running health app beside a stand-in gateway: every state over real sockets, and how fast the answers are."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from portcullis_health.gateway import Outcome, Reply
from portcullis_health.memory import Finding
from portcullis_health.watch import Probes

from tests.unit.test_health_app_support import SECRETS, Client, config_of, gateway, health_app, settings, tcp_server

FAST_MS = 50.0  # the aim is 5 ms; test machines are shared
PATHS = ("/health/liveness", "/health/readiness", "/health")


async def slowest_ms(client: Client, rounds: int = 20) -> float:
    """Ask every path several times; the median of each, so that one busy moment of the machine does not count."""
    medians = []
    for path in PATHS:
        took = sorted([(await client.get(path)).milliseconds for _ in range(rounds)])
        medians.append(took[rounds // 2])
    return max(medians)


def test_alive_and_ready() -> None:
    async def scenario() -> None:
        async with gateway() as gw, health_app(config_of(settings(gw.url))) as client:
            ready = await client.until_status("/health/readiness", 200, "ready")
            assert ready.body["failing"] == []
            alive = await client.get("/health/liveness")
            assert (alive.status, alive.body["status"]) == (200, "alive")
            assert alive.body["latency_ms"] > 0 and alive.body["age_seconds"] < 2
            full = await client.get("/health")
            assert (full.status, full.body["status"]) == (200, "ok")
            assert full.body["models"]["cloud"]["status"] == "assumed"
            for alias, path in (("/livez", PATHS[0]), ("/readyz", PATHS[1])):
                assert (await client.get(alias)).body["status"] == (await client.get(path)).body["status"]

    asyncio.run(scenario())


def test_every_probe_is_a_connection_of_its_own() -> None:
    async def scenario() -> None:
        async with gateway() as gw, health_app(config_of(settings(gw.url))):
            while gw.requests < 6:
                await asyncio.sleep(0.02)
            assert len(gw.peers) == gw.requests

    asyncio.run(scenario())


def test_a_gateway_on_ipv6() -> None:
    async def scenario() -> None:
        async with gateway("::1") as gw, health_app(config_of(settings(gw.url))) as client:
            assert gw.url.startswith("http://[::1]:")
            await client.until_status("/readyz", 200, "ready")

    try:
        asyncio.run(scenario())
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error.strerror}")


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_stopped_and_back(name: str) -> None:
    async def scenario() -> None:
        async with gateway() as gw, health_app(config_of(settings(f"http://{name}:{gw.port}"))) as client:
            await client.until_status("/livez", 200, "alive")
            await gw.stop()
            stopped = await client.until_status("/livez", 503, "stopped")
            assert "refused" in stopped.body["detail"] and stopped.body["since"].endswith("Z")
            assert (await client.get("/health")).body["status"] == "failing"
            await gw.start()
            await client.until_status("/livez", 200, "alive")
            await client.until_status("/readyz", 200, "ready")

    asyncio.run(scenario())


def test_hanging_is_slow_then_unresponsive_and_answers_stay_fast(capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> float:
        async with gateway() as gw, health_app(config_of(settings(gw.url))) as client:
            await client.until_status("/livez", 200, "alive")
            gw.hang = True
            # "unknown" may come between on a machine so busy that this process itself was late, and is then true.
            await client.until_status("/livez", 200, "slow")
            gone = await client.until_status("/livez", 503, "unresponsive")
            assert gone.body["age_seconds"] >= 2.0 and "no answer within 0.8 s" in gone.body["detail"]
            measured = await slowest_ms(client)
            gw.hang = False
            await client.until_status("/livez", 200, "alive")
            return measured

    measured = asyncio.run(scenario())
    assert measured < FAST_MS
    with capsys.disabled():
        print(f"[answers while the gateway hangs: {measured:.2f} ms]", end=" ")


def test_a_stopped_process_is_unresponsive_and_a_dead_one_is_stopped(tmp_path: Path) -> None:
    code = (
        "import http.server, json\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        body = json.dumps(\"I'm alive!\" if 'live' in self.path else {'status': 'healthy'}).encode()\n"
        "        self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers()\n"
        "        self.wfile.write(body)\n"
        "    def log_message(self, *a): pass\n"
        "s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), H); print(s.server_port, flush=True)\n"
        "s.serve_forever()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())

        async def scenario() -> None:
            async with health_app(config_of(settings(f"http://127.0.0.1:{port}"))) as client:
                await client.until_status("/readyz", 200, "ready")
                os.kill(process.pid, signal.SIGSTOP)
                await client.until_status("/livez", 503, "unresponsive")
                assert await slowest_ms(client) < FAST_MS
                os.kill(process.pid, signal.SIGCONT)
                await client.until_status("/livez", 200, "alive")
                process.kill()
                await client.until_status("/livez", 503, "stopped")

        try:
            asyncio.run(scenario())
        finally:
            process.kill()


def test_a_port_that_accepts_before_the_workers_run_is_starting() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async def scenario() -> None:
        async with tcp_server(silent) as port, health_app(config_of(settings(f"http://127.0.0.1:{port}"))) as client:
            starting = await client.until("/livez", lambda reply: "no answer within" in reply.text)
            assert (starting.status, starting.body["status"]) == (503, "starting")
            assert (await client.get("/readyz")).status == 503

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (503, {"status": "shutting_down"}, "shutting_down"),
        (503, {"status": "busy"}, "error"),
        (200, {"status": "shutting_down"}, "error"),
        (500, "I'm alive!", "error"),
        (200, {"hello": "world"}, "error"),
        (200, "nginx", "error"),
        (302, "I'm alive!", "error"),
    ],
)
def test_only_litellms_own_answer_counts(status: int, body: Any, expected: str) -> None:
    async def scenario() -> None:
        async with gateway() as gw, health_app(config_of(settings(gw.url))) as client:
            await client.until_status("/livez", 200, "alive")
            gw.live = (status, body)
            await client.until_status("/livez", 503, expected)
            gw.live = (200, "I'm alive!")
            await client.until_status("/livez", 200, "alive")

    asyncio.run(scenario())


def test_the_gateways_readiness_and_database_count() -> None:
    async def ok() -> Finding:
        return Finding(True, "ok", "it answers")

    async def scenario() -> None:
        database = {"host": "h", "name": "n", "user": "u"}
        async with gateway() as gw, health_app(config_of(settings(gw.url, database=database)), database=ok) as client:
            await client.until_status("/readyz", 200, "ready")
            gw.ready = (200, {"status": "healthy", "db": "Not connected"})
            reply = await client.until("/readyz", lambda reply: reply.status == 503)
            assert reply.body["failing"] == ["gateway_readiness"]
            assert "Not connected" in reply.body["detail"]["gateway_readiness"]
            gw.ready = (503, {"status": "unhealthy", "db": "disconnected"})
            await client.until("/readyz", lambda reply: "HTTP 503" in reply.text)
            assert (await client.get("/livez")).status == 200

    asyncio.run(scenario())


def test_draining(tmp_path: Path) -> None:
    drain = tmp_path / "drain"

    async def scenario() -> None:
        async with gateway() as gw, health_app(config_of(settings(gw.url, drain_file=str(drain)))) as client:
            await client.until_status("/readyz", 200, "ready")
            drain.touch()
            await client.until_status("/readyz", 503, "draining")
            assert (await client.get("/livez")).status == 200
            full = await client.get("/health")
            assert (full.status, full.body["status"]) == (503, "draining")
            drain.unlink()
            await client.until_status("/readyz", 200, "ready")

    asyncio.run(scenario())


class Scripted:
    """A gateway probe that behaves as the test says: answers, hangs for good, dies, or refuses to be cancelled."""

    def __init__(self) -> None:
        self.mood = "answer"
        self.running = 0
        self.most_running = 0

    async def __call__(self) -> Reply:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self.mood == "die":
                raise KeyError(SECRETS.database)
            while self.mood in ("hang", "stubborn"):
                try:
                    await asyncio.sleep(0.05)
                except asyncio.CancelledError:
                    if self.mood == "hang":
                        raise
            return Reply(Outcome.ANSWERED, "", 1.0)
        finally:
            self.running -= 1

    def probes(self) -> Probes:
        async def ready() -> Reply:
            return Reply(Outcome.ANSWERED, "", 1.0)

        async def models() -> dict[str, Finding]:
            return {"cloud": Finding(True, "assumed", "")}

        return Probes(self, ready, models)


@pytest.mark.parametrize(("mood", "words"), [("hang", "hung"), ("die", "died of KeyError"), ("stubborn", None)])
def test_a_probe_job_that_stalls_or_dies_turns_answers_red_and_is_restarted(
    mood: str, words: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Scripted()

    async def scenario() -> None:
        # No silence is too long here, so that only the age of the observation can turn the answer red.
        config = config_of(settings(unresponsive_after_seconds=500))
        async with health_app(config, script.probes()) as client:
            await client.until_status("/readyz", 200, "ready")
            script.mood = mood
            gone = await client.until("/livez", lambda reply: reply.status == 503)
            assert gone.body["status"] == "unknown" and "late" in gone.body["detail"]
            assert (await client.get("/readyz")).status == 503
            assert (await client.get("/health")).body["status"] == "failing"
            if words:
                job = (await client.until("/health", lambda reply: reply.body["jobs"]["liveness"]["restarts"] > 0)).body
                assert job["jobs"]["liveness"]["last_problem"] == words
            else:  # it cannot be restarted, but must have been noticed
                await client.until("/health", lambda reply: reply.body["jobs"]["liveness"]["age_seconds"] > 1.6)
            script.mood = "answer"
            await client.until_status("/livez", 200, "alive")
            await client.until_status("/readyz", 200, "ready")
            assert SECRETS.database is not None and SECRETS.database not in client.all_text

    asyncio.run(scenario())
    assert script.most_running == 1
    output = capsys.readouterr()
    assert "the liveness job " in output.out
    assert SECRETS.database is not None and SECRETS.database not in output.out + output.err


def test_a_machine_that_was_suspended_does_not_answer_green() -> None:
    script = Scripted()
    asleep_seconds = 0.0

    def clock() -> float:
        return time.monotonic() + asleep_seconds

    async def scenario() -> None:
        nonlocal asleep_seconds
        # The next probe is seconds away, as it may be when a machine wakes up, so only the age can turn it red.
        config = config_of(settings(unresponsive_after_seconds=600, probe_interval_seconds=3, timeout_seconds=3))
        async with health_app(config, script.probes(), clock) as client:
            await client.until("/livez", lambda reply: reply.status == 200)
            asleep_seconds = 3600.0
            for path, word in (("/livez", "unknown"), ("/readyz", "not_ready"), ("/health", "failing")):
                reply = await client.get(path)
                assert (reply.status, reply.body["status"]) == (503, word)
            await client.until_status("/livez", 200, "alive")
            assert (await client.get("/health")).body["jobs"]["liveness"]["restarts"] == 0

    asyncio.run(scenario())


def test_other_paths_and_methods_and_head() -> None:
    async def scenario() -> None:
        async with gateway() as gw, health_app(config_of(settings(gw.url))) as client:
            await client.until_status("/readyz", 200, "ready")
            for path in ("/", "/metrics", "/health/", "/health/x", "/%00", "/..%2f..%2fetc/passwd"):
                reply = await client.get(path)
                assert (reply.status, reply.body) == (404, {"error": "no such path"}), path
            for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
                reply = await client.get("/health", method)
                assert (reply.status, reply.body) == (405, {"error": "only GET and HEAD are allowed"})
                assert reply.headers["Allow"] == "GET, HEAD"
            for path in (*PATHS, "/livez", "/readyz"):
                head = await client.get(path, "HEAD")
                assert (head.status, head.text) == (200, "") and int(head.headers["Content-Length"]) > 50
            assert (await client.get("/absent", "HEAD")).status == 404
            for path in (*PATHS, "/absent"):
                headers = (await client.get(path)).headers
                assert headers["Cache-Control"] == "no-store" and headers["Server"] == "portcullis-health"
                assert headers["Content-Type"] == "application/json; charset=utf-8"

    asyncio.run(scenario())


def test_a_judgement_that_fails_is_a_500_without_a_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        async with health_app(config_of(settings()), Scripted().probes()) as client:

            def broken(watch: Any) -> Any:
                raise RuntimeError(SECRETS.database)

            monkeypatch.setattr("portcullis_health.server.judge", broken)
            reply = await client.get("/health")
            assert reply.status == 500 and json.loads(reply.text) == {"error": "the health app itself failed"}

    asyncio.run(scenario())
    out = capsys.readouterr().out
    assert "answering '/health' failed: RuntimeError" in out
    assert SECRETS.database is not None and SECRETS.database not in out


def test_changes_are_logged_once(capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        async with gateway() as gw, health_app(config_of(settings(gw.url))) as client:
            await client.until_status("/readyz", 200, "ready")
            await gw.stop()
            await client.until_status("/livez", 503, "stopped")
            before = gw.requests
            await asyncio.sleep(0.5)  # several probes that change nothing
            await gw.start()
            await client.until_status("/readyz", 200, "ready")
            assert gw.requests > before

    asyncio.run(scenario())
    lines = capsys.readouterr().out.splitlines()
    told = [line.split(": ", 2)[:2] for line in lines if line.startswith("gateway: ")]
    assert told == [
        ["gateway", "starting"],
        ["gateway", "starting -> alive"],
        ["gateway", "alive -> stopped"],
        ["gateway", "stopped -> alive"],
    ]
    assert len([line for line in lines if "-> stopped" in line]) == 1
