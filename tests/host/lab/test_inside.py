"""A spread-out site whose PostgreSQL and Redis have certificates of its own making: brought, exchanged, taken away."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from deploys.components import health, postgres_tls, redis_tls, transport
from deploys.components.litellm.config import SELFTEST
from deploys.components.litellm.probes import ENVIRONMENT
from deploys.components.postgres_install import as_postgres
from deploys.components.redis import HEALTH_SECRET
from tests.host.lab.conftest import Deployed
from tests.host.lab.test_changes import alive_url
from tests.host.lab.test_split import gateways
from tests.host.lab.test_tls import plain
from tests.host.support import Server, distinct
from tests.host.support_canary import shown
from tests.host.support_http import Gateway, ask
from tests.host.support_lab import SITE, VERIFY, Run, run, say
from tests.host.support_watch import differences, picture, polling
from tests.unit import certificates
from tests.waiting import eventually

BOTH = {"postgres_tls": "site", "redis_tls": "site", "redis_commands": "used"}
BEFORE = {
    "postgres_tls_secret_before": "env:SITE_TLS_SECRET_BEFORE",
    "redis_tls_secret_before": "env:SITE_TLS_SECRET_BEFORE",
}


@dataclass
class Inside:
    """The site, and the secrets that its certificates are made from: the present one first."""

    site: Deployed
    made: list[str] = field(default_factory=lambda: [secrets.token_urlsafe(32), secrets.token_urlsafe(32)])

    def home(self, component: str) -> Server:
        return next(server for server in self.site.servers if server.has(component))

    @cached_property
    def gateways(self) -> list[Gateway]:
        return [Gateway(server) for server in gateways(self.site)]

    def run(self, deploy: str = SITE, *options: str, **data: Any) -> Run:
        names = ("SITE_TLS_SECRET", "SITE_TLS_SECRET_BEFORE")
        environment = dict(zip(names, self.made, strict=True))
        return run(self.site.name, deploy, *options, environment=environment, **{**BOTH, **data})

    def pictures(self) -> dict[str, dict[str, str]]:
        return {server.name: picture(server) for server in self.site.servers}

    def served(self, component: str, authority: str) -> bool:
        """Whether a gateway's host accepts the service's certificate with the text of an authority."""
        home, (gateway, _) = self.home(component), self.gateways
        port = {"postgres": 5432, "redis": 6379}[component]
        begin = "-starttls postgres " if component == "postgres" else ""
        script = (
            f"file=$(mktemp); cat >$file <<'PEM'\n{authority}\nPEM\n"
            f"openssl s_client {begin}-connect {home.address}:{port} -CAfile $file -verify_return_error "
            f"-verify_ip {home.address} </dev/null >/dev/null 2>&1; done=$?; rm -f $file; exit $done"
        )
        return gateway.server.sh(script).status == 0

    def clients(self) -> dict[str, int]:
        """Connections over the network to PostgreSQL by whether they are encrypted."""
        sql = (
            "SELECT ssl::text || ' ' || count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
            "WHERE client_addr IS NOT NULL GROUP BY ssl"
        )
        lines = self.home("postgres").out(as_postgres(self.home("postgres").here, sql)).splitlines()
        return {line.split()[0]: int(line.split()[1]) for line in lines}

    def works(self) -> None:
        """Both gateways answer with a key that one of them has just made, and their health apps say ready."""
        first, second = self.gateways
        key = first.new_key()
        try:
            for gateway in (first, second):
                assert gateway.chat(SELFTEST, key=key).status == 200
                assert gateway.ask("/cache/ping").json()["ping_response"] is True
                url = health.answer_url(gateway.server.here)
                assert eventually(
                    lambda url=url, at=gateway.server: ask(at, f"{url}/health/readiness").status == 200, 30
                )
        finally:
            first.delete_key(key)


@pytest.fixture(scope="module")
def inside(split: Deployed) -> Inside:
    return Inside(split)


def test_gateways_alone_do_not_come_to_it_before_their_services(inside: Inside) -> None:
    before = inside.pictures()
    done = inside.run(SITE, "--limit", "litellm", redis_tls="off", redis_commands="safe")
    assert done.status == 1, done.problem
    assert "port 5432 does not answer with a certificate that postgres_tls_secret has signed" in plain(done)
    after = inside.pictures()
    for name in before:
        assert differences(before[name], after[name]) == [], name


def test_every_client_comes_to_it_in_one_run(inside: Inside) -> None:
    done = inside.run()
    assert done.status == 0, done.problem
    inside.works()
    assert eventually(lambda: set(inside.clients()) == {"true"}, 30), inside.clients()
    for gateway in inside.gateways:
        assert "sslmode=verify-full&sslrootcert=/etc/litellm/postgres-ca.crt" in gateway.server.out(
            f"cat {ENVIRONMENT}"
        )


def test_a_second_run_changes_nothing_and_every_question_is_answered(inside: Inside) -> None:
    second = inside.run()
    assert second.status == 0, second.problem
    assert second.totals["no_change"] == second.totals["hosts"] > 0, second.problem
    verified = inside.run(VERIFY)
    assert verified.status == 0, verified.problem
    for question in ("lets nobody in without TLS", "has no client without TLS", "has refused no command that may be"):
        assert question in plain(verified)


def test_the_database_lets_nobody_in_without_it(inside: Inside) -> None:
    """As a gateway's host, with the right password."""
    gateway = inside.gateways[0]
    program = (
        "import re, psycopg\n"
        f"line = next(l for l in open('{ENVIRONMENT}') if l.startswith('DATABASE_URL='))\n"
        "url = re.sub(r'\\\\(.)', r'\\1', line.partition('=')[2].strip()[1:-1])\n"
        "for more in ('sslmode=disable', 'sslmode=require'):\n"
        "    try:\n"
        "        psycopg.connect(url.partition('?')[0] + '?' + more, connect_timeout=5).close(); print('in')\n"
        "    except psycopg.OperationalError as error:\n"
        "        print('no encryption' in str(error))\n"
    )
    said = gateway.server.out(f"/opt/litellm/current/venv/bin/python - <<'P'\n{program}P")
    assert said.split() == ["True", "in"], said


