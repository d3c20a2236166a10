"""Say which keys of a daemon.json that is somebody else's would be lost: `foreign.py FILE OURS`, OURS as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any


def lost(there: object, ours: dict[str, Any]) -> str:
    """The keys of ``there`` that ``ours`` has not, or with another value; as the beginning of a sentence."""
    if not isinstance(there, dict):
        return "is no JSON object"
    keys = sorted(key for key, value in there.items() if key not in ours or ours[key] != value)
    return f"has {', '.join(keys)}" if keys else ""


def main() -> int:
    """Print the sentence and fail, or do neither."""
    try:
        with open(sys.argv[1]) as file:
            found = lost(json.load(file), json.loads(sys.argv[2]))
    except ValueError:
        found = "is no JSON"
    if found:
        said = f"{sys.argv[1]} is not of Portcullis and {found}"
        print(f"{said}; a run would overwrite it: move it away, and set what is needed of it with engine_extra_config")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
