"""Going back to an earlier run: which one, what it would change, and what the switching program is given for it."""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ledger_entries import STATE, Entry, damage, entries, good, look, read, rows, served, units_of
from ledger_shown import secret_paths, secrets_in, shown, without_mark

# Copies of configuration take less than one; the database's are elsewhere.
ROOM_BYTES = 20 << 20
COMPOSE = os.environ.get("PORTCULLIS_COMPOSE", "/etc/portcullis/compose")
PACKAGED = Path(os.environ.get("PORTCULLIS_PACKAGED_UNITS", "/usr/lib/systemd/system"))
GUARD_LIB = Path(__file__).with_name("guard-lib")


def resolve(root: Path, asked: str) -> tuple[str, str]:
    """The run of this host that ``asked`` means, and why there is none.

    A run that changed nothing on this host left no entry here: the last one before it is what the host was like.
    """
    known = {entry["run"]: entry for entry in entries(root)}
    if asked in known:
        if known[asked]["outcome"] != "done":
            return "", f"run {asked} is nothing to go back to: it ended as `{known[asked]['outcome']}`"
        if why := damage(root, asked):
            return "", f"run {asked} cannot be gone back to: {why}"
        return asked, ""
    earlier = [entry["run"] for entry in good(root) if entry["run"] <= asked]
    if earlier:
        return earlier[-1], ""
    names = ", ".join(entry["run"] for entry in good(root)[-5:]) or "none"
    return "", f"there is no run {asked} to go back to; it could be one of: {names}"


def wanted(bundle: Path, number: int, row: list[str]) -> dict[str, str]:
    kind, mode, user, group, _, _, target = row
    if kind == "link":
        return {"kind": "link", "content": target}
    content = look(bundle / "f" / str(number))["content"]
    return {"kind": "file", "content": content, "mode": f"{int(mode, 8):04o}", "owner": f"{user} {group}"}


def changes(bundle: Path | None, present: Path | None, masked: list[str]) -> list[Entry]:
    """What has to change on this host for a component to be as in ``bundle``; nothing of it where that is None."""
    found, kept, secret = [], set(), secret_paths(bundle, present)
    for number, row in enumerate(rows(bundle) if bundle else [], 1):
        path = row[5]
        kept.add(path)
        is_now, then = look(Path(path)), wanted(bundle, number, row)  # type: ignore[arg-type]
        if is_now == then:
            continue
        what = "comes back" if is_now["kind"] == "absent" else "changes"
        if is_now["kind"] == then["kind"] == "link":
            lines = [f"-{is_now['content']}", f"+{then['content']}"]
        elif is_now.get("content") == then.get("content"):
            what, lines = "mode or owner", [f"-{is_now['mode']} {is_now['owner']}", f"+{then['mode']} {then['owner']}"]
        else:
            then_at = bundle / "f" / str(number)  # type: ignore[operator]
            alike = all(is_now.get(key) == then.get(key) for key in ("kind", "mode", "owner"))
            if alike and without_mark(Path(path)) == without_mark(then_at):
                what, lines = "says that another run made it", []
            else:
                lines = shown(Path(path), then_at, path in secret, masked)
        found.append({"path": path, "what": what, "lines": lines})
    others = {row[5] for one in served().values() if one != present for row in rows(one)}
    for row in rows(present) if present else []:
        # What the switching program leaves: clusters of another version, and what another component has now.
        if row[5] in kept | others or row[5].startswith("/etc/postgresql/"):
            continue
        if look(Path(row[5]))["kind"] != "absent":
            found.append({"path": row[5], "what": "is removed", "lines": []})
    return found


def stopped(bundle: Path) -> str:
    """The unit of a component, when it does not run."""
    down = [unit for unit in units_of(bundle, "unit") if not shell(f"systemctl is-active --quiet {unit}")[0]]
    return " ".join(down)


def confirm_seconds(*bundles: Path | None) -> int:
    """How long somebody has to connect anew when a change is between these: the longest that one of them asks for."""
    found = [units_of(bundle, "confirm_seconds") for bundle in bundles if bundle]
    return max((int(word) for words in found for word in words), default=0)


def not_ours(bundle: Path) -> bool:
    """Whether a component's service, or some of its files, are a Debian package's, which would be left without them."""
    paths = [row[5] for row in rows(bundle)]
    packaged = any(subprocess.run(["dpkg-query", "-S", path], capture_output=True).returncode == 0 for path in paths)
    own = any((PACKAGED / unit).exists() for unit in units_of(bundle, "unit"))
    return packaged or own or any(path.startswith("/etc/postgresql/") for path in paths)


def untold(bundle: Path) -> list[str]:
    """What the services have to be told again, by name: each has a question that says whether it knows."""
    return [one["name"] for one in read(bundle / "provisions.json", []) if not shell(one["test"])[0]]


