"""The lab's cache: names of inputs, and building a thing at most once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import cache
from tests.lab.cache import LabError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_same_inputs_give_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    assert cache.hash_of("x", tmp_path / "a") == cache.hash_of("x", tmp_path / "a")


def test_content_and_names_of_files_change_the_name(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "a").write_text("1")
    names = {cache.hash_of(folder)}
    (folder / "a").write_text("2")
    names.add(cache.hash_of(folder))
    (folder / "a").rename(folder / "b")
    names.add(cache.hash_of(folder))
    assert len(names) == 3


def test_what_running_leaves_in_a_folder_does_not_change_the_name(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "a").write_text("1")
    before = cache.hash_of(folder)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "a.pyc").write_text("x")
    assert cache.hash_of(folder) == before


def test_moving_text_between_inputs_changes_the_name() -> None:
    assert cache.hash_of("ab", "c") != cache.hash_of("a", "bc")


def test_missing_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"'.*/gone' of the lab does not exist"):
        cache.hash_of(tmp_path / "gone")


def test_builds_once() -> None:
    calls: list[Path] = []

    def build(folder: Path) -> None:
        calls.append(folder)
        (folder / "result").write_text("done")

    first, second = (cache.build_once("thing", "k", build) for _ in range(2))
    assert first == second
    assert (first / "result").read_text() == "done"
    assert len(calls) == 1


def test_failed_build_is_never_taken_for_a_finished_one() -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("")
        raise LabError("no room")

    with pytest.raises(LabError):
        cache.build_once("thing", "k", fail)
    assert cache.find("thing", "k") is None
    done = cache.build_once("thing", "k", lambda folder: (folder / "whole").write_text("") and None)
    assert [p.name for p in done.iterdir()] == ["whole"]
