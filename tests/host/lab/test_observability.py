"""What can be seen of a gateway from outside: metrics, traces, alerts, its log, and timers that ask it."""

from __future__ import annotations

import json
import re
import time
import uuid

from deploys.components.litellm.config import SELFTEST
from tests.host.lab.conftest import Deployed
from tests.host.support import Server
from tests.host.support_double import Double
from tests.host.support_http import Gateway, ask
from tests.host.support_lab import until
from tests.waiting import eventually


def _counted(server: Server, model: str) -> float:
    """Requests of one group that all workers together have counted."""
    text = ask(server, "http://127.0.0.1:4101/metrics").text
    rows = re.findall(
        rf'^litellm_proxy_total_requests_metric_total{{[^}}]*requested_model="{model}"[^}}]*}} (\S+)', text, re.M
    )
    return sum(float(value) for value in rows)


def test_metrics_add_up_over_the_workers(routed: Double) -> None:
    gateway, server = Gateway(routed.server), routed.server
    before = _counted(server, "spare")
    assert all(gateway.chat("spare").status == 200 for _ in range(12))
    assert eventually(lambda: _counted(server, "spare") == before + 12, 20), _counted(server, "spare") - before


def test_metrics_need_a_key_on_the_gateways_own_port_and_are_private_on_theirs(routed: Double) -> None:
    assert Gateway(routed.server).ask("/metrics/", key="").status == 401
    address = routed.server.here.member.address
    assert ask(routed.server, f"http://{address}:4101/metrics", seconds=5).status == 0


def test_a_trace_has_the_callers_id(routed: Double) -> None:
    routed.reset()
    trace = uuid.uuid4().hex
    reply = Gateway(routed.server).ask(
        "/v1/chat/completions",
        {"model": "spare", "messages": [{"role": "user", "content": "a secret of mine"}]},
        traceparent=f"00-{trace}-00f067aa0ba902b7-01",
    )
    assert reply.status == 200, reply

    def sent() -> list[str]:
        return [record["body"]["hex"] for record in routed.seen(path="/v1/traces") if trace in record["body"]["hex"]]

    found = eventually(sent, 30)
    assert found, "no span with the caller's trace id arrived"
    assert b"a secret of mine".hex() not in "".join(found)


def test_a_requests_id_is_the_callers_and_is_in_errors(routed: Double) -> None:
    own = str(uuid.uuid4())
    body = {"model": "slow", "messages": [{"role": "user", "content": "?"}]}
    reply = Gateway(routed.server).ask("/v1/chat/completions", body, x_litellm_call_id=own)
    assert reply.headers["x-litellm-call-id"] == own
    assert reply.json()["error"]["litellm_call_id"] == own


def test_a_slow_request_is_an_alert_in_seconds_at_every_destination(routed: Double) -> None:
    routed.reset()
    assert Gateway(routed.server).chat("tardy", text="nobody's business").status == 200  # 4 s, threshold 2 s

    def told() -> bool:
        return all("slow" in json.dumps([r["body"] for r in routed.seen(path=p)]).lower() for p in ("/slack", "/hook"))

    assert eventually(told, 45), routed.seen(path="/slack")
    text = json.dumps([record["body"] for record in (*routed.seen(path="/slack"), *routed.seen(path="/hook"))])
    assert "nobody's business" not in text


def test_the_log_sink_gets_records_without_prompts(routed: Double) -> None:
    routed.reset()
    assert Gateway(routed.server).chat("spare", text="keep this to yourself").status == 200

    def kept() -> str:
        return json.dumps([record["body"] for record in routed.seen(path="/sink")])

    # What tests before this one asked is written late, and may be the first that arrives.
    assert eventually(lambda: "openai/spare" in kept(), 45), kept()[:2000]
    assert "keep this to yourself" not in kept()


def _messages(double: Double, probe: str) -> list[str]:
    bodies = [record["body"] for record in double.seen(path="/hook")]
    return [body["state"] for body in bodies if body.get("probe") == probe]


def test_a_probe_alerts_once_when_the_cache_is_away_and_once_when_it_is_back(routed: Double) -> None:
    server = routed.server
    routed.reset()
    server.out("systemctl stop redis-server.service")
    try:
        assert eventually(lambda: _messages(routed, "cache-health"), 150), server.out(
            "journalctl -q -o cat -u litellm-cache-health -n 20"
        )
        time.sleep(25)  # two more questions
        assert set(_messages(routed, "cache-health")) == {"failed"}
        first = len(_messages(routed, "cache-health"))
    finally:
        server.out("systemctl start redis-server.service")
    assert eventually(lambda: "recovered" in _messages(routed, "cache-health"), 120)
    assert _messages(routed, "cache-health").count("failed") == first, "told again of what was known"


def test_the_timers_are_sandboxed_and_noted_a_good_answer(trixie: Deployed) -> None:
    server = trixie.server
    for what in ("gateway-probe", "cache-health"):
        unit = f"litellm-{what}.service"
        assert server.out(f"systemctl is-active litellm-{what}.timer") == "active"
        shown = server.out(f"systemd-analyze security --no-pager {unit} | tail -n 1")
        assert float(shown.partition(": ")[2].split()[0]) <= 1.5, shown
        until(lambda unit=unit: server.sh(f"systemctl start {unit}").status == 0, 60, f"{unit} succeeds")
        state = json.loads(server.out(f"cat /var/lib/portcullis-{what}/state.json"))
        assert state["checks"] and not [c for c in state["checks"].values() if c["wrong"]], state


def test_the_host_says_what_made_its_files(trixie: Deployed) -> None:
    server = trixie.server
    told = json.loads(server.out("portcullis-version --json"))
    text = json.dumps(told)
    assert "/etc/litellm/config.yaml" in text and "1.106.2" in text
    drifted = server.out("echo '# by hand' >>/etc/redis/redis.conf; portcullis-version; true")
    server.out("sed -i '$d' /etc/redis/redis.conf")
    line = next(line for line in drifted.splitlines() if line.startswith("/etc/redis/redis.conf "))
    assert "as written" not in line, line
    assert Gateway(server).chat(SELFTEST).status == 200
