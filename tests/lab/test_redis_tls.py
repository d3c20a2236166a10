"""A real LiteLLM and a real Redis that speaks TLS only: every client of LiteLLM's follows, and trusts nobody else."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from deploys.components.litellm import config as litellm_config
from deploys.components.litellm.config import SELFTEST
from deploys.components.redis import REDIS
from deploys.components.redis_tls import GATEWAY_AUTHORITY
from deploys.lib.component import ConfigFile, Here
from tests.lab.gateways import Gateway, running, until_alive
from tests.lab.real_litellm import NEEDED, PYTHON, environment
from tests.ports import free_port
from tests.unit import certificates, site
from tests.waiting import eventually

SERVER = shutil.which("redis-server")
LIMIT = 3  # requests a minute
pytestmark = [NEEDED, pytest.mark.skipif(not SERVER, reason="needs redis-server: apt-get install redis-server")]


@dataclass(frozen=True)
class Server:
    """A running Redis as Portcullis configures it, for gateways on this machine."""

    folder: Path
    settings: dict[str, Any]

    @property
    def here(self) -> Here:
        # As if Debian 12's Redis, which knows less; this machine's may be that or a later one.
        return site.single(release="12", litellm_enforce_model_rate_limits=True, **self.settings)

    @property
    def refused(self) -> list[str]:
        """Connections that came to nothing: whoever did not speak TLS, or did not trust the certificate."""
        lines = (self.folder / "log").read_text().splitlines()
        return [line for line in lines if "Error accepting a client connection" in line]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("redis")
    # At every address, so that it can be asked under one that is not in its certificate.
    made = Server(
        folder, {"redis_port": free_port(), "redis_bind": ["0.0.0.0"], **certificates.settings(folder, ["127.0.0.1"])}
    )
    for file in REDIS.files(made.here):
        if isinstance(file, ConfigFile) and file.path.startswith("/etc/redis/"):
            text = file.text.replace("/etc/redis", str(folder)).replace("/var/lib/redis", str(folder))
            (folder / Path(file.path).name).write_text(text.replace("/run/redis", str(folder)))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([str(SERVER), str(folder / "redis.conf"), "--supervised", "no"], stdout=log)
        try:
            for _ in range(100):
                if "eady to accept connections" in (text := (folder / "log").read_text()) or process.poll():
                    break
                time.sleep(0.1)
            assert process.poll() is None, text
            yield made
        finally:
            process.terminate()
            process.wait(30)


def compiled(here: Here, authority: str) -> tuple[dict[str, Any], dict[str, str]]:
    """What is rendered for a gateway of this site, without its database, and with one model, which has a limit."""
    config, variables = litellm_config.config(here), {}
    config["model_list"] = [entry for entry in config["model_list"] if entry["model_name"] == SELFTEST]
    limited = {**config["model_list"][0], "model_name": "limited", "model_info": {"id": "limited", "mode": "chat"}}
    limited["litellm_params"] = {**limited["litellm_params"], "rpm": LIMIT}
    config["model_list"].append(limited)
    if cache := config["litellm_settings"].get("cache_params"):
        cache["ssl_ca_certs"] = authority
    for name, value in litellm_config.environment(here).items():
        if name != "DATABASE_URL":
            text = value.get_secret_value() if isinstance(value, SecretStr) else value
            variables[name] = text.replace(GATEWAY_AUTHORITY, authority)
    return config, variables


@pytest.fixture(scope="module")
def gateways(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Gateway]]:
    """Two of one site; they know of each other through Redis alone."""
    folder = tmp_path_factory.mktemp("gateways")
    config, variables = compiled(server.here, str(server.folder / "ca.crt"))
    with running(config, variables, folder / "a", "") as one, running(config, variables, folder / "b", "") as other:
        for gateway in (one, other):
            until_alive(gateway)
        yield [one, other]


def test_an_answer_that_one_gateway_keeps_is_found_by_the_other(server: Server, gateways: list[Gateway]) -> None:
    for gateway in gateways:
        reply = gateway.ask("/cache/ping")
        assert reply.status == 200 and reply.json()["ping_response"] is True, reply

    def shared() -> bool:
        """Each time with a question of its own: one that was asked again too early has two answers for good."""
        text, seen = f"over TLS {uuid.uuid4()}", set()
        for number in range(4):
            seen.add(gateways[number % 2].chat(SELFTEST, text, cache={"use-cache": True}).json()["id"])
            time.sleep(0.5)  # an answer is kept after it was given
        return len(seen) == 1

    assert eventually(shared, 20)
    assert server.refused == [], "a client of theirs did without TLS, or with another authority"


def test_a_limit_is_one_for_both_gateways(server: Server, gateways: list[Gateway]) -> None:
    time.sleep(max(0.0, 61 - time.time() % 60) if time.time() % 60 > 40 else 0)
    statuses = [gateways[number % 2].chat("limited", str(number)).status for number in range(3 * LIMIT)]
    assert statuses.count(200) == LIMIT and set(statuses) == {200, 429}, statuses
    assert server.refused == []


CLIENT = """
import asyncio, json, sys
from litellm.proxy import proxy_server
for name, wanted in json.load(sys.stdin).items():
    async def ask():
        make = proxy_server._build_redis_usage_cache_from_environment
        cache = proxy_server.build_redis_usage_cache(wanted) if wanted else make()
        return [await cache.ping(), cache.redis_client.ping()]
    try:
        print(name, *asyncio.run(ask()))
    except Exception as error:
        print(name, type(error).__name__, error)
"""


def test_coordination_and_clients_of_the_environment_follow_and_a_stranger_is_refused(
    server: Server, tmp_path: Path
) -> None:
    """Both kinds of client of each, synchronous and not; in a process of their own, because LiteLLM reads it there."""
    off = site.single(release="12", litellm_cache_mode="off", **server.settings)
    block = dict(litellm_config.config(off)["general_settings"]["coordination_redis"])
    variables = compiled(off, str(server.folder / "ca.crt"))[1]
    strange = tmp_path / "ca.crt"
    strange.write_text(certificates.authority("somebody").text)
    # Another address of this host, for which the certificate is not.
    cases = {
        "coordination": {**block, "ssl_ca_certs": str(server.folder / "ca.crt")},
        "environment": None,
        "stranger": {**block, "ssl_ca_certs": str(strange)},
        "address": {**block, "ssl_ca_certs": str(server.folder / "ca.crt"), "host": "127.0.0.2"},
    }
    cases = {name: case and {k: resolved(v, variables) for k, v in case.items()} for name, case in cases.items()}
    done = subprocess.run(
        [PYTHON, "-c", CLIENT], input=json.dumps(cases), capture_output=True, text=True, timeout=120, cwd=tmp_path,
        env={**environment(tmp_path), **variables},
    )  # fmt: skip
    said = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    assert (said["coordination"], said["environment"]) == ("True True", "True True"), done.stderr[-2000:]
    assert "certificate verify failed" in said["stranger"] and "certificate verify failed" in said["address"], said


def resolved(value: object, variables: dict[str, str]) -> object:
    """A value of the rendered block as LiteLLM hands it on."""
    prefix = "os.environ/"
    return variables[value.removeprefix(prefix)] if isinstance(value, str) and value.startswith(prefix) else value
