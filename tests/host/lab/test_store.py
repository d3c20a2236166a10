"""Backups in a store that speaks S3 over HTTPS, on Debian 12: made, tried, restored; and a store that is away."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from deploys.components.litellm.config import SELFTEST
from deploys.components.postgres_install import as_postgres as sql
from deploys.lib.authority import issue
from deploys.lib.render import ROOT
from tests.host.lab.conftest import Site
from tests.host.lab.test_refusals import told
from tests.host.support_canary import shown
from tests.host.support_http import Gateway
from tests.host.support_lab import SITE, VERIFY, run, until
from tests.host.support_watch import differences, files_only, picture
from tests.lab import engine, network
from tests.lab.lab import Lab

# Far more dependencies than anything here has, so an environment of its own.
STORE = ["--with", "moto[s3,server]==5.1.15", "--with", "cheroot==10.0.1", "python", "tests/lab/doubles/s3.py"]
BUCKET, PORT = "copies", 9443
KEYS = {"STORE_KEY": "AKIA" + "0123456789AB", "STORE_SECRET": "store-secret-0123456789-abcdef"}
NAMES = "SELECT string_agg(key_alias, ',') FROM \"LiteLLM_VerificationToken\" WHERE key_alias LIKE 's-%'"


class Store:
    """The server, on this machine at the address that the lab's hosts see it under."""

    def __init__(self, folder: Path) -> None:
        self.address = network.own_address(engine.running())
        made = issue(SecretStr("only for this test"), self.address)
        self.ca, self.own, self.key = folder / "store-ca.crt", folder / "own.crt", folder / "own.key"
        self.ca.write_text(made.authority)
        self.own.write_text(made.certificate)
        self.key.write_text(made.key.get_secret_value())
        self.log = folder / "log"
        self.start()
        self.ask(BUCKET, "PUT")

    def start(self) -> None:
        command = [str(ROOT / ".venv/bin/uv"), "run", "--no-project", *STORE]
        command += [self.address, str(PORT), str(self.own), str(self.key)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        until(self.answers, 180, f"the store answers ({self.log})")

    def answers(self) -> bool:
        try:
            return bool(self.ask(""))
        except OSError:
            return False

    def ask(self, path: str, method: str = "GET") -> bytes:
        context = ssl.create_default_context(cadata=self.ca.read_text())
        context.check_hostname = False  # its certificate is for pgBackRest, which compares an address as text
        # The store looks at who asks, and not at the signature.
        scope = f"Credential={KEYS['STORE_KEY']}/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
        told = {"Authorization": f"AWS4-HMAC-SHA256 {scope}"}
        request = urllib.request.Request(f"https://{self.address}:{PORT}/{path}", method=method, headers=told)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(request, timeout=10) as answer:
            found: bytes = answer.read()
        return found

    def stop(self) -> None:
        os.killpg(self.process.pid, 9)
        self.process.wait()

    def data(self) -> dict[str, Any]:
        return {
            "backups_repository": "s3",
            "backups_s3_endpoint": f"{self.address}:{PORT}",
            "backups_s3_bucket": BUCKET,
            "backups_s3_style": "path",
            "backups_s3_key": "env:STORE_KEY",
            "backups_s3_key_secret": "env:STORE_SECRET",
            "backups_path": "/portcullis",
            "extra_ca_certificates": [str(self.ca), *(str(path) for path in Lab.ca_certificates())],
            "environment": KEYS,
        }


@pytest.fixture(scope="module")
def store(bookworm: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    assert run(bookworm.name).status == 0
    made = Store(tmp_path_factory.mktemp("store"))
    yield made
    made.stop()


def test_backups_move_to_the_store_and_are_tried_from_there(bookworm: Site, store: Store) -> None:
    server = bookworm.server
    done = run(bookworm.name, SITE, **store.data())
    assert done.status == 0, done.problem
    for value in KEYS.values():
        assert value not in done.log
    assert shown(server, KEYS) == []
    # The deploy has made a first backup there and tried it; the unit does, in its sandbox.
    server.out("systemctl start portcullis-restore-drill.service", 300)
    assert json.loads(server.out("cat /var/lib/portcullis-backups/drill.json"))["problem"] == ""
    listing = store.ask(f"{BUCKET}?list-type=2&prefix=portcullis/backup/gateway/").decode()
    names = [part.partition("</Key>")[0] for part in listing.split("<Key>")[1:]]
    assert any(name.endswith("backup.manifest") for name in names), names
    assert store.ask(f"{BUCKET}/portcullis/backup/gateway/backup.info")[:8] == b"Salted__", "encrypted before it left"
    assert run(bookworm.name, VERIFY, **store.data()).status == 0
    second = run(bookworm.name, SITE, **store.data())
    assert second.totals["no_change"] == second.totals["hosts"] > 0, second.problem


def test_the_database_comes_back_from_the_store(bookworm: Site, store: Store) -> None:
    server = bookworm.server
    assert Gateway(server).ask("/key/generate", {"key_alias": "s-kept"}).status == 200
    time.sleep(1.5)
    moment = server.out("date -u +%Y-%m-%dT%H:%M:%S+00")
    time.sleep(1.5)
    server.out(sql(server.here, 'DELETE FROM "LiteLLM_VerificationToken"', "litellm"))
    piece = server.out(sql(server.here, "SELECT pg_walfile_name(pg_switch_wal())"))
    last = sql(server.here, "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver")
    until(lambda: server.out(last) >= piece, 60, "the log is in the store")
    done = run(bookworm.name, SITE, restore=moment, restore_over="replace", **store.data())
    assert done.status == 0, done.problem
    assert server.out(sql(server.here, NAMES, "litellm")) == "s-kept"
    assert Gateway(server).chat(SELFTEST).status == 200


def test_a_store_that_is_away_stops_a_run_before_anything_changes(bookworm: Site, store: Store) -> None:
    store.stop()
    try:
        before = picture(bookworm.server)
        done = run(bookworm.name, SITE, litellm_cooldown_time=77, **store.data())
        told(done, f"backups_s3_endpoint: {store.address}:{PORT} cannot be reached from this host")
        assert differences(files_only(before), files_only(picture(bookworm.server))) == []
    finally:
        store.start()
    time.sleep(1)
    back = run(bookworm.name)
    assert back.status == 0, back.problem
    assert run(bookworm.name, VERIFY).status == 0
