"""The double of all providers: what it answers by protocol, the trouble its models make, and what it writes down."""

from __future__ import annotations

import gzip
import http.client
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.lab.doubles import provider
from tests.lab.doubles.provider import Double
from tests.ports import free_port
from tests.unit.test_structure import imports

CHAT = "/v1/chat/completions"


def ask(port: int, method: str, path: str, body: Any = None, seconds: float = 10, **headers: str) -> tuple[int, str]:
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)) as connection:
        connection.request(method, path, data, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with Double(("127.0.0.1", 0), tmp_path / "log") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def seen(port: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ask(port, "GET", "/_log")[1].splitlines()]


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        (CHAT, {"model": "m"}, ["choices", 0, "message", "content"]),
        ("/v1/completions", {"model": "m"}, ["choices", 0, "text"]),
        ("/openai/deployments/d/chat/completions?api-version=1", {}, ["choices", 0, "message", "content"]),
        ("/v1/messages", {"model": "m"}, ["content", 0, "text"]),
        ("/v1beta/models/g:generateContent", {}, ["candidates", 0, "content", "parts", 0, "text"]),
        ("/api/chat", {"model": "m:1b", "stream": False}, ["message", "content"]),
    ],
)
def test_every_protocol_of_a_chat_gives_the_same_text(port: int, path: str, body: Any, where: list[Any]) -> None:
    status, text = ask(port, "POST", path, body)
    value = json.loads(text)
    for step in where:
        value = value[step]
    assert (status, value) == (200, "pong from the double")


@pytest.mark.parametrize(
    ("path", "body", "pieces"),
    [
        (CHAT, {"model": "m", "stream": True}, 6),
        (CHAT, {"model": "m", "stream": True, "stream_options": {"include_usage": True}}, 7),
        ("/v1/messages", {"model": "m", "stream": True}, 9),
        ("/v1beta/models/g:streamGenerateContent?alt=sse", {}, 4),
        ("/api/chat", {"model": "m"}, 5),
    ],
)
def test_every_protocol_of_a_stream_comes_in_pieces(port: int, path: str, body: Any, pieces: int) -> None:
    status, text = ask(port, "POST", path, body)
    lines = [line for line in text.splitlines() if line.startswith(("data: ", "{"))]
    assert (status, len(lines)) == (200, pieces)
    assert all(word.strip() in text for word in provider.WORDS)


def test_embeddings_and_reranks_have_one_answer_for_each_input(port: int) -> None:
    two = ["a", "b"]
    openai = json.loads(ask(port, "POST", "/v1/embeddings", {"model": "m", "input": two})[1])
    ollama = json.loads(ask(port, "POST", "/api/embed", {"model": "m", "input": two})[1])
    gemini = json.loads(ask(port, "POST", "/v1beta/models/g:batchEmbedContents", {"requests": [{}, {}]})[1])
    assert [item["embedding"] for item in openai["data"]] == ollama["embeddings"] == [provider.VECTOR] * 2
    assert gemini["embeddings"] == [{"values": provider.VECTOR}] * 2
    for path in ("/v1/rerank", "/v2/rerank"):
        ranked = json.loads(ask(port, "POST", path, {"model": "m", "documents": two})[1])["results"]
        assert [row["index"] for row in ranked] == [0, 1]
    tags = json.loads(ask(port, "GET", "/api/tags")[1])
    assert tags["models"] and json.loads(ask(port, "POST", "/api/show", {"model": "m"})[1])["model_info"]


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("m-fail-500", 500, "scripted"),
        ("m-fail-429", 429, "scripted"),
        ("m-fail-400-context", 400, "context_length_exceeded"),
        ("m-fail-content", 400, "content_policy_violation"),
    ],
)
def test_a_word_in_the_models_name_asks_for_a_failure(port: int, model: str, status: int, code: str) -> None:
    for path, body in ((CHAT, {"model": model}), (f"/v1beta/models/{model}:generateContent", {})):
        got, text = ask(port, "POST", path, body)
        assert (got, json.loads(text)["error"]["code"]) == (status, code)


def test_a_flaky_model_fails_so_often_for_itself_and_again_after_a_reset(port: int) -> None:
    def tries(model: str, number: int) -> list[int]:
        return [ask(port, "POST", CHAT, {"model": model})[0] for _ in range(number)]

    assert tries("m-flaky-2", 4) == [500, 500, 200, 200]
    assert tries("n-flaky-1-429", 2) == [429, 200]
    assert ask(port, "POST", "/_reset")[0] == 200
    assert tries("m-flaky-2", 3) == [500, 500, 200]
    assert len(seen(port)) == 3


def test_slow_hanging_and_dropped_answers(port: int) -> None:
    began = time.monotonic()
    assert ask(port, "POST", CHAT, {"model": "m-slow-0.3"})[0] == 200
    assert time.monotonic() - began >= 0.3
    began = time.monotonic()
    assert ask(port, "POST", CHAT, {"model": "m-stall-0.3", "stream": True})[0] == 200
    assert time.monotonic() - began >= 0.3
    with pytest.raises(TimeoutError):
        ask(port, "POST", CHAT, {"model": "m-hang"}, seconds=0.3)
    with pytest.raises(http.client.RemoteDisconnected):
        ask(port, "POST", CHAT, {"model": "m-drop"})


def test_the_log_has_what_a_caller_sent(port: int) -> None:
    keys = {"Authorization": "Bearer a", "x_api_key": "b", "x_goog_api_key": "c", "api_key": "d", "traceparent": "00-1"}
    ask(port, "POST", "/v1beta/models/g:generateContent?key=q&alt=sse", {"contents": []}, **keys)
    (record,) = seen(port)
    assert (record["method"], record["path"]) == ("POST", "/v1beta/models/g:generateContent")
    assert (record["query"], record["model"], record["body"]) == ({"key": "q", "alt": "sse"}, "g", {"contents": []})
    assert {name: record["headers"][name] for name in record["headers"] if name != "content-type"} == {
        name.lower().replace("_", "-"): value for name, value in keys.items()
    }


def test_a_webhook_and_a_collector_get_200_and_their_bodies_are_kept(port: int) -> None:
    trace = bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
    assert ask(port, "POST", "/hooks/alert", {"text": "slow"})[0] == 200
    assert ask(port, "POST", "/v1/traces", gzip.compress(b"\n\x10" + trace), Content_Encoding="gzip")[0] == 200
    assert ask(port, "POST", "/hooks/fail-503", {})[0] == 503
    alert, spans, _ = seen(port)
    assert alert["body"] == {"text": "slow"}
    assert trace.hex() in spans["body"]["hex"]


def test_a_body_in_chunks_is_read_whole(port: int) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("POST", CHAT, iter([b'{"model": ', b'"m"}']), encode_chunked=True)
        assert connection.getresponse().status == 200
    assert seen(port)[0]["body"] == {"model": "m"}


def test_the_file_runs_alone_with_nothing_but_python(tmp_path: Path) -> None:
    assert {name.partition(".")[0] for name in imports(Path(provider.__file__))} <= set(sys.stdlib_module_names)
    alone = shutil.copy(provider.__file__, tmp_path)
    port = free_port()
    process = subprocess.Popen([sys.executable, "-I", alone, str(port), str(tmp_path / "log")])
    try:
        for _ in range(100):
            try:
                status, _ = ask(port, "POST", CHAT, {"model": "m"})
                break
            except OSError:
                time.sleep(0.05)
        assert status == 200
        assert json.loads((tmp_path / "log").read_text())["model"] == "m"
    finally:
        process.terminate()
        process.wait(10)
