"""The commands of the `ollama` program: `serve`, and clients of a running server."""

from __future__ import annotations

import http.client
import json
import sys
from typing import Any

from standin.common import host_port, version
from standin.server import serve

USAGE = "usage: ollama serve | list | ps | pull [--insecure] NAME | show NAME | run NAME PROMPT | cp OLD NEW | rm NAME"


def _call(method: str, path: str, body: Any = None) -> list[dict[str, Any]]:
    """The objects the running server answers with."""
    host, port = host_port()
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    connection = http.client.HTTPConnection(host, port, timeout=600)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json"})
        return [json.loads(line) for line in connection.getresponse().read().decode().splitlines()]
    finally:
        connection.close()


def main(arguments: list[str]) -> int:
    """Run one command."""
    command, rest = (arguments or ["help"])[0], arguments[1:]
    if command in ("serve", "start"):
        return serve()
    if command in ("-v", "--version"):
        return _version()
    try:
        return _client(command, rest)
    except OSError:
        print("Error: could not connect to ollama server, run 'ollama serve' to start it", file=sys.stderr)
        return 1


def _version() -> int:
    running = None
    try:
        running = _call("GET", "/api/version")[0]["version"]
        print(f"ollama version is {running}")
    except OSError:
        print("Warning: could not connect to a running Ollama instance")
    if running != version():
        print(f"Warning: client version is {version()}")
    return 0


def _client(command: str, rest: list[str]) -> int:
    names = [argument for argument in rest if not argument.startswith("-")]
    if command in ("list", "ls", "ps"):
        print("NAME\tID\tSIZE")
        for model in _call("GET", "/api/ps" if command == "ps" else "/api/tags")[0]["models"]:
            print(f"{model['name']}\t{model['digest'][:12]}\t{model['size']}")
        return 0
    if command == "rm" and names:
        answer = _call("DELETE", "/api/delete", {"model": names[0]})
    elif command == "cp" and len(names) == 2:
        answer = _call("POST", "/api/copy", {"source": names[0], "destination": names[1]})
    elif command == "show" and names:
        answer = _call("POST", "/api/show", {"model": names[0]})
    elif command == "pull" and names:
        answer = _call("POST", "/api/pull", {"model": names[0], "insecure": "--insecure" in rest})
    elif command == "run" and names:
        request = {"model": names[0], "prompt": " ".join(names[1:]), "stream": False}
        answer = _call("POST", "/api/generate", request)
    else:
        print(USAGE, file=sys.stderr)
        return 1
    for line in answer:
        if command == "pull" and line.get("status"):
            print(line["status"], file=sys.stderr)
    last = answer[-1] if answer else {}
    if last.get("error"):
        print(f"Error: {last['error']}", file=sys.stderr)
        return 1
    if command in ("show", "run"):
        print(last.get("response") or json.dumps(last, indent=1))
    return 0
