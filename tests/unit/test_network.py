"""What is asked over a network: own services past any proxy, and no download that can hang for ever."""

from __future__ import annotations

import http.server
import importlib
import ipaddress
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploys.components import COMPONENTS
from deploys.components.health import HEALTH
from deploys.facts import Release
from deploys.lib.component import Component, Here
from deploys.lib.network import routable
from deploys.lib.render import ROOT
from scripts import demo
from tests.host import support_watch
from tests.local_server import serving
from tests.unit import site
from tests.unit.test_declared import shells

EACH = pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
# A curl and its arguments, up to where another command begins.
CURLS = re.compile(r"\bcurl [^|;&\n]*")


@EACH
def test_own_services_are_not_asked_through_a_proxy(component: Component, monkeypatch: pytest.MonkeyPatch) -> None:
    # pyinfra's commands and our steps have the proxy variables of the host's /etc/environment.
    for here in (site.having(component), site.home(site.fronted(), component.name)):
        for where, text in shells(component, here, site.recorded(component, here, monkeypatch)):
            for curl in CURLS.findall(text):
                if re.search(r"127\.0\.0\.1|\[::1\]|192\.0\.2\.", curl):
                    assert "--noproxy '*'" in curl, f"{where}: {curl}"


def test_the_health_app_is_asked_at_its_own_address() -> None:
    here = site.single()
    asked = [HEALTH.ready(here), *(probe.command for probe in HEALTH.probes(here))]
    assert len(asked) > 3 and all("127.0.0.1:4001" in curl for text in asked for curl in CURLS.findall(text))


@EACH
def test_every_download_is_given_up_when_it_no_longer_gets_on(
    component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = site.having(component)
    for where, text in shells(component, here, site.recorded(component, here, monkeypatch)):
        if not where.startswith("step "):
            continue  # a question has a limit of its own
        limits = re.findall(r'^limits="(.*)"$', text, re.MULTILINE)
        for curl in CURLS.findall(text):
            if "--noproxy" not in curl and ("://" in curl or "$" in curl):
                told = curl.replace("$limits", limits[0] if limits else "")
                slow = re.search(r"--connect-timeout \d+ --speed-limit \d+ --speed-time \d+", told)
                assert "--max-time" in told or slow, f"{where}: {curl}"


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *words: object) -> None:
        """Nothing: the output is for failures."""


@pytest.fixture
def behind_a_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server on this machine, whose environment names a proxy that cannot reach it."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with serving(Answers) as address:
        yield f"http://{address}"


def test_the_demo_reaches_its_host_past_the_proxy(behind_a_proxy: str) -> None:
    importlib.reload(demo)  # as started where the proxy is set
    assert demo.ask(behind_a_proxy, "/", "key") == {}
    text = (ROOT / "scripts" / "demo.py").read_text()
    assert demo.CURL == "curl --noproxy '*'" and not re.search(r"^ *curl ", text, re.MULTILINE), "also to paste"


def test_a_host_under_test_is_watched_past_the_proxy(behind_a_proxy: str) -> None:
    counted = threading.Event()
    with support_watch.polling({"it": behind_a_proxy}, every=0.01) as failures:
        counted.wait(0.2)
    assert failures == {"it": []}


def allows(networks: list[str], address: str) -> bool:
    asked = ipaddress.ip_address(address)
    return any(asked in ipaddress.ip_network(one) for line in networks for one in line.split())


def test_services_have_to_do_with_everybody_but_the_address_that_gives_credentials_away() -> None:
    found = routable(site.single())
    for address in (
        "0.0.0.0",
        "10.0.0.1",
        "127.0.0.1",
        "169.253.255.255",
        "169.255.0.0",
        "223.255.255.255",
        "240.0.0.1",
    ):
        assert allows(found, address), address
    for address in ("::1", "2001:db8::1", "fd00::1", "fe7f::1", "fec0::1", "feff:ffff::1"):
        assert allows(found, address), address
    for address in (
        "169.254.0.0",
        "169.254.169.254",
        "224.0.0.251",
        "239.255.255.255",
        "fe80::1",
        "febf::1",
        "ff02::fb",
    ):
        assert not allows(found, address), address


def test_of_a_links_own_addresses_those_that_a_host_needs_are_open() -> None:
    """Some clouds have their name server there; without it the gateway would find nobody."""
    servers = ("169.254.169.254", "fe80::1%eth0", "10.0.0.2")
    named = {"litellm_otel_endpoint": "http://169.254.7.7:4318", "private_address": "169.254.1.2"}
    member = replace(site.host("gw", **named), name_servers=lambda: servers)
    (found,) = site.look(member)
    networks = routable(Here(found, (found,)))
    for address in ("169.254.169.254", "fe80::1", "169.254.7.7", "169.254.1.2"):
        assert allows(networks, address), address
    assert not allows(networks, "169.254.169.253") and not allows(networks, "fe80::2")
    assert networks[-1] == "169.254.1.2 169.254.169.254 169.254.7.7 fe80::1"
    unit = next(file.text for file in HEALTH.files(Here(found, (found,))) if file.path.endswith(".service"))
    assert f"\nIPAddressDeny=any\n{''.join(f'IPAddressAllow={line}{chr(10)}' for line in networks)}" in unit


def test_a_hosts_name_servers_are_asked_with_its_release(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("# ours\nsearch example.org\nnameserver 10.0.0.2\nnameserver  fe80::1%eth0\n")
    for file, said in (("resolv.conf", "10.0.0.2 fe80::1%eth0"), ("none", "")):
        command = Release().command().replace("/etc/resolv.conf", str(tmp_path / file))
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
        assert Release().process(done.stdout.splitlines())["NAME_SERVERS"] == said
