"""The model catalogue on the wire: a real LiteLLM, and what it sends to a double of every provider."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploys.components.litellm.model_list import model_list, variables
from tests.lab.doubles.expected import ANSWER, KEYS, ROWS, Expected, entries
from tests.lab.doubles.provider import Double
from tests.lab.real_litellm import DEFAULTS, NEEDED, PYTHON, environment
from tests.unit.catalogues import entry

pytestmark = NEEDED


@dataclass(frozen=True)
class Gateway:
    """A running LiteLLM with the catalogue of all rows, and the double behind it."""

    url: str
    key: str
    double: str
    output: Path

    def call(self, path: str, body: Any = None, base: str = "") -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request((base or self.url) + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def seen(self) -> list[dict[str, Any]]:
        """Requests to models. LiteLLM also asks some servers for their list of models, at a time of its own."""
        records = [json.loads(line) for line in self.call("/_log", base=self.double)[1].splitlines()]
        return [record for record in records if record["method"] == "POST"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Double(("127.0.0.1", 0), tmp_path_factory.mktemp("double") / "log") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


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
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    key = f"sk-{secrets.token_hex(32)}"
    port = free_port()
    keys = {name: value.get_secret_value() for name, value in variables(catalogue).items()}
    command = [PYTHON, "-c", "from litellm import run_server; run_server()", "--config", "config.yaml"]
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            env={**environment(folder), **keys, "LITELLM_MASTER_KEY": key},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        made = Gateway(f"http://127.0.0.1:{port}", key, double, folder / "output")
        try:
            until_alive(made, process)
            yield made
        finally:
            process.terminate()
            process.wait(30)


def until_alive(gateway: Gateway, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if gateway.call("/health/liveliness")[0] == 200:
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"LiteLLM did not start: {gateway.output.read_text()[-2000:]}")


def test_every_entry_is_kept(gateway: Gateway) -> None:
    status, text = gateway.call("/v1/models")
    assert status == 200
    assert {model["id"] for model in json.loads(text)["data"]} == {row.entry["name"] for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_provider_is_sent_what_it_understands(row: Expected, gateway: Gateway) -> None:
    gateway.call("/_reset", {}, gateway.double)
    path, body = row.request()
    status, text = gateway.call(path, body)
    assert status == 200, text
    (record,) = gateway.seen()
    assert row.wrong(record) == []
    assert row.call in ("embedding", "rerank") or ANSWER in said(row, text)


def said(row: Expected, text: str) -> str:
    if row.call != "stream":
        choice = json.loads(text)["choices"][0]
        return str(choice["text"] if row.call == "completion" else choice["message"]["content"])
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {")]
    return "".join(piece["delta"].get("content") or "" for line in lines for piece in json.loads(line)["choices"])


def test_a_health_check_asks_every_model_in_its_own_mode(gateway: Gateway) -> None:
    gateway.call("/_reset", {}, gateway.double)
    status, text = gateway.call("/health")
    report = json.loads(text)
    assert (status, report["unhealthy_count"]) == (200, 0), report["unhealthy_endpoints"]
    assert report["healthy_count"] == len({row.entry["name"] for row in ROWS})
    asked = {(record["path"], record["model"]) for record in gateway.seen()}
    assert {(row.path, row.entry["model"]) for row in ROWS if row.call != "stream"} == asked


def test_a_prompt_longer_than_ollamas_context_is_not_sent(gateway: Gateway) -> None:
    """Without `litellm_provider` LiteLLM does not find the model it has just registered, and checks nothing."""
    (row,) = [row for row in ROWS if "num_ctx" in row.entry and row.call == "chat"]
    gateway.call("/_reset", {}, gateway.double)
    long = {"messages": [{"role": "user", "content": "word " * row.entry["num_ctx"] * 2}]}
    status, text = gateway.call("/v1/chat/completions", {**long, "model": row.entry["name"]})
    assert (status, gateway.seen()) == (400, [])
    assert "ContextWindowExceededError" in text or "context window" in text.lower()


def test_no_request_logs_a_model_without_a_price(gateway: Gateway) -> None:
    """Runs after the others of this file: their requests are what is in the log."""
    output = gateway.output.read_text()
    assert "Could not identify azure model" not in output
    assert "ollama serve" not in output
    assert "priced at $0" not in output
    assert [line for line in output.splitlines() if "isn't mapped yet" in line] == []
