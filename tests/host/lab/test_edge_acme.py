"""A certificate from an ACME authority: asked for by a deploy, served, renewed without anybody, and given up again."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from deploys.components import edge_acme
from tests.host.lab.conftest import Deployed
from tests.host.support_edge import front, gateways
from tests.host.support_lab import SITE, VERIFY, run, until
from tests.unit import certificates

NAME = "llm.lab.example.org"
PORT = 14000


def certificate_of(address: str) -> tuple[str, str]:
    """Issuer and serial number of what is served at ``address`` for the name, whoever has signed it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((address, 443), 10) as raw, context.wrap_socket(raw, server_hostname=NAME) as secure:
        der = secure.getpeercert(binary_form=True)

    assert der
    found = x509.load_der_x509_certificate(der)
    return found.issuer.rfc4514_string(), str(found.serial_number)


@pytest.fixture(scope="module")
def authority(fronted: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """Let's Encrypt's own test authority, Debian's package, beside a gateway; settings that lead to it."""
    server, folder = gateways(fronted)[0], tmp_path_factory.mktemp("acme")
    above = certificates.authority()
    certificate, key = above.sign([server.address])
    (folder / "root.pem").write_text(above.text)
    config = {
        "pebble": {
            "listenAddress": f"0.0.0.0:{PORT}", "managementListenAddress": "127.0.0.1:15000",
            "certificate": "/root/pebble.crt", "privateKey": "/root/pebble.key",
            "httpPort": 80, "tlsPort": 443, "ocspResponderURL": "",
        }
    }  # fmt: skip
    files = {"/root/pebble.crt": certificate, "/root/pebble.key": key, "/root/pebble.json": json.dumps(config)}
    for path, text in files.items():
        server.out(f"umask 077; cat >{path} <<'END-OF-FILE'\n{text}\nEND-OF-FILE")
    server.out("apt-get -qq -o DPkg::Lock::Timeout=60 install -y pebble >/dev/null 2>&1", 300)
    server.out(f"echo '{front(fronted).address} {NAME}' >>/etc/hosts")
    server.out(
        "systemd-run --quiet --collect --unit=lab-pebble -E PEBBLE_VA_NOSLEEP=1 -E PEBBLE_WFE_NONCEREJECT=0 "
        "pebble -config /root/pebble.json"
    )
    ask = f"curl -fsSk --noproxy '*' --max-time 5 https://{server.address}:{PORT}/dir"
    until(lambda: server.sh(ask).status == 0, 30, "the authority answers")
    yield {
        "edge_tls": "acme",
        "edge_names": [NAME],
        "edge_acme_server": f"https://{server.address}:{PORT}/dir",
        "edge_acme_email": "ops@example.org",
        "edge_acme_authority": str(folder / "root.pem"),
    }
    server.sh("systemctl stop lab-pebble; rm -f /root/pebble.*; sed -i '/lab.example.org/d' /etc/hosts")


def test_a_deploy_asks_for_a_certificate_and_serves_it(fronted: Deployed, authority: dict[str, object]) -> None:
    edge = front(fronted)
    done = run(fronted.name, SITE, **authority)
    assert done.status == 0, done.problem
    issuer, _ = certificate_of(edge.address)
    assert "Pebble" in issuer, issuer
    assert edge.out(f"stat -c '%a %U %G' {edge_acme.CERTIFICATE}") == "640 root haproxy"
    again = run(fronted.name, SITE, **authority)
    assert again.totals["no_change"] == again.totals["hosts"] > 0, again.problem
    verified = run(fronted.name, VERIFY, **authority)
    assert verified.status == 0, verified.problem


def test_it_is_renewed_and_served_without_anybody(fronted: Deployed, authority: dict[str, object]) -> None:
    edge = front(fronted)
    _, before = certificate_of(edge.address)
    # As the timer does it, but that it is due: with the environment and the sandbox of its unit.
    edge.out("sed -i '1i renew_before_expiry = 20000 days' /etc/letsencrypt/renewal/portcullis-edge.conf")
    edge.out("systemctl start certbot.service", 180)
    until(lambda: certificate_of(edge.address)[1] != before, 15, "the new one is served")
    edge.out("sed -i '/^renew_before_expiry = 20000/d' /etc/letsencrypt/renewal/portcullis-edge.conf")


def test_without_the_authority_the_edge_goes_on_with_what_it_has(
    fronted: Deployed, authority: dict[str, object]
) -> None:
    edge = front(fronted)
    _, before = certificate_of(edge.address)
    nowhere = {**authority, "edge_acme_server": f"https://{gateways(fronted)[0].address}:1/dir"}
    done = run(fronted.name, SITE, **nowhere)
    assert done.status == 1 and "the ACME authority gave no certificate" in done.log, done.problem
    assert certificate_of(edge.address)[1] == before


def test_a_given_one_takes_its_place_again(fronted: Deployed, authority: dict[str, object]) -> None:
    done = run(fronted.name, SITE)
    assert done.status == 0, done.problem
    issuer, _ = certificate_of(front(fronted).address)
    assert "Pebble" not in issuer
    assert Path(edge_acme.CERTIFICATE).name not in front(fronted).out("cat /etc/haproxy/haproxy.cfg")
