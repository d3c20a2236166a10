"""Servers of this machine that tests ask, gone without a trace when the test is over."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import Any


class LocalServer(ThreadingHTTPServer):
    """Nothing of it runs or prints in another test's time.

    A traceback that a left-over thread prints is more than noise: Python before 3.11.8 parses the lines of it for that,
    and a test that parses at the same moment fails for no fault of its own (python/cpython#106905).
    """

    daemon_threads = False  # closing waits for the answers under way

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that had enough before the answer's end is no error; all else is told."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


@contextmanager
def serving(handler: Callable[..., Any], waits: bool = True) -> Iterator[str]:
    """Answer at the address yielded, "127.0.0.1:PORT", with ``handler``.

    ``waits=False`` is for handlers of clients that keep their connections: closing would wait for those.
    """
    with LocalServer(("127.0.0.1", 0), handler) as server:
        server.block_on_close, server.daemon_threads = waits, not waits
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
