"""The health app as systemd runs it: a process with a notify socket, secrets in its environment, and signals."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from portcullis_health.notify import Notifier

from tests.ports import free_port
from tests.unit.test_health_app_support import HANG, SECRETS, settings, write_settings

PAYLOAD = Path(__file__).parents[2] / "payload/health"


@contextmanager
def notify_socket(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(str(path))
        one.settimeout(20)
        yield one


def wait_for(one: socket.socket, word: str) -> list[str]:
    seen: list[str] = []
    end = time.monotonic() + 20
    while word not in seen:
        assert time.monotonic() < end, f"systemd was never told {word}"
        seen += one.recv(4096).decode().split("\n")
    return seen


def start(config: Path, **environ: str) -> "subprocess.Popen[str]":
    environment = {
        **os.environ,
        "PYTHONWARNINGS": "error",
        "HEALTH_DATABASE_PASSWORD": str(SECRETS.database),
        "HEALTH_REDIS_PASSWORD": str(SECRETS.redis),
        **environ,
    }
    command = [sys.executable, "-m", "portcullis_health", "--config", str(config)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=PAYLOAD, env=environment
    )


def test_ready_watchdog_answers_and_a_clean_end(tmp_path: Path) -> None:
    port, away = free_port(), free_port()
    data = settings(
        f"http://127.0.0.1:{away}",
        listen={"host": "127.0.0.1", "port": port},
        database={"host": "127.0.0.1", "port": away, "name": "n", "user": "u"},
        redis={"host": "127.0.0.1", "port": away},
        models=[{"name": "m", "kind": "ollama", "api_base": f"http://127.0.0.1:{away}", "model": "m"}],
    )
    config = write_settings(tmp_path / "health.json", data)
    with notify_socket(tmp_path / "notify") as notify:
        process = start(config, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="3000000")
        try:
            wait_for(notify, "READY=1")
            seen = wait_for(notify, "STATUS=gateway stopped, failing") + wait_for(notify, "WATCHDOG=1")
            assert "WATCHDOG=1" in seen
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10)
            with caught.value as answer:
                body = answer.read().decode()
            assert answer.code == 503
            assert json.loads(body)["failing"] == ["gateway", "gateway_readiness", "database", "redis", "models"]
            with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
                one.sendall(b"\x00nonsense\r\n\r\n")
                nonsense = one.recv(4096).decode()
            assert " 400 " in nonsense and "Traceback" not in nonsense
            time.sleep(1)  # everything it needs is away, and it stays
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            wait_for(notify, "STOPPING=1")
            output, _ = process.communicate(timeout=20)
        finally:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
    assert process.returncode == 0
    lines = output.splitlines()
    assert lines[0] == f"listening on http://127.0.0.1:{port}, watching http://127.0.0.1:{away}"
    assert lines[-1] == "stopping"
    assert len([line for line in lines if line.startswith("redis: ")]) == 1
    for secret in (SECRETS.database, SECRETS.redis):
        assert secret and secret not in output + body


def test_one_that_hangs_where_systemd_cannot_see_it_ends_itself(tmp_path: Path) -> None:
    port = free_port()
    config = write_settings(tmp_path / "health.json", settings(listen={"host": "127.0.0.1", "port": port}))
    (tmp_path / "sitecustomize.py").write_text(HANG)
    with start(config, PYTHONPATH=str(tmp_path), NOTIFY_SOCKET="", WATCHDOG_USEC="1500000") as process:
        try:
            assert process.stdout
            assert process.stdout.readline().startswith("listening on ")
            time.sleep(3)
            assert process.poll() is None, "one that is well stays"
            began = time.monotonic()
            process.send_signal(signal.SIGUSR1)
            output, _ = process.communicate(timeout=20)
            seconds = time.monotonic() - began
        finally:
            process.kill()
    assert process.returncode == 1
    # Its last sign of life was up to a third of that time ago.
    assert 0.9 < seconds < 5
    assert "Timeout (0:00:01.500000)!" in output and "sitecustomize.py" in output, "it says where it hung"
    for secret in (SECRETS.database, SECRETS.redis):
        assert secret and secret not in output


def test_a_taken_port_is_exit_code_1_and_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = write_settings(tmp_path / "h.json", settings(listen={"host": "127.0.0.1", "port": port}))
        with start(config) as process:
            output, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert output.startswith(f"portcullis-health: cannot listen on 127.0.0.1 port {port}: ")
    assert len(output.splitlines()) == 1


def test_notifier_without_systemd_and_with_an_abstract_socket() -> None:
    silent = Notifier({})
    silent.send("READY=1")
    silent.close()
    assert silent.watchdog_seconds is None
    name = f"portcullis-health-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.settimeout(10)
        one.bind(f"\0{name}")
        environ = {"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
        notifier = Notifier(environ)
        assert notifier.watchdog_seconds == 30.0
        notifier.send("READY=1", "STATUS=fine")
        assert one.recv(100) == b"READY=1\nSTATUS=fine"
    notifier.send("WATCHDOG=1")  # systemd is gone, and that is not our end
    notifier.close()
    other = Notifier({"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"})
    assert other.watchdog_seconds is None
    other.close()


def test_libraries_log_one_line_without_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    code = (
        "import logging; from portcullis_health.app import quiet_libraries; quiet_libraries()\n"
        "try: raise ValueError('hunter2')\n"
        "except ValueError: logging.getLogger('asyncio').exception('with %s', 'hunter2')\n"
        "logging.getLogger('aiohttp.server').error('noise')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PAYLOAD)
    assert done.stderr == "asyncio: error: ValueError in <string>\n" and done.stdout == ""
    assert asyncio.run(asyncio.sleep(0, "nothing else")) == "nothing else"
