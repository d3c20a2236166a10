"""What is sent to a host for one component: everything the switching program and the ledger work from."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import tarfile
from pathlib import Path

from pydantic import SecretStr

from deploys.lib.bundle import Change, bundle
from deploys.lib.component import ConfigFile, Link, Probe, Provision
from tests.unit.sandbox import unpack

FILE = ConfigFile("/etc/a", "text\n")


def test_a_bundle_unpacks_to_what_the_host_works_from(tmp_path: Path) -> None:
    change = Change(
        "x",
        (FILE, Link("/opt/current", "/opt/2", "reload"), ConfigFile("/etc/s", "s\n", "0600", secret=True)),
        unit="it's.service",
        extra_units=("a.timer", "b.timer"),
        stopped_units=("c.timer",),
        guard=("zero",),
        check=("one", "two"),
        ready="ready",
        provisions=(Provision("Role", "asked", "told", SecretStr("p'w")), Provision("Base", "b?", "b!")),
        probes=(Probe("answers", "curl", 7),),
        note='{"revision": "r"}',
    )
    assert {info.mode for info in unpack(change, tmp_path)} == {0o600}, "none of it is for others"
    assert (tmp_path / "f" / "1").read_text() == "text\n"
    assert (tmp_path / "files.tsv").read_text().splitlines() == [
        "file\t0644\troot\troot\trestart\t/etc/a\t",
        "link\t-\t-\t-\treload\t/opt/current\t/opt/2",
        "file\t0600\troot\troot\trestart\t/etc/s\t",
    ]
    assert (tmp_path / "check.sh").read_text() == "set -e\none\ntwo\n"
    assert (tmp_path / "ready.sh").read_text() == "ready\n"
    assert (tmp_path / "guard.sh").read_text() == "set -e\nzero\n"
    assert (tmp_path / "secret").read_text() == "/etc/s\n", "which files the ledger never shows"
    assert json.loads((tmp_path / "provisions.json").read_text()) == [
        {"name": "Role", "test": "asked", "command": "told", "stdin": "p'w"},
        {"name": "Base", "test": "b?", "command": "b!", "stdin": ""},
    ]
    assert json.loads((tmp_path / "probes.json").read_text()) == [["answers", "curl", 7]]
    assert (tmp_path / "provenance.json").read_text() == '{"revision": "r"}'
    shown = subprocess.run(
        ["sh", "-c", f'. {tmp_path}/plan; echo "$unit|$extra_units|$stopped_units|$ready_seconds|$check_seconds"'],
        capture_output=True,
        text=True,
    )
    assert shown.stdout == "it's.service|a.timer b.timer|c.timer|60|120\n"


def test_a_component_without_a_check_or_a_guard_has_empty_ones() -> None:
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(bundle(Change("x", (FILE,)))))) as archive:
        assert [archive.getmember(name).size for name in ("check.sh", "guard.sh", "secret")] == [0, 0, 0]
