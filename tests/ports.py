"""Ports that tests let servers listen on: nobody else gets one of them between the asking and the listening."""

from __future__ import annotations

import random
import socket

# Below the ports that Linux gives to outgoing connections (net.ipv4.ip_local_port_range begins at 32768): a port of
# those that was free a moment ago may be the local end of somebody's connection now, and then nobody can listen on it.
FIRST, LAST = 20000, 32000
_kept: list[socket.socket] = []


def free_port() -> int:
    """A TCP port on which nobody listens, given to nobody else for as long as this process lives."""
    for port in random.sample(range(FIRST, LAST), 1000):
        # A name in the kernel and no file: it is free again when this process is gone, however it went.
        mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            mark.bind(f"\0portcullis-test-port-{port}")
            with socket.socket() as one:
                one.bind(("", port))
        except OSError:
            mark.close()
            continue
        _kept.append(mark)
        return port
    raise OSError(f"no TCP port between {FIRST} and {LAST} is free")
