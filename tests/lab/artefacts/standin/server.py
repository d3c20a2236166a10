"""`ollama serve`: the HTTP API."""

from __future__ import annotations

import http.server
import json
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from standin import inference, store
from standin.common import ApiError, home, host_port, models_dir, version
from standin.runners import Pool

PRIVATE = re.compile(r"(127|10|192\.168|172\.(1[6-9]|2\d|3[01]))\.|0\.0\.0\.0$|::1?$")


class Server(http.server.ThreadingHTTPServer):
    """The listening server with its loaded models."""

    daemon_threads = True
    allow_reuse_address = True
    pool: Pool


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        """One line per request in the journal."""
        print(f"[STANDIN] {format % args}", file=sys.stderr, flush=True)

    def send_body(self, status: int, data: bytes, kind: str) -> None:
        """A whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def send_json(self, document: Any, status: int = 200) -> None:
        """A whole JSON answer."""
        self.send_body(status, json.dumps(document).encode(), "application/json")

    def send_text(self, text: str, status: int = 200) -> None:
        """A whole plain answer."""
        self.send_body(status, text.encode(), "text/plain")

    def start_chunks(self, kind: str, status: int = 200) -> None:
        """Begin an answer whose length is not known."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        """The next part of such an answer; an empty one ends it."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def send_ndjson(self, items: Iterable[dict[str, Any]]) -> None:
        """A stream of objects; an error after the first one is a line, because the status is out by then."""
        started = False
        try:
            for item in items:
                if not started:
                    self.start_chunks("application/x-ndjson")
                    started = True
                self.chunk(json.dumps(item).encode() + b"\n")
        except ApiError as error:
            if not started:
                raise
            self.chunk(json.dumps({"error": str(error)}).encode() + b"\n")
        self.chunk(b"")

    def host_allowed(self) -> bool:
        """The real program's guard against DNS rebinding, which only a loopback server has."""
        if not str(self.server.server_address[0]).startswith("127."):
            return True
        host = re.sub(r":\d+$", "", self.headers.get("Host", "")).strip("[]").lower()
        known = host in ("", "localhost", socket.gethostname().lower())
        return bool(PRIVATE.match(host)) or known or host.endswith((".localhost", ".local", ".internal"))

    def answer(self) -> None:
        """Answer one request; what goes wrong becomes the error body the API has for it."""
        path = self.path.split("?")[0]
        try:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not self.host_allowed():
                return self.send_text("", 403)
            if self.command == "POST" and not raw:
                raise ApiError(400, "missing request body")
            request = json.loads(raw) if raw else {}
            if self.command in ("GET", "HEAD"):
                self.get(path)
            elif self.command == "DELETE" and path == "/api/delete":
                name = store.delete(request.get("model") or request.get("name"))
                self.server.pool.drop(lambda r: r.info["name"] == name)
                self.send_text("")
            elif self.command == "POST":
                self.post(path, request)
            else:
                self.send_text("404 page not found", 404)
        except ApiError as error:
            self.send_json(self.error_body(path, error), error.status)
        except ValueError as error:
            self.send_json({"error": str(error)}, 400)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_DELETE = answer

    @staticmethod
    def error_body(path: str, error: ApiError) -> dict[str, Any]:
        """Ollama's own form, or OpenAI's below /v1."""
        if not path.startswith("/v1/"):
            return {"error": str(error)}
        kind = {400: "invalid_request_error", 404: "not_found_error"}.get(error.status, "api_error")
        return {"error": {"message": str(error), "type": kind, "param": None, "code": None}}

    def get(self, path: str) -> None:
        """The calls that only read."""
        if path == "/":
            self.send_text("Ollama is running")
        elif path == "/api/version":
            self.send_json({"version": version()})
        elif path == "/api/tags":
            self.send_json({"models": store.listing()})
        elif path == "/api/ps":
            self.send_json({"models": inference.loaded(self.server.pool)})
        elif path == "/v1/models":
            self.send_json({"object": "list", "data": [_openai_entry(model) for model in store.listing()]})
        else:
            self.send_text("404 page not found", 404)

    def post(self, path: str, request: dict[str, Any]) -> None:
        """The calls with a body."""
        pool, stream = self.server.pool, request.get("stream", True) is not False
        if path == "/api/pull":
            items = store.pull(request.get("model") or request.get("name"), bool(request.get("insecure")))
            self.send_ndjson(items) if stream else self.send_json(list(items)[-1])
        elif path == "/api/copy":
            store.copy(request.get("source"), request.get("destination"))
            self.send_text("")
        elif path == "/api/show":
            self.send_json(inference.show(request))
        elif path == "/api/embed":
            self.send_json(inference.embed(pool, request))
        elif path == "/api/embeddings":
            vectors = inference.embed(pool, {**request, "input": request.get("prompt", "")})["embeddings"]
            self.send_json({"embedding": vectors[0] if vectors else []})
        elif path in ("/api/chat", "/api/generate"):
            items = inference.generate(pool, request, path == "/api/chat")
            self.send_ndjson(items) if stream else self.send_json(inference.joined(list(items)))
        elif path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings"):
            self.forward(path, request)
        else:
            self.send_text("404 page not found", 404)

    def forward(self, path: str, request: dict[str, Any]) -> None:
        """Pass an OpenAI-compatible call on: llama-server speaks it itself."""
        runner, _ = self.server.pool.get(request.get("model"), "embed" if path.endswith("embeddings") else "chat")
        connection, response = runner.request("POST", path, request)
        try:
            self.start_chunks(response.headers.get("Content-Type", "application/json"), response.status)
            while data := response.read1(65536):
                self.chunk(data)
            self.chunk(b"")
        finally:
            connection.close()


def _openai_entry(model: dict[str, Any]) -> dict[str, Any]:
    created = int(datetime.fromisoformat(model["modified_at"].replace("Z", "+00:00")).timestamp())
    return {"id": model["name"], "object": "model", "owned_by": "library", "created": created}


def serve() -> int:
    """Run the server until it is told to stop."""
    key = home() / ".ollama" / "id_ed25519"
    if not key.exists():
        print(f"Couldn't find '{key}'. Generating new private key.", flush=True)
        key.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        key.write_text("stand-in\n")
        key.chmod(0o600)
    for folder in ("blobs", "manifests"):
        (models_dir() / folder).mkdir(parents=True, exist_ok=True)
    host, port = host_port()
    if ":" in host:
        Server.address_family = socket.AF_INET6
    with Server((host, port), Handler) as server:
        server.pool = Pool()
        # shutdown() waits for serve_forever(), so it must not run in the thread that is in it.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
        print(f"Listening on {host}:{port} (version {version()})", file=sys.stderr, flush=True)
        server.serve_forever()
        server.pool.drop(lambda _: True)
    return 0
