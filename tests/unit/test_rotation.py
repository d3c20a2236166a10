"""Secrets get other values: in the secrets file alone, whole or not at all, and never the ones that must stay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploys.lib.secrets import read_env_file
from scripts import make_secrets, rotate_secrets

TEXT = (
    "# a note\nLITELLM_MASTER_KEY=sk-old\nLITELLM_SALT_KEY=salt\n  REDIS_PASSWORD=old\n"
    "OPENAI_API_KEY=sk-theirs\nBACKUPS_PASSPHRASE=sealed\n"
)


@pytest.fixture
def secrets_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "production.py").touch()
    path = tmp_path / "secrets" / "production.env"
    path.parent.mkdir(mode=0o700)
    path.write_text(TEXT)
    path.chmod(0o600)
    monkeypatch.setattr(rotate_secrets, "ROOT", tmp_path)
    for name in make_secrets.MAKE:
        monkeypatch.delenv(name, raising=False)
    return path


def rotate(path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> int:
    inventory = path.parents[1] / "production.py"
    monkeypatch.setattr("sys.argv", ["rotate_secrets.py", str(inventory), name])
    old_umask = os.umask(0)
    try:
        return rotate_secrets.main()
    finally:
        os.umask(old_umask)


def copies(path: Path) -> list[Path]:
    return sorted(one for one in path.parent.iterdir() if one != path)


def test_one_value_is_exchanged_and_the_file_of_before_lies_beside_it(
    secrets_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rotate(secrets_file, "LITELLM_MASTER_KEY", monkeypatch) == 0
    made = read_env_file(secrets_file)
    assert made["LITELLM_MASTER_KEY"] != "sk-old" and made["LITELLM_MASTER_KEY"].startswith("sk-")
    assert len(made["LITELLM_MASTER_KEY"]) > 60
    assert secrets_file.read_text() == TEXT.replace("sk-old", made["LITELLM_MASTER_KEY"]), "no other line may change"
    (kept,) = copies(secrets_file)
    assert kept.name.startswith("production.env.2") and kept.read_text() == TEXT
    assert [oct(path.stat().st_mode & 0o777) for path in (secrets_file, kept)] == ["0o600", "0o600"]
    told = capsys.readouterr()
    assert f"secrets/{kept.name}" in told.out and "deploys/site.py" in told.out and "Virtual keys go on" in told.out
    assert not [value for value in (*made.values(), "sk-old") if value in told.out + told.err]


def test_several_at_once_leave_one_copy_and_another_time_another(
    secrets_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rotate(secrets_file, "LITELLM_MASTER_KEY, REDIS_PASSWORD", monkeypatch) == 0
    first = read_env_file(secrets_file)
    assert first["REDIS_PASSWORD"] != "old" and first["OPENAI_API_KEY"] == "sk-theirs"
    assert len(copies(secrets_file)) == 1
    assert rotate(secrets_file, "REDIS_PASSWORD", monkeypatch) == 0
    assert len({one.read_text() for one in copies(secrets_file)}) == 2
    assert read_env_file(secrets_file)["LITELLM_MASTER_KEY"] == first["LITELLM_MASTER_KEY"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("LITELLM_SALT_KEY", "LITELLM_SALT_KEY is not rotated: LiteLLM encrypts what is stored in the database"),
        ("BACKUPS_PASSPHRASE", "BACKUPS_PASSPHRASE is not rotated: pgBackRest cannot change what a repository in use"),
        ("REDIS_PASSWORD,LITELLM_SALT_KEY", "LITELLM_SALT_KEY is not rotated"),
        ("OPENAI_API_KEY", "OPENAI_API_KEY is none of the secrets made by `make secrets`; there are LITELLM_MASTER"),
        ("POSTGRES_PASSWORD", "secrets/production.env has no POSTGRES_PASSWORD; where the deploy takes it from"),
        ("", "name a secret: LITELLM_MASTER_KEY, POSTGRES_PASSWORD"),
    ],
)
def test_what_cannot_be_rotated_is_refused_with_the_reason(
    secrets_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, why: str
) -> None:
    assert rotate(secrets_file, name, monkeypatch) == 2
    assert capsys.readouterr().err.startswith(f"nothing was changed: {why}")
    assert secrets_file.read_text() == TEXT and copies(secrets_file) == []


def test_a_value_that_would_not_be_used_is_not_made(
    secrets_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "from outside")
    assert rotate(secrets_file, "REDIS_PASSWORD", monkeypatch) == 2
    assert "REDIS_PASSWORD is set in the environment, which goes before secrets/prod" in capsys.readouterr().err
    monkeypatch.delenv("REDIS_PASSWORD")
    secrets_file.write_text(TEXT + "REDIS_PASSWORD=twice\n")
    assert rotate(secrets_file, "REDIS_PASSWORD", monkeypatch) == 2
    assert "REDIS_PASSWORD is in it 2 times" in capsys.readouterr().err
    assert copies(secrets_file) == []


def test_a_file_that_others_may_read_is_refused(
    secrets_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets_file.chmod(0o640)
    assert rotate(secrets_file, "REDIS_PASSWORD", monkeypatch) == 2
    assert "may be read by others (mode 0640)" in capsys.readouterr().err and copies(secrets_file) == []


def test_a_write_that_fails_leaves_the_file_as_it_was(
    secrets_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fails)
    assert rotate(secrets_file, "REDIS_PASSWORD", monkeypatch) == 2
    assert "nothing was changed: [Errno 28] No space left" in capsys.readouterr().err
    assert secrets_file.read_text() == TEXT


def test_a_link_to_where_secrets_are_kept_stays_a_link(secrets_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = secrets_file.parents[1] / "vault"
    vault.mkdir()
    secrets_file.rename(vault / "gateway.env")
    secrets_file.symlink_to(vault / "gateway.env")
    assert rotate(secrets_file, "REDIS_PASSWORD", monkeypatch) == 0
    assert secrets_file.is_symlink() and read_env_file(secrets_file)["REDIS_PASSWORD"] != "old"
    assert len(copies(vault / "gateway.env")) == 1 and copies(secrets_file) == []


def test_every_secret_that_is_made_is_rotated_or_refused_with_a_reason() -> None:
    assert set(rotate_secrets.MEANS) | set(rotate_secrets.REFUSED) == set(make_secrets.MAKE)
    assert not set(rotate_secrets.MEANS) & set(rotate_secrets.REFUSED)
