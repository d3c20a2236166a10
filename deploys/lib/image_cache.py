"""What the controlling machine keeps of images: a folder of its own, in which each is made by one run at a time.

Everything of an image begins with the name that ``shipping.stem`` gives it: its archive, notes, lock and log.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Say = Callable[[str], None]
# What the largest image takes while it is packed, and its archive beside one of before.
NEEDED_MB = 2048
# How often somebody who waits is told so, in seconds.
WAIT_SECONDS = 15.0
DAY = 86400


def folder_of(cache: str) -> Path:
    return Path(cache).expanduser()


def unusable(cache: str) -> str:
    """Why images cannot be kept there; empty when they can."""
    folder = folder_of(cache)
    said = f"the folder {folder} (engine_images_cache)"
    trial = folder / f"{os.getpid()}.try"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        return f"{said} cannot be written: {error.strerror}"
    if mode := folder.stat().st_mode & 0o077:
        return f"{said} is open to others (mode {0o700 | mode:04o}); run: chmod 700 {folder}"
    left = shutil.disk_usage(folder).free // 1024**2
    if left < NEEDED_MB:
        return f"{said} has {left:,} MiB left, and a build takes {NEEDED_MB:,}"
    return ""


@contextmanager
def alone(folder: Path, name: str, say: Say) -> Iterator[None]:
    """Wait until nobody else makes ``name``: not another host's part of this run, nor another run."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as file:
        told = -WAIT_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # Waiting in the kernel would stop every other host of this run, the one that builds included.
                if (now := time.monotonic()) - told >= WAIT_SECONDS:
                    say("the same image is being built for another host")
                    told = now
                time.sleep(0.5)
        yield


@contextmanager
def workplace(folder: Path, name: str) -> Iterator[Path]:
    """An empty folder for making ``name``, gone afterwards: logins of the host's package indexes may be in it."""
    work = folder / f"{name}.work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def noted(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found


def note(path: Path, **what: str) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(what) + "\n")
    part.replace(path)


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def keep(cache: str, tag: str) -> None:
    """Note that a run names ``tag``, so that ``prune`` leaves what is kept of it."""
    for path in folder_of(cache).glob(f"{tag.replace(':', '-')}-*"):
        os.utime(path)


def prune(cache: str, days: int) -> list[str]:
    """Remove what no run has named for ``days``, and what a killed run left at work; returns the archives' names."""
    now, gone = time.time(), []
    for path in sorted(folder_of(cache).glob("portcullis-*")):
        age = now - path.stat().st_mtime
        if path.suffix == ".work":
            if age > DAY:
                shutil.rmtree(path, ignore_errors=True)
        elif age > days * DAY:
            path.unlink(missing_ok=True)
            gone += [path.name] if path.name.endswith(".tar.gz") else []
    return gone
