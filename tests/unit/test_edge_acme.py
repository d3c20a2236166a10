"""The edge's certificate from an ACME authority: what is refused, when it is asked for, and where certbot listens."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploys.components import edge_acme
from deploys.components.edge import EDGE
from tests.unit import site
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
    assert "--email ops@example.org" in one.command and "-checkhost llm.example.org" in one.test
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
