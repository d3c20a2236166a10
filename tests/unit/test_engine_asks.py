"""What is asked before an engine is changed: whose it is, and whether a registry has the image."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from deploys.components import engine_foreign
from deploys.components.engine_files import DAEMON
from deploys.components.engine_settings import EngineSettings
from deploys.lib.component import Here, Probe
from deploys.lib.render import ROOT
from deploys.lib.transaction import STATE
from tests.local_server import serving
from tests.unit.test_engine import here, run

DIGEST = f"sha256:{'0' * 64}"
MANIFEST = ROOT / "payload/engine/manifest.py"


def refusal(name: str, place: Here | None = None) -> Probe:
    (found,) = [one for one in engine_foreign.refusals(place or here(), f"python@{DIGEST}") if name in one.name]
    return found


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Path]:
    for folder in ("etc", "state/served/engine", "state/pending"):
        (tmp_path / folder).mkdir(parents=True)
    yield tmp_path


def asked(name: str, host: Path, **programs: str) -> tuple[int, str]:
    text = refusal(name).command.replace(DAEMON, str(host / "etc/daemon.json")).replace(STATE, str(host / "state"))
    return run(text, host, **programs)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ""),
        ('{"ip": "127.0.0.1"}', ""),
        ('{"ip": "127.0.0.1", "log-driver": "journald", "dns": ["192.0.2.1"]}', "has dns, log-driver"),
        ('{"proxies": {"http-proxy": "http://user:word@proxy"}}', "has proxies"),
        ("[]", "is no JSON object"),
        ("{", "is no JSON"),
    ],
)
def test_keys_that_a_run_would_overwrite_are_named_and_their_values_are_not(text: str, said: str, host: Path) -> None:
    file = host / "etc/daemon.json"
    assert asked("daemon.json", host) == (0, ""), "there is none"
    file.write_text(text)
    advice = "a run would overwrite it: move it away, and set what is needed of it with engine_extra_config"
    expected = (1, f"{file} is not of Portcullis and {said}; {advice}") if said else (0, "")
    assert asked("daemon.json", host) == expected


@pytest.mark.parametrize("noted", ["served/engine/files.tsv", "pending/engine"])
def test_what_is_in_the_ledger_is_ours_whatever_is_in_it(noted: str, host: Path) -> None:
    (host / "etc/daemon.json").write_text('{"dns": []}')
    (host / "state" / noted).write_text(f"row\t{host / 'etc/daemon.json'}\t\n")
    assert asked("daemon.json", host) == (0, "")
    assert asked("else's containers", host, docker="echo theirs none") == (0, "")


def test_somebody_elses_containers_would_end_with_a_restart_and_ours_do_not_count(host: Path) -> None:
    assert asked("else's containers", host, docker="exit 1") == (0, ""), "an engine that does not run has none"
    assert asked("else's containers", host, docker="echo portcullis-redis portcullis") == (0, "")
    status, said = asked(
        "else's containers", host, docker="printf 'web shop\\nplain \\nportcullis-redis portcullis\\n'"
    )
    assert status == 1 and "did not set up, with the containers plain web; it would be restarted" in said


@pytest.mark.parametrize(
    ("text", "extra", "keys"),
    [
        ("{}", {}, ""),
        ("{}", {"data-root": "/var/lib/docker"}, ""),
        ('{"data-root": "/srv/docker", "bip": "192.0.2.1/24"}', {"data-root": "/srv/docker"}, "bip"),
        ("{}", {"data-root": "/srv/docker", "storage-driver": "vfs"}, "data-root, storage-driver"),
        ('{"data-root": "/srv/docker"}', {}, "data-root"),
        ("{", {"exec-root": "/run/other"}, "exec-root"),
        ('{"mtu": 1400}', {"mtu": 1500}, ""),
        ("{}", {"features": {"cdi": True}}, ""),
        ("{}", {"features": {"containerd-snapshotter": True}}, "containerd-snapshotter"),
    ],
)
def test_the_engine_is_not_moved_away_from_containers_that_run(
    text: str, extra: dict[str, object], keys: str, host: Path
) -> None:
    (host / "etc/daemon.json").write_text(text)
    place = here(engine_extra_config=json.dumps(extra))
    command = refusal("another place", place).command.replace(DAEMON, str(host / "etc/daemon.json"))
    said = f"engine_extra_config: {keys} cannot change while containers run, live-restore would lose them; "
    expected = (1, f"{said}go to runtime systemd first") if keys else (0, "")
    assert run(command, host, docker='case "$*" in *label=portcullis.unit*) echo id ;; esac') == expected
    assert run(command, host, docker="exit 0") == (0, ""), "none of ours runs"


@pytest.mark.parametrize(
    ("release", "theirs", "instead"), [("13", "docker-ce", "docker"), ("12", "docker.io", "debian")]
)
def test_packages_of_the_other_kind_are_not_removed_in_passing(
    release: str, theirs: str, instead: str, tmp_path: Path
) -> None:
    command = refusal("packages", here(release)).command
    query = f'case "$*" in *" {theirs}") printf installed ;; *) exit 1 ;; esac'
    assert run(command, tmp_path, **{"dpkg-query": query}) == (
        1,
        f"engine_packages: the host has {theirs}, which would be removed; use `{instead}`, or remove it",
    )
    assert run(command, tmp_path, **{"dpkg-query": "exit 1"}) == (0, "")


def test_a_host_that_does_not_allow_as_many_files_is_told_before_no_container_starts(tmp_path: Path) -> None:
    status, said = run(refusal("allows").command, tmp_path, prlimit="exit 1")
    assert status == 1 and said.startswith("engine_open_files: the host allows ") and "lower it" in said
    assert run(refusal("allows").command, tmp_path, prlimit="exit 0") == (0, "")


@pytest.mark.parametrize(
    ("environment", "config", "why"),
    [
        (None, None, ""),
        ("PATH=/usr/bin:/bin\nDOCKER_HOST=\n", '{"auths": {}}', ""),
        ('DOCKER_HOST="unix:///var/run/docker.sock"\n', '{"currentContext": "default"}', ""),
        ("DOCKER_HOST=tcp://192.0.2.1:2376\n", None, "DOCKER_HOST in {0}/environment; remove it"),
        ("DOCKER_HOST=tcp://192.0.2.1\nPS1=(a\n", None, "DOCKER_HOST in {0}/environment; remove it"),
        ("DOCKER_CONTEXT=remote\n", None, "DOCKER_CONTEXT in {0}/environment; remove it"),
        (
            "",
            '{\n\t"currentContext": "remote"\n}',
            "the context remote in {0}/config.json; say: docker context use default",
        ),
    ],
)
def test_an_engine_that_is_not_the_hosts_own_gets_no_images(
    environment: str | None, config: str | None, why: str, tmp_path: Path
) -> None:
    for name, text in (("environment", environment), ("config.json", config)):
        if text is not None:
            (tmp_path / name).write_text(text)
    command = refusal("another engine").command
    command = command.replace("/etc/environment", f"{tmp_path}/environment").replace("/root/.docker", str(tmp_path))
    said = "images would go to another engine than the host's own, where the services run, because of "
    assert run(command, tmp_path) == ((1, said + why.format(tmp_path)) if why else (0, ""))
    assert refusal("another engine", here(engine_images_from="controller")).command == refusal("another engine").command


class Registry(BaseHTTPRequestHandler):
    """A registry that answers by the repository's name, and gives tokens to everyone."""

    def do_HEAD(self) -> None:
        """200, 404, 500; a token first; a login."""
        name = self.path.split("/")[2]
        status = {"there": 200, "gone": 404, "broken": 500, "login": 401}.get(name, 404)
        if name == "token":
            status = 200 if self.headers.get("Authorization") == "Bearer given" else 401
        self.send_response(status)
        if status == 401 and name == "token":
            realm = f"http://{self.headers['Host']}/token"
            self.send_header("WWW-Authenticate", f'Bearer realm="{realm}",service="r"')
        elif status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="r"')
        self.end_headers()

    def do_GET(self) -> None:
        """A token for what is pulled."""
        right = self.path == "/token?service=r&scope=repository%3Atoken%2Fx%3Apull"
        self.send_response(200 if right else 400)
        self.end_headers()
        self.wfile.write(b'{"token": "given"}')

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    with serving(Registry) as address:
        yield address


