"""Messages to systemd: that the health app is ready, that it still lives, and what it sees; and its own watchdog."""

import faulthandler
import os
import socket
from collections.abc import Mapping


class Notifier:
    """Sends sd_notify(3) messages to the socket that systemd names.

    Where there is none, as in a container, nobody hears them. If silence is to be the end there too, this process sees
    to it: by faulthandler, whose clock runs beside Python, so that code which never gives it back is noticed as well.
    """

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
        """Seconds of silence after which this process is ended, None when nobody watches."""
        self._alone = self._socket is None and self.watchdog_seconds is not None

    def send(self, *assignments: str) -> None:
        """Send assignments such as ``READY=1``; a lost message is not worth failing for, the next one follows."""
        if self._alone and "WATCHDOG=1" in assignments:
            # Says on standard error where each thread is, without values, and ends with exit code 1.
            faulthandler.dump_traceback_later(self.watchdog_seconds or 0, exit=True, file=2)
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(assignments).encode(), self._address)
        except OSError:
            return

    def close(self) -> None:
        """Close the socket, and watch no longer."""
        if self._alone:
            faulthandler.cancel_dump_traceback_later()
        if self._socket:
            self._socket.close()
