"""A certificate from an ACME authority such as Let's Encrypt, asked for and renewed on the edge by certbot.

The authority asks at port 80, which is the edge's own; what it asks there goes to certbot, which listens on loopback
while it is asked. Until the first certificate is there the edge serves one that nobody has signed.
"""

from __future__ import annotations

from shlex import quote

from deploys import operations
from deploys.components.edge_settings import EdgeSettings, is_address
from deploys.lib import tls
from deploys.lib.component import ConfigFile, Here, Probe, Provision
from deploys.lib.programs import TOOLS
from deploys.lib.render import render

CERTIFICATE = "/etc/haproxy/acme.pem"
AUTHORITY = "/etc/haproxy/acme-authority.pem"
# Only root may listen there: whoever answers the authority gets a certificate. Below what RPC takes at random.
PORT = 403
LINEAGE = "portcullis-edge"
HOOK = f"{TOOLS}/edge-renewed"
TIMER = "certbot.timer"


def wanted(here: Here) -> bool:
    s: EdgeSettings = here.settings(EdgeSettings)
    return s.tls == "acme"


def install(here: Here) -> None:
    operations.packages(name="edge | Packages for ACME", names=["certbot", "openssl"])
    operations.step(
        name="edge | A certificate to begin with",
        key="edge-first-certificate",
        script=(
            "umask 077; folder=$(mktemp -d); trap 'rm -rf \"$folder\"' EXIT\n"
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=unsigned "
            '-keyout "$folder/key" -out "$folder/crt" 2>/dev/null\n'
            f'cat "$folder/crt" "$folder/key" >"$folder/pem"; chgrp haproxy "$folder/pem"; chmod 0640 "$folder/pem"\n'
            f'mv -fT "$folder/pem" {CERTIFICATE}\n'
        ),
        unless=f"[ -s {CERTIFICATE} ]",
    )


def files(s: EdgeSettings) -> list[ConfigFile]:
    hook = render("edge/edge-renewed.j2", s, certificate=CERTIFICATE)
    service = render("edge/certbot.conf.j2", s, authority=AUTHORITY)
    found = [
        ConfigFile(HOOK, hook, mode="0755", effect="none"),
        ConfigFile("/etc/systemd/system/certbot.service.d/portcullis.conf", service, effect="none"),
    ]
    if s.acme_authority:
        found.append(ConfigFile(AUTHORITY, tls.text_of(s.acme_authority), effect="none"))
    return found


def provisions(s: EdgeSettings, served: str) -> list[Provision]:
    """Asked for when the edge answers, because the authority will ask there.

    ``served`` is a shell command that is true when the edge answers with what is in its file.
    """
    conf = f"/etc/letsencrypt/renewal/{LINEAGE}.conf"
    # Which authority, and where certbot listens: what is not as wanted would be done as before when it is renewed.
    kept = (f"server = {s.acme_server}", f"http01_port = {PORT}")
    same = " && ".join(f"grep -qxF {quote(line)} {conf} 2>/dev/null" for line in kept)
    names = " ".join(f"-d {name}" for name in s.names)
    # These and no others: for a name that leads elsewhere by now no renewal would be given.
    its = f"openssl x509 -noout -ext subjectAltName -in {CERTIFICATE} | grep -o 'DNS:[^, ]*' | LC_ALL=C sort | xargs"
    has = f'[ "$({its})" = "{" ".join(sorted(f"DNS:{name}" for name in set(s.names)))}" ]'
    live = f"/etc/letsencrypt/live/{LINEAGE}"
    # Certbot runs its hook once, and what that could not do then would stay so.
    handed = f"cat {live}/fullchain.pem {live}/privkey.pem 2>/dev/null | cmp -s - {CERTIFICATE}"
    account = f"--email {quote(s.acme_email)}" if s.acme_email else "--register-unsafely-without-email"
    trust = f"REQUESTS_CA_BUNDLE={AUTHORITY} " if s.acme_authority else ""
    ask = (
        f"{trust}certbot certonly --non-interactive --agree-tos {account} --server {quote(s.acme_server)} "
        f"--standalone --preferred-challenges http --http-01-address 127.0.0.1 --http-01-port {PORT} "
        f"--key-type ecdsa --cert-name {LINEAGE} --renew-with-new-domains --deploy-hook {HOOK} {names}"
    )
    last = "grep -v -e '^ *$' -e '^- - ' -e ^Saving -e '^Ask for help' | tail -n 4"
    return [
        Provision(
            "Certificate from the ACME authority",
            f"{same} && openssl x509 -noout -checkend 0 -in {CERTIFICATE} >/dev/null && {has} && {handed} "
            f"&& {{ {served}; }}",
            # Made otherwise it is not yet due, but not wanted any more.
            f"{same} && again=--keep-until-expiring || again=--force-renewal; "
            f'said=$({ask} $again 2>&1) || {{ printf "%s\\n" "$said" | {last}; '
            f"echo 'the ACME authority gave no certificate; the edge goes on with the one it has'; exit 1; }}; "
            f"RENEWED_LINEAGE={live} {HOOK}",
        )
    ]


def lasting(seconds: int) -> Probe:
    """A probe of the certificate's end: ``seconds``, or less of one that was given for days only."""
    at = f'$(date -d "$(openssl x509 -noout -{{0}} -in {CERTIFICATE} | cut -d = -f 2)" +%s)'
    begin, end = at.format("startdate"), at.format("enddate")
    return Probe(
        "has a certificate that certbot has kept young",
        f'end={end}; left=$((end - $(date +%s))); echo "$((left / 3600)) hours left"; '
        # Certbot 4 renews at a third of the time; half of that is left when it has not come to it.
        f'enough=$(( (end - {begin}) / 6 )); [ "$enough" -lt {seconds} ] || enough={seconds}; '
        '[ "$left" -gt "$enough" ]',
    )


def probes() -> list[Probe]:
    return [
        Probe(
            "has its certificate renewed",
            f"systemctl is-active {TIMER} && [ -s /etc/letsencrypt/renewal/{LINEAGE}.conf ]",
        )
    ]


def problems(here: Here) -> list[str]:
    s: EdgeSettings = here.settings(EdgeSettings)
    if len(here.of("edge")) > 1:
        names = ", ".join(member.name for member in here.of("edge"))
        return [f"edge_tls: the ACME authority asks one host for a name, and there are {names}; give a certificate"]
    if s.http_port != 80:
        return [f"edge_http_port: it is {s.http_port or 'none'}, and the ACME authority asks at port 80"]
    if addresses := [name for name in s.names if is_address(name)]:
        return [f"edge_names: {addresses[0]} is an address, for which certbot of Debian asks no certificate"]
    if s.acme_authority:
        try:
            tls.check_file("ca", s.acme_authority)
        except tls.Unusable as wrong:
            return [f"edge_acme_authority: {wrong}"]
    return []
