"""Write docs/settings.md from the settings classes: `python scripts/gen_settings_docs.py [--check]`."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from deploys.components import COMPONENTS  # noqa: E402
from deploys.lib.host_settings import HostSettings  # noqa: E402
from deploys.lib.patterns import words_of  # noqa: E402
from deploys.lib.settings import Settings, entry_class  # noqa: E402

OUT = ROOT / "docs" / "settings.md"
HEAD = """# Settings

<!-- Made by `make docs` from the settings classes in deploys/; edits are overwritten. -->

Every key that Portcullis reads. A key goes into `group_data/all.py` for every host, `group_data/GROUP.py` for the hosts
of a group, a host's own data in the inventory, or `--data KEY=VALUE` for one run; the later one wins. A key that is
misspelt, unknown or out of its limits stops the run before anything is changed.

A *secret* is given as a reference, never as its value: `env:NAME` (the environment, or `secrets/INVENTORY.env`, which
`make secrets` creates), `file:PATH`, or `cmd:COMMAND` (what the command prints, such as `cmd:pass show gateway/redis`).
"""


def cell(text: str) -> str:
    """``text`` inside a table: one line, and no bar that would end the cell."""
    return " ".join(text.split()).replace("|", "\\|")


def code(value: object) -> str:
    return f"`{cell(value if isinstance(value, str) else json.dumps(value))}`"


def kind(schema: dict[str, Any]) -> str:
    """The type of a value in words."""
    if schema.get("format") == "secret reference":
        return "secret"
    if "$ref" in schema:
        return "entry, see below"
    if options := schema.get("anyOf"):
        return " or ".join(kind(option) for option in options if option.get("type") != "null")
    if "enum" in schema or "const" in schema:
        return "one of"
    if schema.get("type") == "array":
        return f"list of {kind(schema['items'])}"
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties") or next(iter(schema["patternProperties"].values()))
        return f"{kind(inner)} by name"
    return {"string": "text", "integer": "whole number", "number": "number", "boolean": "True or False"}[schema["type"]]


def limits(schema: dict[str, Any]) -> str:
    """What a value must keep to, beside its type."""
    for option in schema.get("anyOf", ()):
        if found := limits(option):
            return found
    if "enum" in schema:
        return ", ".join(code(option) for option in schema["enum"])
    if choice := re.fullmatch(r"\^\((\w+(?:\|\w+)+)\)\$", schema.get("pattern", "")):
        return ", ".join(code(option) for option in choice[1].split("|"))
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{low:,} to {high:,}"
    if low is not None:
        return f"{low:,} or more"
    return cell(words_of(schema["pattern"])) if "pattern" in schema else ""


def default(cls: type[Settings], name: str) -> str:
    if cls.model_fields[name].is_required():
        return "(needed)"
    value = cls.model_fields[name].get_default(call_default_factory=True)
    return "" if value in (None, "", [], {}) else code(value)


def table(prefix: str, cls: type[Settings]) -> str:
    """One row for each key of ``cls``."""
    rows = ["| key | type | default | limits | meaning |", "|---|---|---|---|---|"]
    properties = cls.model_json_schema()["properties"]
    for name, field in cls.model_fields.items():
        schema = properties[name]
        columns = [f"`{prefix}{name}`", kind(schema), default(cls, name), limits(schema), cell(field.description or "")]
        rows.append(f"| {' | '.join(columns)} |")
    text = "\n".join(rows) + "\n"
    for name, field in cls.model_fields.items():
        if inner := entry_class(field.annotation):
            text += f"\n### An entry of `{prefix}{name}`\n\n{cell(inner.__doc__ or '')}\n\n{table('', inner)}"
    return text


def document() -> str:
    parts = [HEAD, f"## The run and the host\n\n{table('', HostSettings)}"]
    for component in COMPONENTS:
        if component.settings.model_fields:
            module = sys.modules[component.settings.__module__]
            about = " ".join((module.__doc__ or "").partition("\n")[0].split())
            parts.append(f"## {component.name}\n\n{about}\n\n{table(f'{component.name}_', component.settings)}")
    return "\n".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the file is not up to date")
    wanted = document()
    if parser.parse_args().check:
        if OUT.is_file() and OUT.read_text() == wanted:
            return 0
        print(f"{OUT.relative_to(ROOT)} is not up to date; run: make docs", file=sys.stderr)
        return 1
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
