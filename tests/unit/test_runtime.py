"""Services in containers: what compose and systemd are told of them, and the program that makes them on a host."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from deploys.components import COMPONENTS
from deploys.lib.checks import unread_by_compose
from deploys.lib.containers import FOLDER, HARD_FACTOR, Container, Health, Log, compose_text
from deploys.lib.runtime import PROGRAM, contained, is_of, main_pid, run, unit_file
from deploys.lib.settings import SettingsError
from tests.unit import site

PLAIN = Container(service="one", image="portcullis-one:1-0123abcd", command=("/bin/one", "--flag"), user="one")
ME = pwd.getpwuid(os.getuid()).pw_name


def service(one: Container) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(compose_text([one], Log(20, 5)))["services"][one.service]
    return found


def everything(**data: object) -> dict[str, dict[str, Any]]:
    """Every service of a host with every component."""
    here = site.whole(runtime="compose", **data)
    texts = [f.text for c in COMPONENTS for f in c.files(here) if f.path.startswith(f"{FOLDER}/")]
    return {name: one for text in texts for name, one in yaml.safe_load(text)["services"].items()}


def test_a_host_has_the_runtime_it_is_given() -> None:
    assert not contained(site.single()) and contained(site.single(runtime="compose"))


def test_every_service_is_closed_in() -> None:
    for name, one in everything().items():
        assert one["read_only"] and one["cap_drop"] == ["ALL"] and "cap_add" not in one, name
        assert one["security_opt"] == ["no-new-privileges:true"] and "privileged" not in one, name
        assert one["mem_limit"] and one["memswap_limit"] == one["mem_limit"] and one["pids_limit"] and one["cpus"], name
        assert one["user"].startswith("${UID_") and "root" not in one["labels"]["portcullis.user"], name
        options = {"max-size": "20m", "max-file": "5"}
        assert one["logging"] == {"driver": "local", "options": options}, name
        assert one["restart"] == "no" and one["pull_policy"] == "never" and "ports" not in one, name
        assert not [mount for mount in one["volumes"] if "docker" in mount["source"]], name
        assert one.get("init") or name == "postgres", name


def test_what_may_be_open_is_what_the_setting_says_for_those_with_many_clients() -> None:
    """In the file and not left to the host: a change restarts each service in its turn, and can be gone back from."""
    many = {"postgres", "redis", "ollama", "litellm"}
    for data, number in (({}, 65_535), ({"engine_open_files": 4096}, 4096)):
        found = {name: one["ulimits"]["nofile"] for name, one in everything(**data).items()}
        assert found == {name: number if name in many else 1024 for name in found}


def test_the_gateway_waits_for_its_migration_and_its_stores() -> None:
    found = everything()
    waits = {name: one["condition"] for name, one in found["litellm"]["depends_on"].items()}
    healthy = {"postgres": "service_healthy", "redis": "service_healthy"}
    assert waits == {"migrate": "service_completed_successfully", **healthy}
    assert all(found[name]["healthcheck"]["test"][0] == "CMD" for name in healthy)


def test_what_a_container_may_take_is_within_the_hosts_plan() -> None:
    here = site.whole(runtime="compose")
    shares, limits = here.member.plan.shares, {name: int(one["mem_limit"][:-1]) for name, one in everything().items()}
    pressed = {name: int(one["mem_reservation"][:-1]) for name, one in everything().items() if "mem_reservation" in one}
    assert pressed["postgres"] == shares["postgres"] and pressed["litellm"] == shares["litellm"]
    assert pressed["redis"] <= shares["redis"] + 1 and limits["ollama"] == shares["ollama"]
    assert all(limits[name] == int(share * HARD_FACTOR) for name, share in pressed.items())
    assert shares["engine"] > 0 and "engine" not in {n for n, m in site.single().member.plan.shares.items() if m}


def test_no_dollar_sign_is_a_variable_but_ours() -> None:
    one = replace(PLAIN, command=("/bin/one", "$HOME"), environment={"A": "${B}"}, health=Health(("sh", "-c", "$x")))
    made = service(one)
    assert made["command"] == ["$$HOME"] and made["environment"] == {"A": "$${B}"}
    assert made["healthcheck"]["test"] == ["CMD", "sh", "-c", "$$x"]


def test_a_folder_is_mounted_once_and_only_where_it_is_there() -> None:
    one = replace(PLAIN, reads=("/etc/one", "/run/two"), writes=("/var/lib/one",), runtime=("/run/two", "/run/one"))
    mounts = {mount["target"]: mount.get("read_only", False) for mount in service(one)["volumes"]}
    assert mounts == {"/etc/one": True, "/run/two": True, "/var/lib/one": False, "/run/one": False}
    assert all(mount["bind"] == {"create_host_path": False} for mount in service(one)["volumes"])


def test_a_unit_stops_its_container_before_systemd_loses_patience() -> None:
    text = unit_file(replace(PLAIN, unit="one.service", stop_seconds=60, stop_signal="SIGINT"), "One").text
    assert "TimeoutStopSec=75\n" in text and "KillSignal=SIGINT\n" in text
    # With all rights: a file for the host's own service may say another user while the runtime changes.
    assert "ExecStop=-+/usr/bin/docker stop portcullis-one\n" in text
    assert "ExecStart=/usr/bin/docker start --attach portcullis-one\n" in text


@pytest.mark.parametrize("text", [main_pid("a.service"), f"pid=1; {is_of('a.service')}", run("one", "a b")])
def test_shell_text_parses(text: str) -> None:
    assert subprocess.run(["sh", "-n", "-c", text]).returncode == 0


def compose(folder: Path, *words: str, docker: str = "") -> subprocess.CompletedProcess[str]:
    """The program, with a folder of the test's and a docker that writes down what it is asked."""
    bin_ = folder / "bin"
    bin_.mkdir(exist_ok=True)
    (bin_ / "docker").write_text(docker or f'#!/bin/sh\necho "$*" >>{folder}/asked\n')
    (bin_ / "docker").chmod(0o755)
    ours = {"COMPOSE": str(folder), "ENVIRONMENT": f"{folder}/environment", "PATIENCE": "3"}
    ours["DAEMON"] = f"{folder}/daemon.json"
    environment = {**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}"} | {
        f"PORTCULLIS_{name}": value for name, value in ours.items()
    }
    return subprocess.run([sys.executable, str(PROGRAM), *words], env=environment, capture_output=True, text=True)


