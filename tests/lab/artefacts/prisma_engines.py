"""Builds the Prisma engines of the lab and lays them out as Prisma's download site does."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
from pathlib import Path

from tests.lab import cache, engine
from tests.lab.progress import run, step

SOURCE = Path(__file__).parent / "prisma"
NAMES = ("query-engine", "schema-engine")
# LiteLLM's schema names the last three besides the host's own, and `prisma generate` fetches them all.
# One file serves them all: it is JavaScript.
PLATFORMS = ("debian-openssl-3.0.x", "debian-openssl-1.1.x", "linux-musl", "linux-musl-openssl-3.0.x")


def commit() -> str:
    """The engine version the executables say they are."""
    declared: str = json.loads((SOURCE / "package.json").read_text())["engineCommit"]
    return declared


def key() -> str:
    """The name of what the present sources give."""
    return cache.hash_of(*(SOURCE / name for name in ("package.json", "package-lock.json", "build.mjs", "src")))


def ensure() -> Path:
    """The folder with both executables."""
    return cache.build_once("prisma-engines", key(), _build)


def _build(target: Path) -> None:
    if missing := [package for package, tool in {"nodejs": "node", "npm": "npm"}.items() if shutil.which(tool) is None]:
        engine.install(missing)
    work = target / "work"
    shutil.copytree(SOURCE, work, ignore=shutil.ignore_patterns("node_modules", "dist", "test"))
    with step("Building the Prisma engines") as say:
        environment = {**os.environ, "NO_UPDATE_NOTIFIER": "1"}
        # No install scripts: none is needed, and they are other people's code.
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], say, cwd=work, env=environment)
        run(["node", "build.mjs", target], say, cwd=work, env=environment)
    shutil.rmtree(work)


def write(root: Path, engines: Path) -> None:
    """Write the executables below `all_commits/`, with the checksum files Prisma's downloader asks for."""
    for name in NAMES:
        data = (engines / name).read_bytes()
        packed = gzip.compress(data, 6, mtime=0)
        for platform in PLATFORMS:
            folder = root / "all_commits" / commit() / platform
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.gz").write_bytes(packed)
            (folder / f"{name}.gz.sha256").write_text(f"{hashlib.sha256(packed).hexdigest()}  {name}.gz\n")
            (folder / f"{name}.sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  {name}\n")
