"""The edge: golden files, which paths are open and which requests are repeated, and what would let clients round it."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploys.components.edge import EDGE, gateways, problems
from deploys.components.health import HEALTH
from deploys.components.health_settings import STOPPING
from deploys.components.litellm.component import LITELLM
from deploys.components.litellm.runtime import stopping
from deploys.lib.settings import SettingsError
from tests.unit import certificates, golden, site

CONFIG = "etc__haproxy__haproxy.cfg"
PEM = "etc__haproxy__edge.pem"


ACME = {
    "edge_tls": "acme",
    "edge_acme_server": "https://acme.example.org/dir",
    "edge_acme_email": "ops@example.org",
    "edge_tls_certificate": None,
    "edge_tls_key": None,
}


def without_certificate(texts: dict[str, str]) -> dict[str, str]:
    """Everything but what is made anew for each run of the tests."""
    return {name: text for name, text in texts.items() if name != PEM}


def test_rendered_files(pytestconfig: pytest.Config) -> None:
    alone = without_certificate(golden.rendered(EDGE, site.whole()))
    spread = without_certificate(golden.rendered(EDGE, site.home(site.fronted(), "edge")))
    assert set(alone) == set(spread)
    differing = {f"{name}.split": text for name, text in spread.items() if text != alone[name]}
    asked = {
        f"{name}.acme": text
        for name, text in golden.rendered(EDGE, site.whole(**ACME)).items()
        if text != alone.get(name)
    }
    golden.compare(golden.FOLDER / "edge", {**alone, **differing, **asked}, pytestconfig)


def test_the_gateways_units_tell_an_edge_that_they_stop_where_there_is_another_gateway(
    pytestconfig: pytest.Config,
) -> None:
    fronted = site.place(site.fronted(), "gw-1")
    (unit,) = [item.text for item in LITELLM.files(fronted) if item.path.endswith("/litellm.service")]
    (told,) = [item.text for item in HEALTH.files(fronted) if item.path.endswith("/health.json")]
    path = "/run/portcullis-health/stopping"
    assert f"mkdir {path}; sleep 4" in unit and f"ExecStopPost=-+/bin/rm -df {path}" in unit
    assert f'"stopping_file": "{path}"' in told
    for here in (site.whole(), site.place(site.split(), "gw-1")):
        assert not [item.path for item in (*LITELLM.files(here), *HEALTH.files(here)) if path in item.text]


@pytest.mark.parametrize("planted", ["", "link", "file"])
def test_root_follows_nothing_that_the_health_apps_user_has_put_there(tmp_path: Path, planted: str) -> None:
    victim, told = tmp_path / "victim", tmp_path / "stopping"
    if planted == "link":
        told.symlink_to(victim)
    elif planted == "file":
        told.touch()
    before, after = (
        # As systemd reads them: a name for all rights, and a list of words.
        shlex.split(line.lstrip("-+").replace(STOPPING, str(told)).replace("sleep 4", "true"))
        for line in stopping(site.place(site.fronted(), "gw-1"))
    )
    subprocess.run(before, env={"MAINPID": "1", "PATH": "/usr/bin:/bin"}, check=True, capture_output=True)
    assert told.is_symlink() or told.exists()
    subprocess.run(after, check=True)
    assert list(tmp_path.iterdir()) == []
    subprocess.run(before, env={"MAINPID": "", "PATH": "/usr/bin:/bin"}, check=True)
    assert list(tmp_path.iterdir()) == [], "one that ended by itself has nobody to send elsewhere"


def test_in_a_container_too() -> None:
    here = site.place(site.fronted(runtime="compose"), "gw-1")
    (unit,) = [item.text for item in LITELLM.files(here) if item.path.endswith("/litellm.service")]
    first, second = re.findall(r"^ExecStop=(.*)$", unit, re.MULTILINE)
    assert "sleep 4" in first and "docker stop" in second


def test_gateways_are_reached_where_they_are() -> None:
    assert [(one.address, one.port) for one in gateways(site.whole())] == [("127.0.0.1", 4100)]
    found = gateways(site.home(site.fronted(), "edge"))
    assert [(one.name, one.address) for one in found] == [("gw-1", "192.0.2.21"), ("gw-2", "192.0.2.22")]


def wrong(**data: Any) -> list[str]:
    try:
        site.whole(**data)
    except SettingsError as error:
        return [one.removeprefix("gateway.example.org: ") for one in error.problems]
    return []


def test_a_sound_edge_has_no_problems() -> None:
    assert wrong() == []
    assert problems(site.home(site.fronted(), "edge")) == []


def test_an_edge_without_name_or_certificate_is_refused() -> None:
    none = {"edge_names": [], "edge_tls_certificate": None, "edge_tls_key": None}
    assert wrong(**none) == ["edge_names: an edge needs edge_names, edge_tls_certificate, edge_tls_key"]
    assert wrong(edge_tls_certificate=None) == ["edge_tls_certificate: an edge needs edge_tls_certificate"]


def test_a_certificate_that_clients_would_refuse_is_refused_first(tmp_path: Path) -> None:
    other = wrong(edge_names=["other.example.org"])
    assert other == [
        "edge_tls_certificate: is not for other.example.org; its subjectAltName must have DNS:other.example.org"
    ]
    another = certificates.edge(tmp_path)["edge_tls_key"]
    assert wrong(edge_tls_key=another) == ["edge_tls_key: is not the key of the certificate"]
    assert wrong(edge_tls_ca=None) == [
        "edge_tls_ca: has not signed the certificate; give the root, and what is between the two below the certificate"
    ]


def test_what_is_between_root_and_certificate_has_to_come_from_the_edge(tmp_path: Path) -> None:
    """Many authorities give one file with both. Clients that know the root alone would refuse what is served."""
    root, between = certificates.authority("root"), certificates.authority("between")
    crossed = root.vouch(between)
    data = certificates.edge(tmp_path, above=between)
    alone = Path(str(data["edge_tls_certificate"])).read_text()
    (tmp_path / "edge-ca.crt").write_text(root.text + crossed)
    (refused,) = wrong(**data)
    assert refused.startswith("edge_tls_ca: has not signed the certificate; give the root, and what is between the two")
    (tmp_path / "edge.crt").write_text(alone + crossed)
    assert wrong(**data) == []
    (tmp_path / "edge-ca.crt").write_text(crossed)
    (refused,) = wrong(**data)
    assert refused.startswith(f"edge_tls_ca: {tmp_path}/edge-ca.crt has no root")
    (tmp_path / "edge-ca.crt").write_text(
        root.text.replace("BEGIN CERT", "BEGIN TRUSTED CERT").replace("END CERT", "END TRUSTED CERT")
    )
    (refused,) = wrong(**data)
    assert refused.startswith("edge_tls_ca: ")


def test_a_site_makes_its_own_certificate_the_same_on_every_run() -> None:
    data = {"edge_tls": "site", "edge_tls_certificate": None, "edge_tls_key": None, "edge_tls_ca": None}
    assert wrong(**data) == []
    first, again = (site.by_path(EDGE, site.whole(**data)) for _ in range(2))
    assert first["/etc/haproxy/edge.pem"].text == again["/etc/haproxy/edge.pem"].text
    assert first["/etc/haproxy/edge.pem"].secret and "PRIVATE KEY" not in first["/etc/haproxy/edge-ca.crt"].text
    other = {**data, "edge_names": ["other.example.org"]}
    assert site.by_path(EDGE, site.whole(**other))["/etc/haproxy/edge.pem"].text != first["/etc/haproxy/edge.pem"].text
    both = {**data, "edge_tls_secret_before": "env:SITE_TLS_SECRET"}
    assert wrong(**both) == ["edge_tls_secret_before: is edge_tls_secret itself; remove it"]
    assert "authority that clients must trust" in " ".join(EDGE.hints(site.whole(**data)))


def test_nobody_may_get_round_it() -> None:
    (said,) = wrong(litellm_listen="0.0.0.0")
    assert said.startswith("litellm_listen: on gateway.example.org it is 0.0.0.0, so whoever reaches that host gets")
    assert "set it to 127.0.0.1, or" in said
    closed = {"firewall_ingress": "needed", "firewall_operator_networks": ["10.0.0.0/8"]}
    assert wrong(litellm_listen="0.0.0.0", **closed) == []


def test_it_must_reach_the_gateways_and_their_health_apps() -> None:
    with pytest.raises(SettingsError) as caught:
        site.fronted(health_listen="127.0.0.1")
    assert caught.value.problems == [
        f"front: health_listen: on {name} it is 127.0.0.1, and the edge on front asks it at {address}"
        for name, address in (("gw-1", "192.0.2.21"), ("gw-2", "192.0.2.22"))
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"edge_names": ["LLM.example.org"]}, "edge_names[0]: must be a host name in small letters, or an IP address"),
        ({"edge_names": ["10.0.0.300"]}, "edge_names[0]: '10.0.0.300' is neither a host name nor an IP address"),
        ({"edge_names": ["a.b", "a.b"]}, "edge_names: has a name twice"),
        ({"edge_http_port": 443}, "edge: edge_http_port: 443 is edge_port as well; give it another, or 0 for none"),
        ({"edge_extra_paths": ["gemini"]}, "edge_extra_paths[0]: must be a path that begins with /, of letters"),
        ({"edge_paths": ["chats"]}, "edge_paths[0]: Input should be 'models', 'chat'"),
        ({"edge_operator_networks": ["10.0.0.1/8"]}, "edge_operator_networks[0]: '10.0.0.1/8' is not a network"),
        ({"edge_tls_key": "secret"}, "edge_tls_key: "),
    ],
)
def test_wrong_settings_are_refused_by_name(data: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        site.whole(**data)
    assert caught.value.problems[0].startswith(f"gateway.example.org: {said}"), caught.value.problems


def test_it_is_asked_for_what_its_settings_leave_open() -> None:
    def closed(**data: Any) -> str:
        here = site.whole(**data)
        (probe,) = [one for one in EDGE.probes(here) if one.name.startswith("keeps what is for operators")] or [None]
        return probe.command if probe else ""

    assert '"$said" = 401' in EDGE.ready(site.whole())
    assert '"$said" = 403' in EDGE.ready(site.whole(edge_paths=["chat"]))
    assert '"$said" = 401' in EDGE.ready(site.whole(edge_paths=["chat"], edge_operator_networks=["127.0.0.0/8"]))
    assert "/metrics" in closed() and "/metrics" not in closed(edge_extra_paths=["/metrics"])
    assert not closed(edge_listen="10.0.0.5", edge_operator_networks=["10.0.0.0/24"])


def test_settings_reach_the_configuration() -> None:
    def text(**data: Any) -> str:
        return golden.rendered(EDGE, site.whole(**data))[CONFIG]

    assert "acl operator always_false" in text()
    assert "acl operator src 10.0.0.0/8 fd00::/8" in text(edge_operator_networks=["10.0.0.0/8", "fd00::/8"])
    assert "ssl-min-ver TLSv1.3" in text(edge_minimum_tls="1.3")
    assert "strict-transport-security" not in text(edge_hsts_seconds=0)
    assert "frontend plain" not in text(edge_http_port=0)
    assert "gt 1048576 }" in text(edge_max_body_mb=1)
    assert "sc_http_req_rate" not in text(edge_requests_per_minute=0)
    unbounded = text(edge_connections_per_address=0)
    assert "sc_conn_cur(0)" not in unbounded and "requests_of_address" not in unbounded
    assert "retries 77" in text(edge_hold_seconds=77)
    assert "repeatable.paths" not in text(edge_repeat=False)
    assert "log-format" not in text(edge_log=False)
    assert "bind :::443 ssl" in text(edge_listen="::") and "v4v6" in text(edge_listen="::")
    assert "timeout server 777s" in text(
        litellm_proxy_read_timeout=777, litellm_request_timeout=100, litellm_stream_timeout=100
    )
