"""The health app's judgements on a clock that the test moves: every state, and when memory stops being believed."""

import errno
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from portcullis_health.clock import rfc3339
from portcullis_health.gateway import Outcome, Reply
from portcullis_health.memory import Changes, Finding, Slot
from portcullis_health.verdict import Verdict, judge
from portcullis_health.watch import Probes, Watch
from portcullis_health.words import describe, is_refused

from deploys.lib.render import ROOT
from tests.unit.test_health_app_support import config_of, settings

ALIVE = Reply(Outcome.ANSWERED, "", 3.0, "connected")
SILENT = Reply(Outcome.SILENT, "no answer within 2 s")
REFUSED = Reply(Outcome.REFUSED)
LEAVING = Reply(Outcome.SHUTTING_DOWN, "it is shutting down", 3.0)
WRONG = Reply(Outcome.WRONG, "it answered HTTP 500", 3.0)
GOOD = Finding(True, "ok", "it answers", 1.0, "16.4")
BAD = Finding(False, "failing", "it does not answer")
USABLE = Finding(True, "usable", "it is listed")
UNUSABLE = Finding(False, "unusable", "it is not listed")


class World:
    """A watch with the default durations, whose jobs do not run: the test writes its memory and moves its clock."""

    def __init__(self, drain: Path = Path("/nonexistent/drain"), **changes: Any) -> None:
        self.now = 1000.0
        durations = {
            "probe_interval_seconds": 1.0,
            "timeout_seconds": 2.0,
            "dependency_interval_seconds": 5.0,
            "unresponsive_after_seconds": 5.0,
            "database": {"host": "h", "name": "n", "user": "u"},
            "redis": {"host": "h"},
            "drain_file": str(drain),
            "models": [
                {"name": "a", "kind": "ollama", "api_base": "http://h:1", "model": "a"},
                {"name": "b", "kind": "static"},
            ],
        }

        async def never() -> Any:
            raise AssertionError("no probe may run here")

        self.watch = Watch(
            config_of(settings(**{**durations, **changes})),
            Probes(never, never, never, never, never),
            lambda: self.now,
        )

    def fill(self) -> "World":
        """Let every probe have just found that all is well."""
        self.live(ALIVE)
        self.watch.readiness.record(ALIVE)
        for slot in (self.watch.database, self.watch.redis):
            assert slot is not None
            slot.record(GOOD)
        for slot in self.watch.models.values():
            slot.record(USABLE)
        self.watch.look_for_drain_file()
        return self

    def live(self, reply: Reply) -> None:
        self.watch.liveness.begin()
        self.watch.liveness.record(reply)

    def at(self, seconds: float) -> "World":
        self.now = 1000.0 + seconds
        return self

    @property
    def verdict(self) -> Verdict:
        return judge(self.watch)

    @property
    def gateway(self) -> tuple[bool, str]:
        verdict = self.verdict
        return verdict.live, verdict.liveness["status"]


def test_all_well() -> None:
    verdict = World().fill().verdict
    assert (verdict.live, verdict.ready, verdict.status) == (True, True, "ok")
    assert verdict.readiness["failing"] == [] and verdict.full["models"]["b"]["kind"] == "static"
    assert verdict.full["versions"]["database"] == "16.4"


def test_liveness_says_since_when_how_old_and_how_fast() -> None:
    world = World().fill()
    first = world.verdict.liveness
    assert first["latency_ms"] == 3.0 and first["age_seconds"] == 0.0 and first["detail"] == "the gateway answers"
    datetime.strptime(first["since"], "%Y-%m-%dT%H:%M:%S.%fZ")
    assert world.at(1.5).verdict.liveness["age_seconds"] == 1.5
    assert world.verdict.liveness["since"] == first["since"]


def test_nothing_is_green_before_the_first_probe() -> None:
    verdict = World().verdict
    assert (verdict.live, verdict.ready, verdict.liveness["status"]) == (False, False, "starting")
    assert verdict.liveness["age_seconds"] is None
    expected = {"gateway", "gateway_readiness", "database", "redis", "models", "drain_file"}
    assert set(verdict.readiness["failing"]) == expected


def test_a_short_silence_is_slow_and_a_long_one_unresponsive() -> None:
    world = World().fill()
    world.at(1).watch.liveness.begin()
    assert world.at(1.9).gateway == (True, "alive")
    assert world.at(2.1).gateway == (True, "slow")  # the probe has waited longer than half its timeout
    world.at(3).watch.liveness.record(SILENT)
    assert world.gateway == (True, "slow")
    world.live(SILENT)
    assert world.at(4.9).gateway == (True, "slow")
    assert world.at(5.1).gateway == (False, "unresponsive")
    assert "5.1 s ago" in world.verdict.liveness["detail"]
    world.live(ALIVE)
    assert world.gateway == (True, "alive")


