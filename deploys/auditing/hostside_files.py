"""What the files of a host say about the LiteLLM that runs there; sent to the host before hostside.py."""

from __future__ import annotations

import glob
import json
import os
import re

TABLE = "litellm/model_prices_and_context_window_backup.json"


def raw(path: str, most: int = 3_000_000) -> bytes:
    try:
        # A pipe without a writer would be waited for, for ever.
        with open(path if os.path.isfile(path) else os.devnull, "rb") as file:
            return file.read(most)
    except OSError:
        return b""


def read(path: str) -> str:
    return raw(path).decode("utf-8", "replace")


def package_folders(pid: int, proc: str = "/proc") -> list[str]:
    """Where the Python that the process runs has its packages."""
    found = set(re.findall(r"(/\S*?(?:site|dist)-packages)/", read(f"{proc}/{pid}/maps")))
    return [f"{proc}/{pid}/root{folder}" for folder in sorted(found)]


def installation(pid: int, proc: str = "/proc") -> tuple[dict[str, str], list[str]]:
    """Packages with their versions, and .pth files, of the Python that the process runs."""
    packages: dict[str, str] = {}
    pth: set[str] = set()
    for folder in package_folders(pid, proc):
        for path in glob.glob(f"{folder}/*.dist-info"):
            name, _, version = os.path.basename(path)[: -len(".dist-info")].rpartition("-")
            packages[name.lower().replace("_", "-")] = version
        pth |= {os.path.basename(path) for path in glob.glob(f"{folder}/*.pth")}
    return packages, sorted(pth)


def known_models(config: str, pid: int, proc: str = "/proc") -> dict[str, str] | None:
    """Names of models in ``config`` that LiteLLM's own table of prices has, with their modes; None without a table.

    A name is looked up as it stands, then without its provider, as LiteLLM does for a health check.
    """
    names = set(re.findall(r"\bmodel[\"']?\s*:\s*[\"']?([^\s\"',}#]+)", config))
    for folder in package_folders(pid, proc):
        try:
            table = json.loads(raw(f"{folder}/{TABLE}", 30_000_000))
            found = {name: table.get(name) or table.get(name.partition("/")[2]) for name in names}
            return {name: str(entry.get("mode", "")) for name, entry in sorted(found.items()) if entry}
        except (ValueError, AttributeError):
            continue
    return None
