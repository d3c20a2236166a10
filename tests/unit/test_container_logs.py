"""What Docker keeps of the output of containers: by the setting, and each service in its own turn."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.test_runtime import compose, everything


def test_a_setting_stands_in_the_file_and_reaches_nobody_by_a_variable_of_the_hosts() -> None:
    """Each service is made anew in its turn then, and by no other's restart."""
    found = everything(engine_log_max_mb=7, engine_log_files=3)
    logs = {"driver": "local", "options": {"max-size": "7m", "max-file": "3"}}
    assert {name for name, one in found.items() if one["logging"] != logs} == set()
    numbers = "UID_|GID_|GROUP_"
    assert set(re.findall(r"\$\{(\w+)", re.sub(rf"\$\{{({numbers})", "", str(found)))) == {"CPUS", "PROTECTED"}


def test_files_of_earlier_revisions_keep_the_log_they_had(tmp_path: Path) -> None:
    (tmp_path / "daemon.json").write_text('{"log-opts": {"max-size": "20m", "max-file": "5"}}')
    (tmp_path / "a.yaml").write_text("# ${LOG_SIZE:?} ${LOG_FILES:?}\nservices: {}\n")
    for _ in range(2):
        assert compose(tmp_path, "env").returncode == 0
        assert "LOG_SIZE=20m\nLOG_FILES=5\n" in (tmp_path / ".env").read_text()
        (tmp_path / "daemon.json").write_text('{"log-opts": {"max-size": "7m", "max-file": "3"}}')
    (tmp_path / "a.yaml").write_text("services: {}\n")
    assert compose(tmp_path, "env").returncode == 0 and "LOG_" not in (tmp_path / ".env").read_text()
