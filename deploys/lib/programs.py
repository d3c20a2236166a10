"""Programs of ours on a host: each set in a folder of its own, named after its content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from deploys.lib.transaction import TOOLS


def program_folder(name: str, paths: Sequence[Path]) -> str:
    """Where ``paths`` are on a host. Another version lies beside it: what an earlier one left at work keeps its own."""
    whole = b"\0".join(path.read_bytes() for path in paths)
    return f"{TOOLS}/{name}-{hashlib.sha256(whole).hexdigest()[:12]}"
