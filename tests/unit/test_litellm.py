"""LiteLLM: golden files, versions that must not run, keys, and how secrets are compared without showing them."""

from __future__ import annotations

import subprocess
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploys.components.litellm import config as litellm_config
from deploys.components.litellm import install as litellm_install
from deploys.components.litellm import probes as litellm_probes
from deploys.components.litellm.component import LITELLM
from deploys.components.litellm.settings import LitellmSettings, default_workers, locked_versions, refusal
from deploys.components.ollama_models import models_of
from deploys.components.ollama_settings import OllamaSettings
from deploys.lib.component import Here
from deploys.lib.render import quote_env
from deploys.lib.settings import SettingsError
from deploys.lib.sizing import Machine
from tests.local_server import serving
from tests.unit import certificates, golden, site


def refused(**data: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        site.single(**data)
    (problem,) = caught.value.problems
    return problem.removeprefix("gateway.example.org: ")


def test_rendered_files_and_scripts(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(litellm_install, "npm_files", lambda: "(package.json and package-lock.json)\n")
    scripts = litellm_install.scripts(site.single().settings(LitellmSettings), "/opt/litellm/FOLDER")
    own = {"prisma.sh": scripts["prisma"], "venv.sh": scripts["venv"].partition("# Managed")[2]}
    # What differs when Redis speaks TLS.
    here = site.single(**certificates.settings(tmp_path, ["127.0.0.1"]))
    tls = golden.rendered(LITELLM, here)
    own |= {f"{name}.tls": tls[name] for name in ("etc__litellm__config.yaml", "etc__litellm__.env")}
    golden.check(LITELLM, pytestconfig, own)


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("1.82.7", "is malicious: a credential stealer published on 2026-03-24 (MAL-2026-2144)"),
        ("1.82.8", "is malicious: a credential stealer published on 2026-03-24 (MAL-2026-2144)"),
        ("1.82.6", "has CVE-2026-42208: SQL injection before authentication, used in attacks; fixed in 1.83.7"),
        ("1.83.6", "has CVE-2026-42208: SQL injection before authentication, used in attacks; fixed in 1.83.7"),
        ("1.83.7", "has CVE-2026-47101: any user becomes administrator; fixed in 1.83.14"),
        ("1.83.13", "has CVE-2026-47101: any user becomes administrator; fixed in 1.83.14"),
        ("1.83.14", "has CVE-2026-49468: the Host header passes by authentication; fixed in 1.84.0"),
    ],
)
def test_a_release_with_a_known_hole_is_refused_by_its_advisory(version: str, why: str) -> None:
    assert refused(litellm_version=version) == f"litellm_version: LiteLLM {version} {why} (given: '{version}')"


def test_the_first_sound_release_is_not_refused_for_a_hole() -> None:
    assert refusal("1.84.0") == ""


def test_a_release_without_a_hash_lock_is_refused() -> None:
    assert locked_versions(), "there is at least one"
    assert refused(litellm_version="1.99.0") == (
        f"litellm_version: there is no hash lock for it; there is one for {', '.join(locked_versions())}. "
        "Make one with: make lock VERSION=1.99.0 (given: '1.99.0')"
    )


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("master", "sk-1234", "is a well-known default; `make secrets` makes a strong one"),
        ("master", "a" * 20 + "bcdefghijklmnop", "must begin with sk-; `make secrets` makes a strong one"),
        ("master", "sk-abcdefghij", "has 13 characters and needs at least 35; `make secrets` makes a strong one"),
        ("master", "sk-" + "ab" * 20, "repeats too few different characters; `make secrets` makes a strong one"),
        ("salt", "short-salt", "has 10 characters and needs at least 32; `make secrets` makes strong values"),
        ("salt", "changeme", "is a well-known default; `make secrets` makes strong values"),
    ],
)
def test_a_weak_key_is_refused_and_not_repeated(
    key: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(site.SECRETS, f"LITELLM_{key.upper()}_KEY", value)
    assert refused() == f"litellm_{key}_key: {sentence}"


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_PASSWORD", "LITELLM_SALT_KEY", "PORT", "NUM_WORKERS", "PATH"])
def test_a_variable_that_has_a_setting_of_its_own_cannot_be_set_beside_it(name: str) -> None:
    assert refused(litellm_environment={name: "x"}).startswith(
        f"litellm_environment: {name} is set by Portcullis or must stay unset"
    )


def test_other_variables_reach_the_environment_file() -> None:
    assert 'HTTPS_PROXY="http://proxy.example:3128"\n' in environment_file(
        site.single(litellm_environment={"HTTPS_PROXY": "http://proxy.example:3128"})
    )
    assert "is not the name of a variable" in refused(litellm_environment={"lower": "x"})
    assert "os.environ/ is resolved in config.yaml only" in refused(litellm_environment={"A": "os.environ/B"})


def environment_file(here: Here) -> str:
    return next(file.text for file in LITELLM.files(here) if file.path == "/etc/litellm/.env")


def test_the_environment_file_gives_every_value_back(tmp_path: Path) -> None:
    (tmp_path / "env").write_text(environment_file(site.single()))
    wanted = litellm_config.environment(site.single())
    show = " ".join(f'"${name}"' for name in wanted)
    done = subprocess.run(["sh", "-c", f". {tmp_path}/env; printf '%s\\n' {show}"], capture_output=True, text=True)
    plain = {name: text if isinstance(text, str) else text.get_secret_value() for name, text in wanted.items()}
    assert done.stdout.splitlines() == list(plain.values())
    assert plain["DATABASE_URL"] == "postgresql://litellm:data%2Fbase%20p%40ss%27w%24rd%3A0123@127.0.0.1:5432/litellm"


def test_a_gateway_is_told_the_addresses_of_the_others() -> None:
    made = litellm_config.environment(site.place(site.split({"db": "2001:db8::10"}), "gw-2"))
    assert made["DATABASE_URL"].get_secret_value().endswith("@[2001:db8::10]:5432/litellm")
    assert made["REDIS_HOST"] == "192.0.2.11"


def salt_refusal(here: Here, path: Path) -> subprocess.CompletedProcess[str]:
    command = LITELLM.refusals(here)[0].command.replace(litellm_probes.ENVIRONMENT, str(path))
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True)


