"""Golden files: the whole text of every rendered file on the sites of site.py, reviewed like code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploys.lib.component import Component, ConfigFile, Here
from deploys.lib.render import ROOT
from tests.unit import site

FOLDER = ROOT / "tests" / "golden"
# The folder of a set of our own programs, which is named after its content.
OWN = re.compile(r"(/usr/local/lib/portcullis/\w+)-[0-9a-f]{12}/")
# The tag of an image, by everything that goes into it.
TAG = re.compile(r"(portcullis-\w+:)(?:[0-9a-f]{8}|([\w.]+))-[0-9a-f]{8}\b")
PAYLOAD = {path.read_bytes() for path in (ROOT / "payload").rglob("*") if path.is_file()}


def rendered(component: Component, here: Here) -> dict[str, str]:
    """Texts by golden file name, without files that are sent as they are."""
    return {
        item.path.strip("/").replace("/", "__"): TAG.sub(r"\1\2-DIGEST", OWN.sub(r"\1-DIGEST/", item.text))
        for item in component.files(here)
        if isinstance(item, ConfigFile) and item.text.encode() not in PAYLOAD
    }


def expected(component: Component) -> dict[str, str]:
    """What the golden folder should hold: each text of the single host, and others where they differ.

    `.split` is for a spread-out site, `.compose` for a host whose services run in containers.
    """
    alone = rendered(component, site.single())
    spread = rendered(component, site.home(site.split(), component.name))
    assert set(alone) <= set(spread)
    contained = rendered(component, site.single(runtime="compose"))
    return {
        **alone,
        **{f"{name}.split": text for name, text in spread.items() if text != alone.get(name)},
        **{f"{name}.compose": text for name, text in contained.items() if text != alone.get(name)},
    }


def compare(folder: Path, wanted: dict[str, str], config: pytest.Config) -> None:
    """Fail where a file of ``folder`` is not exactly as wanted, or write it with --update-golden."""
    if config.getoption("--update-golden"):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for name, text in wanted.items():
            (folder / name).write_text(text)
    present = {path.name: path.read_text() for path in folder.iterdir()} if folder.is_dir() else {}
    assert sorted(present) == sorted(wanted), (
        f"{folder.name}: other files are rendered than before; pytest --update-golden"
    )
    for name, text in wanted.items():
        assert text == present[name], f"{folder.name}/{name} is not as it was; pytest --update-golden, then review it"


def check(component: Component, config: pytest.Config, extra: dict[str, str] | None = None) -> None:
    """Compare every rendered file of ``component``, and ``extra`` texts such as scripts, with its golden folder."""
    compare(FOLDER / component.name, {**expected(component), **(extra or {})}, config)
