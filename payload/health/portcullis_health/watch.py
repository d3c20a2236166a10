"""The memory of everything the health app observes, and the jobs that fill it."""

import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from portcullis_health.clock import Clock, uptime_seconds
from portcullis_health.config import Config
from portcullis_health.gateway import Limits, Line, Reply
from portcullis_health.jobs import Job
from portcullis_health.memory import Changes, Finding, Slot

FIRST_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Probes:
    """The questions to the outside; database and redis are None when not configured. None of them may raise."""

    liveness: Callable[[], Awaitable[Reply]]
    readiness: Callable[[], Awaitable[Reply]]
    models: Callable[[], Awaitable[dict[str, Finding]]]
    database: Callable[[], Awaitable[Finding]] | None = None
    redis: Callable[[], Awaitable[Finding]] | None = None


class Watch:
    """Everything known, and how old it is; only memory is read to answer a request.

    Args:
        config: the settings.
        probes: how the outside is asked; tests pass their own.
        clock: gives seconds that only move forward.
    """

    def __init__(self, config: Config, probes: Probes, clock: Clock = uptime_seconds) -> None:
        self.config = config
        self.probes = probes
        self.changes = Changes()
        often = config.stale_after(config.probe_interval)
        seldom = config.stale_after(config.dependency_interval)
        # Half the time a probe may take is long for a gateway that answers this in 3 ms when it is idle.
        self.limits = Limits(config.timeout / 2, config.unresponsive_after, often)
        self.liveness = Line(clock)
        self.readiness = Line(clock)
        self.draining = Slot(often, clock)
        self.models = {model.name: Slot(seldom, clock) for model in config.models}
        self.database = Slot(seldom, clock) if probes.database else None
        self.redis = Slot(seldom, clock) if probes.redis else None
        self.jobs = [
            Job("liveness", lambda: self._ask(self.liveness, probes.liveness), often, clock),
            Job("readiness", lambda: self._ask(self.readiness, probes.readiness), often, clock),
            Job("models", self._ask_models, seldom, clock),
        ]
        if probes.database and self.database:
            self.jobs.append(Job("database", self._store(self.database, probes.database), seldom, clock))
        if probes.redis and self.redis:
            self.jobs.append(Job("redis", self._store(self.redis, probes.redis), seldom, clock))

    async def _ask(self, line: Line, probe: Callable[[], Awaitable[Reply]]) -> float:
        line.begin()
        line.record(await probe())
        return self.config.probe_interval

    def _store(self, slot: Slot, probe: Callable[[], Awaitable[Finding]]) -> Callable[[], Awaitable[float]]:
        """Make a cycle that renews a slot, and after a failure asks again sooner: after 1, 2, 4 ... seconds."""
        interval = self.config.dependency_interval
        delay = FIRST_RETRY_SECONDS

        async def cycle() -> float:
            nonlocal delay
            finding = await probe()
            slot.record(finding)
            if finding.ok:
                delay = FIRST_RETRY_SECONDS
                return interval
            wait, delay = min(delay, interval), min(delay * 2, interval)
            return wait

        return cycle

    async def _ask_models(self) -> float:
        for name, finding in (await self.probes.models()).items():
            self.models[name].record(finding)
        return self.config.dependency_interval

    def look_for_drain_file(self) -> None:
        """Remember whether the drain file exists; one that cannot be looked for is not taken to be absent.

        So it is with the file that says that the gateway is about to stop.
        """
        found = _looked_for(self.config.drain_file, "drain")
        if found.ok and self.config.stopping_file:
            stopping = _looked_for(self.config.stopping_file, "stopping")
            found = found if stopping.ok else stopping
        self.draining.record(found)

    def start(self) -> None:
        """Begin the jobs in the running loop."""
        for job in self.jobs:
            job.start()

    def tend(self, was_late: bool) -> list[str]:
        """Look after the jobs and return a sentence for each that had to be helped.

        Args:
            was_late: the caller itself was held up (a suspended machine, a stopped process), so jobs that seem
                to hang get another chance. What they observed before still grows too old to be believed.
        """
        if was_late:
            for job in self.jobs:
                job.forgive()
        return [sentence for job in self.jobs if (sentence := job.tend())]

    async def stop(self) -> None:
        """End the jobs."""
        for job in self.jobs:
            await job.stop()


def _looked_for(path: Path, what: str) -> Finding:
    try:
        kind = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return Finding(True, "no", f"the {what} file does not exist")
    except OSError as error:
        return Finding(False, "unknown", f"the {what} file cannot be looked for: {error.strerror}")
    shape = "a directory" if stat.S_ISDIR(kind) else "there"
    return Finding(False, "yes", f"the {what} file is {shape}: {path}")
