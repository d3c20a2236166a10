"""What is known of the gateway's own two health endpoints, and the judgement that follows from it."""

from dataclasses import dataclass
from enum import Enum

from portcullis_health.clock import Clock
from portcullis_health.memory import Finding


class Outcome(Enum):
    """How one request to the gateway ended."""

    ANSWERED = "answered 200 as LiteLLM does"
    SHUTTING_DOWN = "answered that it is shutting down"
    WRONG = "answered something else"
    REFUSED = "connection refused"
    SILENT = "no answer"


@dataclass(frozen=True, slots=True)
class Reply:
    """The end of one request: `detail` says in words what was wrong, `database` what the gateway says of it."""

    outcome: Outcome
    detail: str = ""
    latency_ms: float | None = None
    database: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Durations in seconds: when an answer is slow, when silence is too long, when a check is too old."""

    slow_after: float
    unresponsive_after: float
    stale_after: float


class Line:
    """The history of requests to one endpoint, as short as judging it allows."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock()
        self._pending_since: float | None = None
        self._checked_at: float | None = None
        self._answered_at: float | None = None
        self.last: Reply | None = None
        self.settled: Reply | None = None  # the last reply that was not silence
        self.latency_ms: float | None = None

    def begin(self) -> None:
        """Remember that a request was sent now."""
        self._pending_since = self._clock()

    def record(self, reply: Reply) -> None:
        """Remember how the request ended."""
        self._checked_at = self._clock()
        self._pending_since = None
        self.last = reply
        if reply.outcome is not Outcome.SILENT:
            self.settled = reply
        if reply.outcome in (Outcome.ANSWERED, Outcome.SHUTTING_DOWN, Outcome.WRONG):
            self._answered_at = self._checked_at
            self.latency_ms = reply.latency_ms

    @property
    def waiting_seconds(self) -> float:
        """Seconds the request now under way has waited; 0 when there is none."""
        return 0.0 if self._pending_since is None else self._clock() - self._pending_since

    @property
    def checked_seconds_ago(self) -> float:
        """Seconds since a request last ended in any way, or since the start when none did."""
        return self._clock() - (self._began if self._checked_at is None else self._checked_at)

    @property
    def age_seconds(self) -> float | None:
        """Seconds since the gateway last answered anything, None when it never did."""
        return None if self._answered_at is None else self._clock() - self._answered_at

    @property
    def watched_seconds(self) -> float:
        """Seconds since this history began."""
        return self._clock() - self._began


def judge_liveness(line: Line, limits: Limits) -> Finding:
    """Say whether the gateway lives: only a recent answer of its own, and a right one, counts."""

    def finding(status: str, detail: str) -> Finding:
        return Finding(status in ("alive", "slow"), status, detail, line.latency_ms)

    if (since := line.checked_seconds_ago) > limits.stale_after:
        return finding("unknown", f"no probe of the gateway has ended for {since:.0f} s: the health app itself is late")
    if line.last is None:
        return finding("starting", "the first probe of the gateway has not ended yet")
    if line.last.outcome is Outcome.REFUSED:
        return finding("stopped", "the connection is refused: no process listens on the gateway's port")
    if line.last.outcome is Outcome.WRONG:
        return finding("error", f"the gateway's port answers, but not as LiteLLM does: {line.last.detail}")
    settled = line.settled.outcome if line.settled else None
    if settled is Outcome.SHUTTING_DOWN:
        silent = line.last.outcome is Outcome.SILENT
        return finding("shutting_down", "the gateway is shutting down" + (" and answers no more" if silent else ""))
    why = line.last.detail or "it hangs"
    # A stopped gateway that now accepts but does not answer is starting: gunicorn listens before its workers exist.
    if settled is Outcome.REFUSED:
        return finding("starting", f"the gateway's port is open again, but it has not answered yet: {why}")
    if settled is None:
        return finding("starting", f"the gateway has not answered in {line.watched_seconds:.0f} s of watching: {why}")
    age = line.age_seconds or 0.0
    if settled is Outcome.WRONG or age > limits.unresponsive_after:
        return finding("unresponsive", f"the gateway last answered {age:.1f} s ago: {why}")
    if line.last.outcome is Outcome.SILENT or line.waiting_seconds > limits.slow_after:
        return finding("slow", f"the gateway has not answered for {age:.1f} s")
    if (line.latency_ms or 0.0) > limits.slow_after * 1000:
        return finding("slow", f"the gateway took {line.latency_ms:.0f} ms to say that it is alive")
    return finding("alive", "the gateway answers")


def judge_readiness(line: Line, limits: Limits, needs_database: bool) -> Finding:
    """Say whether the gateway calls itself ready; a short silence is forgiven as for liveness, a refusal is not."""

    def bad(detail: str, status: str = "failing") -> Finding:
        return Finding(False, status, detail, line.latency_ms)

    if (since := line.checked_seconds_ago) > limits.stale_after:
        return bad(f"the gateway's readiness was last checked {since:.0f} s ago", "unknown")
    reply = line.settled
    if line.last is None or reply is None:
        return bad("the gateway has not said yet whether it is ready", "unknown")
    if reply.outcome is Outcome.REFUSED:
        return bad("the gateway does not listen")
    if reply.outcome is not Outcome.ANSWERED:
        return bad(f"the gateway says that it is not ready: {reply.detail}")
    if (age := line.age_seconds or 0.0) > limits.unresponsive_after:
        return bad(f"the gateway last said {age:.1f} s ago that it is ready")
    if needs_database and reply.database != "connected":
        return bad(f'the gateway says of its database: "{reply.database or "nothing"}", not "connected"')
    return Finding(True, "ok", "the gateway says that it is ready", line.latency_ms)