def shell(command: str, stdin: str = "", seconds: int = 300, **more: str) -> tuple[bool, str]:
    """Whether a command succeeds, and the last line it said."""
    try:
        done = subprocess.run(
            ["sh", "-c", command], input=stdin, capture_output=True, text=True, timeout=seconds,
            env={**os.environ, **more},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False, f"no answer in {seconds} s"
    return done.returncode == 0, ((done.stdout + done.stderr).strip().splitlines() or [""])[-1]


def missing_images(bundle: Path) -> list[str]:
    """Images of ours that a component's containers are made of, as far as this host no longer has them."""
    texts = [
        (bundle / "f" / str(number)).read_text()
        for number, row in enumerate(rows(bundle), 1)
        if row[0] == "file" and row[5].startswith(f"{COMPOSE}/")
    ]
    names = sorted(set(re.findall(r"^ +image: (portcullis-\S+)$", "".join(texts), re.MULTILINE)))
    return [name for name in names if not shell(f"docker image inspect {name}")[0]]


def obstacles(bundle: Path, other_data: bool) -> list[str]:
    """Why a component cannot be put back as it was: what it needs is gone, or its guard refuses.

    With ``other_data`` a copy of its data is put back first, and the guard is not to judge what is there now.
    """
    found = []
    for kind, mode, user, group, _, path, target in rows(bundle):
        if kind == "link" and target.startswith("/") and not Path(target).exists():
            found.append(f"{path} would point at {target}, which is gone; deploy that version instead")
        if kind == "file":
            try:
                pwd.getpwnam(user), grp.getgrnam(group), int(mode, 8)
            except KeyError:
                found.append(f"{path} would belong to {user} {group}, and the host has no such user or group")
    found += [f"its image {one} is gone; deploy that version instead" for one in missing_images(bundle)]
    if not found and (bundle / "guard.sh").stat().st_size:
        other = "yes" if other_data else ""
        passed, why = shell('. "$lib"; . "$staged/guard.sh"', lib=str(GUARD_LIB), staged=str(bundle), other_data=other)
        found += [] if passed else [why or "its guard refuses"]
    return found


def plan(root: Path, run: str, only: list[str], quick: bool = False, data: str = "") -> Entry:
    """What going back to ``run`` would change, by component. Nothing secret is in it.

    A component that came with a later run and is, or has files of, a Debian package's service stays, data and all.
    Of components in ``only`` that this host does not have, which others of the site may, there is nothing to change.
    ``quick`` looks at files alone: services are not asked what they know, nor guards whether they refuse. The component
    ``data`` gets a copy of its data back first, so it is worked on whatever its files are.
    """
    manifest = read(root / run / "manifest.json")
    present = served()
    made: list[Entry] = []
    names = list(dict.fromkeys([*manifest["components"], *present]))
    bundles = {name: root / run / "components" / name for name in manifest["components"]}
    masked = secrets_in([*bundles.values(), *present.values()])
    problems: list[str] = []
    stays: list[str] = []
    if not quick and (free := shutil.disk_usage(root).free) < ROOM_BYTES:
        problems.append(f"{root} has {free >> 20} MB left, and copies of what changes go there; make room first")
    for name in names:
        if only and name not in only:
            continue
        bundle = bundles.get(name)
        if bundle is None and not_ours(present[name]):
            stays.append(name)
            continue
        pending = STATE / "pending" / name
        part = {
            "component": name,
            "changes": changes(bundle, present.get(name), masked),
            "untold": untold(bundle) if bundle and not quick else [],
            "pending": pending.exists() and pending.stat().st_size > 0,
            "stopped": stopped(bundle) if bundle and not quick else "",
            "confirm_seconds": confirm_seconds(bundle, present.get(name)),
            "version": manifest["components"][name]["version"] if bundle else "",
        }
        if part["changes"] or part["untold"] or part["pending"] or part["stopped"] or (bundle and name == data):
            whys = obstacles(bundle, name == data) if bundle and not quick else []
            problems += [f"{name}: {why}" for why in whys]
            made.append(part)
    return {"run": run, "components": made, "stays": stays, "problems": problems}


def stage(root: Path, run: str, name: str, into: Path, other_data: bool = False) -> None:
    """Lay out what the switching program needs to put ``name`` back as it was after ``run``."""
    bundle = root / run / "components" / name
    part = into.with_name(f"{into.name}.part")
    seconds = confirm_seconds(bundle if bundle.is_dir() else None, served().get(name))
    for old in (part, into):
        shutil.rmtree(old, ignore_errors=True)
    part.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if bundle.is_dir():
        shutil.copytree(bundle, part)
        # Of an entry that a rollback made, without what was said for that one.
        own = ("exact=", "other_data=", "confirm_seconds=")
        plan = [line for line in (part / "plan").read_text().splitlines() if not line.startswith(own)]
        plan += ["exact=1", f"confirm_seconds={seconds}", *(["other_data=1"] if other_data else [])]
        (part / "plan").write_text("".join(f"{line}\n" for line in plan))
    else:
        # The component came later: its units end, then its files go.
        part.mkdir(mode=0o700)
        for empty in ("files.tsv", "ready.sh"):
            (part / empty).touch()
        own = " ".join(units_of(served()[name]))
        (part / "plan").write_text(f"exact=1\ngone=1\nstopped_units='{own}'\nconfirm_seconds={seconds}\n")
    part.rename(into)


def tell(root: Path, run: str, name: str) -> list[str]:
    """Tell a service what it was told by ``run``, where it knows it no longer; what it does not take, as sentences."""
    problems = []
    for one in read(root / run / "components" / name / "provisions.json", []):
        if not shell(one["test"])[0]:
            done, said = shell(one["command"], one["stdin"])
            if not (done and shell(one["test"])[0]):
                problems.append(f"{one['name']}: {said}")
    return problems


def verify(names: list[str]) -> list[dict[str, Any]]:
    """Ask what `verify` asked when the present state was made."""
    found = []
    for name, bundle in served().items():
        if not names or name in names:
            for question, command, seconds in json.loads((bundle / "probes.json").read_text()):
                passed, said = shell(command, seconds=seconds)
                found.append({"component": name, "question": question, "right": passed, "said": said[:120]})
    return found