def test_a_slow_answer_is_slow() -> None:
    world = World().fill()
    world.live(Reply(Outcome.ANSWERED, "", 1500.0))
    assert world.gateway == (True, "slow")
    assert world.verdict.status == "degraded" and world.verdict.ready


def test_a_refused_connection_is_stopped_at_once_and_the_next_silence_is_starting() -> None:
    world = World().fill()
    world.live(REFUSED)
    assert world.gateway == (False, "stopped")
    world.live(SILENT)  # gunicorn listens again, its workers are still importing
    assert world.gateway == (False, "starting")
    world.live(ALIVE)
    assert world.gateway == (True, "alive")


def test_never_seen_alive_is_starting() -> None:
    world = World()
    world.at(3).live(SILENT)
    assert world.gateway == (False, "starting") and "in 3 s of watching" in world.verdict.liveness["detail"]


def test_shutting_down_is_not_undone_by_silence() -> None:
    world = World().fill()
    world.live(LEAVING)
    assert world.gateway == (False, "shutting_down")
    world.live(SILENT)
    assert world.gateway == (False, "shutting_down")


def test_a_wrong_answer_is_an_error_and_then_silence_is_not_green() -> None:
    world = World().fill()
    world.live(WRONG)
    assert world.gateway == (False, "error") and "HTTP 500" in world.verdict.liveness["detail"]
    world.live(SILENT)
    assert world.gateway == (False, "unresponsive")


@pytest.mark.parametrize(("seconds", "expected"), [(4.9, (True, "alive")), (5.1, (False, "unknown"))])
def test_liveness_that_nobody_renews_turns_unknown(seconds: float, expected: tuple[bool, str]) -> None:
    world = World(unresponsive_after_seconds=100).fill()
    assert world.at(seconds).gateway == expected


@pytest.mark.parametrize("part", ["gateway_readiness", "database", "redis", "models", "drain_file"])
def test_readiness_turns_red_when_one_part_is_not_renewed(part: str) -> None:
    world = World(unresponsive_after_seconds=100).fill()
    world.at(18)
    fresh: dict[str, Any] = {
        "gateway_readiness": lambda: world.watch.readiness.record(ALIVE),
        "database": lambda: world.watch.database and world.watch.database.record(GOOD),
        "redis": lambda: world.watch.redis and world.watch.redis.record(GOOD),
        "models": lambda: [slot.record(USABLE) for slot in world.watch.models.values()],
        "drain_file": world.watch.look_for_drain_file,
    }
    world.live(ALIVE)
    for name, renew in fresh.items():
        if name != part:
            renew()
    verdict = world.verdict
    assert verdict.live and not verdict.ready and verdict.readiness["failing"] == [part]
    fresh[part]()
    assert world.verdict.ready


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(Outcome.ANSWERED, "", 3.0, "Not connected"), '"Not connected", not "connected"'),
        (Reply(Outcome.ANSWERED, "", 3.0, None), '"nothing", not "connected"'),
        (Reply(Outcome.WRONG, 'it answered HTTP 503, database "disconnected"', 3.0), "HTTP 503"),
        (REFUSED, "does not listen"),
    ],
)
def test_the_gateways_own_readiness_counts(reply: Reply, words: str) -> None:
    world = World().fill()
    world.watch.readiness.record(reply)
    assert world.verdict.readiness["failing"] == ["gateway_readiness"]
    assert words in world.verdict.readiness["detail"]["gateway_readiness"]


def test_without_a_database_the_gateways_database_does_not_count() -> None:
    world = World(database=None)
    world.watch.database = None
    world.live(ALIVE)
    world.watch.readiness.record(Reply(Outcome.ANSWERED, "", 3.0, "Not connected"))
    assert world.watch.redis
    for slot in (world.watch.redis, *world.watch.models.values()):
        slot.record(USABLE)
    world.watch.look_for_drain_file()
    assert world.verdict.ready and world.verdict.full["database"] == {"status": "not_configured"}


def test_readiness_forgives_a_short_silence_only() -> None:
    world = World().fill()
    world.watch.readiness.record(SILENT)
    assert world.verdict.ready
    world.at(5.1).live(ALIVE)
    world.watch.readiness.record(SILENT)
    world.watch.look_for_drain_file()
    assert world.verdict.readiness["failing"] == ["gateway_readiness"]


