"""What going back needs of data that no file of a component shows: who uses it, whether it serves them, who keeps it.

A bundle may have `data.sh`, which prints as JSON whether the data, as it is now, serves the component as the bundle has
it (`needed`: a copy of before has to be put back for that; and `why`); and `store.sh WORD ...`, which finds and
restores copies of it on the host that keeps it.
"""

from __future__ import annotations

import json
from pathlib import Path

from ledger_entries import Entry, served
from ledger_plan import GUARD_LIB, shell


def asks(bundle: Path | None, name: str) -> bool:
    """Whether a bundle has the script ``name``; those of an earlier toolkit have none."""
    return bool(bundle and (bundle / name).is_file() and (bundle / name).stat().st_size)


def data(root: Path, run: str, only: list[str]) -> Entry:
    """What this host's components need to be as after ``run``; what cannot be told is for their guards to refuse."""
    uses = {}
    for bundle in sorted((root / run / "components").glob("*")):
        if asks(bundle, "data.sh") and (not only or bundle.name in only):
            script = '. "$lib"; . "$staged/data.sh" 2>/dev/null'
            passed, said = shell(script, lib=str(GUARD_LIB), staged=str(bundle))
            if passed and said.startswith("{"):
                uses[bundle.name] = json.loads(said)
    present = served()
    return {
        "uses": uses,
        "keeps": [name for name, bundle in present.items() if asks(bundle, "store.sh")],
        # Where each component would go back to should it fail: what it has now.
        "present": {name: str(bundle.parent.parent) for name, bundle in present.items()},
    }
