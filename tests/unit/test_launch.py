"""The gateway's launcher: what it refuses before LiteLLM starts, and what it cures."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deploys.components.litellm import install as litellm_install
from tests.ports import free_port
from tests.unit.launcher import imported, lay_out, refused, started


@pytest.fixture
def fakes(tmp_path: Path) -> Path:
    lay_out(tmp_path)
    return tmp_path


@pytest.fixture
def launch(fakes: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return imported(fakes, monkeypatch)


def served(folder: Path, **variables: str) -> dict[str, Any]:
    done = started(folder, "serve", "--host", "127.0.0.1", "--port", str(free_port()), **variables)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_stray_pth_file_stops_a_start_and_a_check(
    launch: ModuleType, fakes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("_virtualenv.pth", "distutils-precedence.pth"):
        (fakes / "site" / name).touch()
    launch.refuse_stray_pth()
    (fakes / "site" / "litellm_init.pth").touch()
    (fakes / "config.yaml").write_text("model_list: []\n")
    sentence = (
        f"portcullis: unexpected .pth files in {fakes}/site: litellm_init.pth; the installation may be compromised"
    )
    assert refused(capsys, launch.refuse_stray_pth) == (3, sentence)
    assert refused(capsys, launch.serve, []) == (3, sentence)
    assert refused(capsys, launch.validate, fakes / "config.yaml") == (3, sentence)


def test_the_launcher_and_the_installation_allow_the_same_pth_files(launch: ModuleType) -> None:
    assert set(litellm_install.ALLOWED_PTH) == launch.ALLOWED_PTH


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_busy_port_is_refused(
    launch: ModuleType, capsys: pytest.CaptureFixture[str], family: socket.AddressFamily, address: str
) -> None:
    """LiteLLM would take another one without a word."""
    port = free_port()
    with socket.socket(family) as other:
        try:
            other.bind((address, port))
        except OSError as error:
            pytest.skip(f"this machine has no {address}: {error.strerror}")
        other.listen()
        status, said = refused(capsys, launch.serve, ["--host", address, "--port", str(port)])
        assert (status, said) == (3, f"portcullis: cannot listen on {address} port {port}: Address already in use")
    launch.refuse_busy_port(address, port)


def test_the_codec_is_there_before_anything_forks(fakes: Path) -> None:
    """A worker that is forked while a thread imports it waits for its lock for ever."""
    found = served(fakes)
    assert found["codec"] is True
    assert found["arguments"][:2] == ["litellm", "--host"]
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print('encodings.ascii' in sys.modules)"],
        env={"LC_ALL": "C.UTF-8"}, capture_output=True, text=True,
    )  # fmt: skip
    assert bare.stdout == "False\n", "this Python imports it by itself, so the test above says nothing"


def test_no_start_compares_schemas_on_a_command_line(fakes: Path) -> None:
    assert served(fakes)["schemas"] is None


@pytest.mark.parametrize(("variables", "seconds"), [({}, 30), ({"GRACEFUL_SHUTDOWN_TIMEOUT": "75"}, 75)])
def test_requests_under_way_get_as_long_as_is_set(fakes: Path, variables: dict[str, str], seconds: int) -> None:
    assert served(fakes, **variables)["grace"] == seconds


def test_workers_are_renewed_and_end_as_tests_lab_test_serving_has_it(fakes: Path) -> None:
    assert served(fakes)["arranged"] == ["litellm_serving"] * 5


def test_a_worker_notes_that_it_finished_starting_and_one_that_failed_does_not(fakes: Path) -> None:
    notes = fakes / "run" / "workers"
    notes.mkdir()
    (notes / "99999999").write_text("of an earlier start")
    served(fakes)
    (note,) = notes.iterdir()
    assert note.name != "99999999" and note.read_text().isdigit()
    served(fakes, FAILS="1")
    assert list(notes.iterdir()) == [], "what was noted by the start before is gone too"


@pytest.mark.parametrize("database", ["there", "away"])
def test_a_worker_that_ends_writes_the_spend_it_has_collected_before(fakes: Path, database: str) -> None:
    assert served(fakes, DATABASE=database)["ended"] == [["spend", database, "writer", "log"], ["end"]]
    assert served(fakes)["ended"] == [["end"]], "no database, nothing to write"


@pytest.mark.parametrize("arguments", [[], ["validate"], ["migrate"], ["start", "x"]])
def test_a_wrong_call_says_how_it_is_called(fakes: Path, arguments: list[str]) -> None:
    done = started(fakes, *arguments)
    assert done.returncode == 2 and "launch.py serve" in done.stderr
