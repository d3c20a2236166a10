"""Background jobs that run in cycles, and the care for them when they die or hang."""

import asyncio
from collections.abc import Awaitable, Callable

from portcullis_health.clock import Clock

SHORTEST_PAUSE_SECONDS = 0.02


class Job:
    """One coroutine called again and again; its result is the number of seconds from one start to the next.

    Args:
        name: what answers and log lines call it.
        cycle: does the work once.
        late_after: seconds without a finished cycle after which the job is taken to hang.
        clock: gives seconds that only move forward.
    """

    def __init__(self, name: str, cycle: Callable[[], Awaitable[float]], late_after: float, clock: Clock) -> None:
        self.name = name
        self._cycle = cycle
        self._late_after = late_after
        self._clock = clock
        self._beat = clock()
        self._hanging = False
        self.task: asyncio.Task[None] | None = None
        self.restarts = 0
        self.last_problem: str | None = None

    async def _run(self) -> None:
        while True:
            began = self._clock()
            every = await self._cycle()
            self._beat = self._clock()
            self._hanging = False
            await asyncio.sleep(max(every - (self._beat - began), SHORTEST_PAUSE_SECONDS))

    def start(self) -> None:
        """Begin the cycles in a task of the running loop."""
        self._beat = self._clock()
        self._hanging = False
        self.task = asyncio.create_task(self._run(), name=f"portcullis-health {self.name}")

    def forgive(self) -> None:
        """Begin to measure anew, because the whole process stood still and the job could not have been in time."""
        self._beat = self._clock()

    def tend(self) -> str | None:
        """Restart the job if it has died, cancel it if it hangs; return a sentence when one of the two was done.

        A hanging job is restarted only when it has ended, or there could be two that each hold a connection.
        """
        if self.task is None or self.task.done():
            problem = self._end_of_task()
            self.restarts += 1
            self.last_problem = problem
            self.start()
            return f"the {self.name} job {problem} and was restarted"
        if (silent := self._clock() - self._beat) > self._late_after:
            self.task.cancel()
            if not self._hanging:
                self._hanging = True
                return f"the {self.name} job has hung for {silent:.0f} s and was cancelled"
        return None

    def _end_of_task(self) -> str:
        if self._hanging:
            return "hung"
        if self.task is None or self.task.cancelled():
            return "was cancelled"
        error = self.task.exception()
        # Only the type: the text of an unforeseen exception may quote anything, a password too.
        return f"died of {type(error).__name__}" if error else "ended"

    @property
    def age_seconds(self) -> float:
        """Seconds since the last finished cycle, or since the start when there was none."""
        return self._clock() - self._beat

    async def stop(self) -> None:
        """Cancel the job and wait, for a second at most."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait({self.task}, timeout=1)
            if self.task.done() and not self.task.cancelled():
                self.task.exception()  # marks it as seen, or asyncio logs a traceback
