"""Say which keys of daemon.json cannot be others while containers run: `rooted.py FILE WANTED DEFAULTS`, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def moved(there: dict[str, Any], wanted: dict[str, Any], defaults: dict[str, Any]) -> list[str]:
    """The keys of ``defaults`` that ``wanted`` has otherwise than ``there``."""
    there, wanted = ({**one, **(one.get("features") or {})} for one in (there, wanted))
    return sorted(key for key, value in defaults.items() if there.get(key, value) != wanted.get(key, value))


def main() -> int:
    """Print the sentence and fail, or do neither. What cannot be read is not the engine's."""
    path, wanted, defaults = Path(sys.argv[1]), *map(json.loads, sys.argv[2:])
    try:
        there = json.loads(path.read_text())
    except (OSError, ValueError):
        there = {}
    found = moved(there if isinstance(there, dict) else {}, wanted, defaults)
    if found:
        print(
            f"engine_extra_config: {', '.join(found)} cannot change while containers run, live-restore would lose "
            "them; go to runtime systemd first"
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
