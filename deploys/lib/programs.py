"""Programs of ours on a host: each set in a folder of its own, named after its content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

TOOLS = "/usr/local/lib/portcullis"


def program_folder(name: str, paths: Sequence[Path]) -> str:
    """Where ``paths`` are on a host; another version lies beside it.

    A shell reads its script while it runs it: one that an earlier run left at work must not find another in its place.
    """
    whole = b"\0".join(path.read_bytes() for path in paths)
    return f"{TOOLS}/{name}-{hashlib.sha256(whole).hexdigest()[:12]}"
