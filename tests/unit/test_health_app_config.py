"""The health app's settings: what is read, what is refused, and in which words."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from portcullis_health.__main__ import main
from portcullis_health.config import ConfigError, load, parse, secrets_from

from tests.unit.test_health_app_support import settings, write_settings


def refusal(**changes: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse({**settings(), **changes}, "health.json")
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_everything_can_be_set() -> None:
    config = parse(
        {
            "_comment": "Managed by Portcullis.",
            "listen": {"host": "[::1]", "port": 4001},
            "gateway": {"url": "http://[::1]:4100/", "unit": "portcullis-litellm.service"},
            "database": {
                "host": "::1",
                "port": 5433,
                "name": "litellm",
                "user": "health",
                "tls": True,
                "ca_file": "/ca",
            },
            "redis": {"host": "redis.internal", "port": 6380, "username": "health", "tls": True},
            "redis_required": False,
            "models": [
                {"name": "a", "kind": "ollama", "api_base": "http://[fd00::1]:11434/", "model": "tiny"},
                {"name": "b", "kind": "http", "url": "https://models.internal/v1"},
                {"name": "c", "kind": "static"},
            ],
            "probe_interval_seconds": 2,
            "timeout_seconds": 3,
            "dependency_interval_seconds": 10,
            "unresponsive_after_seconds": 6.5,
            "drain_file": "/run/x/drain",
        },
        "health.json",
    )
    assert (config.host, config.port, config.gateway.url) == ("::1", 4001, "http://[::1]:4100")
    assert config.gateway.unit == "portcullis-litellm.service"
    assert config.database is not None and config.database.host == "::1" and config.database.tls
    assert config.redis is not None and config.redis.username == "health" and not config.redis_required
    assert [model.tag for model in config.models] == ["tiny:latest", "", ""]
    assert config.models[0].url == "http://[fd00::1]:11434"
    assert (config.probe_interval, config.timeout, config.unresponsive_after) == (2.0, 3.0, 6.5)


def test_defaults_are_the_documented_ones() -> None:
    config = parse({"gateway": {"url": "http://127.0.0.1:4100"}, "models": [{"name": "m", "kind": "static"}]}, "f")
    assert (config.host, config.port, str(config.drain_file)) == ("127.0.0.1", 4001, "/run/portcullis-health/drain")
    assert (config.probe_interval, config.timeout) == (1.0, 2.0)
    assert (config.dependency_interval, config.unresponsive_after) == (5.0, 5.0)
    assert config.redis_required and config.database is None and config.redis is None


@pytest.mark.parametrize(
    ("tag", "expected"), [("tiny", "tiny:latest"), ("t:1b", "t:1b"), ("hub:80/t", "hub:80/t:latest")]
)
def test_a_model_without_tag_means_latest(tag: str, expected: str) -> None:
    model = {"name": "m", "kind": "ollama", "api_base": "http://h:1", "model": tag}
    assert parse(settings(models=[model]), "f").models[0].tag == expected


def test_a_misspelt_key_is_refused_with_the_nearest_one() -> None:
    assert (
        refusal(probe_intervall_seconds=1)
        == 'health.json: probe_intervall_seconds: unknown key; did you mean "probe_interval_seconds"?'
    )


def test_a_password_in_the_file_is_refused_and_not_repeated() -> None:
    message = refusal(database={"host": "h", "name": "n", "user": "u", "password": "hunter2"})
    assert message == (
        "health.json: database.password: unknown key; known keys: ca_file, host, name, port, tls, user "
        "(a password does not belong in this file: it is read from the environment, HEALTH_DATABASE_PASSWORD)"
    )
    assert "hunter2" not in refusal(gateway={"url": "http://me:hunter2@h:1"})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gateway": {}}, "gateway.url: missing"),
        ({"gateway": None}, "gateway: missing"),
        ({"gateway": {"url": "127.0.0.1:4100"}}, "gateway.url: must be an http or https URL"),
        ({"gateway": {"url": "http://h:99999"}}, "gateway.url: must be an http or https URL"),
        # Of an older version: what it counted cannot be seen from the app's sandbox.
        ({"gateway": {"url": "http://h", "workers": 4}}, "gateway.workers: unknown key"),
        ({"gateway": {"url": "http://h", "unit": "../x"}}, "gateway.unit: must be a systemd unit name"),
        ({"listen": {"port": "4001"}}, 'listen.port: must be a whole number from 1 to 65535, not "4001"'),
        ({"listen": {"port": True}}, "listen.port: must be a whole number from 1 to 65535, not true"),
        ({"models": []}, "models: at least one is needed"),
        ({"models": [{"name": "m", "kind": "magic"}]}, 'models[0].kind: must be "ollama", "http" or "static"'),
        ({"models": [{"name": "m", "kind": "http"}]}, "models[0].url: missing"),
        ({"models": [{"name": "m", "kind": "static", "url": "http://h"}]}, "models[0].url: unknown key"),
        ({"models": [{"name": "m", "kind": "static"}] * 2}, 'models[1].name: "m" is listed twice'),
        ({"models": "m"}, 'models: must be a list of objects, not "m"'),
        ({"timeout_seconds": float("nan")}, "timeout_seconds: must be from"),
        ({"timeout_seconds": 1.95}, "unresponsive_after_seconds: must be at least"),
        ({"drain_file": "drain"}, "drain_file: must be an absolute path"),
        ({"redis_required": "yes"}, 'redis_required: must be true or false, not "yes"'),
        ({"drain_file": "/run/a\nb"}, "drain_file: must be a non-empty string of printable characters"),
    ],
)
def test_refused(changes: dict[str, Any], words: str) -> None:
    assert words in refusal(**changes)


def test_all_problems_are_named_at_once() -> None:
    message = refusal(timeout_seconds=-1, nonsense=1)
    assert "timeout_seconds: must be" in message and "nonsense: unknown key" in message


@pytest.mark.parametrize(
    ("text", "words"),
    [('{"a": ', "not valid JSON at line 1"), ("[]", "must hold one JSON object"), ("\udcff", "not valid JSON")],
)
def test_a_broken_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "health.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ") and words in str(caught.value)


def test_exit_code_2_and_one_line_for_bad_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path / "absent.json")]) == 2
    assert capsys.readouterr().err == f"portcullis-health: {tmp_path}/absent.json: No such file or directory\n"
    database = {"host": "h", "name": "n", "user": "u", "tls": True, "ca_file": str(tmp_path / "ca.pem")}
    path = write_settings(tmp_path / "health.json", settings(database=database))
    assert main(["--config", str(path)]) == 2
    assert capsys.readouterr().err == f'portcullis-health: database.ca_file: "{tmp_path}/ca.pem" cannot be read\n'


def test_check_needs_no_secret_but_a_start_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEALTH_DATABASE_PASSWORD", raising=False)
    path = write_settings(tmp_path / "h.json", settings(database={"host": "h", "name": "n", "user": "u"}))
    assert main(["--config", str(path), "--check"]) == 0
    assert capsys.readouterr().out == f"{path}: fine\n"
    assert main(["--config", str(path)]) == 2
    assert capsys.readouterr().err.startswith("portcullis-health: HEALTH_DATABASE_PASSWORD is not set")


def test_secrets_have_no_readable_form() -> None:
    config = parse(settings(database={"host": "h", "name": "n", "user": "u"}), "f")
    secrets = secrets_from({"HEALTH_DATABASE_PASSWORD": "hunter2", "HEALTH_REDIS_PASSWORD": ""}, config)
    assert secrets.database == "hunter2" and secrets.redis is None
    assert "hunter2" not in f"{secrets!r} {secrets}"


def test_an_unusable_command_line_is_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "portcullis_health"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2] / "payload/health",
    )
    assert done.returncode == 2 and "--config" in done.stderr


def test_settings_of_the_other_tests_are_good() -> None:
    assert parse(json.loads(json.dumps(settings())), "f").timeout == 0.8
