"""Messages to systemd: that the health app is ready, that it still lives, and what it sees."""

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Sends sd_notify(3) messages to the socket that systemd names; does nothing where there is none."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the abstract namespace, which the kernel wants as a zero byte (unix(7)).
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if address else None
        if self._socket:
            self._socket.setblocking(False)
        microseconds = environ.get("WATCHDOG_USEC", "")
        mine = environ.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
        self.watchdog_seconds = int(microseconds) / 1e6 if microseconds.isdigit() and mine else None
        """Seconds of silence after which systemd kills us, None when it does not watch."""

    def send(self, *assignments: str) -> None:
        """Send assignments such as ``READY=1``; a lost message is not worth failing for, the next one follows."""
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(assignments).encode(), self._address)
        except OSError:
            return

    def close(self) -> None:
        """Close the socket."""
        if self._socket:
            self._socket.close()
