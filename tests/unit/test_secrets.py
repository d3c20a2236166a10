"""References to secrets: what is read, what is refused, and that no message repeats a value."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from deploys.components.redis import RedisSettings
from deploys.lib import secrets
from deploys.lib.secrets import SecretError, read_env_file, read_secret
from deploys.lib.settings import SettingsError, settings_from
from scripts import make_secrets
from tests.host import support_canary

STRONG = "Correct-horse-battery-1"
HINT = "secrets/x.env"


def read(reference: str) -> str:
    return read_secret(reference, {"STORED": STRONG}, HINT).get_secret_value()


def refused(reference: str) -> str:
    with pytest.raises(SecretError) as caught:
        read(reference)
    return str(caught.value)


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORED", raising=False)
    secrets._run.cache_clear()


def test_a_secret_comes_from_the_environment_before_the_secrets_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read("env:STORED") == STRONG
    monkeypatch.setenv("STORED", "from outside")
    assert read("env:STORED") == "from outside"


def test_a_secret_comes_from_a_file_without_its_last_line_break(tmp_path: Path) -> None:
    (tmp_path / "s").write_text(f"{STRONG}\n")
    assert read(f"file:{tmp_path}/s") == STRONG


def test_a_command_gives_a_secret_and_is_asked_once(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    command = f"cmd:sh -c 'echo x >>{asked}; echo {STRONG}'"
    assert [read(command), read(command)] == [STRONG, STRONG]
    assert asked.read_text() == "x\n"


@pytest.mark.parametrize("literal", [STRONG, "password", "vault:x", "env:", "cmd:", "file:", "https://x.example/y"])
def test_a_literal_is_refused_and_not_repeated(literal: str) -> None:
    said = refused(literal)
    assert said == "a literal value is refused; give a reference: env:NAME, file:PATH or cmd:COMMAND"
    with pytest.raises(SettingsError) as caught:
        settings_from({"redis_password": literal}, "redis_", RedisSettings, lambda ref: SecretStr(read(ref)))
    line = next(problem for problem in caught.value.problems if problem.startswith("redis_password"))
    assert line == f"redis_password: {said}"


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        (
            "env:NOT_SET",
            "env:NOT_SET is set neither in the environment nor in secrets/x.env; export it, or add a line "
            "NOT_SET=... to that file",
        ),
        (
            "env:LITELLM_SALT_KEY",
            "env:LITELLM_SALT_KEY is set neither in the environment nor in secrets/x.env; `make secrets` creates it",
        ),
        ("file:/nowhere/at/all", "file:/nowhere/at/all cannot be read: No such file or directory"),
        ("file:/", "file:/ cannot be read: Is a directory"),
        ("cmd:no-such-program x", "cmd:no-such-program x: there is no such program on this machine"),
        ("cmd:sh -c 'echo hidden; exit 3'", "cmd:sh -c 'echo hidden; exit 3': exit status 3"),
        ("cmd:sh -c 'unfinished", "cmd:sh -c 'unfinished: No closing quotation"),
        ("cmd:  ", "cmd: names no command"),
        ("cmd:/", "cmd:/: Permission denied"),
        ("cmd:printf '\\377'", "cmd:printf '\\377': what it prints is not text"),
        ("cmd:true", "cmd:true is empty"),
        ("cmd:printf 'a\\nb'", "cmd:printf 'a\\nb' has more than one line; a secret is one line of text"),
        ("cmd:printf 'a\\rb'", "cmd:printf 'a\\rb' has more than one line; a secret is one line of text"),
    ],
)
def test_a_reference_that_gives_no_secret_is_named(reference: str, sentence: str) -> None:
    assert refused(reference) == sentence


def test_a_command_that_waits_for_a_person_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "COMMAND_SECONDS", 0.1)
    assert refused("cmd:sleep 5") == "cmd:sleep 5: no answer after 0.1 s"


def test_an_empty_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORED", "")
    assert refused("env:STORED") == "env:STORED is empty"


def test_a_secrets_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.env"
    path.write_text(f"NAME={STRONG}\n")
    for mode in (0o644, 0o640, 0o602):
        path.chmod(mode)
        with pytest.raises(SecretError) as caught:
            read_env_file(path)
        assert str(caught.value) == f"{path} may be read by others (mode {mode:04o}); run: chmod 600 {path}"
    path.chmod(0o600)
    assert read_env_file(path) == {"NAME": STRONG}


def test_a_secrets_file_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "x.env"
    path.write_text("# note\n\nA=plain\nB='in quotes'\nC = \"double\" \nD=it's\nE=a=b==\nF=ends'\n")
    path.chmod(0o600)
    values = {"A": "plain", "B": "in quotes", "D": "it's", "E": "a=b==", "F": "ends'"}
    with pytest.raises(SecretError, match=r"x\.env line 5: expected NAME=value$"):
        read_env_file(path)
    path.write_text(path.read_text().replace('C = "double" \n', ""))
    assert read_env_file(path) == values
    path.write_text(f"{STRONG}\n")
    with pytest.raises(SecretError) as caught:
        read_env_file(path)
    assert STRONG not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("short", "has 5 characters and needs at least 16"),
        ("password", "is a well-known default"),
        ("sk-1234", "is a well-known default"),
        ("aaaaaaaaaaaaaaaaaaaaaaaa", "repeats too few different characters"),
    ],
)
def test_a_weak_secret_is_refused_and_not_repeated(value: str, why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_from(
            {"redis_password": "env:WEAK"},
            "redis_",
            RedisSettings,
            lambda ref: SecretStr(value if ref == "env:WEAK" else STRONG),
        )
    assert caught.value.problems == [f"redis_password: {why}; `make secrets` makes strong values"]


def test_whoever_lacks_a_secret_is_sent_to_make_secrets_for_what_it_makes_and_for_nothing_else() -> None:
    assert set(make_secrets.MAKE) == secrets.MADE


def test_make_secrets_makes_strong_private_values_and_never_a_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inventory = tmp_path / "production.py"
    inventory.touch()
    monkeypatch.setattr(make_secrets, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["make_secrets.py", str(inventory)])
    old_umask = os.umask(0)
    try:
        assert make_secrets.main() == 0
    finally:
        os.umask(old_umask)
    path = tmp_path / "secrets" / "production.env"
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    made = read_env_file(path)
    assert set(made) == {f"{name}" for name in make_secrets.MAKE}
    assert len(set(made.values())) == len(made) and all(len(value) >= 32 for value in made.values())
    text = path.read_text()
    assert make_secrets.main() == 0
    assert path.read_text() == text, "the salt key is never made again"
    shown = capsys.readouterr()
    assert not [value for value in made.values() if value in shown.out + shown.err]
    path.write_text("LITELLM_SALT_KEY=mine\n")
    assert make_secrets.main() == 0
    assert path.read_text().startswith("LITELLM_SALT_KEY=mine\nLITELLM_MASTER_KEY=")


def test_make_secrets_adds_to_a_file_that_was_edited_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inventory = tmp_path / "production.py"
    inventory.touch()
    monkeypatch.setattr(make_secrets, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["make_secrets.py", str(inventory)])
    path = tmp_path / "secrets" / "production.env"
    path.parent.mkdir()
    # Without an end of its last line, which the first new one would be appended to; and a name after spaces.
    path.write_text("  LITELLM_SALT_KEY=mine\nOPENAI_API_KEY=sk-theirs")
    path.chmod(0o600)
    assert make_secrets.main() == 0
    made = read_env_file(path)
    assert (made["LITELLM_SALT_KEY"], made["OPENAI_API_KEY"]) == ("mine", "sk-theirs")
    assert set(made) == {*make_secrets.MAKE, "OPENAI_API_KEY"}
    assert path.read_text().count("LITELLM_SALT_KEY") == 1


def test_every_setting_that_is_a_secret_is_looked_for_on_a_host() -> None:
    """By tests/host/lab/test_canary.py, or where it says."""
    assert support_canary.secret_settings() == {*support_canary.VALUES, *support_canary.ELSEWHERE}
    assert not set(support_canary.VALUES) & set(support_canary.ELSEWHERE)
