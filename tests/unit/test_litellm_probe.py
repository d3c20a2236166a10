"""payload/litellm/probe.py, run for real against a gateway that answers, fails, hangs and comes back."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

import pytest

from deploys.components.litellm import timers as litellm_timers
from deploys.components.litellm.timers import TimersSettings
from deploys.lib.render import ROOT
from tests.local_server import serving

PROGRAM = ROOT / "payload" / "litellm" / "probe.py"
KEY = 'sk-a"b$c`d\\e f0123456789012345678901234'
MODES = {"toolkit-selftest": "chat", "llama": "chat", "nomic": "embedding"}


class World(BaseHTTPRequestHandler):
    """A gateway and the places that alerts are sent to; ``mood`` says how it answers."""

    mood = "good"
    asked: ClassVar[list[tuple[str, dict[str, Any], str]]] = []
    told: ClassVar[list[tuple[str, dict[str, Any]]]] = []
    kept: ClassVar[dict[str, int]] = {}

    def do_GET(self) -> None:
        self.answer({"status": "healthy", "ping_response": self.mood != "no redis"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.startswith("/hook"):
            self.told.append((self.path, body))
            return self.answer({}, 500 if self.mood == "deaf" else 200)
        self.asked.append((self.path, body, self.headers["Authorization"]))
        if self.path == "/v1/embeddings":
            return self.answer({"data": [{"embedding": [0.1]}]})
        text = "pong" if body["model"] == "toolkit-selftest" else "hello"
        if self.mood in ("forgetful", "late"):
            # Late: the question is repeated before the first answer is kept, so the second one is.
            number = len(self.asked) if self.mood == "forgetful" else min(len(self.asked), 2)
        else:
            number = self.kept.setdefault(json.dumps(body), len(self.kept))
        self.answer({"id": f"id-{number}", "choices": [{"message": {"content": text}}]})

    def answer(self, body: object, status: int = 200) -> None:
        if self.path.startswith("/hook"):
            pass
        elif self.mood == "hanging":
            time.sleep(2)
        elif self.mood == "bad":
            status, body = 500, {"error": {"message": f"it is broken, {KEY}"}}
        elif self.mood == "strange":
            body = {"choices": [7]}
        data = b"<html>" if self.mood == "a web page" else json.dumps(body).encode()
        self.send_response(status)
        self.end_headers()
        if self.mood != "dripping":
            return self.wfile.write(data) and None
        for byte in data:  # each byte in time, and the whole too late
            time.sleep(0.15)
            self.wfile.write(bytes([byte]))

    def log_message(self, *arguments: object) -> None:
        pass


class Host:
    """A host with the program, its state and a gateway."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.url = folder, f"http://{address}"
        (folder / "state").mkdir()
        self.set_up()

    def set_up(self, models: list[str] | None = None, cache: bool = True, **variables: str) -> None:
        told = litellm_timers.config(
            TimersSettings(probe_models=models or []), self.url, "toolkit-selftest", MODES, cache
        )
        (self.folder / "probe.json").write_text(json.dumps({**told, "timeout_seconds": 0.6}))
        self.variables = {"LITELLM_MASTER_KEY": KEY, **variables}

    def alerts(self, **more: str) -> None:
        hooks = {"SLACK_WEBHOOK_URL": f"{self.url}/hook/slack", "ALERTING_WEBHOOK_URL": f"{self.url}/hook/own?token=t"}
        self.set_up(**hooks, **more)

    def run(self, what: str = "gateway-probe", mood: str = "good") -> list[str]:
        """One run of the timer; returns what it said to the journal."""
        World.mood = mood
        command = [sys.executable, str(PROGRAM), what, str(self.folder / "probe.json")]
        done = subprocess.run(
            command,
            env={**self.variables, "STATE_DIRECTORY": str(self.folder / "state")},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert KEY not in done.stderr and "token=t" not in done.stderr
        return done.stderr.splitlines()

    def show(self) -> tuple[int, str]:
        command = [sys.executable, str(PROGRAM), "show", str(self.folder / "state" / "state.json")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        return done.returncode, done.stdout.strip()

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "state" / "state.json").read_text())
        return found


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    World.mood, World.asked, World.told, World.kept = "good", [], [], {}
    with serving(World) as address:
        yield Host(tmp_path, address)


def levels(lines: list[str]) -> list[str]:
    return [line[:3] for line in lines]


def test_a_good_gateway_is_asked_with_the_master_key_and_nobody_is_told(host: Host) -> None:
    host.alerts()
    assert host.run() == []
    assert [(path, body["model"], key) for path, body, key in World.asked] == [
        ("/v1/chat/completions", "toolkit-selftest", f"Bearer {KEY}")
    ]
    assert World.told == [] and host.state()["checks"]["toolkit-selftest"]["failures"] == 0
    assert host.show() == (0, f"toolkit-selftest good at {host.state()['checks']['toolkit-selftest']['good']}")


