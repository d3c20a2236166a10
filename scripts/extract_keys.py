"""Collect the keys that LiteLLM releases read into payload/litellm/keys: `python scripts/extract_keys.py 1.106.2 ...`.

Every release that is named replaces what is known of it, and the others stay. `--only` forgets the others.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.litellm_sections import extract  # noqa: E402
from scripts.litellm_source import Source  # noqa: E402
from scripts.litellm_words import Section  # noqa: E402

OUT = ROOT / "payload" / "litellm" / "keys"
# LiteLLM hands unknown cache parameters to this client, whose arguments are keys too; our lock has the same version.
REDIS = "redis==8.1.0"
WANTED = re.compile(r"(litellm|litellm_enterprise)/.*\.py|redis/(client|cluster)\.py|litellm/.*_callbacks\.json")
RELEASES = "releases.json"


def number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def download(requirement: str, folder: Path) -> Path:
    """The wheel of a requirement, from whatever index this machine is told to use; nothing of it is run."""
    pip = [sys.executable, "-m", "pip"] if importlib.util.find_spec("pip") else ["pip"]  # uv's environments have none
    command = [*pip, "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", "3.11", "--disable-pip-version-check", "--dest", str(folder), requirement]
    subprocess.run(command, check=True)
    name = re.split(r"[=<>~!]", requirement)[0].replace("-", "_")
    return next(folder.glob(f"{name}-*.whl"))


def unpack(wheel: Path, tree: Path) -> str:
    """Put the sources of a wheel into ``tree``; returns its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tree, [name for name in names if WANTED.fullmatch(name)])
        return archive.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()


def sections_of(version: str) -> dict[str, Section]:
    """Download a release with the packages its proxy always brings, and read it."""
    with tempfile.TemporaryDirectory() as place:
        wheels, tree = Path(place, "wheels"), Path(place, "tree")
        metadata = unpack(download(f"litellm=={version}", wheels), tree)
        pinned = re.search(r"^Requires-Dist: (litellm-enterprise) ?\(?(==[\w.]+)", metadata, re.M)
        if pinned is not None:
            unpack(download(pinned.group(1) + pinned.group(2), wheels), tree)
        unpack(download(REDIS, wheels), tree)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # escapes in LiteLLM's own strings
            found: dict[str, Section] = json.loads(json.dumps(extract(Source(tree))))  # as it is read back: no tuples
            return found


def merge(releases: Mapping[str, Mapping[str, Section]]) -> dict[str, dict[str, list[dict[str, object]]]]:
    """One line per key for all releases: spans of releases in which the key is the same, oldest first.

    A span without ``from`` begins with the oldest release, one without ``to`` lasts to the newest, so that a new
    release changes the lines of what it changed and no others.
    """
    order = sorted(releases, key=number)
    names = sorted({section for release in releases.values() for section in release})
    merged: dict[str, dict[str, list[dict[str, object]]]] = {}
    for name in names:
        keys = sorted({key for release in releases.values() for key in release.get(name, {})})
        merged[name] = {
            key: _spans([releases[version].get(name, {}).get(key) for version in order], order) for key in keys
        }
    return merged


def _spans(entries: list[dict[str, object] | None], order: list[str]) -> list[dict[str, object]]:
    spans: list[dict[str, object]] = []
    begin = 0
    for end in range(1, len(order) + 1):
        if end < len(order) and entries[end] == entries[begin]:
            continue
        if (entry := entries[begin]) is not None:
            first = {"from": order[begin]} if begin else {}
            last = {"to": order[end - 1]} if end < len(order) else {}
            spans.append({**first, **last, **entry})
        begin = end
    return spans


def split(
    merged: Mapping[str, Mapping[str, list[dict[str, object]]]], order: list[str]
) -> dict[str, dict[str, Section]]:
    """The opposite of ``merge``: the sections of every release."""
    releases: dict[str, dict[str, Section]] = {version: {name: {} for name in merged} for version in order}
    for name, keys in merged.items():
        for key, spans in keys.items():
            for span in spans:
                first, last = str(span.get("from", order[0])), str(span.get("to", order[-1]))
                for version in order[order.index(first) : order.index(last) + 1]:
                    entry = {word: value for word, value in span.items() if word not in ("from", "to")}
                    releases[version][name][key] = entry
    return releases


def read(folder: Path) -> dict[str, dict[str, Section]]:
    """What is known already."""
    if not (folder / RELEASES).is_file():
        return {}
    files = [path for path in sorted(folder.glob("*.json")) if path.name != RELEASES]
    merged = {path.stem: json.loads(path.read_text()) for path in files}
    return split(merged, json.loads((folder / RELEASES).read_text()))


def write(releases: Mapping[str, Mapping[str, Section]], folder: Path) -> None:
    """A file for each section, a line for each key, so that a difference is one of keys."""
    folder.mkdir(parents=True, exist_ok=True)
    merged = merge(releases)
    for old in folder.glob("*.json"):
        old.unlink()
    (folder / RELEASES).write_text(json.dumps(sorted(releases, key=number)) + "\n")
    for name, keys in merged.items():
        lines = [f"{json.dumps(key)}: {json.dumps(spans, separators=(',', ':'))}" for key, spans in keys.items()]
        (folder / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", nargs="+", help="a LiteLLM release")
    parser.add_argument("--only", action="store_true", help="forget all releases that are not named")
    options = parser.parse_args(None if arguments is None else list(arguments))
    releases = {} if options.only else read(OUT)
    for version in options.version:
        releases[version] = sections_of(version)
        print(f"{version}: {sum(len(keys) for keys in releases[version].values())} keys", flush=True)
        write(releases, OUT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