def manifest(image: str, insecure: list[str], mirrors: list[str] | None = None) -> tuple[int, str]:
    question = json.dumps({"insecure": insecure, "mirrors": mirrors or [], "unverified": False})
    done = subprocess.run(
        [sys.executable, str(MANIFEST), image, question],
        capture_output=True,
        text=True,
        timeout=30,
        env={"no_proxy": "*"},
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("there", ""),
        ("token", ""),
        ("login", ""),
        ("gone", "http://{0} has no gone/x with this digest"),
        ("broken", "http://{0} answers with status 500"),
    ],
)
@pytest.mark.parametrize("network", [False, True])
def test_a_registry_is_asked_for_the_digest(name: str, why: str, network: bool, registry: str) -> None:
    image = f"{registry}/{name}/x:tag@{DIGEST}"
    insecure = ["127.0.0.0/8"] if network else [registry]
    said = f"engine_base_image: {image}: {why.format(registry)}; set engine_base_image or engine_registry_mirrors"
    assert manifest(image, insecure) == ((1, said) if why else (0, ""))


def test_a_registry_that_is_not_there_is_named_with_the_reason() -> None:
    status, said = manifest(f"127.0.0.1:1/x@{DIGEST}", [])
    assert status == 1 and "https://127.0.0.1:1 cannot be asked from the host ([Errno 111] Connection refused)" in said


def test_an_official_image_is_asked_of_the_mirrors_first(registry: str) -> None:
    """The registry here knows the repository `there`; Docker Hub itself is not reached by this test."""
    assert manifest(f"there/x@{DIGEST}", [], ["http://127.0.0.1:1", f"http://{registry}"]) == (0, "")


def test_the_host_is_asked_only_when_it_has_not_got_the_image(tmp_path: Path) -> None:
    command = refusal("fetched").command
    python = {"python3": "echo asked; exit 1", "systemctl": "exit 0"}
    assert run(command, tmp_path, docker="exit 0", **python) == (0, "")
    assert run(command, tmp_path, docker="exit 1", **python) == (1, "asked")
    proxied = "echo HTTPS_PROXY=http://proxy:1 OTHER=2"
    says = {"python3": 'echo "$HTTPS_PROXY$OTHER"', "systemctl": proxied}
    assert run(command, tmp_path, docker="exit 1", **says) == (0, "http://proxy:1")


def test_certificates_are_looked_at_unless_the_host_is_about_to_learn_whom_to_trust() -> None:
    s = EngineSettings()
    assert '"unverified": false' in engine_foreign.question(s, "x", False)
    assert '"unverified": true' in engine_foreign.question(s, "x", True)
    only_the_engine = EngineSettings(extra_config='{"proxies": {"https-proxy": "http://proxy:1"}}')
    assert engine_foreign.question(only_the_engine, "x", False) == "true"
