"""TLS between gateways and Redis: what each side gets, that every client follows, and where no key is."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from portcullis_health.config import parse
from portcullis_health.stores import RedisProbe

from deploys.auditing import hostside
from deploys.components import COMPONENTS, redis_tls
from deploys.components.health import HEALTH
from deploys.components.litellm import config as litellm_config
from deploys.components.litellm.component import LITELLM
from deploys.components.litellm.known import unknown_to
from deploys.components.redis import REDIS
from deploys.lib.component import ConfigFile, Here
from tests.unit import certificates, site
from tests.unit.test_health_app_stores import RedisServer
from tests.unit.test_health_app_support import SECRETS


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Any]:
    """Settings of one host whose gateway and Redis speak TLS."""
    return certificates.settings(tmp_path, ["127.0.0.1"])


def test_without_tls_its_files_are_not_even_opened(data: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "redis.crt").unlink()
    (tmp_path / "ca.crt").unlink()
    here = site.single(**{**data, "redis_tls": False})
    plain = site.single()
    for component in (REDIS, LITELLM, HEALTH):
        assert component.files(here) == component.files(plain)
        assert component.check(here) == component.check(plain) and component.probes(here) == component.probes(plain)


def by_path(component: Any, here: Here) -> dict[str, ConfigFile]:
    return {item.path: item for item in component.files(here) if isinstance(item, ConfigFile)}


def test_files_have_the_modes_they_need_and_only_the_key_is_secret(data: dict[str, Any]) -> None:
    here = site.single(**data)
    made = by_path(REDIS, here)
    shown = [(f.mode, f.user, f.group, f.effect, f.secret) for f in (made[redis_tls.CERTIFICATE], made[redis_tls.KEY])]
    assert shown == [("0640", "root", "redis", "restart", False), ("0600", "redis", "redis", "restart", True)]
    key = Path(data["redis_tls_key"].removeprefix("file:")).read_text()
    assert made[redis_tls.KEY].text == key
    ca = Path(str(data["redis_tls_ca"])).read_text()
    for file in (
        made[redis_tls.AUTHORITY],
        by_path(LITELLM, here)[redis_tls.GATEWAY_AUTHORITY],
        by_path(HEALTH, here)[redis_tls.HEALTH_AUTHORITY],
    ):
        # A service reads it when it starts, and never again.
        assert (file.text, file.mode, file.effect, file.secret) == (ca, "0644", "restart", False)


@pytest.fixture
def places(tmp_path: Path) -> Iterator[list[Here]]:
    alone = site.single(**certificates.settings(tmp_path, ["127.0.0.1"]))
    spread = site.split(**certificates.settings(tmp_path, ["192.0.2.11"]))
    yield [alone, *(Here(member, spread) for member in spread)]


def test_no_line_of_the_key_is_outside_of_its_file(places: list[Here], monkeypatch: pytest.MonkeyPatch) -> None:
    lines: set[str] = set()
    for here in places:
        settings = here.of("redis")[0].settings["redis"]
        text = settings.tls_key.get_secret_value()  # type: ignore[attr-defined]
        lines |= {line for line in text.splitlines() if "PRIVATE" not in line}
    assert len(lines) > 3
    for here in places:
        for component in COMPONENTS:
            if not here.member.has(component.name):
                continue
            texts = site.shown(component, here, monkeypatch, lambda path: path == redis_tls.KEY)
            assert not [text for text in texts for line in lines if line in text], component.name


def test_every_question_to_redis_speaks_tls(places: list[Here]) -> None:
    for here in places[:3]:
        if not here.member.has("redis"):
            continue
        commands = [
            REDIS.ready(here),
            *(p.command for p in REDIS.probes(here) if p.name != "refuses a client without TLS"),
        ]
        asked = [command for command in commands if "redis-cli" in command]
        assert len(asked) == 4
        assert all("redis-cli --tls --cacert /etc/redis/tls-ca.crt -h " in command for command in asked), asked
        for text in [*commands, "\n".join(REDIS.check(here)), "\n".join(LITELLM.check(places[0]))]:
            assert subprocess.run(["sh", "-n"], input=text, text=True).returncode == 0


@pytest.mark.parametrize("mode", ["default_off", "off"])
def test_the_installed_release_reads_every_key_for_tls(mode: str, data: dict[str, Any]) -> None:
    config = litellm_config.config(site.single(litellm_cache_mode=mode, **data))
    off = mode == "off"
    block = config["general_settings"]["coordination_redis"] if off else config["litellm_settings"]["cache_params"]
    assert {key: value for key, value in block.items() if key.startswith("ssl")} == {
        "ssl": True,
        "ssl_ca_certs": redis_tls.GATEWAY_AUTHORITY,
        "ssl_check_hostname": True,
    }
    assert unknown_to("1.106.2", config) == []
    block["ssl_ca_cert"] = "x"
    assert len(unknown_to("1.106.2", config)) == 1


def test_a_gateway_does_not_come_to_tls_while_its_redis_does_not(data: dict[str, Any], tmp_path: Path) -> None:
    here = site.single(**data)
    command = next(line for line in LITELLM.check(here) if "s_client" in line)
    stub = tmp_path / "openssl"
    why = "Redis at 127.0.0.1 port 6379 does not answer with a certificate that redis_tls_ca has signed\n"
    for status, said in ((0, ""), (1, why)):
        stub.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >{shlex.quote(str(tmp_path))}/asked\nexit {status}\n')
        stub.chmod(0o755)
        path = f"{tmp_path}:{os.environ['PATH']}"
        done = subprocess.run(["sh", "-c", command], env={"PATH": path}, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (status, said)
    words = (tmp_path / "asked").read_text()
    assert words == (
        "s_client -connect 127.0.0.1:6379 -CAfile /etc/litellm/redis-ca.crt -verify_return_error -verify_ip 127.0.0.1\n"
    )


def serving(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "redis.crt", folder / "redis.key")
    return context


def test_the_health_app_takes_its_configuration_and_trusts_that_authority_alone(
    data: dict[str, Any], tmp_path: Path
) -> None:
    parsed = parse(json.loads(by_path(HEALTH, site.single(**data))["/etc/portcullis/health.json"].text), "x").redis
    assert parsed is not None and parsed.tls and parsed.ca_file == redis_tls.HEALTH_AUTHORITY
    strange = tmp_path / "strange.crt"
    strange.write_text(certificates.authority("somebody").text)

    async def scenario() -> None:
        async with await asyncio.start_server(RedisServer(), "127.0.0.1", 0, ssl=serving(tmp_path)) as server:
            port = server.sockets[0].getsockname()[1]
            for authority, detail in ((data["redis_tls_ca"], "Redis answers"), (strange, "Redis: the TLS certificate")):
                where = replace(parsed, port=port, ca_file=str(authority))
                probe = RedisProbe(where, SECRETS.redis, 2.0)
                finding = await probe.probe()
                assert finding.detail.startswith(detail), finding
                await probe.close()

    asyncio.run(scenario())


def test_the_audit_asks_such_a_redis_for_its_policy_too(data: dict[str, Any], tmp_path: Path) -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for _ in range(2):
                with suppress(OSError), serving(tmp_path).wrap_socket(listening.accept()[0], server_side=True) as link:
                    heard.append(link.recv(4096))
                    link.sendall(b"$30\r\n# Memory\r\nmaxmemory_policy:allkeys-lru\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        where = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(listening.getsockname()[1]), "REDIS_SSL": "True"}
        assert hostside.redis_policy({**where, "REDIS_SSL_CA_CERTS": data["redis_tls_ca"]}) == "allkeys-lru"
        assert hostside.redis_policy(where) == "", "this machine does not trust it"
        thread.join()
    assert len(heard) == 1 and b"INFO" in heard[0]
