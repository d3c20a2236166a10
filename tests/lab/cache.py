"""Where the lab keeps what it built, and how a thing is built at most once."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class LabError(Exception):
    """What is wrong and what to do about it, in one sentence for the user."""


def root() -> Path:
    """The lab's folder in the user's cache; everything in it can be rebuilt."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "portcullis-lab"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def hash_of(*inputs: str | bytes | Path) -> str:
    """A short name for exactly these inputs: texts as they are, files and folders by content."""
    digest = hashlib.sha256()
    for item in inputs:
        for name, data in _contents(item):
            digest.update(f"{name}\0{len(data)}\0".encode())
            digest.update(data)
    return digest.hexdigest()[:12]


def _contents(item: str | bytes | Path) -> Iterator[tuple[str, bytes]]:
    if isinstance(item, bytes):
        yield "", item
    elif isinstance(item, str):
        yield "", item.encode()
    elif item.is_file():
        yield item.name, item.read_bytes()
    elif item.is_dir():
        for path in sorted(_sources(item)):
            yield str(path.relative_to(item)), path.read_bytes()
    else:
        raise LabError(f"input '{item}' of the lab does not exist")


def _sources(folder: Path) -> Iterable[Path]:
    skipped = {"__pycache__", "node_modules", ".ruff_cache"}
    return (p for p in folder.rglob("*") if p.is_file() and not skipped & set(p.parts))


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Let one process at a time do the thing called `name`; a crash releases it."""
    folder = root() / "locks"
    folder.mkdir(exist_ok=True)
    with (folder / name).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def find(kind: str, key: str) -> Path | None:
    """The finished folder for this key, or None where it was not built yet."""
    path = root() / kind / key
    return path if path.is_dir() else None


def build_once(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """The folder for this key; `build` fills it where it is missing, and a half-filled one is never seen."""
    done = root() / kind / key
    if done.is_dir():
        return done
    with lock(f"{kind}-{key}"):
        if done.is_dir():
            return done
        work = done.with_name(f"{key}.partial")
        shutil.rmtree(work, ignore_errors=True)  # left by a build that was killed
        work.mkdir(parents=True)
        build(work)
        work.rename(done)
    return done
