"""The health app as a component: golden files, and that its configuration is one the app itself accepts."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from portcullis_health.__main__ import main

from deploys.components.health import HEALTH
from tests.unit import certificates, golden, site


def test_rendered_files(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    tls = golden.rendered(HEALTH, site.single(**certificates.settings(tmp_path, ["127.0.0.1"])))
    golden.check(HEALTH, pytestconfig, {"etc__portcullis__health.json.tls": tls["etc__portcullis__health.json"]})


@pytest.mark.parametrize("spread", [False, True])
def test_the_app_accepts_its_configuration(spread: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = site.place(site.split(), "gw-1") if spread else site.single()
    path = tmp_path / "health.json"
    path.write_text(next(file.text for file in HEALTH.files(here) if file.path == "/etc/portcullis/health.json"))
    assert main(["--config", str(path), "--check"]) == 0, capsys.readouterr().err


def test_it_asks_every_ollama_for_its_models() -> None:
    here = site.place(site.split(), "gw-1")
    text = next(file.text for file in HEALTH.files(here) if file.path == "/etc/portcullis/health.json")
    assert {model["api_base"] for model in json.loads(text)["models"]} == {"http://192.0.2.12:11434"}


def test_verify_asks_again_when_the_host_had_no_time_for_the_app(tmp_path: Path) -> None:
    """One answer in time is enough, and its time is what is told; without one it fails."""
    (probe,) = [one for one in HEALTH.probes(site.single()) if "50 ms" in one.name]
    for slow, code in ((2, 0), (9, 1)):
        (tmp_path / "asked").write_text("")
        played = (
            f"curl() {{ echo >>{tmp_path}/asked; n=$(wc -l <{tmp_path}/asked); "
            f'if [ "$n" -gt {slow} ]; then printf "0.004 s"; else printf "0.051 s"; return 28; fi; }}; '
            "sleep() { :; }; "
        )
        done = subprocess.run(["sh", "-c", played + probe.command], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (code, "" if code else "0.004 s\n")
        assert len((tmp_path / "asked").read_text().splitlines()) == (5 if code else 3)
