"""An offered salt key is tried on what the database has, here, before any host is changed."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.secret import SecretBox

from deploys.components import postgres_guard, postgres_salt
from deploys.components.litellm.encryption import opens
from deploys.components.litellm.settings import PAYLOAD
from deploys.components.postgres import POSTGRES
from tests.unit import site

SALT, OTHER = 'salt"0123456789$abcdef`01234\\56789ab', "another-salt-0123456789-abcdefghij"


def sealed(text: str, salt: str) -> str:
    """As LiteLLM writes it by default."""
    box = SecretBox(hashlib.sha256(salt.encode()).digest())
    return base64.urlsafe_b64encode(box.encrypt(text.encode())).decode()


def sealed_gcm(text: str, salt: str) -> str:
    """As LiteLLM writes it with encryption_algorithm: aes-256-gcm."""
    nonce = os.urandom(12)
    whole = nonce + AESGCM(hashlib.sha256(salt.encode()).digest()).encrypt(nonce, text.encode(), None)
    return "v2:gcm:" + base64.urlsafe_b64encode(whole).decode()


def answer(**found: object) -> str:
    return json.dumps({"mark": None, "probe": None, "samples": [], "stored": {}, **found})


@pytest.mark.parametrize("seal", [sealed, sealed_gcm])
def test_a_stored_text_opens_with_its_salt_key_only(seal: object) -> None:
    assert callable(seal)
    text = seal("sk-a key, ü", SALT)
    assert opens(text, SALT) == opens(f"litellm_enc::{text}", SALT) == "sk-a key, ü"
    assert opens(text, OTHER) is None
    for broken in ("", "v2:gcm:", "plain text", text[:-8], "AAAA" * 20, "é"):
        assert opens(broken, SALT) is None, broken


@pytest.mark.parametrize(
    ("found", "fits"),
    [
        ({}, True),
        ({"mark": postgres_salt.digest(SALT)}, True),
        ({"mark": postgres_salt.digest(OTHER)}, False),
        ({"probe": sealed(postgres_guard.PROBE, SALT)}, True),
        ({"probe": sealed(postgres_guard.PROBE, OTHER)}, False),
        ({"probe": sealed("something else", SALT)}, False),
        ({"probe": "not encrypted"}, False),
        # A mark that somebody copied does not help beside what cannot be read.
        ({"mark": postgres_salt.digest(SALT), "probe": sealed(postgres_guard.PROBE, OTHER)}, False),
        ({"samples": [sealed("a", OTHER), sealed("b", SALT)]}, True),
        ({"samples": [sealed("a", OTHER), "AAAA" * 20]}, False),
        ({"probe": sealed(postgres_guard.PROBE, SALT), "samples": [sealed("a", OTHER)]}, True),
    ],
)
def test_the_key_is_judged_by_what_it_opens(found: dict[str, object], fits: bool) -> None:
    said = postgres_guard.judge(SALT)(answer(**found))
    assert (said == "") is fits
    assert SALT not in said


def test_the_refusal_counts_what_would_be_lost() -> None:
    mark = postgres_salt.digest(OTHER)
    said = postgres_guard.judge(SALT)(answer(mark=mark, stored={"credential": 3, "model": 2}))
    assert said.startswith(
        "litellm_salt_key: the database was encrypted with another salt key than the one offered; 3 credentials and 2 "
        "models stored there would become unreadable. Offer the old one: "
    )
    said = postgres_guard.judge(SALT)(answer(mark=mark))
    assert "offered; nothing is stored there yet. Offer" in said
    listed = {"setting": 1, "secret of an MCP server": 2, "callback of a team": 1}
    assert postgres_guard.listed(listed) == "1 setting, 2 secrets of an MCP server and 1 callback of a team"


@pytest.mark.parametrize("nothing", ["", 'psql: error: database "litellm" does not exist', "runuser: not found"])
def test_a_host_without_a_database_refuses_no_key(nothing: str) -> None:
    assert postgres_guard.judge(SALT)(nothing) == ""


def test_the_database_is_asked_and_the_key_stays_here(tmp_path: Path) -> None:
    here = site.single()
    (probe,) = [probe for probe in POSTGRES.refusals(here) if probe.name == "another salt key"]
    salt = site.SECRETS["LITELLM_SALT_KEY"]
    assert salt not in probe.command and salt not in repr(probe) and postgres_salt.digest(salt) not in probe.command
    assert probe.judge is not None and probe.judge(answer(probe=sealed(postgres_guard.PROBE, salt))) == ""
    assert probe.judge(answer(probe=sealed(postgres_guard.PROBE, OTHER)))
    (tmp_path / "runuser").write_text("#!/bin/sh\necho 'psql: no server' >&2; exit 2\n")
    (tmp_path / "runuser").chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", probe.command], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_a_site_without_a_gateway_asks_nothing() -> None:
    members = site.look(site.host("db", ("postgres", "redis", "litellm")))
    alone = site.Here(members[0], ())
    assert postgres_guard.refusals(alone) == []


def test_the_gateways_program_and_the_controlling_machine_mean_the_same_probe_and_mark() -> None:
    sys.path.insert(0, str(PAYLOAD))
    try:
        spec = importlib.util.spec_from_file_location("litellm_database", PAYLOAD / "database.py")
        assert spec and spec.loader
        program = importlib.util.module_from_spec(spec)
        writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        spec.loader.exec_module(program)
        sys.dont_write_bytecode = writes
    finally:
        sys.path.remove(str(PAYLOAD))
    assert program.PROBE == postgres_guard.PROBE and program.LABEL == postgres_salt.LABEL
    assert postgres_salt.PREFIX + "([0-9a-f]{64})" in re.sub(r"\s+", " ", postgres_guard.query())
