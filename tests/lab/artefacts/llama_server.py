"""Builds llama.cpp's `llama-server` from the source package of llama-cpp-python."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.lab import cache, engine
from tests.lab.cache import LabError
from tests.lab.progress import Say, run, step

VERSION = "0.3.36"
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
# Debian package -> the program of it that must be there.
TOOLS = {"cmake": "cmake", "ninja-build": "ninja", "g++": "g++"}
OPTIONS = (
    # No optimisation: the compiler is three times as fast, and the model is too small for it to matter.
    "-DCMAKE_BUILD_TYPE=None",
    "-DCMAKE_C_FLAGS=-O0",
    "-DCMAKE_CXX_FLAGS=-O0",
    # Static: it runs on every host, whatever the age of the machine it was built on.
    "-DBUILD_SHARED_LIBS=OFF",
    "-DCMAKE_EXE_LINKER_FLAGS=-static -s",
    "-DGGML_NATIVE=OFF",
    "-DGGML_OPENMP=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    # Both, or the build fetches a prebuilt web page.
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_SUBPROCESS=OFF",
)
KEY = cache.hash_of(VERSION, SHA256, *OPTIONS)


def built() -> Path | None:
    """The program, where it was built already."""
    folder = cache.find("llama-server", KEY)
    return folder / "llama-server" if folder else None


def ensure() -> Path:
    """The program; takes some minutes the first time."""
    return cache.build_once("llama-server", KEY, _build) / "llama-server"


def _build(target: Path) -> None:
    if missing := [package for package, tool in TOOLS.items() if shutil.which(tool) is None]:
        engine.install([*missing, "libc6-dev"])
    with step("Fetching the source of llama-server") as say:
        source = _source(target, say)
    with step("Building llama-server (once, some minutes)") as say:
        tree = target / "build"
        run(["cmake", "-S", source / "vendor" / "llama.cpp", "-B", tree, "-G", "Ninja", *OPTIONS], say)
        run(["nice", "cmake", "--build", tree, "--target", "llama-server"], say, detail=_ninja_line)
        (tree / "bin" / "llama-server").rename(target / "llama-server")
    shutil.rmtree(tree)
    shutil.rmtree(source)


def _ninja_line(line: str) -> str | None:
    """Ninja's count and the file, without the long path."""
    found = re.match(r"(\[\d+/\d+\]) .*?([\w.+-]+)$", line.strip())
    return f"{found[1]} {found[2].removesuffix('.o')}" if found else None


def _source(folder: Path, say: Say) -> Path:
    # pip, because it knows the index and the proxy this machine is set up for.
    requirement = f"llama-cpp-python=={VERSION}"
    arguments = ["download", "--no-deps", "--no-binary", "llama-cpp-python", "--dest", folder, requirement]
    run([*_pip(), *arguments], say)
    archive = next(folder.glob("llama_cpp_python-*.tar.gz"))
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        raise LabError(f"the source of llama-cpp-python {VERSION} has SHA-256 '{found}', expected '{SHA256}'")
    say("unpacking")
    run(["tar", "-xzf", archive, "-C", folder], say)
    archive.unlink()
    return folder / archive.name.removesuffix(".tar.gz")


def _pip() -> list[str]:
    uv = os.environ.get("UV") or shutil.which("uv") or str(Path.home() / ".local" / "bin" / "uv")
    candidates = (
        [sys.executable, "-m", "pip"],
        [uv, "tool", "run", "pip"],
        ["python3", "-m", "pip"],
    )
    for command in candidates:
        try:
            done = subprocess.run([*command, "--version"], capture_output=True)
        except OSError:
            continue
        if done.returncode == 0:
            return command
    raise LabError("neither uv nor pip can be run; the lab needs one of them to fetch a source package")