def test_a_gateway_that_fails_once_is_noted_and_nobody_is_told(host: Host) -> None:
    host.alerts()
    assert host.run(mood="bad") == ["<4>gateway-probe: toolkit-selftest failed (1): HTTP 500: it is broken, ***"]
    assert host.show() == (1, "toolkit-selftest: HTTP 500: it is broken, ***")
    assert host.run() == []
    assert World.told == [] and host.state()["checks"]["toolkit-selftest"]["failures"] == 0


def test_three_failures_alert_once_and_recovery_is_told_once(host: Host) -> None:
    host.alerts()
    said = [host.run(mood="bad") for _ in range(5)]
    assert [levels(lines) for lines in said] == [["<4>"], ["<4>"], ["<3>"], ["<5>"], ["<5>"]], "one line is an error"
    assert "gateway-probe: toolkit-selftest has failed 3 times since 20" in said[2][0]
    assert [path for path, _ in World.told] == ["/hook/slack", "/hook/own?token=t"]
    slack, own = (body for _, body in World.told)
    assert list(slack) == ["text"] and "has failed 3 times" in slack["text"] and KEY not in slack["text"]
    assert (own["text"], own["state"], own["check"]) == (slack["text"], "failed", "toolkit-selftest")
    (line,) = host.run()
    assert line == "<5>gateway-probe: toolkit-selftest is good again, after 5 failures"
    assert [body.get("state") for _, body in World.told] == [None, "failed", None, "recovered"]
    assert host.run() == [] and len(World.told) == 4
    for _ in range(3):
        host.run(mood="bad")
    assert len(World.told) == 6, "and the next time it is told again"


@pytest.mark.parametrize(
    ("mood", "why"),
    [
        ("hanging", "no answer within 0.6 s"),
        ("dripping", "no answer within 0.6 s"),
        ("a web page", "Expecting value: line 1 column 1 (char 0)"),
        ("strange", "an answer nobody expects (TypeError)"),
    ],
)
def test_every_other_answer_counts_as_a_wrong_one(host: Host, mood: str, why: str) -> None:
    assert host.run(mood=mood) == [f"<4>gateway-probe: toolkit-selftest failed (1): {why}"]


def test_a_gateway_that_is_not_there_is_a_failure(host: Host) -> None:
    host.url = "http://127.0.0.1:9"
    host.set_up()
    assert host.run() == ["<4>gateway-probe: toolkit-selftest failed (1): [Errno 111] Connection refused"]


def test_an_alert_that_cannot_be_sent_is_sent_the_next_time(host: Host) -> None:
    host.alerts()
    for _ in range(2):
        host.run(mood="bad")
    World.told = []
    host.set_up(SLACK_WEBHOOK_URL="http://127.0.0.1:9/secret-path")
    said = host.run(mood="bad")
    assert levels(said) == ["<3>", "<4>"]
    assert said[1] == "<4>an alert cannot be sent to SLACK_WEBHOOK_URL: URLError; it is sent with the next one"
    assert len(host.state()["waiting"]) == 1
    host.alerts()
    host.run()
    assert [path for path, _ in World.told] == ["/hook/slack", "/hook/slack", "/hook/own?token=t"]
    assert ["failed" in World.told[0][1]["text"], "good again" in World.told[1][1]["text"]] == [True, True]
    assert host.state()["waiting"] == []


def test_a_state_that_cannot_be_read_is_begun_anew(host: Host) -> None:
    (host.folder / "state" / "state.json").write_text("{")
    assert levels(host.run()) == ["<4>"] and host.run() == []


def test_every_named_model_is_asked_in_its_own_way_and_judged_by_itself(host: Host) -> None:
    host.set_up(models=["llama", "nomic"])
    assert host.run() == []
    assert [(path.rpartition("/")[2], body["model"]) for path, body, _ in World.asked] == [
        ("completions", "toolkit-selftest"),
        ("completions", "llama"),
        ("embeddings", "nomic"),
    ]
    host.set_up()
    host.run()
    assert list(host.state()["checks"]) == ["toolkit-selftest"], "one that is no longer asked is forgotten"


def test_the_cache_is_good_when_the_same_question_gets_the_same_answer(host: Host) -> None:
    assert host.run("cache-health") == []
    assert {body["cache"]["use-cache"] for _, body, _ in World.asked} == {True}
    World.asked.clear()
    assert host.run("cache-health", mood="late") == []
    (said,) = host.run("cache-health", mood="forgetful")
    assert said == "<4>cache-health: cache failed (1): the same question again was not answered from the cache"
    (said,) = host.run("cache-health", mood="no redis")
    assert said == "<4>cache-health: Redis failed (1): the gateway does not reach its Redis"


def test_without_a_cache_only_redis_is_asked_for(host: Host) -> None:
    host.set_up(cache=False)
    assert host.run("cache-health", mood="forgetful") == [] and World.asked == []
