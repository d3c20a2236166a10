"""What Ollama's guard lets through, shown by a running HAProxy with its rendered configuration."""

from __future__ import annotations

import socket
import subprocess
from contextlib import suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from deploys.components import ollama_guard
from deploys.components.ollama import OLLAMA
from tests.local_server import serving
from tests.ports import free_port
from tests.unit import site
from tests.unit.haproxy import CLIENT, OTHER, PROGRAM, until_listening

pytestmark = pytest.mark.skipif(not PROGRAM, reason="needs haproxy: apt-get install haproxy")


class Ollama(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return


def ask(port: int, path: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=5, source_address=(CLIENT, 0))
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_connections_of_others_take_none_from_the_gateways(tmp_path: Path) -> None:
    """There are a thousand, and who only begins a request would have one for fifteen seconds."""
    port = free_port()
    with serving(Ollama) as address, (tmp_path / "said").open("w") as said:
        text = next(f.text for f in OLLAMA.files(site.place(site.split(), "llm")) if f.path == ollama_guard.CONFIG)
        for old, new in (
            ("bind 192.0.2.12:11434", f"bind 127.0.0.1:{port}"),
            ("src 192.0.2.21 192.0.2.22 192.0.2.12", f"src {CLIENT}"),
            ("127.0.0.1:11434", address),
        ):
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "guard.cfg").write_text(text.replace("maxconn 1000", "maxconn 10"))
        assert PROGRAM
        process = subprocess.Popen([PROGRAM, "-db", "-f", tmp_path / "guard.cfg"], stdout=said, stderr=said)
        others: list[socket.socket] = []
        try:
            until_listening(port, process, tmp_path / "said")
            for _ in range(30):
                # Closed at once, which it may hear of this early.
                with suppress(ConnectionError):
                    others.append(socket.create_connection(("127.0.0.1", port), 5, (OTHER, 0)))
                    others[-1].sendall(b"GET /api/version HTTP/1.1\r\n")
            assert ask(port, "/api/version") == 200 and ask(port, "/api/pull") == 403
        finally:
            for one in others:
                one.close()
            process.terminate()
            process.wait(30)
