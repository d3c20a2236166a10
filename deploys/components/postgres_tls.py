"""TLS between gateways and PostgreSQL: files on each side, what clients are told, and what is asked of both.

Over loopback too: one rule and one form of address for every site, and a program that takes the port while PostgreSQL
is away gets no client to prove a password to it.
"""

from __future__ import annotations

from shlex import quote
from urllib.parse import urlencode

from deploys.components import transport
from deploys.components.postgres_install import as_postgres, cluster
from deploys.components.postgres_settings import PostgresSettings
from deploys.lib import tls
from deploys.lib.component import ConfigFile, Effect, Here, Member, Probe
from deploys.lib.render import render

# Where clients have what is above the certificate; they are often on another host.
GATEWAY_AUTHORITY = "/etc/litellm/postgres-ca.crt"
HEALTH_AUTHORITY = "/etc/portcullis/postgres-ca.crt"
# The same during a rehearsal, which comes before any file of the gateway's.
REHEARSAL_AUTHORITY = "/run/portcullis-rehearsal-ca.crt"
# Lines of postgresql.conf that are Portcullis' while PostgreSQL speaks TLS, and anybody's otherwise.
USE = "use postgres_tls and what belongs to it"
KEPT = {
    "ssl": USE,
    "ssl_cert_file": USE,
    "ssl_key_file": USE,
    "ssl_passphrase_command": USE,
    "ssl_min_protocol_version": USE,
    "ssl_max_protocol_version": USE,
}


def paths(here: Here) -> tuple[str, str, str]:
    """Certificate, key and authority on the database's host."""
    folder = cluster(here)
    return f"{folder}/tls.crt", f"{folder}/tls.key", f"{folder}/tls-ca.crt"


def files(here: Here) -> list[ConfigFile]:
    """What PostgreSQL serves with, and what is above it for questions on its own host."""
    s: PostgresSettings = here.settings(PostgresSettings)
    if not s.secured:
        return []
    made = transport.identity(s, "postgres", here.member)
    certificate, key, above = paths(here)
    text = render("postgres/tls.key.j2", s, key=made.key)
    # Read again at a reload: whoever is connected stays so, and only who comes sees the new one.
    return [
        ConfigFile(certificate, made.certificate, user="postgres", group="postgres", effect="reload"),
        ConfigFile(key, text, "0600", "postgres", "postgres", effect="reload", secret=True),
        authority(s, here.member, above, effect="none"),
    ]


def authority(s: PostgresSettings, member: Member, path: str, effect: Effect = "restart") -> ConfigFile:
    """What a client must find above the certificate of the PostgreSQL on ``member``, as a file at ``path``."""
    return ConfigFile(path, transport.identity(s, "postgres", member).authority, effect=effect)


def options(s: PostgresSettings) -> str:
    """The end of the database's address for a gateway, in libpq's words.

    LiteLLM says them to Prisma, who knows none of these two, as ``sslcert`` and ``sslaccept=strict``, which look at the
    authority and at the address (translate_libpq_ssl_params in litellm/proxy/db/db_url_settings.py). Prisma's own words
    here would end psycopg, which LiteLLM's index build, our rehearsal and our questions use.
    """
    return "?" + urlencode({"sslmode": "verify-full", "sslrootcert": GATEWAY_AUTHORITY}, safe="/") if s.secured else ""


def pinned(s: PostgresSettings) -> str:
    """What a gateway has to start anew for: the certificate, where what it trusts are several authorities.

    Prisma takes one, and LiteLLM picks the one that is above the certificate when it starts (pin_bundle_root).
    """
    if s.tls != "given" or not s.tls_certificate or not s.tls_ca:
        return ""
    several = tls.text_of(s.tls_ca).count("-----BEGIN CERTIFICATE-----") > 1
    return tls.text_of(s.tls_certificate) if several else ""


def problems(here: Here) -> list[str]:
    """Why gateways would refuse this PostgreSQL, or it its key; asked before anything is changed on any host."""
    return transport.problems(here.settings(PostgresSettings), "postgres_", here)


def check(s: PostgresSettings, address: str) -> str:
    """A shell command for a gateway that is true when PostgreSQL at ``address`` has a certificate it will accept.

    PostgreSQL's own part of the same run may have failed: then a gateway that came to insist on it would be without.
    """
    said = (
        f"PostgreSQL at {address} port {s.port} does not answer with a certificate that "
        f"{transport.signed_by(s, 'postgres_')} has signed"
    )
    ask = transport.asking(address, s.port, GATEWAY_AUTHORITY, protocol="postgres")
    return f"{ask} || {{ echo {quote(said)}; exit 1; }}"


def probes(here: Here, listens: list[str]) -> list[Probe]:
    """Questions for ``verify``; ``listens`` are the addresses of this host where PostgreSQL answers."""
    s: PostgresSettings = here.settings(PostgresSettings)
    if not s.secured:
        return []
    certificate, _, above = paths(here)
    plain = "SELECT count(*) FROM pg_hba_file_rules WHERE type IN ('host', 'hostnossl') AND auth_method <> 'reject'"
    clear = (
        "SELECT count(*) FILTER (WHERE NOT l.ssl) || ' of ' || count(*) FROM pg_stat_ssl l JOIN pg_stat_activity a "
        "USING (pid) WHERE a.client_addr IS NOT NULL"
    )
    found = [
        Probe("lets nobody in without TLS", f"{as_postgres(here, plain)} | grep -x 0"),
        Probe("has no client without TLS", f"{as_postgres(here, clear)} | grep '^0 of '"),
        Probe("has a certificate for another week", transport.lasting(certificate)),
    ]
    for address in transport.reached(here):
        if address in listens:
            ask = transport.asking(address, s.port, above, protocol="postgres")
            found.append(Probe(f"answers at {address} with a certificate for it", f"{ask} && echo accepted"))
    return found
