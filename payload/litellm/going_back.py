#!/opt/litellm/current/venv/bin/python
"""What going back to another installation of LiteLLM needs of the database, asked before anything changes.

going_back.py ENVIRONMENT THEN FOLDER [MORE...]    print JSON; what migrations do is read in the folders MORE too

ENVIRONMENT names the database, THEN has the salt key that comes back, FOLDER is the installation that comes back. Run
by the Python of the one in use. The answer:

    needed, why     whether that version cannot use the database as it is, and why, or why it can
    extra           how many migrations the database has that the version lacks
    wanted, adds    migrations of that version; those of later ones that only add, which a dump may have as well
    mark            of the salt key: the comment of the schema `portcullis` in a database encrypted with it
"""

from __future__ import annotations

import hmac
import json
import sys
from pathlib import Path
from typing import Any

sys.dont_write_bytecode = True  # this folder is what was put there, and nothing else
from database import LABEL, value  # noqa: E402
from migrations import finished_there, installed, problem, verdict  # noqa: E402


def answer(finished: list[str], wanted: list[str], known: dict[str, str]) -> dict[str, Any]:
    """``known`` says of every migration why it does more than add; empty when it only adds."""
    needed, why = verdict(finished, set(wanted), known)
    missing = [name for name in wanted if name not in finished]
    # A database without any is new, and whoever comes makes everything in it.
    if finished and missing and not needed:
        needed, why = True, f"the database lacks {len(missing)} migrations of it, the last of them {missing[-1]}"
    return {
        "needed": needed,
        "why": why,
        "extra": len(set(finished) - set(wanted)),
        "wanted": wanted,
        "adds": sorted(name for name, more in known.items() if not more and name not in wanted),
    }


def main() -> int:
    environment, then, folder, *more = sys.argv[1:] if len(sys.argv) > 3 else ("", "", "")
    if not folder:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        wanted = list(installed(Path(folder)))
        if not wanted:
            raise FileNotFoundError(folder)
        known = {
            name: problem(path.read_text())
            for one in (Path(sys.prefix), *map(Path, more))
            for name, path in installed(one).items()
        }
        made = answer(finished_there(Path(environment)), wanted, known)
        key = value(Path(then), "LITELLM_SALT_KEY").encode()
    except Exception as error:  # a traceback of psycopg may have the database's URL in it
        print(f"portcullis: what the database has cannot be told: {type(error).__name__}", file=sys.stderr)
        return 1
    print(json.dumps({**made, "mark": f"portcullis-salt:{hmac.digest(key, LABEL, 'sha256').hex()}"}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