def test_redis_may_be_required_or_not() -> None:
    for required, status in ((True, "failing"), (False, "degraded")):
        world = World(redis_required=required).fill()
        assert world.watch.redis
        world.watch.redis.record(BAD)
        verdict = world.verdict
        assert (verdict.ready, verdict.status) == (not required, status)
        assert verdict.readiness["failing" if required else "degraded"] == ["redis"]


def test_one_unusable_model_degrades_and_all_of_them_fail() -> None:
    world = World().fill()
    world.watch.models["a"].record(UNUSABLE)
    verdict = world.verdict
    assert (verdict.ready, verdict.status, verdict.readiness["degraded"]) == (True, "degraded", ["model a"])
    world.watch.models["b"].record(UNUSABLE)
    assert world.verdict.readiness["failing"] == ["models"]


def test_the_drain_file_ends_readiness_but_not_liveness(tmp_path: Path) -> None:
    drain = tmp_path / "drain"
    world = World(drain).fill()
    assert world.verdict.ready
    drain.touch()
    assert world.verdict.ready  # only looked for at each beat: answers come from memory
    world.watch.look_for_drain_file()
    verdict = world.verdict
    assert (verdict.live, verdict.ready, verdict.status) == (True, False, "draining")
    assert verdict.readiness["status"] == "draining" and verdict.readiness["failing"] == ["draining"]
    drain.unlink()
    world.watch.look_for_drain_file()
    assert world.verdict.ready


def test_a_gateway_that_is_about_to_stop_is_not_ready(tmp_path: Path) -> None:
    told = tmp_path / "stopping"
    world = World(stopping_file=str(told)).fill()
    assert world.verdict.ready
    told.mkdir()  # as its unit does
    world.watch.look_for_drain_file()
    assert (world.verdict.live, world.verdict.ready, world.verdict.status) == (True, False, "draining")
    told.rmdir()
    world.watch.look_for_drain_file()
    assert world.verdict.ready


def test_a_drain_file_that_cannot_be_looked_for_is_not_absent() -> None:
    world = World(Path("/" + "x" * 300)).fill()  # ENAMETOOLONG, as root is refused nothing
    assert world.verdict.readiness["failing"] == ["drain_file"]


def test_nothing_is_told_that_cannot_be_seen_from_the_sandbox() -> None:
    """A count of workers would say "unknown" for ever: the unit hides the processes of others from this app."""
    assert "workers" not in World().fill().verdict.full["gateway"]
    unit = (ROOT / "tests/golden/health/etc__systemd__system__portcullis-health.service").read_text()
    assert "ProtectProc=invisible" in unit


def test_changes_are_told_once_and_on_one_line() -> None:
    moments = iter(datetime(2026, 1, 31, tzinfo=UTC) + timedelta(seconds=n) for n in range(9))
    changes = Changes(lambda: next(moments))
    changes.note("redis", "unknown", "not checked")
    first = changes.note("redis", "ok", "fine")
    assert changes.note("redis", "ok", "fine, but in other words") == first
    assert rfc3339(changes.note("redis", "failing", "gone\nforged: line")) == "2026-01-31T00:00:02.000Z"
    assert changes.take_lines() == ["redis: unknown -> ok: fine", "redis: ok -> failing: gone?forged: line"]
    assert changes.take_lines() == []


def test_a_slot_is_believed_until_it_is_too_old() -> None:
    now = [0.0]
    slot = Slot(17, lambda: now[0])
    assert slot.read().detail == "it has not been checked yet"
    slot.record(GOOD)
    now[0] = 17.0
    assert slot.read() is GOOD
    now[0] = 3600.0
    assert not slot.read().ok and slot.read().status == "unknown" and "3600 s ago" in slot.read().detail


def test_exceptions_are_described_without_their_text() -> None:
    secret = "postgresql://u:hunter2@h/db"
    refused = ConnectionError(secret)
    refused.__cause__ = OSError(errno.ECONNREFUSED, secret)
    assert is_refused(refused) and describe(refused, 2).startswith("the connection was refused")
    assert is_refused(ExceptionGroup("both addresses", [refused])) and not is_refused(TimeoutError())
    for error in (ValueError(secret), OSError(errno.EHOSTUNREACH, secret), ExceptionGroup(secret, [refused])):
        assert "hunter2" not in describe(error, 2)
    assert describe(TimeoutError(), 2) == "no answer within 2 s"
