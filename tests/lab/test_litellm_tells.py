"""What a running LiteLLM writes to its log, traces, alerts, sinks and errors: as the settings say."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest

from tests.lab.gateways import Gateway
from tests.lab.real_litellm import NEEDED
from tests.lab.sites import PRICE, SECRETS
from tests.waiting import eventually

pytestmark = NEEDED
PROMPT = "nobody else's business"


@pytest.fixture
def traced(gateways: dict[str, Gateway]) -> Gateway:
    gateways["latency-based-routing"].reset()
    return gateways["latency-based-routing"]


def parent() -> tuple[str, str]:
    """A trace that a caller has begun and decided to keep: its id, and the header that says so."""
    trace = uuid.uuid4().hex
    return trace, f"00-{trace}-00f067aa0ba902b7-01"


def spans(gateway: Gateway, trace: str) -> list[dict[str, Any]]:
    return [record for record in gateway.seen(path="/v1/traces") if trace in record["body"]["hex"]]


def test_traces_are_sent_with_otel_headers_by_otel_protocol_for_a_share_of_requests(traced: Gateway) -> None:
    """The share is nothing; what the caller decided goes first."""
    trace, header = parent()
    assert traced.chat("untraced").status == 200
    assert traced.chat("traced", PROMPT, {"traceparent": header}).status == 200
    # The spans of one request are sent every few seconds, so those that end early may come without the others.
    assert eventually(lambda: b"traced".hex() in json.dumps([s["body"] for s in spans(traced, trace)]), 20)
    sent = spans(traced, trace)
    name, _, value = SECRETS["OTEL_HEADERS"].partition("=")
    assert sent[0]["headers"][name] == value
    assert sent[0]["headers"]["content-type"] == "application/x-protobuf"
    everything = "".join(record["body"]["hex"] for record in traced.seen(path="/v1/traces"))
    assert b"untraced".hex() not in everything
    # log_messages is off.
    assert PROMPT.encode().hex() not in everything


def test_with_otel_sample_ratio_1_every_request_is_traced(busy: Gateway) -> None:
    assert busy.chat("plain").status == 200
    assert eventually(lambda: b"plain-id".hex() in json.dumps([r["body"] for r in busy.seen(path="/v1/traces")]), 20)


def test_a_callers_traceparent_is_sent_on_with_forward_traceparent_only(busy: Gateway, traced: Gateway) -> None:
    for gateway, model in ((busy, "plain"), (traced, "traced")):
        trace, header = parent()
        assert gateway.chat(model, headers={"traceparent": header}).status == 200
        (record,) = gateway.seen(model)
        assert (trace in record["headers"].get("traceparent", "")) is (gateway is busy), record["headers"]


def test_the_log_sink_gets_records_with_its_headers_tags_prices_and_with_log_messages_prompts(busy: Gateway) -> None:
    assert busy.chat("plain", PROMPT).status == 200

    def kept() -> list[tuple[dict[str, Any], dict[str, Any]]]:
        sent = [(record["headers"], row) for record in busy.seen(path="/sink") for row in record["body"]]
        return [(headers, row) for headers, row in sent if PROMPT in json.dumps(row["messages"])]

    ((headers, row),) = eventually(kept, 20)
    assert row["model_group"] == "plain" and "pong" in json.dumps(row["response"])
    name, _, value = SECRETS["SINK_HEADERS"].partition("=")
    assert headers[name] == value
    assert "mine" in row["request_tags"]
    assert row["model_id"] == "plain-id"
    assert row["response_cost"] == pytest.approx((7 + 2 * 4) * PRICE)


def test_only_what_alert_types_name_is_an_alert(gateways: dict[str, Gateway]) -> None:
    """A slow request comes first, and tells nobody."""
    gateway = gateways["usage-based-routing-v2"]
    gateway.reset()
    assert gateway.chat("tardy").status == 200  # 3 s, alerting_threshold 2 s

    def told() -> str:
        return json.dumps([record["body"] for record in gateway.seen(path="/hook")])

    assert gateway.chat("broken").status == 500
    assert eventually(lambda: "fail-500" in told(), 20), told()
    assert "llm_exceptions" in told()
    assert "slow-3" not in told() and "llm_too_slow" not in told()


def test_a_requests_id_is_in_an_errors_body_with_include_call_id_in_error_body_only(
    shuffle: Gateway, busy: Gateway
) -> None:
    own = str(uuid.uuid4())
    for gateway, model in ((shuffle, "broken"), (busy, "BadRequest")):
        reply = gateway.chat(model, headers={"x-litellm-call-id": own})
        assert reply.headers["x-litellm-call-id"] == own
        assert reply.json()["error"].get("litellm_call_id") == (own if gateway is shuffle else None)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "ping"}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "ping"}], "stream": True}),
        ("/v1/completions", {"prompt": "ping"}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "ping"}], "max_tokens": 5}),
        ("/v1/responses", {"input": "ping"}),
        ("/v1/embeddings", {"input": "ping"}),
        ("/v1/images/generations", {"prompt": "ping"}),
        ("/v1/audio/speech", {"input": "ping", "voice": "alloy"}),
        ("/v1/moderations", {"input": "ping"}),
    ],
)
def test_a_401_has_a_requests_id_when_a_provider_says_it_and_none_when_the_key_is_wrong(
    busy: Gateway, path: str, body: dict[str, Any]
) -> None:
    """By that the edge tells who guesses keys from who asks for a model whose own key has expired."""
    asked, own = {"model": "Authentication", **body}, {"x-litellm-call-id": str(uuid.uuid4())}
    told = busy.ask(path, asked, **own)
    assert told.status == 401 and told.headers["x-litellm-call-id"] == own["x-litellm-call-id"], told
    # Without a database a wrong key is a 400; tests/host/lab/test_edge.py has one, and wrong keys are counted.
    for key, status in (("", 401), ("Bearer sk-wrong", 400)):
        refused = busy.ask(path, asked, **own, Authorization=key)
        assert refused.status == status and "x-litellm-call-id" not in refused.headers, refused


def lines(gateway: Gateway) -> list[str]:
    """LiteLLM's own lines, which begin with a brace or the time."""
    return [
        line for line in gateway.output.read_text().splitlines() if re.match(r"\{\"|\d\d:\d\d:\d\d - LiteLLM", line)
    ]


def test_json_logs_are_json_and_others_are_not(shuffle: Gateway, busy: Gateway) -> None:
    shuffle.chat("broken")
    found = lines(shuffle)
    assert found and {json.loads(line)["level"] for line in found} == {"WARNING", "ERROR"}
    busy.chat("BadRequest")
    assert lines(busy) and not [line for line in lines(busy) if line.startswith("{")]


def test_log_level_says_what_is_logged(shuffle: Gateway, busy: Gateway, traced: Gateway) -> None:
    traced.chat("no-such-model")
    seen = {
        gateway: set(re.findall(r"\b(INFO|WARNING|ERROR)\b", " ".join(line[:400] for line in lines(gateway))))
        for gateway in (busy, traced)
    }
    assert {"INFO", "WARNING"} <= seen[busy]
    assert seen[traced] <= {"ERROR"}
    assert "INFO" not in {json.loads(line)["level"] for line in lines(shuffle)}
