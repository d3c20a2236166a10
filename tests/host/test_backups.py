"""Backups: made, tried, encrypted, and out of reach for whoever is not the other of the two hosts."""

from __future__ import annotations

import json
import re

import pytest

from deploys.components.backups import BACKUPS
from deploys.components.backups_files import SERVER, as_postgres, has_database, keeps
from deploys.components.backups_site import CONFIG, STATE, TLS, Backups, backups, program
from tests.host.support import Server


@pytest.fixture
def plan(backups_server: Server) -> Backups:
    found = backups(backups_server.here)
    if found is None:
        pytest.skip("this site keeps no backups")
    return found


def test_there_is_a_backup_and_a_trial_of_it_was_good(backups_server: Server, plan: Backups) -> None:
    if keeps(plan, backups_server.here):
        found = json.loads(backups_server.out(as_postgres(program("backup"), "list", plan.s.stanza)))
        assert found["backups"] and found["backups"][0]["kind"] == "full" and not found["backups"][-1]["damaged"]
    if has_database(plan, backups_server.here):
        about = json.loads(backups_server.out(f"cat {STATE}/drill.json"))
        assert about["problem"] == "" and about["label"]
        numbers = backups_server.out(f"runuser -u nobody -- cat {STATE}/metrics/drill.prom")
        assert "portcullis_drill_success 1\n" in numbers and re.search(r"^portcullis_drill_rows \d+$", numbers, re.M)


def test_what_the_repository_keeps_is_encrypted(backups_server: Server, plan: Backups) -> None:
    if not keeps(plan, backups_server.here) or plan.kind == "s3":
        pytest.skip("the repository is not a folder of this host")
    path = plan.s.path
    some = backups_server.out(f"find {path}/backup {path}/archive -type f ! -size 0 | head -n 20").split()
    assert some
    for file in some:
        # OpenSSL's header of what is encrypted with a passphrase and a salt.
        assert backups_server.out(f"head -c 8 {file}") == "Salted__", file
    assert backups_server.out(f"stat -c '%a %U' {path}") == "750 postgres"


def test_what_it_is_encrypted_with_is_for_its_host_alone(backups_server: Server, plan: Backups) -> None:
    assert backups_server.out(f"stat -c '%a %U %G' {CONFIG}") == "640 root postgres"
    told = backups_server.sh(f"grep -c cipher-pass {CONFIG}").out.strip()
    assert told == ("1" if keeps(plan, backups_server.here) else "0")


def test_the_two_hosts_take_no_certificate_of_somebody_else(backups_server: Server, plan: Backups) -> None:
    if not plan.apart:
        pytest.skip("backups are made on the database's own host, and nothing listens")
    address = backups_server.here.member.address
    ask = (
        "cd $(mktemp -d) && openssl req -x509 -newkey ed25519 -nodes -subj /CN=portcullis -keyout key -out own -days 2 "
        f"2>/dev/null && pgbackrest --no-config --stanza={plan.s.stanza} --repo1-host={address} "
        f"--repo1-host-type=tls --repo1-host-port={plan.s.port} --repo1-host-ca-file={TLS}/authority.crt "
        "--repo1-host-cert-file=$PWD/own --repo1-host-key-file=$PWD/key --io-timeout=5 info --output=json"
    )
    assert "alert unknown ca" in backups_server.sh(ask).out
    assert backups_server.testinfra.service(SERVER).is_enabled


def test_timers_run(backups_server: Server, plan: Backups) -> None:
    for timer in BACKUPS.extra_units(backups_server.here):
        assert backups_server.testinfra.service(timer).is_running and backups_server.testinfra.service(timer).is_enabled
