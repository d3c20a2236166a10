"""The Ollama stand-in from its packed archive, with the real llama-server, on loopback."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.lab import cache
from tests.lab.artefacts import ollama, tree
from tests.lab.artefacts.tiny_model import SENTENCE
from tests.local_server import serving
from tests.ports import free_port

FOLDER = cache.find("artefacts", tree.key())
pytestmark = pytest.mark.skipif(
    FOLDER is None,
    reason="the lab's artefacts are not built; run `python -m tests.lab mirror` (needs some minutes once)",
)


@dataclass(frozen=True)
class Ollama:
    """A running stand-in."""

    program: Path
    port: int
    registry: str
    home: Path

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, list[Any]]:
        """Status and the answer's JSON lines."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, [json.loads(line) for line in response.read().decode().splitlines()]
        finally:
            connection.close()

    def one(self, path: str, body: Any) -> dict[str, Any]:
        """The one object a successful POST answers with."""
        status, (answer,) = self.call("POST", path, body)
        assert status == 200, answer
        result: dict[str, Any] = answer
        return result

    def pull(self, model: str, insecure: bool = True) -> list[Any]:
        """The lines of a pull from the mirror, by the real syntax for other registries."""
        return self.call("POST", "/api/pull", {"model": f"{self.registry}/library/{model}", "insecure": insecure})[1]

    def names(self) -> set[str]:
        """The models in the store."""
        _, (answer,) = self.call("GET", "/api/tags")
        return {model["name"] for model in answer["models"]}

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one of its commands."""
        return subprocess.run(
            [self.program, *arguments],
            env={**os.environ, **self.environment(), **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def environment(self) -> dict[str, str]:
        """What its unit would set."""
        return {
            "HOME": str(self.home),
            "OLLAMA_HOST": f"127.0.0.1:{self.port}",
            "STANDIN_REGISTRY": f"http://{self.registry}",
        }


class Quiet(SimpleHTTPRequestHandler):
    """The mirror without its access log."""

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    with serving(partial(Quiet, directory=str(FOLDER))) as address:
        yield address


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked archive."""
    assert FOLDER is not None
    target = tmp_path_factory.mktemp("ollama")
    plain = target / "plain.tar"
    plain.write_bytes(zstandard.decompress((FOLDER / ollama.archive_path("0.35.1")).read_bytes()))
    with tarfile.open(plain) as tar:
        for member in tar:
            path = target / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(member)
            assert content is not None
            path.write_bytes(content.read())
            path.chmod(member.mode)
    return target


@pytest.fixture
def server(installed: Path, registry: str, tmp_path: Path) -> Iterator[Ollama]:
    port = free_port()
    running = Ollama(installed / "bin" / "ollama", port, registry, tmp_path)
    command, environment = [running.program, "serve"], {**os.environ, **running.environment()}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        for _ in range(100):
            try:
                running.call("GET", "/api/version")
                break
            except OSError:
                time.sleep(0.1)
        yield running
        process.terminate()


def test_version_is_the_archives(server: Ollama) -> None:
    assert server.call("GET", "/api/version") == (200, [{"version": "0.35.1"}])
    assert server.command("--version").stdout == "ollama version is 0.35.1\n"


def test_pull_from_the_mirror_copy_to_the_short_name_and_delete(server: Ollama) -> None:
    lines = server.pull("tiny:latest")
    assert [line["status"] for line in lines[-3:]] == ["verifying sha256 digest", "writing manifest", "success"]
    assert lines[0] == {"status": "pulling manifest"}
    long = f"{server.registry}/library/tiny:latest"
    assert server.names() == {long}
    assert server.call("POST", "/api/copy", {"source": long, "destination": "tiny"}) == (200, [])
    assert server.call("DELETE", "/api/delete", {"model": long}) == (200, [])
    assert server.names() == {"tiny:latest"}
    # The blobs are still there for the other name.
    answer = server.one("/api/generate", {"model": "tiny", "prompt": "hi", "stream": False})
    assert (answer["response"], answer["done_reason"]) == (SENTENCE, "stop")
    assert server.call("DELETE", "/api/delete", {"model": "tiny"})[0] == 200
    assert not list((server.home / ".ollama/models/blobs").iterdir())