def test_the_secret_is_exchanged_in_one_run_and_at_no_time_is_everybody_away(inside: Inside) -> None:
    old = inside.gateways[0].server.out(f"cat {postgres_tls.GATEWAY_AUTHORITY}")
    inside.made = [secrets.token_urlsafe(32), inside.made[0]]
    urls = {gateway.server.name: alive_url(gateway.server) for gateway in inside.gateways}
    postmaster = "head -n 1 /var/lib/postgresql/*/main/postmaster.pid"
    pid = inside.home("postgres").out(postmaster)
    with polling(urls) as failures:
        done = inside.run(**BEFORE)
    assert done.status == 0, done.problem
    new = inside.gateways[0].server.out(f"cat {postgres_tls.GATEWAY_AUTHORITY}")
    assert new != old
    for component in ("postgres", "redis"):
        # Who has not come to the new one yet, as a gateway of a run that was cut off, is not locked out.
        assert inside.served(component, old) and inside.served(component, new), component
    assert inside.home("postgres").out(postmaster) == pid, "nobody was let go: it was a reload"
    first, second = ([moment for moment, _ in failures[name]] for name in urls)
    if first and second:
        assert min(max(first), max(second)) < max(min(first), min(second)), "both gateways were away at once"
    for name, moments in zip(urls, (first, second), strict=True):
        say(f"      {name} was away for {max(moments) - min(moments) if moments else 0:.1f} s")
    inside.works()


def test_without_the_one_before_only_the_new_authority_is_accepted(inside: Inside) -> None:
    (new,) = {gateway.server.out(f"cat {redis_tls.GATEWAY_AUTHORITY}") for gateway in inside.gateways}
    before = {gateway.server.name: picture(gateway.server) for gateway in inside.gateways}
    assert inside.run().status == 0
    assert {gateway.server.name: picture(gateway.server) for gateway in inside.gateways} == before, (
        "gateways need nothing"
    )
    for component in ("postgres", "redis"):
        assert inside.served(component, new)
    second = inside.run()
    assert second.totals["no_change"] == second.totals["hosts"] > 0, second.problem
    inside.works()


def test_redis_has_refused_the_gateways_nothing(inside: Inside) -> None:
    """After limits, cached answers, keys, spend and everything else that was asked above."""
    cache = inside.home("redis")
    ask = f"REDISCLI_AUTH=$(cat {HEALTH_SECRET}) redis-cli --tls --cacert {redis_tls.AUTHORITY} --user health"
    said = cache.out(f"{ask} info commandstats | grep -o '^cmdstat_[^:]*:.*rejected_calls=[1-9][0-9]*' || true")
    names = {line.partition(":")[0].removeprefix("cmdstat_") for line in said.splitlines()}
    assert names <= {"get", "ping"}, said


def test_postgresql_serves_a_certificate_that_was_given_and_nobody_else_sees_its_key(
    inside: Inside, tmp_path: Path
) -> None:
    home = inside.home("postgres")
    given = certificates.postgres(tmp_path, list(transport.reached(home.here)))
    authority = (tmp_path / "ca.crt").read_text()
    assert not inside.served("postgres", authority)
    done = inside.run(**given)
    assert done.status == 0, done.problem
    assert inside.served("postgres", authority)
    assert eventually(lambda: set(inside.clients()) == {"true"}, 30), inside.clients()
    inside.works()
    second = inside.run(**given)
    assert second.totals["no_change"] == second.totals["hosts"] > 0, second.problem
    key = {"postgres_tls_key": distinct((tmp_path / "redis.key").read_text())}
    for server in inside.site.servers:
        assert shown(server, key) == [], server.name
    before = inside.pictures()
    (tmp_path / "ca.crt").write_text(certificates.authority("somebody").text)
    refused = inside.run(**given)
    assert refused.status == 1 and plain(refused).count("postgres_tls_ca: has not signed the certificate") == 1
    after = inside.pictures()
    assert [name for name in before if differences(before[name], after[name])] == []


def test_without_it_everything_is_as_before(inside: Inside) -> None:
    done = run(inside.site.name)
    assert done.status == 0, done.problem
    inside.works()
    second = run(inside.site.name)
    assert second.totals["no_change"] == second.totals["hosts"] > 0, second.problem
