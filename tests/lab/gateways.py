"""Gateways on this machine: real LiteLLM processes with configurations of ours, and what can be asked of them."""

from __future__ import annotations

import dataclasses
import json
import secrets
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from deploys.components.litellm import config as litellm_config
from deploys.components.litellm.component import LITELLM
from deploys.lib.component import Here
from tests.lab.doubles.provider import Double
from tests.lab.real_litellm import PYTHON, environment
from tests.ports import free_port
from tests.unit import site

# What a machine without PostgreSQL and Redis cannot have; the host tier proves the settings behind it.
AWAY = ("DATABASE_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_USERNAME", "REDIS_PASSWORD")
# The models of an Ollama host are entries of the catalogue like others, and would have to fit every set of settings.
NO_OLLAMA: dict[str, Any] = {"ollama_models": [], "ollama_embedding_models": [], "ollama_models_size_bytes": {}}


@dataclass(frozen=True)
class Reply:
    """An answer; headers by their names in small letters."""

    status: int
    text: str
    headers: Mapping[str, str]

    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Gateway:
    """A running LiteLLM and the double behind its models; its log is in the file ``output``."""

    url: str
    key: str
    double: str
    output: Path
    process: subprocess.Popen[bytes]

    def ask(self, path: str, body: Any = None, base: str = "", **headers: str) -> Reply:
        """Call the gateway (or ``base``) as administrator; ``headers`` with underscores for dashes."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json", **more}
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(
                urllib.request.Request((base or self.url) + path, data, sent), timeout=120
            ) as a:
                return Reply(a.status, a.read().decode(), {name.lower(): value for name, value in a.headers.items()})
        except urllib.error.HTTPError as error:
            with error:
                headers = {name.lower(): value for name, value in error.headers.items()}
                return Reply(error.code, error.read().decode(), headers)

    def chat(self, model: str, text: str = "ping", headers: Mapping[str, str] | None = None, **fields: Any) -> Reply:
        body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
        return self.ask("/v1/chat/completions", body, **(headers or {}))

    def reset(self) -> None:
        """Empty the double's log, and let its flaky models begin anew."""
        self.ask("/_reset", {}, self.double)

    def seen(self, *models: str, path: str = "") -> list[dict[str, Any]]:
        """What the double was sent since the last reset, of these models or to this path if one is given.

        Requests with a body only: LiteLLM also asks some servers for their list of models, at a time of its own.
        """
        records = [json.loads(line) for line in self.ask("/_log", base=self.double).text.splitlines()]
        posts = [record for record in records if record["method"] == "POST"]
        return [r for r in posts if (not models or r["model"] in models) and (not path or r["path"] == path)]

    def asked(self, *models: str) -> list[int]:
        """How often the double was asked for each of these models since the last reset."""
        return [len(self.seen(model)) for model in models]


@contextmanager
def playing(folder: Path) -> Iterator[str]:
    """The address of a double of all providers, on this machine."""
    with Double(("127.0.0.1", 0), folder / "log") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def compiled(values: Mapping[str, str], **settings: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """config.yaml and variables that Portcullis makes of ``settings``, refused ones refused, without the stores.

    ``values`` are secrets by the name of their variable. There is no database and no Redis on this machine: cached
    answers are off, so that what is missing are two addresses and nothing else. LiteLLM then counts in its memory.
    """

    def resolve(reference: str) -> SecretStr:
        name = reference.removeprefix("env:")
        return SecretStr(values[name]) if name in values else site.resolve(reference)

    named = {f"litellm_{name}": value for name, value in {"cache_mode": "off", **settings}.items()}
    data = dataclasses.replace(site.host("gateway.example.org", **NO_OLLAMA, **named), resolve=resolve)
    members = site.look(data)
    here = Here(members[0], members)
    assert LITELLM.problems(here) == []
    made = litellm_config.config(here)
    del made["general_settings"]["coordination_redis"]
    variables = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in litellm_config.environment(here).items()
        if name not in AWAY
    }
    return made, variables


@contextmanager
def running(config: Mapping[str, Any], variables: Mapping[str, str], folder: Path, double: str) -> Iterator[Gateway]:
    """A LiteLLM that has been started; whoever asks it first waits with ``until_alive``."""
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(dict(config), sort_keys=False))
    key, port = f"sk-{secrets.token_hex(32)}", free_port()
    command = [PYTHON, "-c", "from litellm import run_server; run_server()", "--config", "config.yaml"]
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            env={**environment(folder), **variables, "LITELLM_MASTER_KEY": key},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        made = Gateway(f"http://127.0.0.1:{port}", key, double, folder / "output", process)
        try:
            yield made
        finally:
            process.terminate()
            process.wait(30)


def until_alive(gateway: Gateway, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and gateway.process.poll() is None:
        try:
            if gateway.ask("/health/liveliness").status == 200:
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"LiteLLM did not start: {gateway.output.read_text()[-2000:]}")


@contextmanager
def fleet(
    folder: Path, sites: Mapping[str, Mapping[str, Any]], values: Mapping[str, str]
) -> Iterator[dict[str, Gateway]]:
    """Gateways by name, each with a double of its own, whose address is where settings and ``values`` have BASE.

    They start together: most of a start is importing LiteLLM, for which each uses one processor.
    """
    with ExitStack() as stack:
        started = {}
        for name, settings in sites.items():
            (room := folder / name).mkdir()
            double = stack.enter_context(playing(room))
            mine, known = json.loads(json.dumps([settings, values]).replace("BASE", double))
            config, variables = compiled(known, **mine)
            started[name] = stack.enter_context(running(config, variables, room, double))
        for gateway in started.values():
            until_alive(gateway)
        yield started


def together(calls: list[Callable[[], Any]], apart: float = 0) -> list[Any]:
    """What ``calls`` give when all are under way at the same time, each begun ``apart`` seconds after the last."""

    def later(number: int) -> Any:
        time.sleep(number * apart)
        return calls[number]()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(later, range(len(calls))))
