"""The mirror's caching proxy, between a client and an archive on loopback."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.lab.image import mirror_server
from tests.local_server import serving


class Archive(BaseHTTPRequestHandler):
    """An archive that counts what it is asked for."""

    protocol_version = "HTTP/1.1"
    asked: list[str]

    def do_GET(self) -> None:
        """Answer with the path, `404` paths with that, and a conditional request with 304."""
        type(self).asked.append(self.path)
        body = self.path.encode()
        status = 404 if "404" in self.path else 304 if self.headers.get("If-Modified-Since") else 200
        self.send_response(status)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 304:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


class Quiet(mirror_server.Proxy):
    """The proxy without its access log."""

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def archive() -> Iterator[str]:
    Archive.asked = []
    with serving(Archive, waits=False) as address:
        yield address


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(mirror_server, "PACKAGES", tmp_path)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving(Quiet, waits=False) as address:
        yield address


def _get(proxy: str, *urls: str, **headers: str) -> list[tuple[int, bytes]]:
    connection = http.client.HTTPConnection(proxy, timeout=10)
    try:
        answers = []
        for url in urls:
            connection.request("GET", url, headers={k.replace("_", "-"): v for k, v in headers.items()})
            response = connection.getresponse()
            answers.append((response.status, response.read()))
        return answers
    finally:
        connection.close()


def test_package_is_fetched_once(archive: str, proxy: str) -> None:
    url = f"http://{archive}/pool/a_1_amd64.deb"
    assert _get(proxy, url, url) == [(200, b"/pool/a_1_amd64.deb")] * 2
    assert Archive.asked == ["/pool/a_1_amd64.deb"]


def test_hosts_that_ask_at_the_same_time_share_one_fetch(archive: str, proxy: str) -> None:
    url = f"http://{archive}/pool/b_1_amd64.deb"
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: _get(proxy, url)[0], range(5)))
    assert answers == [(200, b"/pool/b_1_amd64.deb")] * 5
    assert len(Archive.asked) == 1


def test_what_may_change_is_asked_for_every_time(archive: str, proxy: str) -> None:
    url = f"http://{archive}/dists/trixie/InRelease"
    assert _get(proxy, url, url) == [(200, b"/dists/trixie/InRelease")] * 2
    assert len(Archive.asked) == 2
    assert _get(proxy, url, If_Modified_Since="Sat, 01 Jan 2028 00:00:00 GMT") == [(304, b"")]


def test_missing_package_is_not_remembered(archive: str, proxy: str) -> None:
    url = f"http://{archive}/pool/404.deb"
    assert [status for status, _ in _get(proxy, url, url)] == [404, 404]
    assert len(Archive.asked) == 2


def test_archive_that_is_down_is_a_502(proxy: str) -> None:
    assert _get(proxy, "http://127.0.0.1:1/pool/c.deb")[0][0] == 502


def test_only_plain_http_is_relayed(proxy: str) -> None:
    assert _get(proxy, "/etc/passwd")[0][0] == 501
