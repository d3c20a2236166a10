"""A oneshot unit that a check waits for: what is said when it fails, and when it takes too long."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from deploys.lib.probes import oneshot

SYSTEMCTL = """#!/bin/sh
case "$*" in start*) exit {status} ;; *Result*) echo {result} ;; *TimeoutStartUSec*) echo 5min ;; *) echo id ;; esac
"""


@pytest.mark.parametrize(
    ("status", "result", "said"),
    [
        (0, "success", []),
        (1, "exit-code", ["a reason", "it was refused"]),
        (1, "timeout", ["a reason", "x.service was not done after 5min; run again when this host has less to do"]),
    ],
)
def test_a_unit_that_took_too_long_is_not_called_refused(
    tmp_path: Path, status: int, result: str, said: list[str]
) -> None:
    for name, text in (
        ("systemctl", SYSTEMCTL.format(status=status, result=result)),
        ("journalctl", "#!/bin/sh\necho a reason\n"),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", oneshot("x.service", "it was refused")],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout.splitlines()) == (status, said)
