"""What a host is asked in an audit, what leaves it, and that no secret does."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from deploys.auditing import hostside
from deploys.auditing.facts import Deployment, program
from deploys.auditing.live import subject_from
from tests.local_server import serving

KEY = "sk-Zq8Lm3Xc7Vb2Nk9Jh4Gf6Td1"
PASSWORD = "Wm4Kx9Tz2Pq7"
CONFIG = f"model_list: []\ngeneral_settings:\n  master_key: {KEY}\n  database_url: postgresql://u:{PASSWORD}@db/l\n"


def proc(folder: Path, pid: int, words: list[str], **variables: str) -> Path:
    """A process as /proc shows it."""
    own = folder / str(pid)
    own.mkdir(parents=True)
    (own / "cmdline").write_text("".join(f"{word}\0" for word in words))
    (own / "environ").write_text("".join(f"{name}={value}\0" for name, value in variables.items()))
    (own / "cgroup").write_text("0::/system.slice/litellm.service\n")
    (own / "maps").write_text("7f00 r-xp 0 0 0 /opt/venv/lib/python3.11/site-packages/orjson/orjson.so\n")
    (own / "smaps_rollup").write_text("Rss: 400000 kB\nPss: 307200 kB\n")
    (own / "root").symlink_to(folder / "root")
    (own / "cwd").symlink_to(folder / "root" / "etc")
    return own


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host on which a gateway runs that nobody of us has set up; no program of this machine is asked."""
    site = tmp_path / "root" / "opt" / "venv" / "lib" / "python3.11" / "site-packages"
    for name in ("litellm-1.82.8.dist-info", "prometheus_client-0.22.dist-info", "flask-3.0.dist-info"):
        (site / name).mkdir(parents=True)
    (site / "litellm_init.pth").touch()
    (tmp_path / "root" / "etc").mkdir()
    (tmp_path / "root" / "etc" / "llm.yaml").write_text(CONFIG)
    words = ["/opt/venv/bin/python", "/opt/venv/bin/litellm", "--config", "llm.yaml", "--port", "1"]
    secrets = {"LITELLM_MASTER_KEY": KEY, "DATABASE_URL": f"postgresql://u:{PASSWORD}@db/l", "ACME_HINT": PASSWORD}
    proc(tmp_path, 41, words, LITELLM_LOG="DEBUG", LITELLM_SALT_KEY="os.environ/LITELLM_SALT_KEY", **secrets)
    proc(tmp_path, 42, words)
    proc(tmp_path, 7, ["/usr/bin/vim", "litellm.yaml"])
    proc(tmp_path, 8, ["/opt/venv/bin/litellm", "--config", "llm.yaml", "--validate_config"])
    monkeypatch.setattr(hostside, "run", lambda *words, env=None: "")
    return tmp_path


def collected(host: Path) -> dict[str, Any]:
    found: dict[str, Any] = hostside.collect(str(host), str(host / "none.yaml"), str(host / "no-backups"))
    return found


def test_a_gateway_is_found_by_its_process_with_its_files_and_packages(host: Path) -> None:
    found = collected(host)
    assert found["found"] and found["running"]
    assert found["path"] == str(host / "root" / "etc" / "llm.yaml") or found["path"].endswith("/etc/llm.yaml")
    assert found["packages"] == {"litellm": "1.82.8", "prometheus-client": "0.22"}
    assert found["pth"] == ["litellm_init.pth"]
    assert found["workers_mb"] == [300, 300]
    assert found["words"].endswith("litellm --config llm.yaml --port 1")


def test_no_value_of_a_secret_leaves_the_host(host: Path) -> None:
    found = collected(host)
    text = json.dumps(found)
    assert KEY not in text and PASSWORD not in text
    assert found["environment"] == {
        "LITELLM_LOG": "DEBUG",
        "LITELLM_SALT_KEY": "os.environ/LITELLM_SALT_KEY",
        "LITELLM_MASTER_KEY": f"<masked.{len(KEY)}.sk>",
        "DATABASE_URL": f"postgresql://u:<masked.{len(PASSWORD)}>@db/l",
        "ACME_HINT": "(set)",
    }
    assert f"master_key: <masked.{len(KEY)}.sk>" in found["config"]


def test_a_host_without_litellm_says_so(tmp_path: Path) -> None:
    assert collected(tmp_path) == {"found": False}


def test_a_gateway_that_is_not_running_is_judged_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostside, "run", lambda *words, env=None: "")
    (tmp_path / "none.yaml").write_text(CONFIG)
    found = collected(tmp_path)
    assert (found["found"], found["running"]) == (True, False) and KEY not in json.dumps(found)
    subject, notes = subject_from("gw", found)
    assert subject.env is None and "the environment; no LiteLLM is running" in notes


