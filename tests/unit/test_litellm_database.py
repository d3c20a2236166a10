"""A change of version and the database: what a gateway asks of it, and what is done before any file changes."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from pydantic import SecretStr

from deploys import operations
from deploys.components.litellm import database
from deploys.components.litellm.component import LITELLM
from deploys.components.litellm.settings import PAYLOAD
from deploys.components.postgres_install import copy_name
from deploys.lib.component import Here
from tests.unit import site
from tests.unit.gateway_database import Database


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(PAYLOAD))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec = importlib.util.spec_from_file_location("litellm_database", PAYLOAD / "database.py")
    assert spec and spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    monkeypatch.setattr(made, "installed", lambda folder: dict.fromkeys(["1", "2", "3"]))
    return made


URL = "postgresql://u:p%2Fw@h:5432/litellm"
COPY = "postgresql://u:p%2Fw@h:5432/litellm_rehearsal"


def served(program: ModuleType, monkeypatch: pytest.MonkeyPatch, **databases: Database) -> None:
    monkeypatch.setattr(program, "connect", lambda url: databases["copy" if url == COPY else "real"])


def refusal(capsys: pytest.CaptureFixture[str], call: Any, *arguments: str) -> str:
    with pytest.raises(SystemExit):
        call(*arguments)
    return capsys.readouterr().err.removeprefix("portcullis: ").strip()


@pytest.mark.parametrize("name", ["litellm", "a" * 63])
@pytest.mark.parametrize("options", ["", "?sslmode=require&x=/y"])
def test_the_copy_has_one_name_for_the_gateway_and_for_the_databases_host(
    program: ModuleType, name: str, options: str
) -> None:
    url = f"postgresql://u:p%2Fw@[2001:db8::1]:5432/{name}{options}"
    assert program.copy_of(url) == url.replace(name, copy_name(name))
    assert len(copy_name(name)) <= 63
    assert 'return f"{database[:50]}_rehearsal"' in (PAYLOAD.parent / "postgres" / "dumps.py").read_text()


def test_a_database_that_lacks_any_migration_does_not_have_the_schema(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served(program, monkeypatch, real=Database(["1", "2", "3", "4"]))
    program.schema(URL)
    served(program, monkeypatch, real=Database(["1", "3"]))
    assert refusal(capsys, program.schema, URL) == "the database lacks 1 migrations, the last of them 2"
    served(program, monkeypatch, real=Database([]))
    assert "lacks 3 migrations" in refusal(capsys, program.schema, URL)


def test_nobody_migrates_data_that_no_copy_went_first(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for harmless in (Database([], tables=0), Database(["1", "2", "3"])):
        served(program, monkeypatch, real=harmless)
        program.rehearsed(URL)
    wanted = program.seal(["1", "2", "3"])
    for other in (None, [], [(wanted, program.seal(["1", "2"]))], [("x", program.seal(["1"]))]):
        served(program, monkeypatch, real=Database(["1"], rehearsals=other))
        said = refusal(capsys, program.rehearsed, URL)
        assert said.startswith("the database lacks 2 migrations of this version and no copy of it went through them")
    served(program, monkeypatch, real=Database(["1"], rehearsals=[(wanted, program.seal(["1"]))]))
    program.rehearsed(URL)


def ran(status: int, output: str, copy: Database, after: list[str]) -> Any:
    def run(command: list[str], env: dict[str, str], **more: object) -> Any:
        assert env["DATABASE_URL"] == COPY and "DISABLE_SCHEMA_UPDATE" not in env
        copy.finished = after
        return type("Done", (), {"returncode": status, "stdout": output, "stderr": ""})

    return run


def test_a_rehearsal_that_goes_well_is_noted_and_its_copy_removed(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, copy = Database(["1"]), Database(["1"])
    served(program, monkeypatch, real=real, copy=copy)
    monkeypatch.setenv("DISABLE_SCHEMA_UPDATE", "true")
    monkeypatch.setattr(program.subprocess, "run", ran(0, "", copy, ["1", "2", "3"]))
    program.rehearse(URL)
    assert real.finished == ["1"] and any("DROP DATABASE" in change for change in real.changes)
    program.rehearsed(URL)
    real.changes.clear()
    program.rehearse(URL)
    assert not real.changes, "the second gateway has nothing to do"


@pytest.mark.parametrize(
    ("status", "output", "after"),
    [
        (
            2,
            "Error: P3018 at postgresql://u:secret@h/d\n\x1b[31mDatabase error:\x1b[0m\nERROR: no such thing\nend",
            ["1"],
        ),
        (0, "fine", ["1", "2"]),
    ],
)
def test_a_rehearsal_that_fails_says_where_and_why_in_one_sentence(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    status: int, output: str, after: list[str],
) -> None:  # fmt: skip
    real, copy = Database(["1"]), Database(["1"])
    served(program, monkeypatch, real=real, copy=copy)
    monkeypatch.setattr(program.subprocess, "run", ran(status, output, copy, after))
    with pytest.raises(SystemExit):
        program.rehearse(URL)
    shown = capsys.readouterr()
    at, why = ("2", "ERROR: no such thing") if status else ("3", "fine")
    assert shown.err == (
        f"portcullis: the migration failed on a copy of the database at {at}: {why}; nothing was migrated, and the "
        "version in use was left alone\n"
    )
    assert "secret" not in shown.out
    assert real.rehearsals is None and any("DROP DATABASE" in change for change in real.changes)


def test_a_copy_of_something_else_is_not_rehearsed_on(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served(program, monkeypatch, real=Database(["1"]), copy=Database(["1", "2"]))
    assert "is not a copy of what litellm has now" in refusal(capsys, program.rehearse, URL)
    real = Database(["1"])
    real.copies = 0
    served(program, monkeypatch, real=real)
    assert "its host has made no dump in this run" in refusal(capsys, program.rehearse, URL)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    found: list[tuple[str, dict[str, Any]]] = []

    def record(kind: str) -> Any:
        return lambda **arguments: found.append((kind, arguments))

    for name in ("step", "unless", "gate"):
        monkeypatch.setattr(operations, name, record(name))
    monkeypatch.setattr("pyinfra.operations.files.put", record("put"))
    yield found


def test_the_databases_host_dumps_and_a_gateway_rehearses(calls: list[tuple[str, dict[str, Any]]]) -> None:
    members = site.split()
    done = {}
    for name in ("db", "gw-1", "cache"):
        calls.clear()
        LITELLM.before(site.place(members, name), "RUN")
        done[name] = [arguments for kind, arguments in calls if kind != "gate"]
        assert [kind for kind, _ in calls].count("gate") == 3, "the same on every host, or they wait for each other"
    assert done["cache"] == []
    _, dump, remove = done["db"]
    assert "dump /var/backups/portcullis/RUN/database litellm --rehearse" in dump["script"]
    assert "lacks litellm /usr/local/lib/portcullis/litellm-migrations.txt" in dump["unless"]
    assert "drop-rehearsal litellm" in remove["command"]
    connects, rehearses = done["gw-1"]
    assert "rehearsed /etc/litellm/.env" in connects["test"] and rehearses["_serial"] is True
    secret = connects["secret_stdin"]
    assert isinstance(secret, SecretStr) and "DATABASE_URL=" in secret.get_secret_value()
    for key in ("LITELLM_MASTER_KEY", "LITELLM_SALT_KEY", "REDIS_PASSWORD"):
        assert not [text for text in site.spellings(site.SECRETS[key]) if text in secret.get_secret_value()]
    assert not [text for text in site.spellings(site.SECRETS["POSTGRES_PASSWORD"]) if text in repr(calls)]


def test_a_run_without_gateways_neither_dumps_nor_rehearses(calls: list[tuple[str, dict[str, Any]]]) -> None:
    members = site.split(components=["postgres"])
    for name in ("db", "gw-1"):
        LITELLM.before(site.place(members, name), "RUN")
    assert {kind for kind, _ in calls} == {"gate"}


def test_a_gateway_is_checked_for_the_key_first_and_migrated_only_after_a_rehearsal() -> None:
    here: Here = site.single()
    # Before any file is written.
    key, reversible = LITELLM.guard(here)
    assert ' salt "$(new /etc/litellm/.env)" || exit 1' in key
    assert "migrations.py reversible /etc/litellm/.env /opt/litellm/1.106.2-" in reversible
    check = LITELLM.check(here)
    words = [
        next((word for word in (" salt ", "litellm-check", " rehearsed ", " keep ") if word in line), "")
        for line in check
    ]
    assert words == ["", " salt ", "litellm-check", " rehearsed ", " keep "]
    migrate = check[3]
    assert migrate.index(" schema ") < migrate.index(" rehearsed ") < migrate.index("start litellm-migrate.service")
    assert " rehearsed /etc/litellm/.env && " in migrate


def test_the_databases_host_is_asked_for_what_a_part_of_the_site_cannot_know() -> None:
    for release, names in (("13", ["another schema"]), ("", ["another schema", "another salt key"])):
        members = tuple(dataclasses.replace(m, release=release) if m.name == "db" else m for m in site.split())
        found = database.refusals(site.place(members, "gw-1"))
        assert [probe.name for probe in found] == names and {probe.on for probe in found} == {"db"}
        assert all(("psql -p 5432 " if not release else "psql --cluster 17/main ") in probe.command for probe in found)
