"""The rows of host tests: what a long run says last, and with what it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import host_tests

PASSES = "def test_good(): pass\n"
FAILS = "def test_bad():\n    assert 2 + 2 == 5, 'why it failed'\n"
BREAKS = "import pytest\n@pytest.fixture\ndef host(): raise OSError('no host')\ndef test_on(host): pass\n"
KILLED = "import os\ndef test_killed(): os.kill(os.getpid(), 9)\n"


def rows(monkeypatch: pytest.MonkeyPatch, folder: Path, first: str, second: str) -> int:
    """Both rows are one file of tests each; with what the whole ends."""
    (folder / "tests").mkdir()
    for name, text in (("first", first), ("second", second)):
        (folder / f"tests/test_{name}.py").write_text(text)
    (folder / "scripts").mkdir()
    (folder / "scripts/make_secrets.py").write_text("")
    monkeypatch.setattr(host_tests, "ROOT", folder)
    monkeypatch.setattr(host_tests.sys, "argv", ["host_tests.py", "-p", "no:cacheprovider"])
    monkeypatch.setattr(host_tests, "ROWS", {name: [f"tests/test_{name}.py"] for name in ("first", "second")})
    return host_tests.main()


def test_the_last_lines_say_what_failed_and_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert rows(monkeypatch, tmp_path, FAILS + PASSES, BREAKS) == 1
    *shown, words, bad, on = capfd.readouterr().out.splitlines()
    assert "first  | tests/test_first.py::test_good PASSED     [100%]" in shown
    assert "second | ===== short test summary info =====" in shown
    assert words.startswith("the first row failed (1), the second row failed (1), in ")
    assert bad.startswith("FAILED tests/test_first.py::test_bad - ") and "why it failed" in bad
    assert on == "ERROR tests/test_second.py::test_on - OSError: no host"


def test_a_row_that_was_killed_has_not_passed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert rows(monkeypatch, tmp_path, KILLED, PASSES) == 1
    assert "the first row failed (-9), the second row passed" in capfd.readouterr().out.splitlines()[-1]


def test_all_is_well_when_both_pass(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert rows(monkeypatch, tmp_path, PASSES, PASSES) == 0
    assert capfd.readouterr().out.splitlines()[-1].startswith("the first row passed, the second row passed, in ")
