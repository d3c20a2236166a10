"""The audit's questions to a host: one, which answers with everything, its secrets masked before they leave."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from pyinfra.api import FactBase

HERE = Path(__file__).parent
END = "PORTCULLIS_AUDIT_ENDS"


@cache
def program() -> str:
    """The program that runs on the host: masking first, then the questions, as one file without imports of ours."""
    parts = []
    for name in ("masking.py", "masking_text.py", "hostside_files.py", "hostside.py"):
        lines = (HERE / name).read_text().splitlines()
        parts += [line for line in lines if not line.startswith(("from __future__", "from deploys."))]
    return "from __future__ import annotations\n" + "\n".join(parts) + "\n"


class Deployment(FactBase[dict[str, Any]]):
    """What the host knows about its LiteLLM; ``found`` is false when it has none, ``error`` says why nobody knows."""

    default = dict

    def command(self) -> str:
        return (
            'python=$(command -v python3) || { echo \'{"error": "there is no python3 to ask with"}\'; exit 0; }; '
            f"$python -I - <<'{END}'\n{program()}{END}\n"
        )

    def process(self, output: list[str]) -> dict[str, Any]:
        try:
            found = json.loads(output[-1])
            return found if isinstance(found, dict) else {"error": "the answer is not an object"}
        except (IndexError, ValueError):
            return {"error": "the answer cannot be read"}
