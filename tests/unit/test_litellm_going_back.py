"""What an installation that is gone back to needs of the database, as the gateway's host answers it."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from deploys.components.litellm.component import LITELLM
from deploys.components.litellm.settings import PAYLOAD
from deploys.components.postgres import POSTGRES
from deploys.components.postgres_salt import PREFIX, digest
from tests.unit import site

NAMES = ("database", "migrations", "going_back")


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(PAYLOAD))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("going_back")
    for name in NAMES:
        sys.modules.pop(name, None)


KNOWN = {"1": "", "2": "DROP TABLE a", "3": "", "4": "DROP TABLE b"}


@pytest.mark.parametrize(
    ("finished", "needed", "extra", "words"),
    [
        (["1", "2"], False, 0, "no migration that the older version lacks"),
        (["1", "2", "3"], False, 1, "the migration in between only adds"),
        (["1", "2", "3", "4"], True, 2, "the migration 4 does more than add: DROP TABLE b"),
        (["1"], True, 0, "the database lacks 1 migrations of it, the last of them 2"),
        (["1", "3"], True, 1, "the database lacks 1 migrations of it, the last of them 2"),
        ([], False, 0, "no migration that the older version lacks"),
    ],
)
def test_whether_a_version_can_use_the_database(
    program: ModuleType, finished: list[str], needed: bool, extra: int, words: str
) -> None:
    found = program.answer(finished, ["1", "2"], KNOWN)
    assert (found["needed"], found["extra"]) == (needed, extra) and words in found["why"]
    assert (found["wanted"], found["adds"]) == (["1", "2"], ["3"])


def test_it_answers_in_one_line_with_the_mark_and_without_the_key(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (("1_a", "SELECT 1"), ("2_b", "DROP TABLE a")):
        path = tmp_path / "venv/lib/python3.11/site-packages/litellm_proxy_extras/migrations" / name / "migration.sql"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (tmp_path / "then").write_text('LITELLM_SALT_KEY="a \\"key\\""\n')
    monkeypatch.setattr(program, "finished_there", lambda environment: ["1_a", "2_b"])
    monkeypatch.setattr(sys, "argv", ["x", "/now", str(tmp_path / "then"), str(tmp_path), str(tmp_path)])
    assert program.main() == 0
    shown = capsys.readouterr().out
    found = json.loads(shown)
    assert shown.count("\n") == 1 and found["mark"] == PREFIX + digest('a "key"') and 'a \\"key' not in shown
    assert (found["needed"], found["wanted"]) == (False, ["1_a", "2_b"])


def test_what_cannot_be_told_is_an_error_without_an_address(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "/now", "/then", str(tmp_path)])
    assert program.main() == 1
    assert capsys.readouterr() == ("", "portcullis: what the database has cannot be told: FileNotFoundError\n")
    monkeypatch.setattr(sys, "argv", ["x", "/now"])
    assert program.main() == 2


def test_the_gateway_asks_by_the_version_in_use_and_the_databases_host_keeps_the_dumps() -> None:
    members = site.split()
    gateway, home = site.place(members, "gw-1"), site.place(members, "db")
    asked = LITELLM.data(gateway)
    assert asked.startswith("/opt/litellm/current/venv/bin/python /usr/local/lib/portcullis/litellm-")
    assert '/going_back.py /etc/litellm/.env "$(new /etc/litellm/.env)" /opt/litellm/1.106.2-' in asked
    assert POSTGRES.store(home).startswith("word=$1; shift; PGCLUSTER=17/main /usr/local/lib/portcullis/postgres-")
    assert POSTGRES.store(home).endswith('/database "$word" litellm "$@"')
    assert (LITELLM.store(gateway), POSTGRES.data(home)) == ("", "")
    for text in (asked, POSTGRES.store(home)):
        assert not [value for value in site.SECRETS.values() if value in text]
