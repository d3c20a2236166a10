"""The edge's certificate from an ACME authority: what is refused, when it is asked for, and where certbot listens."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploys.components import edge_acme
from deploys.components.edge import EDGE
from deploys.components.edge_settings import EdgeSettings
from tests.unit import certificates, site
from tests.unit.test_edge import ACME, wrong


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, ""),
        ({"edge_names": []}, "edge_names: an edge needs edge_names"),
        ({"edge_http_port": 0}, "edge_http_port: it is none, and the ACME authority asks at port 80"),
        ({"edge_names": ["a.example.org", "10.0.0.1"]}, "edge_names: 10.0.0.1 is an address, for which certbot of"),
        ({"edge_acme_authority": "/nowhere.pem"}, "edge_acme_authority: /nowhere.pem cannot be read: No such file"),
        ({"edge_acme_server": "acme.example.org"}, "edge_acme_server: must be an address that begins with http"),
        ({"edge_acme_email": "ops"}, "edge_acme_email: must be an address of mail"),
    ],
)
def test_what_an_acme_authority_could_not_do_is_refused(data: dict[str, Any], said: str) -> None:
    found = wrong(**{**ACME, **data})
    assert found == [] if not said else found[0].startswith(said), found


def test_a_certificate_is_asked_for_once_it_answers_and_only_when_it_is_not_there() -> None:
    (one,) = EDGE.provisions(site.whole(**ACME))
    assert "--server https://acme.example.org/dir" in one.command and "-d llm.example.org" in one.command
    assert "--email ops@example.org" in one.command
    assert EDGE.provisions(site.whole()) == [] and EDGE.extra_units(site.whole(**ACME)) == ["certbot.timer"]
    paths = {item.path for item in EDGE.files(site.whole(**ACME))}
    assert "/etc/haproxy/acme.pem" not in paths, "certbot writes it, and the next deploy must leave it alone"


@pytest.mark.parametrize(("port", "again"), [(8403, "--force-renewal"), (edge_acme.PORT, "--keep-until-expiring")])
def test_the_authority_is_answered_by_root_alone_also_when_it_is_renewed(tmp_path: Path, port: int, again: str) -> None:
    """Certbot renews as it was told when it asked: what an earlier run had it listen at would be asked no more."""
    assert edge_acme.PORT < 512, "anybody may listen from 1024 on, and RPC does from 512 on"
    (one,) = EDGE.provisions(site.whole(**ACME))
    (tmp_path / "renewal").mkdir()
    (tmp_path / "renewal" / "portcullis-edge.conf").write_text(
        f"server = {ACME['edge_acme_server']}\nhttp01_port = {port}\n"
    )
    for program, text in (("certbot", f'echo "$@" >{tmp_path}/asked'), ("hook", "true")):
        (tmp_path / program).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / program).chmod(0o755)
    command = one.command.replace("/etc/letsencrypt", str(tmp_path)).replace(edge_acme.HOOK, f"{tmp_path}/hook")
    subprocess.run(["sh", "-c", command], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)
    asked = (tmp_path / "asked").read_text().split()
    assert again in asked and asked[asked.index("--http-01-port") + 1] == str(edge_acme.PORT)


def kept(folder: Path, names: str, days: int = 90, since: int = 0) -> None:
    """A certificate as certbot keeps it and HAProxy has it, given ``since`` days ago."""
    live = folder / "live" / "portcullis-edge"
    live.mkdir(parents=True, exist_ok=True)
    (folder / "renewal").mkdir(exist_ok=True)
    (folder / "renewal" / "portcullis-edge.conf").write_text(
        f"server = {ACME['edge_acme_server']}\nhttp01_port = {edge_acme.PORT}\n"
    )
    certificate, key = certificates.authority().sign(names.split(), -since, days - since)
    (live / "fullchain.pem").write_text(certificate)
    (live / "privkey.pem").write_text(key)
    (folder / "acme.pem").write_text(certificate + key)


def holds(folder: Path, text: str) -> bool:
    text = text.replace("/etc/letsencrypt", str(folder)).replace(edge_acme.CERTIFICATE, f"{folder}/acme.pem")
    return subprocess.run(["sh", "-c", text], capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("names", "after", "served", "asked"),
    [
        ("a.example.org b.example.org", "true", "true", False),
        # A name less: it may lead elsewhere by now, and no renewal with it would be given.
        ("a.example.org b.example.org old.example.org", "true", "true", True),
        ("a.example.org", "true", "true", True),
        ("a.example.org b.example.org", "echo >>acme.pem", "true", True),
        ("a.example.org b.example.org", "rm live/portcullis-edge/privkey.pem", "true", True),
        ("a.example.org b.example.org", "true", "false", True),
    ],
)
def test_it_is_asked_for_again_unless_it_is_for_these_names_and_in_use(
    tmp_path: Path, names: str, after: str, served: str, asked: bool
) -> None:
    kept(tmp_path, names)
    subprocess.run(["sh", "-c", after], cwd=tmp_path, check=True)
    s: EdgeSettings = site.whole(**{**ACME, "edge_names": ["b.example.org", "a.example.org"]}).settings(EdgeSettings)
    (one,) = edge_acme.provisions(s, served)
    assert holds(tmp_path, one.test) is not asked


@pytest.mark.parametrize(
    ("days", "since", "good"),
    # Certbot 2.1 renews 30 days before the end, 4 at a third of the time.
    [(90, 59, True), (90, 77, False), (365, 334, True), (365, 352, False), (6, 4, True), (6, 6, False)],
)
def test_how_long_it_has_to_last_depends_on_how_long_it_was_given_for(
    tmp_path: Path, days: int, since: int, good: bool
) -> None:
    kept(tmp_path, "a.example.org", days, since)
    assert holds(tmp_path, edge_acme.lasting(14 * 86_400).command) is good
