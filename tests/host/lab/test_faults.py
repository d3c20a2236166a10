"""When a part breaks, the health app and `verify` say which, quickly; when it works again they say that too."""

from __future__ import annotations

import http.client
import json
import threading
import time
from typing import Any

import pytest

from deploys.components import postgres
from deploys.components.litellm.config import SELFTEST
from deploys.components.litellm.settings import LitellmSettings
from tests.host.lab.conftest import Deployed
from tests.host.support import Server
from tests.host.support_http import Gateway, Reply, ask
from tests.host.support_lab import VERIFY, health_url, run, say, until
from tests.host.test_health import latency

GATEWAY = "litellm.service"
# Usually at once, and never slowly: two cores that do everything else too may interrupt one answer in a hundred.
USUAL_SECONDS, FAST_SECONDS = 0.005, 0.050


def judged(server: Server, page: str) -> Reply:
    return ask(server, f"{health_url(server)}/health/{page}", seconds=5)


def liveness(server: Server) -> tuple[int, Any]:
    reply = judged(server, "liveness")
    return reply.status, reply.json()["status"]


def failing(server: Server) -> list[str]:
    """Parts the readiness page names; empty while it answers 200."""
    reply = judged(server, "readiness")
    return [] if reply.status == 200 else list(reply.json()["failing"])


def test_a_hung_gateway_is_unresponsive_within_seven_seconds(restored: Deployed) -> None:
    server = restored.server
    server.out(f"systemctl kill -s STOP {GATEWAY}")
    took = until(lambda: liveness(server) == (503, "unresponsive"), 7, "the health app calls the gateway unresponsive")
    figures = latency(server)
    say(
        f"      unresponsive after {took:.1f} s; p50 {figures['p50'] * 1000:.1f} ms, p99 {figures['p99'] * 1000:.1f} ms"
    )
    assert figures["p50"] < USUAL_SECONDS and figures["p99"] < FAST_SECONDS, figures
    server.out(f"systemctl kill -s CONT {GATEWAY}")
    until(lambda: liveness(server)[0] == 200, 15, "the gateway lives again")


def test_a_stopped_gateway_is_called_stopped(restored: Deployed) -> None:
    server = restored.server
    server.out(f"systemctl stop {GATEWAY}")
    until(lambda: liveness(server) == (503, "stopped"), 7, "the health app calls the gateway stopped")
    server.out(f"systemctl start {GATEWAY}")
    until(lambda: server.out("systemctl is-active litellm-metrics || true") == "active", 10, "its metrics are back too")


def test_health_answers_fast_while_the_gateway_is_saturated(restored: Deployed) -> None:
    server = restored.server
    s: LitellmSettings = server.here.settings(LitellmSettings)
    stop, answers = time.monotonic() + 10, {"200": 0, "other": 0}
    body = json.dumps({"model": SELFTEST, "messages": [{"role": "user", "content": "?"}]})
    headers = {"Authorization": f"Bearer {s.master_key.get_secret_value()}", "Content-Type": "application/json"}

    def client() -> None:
        while time.monotonic() < stop:
            connection = http.client.HTTPConnection(server.address, s.port, timeout=20)
            try:
                connection.request("POST", "/v1/chat/completions", body, headers)
                answers["200" if connection.getresponse().status == 200 else "other"] += 1
            except (OSError, http.client.HTTPException):
                answers["other"] += 1
            finally:
                connection.close()

    threads = [threading.Thread(target=client, daemon=True) for _ in range(40)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    figures, alive = latency(server), liveness(server)
    for thread in threads:
        thread.join(30)
    say(f"      {answers}; p50 {figures['p50'] * 1000:.1f} ms, p99 {figures['p99'] * 1000:.1f} ms")
    assert answers["200"] > 100 and not answers["other"], answers
    assert figures["p50"] < USUAL_SECONDS and figures["p99"] < FAST_SECONDS, figures
    assert alive[0] == 200, alive


@pytest.mark.parametrize(
    ("component", "named"), [("postgres", "database"), ("redis", "redis"), ("ollama", "models")], ids=lambda x: str(x)
)
def test_readiness_names_the_part_that_is_down(restored: Deployed, component: str, named: str) -> None:
    server = restored.server
    unit = next(c for c in server.components if c.name == component).unit
    assert unit is not None and failing(server) == []
    server.out(f"systemctl stop {unit(server.here)}")
    took = until(lambda: named in failing(server), 25, f"readiness names {named}")
    assert liveness(server)[0] == 200, "the gateway itself lives"
    say(f"      {component} missed after {took:.1f} s")
    server.out(f"systemctl start {unit(server.here)}")
    until(lambda: failing(server) == [], 60, "the gateway is ready again")


def test_the_gateway_serves_without_redis(restored: Deployed) -> None:
    server = restored.server
    server.out("systemctl stop redis-server.service")
    reply = Gateway(server).chat(SELFTEST)
    assert reply.status == 200, reply


def test_the_gateway_recovers_from_a_restart_of_the_database(restored: Deployed) -> None:
    gateway, unit = Gateway(restored.server), postgres.unit(restored.server.here)
    key = gateway.new_key()
    restored.server.out(f"systemctl restart {unit}")
    until(lambda: gateway.chat(SELFTEST, key=key).status == 200, 60, "a virtual key is accepted again")
    assert gateway.delete_key(key).status == 200


def test_a_drained_host_is_alive_but_not_ready(restored: Deployed) -> None:
    server = restored.server
    server.out("touch /run/portcullis-health/drain")
    until(lambda: failing(server) == ["draining"], 5, "readiness says draining")
    assert liveness(server)[0] == 200
    server.out("rm /run/portcullis-health/drain")
    until(lambda: failing(server) == [], 5, "the host is ready again")


def test_killed_services_come_back_by_themselves(restored: Deployed) -> None:
    server = restored.server
    for unit in (GATEWAY, "redis-server.service", "ollama.service", "portcullis-health.service"):
        server.out(f"systemctl kill -s KILL {unit}")
    until(lambda: judged(server, "readiness").status == 200, 90, "everything is back after SIGKILL")


def test_verify_says_no_and_names_the_question(restored: Deployed) -> None:
    server = restored.server
    server.out("systemctl stop redis-server.service")
    said = run(restored.name, VERIFY)
    assert said.status == 1, said.problem
    assert "redis answers the health user" in said.log and "are wrong" in said.log
    server.out("systemctl start redis-server.service")
    until(lambda: failing(server) == [], 60, "the gateway is ready again")
    assert run(restored.name, VERIFY).status == 0


def test_verify_does_not_wait_for_ever_for_a_hung_gateway(restored: Deployed) -> None:
    server = restored.server
    server.out(f"systemctl kill -s STOP {GATEWAY}")
    until(lambda: liveness(server)[0] == 503, 10, "the health app has noticed")
    said = run(restored.name, VERIFY, components="health")
    assert said.status == 1, said.problem
    assert "says the gateway is alive" in said.log
    assert said.seconds < 60
