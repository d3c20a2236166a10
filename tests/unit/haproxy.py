"""A running HAProxy with the edge's rendered configuration, a gateway behind it, and clients of HTTP/1 and HTTP/2."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from deploys.components.edge import EDGE
from tests.lab.programs import WAY
from tests.local_server import serving
from tests.ports import free_port
from tests.unit import site

PROGRAM = shutil.which("haproxy", path=WAY)
# Not 127.0.0.1, which is the edge's own host to it.
CLIENT, OTHER = "127.0.0.2", "127.0.0.3"
NAME = "llm.example.org"
END_STREAM, END_HEADERS, HEADERS, RST_STREAM, SETTINGS = 0x1, 0x4, 0x1, 0x3, 0x4


@dataclass
class Gateway:
    """What stands for LiteLLM: it says 200, or what a request's path names, and holds what asks for `/v1/models`."""

    held: list[str] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    def wait(self, number: int) -> None:
        until = time.monotonic() + 10
        while len(self.held) < number and time.monotonic() < until:
            time.sleep(0.002)
        assert len(self.held) == number, self.held


@dataclass
class Edge:
    """Where HAProxy answers; its files are in ``folder``."""

    port: int
    gateway: Gateway
    folder: Path
    pid: int
    log: socket.socket
    opened: list[ssl.SSLSocket] = field(default_factory=list)

    def connect(self, client: str, protocol: str = "http/1.1") -> ssl.SSLSocket:
        context = ssl._create_unverified_context()
        context.set_alpn_protocols([protocol])
        raw = socket.create_connection(("127.0.0.1", self.port), 10, (client, 0))
        self.opened.append(context.wrap_socket(raw, server_hostname=NAME))
        return self.opened[-1]

    def logged(self) -> str:
        """The next line of its log, without what syslog has before it."""
        return self.log.recv(65536).decode().split("]: ", 1)[1]

    def told(self) -> dict[str, str]:
        """What HAProxy says of itself."""
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(str(self.folder / "admin.sock"))
            one.sendall(b"show info\n")
            text = b"".join(iter(lambda: one.recv(65536), b"")).decode()
        return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)

    def memory_kb(self) -> int:
        """KiB of memory that it has."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmRSS:")))

    def ask(self, path: str, client: str = CLIENT, **headers: str) -> int:
        """The status of one request on a connection of its own; without one it is 0."""
        context = ssl._create_unverified_context()
        connection = HTTPSConnection("127.0.0.1", self.port, timeout=10, context=context, source_address=(client, 0))
        try:
            connection.request("GET", path, headers={"Host": NAME, **headers})
            return connection.getresponse().status
        except ConnectionError:
            return 0
        finally:
            connection.close()


class Streams:
    """An HTTP/2 connection whose requests are sent at once, and whose answers are taken as they come (RFC 9113)."""

    def __init__(self, edge: Edge, client: str = CLIENT) -> None:
        self.socket = edge.connect(client, "h2")
        assert self.socket.selected_alpn_protocol() == "h2"
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self._frame(SETTINGS, 0, 0, b""))
        self.last, self.received = -1, b""

    @staticmethod
    def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
        return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body

    def send(self, number: int, path: str = "/v1/models") -> None:
        heads = {":method": "GET", ":scheme": "https", ":authority": NAME, ":path": path}
        # Each as it is, without the tables (RFC 7541, 6.2.2).
        block = b"".join(
            b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
            for name, value in heads.items()
        )
        for _ in range(number):
            self.last += 2
            self.socket.sendall(self._frame(HEADERS, END_STREAM | END_HEADERS, self.last, block))

    def cancel(self) -> None:
        """Give up every request that was sent."""
        for stream in range(1, self.last + 1, 2):
            self.socket.sendall(self._frame(RST_STREAM, 0, stream, (8).to_bytes(4, "big")))

    def statuses(self, number: int) -> list[int]:
        """Those of the next answers, in the order in which they came."""
        found: list[int] = []
        while len(found) < number:
            while len(self.received) < 9 or len(self.received) < 9 + int.from_bytes(self.received[:3], "big"):
                self.received += self.socket.recv(65536) or self._ended()
            length, kind = int.from_bytes(self.received[:3], "big"), self.received[3]
            body, self.received = self.received[9 : 9 + length], self.received[9 + length :]
            if kind == HEADERS:
                # 200 has a number of its own; others are said by their three digits (RFC 7541, appendix A).
                found.append(200 if body[0] == 0x88 else int(body[2:5]))
        return found

    @staticmethod
    def _ended() -> bytes:
        raise AssertionError("the connection has ended")


def _handler(gateway: Gateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == "/v1/models":
                gateway.held.append(self.path)
                gateway.release.wait(20)
            last = self.path.rpartition("/")[2]
            self.send_response(401 if last.startswith("refused") else 200)
            self.send_header("Content-Length", "0")
            if last != "refused-by-litellm":
                self.send_header("x-litellm-call-id", "an-id")
            self.end_headers()

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            return

    return Handler


def _written(folder: Path, **data: Any) -> Path:
    """The edge's files as they are rendered, in ``folder`` and not in the system's."""
    for item in EDGE.files(site.whole(edge_names=[NAME], **data)):
        if "/systemd/" in item.path:
            continue
        text = item.text.replace("/etc/haproxy/", f"{folder}/").replace("/run/haproxy/", f"{folder}/")
        text = text.replace("/dev/log", f"{folder}/log").replace("src 127.0.0.0/8 ::1", "src 127.0.0.1")
        (folder / Path(item.path).name).write_text(text)
    return folder / "haproxy.cfg"


@contextmanager
def running(**data: Any) -> Iterator[Edge]:
    """An edge with these settings, before one gateway."""
    assert PROGRAM
    gateway = Gateway()
    # A short name: paths of sockets may have about a hundred letters.
    with (
        serving(_handler(gateway)) as address,
        tempfile.TemporaryDirectory(prefix="edge-") as name,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log,
    ):
        log.bind(f"{name}/log")
        log.settimeout(10)
        port = free_port()
        ports = {"edge_port": port, "edge_http_port": 0, "litellm_port": int(address.rpartition(":")[2])}
        config = _written(Path(name), **{**ports, **data})
        with (Path(name) / "said").open("w+") as said:
            process = subprocess.Popen([PROGRAM, "-db", "-f", str(config)], stdout=said, stderr=said)
            try:
                until_listening(port, process, Path(name) / "said")
                edge = Edge(port, gateway, Path(name), process.pid, log)
                try:
                    yield edge
                finally:
                    for one in edge.opened:
                        one.close()
            finally:
                gateway.release.set()
                process.terminate()
                process.wait(30)


def until_listening(port: int, process: subprocess.Popen[bytes], said: Path) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(said.read_text())
