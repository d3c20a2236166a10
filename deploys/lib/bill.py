"""The bill of materials of a host as its components print it: what is asked, and how the answer is read.

A line has its fields between tabs, and - for what there is not. Commands that print them only look:

    deb     NAME VERSION ARCHITECTURE SOURCE SOURCE_VERSION
    pypi    NAME VERSION HASHES     those of the lock, of which the installed file has one: sha256:..., commas between
    npm     NAME VERSION HASHES
    file    NAME VERSION HASHES PURL
    model   NAME VERSION HASHES
    image   NAME VERSION HASHES
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote

FIELDS = {"deb": 5, "pypi": 3, "npm": 3, "file": 4, "model": 3, "image": 3}
# Whose they are is said once, before the lines of a component; what could not be asked says so.
OF, FAILED = "of", "failed"

PACKAGES = (
    "dpkg-query -W -f '${db:Status-Status}\\tdeb\\t${Package}\\t${Version}\\t${Architecture}\\t${source:Package}\\t"
    "${source:Version}\\n' | sed -n 's/^installed\\t//p'"
)
# Asked of the files by the host's own Python: nothing of the environment is run.
_ENVIRONMENT = """
import importlib.metadata, re, sys
locked, hashes = {}, []
plain = lambda name: re.sub(r"[-_.]+", "-", name).lower()
for line in open(sys.argv[1]):
    if found := re.match(r"([A-Za-z0-9._-]+)==([^ ;]+)", line):
        hashes = locked[plain(found[1]), found[2]] = []
    hashes += re.findall(r"--hash=(sha256:[0-9a-f]{64})", line)
for one in importlib.metadata.distributions(path=sys.argv[2:]):
    name = plain(one.metadata["Name"])
    print("pypi", name, one.version, ",".join(locked.get((name, one.version), [])) or "-", sep="\\t")
"""
_NODE = """
import base64, json, sys
for path, one in json.load(open(sys.argv[1]))["packages"].items():
    kind, _, digest = one.get("integrity", "").partition("-")
    made = f"{kind}:{base64.b64decode(digest).hex()}" if digest else "-"
    print("npm", path.rpartition("node_modules/")[2], one["version"], made, sep="\\t")
"""


class BillError(Exception):
    """Why there is no bill of a host: half of one would be taken for all of it."""


@dataclass(frozen=True)
class Part:
    """One thing that is on a host, and the component that put it there."""

    component: str
    kind: str
    name: str
    version: str
    hashes: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


def installed(environment: str, lock: str) -> str:
    """A command for the Python packages in ``environment``, made from the hash-locked set ``lock``."""
    return f"python3 -I -B -c {quote(_ENVIRONMENT)} {lock} {environment}/lib/python3*/site-packages"


def locked(folder: str) -> str:
    """The same for one that a component has made in ``folder``, with its set beside it."""
    return installed(f"{folder}/venv", f"{folder}/requirements.txt")


def node_modules(folder: str) -> str:
    """A command for the npm packages that are installed in ``folder``."""
    return f"python3 -I -B -c {quote(_NODE)} {folder}/node_modules/.package-lock.json"


def file(path: str, name: str, version: str, purl: str) -> str:
    """A command for one file, by its digest. ``version`` and ``purl`` are words of shell text."""
    return (
        f"digest=$(sha256sum <{path}) && "
        f"printf 'file\\t%s\\t%s\\tsha256:%.64s\\t%s\\n' {quote(name)} {version} \"$digest\" {purl}"
    )


def question(commands: Mapping[str, Sequence[str]]) -> str:
    """One shell command that prints everything ``commands`` do, by component."""
    lines = []
    for component, asks in commands.items():
        lines.append(f"printf '{OF}\\t%s\\n' {quote(component)}")
        lines += [f"( {ask}\n) || printf '{FAILED}\\t%s\\n' {quote(component)}" for ask in asks]
    return "\n".join([*lines, "true"])


def parts(lines: Iterable[str]) -> list[Part]:
    """Read the output of ``question``. Raises BillError for whatever is not a line as described above."""
    found, component = [], ""
    for line in lines:
        kind, *fields = line.rstrip("\n").split("\t")
        if kind == OF and len(fields) == 1:
            component = fields[0]
        elif kind == FAILED:
            raise BillError(f"what {' '.join(fields)} has on the host cannot be asked")
        elif len(fields) == FIELDS.get(kind) and component:
            name, version, third, *rest = fields
            version = "" if version == "-" else version
            hashes = () if kind == "deb" or third == "-" else tuple(third.split(","))
            found.append(Part(component, kind, name, version, hashes, (third, *rest) if kind == "deb" else tuple(rest)))
        else:
            raise BillError(f"the host's answer has a line that means nothing: {line[:80]!r}")
    if not found:
        raise BillError("the host does not say what is on it")
    return found
