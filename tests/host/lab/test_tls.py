"""TLS between two gateways and their Redis on another host: switched on, refused when wrong, and switched off again."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from deploys.components import health, redis_tls
from deploys.components.litellm.config import SELFTEST
from deploys.components.redis import HEALTH_SECRET
from tests.host.lab.conftest import Deployed
from tests.host.lab.test_split import gateways
from tests.host.support import Server, distinct
from tests.host.support_canary import shown
from tests.host.support_http import Gateway, ask
from tests.host.support_lab import SITE, VERIFY, Run, run
from tests.host.support_watch import differences, picture
from tests.unit import certificates
from tests.waiting import eventually

LIMIT = 3  # requests a minute


@dataclass(frozen=True)
class Secured:
    """The spread-out site, and settings with which its Redis speaks TLS."""

    site: Deployed
    folder: Path

    @cached_property
    def cache(self) -> Server:
        return next(server for server in self.site.servers if server.has("redis"))

    @cached_property
    def address(self) -> str:
        (address,) = redis_tls.reached(self.cache.here)
        return address

    @cached_property
    def above(self) -> certificates.Authority:
        return certificates.authority()

    @cached_property
    def data(self) -> dict[str, Any]:
        return certificates.settings(self.folder, [self.address], self.above)

    @cached_property
    def gateways(self) -> list[Gateway]:
        return [Gateway(server) for server in gateways(self.site)]

    def cli(self, options: str, command: str) -> str:
        """What Redis says to its health user at the address where gateways reach it."""
        ask = f"redis-cli {options} -h {self.address} -p {self.port} --user health {command}"
        return self.cache.sh(f"REDISCLI_AUTH=$(cat {HEALTH_SECRET}) timeout 10 {ask} 2>&1").out.strip()

    @property
    def port(self) -> int:
        return int(self.cache.here.settings(redis_tls.RedisSettings).port)

    def pictures(self) -> dict[str, dict[str, str]]:
        return {server.name: picture(server) for server in self.site.servers}


@pytest.fixture(scope="module")
def secured(split: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Secured:
    return Secured(split, tmp_path_factory.mktemp("certificates"))


def plain(done: Run) -> str:
    """What was said, without the line breaks of a terminal."""
    return " ".join(done.log.split())


def shared_answer(secured: Secured) -> bool:
    """Whether the second gateway answers with what the first one has kept."""
    text = f"kept {uuid.uuid4()}"
    first, second = secured.gateways
    kept = first.chat(SELFTEST, text=text, cache={"use-cache": True}).json()["id"]
    time.sleep(0.5)  # an answer is kept after it was given
    return bool(second.chat(SELFTEST, text=text, cache={"use-cache": True}).json()["id"] == kept)


def test_gateways_alone_do_not_come_to_tls_before_their_redis(secured: Secured) -> None:
    before = secured.pictures()
    done = run(secured.site.name, SITE, "--limit", "litellm", **secured.data)
    assert done.status == 1, done.problem
    assert f"Redis at {secured.address} port {secured.port} does not answer with a certificate" in plain(done)
    after = secured.pictures()
    for name in before:
        assert differences(before[name], after[name]) == [], name
    assert secured.cli("", "ping") == "PONG"


def test_with_tls_redis_answers_nobody_without_it(secured: Secured) -> None:
    done = run(secured.site.name, SITE, **secured.data)
    assert done.status == 0, done.problem
    assert "PONG" not in secured.cli("", "ping") and "NOAUTH" not in secured.cli("", "ping")
    assert secured.cli(f"--tls --cacert {redis_tls.AUTHORITY}", "ping") == "PONG"
    # Without the authority it is a stranger to redis-cli too.
    assert "certificate verify failed" in secured.cli("--tls", "ping")
    modes = secured.cache.out(f"stat -c '%a %U %G' {redis_tls.CERTIFICATE} {redis_tls.KEY}")
    assert modes.splitlines() == ["640 root redis", "600 redis redis"]


def test_the_gateways_answer_share_answers_and_share_limits(secured: Secured) -> None:
    for gateway in secured.gateways:
        assert gateway.chat("tiny").status == 200
        reply = gateway.ask("/cache/ping")
        assert reply.status == 200 and reply.json()["ping_response"] is True, reply
    assert eventually(lambda: shared_answer(secured), 30)
    time.sleep(max(0.0, 61 - time.time() % 60) if time.time() % 60 > 40 else 0)
    key = secured.gateways[0].new_key(rpm_limit=LIMIT)
    try:
        statuses = [secured.gateways[n % 2].chat(SELFTEST, key=key, text=f"{n} {key}").status for n in range(3 * LIMIT)]
    finally:
        secured.gateways[0].delete_key(key)
    assert statuses.count(200) == LIMIT and set(statuses) == {200, 429}, statuses


def test_the_health_app_sees_redis_and_says_ready(secured: Secured) -> None:
    for gateway in secured.gateways:
        url = health.answer_url(gateway.server.here)
        assert ask(gateway.server, f"{url}/health/readiness").status == 200
        full = ask(gateway.server, f"{url}/health").json()
        assert full["redis"]["status"] == "ok", full


def test_a_second_run_changes_nothing_and_every_question_is_answered(secured: Secured) -> None:
    second = run(secured.site.name, SITE, **secured.data)
    assert second.status == 0, second.problem
    assert second.totals["no_change"] == second.totals["hosts"] > 0, second.problem
    verified = run(secured.site.name, VERIFY, **secured.data)
    assert verified.status == 0, verified.problem
    assert "refuses a client without TLS" in plain(verified)
    key = {"redis_tls_key": distinct((secured.folder / "redis.key").read_text())}
    for server in secured.site.servers:
        assert shown(server, key) == [], server.name


def test_another_authority_is_refused_with_one_sentence_and_nothing_is_changed(secured: Secured) -> None:
    strange = secured.folder / "strange.crt"
    strange.write_text(certificates.authority("somebody").text)
    before = secured.pictures()
    done = run(secured.site.name, SITE, **{**secured.data, "redis_tls_ca": str(strange)})
    assert done.status == 1, done.problem
    assert plain(done).count("redis_tls_ca: has not signed the certificate") == 1, done.problem
    after = secured.pictures()
    for name in before:
        assert differences(before[name], after[name]) == [], name


def test_a_new_certificate_is_served_after_the_next_run(secured: Secured) -> None:
    """Of the same authority, so gateways need nothing new, and are not touched."""
    before = secured.pictures()
    serial = f"openssl x509 -noout -serial -in {redis_tls.CERTIFICATE}"
    old = secured.cache.out(serial)
    certificate, key = secured.above.sign([secured.address])
    (secured.folder / "redis.crt").write_text(certificate)
    (secured.folder / "redis.key").write_text(key)
    done = run(secured.site.name, SITE, **secured.data)
    assert done.status == 0, done.problem
    new = secured.cache.out(
        f"openssl s_client -connect {secured.address}:{secured.port} </dev/null 2>/dev/null | "
        "openssl x509 -noout -serial"
    )
    assert new == secured.cache.out(serial) != old
    after = secured.pictures()
    assert [name for name in before if before[name] != after[name]] == [secured.cache.name]
    assert eventually(lambda: shared_answer(secured), 30), "they do not come back to it"


def test_without_tls_everything_is_as_before(secured: Secured) -> None:
    done = run(secured.site.name)
    assert done.status == 0, done.problem
    assert secured.cli("", "ping") == "PONG"
    assert eventually(lambda: shared_answer(secured), 30)
    for gateway in secured.gateways:
        assert ask(gateway.server, f"{health.answer_url(gateway.server.here)}/health/readiness").status == 200
    second = run(secured.site.name)
    assert second.totals["no_change"] == second.totals["hosts"] > 0, second.problem
