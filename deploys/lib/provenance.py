"""What made a host's files: the toolkit's revision and a digest of the input, in a line that by itself changes nothing.

The line stands below the first one of every rendered file, and two files that differ in nothing else count as the same
(``body``): neither a second run nor a new revision with the same output writes a file, reloads or restarts anything.
So the line names the revision and the input that made the rest of the file what it is, and no later ones.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import re
import socket
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

from deploys.lib.component import ConfigFile, Link, Member
from deploys.lib.render import ROOT

MARK = "# Portcullis revision "
# Folders whose contents decide what is written to a host.
SOURCES = ("deploys", "templates", "payload")


def _git(root: Path, *words: str) -> str:
    command = ["git", "-C", str(root), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    return done.stdout.strip() if done.returncode == 0 else ""


def revision_of(root: Path) -> str:
    """The commit of the toolkit in ``root``, with ``+changes`` when its sources are not as committed.

    Without git, or for a copy that is no checkout, a digest of the sources: `source-` and 12 digits.
    """
    try:
        # A copy inside somebody else's repository is not described by that repository's commits.
        own = _git(root, "rev-parse", "--show-toplevel") == str(root.resolve())
        commit = _git(root, "rev-parse", "--short=12", "HEAD") if own else ""
    except (OSError, subprocess.TimeoutExpired):
        commit = ""
    if commit:
        return commit + ("+changes" if _git(root, "status", "--porcelain", "--", *SOURCES) else "")
    whole = hashlib.sha256()
    for path in sorted(path for folder in SOURCES for path in (root / folder).rglob("*") if path.is_file()):
        if "__pycache__" not in path.parts:
            whole.update(f"{path.relative_to(root)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return f"source-{whole.hexdigest()[:12]}"


@cache
def revision() -> str:
    """The revision of this toolkit, asked once per process."""
    return revision_of(ROOT)


def input_digest(site: Iterable[Member]) -> str:
    """A digest of every setting of every host, 12 digits of it. Of a secret only that there is one."""
    whole = {
        member.name: {
            "host": member.host.model_dump(mode="json"),
            "machine": asdict(member.machine),
            **{name: settings.model_dump(mode="json") for name, settings in member.settings.items()},
        }
        for member in site
    }
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:12]


def stamped(item: ConfigFile | Link, line: str) -> ConfigFile | Link:
    """``item`` with ``line`` below its first one, when that says that Portcullis made it: others have no comments."""
    if isinstance(item, Link) or not item.text.startswith("# Managed by Portcullis"):
        return item
    first, _, rest = item.text.partition("\n")
    return replace(item, text=f"{first}\n{line}\n{rest}")


def line(site: Iterable[Member]) -> str:
    """The line for files made by this toolkit from the settings of ``site``."""
    return f"{MARK}{revision()}, input {input_digest(site)}"


# `body` for a shell: what it prints of a file is what is compared.
UNMARKED = f'sed "/^{MARK}/d"'


def body(text: str) -> str:
    """``text`` without the line that ``stamped`` puts in: what is compared."""
    return re.sub(f"^{re.escape(MARK)}.*\n?", "", text, flags=re.MULTILINE)


@cache
def who() -> str:
    """Who runs this, and on which machine."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # no such user, as in some containers
        return socket.gethostname()


def note(site: Iterable[Member], version: str) -> str:
    """What the host's ``portcullis-version`` notes of this run, as JSON; ``version`` is a component's command."""
    return json.dumps({"revision": revision(), "input": input_digest(site), "who": who(), "version": version})
