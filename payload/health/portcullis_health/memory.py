"""What the health app remembers of each part, and how a memory that nobody renews stops being believed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from portcullis_health.clock import Clock, utc_now


@dataclass(frozen=True, slots=True)
class Finding:
    """What one probe found: whether the part can be used, in one word and in one sentence."""

    ok: bool
    status: str
    detail: str
    latency_ms: float | None = None
    version: str | None = None


class Slot:
    """The newest finding about one part; it turns to "unknown" by itself when it is not renewed in time.

    Args:
        stale_after: age in seconds from which the finding is not believed.
        clock: gives seconds that only move forward.
    """

    def __init__(self, stale_after: float, clock: Clock) -> None:
        self._stale_after = stale_after
        self._clock = clock
        self._finding: Finding | None = None
        self._at = clock()

    def record(self, finding: Finding) -> None:
        """Remember a finding made now."""
        self._finding, self._at = finding, self._clock()

    @property
    def age_seconds(self) -> float | None:
        """Seconds since the newest finding, None before the first."""
        return None if self._finding is None else self._clock() - self._at

    def read(self) -> Finding:
        """Return the newest finding, or an "unknown" one that is not ok."""
        if self._finding is None:
            return Finding(False, "unknown", "it has not been checked yet")
        if (age := self._clock() - self._at) > self._stale_after:
            return Finding(False, "unknown", f"it was last checked {age:.0f} s ago, too long ago to be believed")
        return self._finding


class Changes:
    """Since when each part has its status, and one line of text for each change of it."""

    def __init__(self, wall: Callable[[], datetime] = utc_now) -> None:
        self._wall = wall
        self._now: dict[str, tuple[str, datetime]] = {}
        self._lines: list[str] = []

    def note(self, part: str, status: str, detail: str) -> datetime:
        """Remember the status of a part and return since when it has it."""
        before = self._now.get(part)
        if before is not None and before[0] == status:
            return before[1]
        moment = self._wall()
        self._now[part] = (status, moment)
        if before is None and status == "unknown":
            return moment  # everything is unknown at first, which is no news
        text = f"{part}: {before[0]} -> {status}: {detail}" if before else f"{part}: {status}: {detail}"
        # One change is one line in the journal, whatever a peer or a model's name contains.
        self._lines.append("".join(c if c.isprintable() else "?" for c in text))
        return moment

    def take_lines(self) -> list[str]:
        """Return the lines not taken yet."""
        lines, self._lines = self._lines, []
        return lines
