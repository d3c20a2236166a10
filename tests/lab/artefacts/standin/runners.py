"""The `llama-server` processes: one for each loaded model and purpose, as the real program has them."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from standin.common import FOREVER_SECONDS, LIB, ApiError, seconds, setting
from standin.store import Name, describe, load, weights

Key = tuple[str, str]


class Runner:
    """One running `llama-server`."""

    def __init__(self, name: Name, purpose: str) -> None:
        self.info = describe(name)[0]
        self.context = int(setting("OLLAMA_CONTEXT_LENGTH", "4096"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        started = time.monotonic()
        self.process = self._spawn(name, purpose)
        self._wait(started + seconds(setting("OLLAMA_LOAD_TIMEOUT")))
        self.load_ns = int((time.monotonic() - started) * 1e9)
        self.touch(None)

    def _spawn(self, name: Name, purpose: str) -> subprocess.Popen[bytes]:
        program = LIB / "llama-server"
        if not program.exists():
            raise ApiError(500, f"error starting llama-server: llama-server binary not found (checked: {program})")
        slots = int(setting("OLLAMA_NUM_PARALLEL", "1"))
        command = [str(program), "--model", str(weights(load(name))), "--alias", name.short, "--no-webui", "--jinja"]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "-c", str(self.context * slots), "-np", str(slots)]
        # The model is tiny: more threads only take turns with everything else on the machine.
        command += ["-t", setting("STANDIN_THREADS", "1")]
        if purpose == "embed":
            command += ["--embeddings", "--pooling", "mean"]
        print("starting llama-server cmd=" + " ".join(command), file=sys.stderr, flush=True)
        output = None if setting("OLLAMA_DEBUG") else subprocess.DEVNULL
        environment = {**os.environ, "LD_LIBRARY_PATH": str(LIB)}
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)

    def _wait(self, limit: float) -> None:
        while True:
            if self.process.poll() is not None:
                raise ApiError(500, f"llama runner process has terminated: exit status {self.process.returncode}")
            if time.monotonic() > limit:
                self.stop()
                raise ApiError(500, "timed out waiting for llama runner to start")
            try:
                if self.call("GET", "/health")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)

    def touch(self, keep_alive: str | float | None) -> None:
        """Count the time until this model is unloaded from now on."""
        keep = seconds(keep_alive, seconds(setting("OLLAMA_KEEP_ALIVE")))
        self.expires = time.time() + (keep if keep >= 0 else FOREVER_SECONDS)

    def request(self, method: str, path: str, body: Any = None) -> tuple[http.client.HTTPConnection, Any]:
        """Send a request; the caller reads the response and closes the connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json"})
        return connection, connection.getresponse()

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Send a request; returns status and body."""
        connection, response = self.request(method, path, body)
        try:
            return response.status, response.read()
        finally:
            connection.close()

    def json(self, path: str, body: Any) -> dict[str, Any]:
        """POST, and the answer; an error of llama-server becomes one of ours."""
        status, data = self.call("POST", path, body)
        if status != 200:
            raise ApiError(status, json.loads(data).get("error", {}).get("message", data.decode()))
        answer: dict[str, Any] = json.loads(data)
        return answer

    def events(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """POST, and each event of the streamed answer."""
        connection, response = self.request("POST", path, {**body, "stream": True})
        try:
            if response.status != 200:
                raise ApiError(response.status, response.read().decode())
            for line in response:
                if line.startswith(b"data: ") and line[6:].strip() != b"[DONE]":
                    yield json.loads(line[6:])
        finally:
            connection.close()

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Pool:
    """The loaded models, unloaded when unused or when another one needs the room."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.live: dict[Key, Runner] = {}
        threading.Thread(target=self._reap, daemon=True).start()

    def get(self, raw: str | None, purpose: str, keep_alive: str | float | None = None) -> tuple[Runner, int]:
        """The runner for a model, and how long its load took in this request."""
        name = Name(raw)
        key = (describe(name)[0]["name"], purpose)
        with self.lock:
            runner = self.live.get(key)
            load_ns = 1
            if runner is None or runner.process.poll() is not None:
                limit = int(setting("OLLAMA_MAX_LOADED_MODELS", "0")) or 3
                while len(self.live) >= limit:
                    self.live.pop(min(self.live, key=lambda k: self.live[k].expires)).stop()
                runner = self.live[key] = Runner(name, purpose)
                load_ns = runner.load_ns
            runner.touch(keep_alive)
            return runner, load_ns

    def drop(self, wanted: Callable[[Runner], bool]) -> None:
        """Unload the models for which `wanted` says so."""
        with self.lock:
            for key in [key for key, runner in self.live.items() if wanted(runner)]:
                self.live.pop(key).stop()

    def _reap(self) -> None:
        while True:
            time.sleep(0.5)
            self.drop(lambda runner: runner.expires < time.time())