def test_the_program_writes_what_only_the_host_knows(tmp_path: Path) -> None:
    group = grp.getgrgid(os.getgid()).gr_name
    (tmp_path / "b.yaml").write_text(compose_text([replace(PLAIN, user=ME, groups=(group,))], Log(20, 5)))
    (tmp_path / "a.yaml").write_text("services: {}\n")
    assert compose(tmp_path, "env").returncode == 0
    said = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines())
    assert said["COMPOSE_FILE"] == f"{tmp_path}/a.yaml:{tmp_path}/b.yaml"
    assert said[f"UID_{ME}".replace("-", "_")] == str(os.getuid())
    assert said[f"GROUP_{group}".replace("-", "_")] == str(os.getgid())
    assert 1024 <= int(said["OPEN_FILES"]) <= 65535 and said["PROTECTED"] in ("0", "-500")
    assert int(said["CPUS"]) == os.cpu_count()
    assert {path.name for path in tmp_path.iterdir()} == {"a.yaml", "b.yaml", "bin", ".env", "host.env"}


def test_what_the_host_has_for_everyone_stops_no_service(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("services: {}\n")
    assert compose(tmp_path, "env").returncode == 0
    made = tmp_path / "host.env"
    assert made.read_text() == "", "a host may have nothing"
    lines = ['http_proxy=http://u:p$s"x@proxy:3128', 'A="b c"', "export Q='1'", "# no", "FOO BAR", 'X="open', "1=2"]
    (tmp_path / "environment").write_text("\n".join(lines))
    assert compose(tmp_path, "env").returncode == 0
    assert made.read_text() == 'http_proxy="http://u:p\\$s\\"x@proxy:3128"\nA="b c"\nQ="1"\nX="\\"open"\n'
    assert made.stat().st_mode & 0o777 == 0o600


def test_the_program_makes_and_runs_one_service_and_leaves_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(compose_text([replace(PLAIN, user=ME)], Log(20, 5)))
    assert compose(tmp_path, "create", "one").returncode == compose(tmp_path, "run", "one", "--x").returncode == 0
    created, ran = (tmp_path / "asked").read_text().splitlines()
    assert created.endswith("up --no-start --no-deps --no-build one")
    assert ran.endswith("run --rm --no-deps --no-TTY one --x")


def test_a_user_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(compose_text([replace(PLAIN, user="nobody-has-this")], Log(20, 5)))
    done = compose(tmp_path, "create", "one")
    assert done.returncode == 1 and "there is no user or group 'nobody-has-this' on this host" in done.stderr
    assert not (tmp_path / ".env").exists() and not (tmp_path / "asked").exists()


def test_what_compose_would_read_otherwise_is_named_and_not_shown() -> None:
    odd = "a$b\"c\\d'e #f\n"
    assert unread_by_compose({"a": odd, "b": SecretStr(odd), "c": 1}) == []
    (said,) = unread_by_compose({"redis_password": SecretStr("it`s"), "plain": "x"})
    assert said.startswith("redis_password: has a backtick") and "it`s" not in said


def test_a_secret_that_compose_would_change_is_refused_in_containers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(site.SECRETS, "LITELLM_SALT_KEY", "salt`0123456789abcdef0123456789ab")
    monkeypatch.setitem(site.SECRETS, "REDIS_HEALTH_PASSWORD", "health`cache-0123456789")
    site.single()
    with pytest.raises(SettingsError) as refused:
        site.single(runtime="compose")
    litellm, health = refused.value.problems
    assert "litellm: the variable LITELLM_SALT_KEY: has a backtick" in litellm
    assert "redis_health_password: has a backtick" in health


def test_an_image_of_the_gateway_without_containers_is_refused() -> None:
    image = f"registry.example.org/litellm@sha256:{'0' * 64}"
    with pytest.raises(SettingsError, match="litellm_image: an image needs containers"):
        site.single(litellm_image=image)
    site.single(litellm_image=image, runtime="compose")


@pytest.mark.parametrize(
    "words", [(), ("up",), ("create",), ("create", "a", "b", "c"), ("wait",), ("run",), ("env", "a")]
)
def test_words_it_does_not_know_are_answered_with_its_help(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = compose(tmp_path, *words)
    assert done.returncode == 2 and "compose create SERVICE" in done.stderr


STATES = """#!/bin/sh
n=$(cat {0}/n 2>/dev/null || echo 0); echo $((n + 1)) >{0}/n
set -- {1}
[ "$n" -lt $# ] || n=$(($# - 1))
shift "$n"; echo "$1" | tr _ ' '
"""


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ("created_ running_starting running_healthy", 0),
        ("running_", 0),
        ("running_starting exited_unhealthy", 1),
        ("exited_ running_starting running_healthy", 0),  # what it was before it was started
    ],
)
def test_the_program_waits_until_a_container_answers_or_has_ended(tmp_path: Path, states: str, status: int) -> None:
    assert compose(tmp_path, "wait", "one", docker=STATES.format(tmp_path, states)).returncode == status


def test_the_program_waits_for_no_database_that_takes_its_time(tmp_path: Path) -> None:
    done = compose(tmp_path, "wait", "one", docker="#!/bin/sh\necho running unhealthy\n")
    assert done.returncode == 0 and "one does not answer yet" in done.stderr


@pytest.mark.parametrize(("now", "left"), [("running_healthy", True), ("exited_", False)])
def test_what_a_container_left_goes_before_it_starts_anew_and_not_while_it_runs(
    tmp_path: Path, now: str, left: bool
) -> None:
    (tmp_path / "a.yaml").write_text(compose_text([replace(PLAIN, user=ME)], Log(20, 5)))
    folder = tmp_path / "run" / "workers"
    folder.mkdir(parents=True)
    (folder / "17").write_text("1")
    assert (
        compose(tmp_path, "create", "one", str(tmp_path / "run"), docker=STATES.format(tmp_path, now)).returncode == 0
    )
    assert (folder / "17").exists() is left and folder.is_dir()
