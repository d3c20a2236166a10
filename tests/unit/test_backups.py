"""Backups: rendered files, which host has which part, what is refused, and what a backup says of its salt key."""

from __future__ import annotations

import re
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from pydantic import SecretStr

from deploys import operations
from deploys.components import backups_now, postgres_restore
from deploys.components.backups import BACKUPS, NOT_UNDERSTOOD
from deploys.components.backups_proof import TEXT, fits, sealed
from deploys.components.backups_site import CONFIG, backups
from deploys.components.litellm.encryption import opens
from deploys.components.postgres import POSTGRES
from deploys.lib import provenance, tls
from deploys.lib.authority import issue
from deploys.lib.component import ConfigFile, Here
from deploys.lib.settings import SettingsError
from tests.unit import golden, site

S3 = {
    "backups_repository": "s3",
    "backups_s3_endpoint": "store.example.org:9000",
    "backups_s3_bucket": "copies",
    "backups_s3_key": "env:POSTGRES_PASSWORD",
    "backups_s3_key_secret": "env:REDIS_PASSWORD",
}


def pair(**data: Any) -> tuple[Here, Here]:
    """A host with everything, and one for its backups."""
    found = site.look(
        site.host("gw", private_address="192.0.2.1", **data),
        site.host("bk", groups=("backup",), private_address="192.0.2.2", **data),
    )
    return Here(found[0], found), Here(found[1], found)


def conf(here: Here) -> str:
    return texts(here)["/etc/pgbackrest/pgbackrest.conf"]


def texts(here: Here) -> dict[str, str]:
    return {item.path: item.text for item in BACKUPS.files(here) if isinstance(item, ConfigFile)}


def test_rendered_files(pytestconfig: pytest.Config) -> None:
    gateway, keeper = pair()
    extra = {f"pgbackrest.conf.{name}": conf(here) for name, here in (("database", gateway), ("keeper", keeper))}
    extra["pgbackrest.conf.s3"] = conf(site.single(**S3))
    extra["server.service"] = texts(gateway)["/etc/systemd/system/portcullis-pgbackrest.service"]
    golden.check(BACKUPS, pytestconfig, extra)


def test_each_host_has_its_part_and_the_database_never_what_backups_are_encrypted_with() -> None:
    gateway, keeper = pair()
    assert set(gateway.member.settings) > {"postgres", "backups"} and "litellm" not in keeper.member.settings
    assert "cipher-pass" not in conf(gateway) and f"cipher-pass={site.SECRETS['BACKUPS_PASSPHRASE']}" in conf(keeper)
    assert BACKUPS.extra_units(gateway) == ["portcullis-restore-drill.timer"]
    assert BACKUPS.extra_units(keeper) == ["portcullis-backup.timer"]
    assert [one.name for one in BACKUPS.provisions(keeper)] == ["Place in the repository"]
    assert BACKUPS.provisions(gateway) == [] and BACKUPS.unit is not None
    assert BACKUPS.unit(gateway) == BACKUPS.unit(keeper) == "portcullis-pgbackrest.service"


def test_on_one_host_there_is_no_server_and_one_says_that_its_loss_takes_them_along() -> None:
    here = site.single()
    assert BACKUPS.unit is not None and BACKUPS.unit(here) == "" and BACKUPS.listeners(here) == []
    assert BACKUPS.extra_units(here) == ["portcullis-backup.timer", "portcullis-restore-drill.timer"]
    assert "would be lost with it" in BACKUPS.hints(here)[0] and BACKUPS.hints(site.single(**S3)) == []


def test_without_backups_nothing_is_archived_and_nothing_is_there() -> None:
    here = site.single(backups_repository="none")
    assert BACKUPS.files(here) == [] and BACKUPS.probes(here) == [] and BACKUPS.extra_units(here) == []
    assert "archive_mode" not in "".join(f.text for f in POSTGRES.files(here) if isinstance(f, ConfigFile))
    wanted = "".join(f.text for f in POSTGRES.files(site.single()) if isinstance(f, ConfigFile))
    assert "archive_command = 'pgbackrest --stanza=gateway archive-push %p'" in wanted
    assert " -/var/lib/portcullis-backups -/var/lib/pgbackrest\n" in wanted, "the sandbox lets it write there"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"backups_repository": "host"}, "needs a host in the group 'backup'"),
        (
            {"backups_repository": "s3"},
            "needs backups_s3_endpoint, backups_s3_bucket, backups_s3_key",
        ),
        ({"backups_path": "/var/lib/postgresql/x"}, "is a folder that others use"),
        ({"backups_path": "/etc/x"}, "is a folder that others use"),
        ({"backups_path": "/srv/../x"}, "is not a plain path"),
        ({"backups_stanza": "Gate way"}, "must be up to 31 of a to z"),
        ({"backups_calendar": "when\never"}, "must be a time as systemd writes it"),
        ({"restore": "yesterday"}, "must be `latest`, a backup's name such as"),
    ],
)
def test_what_cannot_be_is_refused(data: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match="gateway") as refused:
        site.single(**data)
    assert words in str(refused.value)


def test_a_host_for_backups_that_nobody_uses_is_refused_and_so_is_another_debian() -> None:
    with pytest.raises(SettingsError, match="backups_repository says that backups go elsewhere"):
        pair(backups_repository="local")
    with pytest.raises(SettingsError, match="do not understand one another"):
        site.look(
            site.host("gw", private_address="192.0.2.1"),
            site.host("bk", groups=("backup",), private_address="192.0.2.2", release="12"),
        )


