#!/usr/bin/python3
"""Ask the gateway real questions, note the answers, and tell people once when one stays wrong and once when it is over.

probe.py gateway-probe CONFIG    a completion from the self-test model, and from every model that CONFIG names
probe.py cache-health  CONFIG    whether Redis answers the gateway, and whether an answer comes out of the cache
probe.py show          STATE     what was noted last, in one line; exit 1 when something is wrong

Runs from systemd timers with the system's Python. The master key and where alerts go are in its environment, from a
file that systemd reads for it (EnvironmentFile=): neither is in a command line or a file others can read.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# Where alerts go, and whether more than the text is understood there.
DESTINATIONS = {"SLACK_WEBHOOK_URL": False, "ALERTING_WEBHOOK_URL": True}
WEBHOOK_SECONDS = 10
KEPT = 20  # messages for a destination that cannot be reached
ERROR, WARNING, NOTICE = 3, 4, 5  # of syslog


class Wrong(Exception):
    """What is wrong, as a sentence for a person."""


class Late(Exception):
    """It took too long. Not a TimeoutError, which urllib would wrap in an error of its own."""


def say(level: int, text: str) -> None:
    print(f"<{level}>{text}", file=sys.stderr, flush=True)


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def at_most(seconds: float) -> Any:
    """End what takes longer: a server that sends a byte now and then outlives the time limits of its connection."""

    def late(number: int, frame: object) -> None:
        raise Late

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class Gateway:
    def __init__(self, url: str, key: str, seconds: float) -> None:
        self.url, self.key, self.seconds = url, key, seconds
        # A proxy that the environment names is for the internet.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, path: str, body: object | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with at_most(self.seconds):
                answer = self.answer(request)
        except Late:
            raise Wrong(f"no answer within {self.seconds:g} s") from None
        except (OSError, ValueError, http.client.HTTPException) as error:  # no connection, cut off, or not JSON
            raise Wrong(str(getattr(error, "reason", error)) or type(error).__name__) from None
        return answer if isinstance(answer, dict) else {}

    def answer(self, request: urllib.request.Request) -> Any:
        try:
            with self.opener.open(request) as got:
                return json.loads(got.read(4_000_000))
        except urllib.error.HTTPError as error:
            text = error.read(100_000).decode(errors="replace")
            with suppress(ValueError, LookupError, TypeError):
                text = str(json.loads(text)["error"]["message"])
                text = str(json.loads(text)["message"])  # /cache/ping has JSON in its JSON
            raise Wrong(f"HTTP {error.code}: {' '.join(text.replace(self.key, '***').split())[:200]}") from None


def chat(model: str, text: str = "ready?", **more: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 16, **more}


def completion(gateway: Gateway, model: str, mode: str, expected: str = "") -> None:
    if mode == "embedding":
        answer = gateway.ask("/v1/embeddings", {"model": model, "input": "ready?"}).get("data")
    else:
        answer = gateway.ask("/v1/chat/completions", chat(model)).get("choices")
    if not answer or (expected and answer[0]["message"]["content"] != expected):
        raise Wrong("the answer is not the one expected" if answer else "the answer is empty")


def ping(gateway: Gateway) -> None:
    answer = gateway.ask("/cache/ping")
    if answer.get("status") != "healthy" or answer.get("ping_response") is not True:
        raise Wrong("the gateway does not reach its Redis")


def hit(gateway: Gateway, model: str) -> None:
    """The same question again; an answer has the id of the one before when it came out of the cache.

    An answer is kept after it was given, and one to a question that was repeated too early replaces it.
    """
    question = chat(model, f"cache {now()} {os.getpid()}", cache={"use-cache": True})
    before = gateway.ask("/v1/chat/completions", question).get("id")
    for pause in (0.2, 0.5, 1.0, 2.0):
        time.sleep(pause)
        answer = gateway.ask("/v1/chat/completions", question).get("id")
        if answer and answer == before:
            return
        before = answer
    raise Wrong("the same question again was not answered from the cache")


def checks(what: str, config: dict[str, Any], gateway: Gateway) -> dict[str, Callable[[], None]]:
    model = config["selftest"]
    if what == "cache-health":
        asked = {"Redis": lambda: ping(gateway)}
        return {**asked, "cache": lambda: hit(gateway, model)} if config["cache"] else asked
    found: dict[str, Callable[[], None]] = {model: lambda: completion(gateway, model, "chat", "pong")}
    for name, mode in config["models"].items():
        found[name] = lambda name=name, mode=mode: completion(gateway, name, mode)
    return found


def judge(name: str, known: dict[str, Any], check: Callable[[], None], limit: int, what: str) -> str:
    """Make one check and note in ``known`` what came of it; returns the message that people are owed, or nothing."""
    began, wrong = time.monotonic(), ""
    try:
        check()
    except Exception as error:  # an answer of another shape is a wrong answer
        wrong = str(error) if isinstance(error, Wrong) else f"an answer nobody expects ({type(error).__name__})"
    known.update(checked=now(), milliseconds=int((time.monotonic() - began) * 1000), wrong=wrong)
    if not wrong:
        owed = f"{what}: {name} is good again, after {known['failures']} failures" if known.get("alerted") else ""
        known.update(failures=0, since="", alerted=False, good=known["checked"])
        return owed
    known.update(failures=known.get("failures", 0) + 1, since=known.get("since") or known["checked"])
    if known["failures"] >= limit and not known.get("alerted"):
        known["alerted"] = True
        return f"{what}: {name} has failed {known['failures']} times since {known['since']}: {wrong}"
    say(NOTICE if known.get("alerted") else WARNING, f"{what}: {name} failed ({known['failures']}): {wrong}")
    return ""


def deliver(waiting: list[dict[str, Any]], variables: dict[str, str]) -> list[dict[str, Any]]:
    """Send what is waiting, the oldest first; returns what could not be sent."""
    proxies = {k: variables[f"{k.upper()}_PROXY"] for k in ("http", "https") if variables.get(f"{k.upper()}_PROXY")}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
    left, away = [], set()
    for item in waiting:
        name = item["to"]
        if name not in variables:
            continue  # no longer wanted
        if name not in away:
            body = json.dumps(item["body"] if DESTINATIONS[name] else {"text": item["body"]["text"]}).encode()
            try:
                request = urllib.request.Request(variables[name], body, {"Content-Type": "application/json"})
                with at_most(WEBHOOK_SECONDS), opener.open(request):
                    continue
            except Exception as error:
                # The address is a secret, and some errors have it in them.
                why = f"HTTP {error.code}" if isinstance(error, urllib.error.HTTPError) else type(error).__name__
                say(WARNING, f"an alert cannot be sent to {name}: {why}; it is sent with the next one")
                away.add(name)
        left.append(item)
    return left[-KEPT:]


def load(path: Path) -> dict[str, Any]:
    if path.exists():
        try:
            state = json.loads(path.read_text())
            return {"checks": dict(state["checks"]), "waiting": list(state["waiting"])}
        except (OSError, ValueError, KeyError, TypeError):
            say(WARNING, f"{path} cannot be read; it is begun anew")
    return {"checks": {}, "waiting": []}


def save(path: Path, state: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(state, indent=2) + "\n")
    part.replace(path)


def run(what: str, config: dict[str, Any], variables: dict[str, str], path: Path) -> None:
    gateway = Gateway(config["url"], variables["LITELLM_MASTER_KEY"], config["timeout_seconds"])
    state = load(path)
    wanted = checks(what, config, gateway)
    known = {name: state["checks"].get(name, {}) for name in wanted}
    waiting = state["waiting"]
    for name, check in wanted.items():
        if text := judge(name, known[name], check, config["failures"], what):
            bad = known[name]["alerted"]
            say(ERROR if bad else NOTICE, text)
            body = {"text": f"{socket.gethostname()}: {text}", "host": socket.gethostname(), "probe": what}
            body |= {"check": name, "state": "failed" if bad else "recovered", "at": known[name]["checked"]}
            waiting += [{"to": to, "body": body} for to in DESTINATIONS if to in variables]
    # Written before anything is sent: being told twice is better than never.
    save(path, {"checks": known, "waiting": waiting})
    if waiting:
        save(path, {"checks": known, "waiting": deliver(waiting, variables)})


def show(path: Path) -> int:
    known = load(path)["checks"]
    wrong = [f"{name}: {one['wrong']}" for name, one in known.items() if one["wrong"]]
    good = [f"{name} good at {one['good']}" for name, one in known.items() if not one["wrong"]]
    print("; ".join(wrong or good or ["nothing was asked yet"]))
    return 0 if known and not wrong else 1


def main() -> int:
    match sys.argv[1:]:
        case ["show", path]:
            return show(Path(path))
        case [("gateway-probe" | "cache-health") as what, path]:
            state = Path(os.environ["STATE_DIRECTORY"]) / "state.json"
            run(what, json.loads(Path(path).read_text()), dict(os.environ), state)
            return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
