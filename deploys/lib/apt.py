"""Package repositories of somebody else's: what one may supply, so that it cannot put its own in place of Debian's."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

# Below 0 a version is never installed, whatever asks for it; 500 is what apt gives every repository by itself.
NEVER, USUAL = -1, 500
PREFERENCES = "/etc/apt/preferences.d"


def preferences(name: str) -> str:
    """The file of apt's preferences for one of our repositories."""
    return f"{PREFERENCES}/portcullis-{name}"


def pin(repository: str, official: str, origin: str) -> str:
    """How apt knows what comes from ``repository``.

    By its host, which it cannot choose itself, where that is the ``official`` one. A mirror's host may have Debian's
    packages too, so there it is the ``origin`` that the repository's own release file names.
    """
    return f'origin "{official}"' if urlsplit(repository).hostname == official else f"release o={origin}"


def confined(name: str, packages: Sequence[str], pinned: str) -> str:
    """Shell text that writes apt's preferences: of what is ``pinned``, ``packages`` and nothing else."""
    lines = [
        "# Managed by Portcullis; edits are overwritten. What this repository may supply, and that it is all.",
        *(f"Package: {' '.join(packages)}", f"Pin: {pinned}", f"Pin-Priority: {USUAL}"),
        *("", "Package: *", f"Pin: {pinned}", f"Pin-Priority: {NEVER}"),
    ]
    path = preferences(name)
    text = " ".join(f"'{line}'" for line in lines)
    write = f"printf '%s\\n' {text} >{path}.part; chmod 0644 {path}.part; mv -f {path}.part {path}"
    return f"install -d -m 0755 {PREFERENCES}; {write}"
