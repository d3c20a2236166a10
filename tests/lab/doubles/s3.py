"""An S3 store for tests, over HTTPS: `uv run --no-project --with ... python s3.py ADDRESS PORT CERTIFICATE KEY`.

moto plays the store. Its own server closes each connection without a word, which clients of real stores take for an
attack; cheroot keeps them open as those do.
"""

from __future__ import annotations

import sys

from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server
from moto.server import DomainDispatcherApplication, create_backend_app


def main() -> None:
    address, port, certificate, key = sys.argv[1:]
    server = Server((address, int(port)), DomainDispatcherApplication(create_backend_app), numthreads=16)
    server.ssl_adapter = BuiltinSSLAdapter(certificate, key)
    server.start()


if __name__ == "__main__":
    main()