def test_what_runs_on_the_host_is_one_program_that_needs_nothing_of_ours(tmp_path: Path) -> None:
    compile(program(), "program", "exec")
    assert "from deploys" not in program()
    command = Deployment().command()
    # A probe of the text alone: the questions are not asked of the machine that runs the tests.
    quiet = command.replace(
        "json.dumps(collect())", 'json.dumps({"found": is_secret("api_key") and not read("/none")})'
    )
    assert quiet != command
    done = subprocess.run(["sh", "-c", quiet], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"found": true}\n', "")


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        (['{"found": false}'], {"found": False}),
        (["a warning", '{"found": true, "path": "x"}'], {"found": True, "path": "x"}),
        ([], {"error": "the answer cannot be read"}),
        (["sudo: a password is required"], {"error": "the answer cannot be read"}),
        (["[1]"], {"error": "the answer is not an object"}),
    ],
)
def test_the_answer_is_read(output: list[str], answer: dict[str, Any]) -> None:
    assert Deployment().process(output) == answer


def test_postgres_is_asked_with_the_password_in_no_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def run(*words: str, env: dict[str, str] | None = None) -> str:
        calls.append((words, env))
        return "" if words[0] == "runuser" else "100|37\n"

    monkeypatch.setattr(hostside, "run", run)
    assert hostside.postgres(f"postgresql://u:{PASSWORD}@10.0.0.9:6432/litellm") == [100, 37]
    (words, env) = calls[-1]
    assert env and env["PGPASSWORD"] == PASSWORD and PASSWORD not in " ".join(words)
    assert words[-8:] == ("-h", "10.0.0.9", "-p", "6432", "-U", "u", "-d", "litellm")


def test_redis_is_asked_for_its_policy() -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            link, _ = server.accept()
            with link:
                for answer in (b"+OK\r\n", b"$30\r\n# Memory\r\nmaxmemory_policy:allkeys-lru\r\n\r\n"):
                    heard.append(link.recv(4096))
                    link.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        where = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(server.getsockname()[1]), "REDIS_PASSWORD": PASSWORD}
        assert hostside.redis_policy(where) == "allkeys-lru"
        thread.join()
    assert heard[0].startswith(b"*2\r\n$4\r\nAUTH\r\n") and b"INFO" in heard[1]
    assert hostside.redis_policy({}) == ""


@pytest.fixture
def gateway() -> Iterator[str]:
    """The port of one that answers its master key."""

    class Gateway(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = self.headers["Authorization"] == f"Bearer {KEY}"
            body = {
                "/v1/models": '{"data": [{"id": "a"}]}',
                "/metrics/": 'litellm_proxy_total_requests_metric_total{model="a"} 3.0\n'
                'litellm_proxy_total_requests_metric_total{model="b"} 4.0\n'
                "litellm_proxy_failed_requests_metric_total 1.0\n",
            }.get(self.path, "")
            self.send_response(200 if allowed else 401)
            self.end_headers()
            self.wfile.write(body.encode() if allowed else b"no")

        def log_message(self, *arguments: object) -> None:
            pass

    with serving(Gateway) as address:
        yield address.rpartition(":")[2]


def test_the_gateway_itself_says_what_it_serves_and_how_it_does(gateway: str) -> None:
    assert hostside.asked("0.0.0.0", gateway, "", KEY) == {
        "served": ["a"],
        "metrics": {"requests": 7.0, "failed": 1.0},
        "statuses": {"metrics": 401},
    }
    assert hostside.asked("", "1", "", KEY) == {"served": None, "metrics": {}, "statuses": {"metrics": 0}}


def test_a_gateway_in_a_container_is_told_from_its_init_and_has_its_unit(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["/sbin/docker-init", "--", "/opt/venv/bin/python", "/opt/venv/bin/litellm", "--config", "llm.yaml"]
    proc(host, 3, words)
    assert [pid for pid, _ in hostside.processes(str(host))] == [41, 42]
    number = "0a" * 32
    for group in (f"0::/system.slice/docker-{number}.scope\n", f"12:pids:/docker/{number}\n"):
        (host / "41" / "cgroup").write_text(group)
        monkeypatch.setattr(hostside, "run", lambda *asked, env=None: "litellm.service\n" if number in asked else "")
        assert hostside.unit_of(41, str(host)) == "litellm.service"
        monkeypatch.setattr(hostside, "run", lambda *asked, env=None: "")
        assert hostside.unit_of(41, str(host)) == "", "somebody else's container has none"
