"""The two clocks of the health app: one to measure ages with, one to write dates with."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], float]
"""Gives seconds on a scale that only ever moves forward; tests pass their own."""


def uptime_seconds() -> float:
    """Return seconds since boot, time asleep included.

    CLOCK_MONOTONIC stands still while a machine is suspended (clock_gettime(2)), so an observation made before
    the lid was closed would look fresh hours later; CLOCK_BOOTTIME goes on.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def rfc3339(moment: datetime) -> str:
    """Return a date in UTC as RFC 3339 with milliseconds, for example ``2026-01-31T23:59:59.123Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def utc_now() -> datetime:
    """Return the wall clock's time in UTC."""
    return datetime.now(UTC)