def test_a_backup_host_is_refused_where_the_two_would_not_understand_one_another() -> None:
    with pytest.raises(SettingsError, match="use backups_repository s3, or Debian's PostgreSQL"):
        pair(postgres_version=17)
    found = site.look(
        site.host("gw", private_address="192.0.2.1", release=""),
        site.host("bk", groups=("backup",), private_address="192.0.2.2"),
    )
    assert "gw, which is not part of this run" in BACKUPS.refusals(Here(found[1], found))[-1].command


def test_certificates_are_the_same_every_time_and_each_side_accepts_the_other(tmp_path: Path) -> None:
    secret = SecretStr("one secret of this site")
    own = issue(secret, "192.0.2.1")
    issue.cache_clear()
    assert issue(secret, "192.0.2.1") == own != issue(SecretStr("another secret"), "192.0.2.1")
    assert issue(secret, "192.0.2.2").authority == own.authority
    (tmp_path / "own.crt").write_text(own.certificate)
    (tmp_path / "ca.crt").write_text(own.authority)
    # As strict as Python 3.13; but for the name, which pgBackRest compares as text and not as an address.
    with pytest.raises(tls.Unusable, match=r"subjectAltName must have IP:192\.0\.2\.1"):
        tls.check(str(tmp_path / "own.crt"), own.key, str(tmp_path / "ca.crt"), ["192.0.2.1"])
    names = x509.load_pem_x509_certificate(own.certificate.encode()).extensions
    found = names.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.DNSName) == ["192.0.2.1"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=own.authority)
    assert context.cert_store_stats()["x509_ca"] == 1


def test_the_proof_of_a_salt_key_is_the_same_every_time_and_only_that_key_opens_it() -> None:
    proof = sealed("the salt key")
    assert proof == sealed("the salt key") and opens(proof, "the salt key") == TEXT
    assert fits(proof, "the salt key") and not fits(proof, "another salt key") and not fits("", "the salt key")
    assert f"--proof {proof}" not in conf(site.single())


def test_the_unit_of_backups_takes_the_proof_along() -> None:
    text = texts(site.single())["/etc/systemd/system/portcullis-backup.service"]
    assert sealed(site.SECRETS["LITELLM_SALT_KEY"]) in text and site.SECRETS["LITELLM_SALT_KEY"] not in text


def test_a_restore_is_refused_where_a_database_is_unless_it_may_be_replaced() -> None:
    refused = [one.name for one in postgres_restore.refusals(site.single(restore="latest"))]
    assert refused == ["a database that would be replaced"]
    assert postgres_restore.refusals(site.single(restore="latest", restore_over="skip")) == []
    assert postgres_restore.refusals(site.single(restore="latest", restore_over="replace")) == []
    assert [one.name for one in postgres_restore.refusals(site.single())] == ["a restore that was cut off"]
    none = postgres_restore.refusals(site.single(restore="latest", backups_repository="none"))
    assert "this site keeps no backups" in none[0].command


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        ("WARN: configuration file contains invalid option 'x'", True),
        ("ERROR: [032]: '2x' is not valid for 'process-max' option", True),
        ("ERROR: [049]: unable to connect", False),
        ("stanza: gateway", False),
    ],
)
def test_only_what_is_wrong_with_the_file_fails_its_check(line: str, bad: bool) -> None:
    assert bool(re.search(NOT_UNDERSTOOD, line)) is bad


def test_the_list_of_backups_says_since_when_every_moment_can_be_restored() -> None:
    one = {"label": "20260101-000000F", "kind": "full", "start": 0, "stop": 60, "bytes": 3 << 20, "stored": 1 << 20}
    lines = backups_now.rows({"stanza": "gateway", "backups": [{**one, "damaged": False}]})
    assert lines[0] == "20260101-000000F  full, 1970-01-01 00:01:00Z, 3 MiB, 1.0 MiB stored"
    assert "since 1970-01-01 00:01:00Z" in lines[1]
    assert backups_now.rows({"stanza": "gateway", "backups": []}) == ["gateway: there is no backup"]


def test_a_site_without_a_database_has_no_backups() -> None:
    lonely = site.host("bk", groups=("backup",), private_address="192.0.2.8")
    found = site.look(lonely, site.host("r", groups=("redis",), private_address="192.0.2.9"))
    assert backups(Here(found[0], found)) is None


def test_what_reaches_the_backups_is_left_as_it_is_whatever_revision_has_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = site.single(restore="latest", restore_over="replace")
    monkeypatch.setattr(operations, "asked", lambda **_: None)
    calls = site.recorded(POSTGRES, here, monkeypatch)
    (test,) = [said["test"] for _, said in calls if said["name"] == "postgres | What reaches the backups"]
    (config,) = [item for item in BACKUPS.files(here) if item.path == CONFIG]
    there = tmp_path / "pgbackrest.conf"
    ask = ["sh", "-c", test.replace(CONFIG, str(there))]
    assert subprocess.run(ask, stderr=subprocess.DEVNULL).returncode == 1
    there.write_text(provenance.stamped(config, f"{provenance.MARK}0123456789ab, input abc").text)
    assert provenance.MARK in there.read_text() and subprocess.run(ask).returncode == 0
    there.write_text(there.read_text() + "another=line\n")
    assert subprocess.run(ask).returncode == 1