def test_plain_http_needs_insecure(server: Ollama) -> None:
    answer = server.call("POST", "/api/pull", {"model": f"http://{server.registry}/library/tiny"})
    assert answer == (400, [{"error": "insecure protocol http"}])
    assert "error" in server.pull("tiny", insecure=False)[-1]
    assert server.names() == set()


def test_chat_streams_words_and_counts_tokens(server: Ollama) -> None:
    server.pull("tiny")
    model, message = f"{server.registry}/library/tiny", {"role": "user", "content": "hello"}
    status, lines = server.call("POST", "/api/chat", {"model": model, "messages": [message]})
    assert status == 200
    assert len(lines) > 2
    assert "".join(line["message"]["content"] for line in lines) == SENTENCE
    assert lines[-1]["done"] is True
    assert lines[-1]["prompt_eval_count"] > 0
    assert lines[-1]["eval_count"] >= 7


def test_embeddings_differ_by_input(server: Ollama) -> None:
    server.pull("tiny-embed")
    model = f"{server.registry}/library/tiny-embed"
    first, second = server.one("/api/embed", {"model": model, "input": ["cat", "database error"]})["embeddings"]
    assert len(first) == len(second) == 64
    assert first != second


def test_openai_calls_are_answered(server: Ollama) -> None:
    server.pull("tiny")
    body = {"model": f"{server.registry}/library/tiny", "messages": [{"role": "user", "content": "hi"}]}
    answer = server.one("/v1/chat/completions", body)
    assert answer["choices"][0]["message"]["content"] == SENTENCE


def test_loaded_models_are_listed_and_unloaded(server: Ollama) -> None:
    server.pull("tiny")
    model = f"{server.registry}/library/tiny"
    server.one("/api/generate", {"model": model, "prompt": "hi", "stream": False})
    _, (listed,) = server.call("GET", "/api/ps")
    assert [m["context_length"] for m in listed["models"]] == [4096]
    server.one("/api/generate", {"model": model, "keep_alive": 0, "stream": False})
    assert server.call("GET", "/api/ps")[1] == [{"models": []}]


def test_unknown_model_is_a_404(server: Ollama) -> None:
    for path in ("/api/generate", "/api/show", "/api/embed"):
        status, (answer,) = server.call("POST", path, {"model": "none", "prompt": "x", "input": "x", "stream": False})
        assert (status, answer) == (404, {"error": "model 'none:latest' not found"})
    assert server.call("POST", "/api/copy", {"source": "none", "destination": "x"})[0] == 404
    assert server.pull("none")[-1] == {"error": "pull model manifest: file does not exist"}


def test_wrong_blob_is_refused_and_nothing_is_listed(server: Ollama) -> None:
    assert server.pull("corrupt")[-1]["error"].startswith("digest mismatch")
    assert server.names() == set()


def test_foreign_host_header_is_refused(server: Ollama) -> None:
    assert server.call("GET", "/api/tags", Host="evil.example")[0] == 403
    assert server.call("GET", "/api/tags", Host="gateway.internal")[0] == 200


def test_commands_work_with_plain_names(server: Ollama) -> None:
    assert server.command("pull", "tiny").returncode == 0
    assert "tiny:latest" in server.command("list").stdout
    assert server.command("run", "tiny", "hi").stdout == f"{SENTENCE}\n"
    assert server.command("rm", "tiny").returncode == 0
    failed = server.command("pull", "corrupt")
    assert (failed.returncode, "digest mismatch" in failed.stderr) == (1, True)
    assert server.command("list", OLLAMA_HOST="127.0.0.1:1").returncode == 1


def test_without_its_library_folder_it_fails_as_the_real_one_does(
    server: Ollama, installed: Path, tmp_path: Path
) -> None:
    shutil.copytree(installed / "bin", tmp_path / "copy" / "bin")
    server.pull("tiny")
    port = free_port()
    alone = Ollama(tmp_path / "copy" / "bin" / "ollama", port, server.registry, server.home)
    environment = {**os.environ, **alone.environment()}
    command = [alone.program, "serve"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        for _ in range(100):
            try:
                body = {"model": f"{server.registry}/library/tiny", "prompt": "hi", "stream": False}
                status, (answer,) = alone.call("POST", "/api/generate", body)
                break
            except OSError:
                time.sleep(0.1)
        process.terminate()
    assert (status, "llama-server binary not found" in answer["error"]) == (500, True)
