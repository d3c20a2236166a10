"""Runs in the mirror's container: serves the artefacts, and is a caching proxy for the hosts' apt."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import threading
from collections import defaultdict
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

ARTEFACTS, ARTEFACTS_PORT = "/srv/artefacts", 8080
# A folder per suite, each with blobs; a build that is not over yet has another ending.
IMAGES, IMAGE = Path("/srv/images"), re.compile(r"/v2/portcullis/base/(?:manifests|blobs)/(sha256:[0-9a-f]{64})")
PACKAGES, PROXY_PORT = Path("/srv/packages"), 3142
TIMEOUT_SECONDS = 60
PASSED_UP = ("If-Modified-Since", "If-Range", "Range", "Cache-Control", "User-Agent")
PASSED_DOWN = ("Content-Type", "Content-Length", "Content-Range", "Last-Modified", "ETag", "Location")


class Artefacts(SimpleHTTPRequestHandler):
    """The artefact tree, as plain files; and the base image, by digest, as a registry that is only read."""

    protocol_version = "HTTP/1.1"

    def translate_path(self, path: str) -> str:
        """The file for a path; a registry's blobs and manifests lie together, named by their digests."""
        if not (asked := IMAGE.fullmatch(urlsplit(path).path)):
            return super().translate_path(path)
        found = [one for one in IMAGES.glob(f"*/blobs/{asked[1]}") if one.parts[-3].count(".") == 0]
        return str(found[0] if found else IMAGES / "missing")

    def guess_type(self, path: str | os.PathLike[str]) -> str:
        """What a file is: a manifest says so itself, and Docker believes nothing else."""
        if "/manifests/" in self.path and Path(path).parent.name == "blobs" and Path(path).is_file():
            return str(json.loads(Path(path).read_text())["mediaType"])
        return super().guess_type(path)

    def end_headers(self) -> None:
        """Say which version of the registry's protocol this is, and under what digest a thing was asked for."""
        if self.path.startswith("/v2/"):
            self.send_header("Docker-Distribution-API-Version", "registry/2.0")
        if asked := IMAGE.fullmatch(urlsplit(self.path).path):
            self.send_header("Docker-Content-Digest", asked[1])
        super().end_headers()


class Proxy(BaseHTTPRequestHandler):
    """Fetches each package once; what may change under its name is passed through."""

    protocol_version = "HTTP/1.1"
    locks: ClassVar[defaultdict[str, threading.Lock]] = defaultdict(threading.Lock)

    def setup(self) -> None:
        """One handler serves one connection of apt, and keeps its own connections to the archives open."""
        super().setup()
        self.upstream: dict[str, http.client.HTTPConnection] = {}

    def finish(self) -> None:
        """Close them with apt's."""
        for connection in self.upstream.values():
            connection.close()
        super().finish()

    def do_GET(self) -> None:
        """Answer one request of apt."""
        url = urlsplit(self.path)
        if url.scheme != "http" or not url.netloc:
            return self.send_error(501, "only plain HTTP goes through this proxy")
        try:
            if self.command == "GET" and (url.path.endswith(".deb") or "/by-hash/" in url.path):
                self.send_cached()
            else:
                self.relay(self.fetch({name: self.headers[name] for name in PASSED_UP if name in self.headers}))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except (OSError, http.client.HTTPException) as error:
            self.close_connection = True
            self.send_error(502, f"upstream: {error}")

    do_HEAD = do_GET

    def fetch(self, headers: dict[str, str]) -> http.client.HTTPResponse:
        """The archive's answer; the other end may have closed a kept connection, so the second try is on a new one."""
        url = urlsplit(self.path)
        # A proxy of the user's gets the whole URL, an archive only the path.
        proxy = urlsplit(os.environ.get("http_proxy") or os.environ.get("HTTP_PROXY") or "").netloc
        target = self.path if proxy else url._replace(scheme="", netloc="").geturl()
        for last in (False, True):
            known = self.upstream.pop(proxy or url.netloc, None)
            connection = known or http.client.HTTPConnection(proxy or url.netloc, timeout=TIMEOUT_SECONDS)
            try:
                connection.request(self.command, target, headers={**headers, "Host": url.netloc})
                response = connection.getresponse()
            except (OSError, http.client.HTTPException):
                connection.close()
                if last or known is None:
                    raise
            else:
                self.upstream[proxy or url.netloc] = connection
                return response
        raise AssertionError("unreachable")

    def send_cached(self) -> None:
        """Send a file whose name fixes its content, after one fetch for all who want it at the same time."""
        path = PACKAGES / hashlib.sha256(self.path.encode()).hexdigest()
        with self.locks[path.name]:
            if not path.exists():
                response = self.fetch({})
                if response.status != 200:
                    return self.relay(response)
                part = path.with_suffix(".part")
                with part.open("wb") as file:
                    shutil.copyfileobj(response, file)
                expected = response.headers.get("Content-Length")
                if expected and part.stat().st_size != int(expected):
                    raise ConnectionError("the download ended early")
                part.rename(path)
        with path.open("rb") as file:
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(path.stat().st_size))
            self.end_headers()
            shutil.copyfileobj(file, self.wfile)

    def relay(self, response: http.client.HTTPResponse) -> None:
        """Pass an answer on as it is."""
        self.send_response(response.status)
        for name in PASSED_DOWN:
            if name in response.headers:
                self.send_header(name, response.headers[name])
        if "Content-Length" not in response.headers and response.status not in (204, 304):
            self.send_header("Connection", "close")  # the end of the connection is then the end of the file
        self.end_headers()
        shutil.copyfileobj(response, self.wfile)


def main() -> None:
    """Serve both until told to stop; PID 1 ignores signals it has no handler for."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    PACKAGES.mkdir(exist_ok=True)
    proxy = ThreadingHTTPServer(("", PROXY_PORT), Proxy)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    ThreadingHTTPServer(("", ARTEFACTS_PORT), partial(Artefacts, directory=ARTEFACTS)).serve_forever()


if __name__ == "__main__":
    main()
