"""The model catalogue on the wire: a real LiteLLM, and what it sends to a double of every provider."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from deploys.components.litellm.model_list import model_list, variables
from tests.lab.doubles.expected import ANSWER, KEYS, ROWS, Expected, entries
from tests.lab.gateways import Gateway, playing, running, until_alive
from tests.lab.real_litellm import DEFAULTS, NEEDED
from tests.unit.catalogues import entry

pytestmark = NEEDED


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with playing(tmp_path_factory.mktemp("double")) as address:
        yield address


@pytest.fixture(scope="module")
def gateway(double: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    catalogue = [entry(data, KEYS) for data in entries(double)]
    config = {
        "model_list": model_list(catalogue, DEFAULTS),
        # Otherwise it counts a Llama's tokens with a file that it fetches from the internet, half a minute in vain.
        "litellm_settings": {"drop_params": True, "disable_hf_tokenizer_download": True},
        "router_settings": {"num_retries": 0, "enable_pre_call_checks": True},
        "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
    }
    keys = {name: value.get_secret_value() for name, value in variables(catalogue).items()}
    with running(config, keys, folder, double) as started:
        until_alive(started)
        yield started


def test_every_entry_is_kept(gateway: Gateway) -> None:
    reply = gateway.ask("/v1/models")
    assert reply.status == 200
    assert {model["id"] for model in reply.json()["data"]} == {row.entry["name"] for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_provider_is_sent_what_it_understands(row: Expected, gateway: Gateway) -> None:
    gateway.reset()
    path, body = row.request()
    reply = gateway.ask(path, body)
    assert reply.status == 200, reply
    (record,) = gateway.seen()
    assert row.wrong(record) == []
    assert row.call in ("embedding", "rerank") or ANSWER in said(row, reply.text)


def said(row: Expected, text: str) -> str:
    if row.call != "stream":
        choice = json.loads(text)["choices"][0]
        return str(choice["text"] if row.call == "completion" else choice["message"]["content"])
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {")]
    return "".join(piece["delta"].get("content") or "" for line in lines for piece in json.loads(line)["choices"])


def test_a_health_check_asks_every_model_in_its_own_mode(gateway: Gateway) -> None:
    gateway.reset()
    reply = gateway.ask("/health")
    report = reply.json()
    assert (reply.status, report["unhealthy_count"]) == (200, 0), report["unhealthy_endpoints"]
    assert report["healthy_count"] == len({row.entry["name"] for row in ROWS})
    asked = {(record["path"], record["model"]) for record in gateway.seen()}
    assert {(row.path, row.entry["model"]) for row in ROWS if row.call != "stream"} == asked


def test_a_prompt_longer_than_ollamas_context_is_not_sent(gateway: Gateway) -> None:
    """Without `litellm_provider` LiteLLM does not find the model it has just registered, and checks nothing."""
    (row,) = [row for row in ROWS if "num_ctx" in row.entry and row.call == "chat"]
    gateway.reset()
    reply = gateway.chat(row.entry["name"], "word " * row.entry["num_ctx"] * 2)
    assert (reply.status, gateway.seen()) == (400, [])
    assert "ContextWindowExceededError" in reply.text or "context window" in reply.text.lower()


def test_no_request_logs_a_model_without_a_price(gateway: Gateway) -> None:
    """Runs after the others of this file: their requests are what is in the log."""
    output = gateway.output.read_text()
    assert "Could not identify azure model" not in output
    assert "ollama serve" not in output
    assert "priced at $0" not in output
    assert [line for line in output.splitlines() if "isn't mapped yet" in line] == []
