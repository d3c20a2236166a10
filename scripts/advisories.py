"""Ask a vulnerability service about every package in our locks: `make advisories`.

pip-audit asks OSV; what it finds is added to scripts/advisories.toml, which `make check` holds the locks against. Where
the service cannot be reached, or one package could not be asked about, nothing is written and the exit status is 1.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
KNOWN = ROOT / "scripts" / "advisories.toml"
UV = ROOT / ".venv" / "bin" / "uv"
# With more dependencies than anything here has, so in an environment of its own.
PIP_AUDIT = "pip-audit==2.10.1"
Locked = tuple[str, str, str]


def requirement_locks() -> list[Path]:
    """Every hash-locked set in the form of pip."""
    found = [*(ROOT / "payload").glob("litellm/*/requirements.txt"), ROOT / "payload/health/requirements.txt"]
    return sorted([*found, ROOT / "payload/host/uv.txt"])


def locked() -> Iterator[Locked]:
    """Each package that a lock has: the lock's path, the name in its plain form, the version."""
    for path in requirement_locks():
        for line in path.read_text().splitlines():
            if line and not line[0].isspace() and not line.startswith("#"):
                one = Requirement(line.removesuffix("\\").strip())
                (exact,) = one.specifier
                yield str(path.relative_to(ROOT)), canonicalize_name(one.name), exact.version
    for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]:
        if "registry" in package["source"]:
            yield "uv.lock", canonicalize_name(package["name"]), package["version"]


def load() -> dict[str, Any]:
    return tomllib.loads(KNOWN.read_text())


def affected(packages: Iterable[Locked], known: dict[str, Any]) -> list[str]:
    """A sentence for every package with a known fault that is not accepted, or no longer."""
    today, wrong = datetime.now(UTC).date(), []
    for lock, name, version in packages:
        for one in known["advisory"]:
            there = one["package"] == name and SpecifierSet(one["affected"], prereleases=True).contains(version)
            good = [a for a in known["accepted"] if a["id"] == one["id"] and fnmatch(lock, a["lock"])]
            if there and not [a for a in good if a["until"] >= today]:
                over = f"; it was accepted until {good[0]['until']}" if good else ""
                wrong.append(
                    f"{lock}: {name} {version} has {one['id']}, {one['about']}; fixed in "
                    f"{one.get('fixed', 'no release that is known')} ({one['source']}){over}"
                )
    return wrong


def ask(path: Path) -> list[dict[str, Any]]:
    """What pip-audit says of the packages in one set. Raises RuntimeError when it cannot say it of all of them."""
    command = [str(UV), "run", "--no-project", "--quiet", "--with", PIP_AUDIT, "pip-audit", "--requirement", str(path)]
    command += ["--no-deps", "--disable-pip", "--vulnerability-service", "osv", "--format", "json"]
    done = subprocess.run([*command, "--progress-spinner", "off"], capture_output=True, text=True, check=False)
    if not done.stdout.startswith("{"):
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["pip-audit says nothing"]
        raise RuntimeError(f"{path.parent.name}/{path.name}: {said[-1].strip()}")
    found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    if skipped := [f"{one['name']} ({one['skip_reason']})" for one in found if "skip_reason" in one]:
        raise RuntimeError(f"{path.parent.name}/{path.name}: not asked about: {', '.join(skipped)}")
    return found


def entries(found: Iterable[dict[str, Any]], known: dict[str, Any]) -> list[dict[str, str]]:
    """Advisories among what was found that are not known yet, by their CVE where they have one."""
    have = {(one["id"], one["package"]) for one in known["advisory"]}
    new: dict[tuple[str, str], dict[str, str]] = {}
    for package in found:
        name = canonicalize_name(package["name"])
        for fault in package["vulns"]:
            names = [fault["id"], *fault.get("aliases", [])]
            if any((one, name) in have for one in names):
                continue
            later = sorted(v for v in map(Version, fault["fix_versions"]) if v > Version(package["version"]))
            own = next((one for one in names if one.startswith("CVE-")), fault["id"])
            about = " ".join(fault.get("description", "").split())[:120] or "see the source"
            fixed = {"affected": f"<{later[0]}", "fixed": str(later[0])} if later else {"affected": ">=0"}
            new[own, name] = {"id": own, "package": name, **fixed, "about": about}
            new[own, name]["source"] = f"https://osv.dev/vulnerability/{fault['id']}"
    return list(new.values())


def written(text: str, new: Iterable[dict[str, str]], today: str) -> str:
    """The file with ``new`` before what is accepted, and the day and way it was looked up."""
    head, mark, accepted = text.partition("# What a lock has all the same")
    lines = [f"looked_up = {today}" if line.startswith("looked_up =") else line for line in head.splitlines()]
    lines = ['by = "pip-audit"' if line.startswith("by =") else line for line in lines]
    for one in new:
        lines += ["[[advisory]]", *(f"{key} = {json.dumps(value)}" for key, value in one.items()), ""]
    return "\n".join(lines) + "\n" + mark + accepted


def main() -> int:
    found: list[dict[str, Any]] = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            own = Path(folder) / "uv.lock.txt"
            export = [str(UV), "export", "--frozen", "--all-groups", "--no-emit-project", "--quiet", "-o", str(own)]
            subprocess.run(export, cwd=ROOT, check=True)
            for path in [*requirement_locks(), own]:
                found += ask(path)
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        print(f"not looked up, and nothing was written: {error}", file=sys.stderr)
        return 1
    new = entries(found, load())
    KNOWN.write_text(written(KNOWN.read_text(), new, datetime.now(UTC).date().isoformat()))
    print(f"{len(found)} packages were asked about; {len(new)} advisories are new")
    wrong = affected(locked(), load())
    print(
        "\n".join(wrong) or "no lock has a known fault that is not accepted", file=sys.stderr if wrong else sys.stdout
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
