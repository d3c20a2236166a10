"""Lines of a service's own configuration that a user adds: refused where they would undo what is planned or secured."""

from __future__ import annotations

import re
from collections.abc import Mapping


def overriding(setting: str, lines: str, kept: Mapping[str, str], separators: str = " \t") -> list[str]:
    """Why lines of ``setting`` are refused, one sentence for each; the last line of a file wins over all before it.

    ``kept`` has the keys, in lower case, that must stay as they are, and what to do instead; ``separators`` are what
    may follow a key.
    """
    found = []
    for line in lines.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        key = re.split(f"[{re.escape(separators)}]", line, maxsplit=1)[0].lower()
        if not re.fullmatch(r"[a-z0-9_.-]+", key):
            # Quotes and escapes spell a key in more ways than are looked for here.
            found.append(f"{setting}: the line {line!r} does not begin with a plain name of a setting")
        elif key in kept:
            found.append(f"{setting}: {key} is not for these lines; {kept[key]}")
    return list(dict.fromkeys(found))
