"""The answers: what is live, what is ready, and the documents that say so, all from memory."""

import platform
from dataclasses import dataclass
from typing import Any

import aiohttp

from portcullis_health import __version__
from portcullis_health.clock import rfc3339
from portcullis_health.gateway import judge_liveness, judge_readiness
from portcullis_health.memory import Finding, Slot
from portcullis_health.watch import Watch

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the gateway lives and is ready, with the three documents that the endpoints show."""

    live: bool
    ready: bool
    status: str
    liveness: Document
    readiness: Document
    full: Document


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)


def judge(watch: Watch) -> Verdict:
    """Judge everything that is remembered at this moment; takes well under a millisecond and asks nobody."""
    config = watch.config
    failing: dict[str, str] = {}
    degraded: dict[str, str] = {}

    def part(name: str, finding: Finding, age: float | None) -> Document:
        since = watch.changes.note(name, finding.status, finding.detail)
        return {
            "status": finding.status,
            "since": rfc3339(since),
            "age_seconds": _rounded(age),
            "latency_ms": _rounded(finding.latency_ms, 1),
            "detail": finding.detail,
        }

    def slot(name: str, memory: Slot, problems: dict[str, str]) -> Document:
        finding = memory.read()
        if not finding.ok:
            problems[name] = finding.detail
        return part(name, finding, memory.age_seconds)

    alive = judge_liveness(watch.liveness, watch.limits)
    liveness = part("gateway", alive, watch.liveness.age_seconds)
    if not alive.ok:
        failing["gateway"] = alive.detail
    elif alive.status == "slow":
        degraded["gateway"] = alive.detail

    says = judge_readiness(watch.readiness, watch.limits, config.database is not None)
    if not says.ok:
        failing["gateway_readiness"] = says.detail
    gateway: Document = {**liveness, "readiness": part("gateway_readiness", says, watch.readiness.age_seconds)}
    gateway["unit"] = config.gateway.unit

    absent = {"status": "not_configured"}
    database = slot("database", watch.database, failing) if watch.database else absent
    redis = slot("redis", watch.redis, failing if config.redis_required else degraded) if watch.redis else absent

    unusable: dict[str, str] = {}
    models = {name: slot(f"model {name}", memory, unusable) for name, memory in watch.models.items()}
    for model in config.models:
        models[model.name]["kind"] = model.kind
    if len(unusable) == len(models):
        failing["models"] = "no model can be used"
    # The single names matter in both cases: someone has to mend them.
    degraded.update(unusable)

    drain = watch.draining.read()
    draining = drain.status == "yes"
    if not drain.ok:
        failing["draining" if draining else "drain_file"] = drain.detail

    ready = not failing
    status = "draining" if draining else "failing" if failing else "degraded" if degraded else "ok"
    word = "draining" if draining else "ready" if ready else "not_ready"
    # The names only: each part has a line of its own that says why.
    explained = f"failing: {', '.join(failing)}" if failing else "every required part works"
    since = watch.changes.note("readiness", word, explained)
    readiness: Document = {
        "status": word,
        "since": rfc3339(since),
        "failing": list(failing),
        "degraded": list(degraded),
        "detail": {**failing, **degraded},
    }
    full: Document = {
        "status": status,
        "ready": ready,
        "failing": list(failing),
        "degraded": list(degraded),
        "gateway": gateway,
        "database": database,
        "redis": redis,
        "models": models,
        "draining": part("draining", drain, watch.draining.age_seconds),
        "jobs": {
            job.name: {
                "restarts": job.restarts,
                "last_problem": job.last_problem,
                "age_seconds": _rounded(job.age_seconds),
            }
            for job in watch.jobs
        },
        "versions": _versions(watch),
    }
    return Verdict(alive.ok, ready, status, liveness, readiness, full)


def _versions(watch: Watch) -> dict[str, str | None]:
    return {
        "portcullis_health": __version__,
        "python": platform.python_version(),
        "aiohttp": aiohttp.__version__,
        "database": watch.database.read().version if watch.database else None,
        "redis": watch.redis.read().version if watch.redis else None,
    }
