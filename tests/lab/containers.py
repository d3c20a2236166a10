"""What the lab does with any container of its own."""

from __future__ import annotations

import contextlib
import io
import tarfile
from pathlib import PurePosixPath

from docker.errors import NotFound
from docker.models.containers import Container

from tests.lab.cache import LabError


def execute(container: Container, script: str) -> str:
    """Run a shell script in the container as root, without SSH, and return what it printed."""
    status, output = container.exec_run(["sh", "-c", script])
    text = (output or b"").decode(errors="replace")
    if status:
        raise LabError(f"a command of the lab failed in host '{container.name}' with status {status}: {text.strip()}")
    return text


def put_file(container: Container, path: str, data: bytes, mode: int = 0o644) -> None:
    """Write a file in the container, which need not run."""
    target, archive = PurePosixPath(path), io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo(target.name)
        entry.size, entry.mode = len(data), mode
        tar.addfile(entry, io.BytesIO(data))
    container.put_archive(str(target.parent), archive.getvalue())


def remove(container: Container) -> None:
    """Remove a container with its own volumes; shared ones have names and stay."""
    with contextlib.suppress(NotFound):  # another `down` was faster
        container.remove(v=True, force=True)