def test_the_salt_key_on_the_host_is_recognised_and_another_one_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, here = tmp_path / "env", site.single()
    assert salt_refusal(here, path).returncode == 0, "a bare host has none"
    path.write_text(environment_file(here))
    done = salt_refusal(here, path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    monkeypatch.setitem(site.SECRETS, "LITELLM_SALT_KEY", "another-salt-0123456789-abcdefghij")
    done = salt_refusal(site.single(), path)
    assert done.returncode == 1
    assert done.stdout.startswith(
        "litellm_salt_key: this host has another salt key than the one offered; with a new one"
    )
    path.write_text('LITELLM_MASTER_KEY="x"\n')
    assert salt_refusal(here, path).returncode == 1, "a file without a salt key is not ours to overwrite"


def test_the_master_key_reaches_the_gateway_whole_and_in_no_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = 'sk-a"b$c`d\\e f0123456789012345678901234'
    heard = []

    class Gateway(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with serving(Gateway) as address:
        (tmp_path / "env").write_text(f"LITELLM_MASTER_KEY={quote_env(key)}\n")
        monkeypatch.setattr(litellm_probes, "ENVIRONMENT", f"{tmp_path}/env")
        command = litellm_probes.asking(site.single(litellm_port=int(address.rpartition(":")[2])), "/v1/models")
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=20)
    assert (done.returncode, heard) == (0, [f"Bearer {key}"]), done.stderr
    assert key not in command


def test_the_configuration_names_every_model_once_and_where_it_answers() -> None:
    here = site.place(site.split(), "gw-1")
    text = next(file.text for file in LITELLM.files(here) if file.path.endswith("config.yaml"))
    entries = yaml.safe_load(text)["model_list"]
    assert [entry["model_name"] for entry in entries] == ["llama3.2-3b", "nomic-embed-text", "toolkit-selftest"]
    assert {entry["litellm_params"].get("api_base") for entry in entries[:2]} == {"http://192.0.2.12:11434"}
    ids = [entry["model_info"]["id"] for entry in entries]
    assert len(set(ids)) == len(ids) == 1 + len(models_of(OllamaSettings()))


def test_another_model_changes_the_configuration_and_no_unit() -> None:
    """A unit that changed would make every new model a restart instead of a reload."""
    two = LITELLM.files(site.place(site.split(), "gw-1"))
    fewer = {"ollama_embedding_models": [], "ollama_models_size_bytes": {"llama3.2:3b": 2 * 1024**3}}
    one = LITELLM.files(site.place(site.split(**fewer), "gw-1"))
    changed = [a.path for a, b in zip(two, one, strict=True) if a.text != b.text]
    assert changed == ["/etc/litellm/config.yaml"]


@pytest.mark.parametrize(
    ("vcpus", "memory", "tenants", "workers"),
    [
        (4, 8192, {"ollama"}, 2),
        (8, 16384, {"ollama"}, 4),
        (4, 8192, set(), 4),
        (1, 4096, set(), 2),
        (16, 2048, set(), 1),
    ],
)
def test_workers_follow_processors_and_memory(vcpus: int, memory: int, tenants: set[str], workers: int) -> None:
    assert default_workers(Machine(vcpus, memory), frozenset(tenants)) == workers


def test_an_installation_that_serves_is_never_changed() -> None:
    names = {
        litellm_install.version_folder(here)
        for here in (site.single(), site.single(release="12"), site.single(litellm_prisma_mirror="https://m.example/p"))
    }
    assert len(names) == 3, "another Debian or another source of engines is another folder"
    assert litellm_install.version_folder(site.single()) == litellm_install.version_folder(site.single(redis_port=6380))


def test_gateways_of_one_database_have_the_same_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(site.SECRETS, "OTHER_SALT", "another-salt-0123456789-abcdefghij")
    groups = {"db": "postgres", "cache": "redis", "llm": "ollama", "gw-1": "litellm", "gw-2": "litellm"}
    hosts = [
        site.host(
            name,
            (group,),
            private_address=f"192.0.2.{number}",
            **({"litellm_salt_key": "env:OTHER_SALT"} if name == "gw-2" else {}),
        )
        for number, (name, group) in enumerate(groups.items(), 10)
    ]
    with pytest.raises(SettingsError) as caught:
        site.look(*hosts)
    assert "litellm_salt_key: gw-1 and gw-2 have different ones, and one database; give them the same" in str(
        caught.value
    )
